"""One connection to a relay: dials, speaks TLS, keeps the deadlines, and is the only one that writes.

It drives `protocol.py` and gets its messages from whoever owns it. Everything that happens in the course of a message
is a callback: no task and no timer per message (`research/performance.md` section 2). Bytes are read into one small
buffer that is used again, because asyncio's ordinary protocols allocate a quarter of a megabyte for each read.
"""

import asyncio
import socket
import ssl
import time
from typing import Protocol as Interface
from typing import cast

from postroom.domain.delivery import Scope, Stage
from postroom.smtp import tls
from postroom.smtp.alarm import Alarm
from postroom.smtp.attempt import Job
from postroom.smtp.capabilities import Capabilities
from postroom.smtp.connect import Tell, connect, to_nobody
from postroom.smtp.dialogue import Dialogue, Passed
from postroom.smtp.failure import Failure
from postroom.smtp.opening import opening, parting
from postroom.smtp.protocol import Protocol
from postroom.smtp.route import Route
from postroom.smtp.transaction import Transaction
from postroom.smtp.transcript import joined
from postroom.smtp.verdict import Interruption

BUFFER = 16 * 1024
CHUNK = 32 * 1024  # of a body in one write; the last one goes out together with the final dot
PATIENCE_WITH_QUIT = 2.0  # seconds


class Owner(Interface):
    """Who has the messages."""

    def next_job(self) -> Job | None: ...

    def take_back(self, job: Job) -> None:
        """The connection was closed before the relay had answered any of it: not an attempt."""

    def rests(self, session: "Session") -> float:
        """It has nothing to do; for how many seconds is it to stay open?"""

    def gone(self, session: "Session") -> None: ...


class Session(asyncio.BufferedProtocol):
    """`open` it, then `work` it whenever there may be something to do."""

    def __init__(self, route: Route, owner: Owner, *, most_messages: int, tell: Tell = to_nobody) -> None:
        self.relay = ""
        self.tls: str | None = None
        self.is_idle = False
        self.used = 0  # messages begun
        self.messages = Protocol()
        self._route = route
        self._owner = owner
        self._most_messages = most_messages
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._opened_at = time.monotonic()
        self._buffer = memoryview(bytearray(BUFFER))
        self._transport: asyncio.Transport | None = None
        self._jobs: dict[Transaction, Job] = {}
        self._body: memoryview | None = None
        self._write_paused = False
        self._woken: asyncio.Future[None] | None = None  # a dialogue's waiter
        self._serving = False
        self._leaving = False
        self._replies = 0
        self._alarm = Alarm(self._ring)

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
        connection = tls.unreadable_authorities(self._route.profile) or await connect(self._route, self._tell)
        if isinstance(connection, Failure):
            return connection
        await self._attach(connection)
        return await self.converse(opening(self._route.at(connection.getpeername()[0])))

    async def _attach(self, connection: socket.socket) -> None:
        host, port = connection.getpeername()[:2]
        self.relay = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._tell(Passed(Stage.CONNECT, "The relay accepted the connection.", {"relay": self.relay}))
        await self._loop.create_connection(lambda: self, sock=connection)

    async def converse(self, dialogue: Dialogue[Capabilities] | Dialogue[None]) -> Failure | None:
        """Run a dialogue to its end."""
        self.messages.start(dialogue)
        self._act()
        self._watch()
        while self.messages.in_dialogue:
            if self.messages.needs_tls:
                await self._start_tls()
            else:
                self._woken = self._loop.create_future()
                await self._woken
        return self.messages.failure

    async def _start_tls(self) -> None:
        """Before the greeting or after STARTTLS: the same handshake, verified in the same way."""
        self._alarm.stop()
        profile, raw = self._route.profile, self._raw
        try:
            secured = await self._loop.start_tls(
                raw,
                self,
                tls.context(profile),
                server_hostname=tls.certificate_name(profile),
                ssl_handshake_timeout=self._route.timeouts.reply,
                ssl_shutdown_timeout=PATIENCE_WITH_QUIT,
            )
        except (OSError, ValueError) as error:  # ValueError: a name that no certificate can have
            self.messages.tls_failed(tls.explain(error, profile))
        else:
            self._secured(cast(asyncio.Transport, secured))
        self._act()
        self._watch()

    def _secured(self, transport: asyncio.Transport) -> None:
        self._use(transport)
        facts = tls.facts(cast(ssl.SSLObject, transport.get_extra_info("ssl_object")))
        self.tls = f"{facts['version']} {facts['cipher']}"
        self.messages.tls_started(facts)

    # Messages.

    def work(self) -> None:
        """Take messages from now on, whenever there may be one."""
        self._serving = True
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
        self._report()
        if messages.body_due is not None and self._body is None:
            self._body = memoryview(messages.body_due.body())
        self._pump()
        if self._serving:
            self._take_next()
        self._flush()
        self._report()
        if messages.is_over or (self._leaving and messages.is_idle):
            self._close()
        self._wake()

    def _report(self) -> None:
        """Hand out what has come of messages and of the ladder's steps."""
        for passed in self.messages.passed:
            self._tell(passed)
        self.messages.passed.clear()
        for transaction in self.messages.take_finished():
            job = self._jobs.pop(transaction)
            # A warm connection that was closed under us says nothing about the message (H31).
            if self.messages.is_over and self.used > 1 and not transaction.heard and not job.retried:
                job.begin_again()
                self._owner.take_back(job)
            else:
                job.answer(joined(str(self.messages.transcript), str(transaction.transcript)), self.relay, self.tls)

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
        # The first message has waited for the connection too.
        transaction = job.begin(time.monotonic() if self.used else self._opened_at)
        self.used += 1
        self._jobs[transaction] = job
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
        data = self.messages.to_send()
        if data:
            self._write(data)
        for job in self._jobs.values():
            if job.permit is None and job.transaction.asked_for_data:
                # The commit that stands before the final dot overlaps the round trip that waits for the 354.
                job.ask_for_permit().add_done_callback(lambda _: self._act())
        if data or self._replies != self.messages.replies:
            self._replies = self.messages.replies
            self._watch()

    def _pump(self) -> None:
        """Write as much of the body as the socket takes and, when nothing of it is left behind, the final dot."""
        transaction = self.messages.body_due
        if transaction is None or self._body is None:
            self._body = None
            return
        while len(self._body) > CHUNK and not self._write_paused:
            self._write(self._body[:CHUNK])
            self._body = self._body[CHUNK:]
            self._watch()
        job = self._jobs[transaction]
        if self._write_paused or job.permit is None or not job.permit.done():
            return  # resume_writing or the permit comes back here
        if job.is_granted:
            self._write_last(self._body)
        else:
            self.messages.give_up(_lease_lost())
        self._body = None

    def _write_last(self, rest: memoryview) -> None:
        """The end of the body, the final dot, and the next message's commands right behind it (RFC 2920 3.1)."""
        self.messages.end_body()
        if self.messages.capabilities.pipelining and self.used < self._most_messages and not self._leaving:
            job = self._owner.next_job()
            if job is not None:
                self._begin(job)
        self._write(b"".join((rest, self.messages.to_send())))
        self._watch()

    def _write(self, data: bytes | memoryview) -> None:
        self._raw.write(data)

    @property
    def _raw(self) -> asyncio.Transport:
        if self._transport is None:
            raise RuntimeError("not connected")
        return self._transport

    # Deadlines.

    def _watch(self) -> None:
        """Whoever is waited for gets its time anew: for a whole reply, or for taking a piece of the body."""
        if self._leaving:
            self._alarm.set(min(PATIENCE_WITH_QUIT, self._route.timeouts.reply))
        elif not self.is_idle:
            timeouts = self._route.timeouts
            patience = timeouts.dot if self.messages.stage is Stage.DOT else timeouts.reply
            waiting_for_permit = self.messages.body_due is not None and not self._write_paused
            self._alarm.set(min(timeouts.attempt if waiting_for_permit else patience, self._rest_of_attempt()))

    def _rest_of_attempt(self) -> float:
        started = next((job.started for job in self._jobs.values()), self._opened_at)
        return max(started + self._route.timeouts.attempt - time.monotonic(), 0)

    def _ring(self) -> None:
        if self.is_idle:
            self._say_quit()
        else:
            whole = self._rest_of_attempt() <= 0
            self.messages.interrupt(Interruption.ATTEMPT if whole else Interruption.TIMEOUT)
        self._act()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._use(cast(asyncio.Transport, transport))

    def _use(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        # Paused as soon as a byte is left behind, so that the final dot is written only when everything before it has
        # gone to the system: a connection lost before that is a clear case.
        transport.set_write_buffer_limits(high=1)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.messages.receive(bytes(self._buffer[:nbytes]))
        self._act()

    def pause_writing(self) -> None:
        self._write_paused = True

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._body is not None:
            self._act()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        if not self.messages.needs_tls:  # else the handshake has more to say about it
            self.messages.interrupt(Interruption.LOST)
        self._act()
        self._alarm.stop()
        self._owner.gone(self)

    def _close(self) -> None:
        self.is_idle = False
        if self._transport is None:
            return
        if self.messages.is_over:
            self._transport.abort()
        else:
            self._transport.close()

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)


def _lease_lost() -> Failure:
    what = "The message was not ours to send any more, so the final dot was not written."
    return Failure("lease.lost", what, Stage.DATA, Scope.MESSAGE)
