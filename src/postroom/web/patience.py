"""How long a connection may take over its request (slow loris), and how much its headers may be: uvicorn has no limits.

The server's tick looks over all connections once a second, so that a request costs no timer of its own: it only says
what it waits for since when.
"""

import asyncio
import time
from collections.abc import Iterable

import uvicorn
from starlette.responses import Response
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from postroom import log
from postroom.web import headers, problems
from postroom.web.gathered import Gathered


class PatientProtocol(HttpToolsProtocol):
    """Times in seconds, from when it began to wait."""

    headers_time = 10.0
    body_time = 30.0
    least_rate = 32 * 1024  # a body gets a second more for so many octets of it that have come
    answer_time = 60.0  # in which the peer takes nothing of the answer
    largest_headers = 64 * 1024  # octets

    _awaited = ""  # "headers", "body", or nothing of the peer
    _since = 0.0
    _octets = 0
    _left = 0  # of the answer, when we last looked
    _stalled_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(Gathered(transport))  # type: ignore[arg-type]  # in all that matters it is one
        self._await("headers")

    def data_received(self, data: bytes) -> None:
        # Empty lines before a request would else keep an idle connection for ever.
        if not self._awaited and (self.cycle is None or self.cycle.response_complete):
            self._await("headers")
        super().data_received(data)
        if self._awaited == "headers":
            self._octets += len(data)
            if self._octets > self.largest_headers and not self.transport.is_closing():
                self._refuse(431, "headers_too_large", "The request's headers are larger than 64 KiB.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._await("headers")

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._await("body")

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._octets += len(body)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._await("")

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled_since, self._left = time.monotonic(), 0

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stalled_since = None

    def send_400_response(self, _msg: str) -> None:
        self._refuse(400, "not_http", "That was no HTTP request that could be read.")

    def _await(self, what: str) -> None:
        self._awaited, self._since, self._octets = what, time.monotonic(), 0

    def look(self, now: float) -> None:
        """End the connection if it has taken too long."""
        if self.transport.is_closing():
            return
        if self._stalled_since is not None:
            self._look_at_answer(now)
        elif self._awaited == "headers" and now - self._since > self.headers_time:
            self._end("headers")
        elif self._awaited == "body":
            if self.flow.read_paused:
                self._since += 1  # it is we who don't read
            elif now - self._since > self.body_time + self._octets / self.least_rate:
                self._end("body")

    def _look_at_answer(self, now: float) -> None:
        left = self.transport.get_write_buffer_size()
        if left != self._left:
            self._left, self._stalled_since = left, now
        elif self._stalled_since is not None and now - self._stalled_since > self.answer_time:
            log.request_too_slow(self.client[0] if self.client else "", "answer")
            self.transport.abort()

    def _end(self, waited_for: str) -> None:
        log.request_too_slow(self.client[0] if self.client else "", waited_for)
        if waited_for == "headers" and not self._octets:
            self.transport.close()  # a connection made in advance: no request, no answer
        else:
            self._refuse(408, "timeout", f"The request's {waited_for} did not come in time.")

    def _refuse(self, status: int, code: str, detail: str) -> None:
        """Where no answer is under way, and in any case the end."""
        if self.cycle is None or self.cycle.response_complete or (self._awaited == "body" and _is_unanswered(self)):
            self.transport.write(_written(problems.outside(status, code, detail)))
        self.transport.close()


def _is_unanswered(protocol: HttpToolsProtocol) -> bool:
    return not protocol.cycle.response_started and not protocol.pipeline


def _written(response: Response) -> bytes:
    given = [*response.raw_headers, (b"connection", b"close")]
    lines = [b"%s: %s\r\n" % header for header in (*given, *headers.missing("", given, https=False))]
    return b"".join([STATUS_LINE[response.status_code], *lines, b"\r\n", bytes(response.body)])


class PatientServer(uvicorn.Server):
    """Looks over its connections once a second."""

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:
            look_over(self.server_state.connections)
        return await super().on_tick(counter)


def look_over(connections: Iterable[object]) -> None:
    now = time.monotonic()
    for each in list(connections):
        if isinstance(each, PatientProtocol):
            each.look(now)
