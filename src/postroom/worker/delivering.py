"""What is in a worker's hands: from the claim through the attempt to the settlement.

Each parcel goes its own way through its lane's pool, and what became of it is settled when it is known. Nothing here
sleeps on a relay: a slow one holds its own lane's window, nobody else's.
"""

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from itertools import groupby
from operator import attrgetter

from postroom import log
from postroom.domain.counts import Counts
from postroom.domain.delivery import (
    SECOND,
    Decision,
    Deferred,
    Finish,
    InDoubt,
    Outcome,
    Refused,
    Sent,
    State,
    decide,
    waits_for_the_lane,
)  # fmt: skip
from postroom.domain.message import Envelope, OnDoubt
from postroom.domain.problems import Problem, SecretLost
from postroom.smtp.attempt import Answer, Attempt
from postroom.store.database import Database
from postroom.store.profiles import StoredProfile
from postroom.store.queue.claim import Claim, Held, Kept, Marking, Releasing
from postroom.store.queue.lanes import report_lanes
from postroom.store.queue.settle import Record, Settlement, settle
from postroom.worker.hold import Hold, Parcel
from postroom.worker.lanes import Lane, Lanes
from postroom.worker.untried import failed_by_us, unusable, without_attempt

# Not begun, as the pool was closed; no final dot, as the lease was (nearly) over: what is still ours is due at once.
UNTOUCHED = ("pool.closed", "lease.lost")


class Delivering:
    """`lease` is in microseconds, `clock` gives microseconds since 1970, `dice` is in [0, 1); `roomier` is called when
    there is room for more of what waits; `idle` is set while nothing is in hand."""

    def __init__(
        self,
        database: Database,
        lanes: Lanes,
        hold: Hold,
        *,
        lease: int,
        clock: Callable[[], int],
        dice: Callable[[], float],
        roomier: Callable[[], None],
        counts: Counts,
    ) -> None:
        self._database = database
        self._lanes = lanes
        self._hold = hold
        self._clock = clock
        self._dice = dice
        self._roomier = roomier
        self._counts = counts
        self.idle = asyncio.Event()
        self.idle.set()
        self._in_hand: dict[tuple[str, str], Claim] = {}  # by id and lease: what was lost may be claimed anew
        self._mark = Marking(database.now, lease)
        self._release = Releasing(database.now)

    def __len__(self) -> int:
        return len(self._in_hand)

    def held(self) -> Iterable[Held]:
        """Everything in hand, by lease."""
        ordered = sorted(self._in_hand.values(), key=attrgetter("lease"))
        for lease, group in groupby(ordered, attrgetter("lease")):
            yield Held(lease, tuple(claim.id for claim in group))

    def take(self, claims: Iterable[Claim]) -> None:
        for claim in claims:
            self._in_hand[claim.id, claim.lease] = claim
            self.idle.clear()

    # --- attempt

    def consider(
        self,
        parcel: Parcel,
        own: StoredProfile | None,
        stored: StoredProfile | None,
        kept: Kept | SecretLost | None,
    ) -> None:
        """Settle what needs no attempt; try the rest. `stored` is the profile that it goes through, `own` its own."""
        try:
            if own is None or stored is None or kept is None:
                self._settle_untried(parcel, Finish(State.HELD), "Its profile or its content is no longer there.")
            elif isinstance(kept, SecretLost):  # not the profile's trouble, and never sent without
                log.content_lost(parcel[0].message_id)
                self._settle_untried(parcel, Finish(State.HELD), kept.message)
            else:
                self._hold.take(parcel, kept[1])
                self._try(self._without_settled(parcel, own, stored), stored, kept)
        except Exception as bug:
            self._let_go_after_mistake(parcel, bug)

    def attempt(self, parcel: Parcel, stored: StoredProfile, kept: Kept) -> None:
        """Try what has just been accepted: there is nothing to consider."""
        try:
            lane = self._lanes.at_hand(stored)
            if lane is None:
                self.give_back(parcel)
            else:
                self._attempt(parcel, stored, lane, kept)
        except Exception as bug:
            self._let_go_after_mistake(parcel, bug)

    def _try(self, left: Parcel, stored: StoredProfile, kept: Kept) -> None:
        if not left:
            return
        try:
            lane = self._lanes.open(stored)
        except Problem as problem:  # the settings can't be used: the secret can't be opened, say
            self._settle(left, stored, unusable(problem, left, self._clock()))
        else:
            self._attempt(left, stored, lane, kept)

    def _attempt(self, parcel: Parcel, stored: StoredProfile, lane: Lane, kept: Kept) -> None:
        sender, content, reports = kept
        envelope = Envelope(sender, tuple([claim.recipient for claim in parcel]), reports, parcel[0].message_id)
        # What is to be held when in doubt is marked as late as can be: somebody would have to look after each.
        early = parcel[0].on_doubt is OnDoubt.RETRY
        sent = lane.pool.send(envelope, content, partial(self._may_send, _held(parcel)), early=early)
        sent.add_done_callback(partial(self._attempted, parcel, stored))

    def _without_settled(self, parcel: Parcel, own: StoredProfile, stored: StoredProfile) -> Parcel:
        """What is left to try, after what the time, the filters in force and earlier crashes decide."""
        now, left = self._clock(), []
        for claim in parcel:
            verdict = without_attempt(claim, now, own, stored)
            if verdict is None:
                left.append(claim)
            else:
                self._settle_untried([claim], *verdict)
        return left

    def _may_send(self, held: Held, answer: Answer) -> None:
        """Commit that these are in doubt from now on. False: the lease was lost, the final dot must not be sent."""
        self._database.submit(self._mark, held, answer)

    # --- settle

    def _attempted(self, parcel: Parcel, stored: StoredProfile, sent: "asyncio.Future[Attempt]") -> None:
        try:
            attempt = sent.result()
        except Exception as bug:  # ours, not the relay's: it must not stop the others
            log.worker_failed(bug)
            attempt = failed_by_us(parcel, self._clock())
        try:
            if all(_is_untouched(outcome) for outcome in attempt.outcomes.values()):
                self.give_back(parcel)
            else:
                self._settle(parcel, stored, attempt)
        except Exception as bug:
            self._let_go_after_mistake(parcel, bug)

    def _settle(self, parcel: Parcel, stored: StoredProfile, attempt: Attempt) -> None:
        now = self._clock()
        self._report(stored, attempt, now)  # first: a lane that rests must not be claimed from once more
        progress = any(isinstance(each, Sent) for each in attempt.outcomes.values())
        for claim in parcel:
            outcome = attempt.outcomes[claim.recipient]
            decision = decide(
                outcome, attempt=claim.attempt, expires_at=claim.expires_at, on_doubt=claim.on_doubt, now=now,
                dice=self._dice(), progress=progress,
            )  # fmt: skip
            record = _record(outcome, attempt, stored)
            self._counts.attempts[record.outcome, record.stage, record.code] += 1
            log.attempted(claim.id, record.outcome, record.code, attempt.relay, claim.attempt)
            self._write(Settlement(claim, decision, record.message, now, record))

    def _settle_untried(self, claims: Iterable[Claim], decision: Decision, note: str) -> None:
        for claim in claims:
            self._write(Settlement(claim, decision, note, self._clock()))

    def _write(self, settlement: Settlement) -> None:
        self._database.submit(settle, settlement, partial(self._written, settlement))

    def _written(self, settlement: Settlement, written: bool | Exception) -> None:
        """If it could not be written, the lease runs out and the delivery is due again; in doubt if it was."""
        self._let_go(settlement.claim)
        if isinstance(written, Exception):
            log.worker_failed(written)
        elif written and isinstance(settlement.decision, Finish):
            self._counts.ended[settlement.decision.state] += 1

    def _report(self, stored: StoredProfile, attempt: Attempt, now: int) -> None:
        """How the relay is doing: rest the lane when it failed for everyone, clear its trouble when it did not."""
        outcomes = attempt.outcomes.values()
        failure = next((each for each in outcomes if isinstance(each, Deferred) and waits_for_the_lane(each)), None)
        report = self._lanes.judge(stored, failure, attempt.started_at, now, self._dice())
        if report is not None:
            self._database.submit(report_lanes, report, _if_it_failed_so_be_it)

    def give_back(self, parcel: Parcel) -> None:
        """Untried, at no cost to it."""
        if not parcel:
            return
        self._database.submit(self._release, _held(parcel), partial(self._given_back, parcel))

    def _given_back(self, parcel: Parcel, _released: Exception | None) -> None:
        """If it could not be written, the leases run out."""
        for claim in parcel:
            self._let_go(claim)

    def _let_go(self, claim: Claim) -> None:
        if self._in_hand.pop((claim.id, claim.lease), None) is None:
            return
        roomier = self._hold.give(claim)
        if self._lanes.give(claim.through) or roomier:
            self._roomier()
        if not self._in_hand:
            self.idle.set()

    def _let_go_after_mistake(self, parcel: Parcel, bug: Exception) -> None:
        """A mistake of ours with one parcel keeps neither it nor the others: it is due again when its lease ends."""
        for claim in parcel:
            self._let_go(claim)
        log.worker_failed(bug)


def _if_it_failed_so_be_it(_written: Exception | None) -> None:
    """The next attempt tells the same."""


def _is_untouched(outcome: Outcome) -> bool:
    return isinstance(outcome, Deferred) and outcome.code in UNTOUCHED


_NAMES: dict[type, str] = {Sent: "sent", Deferred: "deferred", Refused: "refused", InDoubt: "in_doubt"}


def _record(outcome: Outcome, attempt: Attempt, stored: StoredProfile) -> Record:
    sent = isinstance(outcome, Sent)
    return Record(
        outcome=_NAMES[type(outcome)],
        stage=outcome.stage,
        code="sent" if isinstance(outcome, Sent) else outcome.code,
        message="The relay took it." if isinstance(outcome, Sent) else outcome.message,
        reply=outcome.reply,
        started_at=attempt.started_at,
        duration=int(attempt.seconds * SECOND),
        relay=attempt.relay,
        tls=attempt.tls,
        revision=stored.revision,
        profile_id=stored.id,
        transcript=None if sent else attempt.transcript or None,
    )


def _held(parcel: Parcel) -> Held:
    in_doubt = tuple([claim.id for claim in parcel if claim.in_doubt])
    return Held(parcel[0].lease, tuple([claim.id for claim in parcel]), parcel[0].through, in_doubt)
