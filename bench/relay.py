"""How fast mail goes through: Postroom against Postfix and the queues of the Python world, to one and the same sink.

    python bench/relay.py [--rounds 5] [--messages 4000] [--callers 64] [--only postroom postfix] [--json]

Each round runs every contestant once, and the order is turned round from round to round, so that a busy machine slows
all of them; ratios are taken within a round. A run is timed from the first request until the sink has every message.
Everybody keeps accepted mail durably before answering. Who is slow gets fewer messages, for `--seconds` at most.
"""

import argparse
import asyncio
import contextlib
import json
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import cache
import machine
import rounds
import sink
from peers import celery_redis, genro, post_office, postfix, postroom
from peers.peer import OCTETS, SESSIONS, Run, Setting

CONTESTANTS = {
    "postroom": postroom.running, "postroom-compiled": postroom.running_compiled, "postfix": postfix.running,
    "django-post_office": post_office.running, "celery": celery_redis.running, "genro-mail-proxy": genro.running,
}  # fmt: skip
YARDSTICK = "postfix"
WARM_UP = 200
FAILURES = (RuntimeError, OSError, subprocess.CalledProcessError)  # of a contestant
PAUSE = 1.0  # seconds between two runs, for what goes on after the last mail has left


def measure(options: argparse.Namespace, home: Path) -> dict[str, Any]:
    with contextlib.ExitStack() as stack, rounds.Progress() as progress:
        target = stack.enter_context(sink.running())
        about = machine.described(home)
        most = {"pipelined": asyncio.run(sink.flood(target.port, 20_000, SESSIONS, b"x" * OCTETS))}
        setting = Setting(home, target, options.cache, options.callers)
        runs: dict[str, Callable[[int], Run]] = {}
        missing: dict[str, str] = {}
        for name in options.only:
            progress.now(f"starting {name}")
            try:
                runs |= stack.enter_context(CONTESTANTS[name](setting))
            except cache.Missing as why:
                missing[name] = str(why)
        with contextlib.suppress(cache.Missing):
            seconds, _ = postfix.feed(postfix.programs(options.cache), target.port, 20_000, SESSIONS, OCTETS)
            most["lock-step"] = 20_000 / seconds
        turns = {}
        for name, run in runs.items():
            progress.now(f"warming up {name}")
            try:
                turns[name] = partial(_turn, name, run, _how_many(run, options))
            except FAILURES as error:
                missing[name] = f"it failed while warming up: {error}"
        rounds.leave_out(missing)
        seen = rounds.take_turns(turns, options.rounds, progress, pause=PAUSE)
    return {"machine": about, "sink": most, "missing": missing, "rounds": seen}


def _turn(name: str, run: Callable[[int], Run], messages: int) -> Run:
    """Ends everything when it fails: what has not come yet may still come, and would be counted as somebody else's."""
    try:
        return run(messages)
    except FAILURES as error:
        raise SystemExit(f"{name}, {messages:,} messages: {error}. Leave it out (--only …), or try again.") from None


def _how_many(run: Callable[[int], Run], options: argparse.Namespace) -> int:
    most: int = options.messages
    return max(WARM_UP, min(most, int(run(WARM_UP).delivered * options.seconds) // 100 * 100))


def show(seen: dict[str, Any]) -> None:
    results: list[dict[str, Run]] = seen["rounds"]
    print(seen["machine"])
    ceilings = ", ".join(f"{rate:,.0f}/s {how}" for how, rate in seen["sink"].items())
    print(f"The sink alone takes {ceilings}. Callers, sink and contestant share the machine's cores.\n")
    title = f"median [range] of {len(results)} rounds"
    print(f"{title:32} {'accepts/s':>22} {'delivered/s':>22} {'ratio':>18}"
          f" {'cpu ms':>7} {'per commit':>11} {'p50 ms':>7} {'p99 ms':>7} {'callers':>8}")  # fmt: skip
    for name in results[0]:
        runs = [each[name] for each in results]
        ratios = [each[name].delivered / each[YARDSTICK].delivered for each in results if YARDSTICK in each]
        print(
            f"{name:32} {rounds.spread(run.accepts for run in runs):>22}"
            f" {rounds.spread(run.delivered for run in runs):>22} {rounds.spread(ratios, '.2f'):>18}"
            f" {rounds.median((run.cpu for run in runs), '.2f'):>7}"
            f" {rounds.median((run.per_commit for run in runs), '.1f'):>11}"
            f" {rounds.median((run.p50 and run.p50 * 1000 for run in runs), '.1f'):>7}"
            f" {rounds.median((run.p99 and run.p99 * 1000 for run in runs), '.1f'):>7}"
            f" {rounds.median((run.generator for run in runs), '.0%'):>8}"
        )
    print(
        "\nratio: delivered/s against Postfix in the same round. cpu: of the contestant, per message. per commit:"
        "\nmessages accepted per database transaction of any kind. p50, p99: until one request is answered."
        "\ncallers: what they used of one core."
    )
    rounds.leave_out(seen["missing"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rounds.add_options(parser, rounds=5)
    cache.add_option(parser)
    parser.add_argument("--messages", type=int, default=4000, help="per run at most; a multiple of 100")
    parser.add_argument("--seconds", type=float, default=10, help="of one run, about, for who is slow")
    parser.add_argument("--callers", type=int, default=64, help="HTTP connections")
    parser.add_argument("--only", nargs="+", choices=CONTESTANTS, default=list(CONTESTANTS), help="these contestants")
    parser.add_argument("--dir", type=Path, help="where everybody's data goes; it decides which disk is measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir, prefix="bench-relay-") as home:
        seen = measure(options, Path(home))
    if options.json:
        seen["rounds"] = [{name: asdict(run) for name, run in each.items()} for each in seen["rounds"]]
        print(json.dumps(seen, indent=1))
    else:
        show(seen)


if __name__ == "__main__":
    main()
