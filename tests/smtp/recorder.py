"""A relay that keeps every octet it hears, and takes an end of message only where RFC 5321 has one: CRLF.CRLF."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

END = b"\r\n.\r\n"


class Recorder:
    """`contents`: what came between the 354 and the final dot, still stuffed. `heard`: all octets in order.

    The final dots get `answers`, one after the other, and then a 250 each; an empty one is the end of the connection.
    """

    def __init__(self, *answers: bytes) -> None:
        self.port = 0
        self.heard = b""
        self.contents: list[bytes] = []
        self._answers: Iterator[bytes] = iter(answers)

    async def receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 relay.test ESMTP\r\n")
        while line := await reader.readuntil(b"\r\n"):
            self.heard += line
            verb = line[:4].upper()
            writer.write(b"250-relay.test\r\n250 PIPELINING\r\n" if verb == b"EHLO" else self._reply(verb))
            if verb == b"DATA":
                content = b"\r\n"  # of the line DATA itself: a dot may stand in the first line
                while not content.endswith(END):
                    piece = await reader.readuntil(b"\r\n")
                    content, self.heard = content + piece, self.heard + piece
                self.contents.append(content[2:-3])
                answer = next(self._answers, b"250 2.0.0 ok\r\n")
                writer.write(answer)
                if not answer:
                    return
            if verb == b"QUIT":
                return

    def _reply(self, verb: bytes) -> bytes:
        return {b"DATA": b"354 go on\r\n", b"QUIT": b"221 bye\r\n"}.get(verb, b"250 ok\r\n")


def unstuffed(content: bytes) -> bytes:
    """As a relay reads it (RFC 5321 4.5.2)."""
    return b"\r\n".join(line.removeprefix(b".") for line in content.split(b"\r\n"))


@asynccontextmanager
async def a_recorder(*answers: bytes) -> AsyncIterator[Recorder]:
    recorder = Recorder(*answers)
    server = await asyncio.start_server(recorder.receive, "127.0.0.1", 0)
    recorder.port = server.sockets[0].getsockname()[1]
    try:
        yield recorder
    finally:
        server.close()
