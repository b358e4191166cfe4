"""One campaign: lives that end by SIGKILL, then one that ends in peace; and the verdict."""

import asyncio
import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from kills.doomed import ARM
from kills.ledger import Copy, Ledger
from kills.load import Load
from kills.relay import Doom, Relay
from kills.remains import PostgresqlRemains, Remains, SqliteRemains
from kills.server import Doomed

RANDOM = "random"
WIDOWED = 6  # how a server ends that has lost its writing process: cli/exits.py, UNAVAILABLE
ONE_ALONE = {"server alone": False, "writing process alone": True}  # at random moments
EARLIEST, LATEST = 0.05, 1.5  # seconds after it was ready, at random moments
ARMED_WITHIN = 0.4  # seconds after it was ready, at named points: then the next time it comes there it dies
PATIENCE = 10.0  # seconds for coming to a named point
AT_ONCE = 32  # requests of the campaign itself
STALL = 90.0  # seconds without any progress, on PostgreSQL with leases of 15 s, after which it is given up
STOPPING = 0.15  # seconds from SIGTERM to SIGKILL, at most

STORE_POINTS = (
    "accept.done", "accept.written", "accept.committed", "claim.written", "claim.committed", "doubt.written",
    "doubt.committed", "settle.written", "settle.committed", "settings.written", "settings.committed", "migration.done",
)  # fmt: skip
RELAY_POINTS = ("relay.mail", "relay.data", "relay.dot", "relay.answered")
NAMED = (*STORE_POINTS, *RELAY_POINTS, *ONE_ALONE, "checkpoint", "stopping")
ONLY_SQLITE = ("checkpoint",)  # PostgreSQL's are its own affair
FROM_THE_START = ("claim.written", "claim.committed", "migration.done")  # not armed later: they come at the start


def points(database_url: str | None) -> tuple[str, ...]:
    return NAMED if database_url is None else tuple(each for each in NAMED if each not in ONLY_SQLITE)


@dataclass
class Figures:
    """What was seen, counted. All of the first four must be 0."""

    lost: int = 0
    accepted_twice: int = 0
    duplicates_unexplained: int = 0
    other_faults: list[str] = field(default_factory=list)
    kills: int = 0
    kills_by_point: dict[str, int] = field(default_factory=dict)
    points_missed: dict[str, int] = field(default_factory=dict)
    accepted: int = 0
    deliveries: int = 0
    requests_asked_again: int = 0
    duplicates: int = 0
    most_duplicates_by_one_kill: int = 0
    in_doubt_between_lives: int = 0
    most_leased_between_lives: int = 0
    held_and_released: int = 0  # of these …
    held_after_three_deaths: int = 0
    ready_after: list[float] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.accepted_twice or self.duplicates_unexplained or self.other_faults)

    def add(self, other: "Figures") -> None:
        for name, value in vars(other).items():
            mine = getattr(self, name)
            if isinstance(mine, dict):
                for point, times in value.items():
                    mine[point] = mine.get(point, 0) + times
            else:
                setattr(self, name, max(mine, value) if name.startswith("most_") else mine + value)


class Campaign:
    def __init__(
        self, directory: Path, *, database_url: str | None = None, seed: int = 0, broken: str | None = None,
        longest_list: int = 10, tell: Callable[[str], None] = lambda _: None,
    ) -> None:  # fmt: skip
        self._dice = random.Random(seed)
        self._tell = tell
        self._server = Doomed(directory, database_url, broken)
        self._remains: SqliteRemains | PostgresqlRemains
        self._remains = PostgresqlRemains(database_url) if database_url else SqliteRemains(self._server.data_dir)
        self._ledger = Ledger()
        self._relay = Relay(self._arrived, self._dice)
        self._up = asyncio.Event()
        self._load = Load(self._server.client, self._ledger, self._dice, self._up, longest_list)
        self._figures = Figures()
        self._sender_name: str | None = None

    async def run(self, plan: Sequence[str]) -> Figures:
        """Die once at each point of the plan; then deliver the rest, and judge."""
        await self._relay.start()
        await self._server.open()
        try:
            await self._settle_in()
            self._load.start()
            for point in plan:
                await self._live_and_die(point)
            await self._finish()
        finally:
            await self._server.close()
            self._relay.close()
        return self._judge()

    def _arrived(self, token: str, recipient: str, message_id: str, life: int) -> None:
        self._ledger.arrive(token, recipient, Copy(message_id, life))

    # --- lives

    async def _settle_in(self) -> None:
        """A first life, in peace: tables and settings."""
        assert await self._server.start()
        settings = {"host": "127.0.0.1", "port": self._relay.port, "sender_address": "a@b.example"}
        answer = await self._server.client.put("/v1/profiles/default", json=settings)
        assert answer.status_code == 200, answer.text
        await self._end_in_peace()

    async def _live_and_die(self, point: str) -> None:
        self._relay.life += 1
        if point == "migration.done":
            await asyncio.to_thread(self._remains.downgrade)
        if await self._server.start(point if point in STORE_POINTS else None, armed=point in FROM_THE_START):
            await self._check_settings()
            self._up.set()
            await self._come_to(point)
        status = await self._server.died()
        self._up.clear()
        self._relay.doom = None
        if status != -signal.SIGKILL and point != "stopping" and not (ONE_ALONE.get(point) and status == WIDOWED):
            self._fault(f"life {self._relay.life} ended with {status} instead of being killed: see the log")
        await self._relay.heard_all()
        self._note(await asyncio.to_thread(self._remains.look), point)

    async def _come_to(self, point: str) -> None:
        """Bring the server to the point where it dies. Where it never comes there, it is killed all the same."""
        if point == RANDOM:
            await self._server.has_died(self._dice.uniform(EARLIEST, LATEST))
        elif point in ONE_ALONE:
            await self._server.has_died(self._dice.uniform(EARLIEST, ARMED_WITHIN))
            self._server.send_to_one(signal.SIGKILL, writing=ONE_ALONE[point])
            if await self._server.has_died(PATIENCE):
                return
            self._fault(f"life {self._relay.life} went on without its writing process")
        elif point == "stopping":
            await self._server.has_died(self._dice.uniform(EARLIEST, ARMED_WITHIN))
            self._server.send(signal.SIGTERM)
            await self._server.has_died(self._dice.uniform(0, STOPPING))
        elif not await self._dies_at(point):
            self._figures.points_missed[point] = self._figures.points_missed.get(point, 0) + 1
        self._server.send(signal.SIGKILL)

    async def _dies_at(self, point: str) -> bool:
        if point not in FROM_THE_START:
            await self._server.has_died(self._dice.uniform(EARLIEST, ARMED_WITHIN))
        if point == "checkpoint":
            return await asyncio.to_thread(self._freezes_in_checkpoint)
        if point in RELAY_POINTS:
            self._relay.doom = Doom(self._server.pid, point.removeprefix("relay."))
        else:
            self._server.send(ARM)
        if point.startswith("settings."):
            await self._save_settings(point)
        return await self._server.has_died(PATIENCE)

    def _freezes_in_checkpoint(self) -> bool:
        """Frozen it can be looked at; when the checkpoint is over by then, it goes on to the next."""
        assert isinstance(self._remains, SqliteRemains)
        deadline = time.monotonic() + PATIENCE
        while self._remains.wait_for_checkpoint(deadline - time.monotonic()):
            self._server.freeze()
            if self._remains.is_in_checkpoint():
                return True
            self._server.send(signal.SIGCONT)
        return False

    async def _save_settings(self, point: str) -> None:
        """Nobody will hear the answer; the next life has to show whether it was saved."""
        name = f"Life {self._relay.life}"
        saved = asyncio.create_task(self._server.client.patch("/v1/profiles/default", json={"sender_name": name}))
        await self._server.has_died(PATIENCE)
        await asyncio.gather(saved, return_exceptions=True)
        if point == "settings.committed":
            self._sender_name = name

    async def _check_settings(self) -> None:
        try:
            shown = (await self._server.client.get("/v1/profiles/default")).json()
        except httpx2.TransportError:  # it has come to its point already
            return
        if shown["sender_name"] != self._sender_name:
            self._fault(f"the settings are {shown['sender_name']!r}, saved were {self._sender_name!r}")

    async def _end_in_peace(self) -> None:
        self._server.send(signal.SIGTERM)
        status = await self._server.died()
        if status:
            self._fault(f"told to stop, it ended with {status}: see the log")

    # --- the end

    async def _finish(self) -> None:
        """Answer and deliver everything, in a last life; what was held is told to go out when the rest has."""
        self._relay.life += 1
        assert await self._server.start()
        self._up.set()
        await self._load.stop()
        await self._nothing_waits()
        for each in self._ledger.broken_holds():
            self._fault(f"{each} was to be held when in doubt, and was sent twice")
        held = await asyncio.to_thread(self._remains.held)
        self._ledger.released |= held.keys()
        self._figures.held_after_three_deaths = sum(held.values())
        await self._release(sorted(held))
        await self._nothing_waits()
        await self._end_in_peace()

    async def _release(self, held: Sequence[str]) -> None:
        for start in range(0, len(held), AT_ONCE):
            asked = [self._server.client.post(f"/v1/messages/{each}/retry") for each in held[start : start + AT_ONCE]]
            for answer in await asyncio.gather(*asked):
                assert answer.status_code == 200, answer.text

    async def _nothing_waits(self) -> None:
        """As long as anything arrives or leaves the queue, there is patience."""
        before, seen_at = (-1, -1), time.monotonic()
        while (waiting := await asyncio.to_thread(self._remains.waiting)) and time.monotonic() < seen_at + STALL:
            if (waiting, len(self._ledger.copies)) != before:
                before, seen_at = (waiting, len(self._ledger.copies)), time.monotonic()
            await asyncio.sleep(0.05)
        if waiting:
            found = await asyncio.to_thread(self._remains.whatever_waits)
            self._fault(f"nothing moved for {STALL} s; {waiting} wait: {found}; relay: {self._relay.state()}")

    def _note(self, remains: Remains, point: str) -> None:
        figures = self._figures
        self._ledger.doubts[self._relay.life] = set(remains.in_doubt)
        figures.kills += 1
        figures.kills_by_point[point] = figures.kills_by_point.get(point, 0) + 1
        figures.in_doubt_between_lives += len(remains.in_doubt)
        figures.most_leased_between_lives = max(figures.most_leased_between_lives, remains.leased)
        if remains.wrong:
            self._fault(f"integrity check after life {self._relay.life} ({point}): {remains.wrong}")
        self._tell(
            f"{figures.kills:4} {point:18} accepted {len(self._ledger.accepted):6}  leased {remains.leased:4}"
            f"  in doubt {len(remains.in_doubt):3}  doubled {len(self._ledger.doubled()):4}"
            f"  unexplained {len(self._ledger.unexplained()):2}"
        )

    def _fault(self, what: str) -> None:
        self._figures.other_faults.append(what)
        self._tell(f"FAULT: {what}")

    def _judge(self) -> Figures:
        ledger, figures = self._ledger, self._figures
        for name in ("unsent", "unexplained", "accepted_twice"):
            for each in sorted(getattr(ledger, name)())[:20]:
                self._tell(f"FAULT: {name}: {each} {ledger.copies.get(each)} {ledger.accepted.get(each[0])}")
        figures.lost = len(ledger.unsent())
        figures.accepted_twice = len(ledger.accepted_twice())
        figures.duplicates = len(ledger.doubled())
        figures.duplicates_unexplained = len(ledger.unexplained())
        figures.most_duplicates_by_one_kill = ledger.most_doubled_by_one_kill()
        figures.accepted = len(ledger.accepted)
        figures.deliveries = sum(len(mail.recipients) for mail in ledger.mails.values())
        figures.requests_asked_again = self._load.asked_again
        figures.held_and_released = len(ledger.released)
        figures.ready_after = self._server.ready_after
        return figures
