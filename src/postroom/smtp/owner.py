"""Who has the messages that a session carries, and is told how that session fares."""

from typing import TYPE_CHECKING, Protocol

from postroom.smtp.attempt import Job

if TYPE_CHECKING:
    from postroom.smtp.session import Session


class Owner(Protocol):
    """A pool, or a check."""

    def next_job(self) -> Job | None: ...

    def take_back(self, job: Job, /) -> None:
        """The connection was closed before the relay had answered any of it: not an attempt."""

    @property
    def permit_holds(self) -> float:
        """For so many seconds, from when it was asked for, leave for the final dot may be relied on."""

    @property
    def reads_ahead(self) -> bool:
        """Whether the next message's commands may go out before the final dot is answered."""

    def was_cut_short(self) -> None:
        """The connection was lost after a final dot that the next message's commands had followed."""

    def rests(self, session: "Session", /) -> float:
        """It has nothing to do; for how many seconds is it to stay open?"""

    def gone(self, session: "Session", /) -> None: ...
