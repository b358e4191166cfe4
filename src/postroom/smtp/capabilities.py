"""What a relay offers in its answer to EHLO (RFC 5321 section 4.1.1.1)."""

import re
from dataclasses import dataclass

from postroom.smtp.reply import Reply, cleaned

_MECHANISM = re.compile(r"[A-Z0-9_-]{1,20}", re.ASCII)  # RFC 4422 section 3.1
_LONGEST_SIZE = 18  # digits: a number with more says nothing


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The extensions that we use. Everything else that a relay offers is only shown (`named`)."""

    pipelining: bool = False  # RFC 2920
    size: int | None = None  # RFC 1870: octets; None is no limit that we know of
    eight_bit: bool = False  # RFC 6152
    utf8: bool = False  # RFC 6531
    starttls: bool = False  # RFC 3207
    dsn: bool = False  # RFC 3461
    enhanced_codes: bool = False  # RFC 2034
    reads_ahead: bool = True  # pipelining also holds behind a final dot (RFC 2920 3.1), as far as we know
    auth: tuple[str, ...] = ()  # RFC 4954, upper case, in the relay's order
    named: tuple[str, ...] = ()  # all of it, cleaned, for people


def read_capabilities(reply: Reply) -> Capabilities:
    """From the lines after the first, which is the relay's name."""
    lines = [line.decode("latin-1").strip() for line in reply.lines[1:]]
    words = [line.upper().split() for line in lines if line]
    keywords = {first for first, *_ in words}
    return Capabilities(
        pipelining="PIPELINING" in keywords,
        size=_size(words),
        eight_bit="8BITMIME" in keywords,
        utf8="SMTPUTF8" in keywords,
        starttls="STARTTLS" in keywords,
        dsn="DSN" in keywords,
        enhanced_codes="ENHANCEDSTATUSCODES" in keywords,
        auth=_mechanisms(words),
        named=tuple(cleaned(line) for line in reply.lines[1:]),
    )


def _size(words: list[list[str]]) -> int | None:
    for keyword, *rest in words:
        if keyword == "SIZE" and rest and rest[0].isdecimal() and rest[0].isascii() and len(rest[0]) <= _LONGEST_SIZE:
            return int(rest[0]) or None  # RFC 1870 section 3: 0 is no fixed limit
    return None


def _mechanisms(words: list[list[str]]) -> tuple[str, ...]:
    # "AUTH=LOGIN PLAIN" is how relays from before RFC 2554 said it; some still do, beside the proper line.
    offered = [name for keyword, *rest in words if keyword == "AUTH" for name in rest]
    offered += [name for keyword, *rest in words if keyword.startswith("AUTH=") for name in (keyword[5:], *rest)]
    return tuple(dict.fromkeys(name for name in offered if _MECHANISM.fullmatch(name)))
