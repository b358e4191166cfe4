"""How a profile stands, in a word and a sentence. Pure."""

from dataclasses import dataclass

from postroom.actions.overview import ProfileState


@dataclass(frozen=True, slots=True)
class Standing:
    """`tone` colours the word; `why` is empty when all is well. `until`: when it goes on by itself (microseconds)."""

    word: str
    tone: str
    why: str = ""
    until: int | None = None


def standing(state: ProfileState, now: int) -> Standing:
    stored, spent = state.stored, state.lane.spent_until
    if stored.paused_at is not None:
        return Standing("paused", "warn", "A person paused it. Its mail is kept until somebody resumes it.")
    if stored.trouble is not None:
        resting = state.is_resting(now)
        return Standing(
            "resting" if resting else "trouble", "bad", stored.trouble, stored.rests_until if resting else None
        )
    if spent is not None and spent > now:
        return Standing("at its limit", "warn", "As much was sent as its limits allow. The rest waits.", spent)
    if stored.pace is not None:
        return Standing("starting slowly", "good", "Its relay is back, and gets what waited a little at a time.")
    return Standing("in order", "good")
