"""The moods of H1–H40 that need more than an answer: what the test relay (`smtp/moods.py`) does at a moment."""

import asyncio
import ssl
import warnings
from dataclasses import replace
from functools import cache

import trustme

from smtp.moods import OFFERS, Act, HangUp, Mood, Visit

LOGIN = "AUTH PLAIN LOGIN"
DRIP = 0.05  # seconds between two bytes

EHLO = b"250-relay.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 AUTH PLAIN LOGIN\r\n"
GOOD = {
    "greeting": b"220 relay.test ESMTP\r\n",
    "EHLO": EHLO,
    "STARTTLS": b"220 go ahead\r\n",
    "AUTH": b"235 2.7.0 welcome\r\n",
    "MAIL": b"250 2.1.0 ok\r\n",
    "RCPT": b"250 2.1.5 ok\r\n",
    "DATA": b"354 go on\r\n",
    "dot": b"250 2.0.0 queued as 42\r\n",
}


def good(*offers: str, without: tuple[str, ...] = (), **answers: object) -> Mood:
    """A good relay that offers everything and a login, but for `answers` and offers."""
    kept = tuple(each for each in (*OFFERS, LOGIN) if each.split(" ")[0] not in without)
    return Mood(answers, offers=(*kept, *offers))  # type: ignore[arg-type]


def at(moment: str, answer: object) -> Mood:
    return good(**{moment: answer})


def lock_step(mood: Mood) -> Mood:
    """The same relay without PIPELINING."""
    return replace(mood, offers=tuple(each for each in mood.offers if each != "PIPELINING"))


# What it does, by number.


def floods(data: bytes) -> Act:
    """H3, H4, H5: goes on until nobody listens any more."""

    async def act(visit: Visit) -> None:
        for _ in range(100 * 1024 * 1024 // len(data)):  # 100 MB and not more, should nobody stop it
            await visit.say(data)
        raise HangUp

    return act


def drips(answer: bytes) -> Act:
    """H6: says the right thing, a byte at a time."""

    async def act(visit: Visit) -> bytes:
        for at in range(len(answer)):
            await visit.say(answer[at : at + 1])
            await asyncio.sleep(DRIP)
        return answer

    return act


def says_and_does_not_go_on(answer: bytes) -> Act:
    async def act(visit: Visit) -> None:
        await visit.say(answer)
        await asyncio.sleep(30)

    return act


def hello_of_tls_1_0(before: bytes) -> Act:
    """H12: a ServerHello of version 3.1, as a relay from before TLS 1.2 sends it (RFC 2246 7.4.1.3)."""
    hello = b"\x03\x01" + bytes(range(32)) + b"\x00" + b"\x00\x2f" + b"\x00"
    handshake = b"\x02" + len(hello).to_bytes(3, "big") + hello
    record = b"\x16\x03\x01" + len(handshake).to_bytes(2, "big") + handshake

    async def act(visit: Visit) -> None:
        if before:
            await visit.say(before)
        await visit.reader.read(1)  # the ClientHello has come
        await visit.say(record)
        await asyncio.sleep(30)

    return act


@cache
def _tls_1_0() -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("relay.test").configure_cert(made)
    made.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made.minimum_version = made.maximum_version = ssl.TLSVersion.TLSv1
    return made


def openssl_with_tls_1_0(before: bytes) -> Act:
    """H12: a real one, which may not speak anything newer. (asyncio's own server would keep its alert to itself.)"""

    async def act(visit: Visit) -> None:
        await visit.say(before)
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = _tls_1_0().wrap_bio(incoming, outgoing, server_side=True)
        while heard := await visit.reader.read(4096):
            incoming.write(heard)
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                await visit.say(outgoing.read())
            except ssl.SSLError:
                await visit.say(outgoing.read())
                raise HangUp from None

    return act


def in_pieces(*pieces: bytes) -> Act:
    """H13: so that they come as packets of their own."""

    async def act(visit: Visit) -> bytes:
        for piece in pieces:
            await visit.say(piece)
            await asyncio.sleep(0.03)
        return pieces[0]

    return act


def _looks_ahead(*, wants: bool) -> Act:
    async def act(visit: Visit) -> bytes:
        await asyncio.sleep(0.1)
        came_along = b"\nRCPT" in visit.relay.got
        answer = b"250 ok\r\n" if came_along is wants else b"550 5.5.0 not so\r\n"
        await visit.say(answer)
        return answer

    return act


wants_pipelining = _looks_ahead(wants=True)  # H36: takes the sender only if the recipients came right behind
wants_lock_step = _looks_ahead(wants=False)


async def cuts_in_body(visit: Visit) -> None:
    """H18: after the first line of it."""
    await visit.reader.readline()
    visit.writer.transport.abort()
    raise HangUp


# H22: terminal escapes, a bell, NUL, a byte that is no UTF-8, HTML, marks that turn the text around, and too much.
DIRTY = b"\x1b[31m\x07\x00\xff<script>alert(1)</script>\xe2\x80\xae\xe2\x80\x8f" + b"x" * 500


def dirty(code: int) -> bytes:
    return b"%d %s\r\n" % (code, DIRTY)
