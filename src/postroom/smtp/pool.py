"""Warm sessions to one relay: messages wait here for a connection, and connections for messages.

Connections are opened only while messages wait, one at first and as many more as already stand (1, 2, 4, …). A relay
that can't be reached is asked once: that one failure answers everything that waits, and nobody hammers.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterator

from postroom.domain.delivery import Scope, Stage
from postroom.domain.limits import MOST_CONNECTIONS
from postroom.domain.message import Envelope
from postroom.smtp.attempt import GOOD_FOR, Attempt, BeforeDot, Job, lease_lost
from postroom.smtp.failure import Failure
from postroom.smtp.route import Route
from postroom.smtp.session import Session

AHEAD = 3  # for each connection: so many messages go out while a commit is waited for
REJECTED = 1600.0  # seconds without another connection where the relay rejected the settings


class Pool:
    """One pool for one profile revision: another revision is another pool. Use it inside one event loop."""

    def __init__(
        self,
        route: Route,
        *,
        most_connections: int = MOST_CONNECTIONS,
        messages_per_connection: int = 100,
        idle_seconds: float = 30,
        permit_holds: float = GOOD_FOR,
    ) -> None:
        self._route = route
        self.most_connections = most_connections
        self._messages_per_connection = messages_per_connection
        self._idle_seconds = idle_seconds
        self.permit_holds = permit_holds
        self._waiting: deque[Job] = deque()
        self._sessions: set[Session] = set()
        self._resting: set[Session] = set()  # have had nothing to do when they last looked
        self._opening: set[asyncio.Task[None]] = set()
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()  # a connection has gone, or an opening has ended
        self.reads_ahead = True  # until the relay has shown that it can't
        self._no_more_until = 0.0  # the relay takes no more connections than stand

    def send(
        self, envelope: Envelope, content: bytes, before_dot: BeforeDot, *, early: bool = False
    ) -> asyncio.Future[Attempt]:
        """Hand a message in. The future has the attempt; it never fails for anything that a relay does.

        `before_dot` is called when DATA has been written, with what to call, in this event loop, when it is known
        whether the final dot may be: anything but True, and an exception, is a no. `early`: already when it is among
        the next few that the connections will carry, so that none of them waits for the answer. It is asked again
        when a warm connection turned out to be closed and the message goes over a new one, or when the answer is older
        than `permit_holds` seconds.
        """
        future: asyncio.Future[Attempt] = self._loop.create_future()
        job = Job(envelope, content, before_dot, future, early=early)
        if self._closed:
            self._fail(job, _closed())
        else:
            self._waiting.append(job)
            self._serve()
            self._ask_ahead(len(self._waiting) - 1)
        return future

    async def close(self) -> None:
        """Let what is on a connection come to its end, say QUIT, and hand back what has not begun."""
        self._closed = True
        self._answer_all_waiting(_closed())
        for task in self._opening:
            task.cancel()
        for session in list(self._sessions):
            session.leave()
        while self._sessions or self._opening:
            self._changed.clear()
            await self._changed.wait()

    def hand_back(self) -> None:
        """What waits for a connection, as if it had never been handed in."""
        self._answer_all_waiting(_closed())

    @property
    def in_flight(self) -> int:
        """Messages that have no attempt yet, waiting or under way."""
        return sum(job.is_wanted for job in self._waiting) + sum(session.in_hand for session in self._sessions)

    @property
    def idle(self) -> int:
        """Connections that stand and have nothing to do."""
        return sum(session.is_idle for session in self._sessions)

    @property
    def held(self) -> int:
        """Connections that stand or are being opened."""
        return len(self._sessions) + len(self._opening)

    def allow(self, connections: int) -> None:
        """Open up to so many from now on. What is open beyond that closes when it has carried its messages."""
        self.most_connections = connections
        self._serve()

    @property
    def connections(self) -> int:
        return len(self._sessions)

    # What a session asks of its owner.

    def next_job(self) -> Job | None:
        while self._waiting:
            job = self._waiting.popleft()
            if job.permit is False:
                self._fail(job, lease_lost())
            elif job.is_wanted:
                self._ask_ahead(self._most_ahead - 1)
                return job
        return None

    def take_back(self, job: Job) -> None:
        if self._closed:
            self._fail(job, _closed())
        else:
            self._waiting.appendleft(job)
            self._serve()

    def was_cut_short(self) -> None:
        # It may be the network; but a relay that breaks there does so each time, and each time a mail is in doubt.
        self.reads_ahead = False

    def rests(self, session: Session) -> float:
        if self._closed:
            self._loop.call_soon(session.leave)
        self._resting.add(session)
        return self._idle_seconds

    def gone(self, session: Session) -> None:
        self._sessions.discard(session)
        self._resting.discard(session)
        self._changed.set()
        self._serve()

    def _ask_ahead(self, place: int) -> None:
        """The first of what waits are asked for early: here the one that has come to this place, from 0."""
        if 0 <= place < min(self._most_ahead, len(self._waiting)):
            job = self._waiting[place]
            if job.early and not job.is_asked:
                job.ask_for_permit()

    @property
    def _most_ahead(self) -> int:
        return AHEAD * len(self._sessions)

    # Connections.

    def _serve(self) -> None:
        """Bring what waits to a connection that rests, or open one more."""
        while self._resting and self._waiting:
            session = self._resting.pop()
            if session.is_idle:  # else it is about to leave
                session.work()
        while len(self._sessions) < self.most_connections and self._may_open():
            task = asyncio.ensure_future(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opened)

    def _may_open(self) -> bool:
        standing, opening = len(self._sessions), len(self._opening)
        return (
            standing + opening < self.most_connections
            and not self._closed
            and opening < len(self._waiting)
            and opening < max(1, standing)
            and (not standing or time.monotonic() >= self._no_more_until)
        )

    async def _open(self) -> None:
        session = Session(self._route, self, most_messages=self._messages_per_connection)
        failure = await session.open()
        if failure is None:
            self._sessions.add(session)
            session.work()
            for place in range(self._most_ahead):
                self._ask_ahead(place)
        elif self._sessions:
            # Others stand and go on with what waits: the relay takes no more of us for now (H32).
            # Whoever rejects a login is not asked again soon: it may lock the account (H25).
            patience = self._idle_seconds if failure.scope is Scope.RELAY else REJECTED
            self._no_more_until = time.monotonic() + patience
        else:
            self._answer_all_waiting(failure, session)

    def _opened(self, task: asyncio.Task[None]) -> None:
        self._opening.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # A mistake of ours. Nobody may wait for ever because of it.
            for job in self._all_waiting():
                job.future.set_exception(error)
        self._changed.set()
        self._serve()

    def _answer_all_waiting(self, failure: Failure, session: Session | None = None) -> None:
        for job in self._all_waiting():
            self._fail(job, failure, session)

    def _all_waiting(self) -> Iterator[Job]:
        while self._waiting:
            job = self._waiting.popleft()
            if job.is_wanted:
                yield job

    def _fail(self, job: Job, failure: Failure, session: Session | None = None) -> None:
        if session is None:
            job.fail(failure, "", "", None)
        else:
            job.fail(failure, str(session.messages.transcript), session.relay, session.tls)


def _closed() -> Failure:
    what = "The connections to the relay are being closed before this message had its turn."
    return Failure("pool.closed", what, Stage.CONNECT, Scope.RELAY)
