"""Files that an option names; `-` is stdin."""

import sys
from pathlib import Path

from postroom.domain.problems import Invalid


def read_bytes(path: str, option: str) -> bytes:
    """Raises Invalid."""
    try:
        return sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise Invalid(option, f"{option}: {error.strerror}: {path}") from None


def read_text(path: str, option: str) -> str:
    """Raises Invalid."""
    try:
        return read_bytes(path, option).decode("utf-8")
    except UnicodeDecodeError:
        raise Invalid(option, f"{option}: {path} is not UTF-8.") from None
