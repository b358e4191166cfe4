"""What a contestant of `bench/relay.py` is: a context, and in it functions that hand in so many messages.

`running(setting)` gives them by name, and raises Missing when the contestant can't be had here.
"""

import json
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import machine
import sink
from cache import Cache

SESSIONS = 20  # connections of whoever hands in over SMTP: with more of them, Postfix gets slower
OCTETS = 1024


@dataclass(frozen=True, slots=True)
class Setting:
    """What all of them get."""

    home: Path  # on the disk that is measured; thrown away
    sink: sink.Sink
    cache: Cache
    callers: int  # HTTP connections


@dataclass(frozen=True, slots=True)
class Accepted:
    """When the first was handed in and the last had been taken (monotonic), and what the one handing in saw."""

    first: float
    last: float
    p50: float | None = None
    p99: float | None = None
    generator: float | None = None  # share of one core that handing in used
    per_commit: float | None = None  # messages accepted per transaction, while they were being accepted


@dataclass(frozen=True, slots=True)
class Run:
    """One contestant in one round. Rates per second, times in seconds, `cpu` in milliseconds per message."""

    accepts: float
    delivered: float
    cpu: float
    per_commit: float | None = None
    p50: float | None = None
    p99: float | None = None
    generator: float | None = None


class Driven:
    """A process that does something whenever a line says how many, and answers with a line of JSON."""

    def __init__(self, command: Sequence[str | Path], environment: Mapping[str, str]) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, text=True, bufsize=1)
        self._owed = 0  # answers that nobody has waited for

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()

    def tell(self, many: int) -> None:
        """Begin; its answer is read before the next thing that it is told."""
        assert self._process.stdin is not None  # noqa: S101  narrows the type
        while self._owed:
            self._answer()
        self._process.stdin.write(f"{many}\n")
        self._owed += 1

    def accept(self, messages: int) -> Accepted:
        self.tell(messages)
        return Accepted(**self._answer())

    def _answer(self) -> dict[str, float]:
        assert self._process.stdout is not None  # noqa: S101  narrows the type
        line = self._process.stdout.readline()
        self._owed -= 1
        if not line:
            raise RuntimeError(f"{self._process.args!r} has ended")
        said: dict[str, float] = json.loads(line)
        return said


def through(target: sink.Sink, pids: Sequence[int], messages: int, accept: Callable[[int], Accepted]) -> Run:
    """Hand in with `accept` and wait until the sink has all. `pids` are whose CPU counts, with their children's.

    Raises RuntimeError if one came more than once, TimeoutError if one never comes.
    """
    before, used = target.count(), _cpu(pids)
    seen = accept(messages)
    _, arrived = target.wait(before + messages)
    _nothing_twice(target, before + messages)
    return Run(
        accepts=messages / (seen.last - seen.first),
        delivered=messages / (max(arrived, seen.last) - seen.first),
        cpu=(_cpu(pids) - used) / messages * 1000,
        per_commit=seen.per_commit,
        p50=seen.p50,
        p99=seen.p99,
        generator=seen.generator,
    )


def _cpu(pids: Sequence[int]) -> float:
    return sum(machine.cpu(pid, with_children=True) for pid in pids)


def _nothing_twice(target: sink.Sink, expected: int) -> None:
    time.sleep(0.2)
    if (count := target.count()) != expected:
        raise RuntimeError(f"the sink has {count - expected} mails more than were handed in")
