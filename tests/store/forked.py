"""What `test_writing_process.py` looks at, each in a process of its own: whoever forks must have no threads.

python -m store.forked SCENARIO URL DIRECTORY
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from sqlalchemy import Connection, func, insert, select

from postroom.domain.delivery import SECOND, State
from postroom.domain.message import OnDoubt
from postroom.domain.problems import Conflict, Denied, Invalid, Problem, SecretNeeded, Stale, TooMany, Unavailable
from postroom.store import facts, sealed
from postroom.store.database import Database
from postroom.store.engine import process_clock
from postroom.store.frames import Word, frame
from postroom.store.queue.accept import Acceptance, Accepting, NewDelivery, NewMessage
from postroom.store.schema import body, fact
from postroom.store.space import DiskFull
from postroom.store.vault import Vault
from postroom.store.writing import Writing
from postroom.store.writing_process import fork

from .room import NOW, revise

PROBLEMS = (
    Invalid("to[0]", "No."), SecretNeeded("password", "Again."), Conflict("Not now."), Stale("Older.", 7),
    Denied("No.", "a key"), TooMany("Wait.", 9), Unavailable("Later.", 3), DiskFull(),
)  # fmt: skip


# --- batches and steps


def put(connection: Connection, names: Sequence[str]) -> list[str | Exception]:
    connection.execute(insert(fact), [{"name": name, "value": "kept"} for name in names])
    return [f"{name} kept" for name in names]


def who(_connection: Connection, items: Sequence[object]) -> list[int | Exception]:
    return [os.getpid() for _ in items]


def wrong(_connection: Connection, items: Sequence[int]) -> list[int | Exception]:
    return [PROBLEMS[n] if n >= 0 else n for n in items]


class Odd(Exception):
    """Can't be put together again."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} and {two}")


def odd(_connection: Connection, items: Sequence[object]) -> list[int | Exception]:
    return [Odd("this", "that") for _ in items]


def count_up(connection: Connection, items: Sequence[object]) -> list[int | Exception]:
    return [up(connection) for _ in items]


def up(connection: Connection) -> int:
    """Reads, takes its time, writes: whoever else writes meanwhile is overwritten."""
    seen = int(facts.recall(connection, "count") or 0)
    time.sleep(0.001)
    facts.change(connection, "count", str(seen + 1))
    return seen + 1


def linger(connection: Connection, items: Sequence[float]) -> list[str | Exception]:
    time.sleep(max(items))
    return put(connection, [f"lingered {n}" for n, _ in enumerate(items)])  # type: ignore[return-value]


async def kept(database: Database) -> set[str]:
    return await database.read(lambda connection: set(connection.execute(select(fact.c.name)).scalars()))


# --- scenarios


async def answers(database: Database, writing: Writing) -> None:
    """Batches are done there, steps here; each hears of its own, and no other sees anything of that."""
    assert await database.fold(who, None) == writing.pid
    assert await database.write(lambda _: os.getpid()) == os.getpid()
    assert await asyncio.gather(*(database.fold(put, f"f{n}") for n in range(400))) == [
        f"f{n} kept" for n in range(400)
    ]
    assert len(await kept(database)) >= 400
    results = await asyncio.gather(*(database.fold(wrong, n) for n in range(-1, len(PROBLEMS))), return_exceptions=True)
    assert results[0] == -1
    for result, problem in zip(results[1:], PROBLEMS, strict=True):
        assert isinstance(result, Problem)
        assert (type(result), str(result), vars(result)) == (type(problem), str(problem), vars(problem))
    (strange,) = await asyncio.gather(database.fold(odd, 1), return_exceptions=True)
    assert isinstance(strange, RuntimeError)
    assert str(strange) == "Odd: this and that"
    again = await asyncio.gather(*(database.fold(put, name) for name in ("a", "f1", "b")), return_exceptions=True)
    assert [isinstance(each, Exception) for each in again] == [False, True, False]
    commits = database.commits
    assert commits > 0
    assert database.jobs > 400
    assert database.is_writing
    assert database.busy_for() == 0.0


async def what_cannot_be_told(database: Database, _: Writing) -> None:
    """A mistake of ours is that one caller's."""
    asked = [database.fold(put, "before"), database.fold(put, lambda: None), database.fold(put, "after")]  # type: ignore[list-item,arg-type]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert results[::2] == ["before kept", "after kept"]
    assert isinstance(results[1], Exception)
    assert {"before", "after"} <= await kept(database)


async def one_at_a_time(database: Database, _: Writing) -> None:
    await database.write(lambda connection: facts.remember(connection, "count", "0"))
    here = (database.write(up) for _ in range(40))
    there = (asyncio.ensure_future(database.fold(count_up, None)) for _ in range(40))
    both = [each for pair in zip(map(asyncio.ensure_future, here), there, strict=True) for each in pair]
    for each in both:  # in many transactions, not in two
        await asyncio.sleep(0.002)
        assert not each.done() or each.exception() is None
    assert sorted(await asyncio.gather(*both)) == list(range(1, 81))


async def sees_what_came_before(database: Database, _: Writing) -> None:
    """Whoever asks in turn finds what was answered to him, wherever it was done."""
    for n in range(50):
        await database.fold(put, f"f{n}")
        assert f"f{n}" in await kept(database)
        assert await database.write(lambda connection, n=n: facts.recall(connection, f"f{n}")) == "kept"  # type: ignore[misc]
        await database.write(lambda connection, n=n: facts.change(connection, f"f{n}", "changed"))  # type: ignore[misc]
        (again,) = await asyncio.gather(database.fold(put, f"f{n}"), return_exceptions=True)
        assert isinstance(again, Exception)


async def a_new_key(database: Database, _: Writing) -> None:
    """What is sealed after the step that changed the key is sealed with the new one, also what was asked for while
    it ran."""
    vault, new = Vault(b"1" * 32), b"2" * 32
    accept = Accepting(process_clock, vault)
    tenant, profile, lane = await database.write(a_lane)
    old = vault.key_id

    def message(n: int) -> Acceptance:
        one = NewMessage(
            id=f"{n:026d}", tenant_id=tenant, profile_id=profile, lane=lane, queued_at=NOW, expires_at=NOW + SECOND,
            on_doubt=OnDoubt.RETRY, envelope_sender="a@b.example", header_from="a@b.example", subject="x",
            content=b"Subject: x\r\n\r\nx\r\n", key_id="key", deliveries=(NewDelivery("c@d.example", State.WAITING),),
        )  # fmt: skip
        return Acceptance((one,))

    def held_by_old(connection: Connection) -> int:
        return sealed.held_by(connection, old).get("messages", 0)

    def turn_over(connection: Connection) -> int:
        time.sleep(0.05)  # more is asked for meanwhile
        vault.use([new, b"1" * 32])
        time.sleep(0.05)
        return held_by_old(connection)

    asked, turned = [], None
    for n in range(600):
        asked.append(database.fold(accept, message(n)))
        if n == 300:
            turned = asyncio.ensure_future(database.write(turn_over))
        await asyncio.sleep(0.0005)
    assert turned is not None
    before = await turned
    await asyncio.gather(*asked)
    assert 0 < before < 600
    assert await database.read(held_by_old) == before
    assert await database.read(lambda c: c.execute(select(func.count()).select_from(body)).scalar_one()) == 600


def a_lane(connection: Connection) -> tuple[int, int, int]:
    from postroom.store import profiles, tenants

    tenant = tenants.add(connection, "one", "One", NOW)
    profile, lane = profiles.add(connection, tenant.id, "default", now=NOW)
    revise(connection, tenant.id, profile, NOW)
    return tenant.id, profile, lane


async def it_dies(database: Database, writing: Writing) -> None:
    """Everybody is told, at once and from then on; and the end comes in peace all the same."""
    asked = [asyncio.ensure_future(database.fold(linger, 30.0)), asyncio.ensure_future(database.write(up))]
    await asyncio.sleep(0.1)
    os.kill(writing.pid, signal.SIGKILL)
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(each) for each in results] == [Unavailable, Unavailable]
    assert writing.ended.is_set()
    assert await writing.how_it_ended() == "killed by SIGKILL"
    assert not database.is_writing
    later = await asyncio.gather(database.fold(put, "x"), database.write(up), return_exceptions=True)
    assert [type(each) for each in later] == [Unavailable, Unavailable]
    assert await kept(database) is not None


async def it_meets_a_mistake_of_ours(database: Database, writing: Writing) -> None:
    """It is told what nobody could mean."""
    await database.fold(put, "before")
    writing._say(frame(Word.JOBS, [(99, "a batch that it has never heard of")]))
    asked = asyncio.ensure_future(database.fold(put, "after"))
    await writing.ended.wait()
    assert await writing.how_it_ended() == "exited with 1"
    assert isinstance((await asyncio.gather(asked, return_exceptions=True))[0], Unavailable)
    assert await kept(database) == {"before"}


async def signals_are_for_the_server(database: Database, writing: Writing) -> None:
    await database.fold(put, "before")
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(writing.pid, number)
    assert await database.fold(put, "after") == "after kept"


async def slow(database: Database, _: Writing) -> None:
    """How long it is busy already can be seen."""
    asked = database.fold(linger, 0.3)
    await asyncio.sleep(0.2)
    assert 0.05 < database.busy_for() < 2
    await asked
    assert database.busy_for() == 0.0


async def closing(database: Database, _: Writing) -> None:
    asked = [database.fold(put, f"f{n}") for n in range(2500)]
    written = [
        asyncio.ensure_future(database.write(lambda c, n=n: facts.remember(c, f"w{n}", "kept"))) for n in range(9)
    ]  # type: ignore[misc]
    await asyncio.sleep(0)
    await database.close()
    assert len(await asyncio.gather(*asked)) == 2500
    assert len(await asyncio.gather(*written)) == 9
    (late,) = await asyncio.gather(database.fold(put, "late"), return_exceptions=True)
    assert isinstance(late, Unavailable)


async def abandoned(database: Database, writing: Writing) -> None:
    """The server is killed with work on its way."""
    await database.fold(put, "before")
    asked = [database.fold(linger, 0.4), database.fold(put, "with it")]
    await asyncio.sleep(0.2)
    assert not any(each.done() for each in asked)
    tell(writing.pid)
    os.kill(os.getpid(), signal.SIGKILL)


async def stays(database: Database, _: Writing) -> None:
    await database.fold(put, "here")
    tell("here")
    await asyncio.to_thread(sys.stdin.read)


def tell(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


SCENARIOS: dict[str, Callable[[Database, Writing], Awaitable[None]]] = {
    each.__name__: each
    for each in (
        answers, what_cannot_be_told, one_at_a_time, sees_what_came_before, a_new_key, it_dies,
        it_meets_a_mistake_of_ours, signals_are_for_the_server, slow, closing, abandoned, stays,
    )
}  # fmt: skip


async def play(name: str, url: str, directory: Path, writing: Writing) -> None:
    database = Database.open(url, data_dir=directory, writing=writing)
    await SCENARIOS[name](database, writing)
    if name != "closing":
        await database.close()


def main() -> None:
    name, url, directory = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    asyncio.run(play(name, url, directory, fork(url, directory)))


if __name__ == "__main__":
    main()
