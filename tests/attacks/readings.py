"""Addresses made up to be read in two ways, and four other readers of addresses."""

import random
from collections.abc import Callable, Iterator
from email.errors import MessageError
from email.headerregistry import Address as HeaderAddress
from email.utils import getaddresses, parseaddr
from types import SimpleNamespace
from typing import Any

from aiosmtpd.smtp import SMTP

from domain.address_corpus import ATTACKS, LEGAL

_SIGNS = "@@@..,;:<>()[]\"\\'!%&#$*+-/=?^_`{|}~ \t\r\n\0\x7f\x85\xa0\u200b\u2028＠。ｇﬁſıßéжK\u212a09azAZ"
_WORDS = ("@good.example", "@evil.example", "good.example", "evil.example", "bob", "=?utf-8?q?x=40evil?=", "xn--",
          "<x@evil.example>", "(x)", '"x"', "@[127.0.0.1]", "\r\nRCPT TO:<x@evil.example>", " ORCPT=", "..", "@@",
          "%evil.example", "evil!")  # fmt: skip


def made_up(count: int, seed: int) -> Iterator[str]:
    dice = random.Random(seed)  # noqa: S311  for repeating
    known = [each for each in (*LEGAL, *(a for attacks in ATTACKS.values() for a in attacks)) if len(each) < 200]
    for _ in range(count):
        text = dice.choice(known)
        for _ in range(dice.randint(0, 3)):
            at, what = dice.randint(0, len(text)), dice.choice((dice.choice(_SIGNS), dice.choice(_WORDS), ""))
            text = text[:at] + what + text[at + dice.randint(0, 2) :]
        yield text


Reading = tuple[str, str]


def by_parseaddr(text: str) -> Reading | None:
    return _halves(parseaddr(text)[1])


def by_getaddresses(text: str) -> Reading | None:
    found = getaddresses([text])
    return _halves(found[0][1]) if len(found) == 1 else ("", "")  # two addresses are another reading


def by_headerregistry(text: str) -> Reading | None:
    try:
        read = HeaderAddress(addr_spec=text)
    except (ValueError, IndexError, MessageError):
        return None
    return read.username, read.domain


_LOOSE: Any = SimpleNamespace(local_part_limit=0)


def by_aiosmtpd(text: str) -> Reading | None:
    read, rest = SMTP._getaddr(_LOOSE, f"<{text}>")
    return ("", "") if rest else _halves(read or "")


def _halves(text: str) -> Reading | None:
    local, at, domain = text.rpartition("@")
    return (local, domain) if at else None


READERS: tuple[Callable[[str], Reading | None], ...] = (
    by_parseaddr, by_getaddresses, by_headerregistry, by_aiosmtpd,
)  # fmt: skip
