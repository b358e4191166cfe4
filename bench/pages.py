"""How long each page of the console takes to answer, at 100,000 messages and 1,000 tenants.

    python bench/pages.py [--messages 100000] [--tenants 1000] [--days 1] [--times 20] [--dir DIR] [--json]

Nine in ten messages are of the first tenant, evenly over the days; a tenth of them did not simply go through. The
server is fresh when each page is asked for once, by one visitor over loopback; then all pages take turns. What is
measured is the first octet of the answer and its last, in milliseconds. SQLite, the worker running.
"""

import argparse
import asyncio
import http.client
import json
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlencode

import history
import machine
import rounds
import sink
from peers import postroom

from postroom.domain.delivery import SECOND, State
from postroom.store import profiles, tenants
from postroom.store.caught import Keeping, NewCaught
from postroom.store.database import Database
from postroom.store.ids import first_id
from postroom.store.key_ring import vault_from
from postroom.store.profiles import StoredProfile
from postroom.store.queue.accept import NewMessage
from postroom.store.queue.claim import Claim
from postroom.store.queue.settle import Settlement
from postroom.store.vault import Vault

DAY = 86_400 * SECOND
TOO_LONG = 100  # milliseconds to the first octet (issue 6)
CAUGHT, REVISIONS = 1_000, 100
CONTENT = b"From: <post@company.example>\r\nSubject: Hello\r\n\r\n" + (b"Hello. " * 11 + b"\r\n") * 12
SHAPE = {"sent": 0.9, "refused": 0.04, "waiting": 0.03, "filtered": 0.02, "held": 0.01}

PAGES = (
    "/", "/?tenant={small}", "/profiles", "/profiles/new", "/profiles/new?preset=microsoft365",
    "/profiles/1", "/profiles/1/as/threadfix",
    "/profiles/1/revisions", "/profiles/1/revisions/2", "/messages", "/messages?before={middle}",
    "/messages?state=waiting", "/messages?state=held", "/messages?state=refused", "/messages?profile=1",
    "/messages?text=nothing+like+it", "/messages?to=nobody@elsewhere", "/messages?tenant={small}", "/messages/{sent}",
    "/messages/{refused}", "/messages/{waiting}", "/sandbox", "/sandbox?text=nothing", "/sandbox/{caught}", "/keys",
    "/keys?scope=installation", "/keys/new", "/audit", "/audit?action=tenant", "/audit?scope=all",
    "/audit/verification", "/audit/verification?scope=all", "/tenants", "/tenants?text=99", "/docs", "/sign-in",
    "/nowhere",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Answer:
    """In milliseconds from the request's being sent."""

    first: float
    whole: float
    status: int
    octets: int


class Visitor:
    """Signed in, over one connection that stays."""

    def __init__(self, server: postroom.Postroom) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        origin = f"http://127.0.0.1:{server.port}"
        form = {"content-type": "application/x-www-form-urlencoded", "origin": origin}
        self._connection.request("POST", "/sign-in", urlencode({"key": server.key}), form)
        answer = self._connection.getresponse()
        answer.read()
        self._headers = {"cookie": str(answer.headers["set-cookie"]).partition(";")[0], "accept": "text/html"}

    def get(self, path: str) -> Answer:
        started = time.perf_counter()
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        head = answer.read(1)
        first = time.perf_counter()
        octets = len(head + answer.read())
        whole = time.perf_counter()
        return Answer((first - started) * 1000, (whole - started) * 1000, answer.status, octets)


def fill(home: Path, options: argparse.Namespace, progress: rounds.Progress) -> dict[str, str]:
    """What stands for the names in the addresses of PAGES."""
    vault, _ = vault_from(None, home)

    async def work() -> dict[str, str]:
        database = Database.open(f"sqlite:///{home}/postroom.db", data_dir=home)
        try:
            return await _fill(database, vault, options, progress)
        finally:
            await database.close()

    return asyncio.run(work())


async def _fill(
    database: Database, vault: Vault, options: argparse.Namespace, progress: rounds.Progress
) -> dict[str, str]:
    every = await database.read(lambda each: [profiles.find(each, one.id, None) for one in tenants.every(each)])
    owners = sorted((each for each in every if each is not None), key=lambda each: each.tenant_id)
    now = time.time_ns() // 1000
    examples: dict[str, str] = {"small": f"tenant-{options.tenants // 2:04d}"}

    def fate(claim: Claim) -> Settlement:
        kind = _kind(claim.message_id)
        if claim.lane == owners[0].lane:
            examples[kind] = claim.message_id
        match kind:
            case "refused":
                return history.refused(claim, now)
            case "held":
                return history.held(claim, now)
            case "waiting":  # for the third time
                return history.deferred(claim, now, now if claim.attempt < 3 else now + DAY)
            case _:
                return history.sent(claim, now)

    def kept(count: int) -> None:
        progress.now(f"filling: {count:,} of {options.messages:,} messages")

    examples["middle"] = first_id(now - options.days * DAY // 2)
    messages = _messages(owners, now, options)
    await history.live_through(database, vault, messages, fate, kept)
    caught = [NewCaught(now, "a@b.example", ("c@d.example",), f"Mail {n}", CONTENT) for n in range(CAUGHT)]
    keep = Keeping(vault)
    names = await asyncio.gather(*(database.fold(keep, each) for each in caught))
    return examples | {"caught": names[0]}


def _messages(owners: list[StoredProfile], now: int, options: argparse.Namespace) -> Iterator[NewMessage]:
    moments = history.evenly(now - options.days * DAY, now - SECOND, options.messages)
    for n, at in enumerate(moments):
        by = owners[n // 10 % len(owners)] if n % 10 == 0 else owners[0]
        new = history.mail(by, at, f"customer-{n % 5000}@customer.example", f"Order {n:06d} was sent", CONTENT)
        is_filtered = _kind(new.id) == "filtered"
        filtered = new.deliveries[0]._replace(state=State.FILTERED, note="The recipient filter holds it back.")
        yield new._replace(deliveries=(filtered,)) if is_filtered else new


def _kind(message_id: str) -> str:
    """By its last characters, which are random; so nothing has to be remembered."""
    die, so_far = int(message_id[-4:].translate(_AS_BASE_32), 32) / 32**4, 0.0
    for kind, share in SHAPE.items():
        so_far += share
        if die < so_far:
            return kind
    return "sent"


_AS_BASE_32 = str.maketrans("0123456789abcdefghjkmnpqrstvwxyz", "0123456789abcdefghijklmnopqrstuv")


def furnish(server: postroom.Postroom, options: argparse.Namespace, progress: rounds.Progress) -> None:
    """Tenants with a profile each, and a profile with many revisions, as the API makes them."""
    settings = {"host": "192.0.2.25", "port": 587, "sender_address": "post@company.example"}
    for n in range(1, options.tenants):
        progress.now(f"filling: {n:,} of {options.tenants:,} tenants")
        slug = f"tenant-{n:04d}"
        server.ask("POST", "/tenants", {"slug": slug, "name": f"Tenant {n}"})
        server.ask("POST", "/profiles", {"name": "main", **settings}, slug)
        server.ask("POST", "/keys", {"name": "script"}, slug)
    for n in range(REVISIONS):
        server.ask("PATCH", "/profiles/1", {"sender_name": f"Company {n}"})


def measure(server: postroom.Postroom, names: dict[str, str], times: int, progress: rounds.Progress) -> Any:
    visitor = Visitor(server)
    paths = [each.format_map(names) for each in PAGES]
    seen: dict[str, list[Answer]] = {path: [] for path in paths}
    for turn in range(times):
        for path in paths:
            progress.now(f"turn {turn + 1} of {times}: {path}")
            seen[path].append(visitor.get(path))
    return seen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--tenants", type=int, default=1_000)
    parser.add_argument(
        "--days", type=int, default=1, help="over which the messages came; 1 is the worst for the chart"
    )
    parser.add_argument("--times", type=int, default=20, help="each page is asked for")
    parser.add_argument("--dir", type=Path, help="where the data goes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(dir=options.dir, prefix="bench-pages-") as name,
        sink.running() as target,
        rounds.Progress() as progress,
    ):
        about, home = machine.described(Path(name)), Path(name) / "postroom"
        more = {"KEEP": "content 400d, messages 400d", "LOG_LEVEL": "warning"}
        with postroom.serving(home, target.port, settings=more) as server:
            furnish(server, options, progress)
        names = fill(home, options, progress)
        with postroom.serving(home, target.port, settings=more | {"ADMIN_KEY": server.key}) as server:
            seen = measure(server, names, options.times, progress)
    if options.json:
        told = {path: [(each.first, each.whole) for each in answers] for path, answers in seen.items()}
        print(json.dumps({"machine": about, "pages": told}, indent=1))
        return
    print(f"{about}\n{options.messages:,} messages in {options.days} days, {options.tenants:,} tenants; milliseconds")
    print(f"{'':34} {'first request':>15} {'later: first octet':>20} {'whole':>8} {'kB':>6}")
    for path, answers in seen.items():
        print(_line(path.replace(names["small"], "small"), answers))


def _line(path: str, answers: list[Answer]) -> str:
    later = answers[1:] or answers
    first, worst = answers[0].first, max(each.first for each in later)
    typical, whole = median(each.first for each in later), median(each.whole for each in later)
    odd = "" if answers[0].status == (404 if path == "/nowhere" else 200) else f"  answered {answers[0].status}"
    mark = "  TOO LONG" if max(first, typical) > TOO_LONG else "  once" if worst > TOO_LONG else ""
    return (
        f"{path[:34]:34} {first:15.1f} {typical:10.1f} <{worst:7.1f} {whole:8.1f} {answers[0].octets / 1000:6.1f}"
        f"{mark}{odd}"
    )


if __name__ == "__main__":
    main()
