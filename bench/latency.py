"""How long one `POST /v1/messages` takes to be answered (202, durable) while the worker delivers.

    python bench/latency.py [--rates 200 1000] [--seconds 10] [--rounds 3] [--callers 64] [--json]

The moments of all requests are fixed beforehand, evenly, and a request's time counts from its moment: if the server
stalls, those that should have come meanwhile count too (no coordinated omission). The sink takes everything at once.
"""

import argparse
import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import callers
import machine
import rounds
import sink
from peers import postroom

QUANTILES = ("p50", "p99", "p999", "max")


def at_rate(server: postroom.Postroom, target: sink.Sink, rate: float, seconds: float, connections: int) -> Any:
    wanted, before = int(rate * seconds), target.count()
    saw = callers.run(server.request(1), server.port, wanted, connections, rate)
    _, arrived = target.wait(before + wanted)
    span = saw["last"] - saw["first"]
    return {**{name: saw[name] * 1000 for name in QUANTILES}, "rate": wanted / span,
            "callers": saw["cpu"] / span, "left over": max(0.0, arrived - saw["last"])}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rounds.add_options(parser, rounds=3)
    parser.add_argument("--rates", type=float, nargs="+", default=[200, 1000], help="requests per second")
    parser.add_argument("--seconds", type=float, default=10, help="of one turn")
    parser.add_argument("--callers", type=int, default=64, help="connections; a request waits for a free one")
    parser.add_argument("--dir", type=Path, help="where the data goes; it decides which disk is measured")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir, prefix="bench-latency-") as name, sink.running() as target:
        about = machine.described(Path(name))
        with postroom.serving(Path(name) / "postroom", target.port) as server, rounds.Progress() as progress:
            at_rate(server, target, 100, 2, options.callers)  # to warm up
            turns = {
                f"{rate:,.0f}/s": partial(at_rate, server, target, rate, options.seconds, options.callers)
                for rate in options.rates
            }
            seen = rounds.take_turns(turns, options.rounds, progress, pause=1)
    if options.json:
        print(json.dumps({"machine": about, "rounds": seen}, indent=1))
        return
    print(f"{about}\nmedian [range] of {options.rounds} rounds of {options.seconds:g} s, in milliseconds")
    print(f"{'':8} {'p50':>18} {'p99':>20} {'p99.9':>20} {'longest':>20} {'answered/s':>11} {'callers':>8}")
    for rate in turns:
        of = [each[rate] for each in seen]
        p50, p99, p999, longest = (rounds.spread((each[name] for each in of), ".1f") for name in QUANTILES)
        answered, used = rounds.median(each["rate"] for each in of), rounds.median((e["callers"] for e in of), ".0%")
        print(f"{rate:8} {p50:>18} {p99:>20} {p999:>20} {longest:>20} {answered:>11} {used:>8}")
    print("callers: what they used of one core. Less answered than asked for: that rate is too much here.")


if __name__ == "__main__":
    main()
