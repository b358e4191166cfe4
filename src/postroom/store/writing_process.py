"""The process that writes for a server: the other core's share of the work.

It is forked before the server has a thread or a connection, does every batch that the server folds (`database.py`), and
ends when the server's end of the pair closes, however that came about; what had reached it by then is done. Where the
server itself has to write, it asks for its turn: there is one writer at a time (`engine.hold` says why).
"""

import copyreg
import gc
import os
import pickle
import signal
import socket
import traceback
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from sqlalchemy import make_url

from postroom import log
from postroom.domain.delivery import Finish, RelayReply, TryAgain
from postroom.domain.problems import Problem, Unavailable
from postroom.store.engine import hold, writing_engine
from postroom.store.frames import Frames, Word, frame
from postroom.store.queue.accept import Acceptance, Accepted, HandOver, IdempotencyKey, NewDelivery, NewMessage
from postroom.store.queue.claim import Claim, Held
from postroom.store.queue.settle import Record, Settlement
from postroom.store.space import space_of
from postroom.store.writer import MOST_PER_COMMIT, Batch, Job, Writer
from postroom.store.writing import Writing

_AT_ONCE = 256 * 1024  # octets read in one go
# Told of every mail, and by their fields alone in half the time that pickling takes to find these out.
_TOLD_OFTEN = (
    Acceptance, Accepted, NewMessage, NewDelivery, HandOver, IdempotencyKey, Claim, Held, Settlement, Record,
    RelayReply, Finish, TryAgain,
)  # fmt: skip
LAST_WORDS = 5.0  # seconds that the writing process of a server that was killed may take


def _by_fields(value: tuple[object, ...]) -> tuple[type, tuple[object, ...]]:
    return type(value), tuple(value)


for _each in _TOLD_OFTEN:
    copyreg.pickle(_each, _by_fields)


def fork(url: str, data_dir: Path, *, listener: socket.socket | None = None) -> Writing:
    """The data directory is ours, and the process stands. `listener` is not for it. Raises Unavailable when another
    process holds the directory."""
    held = hold(data_dir, LAST_WORDS) if make_url(url).get_backend_name() == "sqlite" else None
    ours, theirs = socket.socketpair()
    gc.freeze()  # both look through what there is now no more, so that they go on sharing it
    try:
        pid = os.fork()
    except OSError as error:
        raise Unavailable(
            f"Can't start the process that writes to the database ({error.strerror}): allow Postroom more processes or "
            "memory."
        ) from None
    if not pid:
        _be(theirs, url, ours, listener)
    theirs.close()
    return Writing(ours, pid, held)


def _be(channel: socket.socket, url: str, *not_ours: socket.socket | None) -> NoReturn:
    """The process itself, until its end. Nothing of it may come out above: there is the server's code."""
    code = 1
    try:
        for each in not_ours:
            if each is not None:
                each.close()
        for number in (signal.SIGINT, signal.SIGTERM):  # they reach a whole group; ours is to finish what is asked for
            signal.signal(number, signal.SIG_IGN)
        parsed = make_url(url)
        _Scribe(channel, Writer(writing_engine(parsed), space_of(parsed))).write_until_alone()
        code = 0
    except BaseException as bug:
        with suppress(Exception):
            log.writing_process_failed(bug)
    finally:
        os._exit(code)


class _Scribe:
    """What has been asked for while a transaction committed is the next one's."""

    def __init__(self, channel: socket.socket, writer: Writer) -> None:
        self._channel = channel
        self._writer = writer
        self._frames = Frames()
        self._waiting: deque[tuple[int, Any]] = deque()
        self._batches: dict[int, Batch[Any, Any]] = {}
        self._is_alone = False

    def write_until_alone(self) -> None:
        while self._has_work():
            self._write(self._gathered())
            if self._waiting and self._waiting[0][0] == Word.TURN:
                self._give_turn()
        self._writer.let_go_of_connection()
        self._writer.engine.dispose()

    def _has_work(self) -> bool:
        """Take in what has come, waiting for it if need be."""
        self._read()
        return bool(self._waiting)

    def _gathered(self) -> list[Job]:
        """Up to about a commit's worth, or up to where somebody else has a turn."""
        jobs: list[Job] = []
        while self._waiting and len(jobs) < MOST_PER_COMMIT and self._waiting[0][0] != Word.TURN:
            word, what = self._waiting.popleft()
            if word == Word.END:
                self._is_alone = True
            elif word == Word.BATCH:
                self._batches.setdefault(*what)  # known already if it has changed since it was said
            else:
                jobs += [Job(self._batches[number], item) for number, item in what]
        return jobs

    def _write(self, jobs: list[Job]) -> None:
        if jobs:
            self._writer.do(jobs)
            results = [_sendable(job.result) for job in jobs]
            self._say(frame(Word.DONE, (self._writer.commits, self._writer.jobs, results)))

    def _give_turn(self) -> None:
        """Nothing is written here until it is given back; what comes meanwhile is done after that."""
        self._waiting.popleft()
        self._say(frame(Word.TURN))
        meanwhile: list[tuple[int, Any]] = []
        while self._has_work():
            word, what = self._waiting.popleft()
            if word == Word.BACK:
                self._batches |= what
                break
            meanwhile.append((word, what))
        self._waiting.extendleft(reversed(meanwhile))

    def _read(self) -> None:
        while not self._is_alone:
            try:
                data = self._channel.recv(_AT_ONCE, socket.MSG_DONTWAIT if self._waiting else 0)
            except BlockingIOError:
                return
            except ConnectionError:
                data = b""
            self._is_alone = not data
            self._waiting += self._frames.feed(data)

    def _say(self, data: bytes) -> None:
        with suppress(ConnectionError):  # nobody is left who asks; what was asked is done all the same
            self._channel.sendall(data)


def _sendable(result: Any) -> Any:
    """An exception as it is, if it can be taken apart and put together again; else what it says."""
    if not isinstance(result, BaseException):
        return result
    if not isinstance(result, Problem):  # a mistake of ours, which somebody will want to find
        result.add_note("".join(traceback.format_tb(result.__traceback__)))
    try:
        pickle.loads(pickle.dumps(result))  # noqa: S301  our own
    except Exception:
        return RuntimeError(f"{type(result).__name__}: {result}")
    return result
