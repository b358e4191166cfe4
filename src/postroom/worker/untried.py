"""What becomes of a delivery without an attempt at its relay. Pure."""

from postroom.domain.address import Address
from postroom.domain.delivery import (
    MOST_CRASHES,
    SECOND,
    Decision,
    Deferred,
    Finish,
    Scope,
    Stage,
    State,
    TryAgain,
)
from postroom.domain.message import OnDoubt
from postroom.domain.problems import Problem, SecretLost
from postroom.domain.recipients import recipient_filter
from postroom.smtp.attempt import Attempt
from postroom.store.profiles import StoredProfile
from postroom.store.queue.claim import Claim
from postroom.worker.hold import Parcel

SHORTEST_WAIT = 5 * SECOND  # of mail that may go through its own relay only, which rests


def without_attempt(claim: Claim, now: int, own: StoredProfile, through: StoredProfile) -> tuple[Decision, str] | None:
    """What follows, and why; None where it is to be tried. `through` is the profile that sends it: its own, or the one
    that stands in while its own relay is away. The filters of both must allow the recipient."""
    if claim.in_doubt and claim.on_doubt is OnDoubt.HOLD:
        note = "The connection was lost after the final dot: look whether it arrived, then retry or cancel."
        return Finish(State.HELD), note
    if now >= claim.expires_at:
        return Finish(State.EXPIRED), "It was not delivered in the time that it was worth sending."
    if claim.crashes >= MOST_CRASHES:
        note = (
            "Attempts ended without a word of how, again and again: the worker died, or the database was away just "
            "then. It is kept out of the way: look into the log, then retry or cancel."
        )
        return Finish(State.HELD), note
    if not _allows(own, claim):
        return Finish(State.FILTERED), f"Held back by the recipient filter {own.settings.recipient_filter}"
    if not _allows(through, claim):
        note = f"Waits for its own relay: the filter of profile {through.id}, which stands in, does not allow it."
        return TryAgain(max(own.rests_until or 0, now + SHORTEST_WAIT), counts=False), note
    return None


def _allows(stored: StoredProfile, claim: Claim) -> bool:
    wanted = recipient_filter(stored.settings.recipient_filter)
    return wanted.allows_everyone or wanted.allows(Address.parse(claim.recipient))


def is_kept_back(own: StoredProfile | None, through: StoredProfile | None) -> bool:
    """Whether somebody paused it, or deleted what stood in for it, since it was claimed."""
    paused = any(each is not None and each.paused_at is not None for each in (own, through))
    return paused or (own is not None and through is None)


def failed_by_us(parcel: Parcel, now: int) -> Attempt:
    outcome = Deferred("internal", "Something went wrong here; it is in the log.", Stage.SETTINGS, Scope.MESSAGE)
    return Attempt({claim.recipient: outcome for claim in parcel}, "", "", None, now, 0.0)


def unusable(problem: Problem, parcel: Parcel, now: int) -> Attempt:
    code = "settings.secret_lost" if isinstance(problem, SecretLost) else "settings.unusable"
    outcome = Deferred(code, problem.message, Stage.SETTINGS, Scope.PROFILE)
    return Attempt({claim.recipient: outcome for claim in parcel}, "", "", None, now, 0.0)
