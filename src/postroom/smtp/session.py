"""One conversation with a relay: opens it, carries messages, keeps the deadlines, and is the only one that writes.

It drives `protocol.py` and gets its messages from whoever owns it. Everything that happens in the course of a message
is a callback: no task and no timer per message (`research/performance.md` section 2).
"""

import asyncio
import time

from postroom.domain.delivery import Scope, Stage
from postroom.smtp import tls
from postroom.smtp.alarm import Alarm
from postroom.smtp.attempt import Job, lease_lost
from postroom.smtp.capabilities import Capabilities
from postroom.smtp.connect import Tell, connect, to_nobody
from postroom.smtp.dialogue import Dialogue
from postroom.smtp.errand import errand_of
from postroom.smtp.failure import Failure
from postroom.smtp.line import Line
from postroom.smtp.login import forms_of
from postroom.smtp.opening import opening, parting
from postroom.smtp.owner import Owner
from postroom.smtp.protocol import Protocol
from postroom.smtp.route import Route
from postroom.smtp.transaction import Transaction
from postroom.smtp.verdict import Interruption

CHUNK = 32 * 1024  # of a body in one write; the last one goes out together with the final dot
PATIENCE_WITH_QUIT = 2.0  # seconds
JUST_LATE = 1.05  # times the time for the dot: a relay whose own limit is ours answers a moment after it (H19)


class Session:
    """`open` it, then `work` it whenever there may be something to do."""

    def __init__(self, route: Route, owner: Owner, *, most_messages: int, tell: Tell = to_nobody) -> None:
        self.is_idle = False
        self.used = 0  # messages begun
        self.messages = Protocol()
        self._route = route
        self._timeouts = route.timeouts
        self._owner = owner
        self._most_messages = most_messages
        self._tell = tell
        self._opened_at = time.monotonic()
        self._line = Line(self)
        self._opening = ""  # its transcript
        self._jobs: dict[Transaction, Job] = {}
        self._body: memoryview | None = None
        self._woken: asyncio.Future[None] | None = None  # a dialogue's waiter
        self._serving = False
        self._leaving = False
        self._replies = 0
        self._moved = False  # something was heard or written since the alarm was set
        self._alarm = Alarm(self._ring)

    @property
    def relay(self) -> str:
        """The address that was dialled, as ip:port; empty before that."""
        return self._line.relay

    @property
    def tls(self) -> str | None:
        return self._line.tls

    @property
    def in_hand(self) -> int:
        """Messages begun here whose callers still wait for them."""
        return sum(job.is_wanted for job in self._jobs.values())

    @property
    def offered(self) -> Capabilities:
        """What the relay said to EHLO, once it is open."""
        return self.messages.capabilities

    # Opening.

    async def open(self) -> Failure | None:
        """To a connection that takes mail, or the failure. It never takes longer than an attempt may."""
        stands = False
        try:
            async with asyncio.timeout(self._route.timeouts.attempt):
                failure = await self._open()
            stands = failure is None
        except TimeoutError:
            failure = Failure("attempt.timeout", "Opening the connection took too long.", Stage.CONNECT, Scope.RELAY)
        finally:
            if not stands:
                self.abort()
        return failure

    async def _open(self) -> Failure | None:
        route = self._route.fresh()
        if isinstance(route, Failure):
            return route
        self._route = route
        connection = tls.unreadable_authorities(self._route.profile) or await connect(self._route, self._tell)
        if isinstance(connection, Failure):
            return connection
        await self._line.take(connection)
        # An address is missing only where the connection has gone again already.
        here = self._route.at(self._line.address) if self._line.address else self._route
        if here.password is not None:
            # It may remember it from another connection. One in capitals could be a word that EHLO is read for.
            self.messages.secrets = tuple([each for each in forms_of(here.password) if not each.isupper()])
        return await self.converse(opening(here))

    async def converse(self, dialogue: Dialogue[Capabilities] | Dialogue[None]) -> Failure | None:
        """Run a dialogue to its end."""
        self.messages.start(dialogue)
        self._act()
        self._watch()
        while self.messages.in_dialogue:
            if (errand := errand_of(self.messages, self._line, self._route)) is not None:
                self._alarm.stop()  # it has a deadline of its own, or none: the relay is not waited for
                await errand
                self._act()
                self._watch()
            else:
                self._woken = asyncio.get_running_loop().create_future()
                await self._woken
        return self.messages.failure

    # Messages.

    def work(self) -> None:
        """Take messages from now on, whenever there may be one."""
        self._serving = True
        self._opening = self._opening or str(self.messages.transcript)
        self._act()

    def leave(self) -> None:
        """Say QUIT, wait a moment for the answer, and close."""
        if self.messages.is_idle and not self._leaving:
            self._say_quit()
            self._act()

    def abort(self) -> None:
        """Close at once; whatever was under way is answered."""
        self.messages.interrupt(Interruption.LOST)
        self._act()

    def _act(self) -> None:
        """Bring the world in line with where the conversation is: the one place that everything comes through."""
        messages = self.messages
        if messages.has_news:
            self._report()
        if messages.body_due is not None or self._body is not None:
            self._pump()
        if self._serving and messages.is_idle:
            self._take_next()
        self._flush()
        if messages.has_news:
            self._report()
        if messages.is_over or (self._leaving and messages.is_idle):
            self._close()
        if self._woken is not None:
            self._wake()

    def _report(self) -> None:
        """Hand out what has come of messages and of the ladder's steps."""
        for passed in self.messages.passed:
            self._tell(passed)
        self.messages.passed.clear()
        finished = self.messages.take_finished()
        if len(finished) > 1 and any(transaction.is_in_doubt for transaction in finished[:-1]):
            self._owner.was_cut_short()
        for transaction in finished:
            job = self._jobs.pop(transaction)
            # A warm connection that was closed under us says nothing about the message (H31).
            if self.messages.is_over and self.used > 1 and not transaction.heard and job.may_try_again:
                job.begin_again()
                self._owner.take_back(job)
            else:
                job.answer(self._opening, self.relay, self.tls)

    def _take_next(self) -> None:
        while self.messages.is_idle and not self._leaving:
            if self.used >= self._most_messages:
                self._say_quit()
                return
            job = self._owner.next_job()
            if job is None:
                self._rest()
                return
            self._begin(job)
            self._report()  # a message that this relay can't take is over before it began

    def _begin(self, job: Job) -> None:
        self.is_idle = False
        # The first message's attempt began when it waited for this connection to open.
        transaction = job.begin(time.monotonic() if self.used else max(self._opened_at, job.started))
        self.used += 1
        self._jobs[transaction] = job
        job.tell_when_permitted(self._permitted)
        self.messages.begin(transaction)

    def _rest(self) -> None:
        if not self.is_idle:
            self.is_idle = True
            self._alarm.set(self._owner.rests(self))

    def _say_quit(self) -> None:
        self._leaving, self.is_idle = True, False
        self.messages.start(parting())

    # Writing.

    def _flush(self) -> None:
        if data := self.messages.to_send():
            self._write(data)
        for job in self._jobs.values():
            if not job.is_asked and job.transaction.asked_for_data:
                # The commit that stands before the final dot overlaps the round trip that waits for the 354.
                job.ask_for_permit()
        if self._moved or self._replies != self.messages.replies:
            self._replies = self.messages.replies
            self._moved = False
            self._watch()

    def _write(self, data: bytes | memoryview) -> None:
        self._moved = True
        self._line.write(data)

    def _permitted(self) -> None:
        if self.messages.body_due is not None:  # else the 354 comes later, and looks
            self._act()

    def _pump(self) -> None:
        """Write as much of the body as the socket takes and, when nothing of it is left behind, the final dot."""
        transaction = self.messages.body_due
        if transaction is None:
            self._body = None
            return
        if self._body is None:
            self._body = memoryview(transaction.body())
        while len(self._body) > CHUNK and not self._line.is_full:
            self._write(self._body[:CHUNK])
            self._body = self._body[CHUNK:]
        job = self._jobs[transaction]
        if self._line.is_full or not job.is_answered or job.has_old_permit(self._owner.permit_holds):
            return  # resume_writing or the permit comes back here
        if job.is_granted:
            self._write_last(self._body)
        else:
            self.messages.give_up(lease_lost())
        self._body = None

    def _write_last(self, rest: memoryview) -> None:
        """The end of the body, the final dot, and the next message's commands right behind it (RFC 2920 3.1)."""
        self.messages.end_body()
        if self._may_run_ahead:
            job = self._owner.next_job()
            if job is not None:
                self._begin(job)
        self._write(self.messages.to_send(rest))

    @property
    def _may_run_ahead(self) -> bool:
        relay = self.messages.capabilities
        willing = relay.pipelining and relay.reads_ahead and self._owner.reads_ahead
        return willing and self.used < self._most_messages and not self._leaving

    # Deadlines.

    def _watch(self) -> None:
        """Whoever is waited for gets its time anew: for a whole reply, or for taking a piece of the body."""
        timeouts, messages = self._timeouts, self.messages
        if self._leaving:
            self._alarm.set(min(PATIENCE_WITH_QUIT, timeouts.reply))
        elif not self.is_idle:
            if messages.body_due is not None and not self._line.is_full:
                patience = timeouts.attempt  # it is us who wait for the permit
            else:
                patience = timeouts.dot * JUST_LATE if messages.stage is Stage.DOT else timeouts.reply
            self._alarm.set_to(min(time.monotonic() + patience, self._end_of_attempt()))

    def _end_of_attempt(self) -> float:
        for job in self._jobs.values():
            return job.started + self._timeouts.attempt
        return self._opened_at + self._timeouts.attempt

    def _ring(self) -> None:
        if self.is_idle:
            self._say_quit()
        else:
            whole = self._end_of_attempt() <= time.monotonic()
            self.messages.interrupt(Interruption.ATTEMPT if whole else Interruption.TIMEOUT)
        self._act()

    # What the line tells.

    def heard(self, data: bytes) -> None:
        self.messages.receive(data)
        self._act()

    def has_room(self) -> None:
        if self._body is not None:
            self._act()

    def lost(self) -> None:
        if not self.messages.needs_tls:  # else the handshake has more to say about it
            self.messages.interrupt(Interruption.LOST)
        self._act()
        self._alarm.stop()
        self._owner.gone(self)

    def _close(self) -> None:
        self.is_idle = False
        if self.messages.is_over:
            self._line.abort()
        else:
            self._line.close()

    def _wake(self) -> None:
        woken, self._woken = self._woken, None
        if woken is not None and not woken.done():
            woken.set_result(None)
