"""`postroom serve` that dies at a named point of the store, or is broken on purpose.

Nothing in the product knows of this: SQLAlchemy's own events say which statement was done and when its transaction is
committed. A process of its own (`python -m kills.doomed`): it imports Postroom once, and then, for each line that it
reads, forks a child that is one life of the server. It answers with the child's pid, and with how it ended.
"""

import asyncio
import json
import os
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.engine.default import DefaultDialect

from postroom import __main__ as command
from postroom.store.database import Database
from postroom.store.queue.accept import Acceptance, Accepted

# What gives a transaction away, spelt loosely: the statements may change, their tables hardly.
STATEMENTS = {
    "accept": re.compile(r"insert into message\b"),
    "claim": re.compile(r"update queue set .*\bcrashes\b", re.DOTALL),
    "doubt": re.compile(r"update queue set in_doubt\b"),
    "settle": re.compile(r"delete from queue\b"),
    "settings": re.compile(r"insert into revision\b"),
    "migration": re.compile(r"^(create|alter|drop) |insert into _alembic|update alembic_version"),
}
ARM = signal.SIGUSR1
ACK_IS_EARLY = 0.05  # seconds by which the broken server answers before its COMMIT


def plain(statement: str) -> str:
    return " ".join(statement.replace('"', "").lower().split())


def die() -> None:
    """Server and writing process, as one: the signal is on its way to both before either goes on."""
    os.killpg(0, signal.SIGKILL)


class Fate:
    """Dies in a transaction with the statement `what`: right after it (`done`), with all of the transaction but its
    COMMIT (`written`), or when that has been done (`committed`)."""

    def __init__(self, what: str, when: str, armed: bool) -> None:
        self._statement = STATEMENTS[what]
        self._when = when
        self.armed = armed
        self._transaction = threading.local()

    def listen(self) -> None:
        event.listen(Engine, "after_cursor_execute", self._executed)
        event.listen(Engine, "begin", self._began)
        event.listen(Engine, "commit", self._commits)
        around_commit(after=self._committed)
        signal.signal(ARM, self._arm)

    def _arm(self, *_: object) -> None:
        self.armed = True

    def _executed(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if self._statement.search(plain(statement)):
            self._transaction.has_it = True
            self._die_if("done")

    def _began(self, _connection: Any) -> None:
        self._transaction.has_it = False

    def _commits(self, _connection: Any) -> None:
        self._die_if("written")

    def _committed(self) -> None:
        self._die_if("committed")
        self._transaction.has_it = False

    def _die_if(self, now: str) -> None:
        if self.armed and now == self._when and getattr(self._transaction, "has_it", False):
            die()


def around_commit(*, after: Callable[[], None]) -> None:
    commit = DefaultDialect.do_commit

    def do_commit(self: DefaultDialect, connection: Any) -> None:
        commit(self, connection)
        after()

    DefaultDialect.do_commit = do_commit  # type: ignore[method-assign]


# --- faults that the campaign must find


def answer_before_commit() -> None:
    """202 is said before anything is durable."""
    submit = Database.submit

    def early(self: Database, batch: Any, item: Any, done: Callable[[Any], None]) -> None:
        if isinstance(item, Acceptance) and item.key is not None:
            asyncio.get_running_loop().call_soon(done, Accepted())
            submit(self, batch, item._replace(hand_over=None), lambda _: None)
        else:
            submit(self, batch, item, done)

    def wait(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if STATEMENTS["accept"].search(plain(statement)):
            time.sleep(ACK_IS_EARLY)

    Database.submit = early  # type: ignore[method-assign]
    event.listen(Engine, "before_cursor_execute", wait)


def no_doubt() -> None:
    """What is in doubt is not marked."""
    marked = re.compile(r"(update queue set in_doubt\s*=\s*)(\S+?)(,|\s)", re.IGNORECASE)

    @event.listens_for(Engine, "before_cursor_execute", retval=True)
    def unmark(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> tuple[str, Any]:
        return marked.sub(r"\1(\2 AND 1=0)\3", statement, count=1), parameters


def no_keys() -> None:
    """Idempotency keys are forgotten."""
    submit = Database.submit

    def forgetful(self: Database, batch: Any, item: Any, done: Callable[[Any], None]) -> None:
        submit(self, batch, item._replace(key=None) if isinstance(item, Acceptance) else item, done)

    Database.submit = forgetful  # type: ignore[method-assign]


FAULTS = {"answer-before-commit": answer_before_commit, "no-doubt": no_doubt, "no-keys": no_keys}


def live(order: dict[str, Any]) -> None:
    """One life, from start to end: a process group of its own."""
    os.setpgid(0, 0)
    with Path(order["log"]).open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    for name in [each for each in os.environ if each.startswith("POSTROOM_")]:
        del os.environ[name]
    os.environ |= order["environment"]
    if order["broken"]:
        FAULTS[order["broken"]]()
    if order["point"]:
        what, when = order["point"].split(".")
        Fate(what, when, order["armed"]).listen()
    sys.argv = ["postroom", "serve"]
    command.main()


async def warm_up() -> None:
    """Import what a life needs by opening and closing a Postroom once: five hundred times that would take long."""
    import uvicorn.protocols.http.auto
    import uvicorn.protocols.websockets.auto  # noqa: F401

    from postroom.app import opened
    from postroom.config import Config

    with tempfile.TemporaryDirectory() as directory:
        async with opened(Config(data_dir=Path(directory), sandbox="off")):
            pass


def main() -> None:
    asyncio.run(warm_up())
    assert threading.active_count() == 1, "a thread would not live on in a fork"
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            live(json.loads(line))
            os._exit(0)
        print(json.dumps(pid), flush=True)
        print(json.dumps(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])), flush=True)


if __name__ == "__main__":
    main()
