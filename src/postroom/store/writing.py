"""The server's end of its writing process: batches go there, results come back, and now and then it is our turn."""

import asyncio
import os
import pickle
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import IO, Any

from postroom.domain.problems import Unavailable
from postroom.store.frames import Frames, Word, frame

_AT_ONCE = 256 * 1024  # octets read in one go

Done = Callable[[Any], None]


class Writing:
    """Made by `writing_process.fork`; `begin` it in the event loop that it is to serve. `ended` is set when the process
    is gone."""

    def __init__(self, channel: socket.socket, pid: int, held: "IO[str] | None") -> None:
        self.pid = pid
        self.commits = 0
        self.jobs = 0
        self.ended = asyncio.Event()
        self._channel = channel
        self._held = held  # the data directory: let go of when both processes have
        self._frames = Frames()
        self._out = bytearray()
        self._unsaid: list[tuple[int, Any, Done]] = []
        self._asked: deque[Done] = deque()
        self._batches: dict[Callable[..., Any], int] = {}
        self._said: dict[int, bytes] = {}  # each batch as the process has it
        self._turn: _Turn | None = None
        self._busy_since: float | None = None
        self._how_it_ended: str | None = None

    def begin(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._channel.setblocking(False)
        self._loop.add_reader(self._channel, self._read)

    def busy_for(self) -> float:
        """Seconds since it was last heard of, while it owes an answer."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def submit(self, batch: Callable[..., Any], item: Any, done: Done) -> None:
        """From the event loop: `done` is called there with the result or the exception. Batch and item can be
        pickled; a batch that has changed (its vault has a new key) is said anew with the next turn."""
        if self.ended.is_set():
            self._loop.call_soon(done, _gone())
            return
        number = self._batches.get(batch)
        if number is None:
            number = len(self._batches)
            said, data = pickle.dumps(batch), frame(Word.BATCH, (number, batch))
            self._batches[batch], self._said[number] = number, said
            self._say(data)
        if not self._unsaid:
            self._loop.call_soon(self._say_jobs)
        self._unsaid.append((number, item, done))

    @contextmanager
    def turn(self) -> Iterator[None]:
        """From a thread: nobody else writes until this ends. Raises Unavailable when the process is gone."""
        turn = _Turn()
        self._loop.call_soon_threadsafe(self._ask_for, turn)
        turn.answered.wait()
        if not turn.is_ours:
            raise _gone()
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._give_back)

    async def end(self) -> None:
        """Have it finish what it was asked for."""
        if not self.ended.is_set():
            self._say_jobs()
            self._say(frame(Word.END))
            await self.ended.wait()
        await self.how_it_ended()
        if self._held:
            self._held.close()

    async def how_it_ended(self) -> str:
        """In words, once it has: its channel closes a moment before."""
        if self._how_it_ended is None:
            self._how_it_ended = await self._loop.run_in_executor(None, partial(_farewell, self.pid))
        return self._how_it_ended

    # --- what is said

    def _say_jobs(self) -> None:
        """All that was asked for in this turn of the event loop."""
        asked, self._unsaid = self._unsaid, []
        if not asked:
            return
        try:
            data = _told(asked)
        except Exception:  # one of them can't be sent: a mistake of ours, which is that one's alone
            for each in asked:
                try:
                    data = _told([each])
                except Exception as bug:
                    self._tell(each[2], bug)
                else:
                    self._say_all([each], data)
        else:
            self._say_all(asked, data)

    def _say_all(self, asked: list[tuple[int, Any, Done]], data: bytes) -> None:
        if self.ended.is_set():
            for _, _, done in asked:
                self._tell(done, _gone())
            return
        self._busy_since = self._busy_since or time.monotonic()
        self._asked += [done for _, _, done in asked]
        self._say(data)

    def _ask_for(self, turn: "_Turn") -> None:
        self._turn = turn
        if self.ended.is_set():
            turn.answered.set()
        else:
            self._say_jobs()
            self._say(frame(Word.TURN))

    def _give_back(self) -> None:
        self._turn = None
        changed = {}
        for batch, number in self._batches.items():
            now = pickle.dumps(batch)
            if now != self._said[number]:
                self._said[number] = now
                changed[number] = batch
        self._say(frame(Word.BACK, changed))

    def _say(self, data: bytes) -> None:
        if self.ended.is_set():
            return
        if self._out:
            self._out += data
        elif (sent := self._sent(data)) < len(data):
            self._out += memoryview(data)[sent:]
            self._loop.add_writer(self._channel, self._say_more)

    def _say_more(self) -> None:
        del self._out[: self._sent(self._out)]
        if not self._out:
            self._loop.remove_writer(self._channel)

    def _sent(self, data: bytes | bytearray) -> int:
        """How much of it the system took."""
        try:
            return self._channel.send(data)
        except ConnectionError:  # reading says so, too
            return len(data)
        except OSError:  # no room just now
            return 0

    # --- what is heard

    def _read(self) -> None:
        try:
            data = self._channel.recv(_AT_ONCE)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self._end()
        for word, what in self._frames.feed(data):
            if word == Word.TURN:
                self._turns_come()
            else:
                self.commits, self.jobs, results = what
                self._busy_since = time.monotonic() if len(self._asked) > len(results) else None
                for result in results:
                    self._tell(self._asked.popleft(), result)

    def _turns_come(self) -> None:
        if self._turn is not None:
            self._turn.is_ours = True
            self._turn.answered.set()

    def _end(self) -> None:
        self._loop.remove_reader(self._channel)
        self._loop.remove_writer(self._channel)
        self._out.clear()
        self._channel.close()
        self.ended.set()
        self._busy_since = None
        if self._turn is not None:
            self._turn.answered.set()
        while self._asked:
            self._tell(self._asked.popleft(), _gone())

    def _tell(self, done: Done, result: Any) -> None:
        try:
            done(result)
        except Exception as bug:  # of who asked: the others must hear all the same
            self._loop.call_exception_handler({"message": "a result was not taken", "exception": bug})


def _told(asked: list[tuple[int, Any, Done]]) -> bytes:
    return frame(Word.JOBS, [(number, item) for number, item, _ in asked])


def _farewell(pid: int) -> str:
    """Waits until the process has ended."""
    try:
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    except ChildProcessError:  # whoever started us had the system forget children
        return "nobody can say how"
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"


class _Turn:
    def __init__(self) -> None:
        self.answered = threading.Event()
        self.is_ours = False


def _gone() -> Unavailable:
    return Unavailable("The process that writes to the database has ended; what was asked may be done or not.")
