"""A store to test with: a database, a clock that only the test moves, and short words for what is done all the time."""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, func, select

from postroom.domain.delivery import SECOND, Decision, Finish, Scope, Stage, State, TryAgain
from postroom.domain.message import OnDoubt
from postroom.domain.profile import Profile
from postroom.domain.tenant import Tenant
from postroom.store import messages, profiles, tenants
from postroom.store.database import Database
from postroom.store.ids import new_id
from postroom.store.messages import MessageRead
from postroom.store.profiles import Author, StoredProfile
from postroom.store.queue.accept import Acceptance, Accepted, Accepting, IdempotencyKey, NewDelivery, NewMessage
from postroom.store.queue.claim import Claim, Claiming, Held, Marking, Releasing, Renewing, Wanted
from postroom.store.queue.lanes import LaneReport, report_lanes
from postroom.store.queue.seats import Sharing
from postroom.store.queue.settle import Record, Settlement, settle
from postroom.store.schema import lane as lanes
from postroom.store.schema import queue
from postroom.store.vault import Vault

VAULT = Vault(bytes(range(32)))
NOW = 1_700_000_000 * SECOND
DAY = 86_400 * SECOND
LEASE = 60 * SECOND
AUTHOR = Author("Ann", "key", "native")
SETTINGS = Profile(host="relay.example", sender_address="post@company.example")


class Clock:
    """Stands still until it is told to move."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self, _connection: Connection) -> int:
        return self.now

    def forward(self, seconds: float) -> int:
        self.now += int(seconds * SECOND)
        return self.now


@dataclass(frozen=True)
class Lane:
    id: int
    tenant_id: int
    profile_id: int


@dataclass
class Room:
    url: str
    data_dir: Path
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.database = Database.open(self.url, data_dir=self.data_dir, clock=self.clock)
        self.take_in = Accepting(self.clock, VAULT)
        self._claim = Claiming(self.clock)
        self._mark = Marking(self.clock)
        self._renew = Renewing(self.clock, LEASE)
        self._release = Releasing(self.clock)
        self.seats = Sharing(self.clock)

    @property
    def now(self) -> int:
        return self.clock.now

    # --- tenants and profiles

    async def tenant(self, slug: str) -> Tenant:
        return await self.database.write(lambda connection: tenants.add(connection, slug, slug.title(), self.now))

    async def lane(self, slug: str, **settings: Any) -> Lane:
        """A tenant with one profile."""
        tenant = await self.tenant(slug)
        return await self.profile(tenant.id, **settings)

    async def lanes(self, count: int) -> list[Lane]:
        return list(await asyncio.gather(*(self.lane(f"tenant-{n}") for n in range(count))))

    async def profile(self, tenant_id: int, name: str = "default", **settings: Any) -> Lane:
        def step(connection: Connection) -> Lane:
            profile_id, lane_id = profiles.add(connection, tenant_id, name, now=self.now)
            revise(connection, tenant_id, profile_id, self.now, **settings)
            return Lane(lane_id, tenant_id, profile_id)

        return await self.database.write(step)

    async def save(self, lane: Lane, **settings: Any) -> int:
        return await self.database.write(
            lambda connection: revise(connection, lane.tenant_id, lane.profile_id, self.now, **settings)
        )

    async def stored(self, lane: Lane) -> StoredProfile:
        return await self.database.read(lambda connection: profiles.get(connection, lane.tenant_id, lane.profile_id))

    # --- mail

    def message(
        self, lane: Lane, recipients: Iterable[str] = ("one@good.example",), *,
        on_doubt: OnDoubt = OnDoubt.RETRY, filtered: Iterable[str] = (), life: int = 5 * DAY, **said: Any,
    ) -> NewMessage:  # fmt: skip
        deliveries = [NewDelivery(each, State.WAITING) for each in recipients]
        deliveries += [NewDelivery(each, State.FILTERED, "Held back.") for each in filtered]
        values: dict[str, Any] = {
            "id": new_id(self.now), "tenant_id": lane.tenant_id, "profile_id": lane.profile_id, "lane": lane.id,
            "queued_at": self.now, "expires_at": self.now + life, "on_doubt": on_doubt,
            "envelope_sender": "post@company.example", "header_from": "post@company.example", "subject": "Hello",
            "content": b"Subject: Hello\r\n\r\nHello.\r\n", "key_id": "key", "deliveries": tuple(deliveries),
        }  # fmt: skip
        return NewMessage(**values | said)

    async def take(self, *new: NewMessage, key: IdempotencyKey | None = None) -> Accepted:
        return await self.database.fold(self.take_in, Acceptance(new, key))

    async def accept(self, lane: Lane, *recipients: str, **said: Any) -> str:
        """One message; its id."""
        new = self.message(lane, recipients or ("one@good.example",), **said)
        await self.take(new)
        return new.id

    async def accept_many(self, lane: Lane, count: int) -> list[str]:
        new = [self.message(lane) for _ in range(count)]
        await asyncio.gather(*(self.take(*new[n : n + 500]) for n in range(0, count, 500)))
        return [each.id for each in new]

    async def shown(self, lane: Lane, message_id: str) -> MessageRead:
        return await self.database.read(
            lambda connection: messages.get(connection, lane.tenant_id, message_id, self.now)
        )

    async def states(self, lane: Lane, message_id: str) -> list[State]:
        return [each.state for each in (await self.shown(lane, message_id)).deliveries]

    # --- the worker's part

    async def claim(
        self, most: int = 200, *, lease: int = LEASE, per_lane: int = 10_000, free: Mapping[int, int] | None = None
    ) -> list[Claim]:
        return await self.database.fold(self._claim, Wanted(most, lease, per_lane, free or {}))

    async def mark(self, *claims: Claim) -> bool:
        return await self.database.fold(self._mark, held(*claims))

    async def renew(self, *claims: Claim) -> None:
        await self.database.fold(self._renew, held(*claims))

    async def release(self, *claims: Claim) -> None:
        await self.database.fold(self._release, held(*claims))

    async def settle(self, claim: Claim, decision: Decision, outcome: str = "deferred", **said: Any) -> bool:
        return await self.database.fold(
            settle, Settlement(claim, decision, "Because.", self.now, record(outcome, started_at=self.now, **said))
        )

    async def sent(self, *claims: Claim) -> list[bool]:
        return list(await asyncio.gather(*(self.settle(each, Finish(State.SENT), "sent") for each in claims)))

    async def later(self, claim: Claim, seconds: float, outcome: str = "deferred", *, counts: bool = True) -> bool:
        return await self.settle(claim, TryAgain(self.now + int(seconds * SECOND), counts), outcome)

    async def rest(self, lane: Lane, seconds: float, *, revision: int = 1, scope: Scope = Scope.RELAY) -> None:
        until = self.now + int(seconds * SECOND)
        await self.database.fold(report_lanes, LaneReport(lane.id, 1, revision, until, "The relay is away.", scope))

    async def is_well(self, lane: Lane, *, revision: int = 1, pace: int | None = None, clears: bool = True) -> None:
        await self.database.fold(report_lanes, LaneReport(lane.id, 0, revision, pace=pace, clears=clears))

    async def waiting(self) -> int:
        return await self.count(select(func.count()).select_from(queue))

    async def ready(self) -> int:
        return await self.count(select(func.count()).select_from(lanes).where(lanes.c.ready))

    async def count(self, statement: Any) -> int:
        return await self.database.read(lambda connection: int(connection.execute(statement).scalar_one()))

    # --- commits

    @asynccontextmanager
    async def one_commit(self) -> AsyncIterator[None]:
        """What is folded in here goes into one transaction: the writer is kept busy until the block ends."""
        free, busy = threading.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def keep_busy(_connection: Connection) -> None:
            loop.call_soon_threadsafe(busy.set)
            free.wait(10)

        kept = asyncio.ensure_future(self.database.write(keep_busy))
        await busy.wait()
        try:
            yield
            for _ in range(3):
                await asyncio.sleep(0)  # tasks that were only created come to their `fold`
        finally:
            free.set()
        await kept


def revise(connection: Connection, tenant_id: int, profile_id: int, now: int, **settings: Any) -> int:
    values = {"host": SETTINGS.host, "sender_address": SETTINGS.sender_address} | settings
    return profiles.revise(
        connection, tenant_id, profile_id, Profile(**values), sealed_password=None, changes={}, author=AUTHOR, now=now
    )


def held(*claims: Claim) -> Held:
    in_doubt = tuple(each.id for each in claims if each.in_doubt)
    return Held(claims[0].lease, tuple(each.id for each in claims), claims[0].through, in_doubt)


def record(outcome: str = "sent", *, transcript: str | None = None, started_at: int = NOW) -> Record:
    return Record(
        outcome=outcome, stage=Stage.DOT, code=outcome, message="Because.", reply=None, started_at=started_at,
        duration=1000, relay="192.0.2.1:25", tls=None, revision=1, transcript=transcript,
    )  # fmt: skip


def ids(claims: Iterable[Claim]) -> set[str]:
    return {each.id for each in claims}
