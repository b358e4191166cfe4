"""One try to hand a message to a relay: the job that waits for it, and the record of how it went."""

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from postroom.domain.delivery import Outcome, Scope, Stage
from postroom.domain.message import Envelope
from postroom.smtp.failure import Failure
from postroom.smtp.transaction import Transaction
from postroom.smtp.transcript import Transcript, joined

Answer = Callable[[bool | Exception], None]
BeforeDot = Callable[[Answer], None]  # is asked for leave, and calls back with it, at once or later
GOOD_FOR = 10.0  # seconds: leave for the final dot is old after that, and asked for anew

MOST_TRIES = 10  # connections, of which all but the last were warm and closed before the relay had answered anything


class Record(NamedTuple):
    """What was said: while the connection was opened (perhaps for an earlier message), and for this message."""

    opening: str
    own: Transcript

    def __str__(self) -> str:
        return joined(self.opening, str(self.own))

    def __repr__(self) -> str:
        return "Record(…)"  # long, and for whoever asks for it


class Attempt(NamedTuple):
    """`outcomes` has every recipient of the envelope."""

    outcomes: Mapping[str, Outcome]
    record: Record | str
    relay: str  # the address that was dialled, as ip:port; empty when it did not come to that
    tls: str | None  # for example "TLSv1.3 TLS_AES_256_GCM_SHA384"
    started_at: int  # microseconds since 1970, UTC
    seconds: float

    @property
    def transcript(self) -> str:
        """Both directions, at most 4 KiB, without secrets and without the content. Made when somebody looks."""
        return str(self.record)


class Job:
    """A message on its way through the pool. Its future is the only thing that a caller sees.

    `before_dot` is asked for leave when DATA has been written, or before (`early`), while others are on the connections
    that it waits for; again after a warm connection turned out to be closed, or when leave has grown old.
    """

    __slots__ = (
        "_asked_at",
        "_then",
        "before_dot",
        "content",
        "early",
        "envelope",
        "future",
        "permit",
        "started",
        "transaction",
        "tries",
    )

    def __init__(
        self, envelope: Envelope, content: bytes, before_dot: BeforeDot, future: asyncio.Future[Attempt], *,
        early: bool = False,
    ) -> None:  # fmt: skip
        self.envelope = envelope
        self.content = content
        self.before_dot = before_dot
        self.future = future
        self.early = early
        self.permit: bool | None = None  # whether the final dot may be written, once that is known
        self._asked_at: float | None = None  # when that was asked, if it was
        self._then: Callable[[], None] | None = None  # who waits for the answer
        self.transaction = Transaction(envelope, content)
        self.started = time.monotonic()
        self.tries = 0

    @property
    def is_wanted(self) -> bool:
        """Whether its caller still waits for it."""
        return not self.future.done()

    def begin(self, started: float) -> Transaction:
        """On a connection. All tries together are one attempt, with one deadline."""
        if not self.tries:
            self.started = started
        self.tries += 1
        return self.transaction

    @property
    def may_try_again(self) -> bool:
        return self.tries < MOST_TRIES

    def begin_again(self) -> None:
        """As if it had never been tried."""
        self.transaction = Transaction(self.envelope, self.content)
        self._asked_at = self.permit = self._then = None

    @property
    def is_asked(self) -> bool:
        """Whether leave for the final dot was asked for."""
        return self._asked_at is not None

    @property
    def is_answered(self) -> bool:
        """Whether it is known by now if the final dot may be written."""
        return self.permit is not None

    def ask_for_permit(self) -> None:
        """Ask whether the final dot may be written. Only a True is a yes."""
        self._asked_at = time.monotonic()
        answer = partial(self._permitted, self._asked_at, self.transaction)
        try:
            self.before_dot(answer)
        except Exception as error:
            answer(error)

    def tell_when_permitted(self, then: Callable[[], None]) -> None:
        """`then` is called when an answer comes from now on."""
        self._then = then

    def has_old_permit(self, good_for: float) -> bool:
        """Whether it was given so long ago that it may not hold any more; then it is asked for anew."""
        if self.permit is not True or self._asked_at is None or time.monotonic() - self._asked_at <= good_for:
            return False
        self.permit, then = None, self._then
        self._then = None  # who asks here needs no call for an answer that comes at once
        self.ask_for_permit()
        self._then = then
        return not self.is_answered

    def _permitted(self, asked_at: float, transaction: Transaction, answer: bool | Exception) -> None:
        # Else it was meant for another connection, or is too late: it has been asked for anew.
        if transaction is self.transaction and asked_at == self._asked_at and self.permit is None:
            self.permit = answer is True
            if self._then is not None:
                self._then()

    @property
    def is_granted(self) -> bool:
        """Whether the final dot may be written. Nobody may be mailed for a caller that has gone."""
        return self.permit is True and not self.future.done()

    def fail(self, failure: Failure, opening: str, relay: str, tls: str | None) -> None:
        self.transaction.end(failure)
        self.answer(opening, relay, tls)

    def answer(self, opening: str, relay: str, tls: str | None) -> None:
        if self.future.done():
            return
        seconds = time.monotonic() - self.started
        started_at = time.time_ns() // 1000 - int(seconds * 1_000_000)
        transaction = self.transaction
        record = Record(opening, transaction.transcript)
        self.future.set_result(Attempt(transaction.outcomes, record, relay, tls, started_at, seconds))


def lease_lost() -> Failure:
    what = "The message was not ours to send any more, so the final dot was not written."
    return Failure("lease.lost", what, Stage.DATA, Scope.MESSAGE)
