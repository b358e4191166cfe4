"""A small relay with moods: what it says and does at each moment can be changed, everything else is a good relay."""

import asyncio
import base64
import socket
import ssl
import struct
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

OFFERS = ("PIPELINING", "SIZE 50000000", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")


class HangUp(Exception):
    """The visit is over."""


Act = Callable[["Visit"], Awaitable[bytes | None]]  # gives what it said, where that decides how it goes on
Answer = bytes | Act | tuple["bytes | Act", ...]  # a tuple: one after the other, the last one for ever


@dataclass(frozen=True)
class Mood:
    """`answers` by moment: connect (before anything, TLS included), greeting, EHLO, HELO, STARTTLS, AUTH, response,
    MAIL, RCPT, DATA, body, dot, RSET, QUIT."""

    answers: Mapping[str, Answer] = field(default_factory=dict)
    offers: tuple[str, ...] = OFFERS
    offers_after_tls: tuple[str, ...] | None = None
    tls: ssl.SSLContext | None = None
    implicit: bool = False
    slowly: float = 0  # seconds between any two bytes


@dataclass(frozen=True)
class Mail:
    sender: str
    recipients: tuple[str, ...]
    content: bytes


class Relay:
    """What it heard and took, over all visits."""

    def __init__(self, mood: Mood) -> None:
        self.mood = mood
        self.port = 0
        self.visits = 0
        self.heard: list[str] = []
        self.got = bytearray()  # every byte, whether or not anybody here read it; what came under TLS, deciphered
        self.mails: list[Mail] = []
        self.said: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def here(self) -> int:
        """Connections that stand."""
        return len(self._tasks)

    async def receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.visits += 1
        try:
            await Visit(self, reader, writer).run()
        except (HangUp, OSError, EOFError, asyncio.LimitOverrunError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            self._tasks.discard(task)
            writer.close()

    async def stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class Recorder(asyncio.StreamReader):
    """Writes down every byte when it comes."""

    def __init__(self, got: bytearray) -> None:
        super().__init__()
        self._got = got

    def feed_data(self, data: bytes) -> None:
        self._got += data
        super().feed_data(data)


class Visit:
    def __init__(self, relay: Relay, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.relay, self.reader, self.writer = relay, reader, writer
        self.secure = False
        self.sender = ""
        self.recipients: list[str] = []

    async def run(self) -> None:
        await self.answer("connect", b"")
        if self.relay.mood.implicit:
            await self.start_tls()
        await self.answer("greeting", b"220 relay.test ESMTP\r\n")
        while line := await self.reader.readline():
            text = line.decode(errors="replace").rstrip("\r\n")
            self.relay.heard.append(text)
            await self.obey(text)

    async def obey(self, text: str) -> None:
        match text.split(" ")[0].upper():
            case "EHLO":
                await self.answer("EHLO", self.capabilities())
            case "STARTTLS":
                await self.answer("STARTTLS", b"220 go ahead\r\n")
                await self.start_tls()
            case "AUTH":
                await self.answer("AUTH", b"235 2.7.0 welcome\r\n")
            case "MAIL":
                self.sender, self.recipients = between(text), []
                await self.answer("MAIL", b"250 2.1.0 ok\r\n")
            case "RCPT":
                if (await self.answer("RCPT", b"250 2.1.5 ok\r\n")).startswith(b"2"):
                    self.recipients.append(between(text))
            case "DATA":
                await self.data()
            case "QUIT":
                await self.answer("QUIT", b"221 bye\r\n")
                raise HangUp
            case verb:
                await self.answer(verb if verb in ("HELO", "RSET") else "response", b"250 ok\r\n")

    async def data(self) -> None:
        said = await self.answer("DATA", b"354 go on\r\n")
        if not said.startswith(b"354"):
            return
        await self.answer("body", b"")
        content = bytearray()
        while (line := await self.reader.readline()) != b".\r\n":
            if not line:
                raise HangUp
            content += line.removeprefix(b".")
        if (await self.answer("dot", b"250 2.0.0 queued as 42\r\n")).startswith(b"2") and self.recipients:
            self.relay.mails.append(Mail(self.sender, tuple(self.recipients), bytes(content)))

    async def answer(self, moment: str, default: bytes) -> bytes:
        chosen = self.relay.mood.answers.get(moment, default)
        if isinstance(chosen, tuple):
            chosen = chosen[min(self.relay.said[moment], len(chosen) - 1)]
        self.relay.said[moment] += 1
        if isinstance(chosen, bytes):
            await self.say(chosen)
            return chosen
        return await chosen(self) or b""

    async def say(self, data: bytes) -> None:
        pause = self.relay.mood.slowly
        for piece in [data[i : i + 1] for i in range(len(data))] if pause else [data]:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(pause)

    def capabilities(self) -> bytes:
        mood = self.relay.mood
        offers = mood.offers_after_tls if self.secure and mood.offers_after_tls is not None else mood.offers
        names = ["relay.test", *offers]
        return b"".join(f"250{'-' if n < len(names) else ' '}{name}\r\n".encode() for n, name in enumerate(names, 1))

    async def start_tls(self) -> None:
        assert self.relay.mood.tls is not None
        await self.writer.start_tls(self.relay.mood.tls)
        self.secure = True


def between(text: str) -> str:
    return text[text.index("<") + 1 : text.index(">")]


@asynccontextmanager
async def open_relay(mood: Mood, host: str = "127.0.0.1") -> AsyncIterator[Relay]:
    relay = Relay(mood)

    def visited() -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(Recorder(relay.got), relay.receive)

    server = await asyncio.get_running_loop().create_server(visited, host, 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        server.close()
        await relay.stop()


# Moods that need more than words.


async def hangs_up(visit: Visit) -> None:
    raise HangUp


async def resets(visit: Visit) -> None:
    sock = visit.writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    visit.writer.transport.abort()
    raise HangUp


async def is_silent(visit: Visit) -> None:
    await asyncio.sleep(30)


async def breaks_off_in_the_reply(visit: Visit) -> None:
    await visit.say(b"250 2.0")
    raise HangUp


def after(seconds: float, answer: bytes) -> Act:
    async def act(visit: Visit) -> bytes:
        await asyncio.sleep(seconds)
        await visit.say(answer)
        return answer

    return act


def says_then_hangs_up(answer: bytes) -> Act:
    async def act(visit: Visit) -> None:
        await visit.say(answer)
        raise HangUp

    return act


async def stops_reading(visit: Visit) -> None:
    visit.writer.transport.pause_reading()
    await asyncio.sleep(30)


def knows(username: str, password: str) -> Act:
    """Takes AUTH PLAIN with its initial response, and AUTH LOGIN step by step."""

    async def ask(visit: Visit, prompt: str) -> bytes:
        await visit.say(b"334 " + base64.b64encode(prompt.encode()) + b"\r\n")
        return base64.b64decode(await visit.reader.readline())

    async def act(visit: Visit) -> None:
        _, mechanism, *initial = visit.relay.heard[-1].split(" ")
        if mechanism == "PLAIN":
            given = base64.b64decode(initial[0]).split(b"\0")[1:]
        else:
            given = [await ask(visit, "Username:"), await ask(visit, "Password:")]
        right = given == [username.encode(), password.encode()]
        await visit.say(b"235 2.7.0 welcome\r\n" if right else b"535 5.7.8 wrong\r\n")

    return act
