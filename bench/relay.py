"""How fast mail goes through: Postroom over HTTP against Postfix over SMTP, to one and the same sink.

    python bench/relay.py [--rounds 5] [--messages 4000] [--callers 64] [--postfix DIR] [--json]

Each round runs every contestant once, and the order is turned round from round to round, so that a busy machine slows
all of them; ratios are taken within a round. A run is timed from the first request until the sink has every message.
Everybody keeps accepted mail durably before answering, with the settings that it has out of the box.
"""

import argparse
import asyncio
import contextlib
import json
import os
import platform
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import callers
import postfix
import sink

SOURCE = Path(__file__).parent.parent / "src"
LIST = 100  # messages in one request of the second contestant
SESSIONS = 20  # of smtp-source: more of them, and Postfix gets slower
OCTETS = 1024
WARM_UP = 200
PAUSE = 1.0  # seconds between two runs, for what goes on after the last mail has left
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Run:
    """One contestant in one round. Rates per second, times in seconds, `cpu` in milliseconds per message."""

    accepts: float
    delivered: float
    cpu: float
    per_commit: float | None = None  # messages accepted per transaction, while they were being accepted
    p50: float | None = None
    p99: float | None = None
    generator: float | None = None  # share of one core that the callers used


# --- Postroom


class Postroom:
    """A `postroom serve` of its own, with default settings, whose default profile points at the sink."""

    def __init__(self, process: "subprocess.Popen[bytes]", url: str, key: str) -> None:
        self.process = process
        self.host, port = url.removeprefix("http://").split(":")
        self.port = int(port)
        self.key = key

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"http://{self.host}:{self.port}/v1{path}",
            json.dumps(body).encode() if body is not None else None,
            {"Authorization": f"Bearer {self.key}"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310  always http://127.0.0.1
            return json.load(answer)

    def call(self, messages: int, in_one: int, connections: int) -> dict[str, float]:
        """Have `callers.py` hand in that many messages; what it saw."""
        options = {
            "--host": self.host, "--port": self.port, "--key": self.key, "--requests": messages // in_one,
            "--callers": min(connections, messages // in_one), "--messages": in_one,
        }  # fmt: skip
        command = [sys.executable, callers.__file__, *(str(part) for option in options.items() for part in option)]
        saw: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        return saw


@contextlib.contextmanager
def postroom_at(home: Path, relay_port: int) -> Iterator[Postroom]:
    key = secrets.token_urlsafe(24)
    settings = {"DATA_DIR": str(home), "LISTEN": "127.0.0.1:0", "SANDBOX": "off", "ADMIN_KEY": key}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POSTROOM_")}
    environment |= {f"POSTROOM_{name}": value for name, value in settings.items()} | {"PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-m", "postroom", "serve"]
    process = subprocess.Popen(command, env=environment, cwd=home.parent, stdout=subprocess.DEVNULL)
    try:
        postroom = Postroom(process, _url_of(process, home / "running.json"), key)
        relay = {"host": "127.0.0.1", "port": relay_port, "sender_address": "noreply@bench.example"}
        postroom.ask("PUT", "/profiles/default", relay)
        yield postroom
    finally:
        process.terminate()
        process.wait()


def _url_of(process: "subprocess.Popen[bytes]", note: Path) -> str:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError, ValueError):
            url: str = json.loads(note.read_text())["url"]
            with urllib.request.urlopen(f"{url}/healthz", timeout=10):  # noqa: S310  always http://127.0.0.1
                return url
        time.sleep(0.1)
    raise RuntimeError("postroom serve did not start")


def through_postroom(postroom: Postroom, target: sink.Sink, messages: int, in_one: int, connections: int) -> Run:
    before, cpu, status = target.count(), _cpu(postroom.process.pid), postroom.ask("GET", "/status")
    saw = postroom.call(messages, in_one, connections)
    accepted = postroom.ask("GET", "/status")
    _, arrived = target.wait(before + messages)
    _nothing_twice(target, before + messages)
    span = saw["last"] - saw["first"]
    return Run(
        accepts=messages / span,
        delivered=messages / (max(arrived, saw["last"]) - saw["first"]),
        cpu=(_cpu(postroom.process.pid) - cpu) / messages * 1000,
        per_commit=(accepted["accepted"] - status["accepted"]) / (accepted["commits"] - status["commits"]),
        p50=saw["p50"],
        p99=saw["p99"],
        generator=saw["cpu"] / span,
    )


# --- Postfix


def through_postfix(instance: postfix.Instance, target: sink.Sink, messages: int) -> Run:
    before, cpu = target.count(), _cpu(instance.master, with_children=True)
    started = time.monotonic()
    instance.feed(messages, SESSIONS, OCTETS)
    accepted = time.monotonic()
    _, arrived = target.wait(before + messages)
    _nothing_twice(target, before + messages)
    return Run(
        accepts=messages / (accepted - started),
        delivered=messages / (max(arrived, accepted) - started),
        cpu=(_cpu(instance.master, with_children=True) - cpu) / messages * 1000,
    )


# --- the rounds


def measure(options: argparse.Namespace, home: Path) -> dict[str, Any]:
    with contextlib.ExitStack() as stack:
        target = stack.enter_context(sink.running())
        postroom = stack.enter_context(postroom_at(home / "postroom", target.port))
        most = {"pipelined": asyncio.run(sink.flood(target.port, 20_000, SESSIONS, b"x" * OCTETS))}
        contestants: dict[str, Callable[[int], Run]] = {
            "postroom": lambda n: through_postroom(postroom, target, n, 1, options.callers),
            f"postroom, lists of {LIST}": lambda n: through_postroom(postroom, target, n, LIST, options.callers),
        }
        programs = postfix.find(options.postfix)
        missing = postfix.HOW_TO_GET_IT if programs is None else postfix.why_not()
        if programs and not missing:
            most["lock-step"] = postfix.flood(programs, target.port, 20_000, SESSIONS, OCTETS)
            instance = stack.enter_context(postfix.running(programs, home / "postfix", target.port))
            contestants["postfix"] = lambda n: through_postfix(instance, target, n)
        for run in contestants.values():
            run(WARM_UP)
        rounds = []
        for number in range(options.rounds):
            order = list(contestants) if number % 2 == 0 else list(contestants)[::-1]
            runs = {}
            for name in order:
                time.sleep(PAUSE)
                runs[name] = contestants[name](options.messages)
                _tell(f"round {number + 1}: {name}: {runs[name].delivered:,.0f}/s")
            rounds.append(runs)
    return {"machine": machine(home), "sink": most, "missing": missing, "rounds": rounds, "contestants": contestants}


def show(seen: dict[str, Any]) -> None:
    rounds: list[dict[str, Run]] = seen["rounds"]
    print(seen["machine"])
    ceilings = ", ".join(f"{rate:,.0f}/s {how}" for how, rate in seen["sink"].items())
    print(f"The sink alone takes {ceilings}. Callers, sink and contestant share the machine's cores.\n")
    title = f"median [range] of {len(rounds)} rounds"
    print(f"{title:26} {'accepts/s':>22} {'delivered/s':>22} {'ratio':>18}"
          f" {'cpu ms':>7} {'per commit':>11} {'p50 ms':>7} {'p99 ms':>7} {'callers':>8}")  # fmt: skip
    for name in seen["contestants"]:
        runs = [each[name] for each in rounds]
        ratios = [each[name].delivered / each["postfix"].delivered for each in rounds if "postfix" in each]
        print(
            f"{name:26} {_spread([run.accepts for run in runs], ',.0f'):>22}"
            f" {_spread([run.delivered for run in runs], ',.0f'):>22} {_spread(ratios, '.2f'):>18}"
            f" {_middle([run.cpu for run in runs], '.2f'):>7} {_middle([run.per_commit for run in runs], '.1f'):>11}"
            f" {_middle([run.p50 and run.p50 * 1000 for run in runs], '.1f'):>7}"
            f" {_middle([run.p99 and run.p99 * 1000 for run in runs], '.1f'):>7}"
            f" {_middle([run.generator for run in runs], '.0%'):>8}"
        )
    print(
        "\nratio: delivered/s against Postfix in the same round. cpu: of the contestant, per message. per commit:"
        "\nmessages accepted per database transaction of any kind. p50, p99: until one request is answered."
        "\ncallers: what they used of one core."
    )
    if seen["missing"]:
        print(f"\n{seen['missing']}")


def machine(home: Path) -> str:
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores ({model}), {memory:.0f} GB, Linux {platform.release()}, Python"
        f" {platform.python_version()}; 4 kB written and synced in {_sync_time(home) * 1e6:.0f} us"
    )


def _sync_time(home: Path) -> float:
    took = []
    with (home / "sync").open("wb", buffering=0) as file:
        for _ in range(200):
            started = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - started)
    return statistics.median(took)


def _cpu(pid: int, *, with_children: bool = False) -> float:
    """Seconds of processor time so far; with those of its children, alive or gone."""
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            if stat.parent.name == str(pid):
                total += sum(map(int, fields[11:15] if with_children else fields[11:13]))
            elif with_children and fields[1] == str(pid):
                total += sum(map(int, fields[11:13]))
    return total / _TICK


def _nothing_twice(target: sink.Sink, expected: int) -> None:
    time.sleep(0.2)
    if (count := target.count()) != expected:
        raise RuntimeError(f"the sink has {count - expected} mails more than were handed in")


def _spread(values: list[float], form: str) -> str:
    if not values:
        return "-"
    return f"{statistics.median(values):{form}} [{min(values):{form}}-{max(values):{form}}]"


def _middle(values: list[float | None], form: str) -> str:
    known = [value for value in values if value is not None]
    return f"{statistics.median(known):{form}}" if known else "-"


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=4000, help="per run; a multiple of 100")
    parser.add_argument("--callers", type=int, default=64, help="HTTP connections")
    parser.add_argument("--postfix", type=Path, help="a directory that Postfix's package was unpacked into")
    parser.add_argument("--dir", type=Path, help="where everybody's data goes; it decides which disk is measured")
    parser.add_argument("--json", action="store_true", help="every run, for scripts")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir, prefix="bench-relay-") as home:
        seen = measure(options, Path(home))
    if options.json:
        rounds = [{name: asdict(run) for name, run in each.items()} for each in seen["rounds"]]
        print(json.dumps(seen | {"rounds": rounds, "contestants": list(seen["contestants"])}, indent=1))
    else:
        show(seen)


if __name__ == "__main__":
    main()
