"""What a request goes by in the log, in its answer and in problems: the caller's word for it, or one of ours."""

import itertools
import re
import secrets

from starlette.types import Scope

HEADER = b"x-request-id"
_SANE = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,100}")  # one word of a log line, whatever reads it
_OURS = secrets.token_hex(6)  # of this process; then a number, which costs less than more dice
_number = itertools.count(1)


def of(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == HEADER and _SANE.fullmatch(value):
            return str(value, "ascii")
    return f"{_OURS}-{next(_number)}"
