"""What a contestant of `bench/relay.py` is: a context in which each of its names takes so many messages and says how it went.

`running(setting)` raises Missing when it can't be had here.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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


def through(target: sink.Sink, pid: int, messages: int, accept: Callable[[int], Accepted]) -> Run:
    """Hand in with `accept` and wait until the sink has all. `pid` is whose CPU counts, with its children's.

    Raises RuntimeError if one came more than once, TimeoutError if one never comes.
    """
    before, used = target.count(), machine.cpu(pid, with_children=True)
    seen = accept(messages)
    _, arrived = target.wait(before + messages)
    _nothing_twice(target, before + messages)
    return Run(
        accepts=messages / (seen.last - seen.first),
        delivered=messages / (max(arrived, seen.last) - seen.first),
        cpu=(machine.cpu(pid, with_children=True) - used) / messages * 1000,
        per_commit=seen.per_commit,
        p50=seen.p50,
        p99=seen.p99,
        generator=seen.generator,
    )


def _nothing_twice(target: sink.Sink, expected: int) -> None:
    time.sleep(0.2)
    if (count := target.count()) != expected:
        raise RuntimeError(f"the sink has {count - expected} mails more than were handed in")
