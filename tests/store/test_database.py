"""The one writer: many callers, one commit; and nobody fails for another."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Connection, event, insert, select, text, update

from postroom.domain.problems import Conflict, Unavailable
from postroom.store import facts, tenants
from postroom.store.database import MOST_PER_COMMIT, Database
from postroom.store.schema import fact, tenant

from .room import NOW, Room


def put(connection: Connection, names: Sequence[str]) -> list[str | Exception]:
    """A batch: one statement for all."""
    connection.execute(insert(fact), [{"name": name, "value": "kept"} for name in names])
    return [f"{name} kept" for name in names]


def remember(name: str) -> Callable[[Connection], str]:
    return lambda connection: facts.remember(connection, name, "kept")


async def kept(room: Room) -> set[str]:
    return await room.database.read(lambda connection: set(connection.execute(select(fact.c.name)).scalars()))


async def test_what_many_ask_for_at_once_shares_commits(room: Room) -> None:
    before = room.database.commits
    names = [f"f{n}" for n in range(400)]
    async with room.one_commit():
        folded = [room.database.fold(put, name) for name in names]
        written = [asyncio.ensure_future(room.database.write(remember(f"w{n}"))) for n in range(100)]
    assert await asyncio.gather(*folded) == [f"{name} kept" for name in names]
    assert await asyncio.gather(*written) == ["kept"] * 100
    assert room.database.commits - before == 2  # the one that kept the writer busy, and the one for all
    assert len(await kept(room)) == 500


async def test_a_commit_takes_only_so_much(room: Room) -> None:
    before = room.database.commits
    async with room.one_commit():
        folded = [room.database.fold(put, f"f{n}") for n in range(MOST_PER_COMMIT + 1)]
    await asyncio.gather(*folded)
    assert room.database.commits - before == 3


async def test_a_step_that_raises_undoes_only_itself(room: Room) -> None:
    def half(connection: Connection) -> None:
        facts.remember(connection, "half", "kept")
        raise Conflict("No.")

    async with room.one_commit():
        asked = [asyncio.ensure_future(room.database.write(each)) for each in (remember("a"), half, remember("b"))]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert results[::2] == ["kept", "kept"]
    assert isinstance(results[1], Conflict)
    assert await kept(room) == {"a", "b"}


async def test_a_step_whose_statement_fails_undoes_only_itself(room: Room) -> None:
    twice = insert(fact).values(name="a", value="again")
    async with room.one_commit():
        asked = [
            asyncio.ensure_future(room.database.write(each))
            for each in (remember("a"), lambda connection: connection.execute(twice), remember("b"))
        ]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert [isinstance(each, Exception) for each in results] == [False, True, False]
    assert await kept(room) == {"a", "b"}


async def test_when_the_statement_for_all_fails_each_is_done_alone(room: Room) -> None:
    async with room.one_commit():
        folded = [room.database.fold(put, name) for name in ("a", "b", "a", "c")]
    results = await asyncio.gather(*folded, return_exceptions=True)
    assert [isinstance(each, Exception) for each in results] == [False, False, True, False]
    assert await kept(room) == {"a", "b", "c"}


async def test_a_result_that_is_an_exception_is_raised_to_its_caller_alone(room: Room) -> None:
    def picky(_connection: Connection, items: Sequence[int]) -> list[int | Exception]:
        return [Conflict("Odd.") if item % 2 else item for item in items]

    async with room.one_commit():
        folded = [room.database.fold(picky, n) for n in range(4)]
    results = await asyncio.gather(*folded, return_exceptions=True)
    assert results[::2] == [0, 2]
    assert all(isinstance(each, Conflict) for each in results[1::2])


async def test_a_caller_that_went_away_does_not_disturb_the_others(room: Room) -> None:
    async with room.one_commit():
        gone = asyncio.ensure_future(room.database.write(remember("gone")))
        stays = asyncio.ensure_future(room.database.write(remember("stays")))
        await asyncio.sleep(0)
        gone.cancel()
    assert await stays == "kept"


async def test_what_is_answered_is_seen_by_the_next_reader(room: Room) -> None:
    for n in range(20):
        await room.database.write(remember(f"w{n}"))
        assert f"w{n}" in await kept(room)


async def test_kinds_come_in_one_order_whoever_was_first_and_some_come_last(room: Room) -> None:
    order: list[str] = []

    def batch(name: str) -> Callable[[Connection, Sequence[int]], list[int | Exception]]:
        def do(_connection: Connection, items: Sequence[int]) -> list[int | Exception]:
            order.append(name)
            return list(items)

        do.__qualname__ = name
        return do

    last = batch("a, but last")
    last.comes_last = True  # type: ignore[attr-defined]
    async with room.one_commit():
        folded = [room.database.fold(each, 1) for each in (last, batch("c"), batch("b"), batch("d"))]
    await asyncio.gather(*folded)
    assert order == ["b", "c", "d", "a, but last"]


async def test_closing_finishes_what_was_asked_for(url: str, tmp_path: Path) -> None:
    room = Room(url, tmp_path)
    folded = [room.database.fold(put, f"f{n}") for n in range(2500)]
    await room.database.close()
    assert len(await asyncio.gather(*folded)) == 2500
    again = Room(url, tmp_path)
    assert len(await kept(again)) == 2500
    await again.database.close()


async def test_who_comes_after_the_closing_is_told_so(url: str, tmp_path: Path) -> None:
    room = Room(url, tmp_path)
    await room.database.close()
    with pytest.raises(Unavailable):
        await room.database.write(remember("late"))


async def test_callers_on_several_event_loops_each_get_their_answers(room: Room) -> None:
    answers: list[str] = []

    async def ask(name: str) -> None:
        answers.extend(await asyncio.gather(*(room.database.fold(put, f"{name}{n}") for n in range(20))))

    threads = [threading.Thread(target=lambda it=name: asyncio.run(ask(it))) for name in "abc"]
    for each in threads:
        each.start()
    await asyncio.to_thread(lambda: [each.join() for each in threads])
    assert len(answers) == 60


async def test_a_loop_that_was_closed_meanwhile_does_not_stop_the_writer(room: Room) -> None:
    async def leave() -> None:
        room.database.fold(put, "left behind")

    async with room.one_commit():
        await asyncio.to_thread(lambda: asyncio.run(leave()))
    assert await room.database.write(remember("after")) == "kept"
    assert await kept(room) == {"left behind", "after"}


# --- SQLite


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/postroom.db"


async def test_sqlite_really_syncs_each_commit(sqlite_url: str, tmp_path: Path) -> None:
    room = Room(sqlite_url, tmp_path)

    def pragmas(connection: Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        return [connection.execute(text(f"PRAGMA {name}")).scalar() for name in names]

    expected = ["wal", 2, 1, 5000]  # synchronous 2 is FULL
    assert await room.database.write(pragmas) == expected
    assert await room.database.read(pragmas) == expected
    with pytest.raises(Exception, match="FOREIGN KEY"):
        await room.database.write(
            lambda connection: connection.execute(
                text("INSERT INTO profile VALUES (99, 1, 'x', true, 1, 1, 0, NULL)"),
            )
        )
    await room.database.close()


async def test_a_data_directory_is_held_by_one_opening_at_a_time(sqlite_url: str, tmp_path: Path) -> None:
    room = Room(sqlite_url, tmp_path)
    with pytest.raises(Unavailable, match="data directory"):
        Room(sqlite_url, tmp_path)
    await room.database.close()
    again = Room(sqlite_url, tmp_path)
    await again.database.close()


async def test_a_data_directory_is_refused_to_a_second_process(sqlite_url: str, tmp_path: Path) -> None:
    room = Room(sqlite_url, tmp_path)
    script = (
        "import sys, pathlib\nfrom postroom.store.database import Database\n"
        "Database.open(sys.argv[1], data_dir=pathlib.Path(sys.argv[2]))"
    )
    second = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", script, sqlite_url, str(tmp_path)], capture_output=True, text=True
    )
    assert second.returncode == 1
    assert "Unavailable" in second.stderr
    await room.database.close()


async def test_when_sqlite_undoes_the_whole_transaction_the_others_are_done_again(
    sqlite_url: str, tmp_path: Path
) -> None:
    room = Room(sqlite_url, tmp_path)

    def fill_the_disk(connection: Connection) -> None:
        pages = connection.execute(text("PRAGMA page_count")).scalar_one()
        connection.execute(text(f"PRAGMA max_page_count = {pages}"))
        try:
            connection.execute(insert(fact).values(name="large", value="x" * 100_000))
        finally:
            connection.execute(text("PRAGMA max_page_count = 1000000"))

    async with room.one_commit():
        asked = [
            asyncio.ensure_future(room.database.write(each))
            for each in (remember("before"), fill_the_disk, remember("after"))
        ]
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert results[::2] == ["kept", "kept"]
    assert "full" in str(results[1])
    assert await kept(room) == {"before", "after"}
    await room.database.close()


# --- PostgreSQL


async def test_postgresql_reads_what_is_committed_whatever_the_server_prefers(
    new_postgresql: Callable[[], str], tmp_path: Path
) -> None:
    url = new_postgresql()
    with closing(psycopg.connect(url, autocommit=True)) as connection:
        name = connection.info.dbname
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'serializable'")
    room = Room(url, tmp_path)
    level = lambda connection: connection.execute(text("SHOW transaction_isolation")).scalar()  # noqa: E731
    assert await room.database.write(level) == "read committed"
    assert await room.database.read(level) == "read committed"
    await room.database.close()


async def test_the_databases_clock_is_postgresqls(new_postgresql: Callable[[], str], tmp_path: Path) -> None:
    database = Database.open(new_postgresql(), data_dir=tmp_path)

    def both(connection: Connection) -> tuple[int, float]:
        return database.now(connection), float(
            connection.execute(text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
        )

    ours, theirs = await database.read(both)
    assert NOW < ours <= theirs * 1e6 <= ours + 60e6
    await database.close()


async def test_a_standoff_of_two_machines_costs_neither_its_work(two_rooms: tuple[Room, Room]) -> None:
    room, other = two_rooms
    one, two = (await room.tenant("one")).id, (await room.tenant("two")).id
    meeting = threading.Barrier(2)
    tries: list[str] = []

    def crosswise(name: str, order: tuple[int, int]) -> Callable[[Connection], None]:
        def step(connection: Connection) -> None:
            tries.append(name)
            connection.execute(text("SET LOCAL deadlock_timeout = '10ms'"))
            for n, each in enumerate(order):
                connection.execute(update(tenant).where(tenant.c.id == each).values(name=tenant.c.name + name))
                if n == 0 and len(tries) <= 2:
                    meeting.wait(5)

        return step

    await asyncio.gather(
        room.database.write(crosswise("a", (one, two))), other.database.write(crosswise("b", (two, one)))
    )
    assert len(tries) in (3, 4, 5)  # who gave way may get in the way once more
    names = await room.database.read(lambda connection: [each.name for each in tenants.every(connection)])
    assert [sorted(each[3:]) for each in names] == [["a", "b"], ["a", "b"]]


async def test_a_connection_that_breaks_before_the_commit_costs_nobody_his_work(two_rooms: tuple[Room, Room]) -> None:
    room, _ = two_rooms
    tries = []

    def break_once(connection: Connection) -> str:
        tries.append(1)
        if len(tries) == 1:
            connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        return facts.remember(connection, "broken", "kept")

    async with room.one_commit():
        asked = [asyncio.ensure_future(room.database.write(each)) for each in (remember("a"), break_once)]
        asked.append(room.database.fold(put, "b"))
    assert await asyncio.gather(*asked) == ["kept", "kept", "b kept"]
    assert await kept(room) == {"a", "b", "broken"}


async def test_without_a_server_everybody_is_told_after_one_try_and_all_is_well_when_it_is_back(
    postgresql: str, new_postgresql: Callable[[], str], tmp_path: Path
) -> None:
    room = Room(new_postgresql(), tmp_path)
    name, tries = room.database.writer.url.database, []
    event.listen(room.database.writer, "do_connect", lambda *_: tries.append(1))
    with closing(psycopg.connect(postgresql, autocommit=True)) as server:
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        folded = [room.database.fold(put, f"f{n}") for n in range(50)]
        results = await asyncio.gather(*folded, return_exceptions=True)
        with pytest.raises(Unavailable):
            await kept(room)
        server.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert [type(each) for each in results] == [Unavailable] * 50
    assert len(tries) < 10
    assert await room.database.write(remember("after")) == "kept"
    assert await kept(room) == {"after"}
    await room.database.close()
