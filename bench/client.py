"""How fast a client hands mail to a relay that costs nothing: Postroom's against smtp-source and the usual libraries.

    python bench/client.py [--rounds 5] [--connections 1 20] [--octets 1024 10240] [--rtt 0 20] [--sink ours] [--json]

Everybody sends the same message over the same number of kept connections to the same sink (Postfix's smtp-sink), for
about `--seconds` a turn, in turns (three times as long where it is far: connections take time to stand). With a
round trip, a delaying line stands between: the bound is then one message
for each connection and round trip, which is what a client gets that writes the next envelope behind a final dot.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import delay
import machine
import rounds
import sink
from cache import SOURCE, Cache, Missing, add_option
from peers import postfix

INSIDE = Path(__file__).parent / "peers" / "inside"
OURS: list[str | Path] = [sys.executable, INSIDE / "send_with_postroom.py"]
YARDSTICK = "smtp-source"
FAR = 3  # times as long is a turn where there is a round trip
FEWEST = 20  # messages for each connection and turn
VERSIONS = {"aiosmtplib": "aiosmtplib==5.1.3", "nodemailer": "nodemailer@10.6.0"}


@dataclass(frozen=True, slots=True)
class Case:
    connections: int
    octets: int
    rtt: float  # milliseconds, as asked for

    def __str__(self) -> str:
        far = f", {self.rtt:g} ms away" if self.rtt else ""
        return f"{self.connections} connection{'s' * (self.connections > 1)}, {self.octets:,} octets{far}"


@dataclass(frozen=True, slots=True)
class Turn:
    rate: float  # messages per second
    cpu: float  # microseconds per message


Send = Callable[[int, int, Case], Turn]  # to this port, so many messages


# --- the contestants


def contestants(cache: Cache, wanted: list[str] | None) -> tuple[dict[str, Send], dict[str, str]]:
    """Who can take part, and why the others can't."""
    makers: dict[str, Callable[[], Send]] = {
        "postroom": lambda: partial(_script, OURS),
        "postroom-compiled": lambda: partial(_script, OURS, source=cache.compiled()),
        YARDSTICK: lambda: partial(_smtp_source, postfix.programs(cache)),
        "aiosmtplib": lambda: partial(_script, [_python(cache, "aiosmtplib"), INSIDE / "send_with_aiosmtplib.py"]),
        "smtplib": lambda: partial(_script, [sys.executable, INSIDE / "send_with_smtplib.py"]),
        "nodemailer": lambda: partial(_script, _node(cache, "nodemailer")),
    }
    present, missing = {}, {}
    for name, make in makers.items():
        if not wanted or name in wanted:
            try:
                present[name] = make()
            except Missing as why:
                missing[name] = str(why)
    return present, missing


def _python(cache: Cache, name: str) -> Path:
    return cache.python(name, VERSIONS[name])


def _node(cache: Cache, name: str) -> list[str | Path]:
    return ["node", INSIDE / f"send_with_{name}.mjs", cache.node(name, VERSIONS[name])]


def _smtp_source(programs: postfix.Programs, port: int, messages: int, case: Case) -> Turn:
    seconds, used = postfix.feed(programs, port, messages, case.connections, case.octets)
    return Turn(messages / seconds, used / messages * 1e6)


def _script(command: list[str | Path], port: int, messages: int, case: Case, source: Path = SOURCE) -> Turn:
    options = {"--port": port, "--messages": messages, "--connections": case.connections, "--octets": case.octets}
    environment = os.environ | {"PYTHONPATH": str(source)}
    given = [str(part) for option in options.items() for part in option]
    said = subprocess.run([*command, *given], env=environment, stdout=subprocess.PIPE, check=True).stdout
    seen = json.loads(said)
    return Turn(messages / seen["seconds"], seen["cpu"] / messages * 1e6)


# --- the rounds


@contextlib.contextmanager
def target(cache: Cache, ours: bool) -> Iterator[int]:
    if ours:
        with sink.running() as taking:
            yield taking.port
    else:
        with postfix.sink(postfix.programs(cache)) as port:
            yield port


def measure(case: Case, senders: dict[str, Send], options: argparse.Namespace, progress: rounds.Progress) -> Any:
    """Each turn lasts about as long for everybody: how many messages that are, a warm-up says."""
    with contextlib.ExitStack() as stack:
        port = stack.enter_context(target(options.cache, options.sink == "ours"))
        if case.rtt:
            port = stack.enter_context(delay.line(port, case.rtt))
        seen = delay.round_trip(port)
        turns, seconds = {}, options.seconds * (FAR if case.rtt else 1)
        for name, send in senders.items():
            progress.now(f"{case}: how fast is {name}?")
            fewest = FEWEST * case.connections
            rate = send(port, fewest if case.rtt else fewest * 10, case).rate
            turns[name] = partial(send, port, max(fewest, int(rate * seconds)), case)
        results = rounds.take_turns(turns, options.rounds, progress)
    bound = case.connections / seen if case.rtt else None
    return {"case": asdict(case), "title": str(case), "round trip": seen, "bound": bound, "rounds": results}


def show(case: dict[str, Any]) -> None:
    results: list[dict[str, Turn]] = case["rounds"]
    far = (
        f"; a round trip took {case['round trip'] * 1000:.1f} ms, so the bound is {case['bound']:,.0f}/s"
        if case["bound"]
        else ""
    )
    print(f"\n{case['title']}{far}")
    print(f"{'':18} {'messages/s':>26} {f'times {YARDSTICK}':>22} {'cpu us':>8} {'of the bound':>13}")
    for name in results[0]:
        turns = [each[name] for each in results]
        ratios = [each[name].rate / each[YARDSTICK].rate for each in results if YARDSTICK in each]
        share = [turn.rate / case["bound"] for turn in turns] if case["bound"] else []
        print(
            f"{name:18} {rounds.spread(turn.rate for turn in turns):>26} {rounds.spread(ratios, '.2f'):>22}"
            f" {rounds.median((turn.cpu for turn in turns), '.1f'):>8} {rounds.median(share, '.0%'):>13}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    rounds.add_options(parser, rounds=5)
    add_option(parser)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 20])
    parser.add_argument("--octets", type=int, nargs="+", default=[1024, 10240], help="of the body")
    parser.add_argument("--rtt", type=float, nargs="+", default=[0, 20], metavar="MS", help="round trips; 0: loopback")
    parser.add_argument("--seconds", type=float, default=1, help="of one turn")
    parser.add_argument("--sink", choices=["postfix", "ours"], default="postfix", help="smtp-sink or bench/sink.py")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these contestants")
    options = parser.parse_args()
    senders, missing = contestants(options.cache, options.only)
    rounds.leave_out(missing)
    cases = [Case(c, o, rtt) for rtt in options.rtt for c in options.connections for o in options.octets]
    about, seen = machine.described(), []
    if not options.json:
        print(f"{about}\nmedian [range] of {options.rounds} rounds; cpu: the client's own, per message")
    with rounds.Progress(len(cases) * len(senders) * (options.rounds + 1)) as progress:
        for case in cases:
            seen.append(measure(case, senders, options, progress))
            if not options.json:
                progress.clear()
                show(seen[-1])
    rounds.leave_out(missing)  # once more, below the figures
    if options.json:
        for each in seen:
            each["rounds"] = [{name: asdict(turn) for name, turn in turns.items()} for turns in each["rounds"]]
        print(json.dumps({"machine": about, "missing": missing, "cases": seen}, indent=1))


if __name__ == "__main__":
    main()
