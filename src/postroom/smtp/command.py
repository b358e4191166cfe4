"""The only place that makes command lines (RFC 5321 section 4.1.1). No line break gets through it."""

import re

_BREAKS = re.compile(r"[\x00\r\n]")
# Whatever could end the path or start a parameter: `a@good.example> ORCPT=x` must not become two arguments.
_UNFIT_FOR_PATH = re.compile("[\x00-\x20\x7f-\x9f<>\u2028\u2029]")


class Unsendable(ValueError):
    """Sending this would say something else than was meant. Holds no value: it could be a secret."""


def command(text: str) -> bytes:
    """One command as it goes out. Raises Unsendable for CR, LF and NUL."""
    if not text.isprintable() and _BREAKS.search(text):
        raise Unsendable("a command must not have a line break or NUL in it")
    try:
        return f"{text}\r\n".encode()
    except UnicodeEncodeError:  # a lone surrogate
        raise Unsendable("a command must be text") from None


def path(address: str) -> str:
    """`<address>` for MAIL and RCPT (RFC 5321 4.1.2); empty is the null reverse-path. Raises Unsendable."""
    if _UNFIT_FOR_PATH.search(address):
        raise Unsendable("an address must not have spaces, controls or angle brackets")
    return f"<{address}>"
