"""A tiny token endpoint on loopback: what it answers can be changed, and it remembers what it was asked."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

Act = Callable[[asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Rotating:
    """Takes each refresh token once, and gives the next one with its answer, as many providers do."""

    takes: str
    given: int = 0

    def answer(self, form: dict[str, str]) -> bytes:
        if form.get("refresh_token") != self.takes:
            said = f"Token {form.get('refresh_token')} has been used or revoked."
            return answer(400, error="invalid_grant", error_description=said)
        self.given += 1
        self.takes = f"1//refresh {self.given}"
        return token(f"ya29.access-{self.given}", refresh_token=self.takes)


Answer = bytes | Act | Rotating


def answer(status: int = 200, body: bytes | None = None, *headers: str, **said: object) -> bytes:
    content = json.dumps(said).encode() if body is None else body
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(content)}", "Connection: close", *headers, "", ""]
    return "\r\n".join(lines).encode() + content


def token(value: str, **said: object) -> bytes:
    return answer(**{"access_token": value, "token_type": "Bearer", "expires_in": 3600} | said)


@dataclass
class Issuer:
    """`answers` one after the other, the last one for ever."""

    answers: tuple[Answer, ...]
    port: int = 0
    forms: list[dict[str, str]] = field(default_factory=list)
    heads: list[str] = field(default_factory=list)
    scheme: str = "http"
    visits: int = 0

    @property
    def url(self) -> str:
        return f"{self.scheme}://{'relay.test' if self.scheme == 'https' else '127.0.0.1'}:{self.port}/token?v=2"

    async def receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        try:
            await self._serve(reader, writer)
        except (OSError, EOFError):
            pass
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        lengths = [line.split(":")[1] for line in head.splitlines() if line.lower().startswith("content-length")]
        body = await reader.readexactly(int(lengths[0]))
        self.heads.append(head)
        self.forms.append(dict(parse_qsl(body.decode(), strict_parsing=True)))
        now = self.answers[min(len(self.forms), len(self.answers)) - 1]
        if isinstance(now, Rotating):
            now = now.answer(self.forms[-1])
        if isinstance(now, bytes):
            writer.write(now)
            await writer.drain()
        else:
            await now(writer)


@asynccontextmanager
async def open_issuer(*answers: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Issuer]:
    issuer = Issuer(answers, scheme="https" if tls else "http")
    server = await asyncio.start_server(issuer.receive, "127.0.0.1", 0, ssl=tls)
    issuer.port = server.sockets[0].getsockname()[1]
    try:
        yield issuer
    finally:
        server.close()


async def never_answers(writer: asyncio.StreamWriter) -> None:
    await writer.wait_closed()  # until the other side has had enough


async def hangs_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def drips_for_ever(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    while not writer.is_closing():
        writer.write(b" " * 8192)
        await writer.drain()
