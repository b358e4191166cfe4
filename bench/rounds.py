"""Measuring side by side: everybody takes a turn in every round, in an order that is turned round each time.

So a busy machine slows all of them, and ratios are taken within a round; what is shown is the median and the range.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Self, TypeVar

Result = TypeVar("Result")


def take_turns(
    contestants: Mapping[str, Callable[[], Result]], rounds: int, progress: "Progress", *, pause: float = 0
) -> list[dict[str, Result]]:
    """Every contestant's result in each round. `pause` is in seconds, before each turn."""
    seen = []
    for number in range(rounds):
        order = list(contestants) if number % 2 == 0 else list(contestants)[::-1]
        results = {}
        for name in order:
            progress.now(f"round {number + 1} of {rounds}: {name}")
            time.sleep(pause)
            results[name] = contestants[name]()
        seen.append({name: results[name] for name in contestants})
    return seen


class Progress:
    """What is being done, on one line of the terminal; says nothing where there is no terminal."""

    def __init__(self, steps: int = 0) -> None:
        self._steps = steps
        self._done = 0
        self._shown = sys.stderr.isatty()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.clear()

    def now(self, what: str) -> None:
        """One step further."""
        self._done += 1
        self._say(f"[{self._done}/{self._steps}] {what}" if self._steps else what)

    def clear(self) -> None:
        self._say("")

    def _say(self, what: str) -> None:
        if self._shown:
            print(f"\r\x1b[K{what}", end="", file=sys.stderr, flush=True)


def leave_out(missing: Mapping[str, str]) -> None:
    """Say who is not there, where nobody overlooks it."""
    for name, why in missing.items():
        print(f"!! {name} is LEFT OUT: {why}", file=sys.stderr, flush=True)


def median(values: Iterable[float | None], form: str = ",.0f") -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.median(known):{form}}" if known else "-"


def spread(values: Iterable[float], form: str = ",.0f") -> str:
    """The median, and in brackets the range."""
    known = list(values)
    return f"{statistics.median(known):{form}} [{min(known):{form}}-{max(known):{form}}]" if known else "-"


def add_options(parser: argparse.ArgumentParser, *, rounds: int) -> None:
    parser.add_argument("--rounds", type=int, default=rounds, help=f"default {rounds}")
    parser.add_argument("--json", action="store_true", help="every figure of every round, for scripts")
