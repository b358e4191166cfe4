"""Kill a Postroom again and again, and say what became of the mail. The last lines are the summary, as JSON."""

import argparse
import asyncio
import json
import random
import signal
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from kills.campaign import RANDOM, Campaign, Figures, points
from kills.doomed import FAULTS
from serving import a_database, a_postgresql

ROUND = 50  # kills in one data directory


def plan(kills: int, named: int, available: tuple[str, ...], dice: random.Random) -> list[str]:
    """`named` kills at the points in turn, the others at random moments, mixed."""
    chosen = [available[n % len(available)] for n in range(named)] + [RANDOM] * (kills - named)
    dice.shuffle(chosen)
    return chosen


def campaign(given: argparse.Namespace) -> Figures:
    total, dice = Figures(), random.Random(given.seed)
    # 380 at random moments and 120 at named points, of 500.
    named = given.named if given.named is not None else given.kills * 120 // 500
    with a_postgresql() if given.store == "postgresql" else nullcontext() as server:
        chosen = plan(given.kills, named, points(server), dice)
        for start in range(0, len(chosen), ROUND):
            url = a_database(server) if server else None
            with tempfile.TemporaryDirectory(prefix="postroom-kills-", ignore_cleanup_errors=True) as directory:
                one = Campaign(
                    Path(directory), database_url=url, seed=dice.randrange(2**32), broken=given.broken,
                    longest_list=given.list, tell=tell,
                )  # fmt: skip
                try:
                    total.add(asyncio.run(one.run(chosen[start : start + ROUND])))
                finally:
                    keep_log(Path(directory), given.log)
            tell(f"--- {json.dumps(summary(total, given))}")
    return total


def tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def keep_log(directory: Path, log: Path | None) -> None:
    if log is not None:
        with log.open("ab") as kept:
            kept.write((directory / "log").read_bytes())


def summary(total: Figures, given: argparse.Namespace) -> dict[str, object]:
    ready = sorted(total.ready_after)
    return vars(total) | {
        "store": given.store, "seed": given.seed, "broken": given.broken,
        "ready_after": {"median": round(ready[len(ready) // 2], 2), "most": round(ready[-1], 2)},
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(prog="kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--named", type=int, help="of these, at named points (default: 120 of 500)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--store", choices=("sqlite", "postgresql"), default="sqlite")
    parser.add_argument("--list", type=int, default=120, help="mails in the longest lists that are handed in")
    parser.add_argument("--broken", choices=sorted(FAULTS), help="a fault that the campaign must find")
    parser.add_argument("--log", type=Path, help="where to keep what the servers logged")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # no server of ours may be left behind
    began = time.monotonic()
    total = campaign(given)
    tell(f"{time.monotonic() - began:.0f} s")
    print(json.dumps(summary(total, given), indent=1))
    return 0 if total.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
