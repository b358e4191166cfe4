"""What vault and audit cost: the same server beside one that keeps messages as they are and writes no audit.

    python bench/sealing.py [--rounds 9] [--messages 3000] [--json]

Both deliver to one sink, in turns; the ratio within each round is what counts. The goal is at most 15 % (0.85).
"""

import argparse
import contextlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path

import machine
import rounds
import sink
from peers import postroom
from peers.peer import Run, through

PROGRAMS = {"with": postroom.PROGRAM, "without": (str(Path(__file__).parent / "peers" / "inside" / "unsealed.py"),)}
IN_ONE = {"single": 1, "lists": postroom.LIST}
WARM_UP = 600
CALLERS = 64


def send(server: postroom.Postroom, target: sink.Sink, messages: int, in_one: int) -> Run:
    return through(target, [server.process.pid], messages, lambda wanted: server.accept(wanted, in_one, CALLERS))


def turns(options: argparse.Namespace, home: Path, stack: contextlib.ExitStack) -> dict[str, Callable[[], Run]]:
    target = stack.enter_context(sink.running())
    found: dict[str, Callable[[], Run]] = {}
    for name, program in PROGRAMS.items():
        server = stack.enter_context(postroom.serving(home / name, target.port, program))
        send(server, target, WARM_UP, 1)
        for kind, in_one in IN_ONE.items():
            found[f"{kind}, {name}"] = partial(send, server, target, options.messages, in_one)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rounds.add_options(parser, rounds=9)
    parser.add_argument("--messages", type=int, default=3000, help="in one turn; a multiple of 100")
    parser.add_argument("--dir", type=Path, help="where the data goes; it decides which disk is measured")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=options.dir, prefix="bench-sealing-") as name,
        contextlib.ExitStack() as stack,
        rounds.Progress() as progress,
    ):
        about = machine.described(Path(name))
        seen = rounds.take_turns(turns(options, Path(name), stack), options.rounds, progress, pause=0.5)
    if options.json:
        shown = [{turn: asdict(run) for turn, run in each.items()} for each in seen]
        print(json.dumps({"machine": about, "rounds": shown}, indent=1))
        return
    print(f"{about}\nmedian [range] of {options.rounds} rounds of {options.messages:,} messages of 1 kB")
    print(f"{'':8} {'delivered/s with':>24} {'without':>24} {'ratio':>18} {'cpu ms with':>12} {'without':>8}")
    for kind in IN_ONE:
        sealed, bare = ([each[f"{kind}, {name}"] for each in seen] for name in PROGRAMS)
        ratios = [one.delivered / other.delivered for one, other in zip(sealed, bare, strict=True)]
        print(
            f"{kind:8} {rounds.spread(run.delivered for run in sealed):>24}"
            f" {rounds.spread(run.delivered for run in bare):>24} {rounds.spread(ratios, '.2f'):>18}"
            f" {rounds.median((run.cpu for run in sealed), '.2f'):>12}"
            f" {rounds.median((run.cpu for run in bare), '.2f'):>8}"
        )


if __name__ == "__main__":
    main()
