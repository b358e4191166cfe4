"""What a lane does when its relay or its settings fail, and how it comes back. Pure.

Shut (all well), open (it rests), half open (exactly one delivery probes, over all workers), then a slow start: as many
at once as have gone through since, so that a relay that is back is not run over by what has gathered.
"""

from postroom.domain.delivery import JITTER, SECOND, Scope

FULL_PACE = 512  # deliveries in one worker's hands for one lane
PROBE = 1
AFTER_PROBE = 2


def rest(scope: Scope, failures: int, dice: float) -> int:
    """Microseconds that a lane rests after `failures` attempts in a row failed for everyone.

    A relay that is away is asked again after 5 s, doubling to 10 min. Wrong settings wait for an administrator (saving
    new ones ends the rest) and are tried at most three times an hour, so that no account is locked out (H25).
    """
    seconds = 1600 if scope is Scope.PROFILE else min(5 * 2 ** min(failures - 1, 20), 600)
    return int(seconds * SECOND * (1 - JITTER + 2 * JITTER * dice))


def most_at_once(failures: int, pace: int | None) -> int | None:
    """How many deliveries of a lane one claim may take: a probe while it fails, then what its slow start allows, then
    any number (None)."""
    return PROBE if failures else pace


def widened(window: int, *, starting_slowly: bool) -> int:
    """A lane's window after an attempt that went well. Twice as wide where nothing ever failed; else one more, which
    doubles it each time that all of it has gone through (1, 2, 4, …)."""
    return min(window + 1 if starting_slowly else window * 2, FULL_PACE)


def next_pace(pace: int | None, window: int) -> int | None:
    """What the other workers may be told when `window` went well here: the pace in doublings, None for full speed."""
    if pace is None or window >= FULL_PACE:
        return None
    return pace * 2 if window >= pace * 2 else pace
