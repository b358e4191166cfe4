"""What a relay says, read strictly (RFC 5321 section 4.2): bytes in, replies out, within fixed limits.

Nothing is guessed. A reply that breaks the grammar is a ProtocolError, because whoever guesses can take the answer to
one command for the answer to another, and a mail that was refused for one that was taken.
"""

import re
from dataclasses import dataclass

from postroom.domain.delivery import RelayReply

LONGEST_LINE = 2 * 1024  # RFC 5321 4.5.3.1.5 asks for 512 octets; real relays write longer ones
LONGEST_REPLY = 64 * 1024
MOST_LINES = 128
LONGEST_SHOWN = 512
MOST_KNOWN = 32  # replies, and groups of them
LONGEST_GROUP = 512  # octets

# The first digit says what it means and the second is loose: 571 and 591 are seen in the wild (RFC 5321 4.2.1).
_LINE = re.compile(rb"([2-5][0-9]{2})(?:([ -])(.*))?", re.DOTALL)
_ENHANCED = re.compile(rb"([245])\.[0-9]{1,3}\.[0-9]{1,3}(?= |$)")
_UNPRINTABLE = re.compile(r"[^ -~]")


class ProtocolError(Exception):
    """The relay broke the grammar; the connection can't be used any more. `limit` tells too much from wrong."""

    def __init__(self, message: str, *, limit: bool = False) -> None:
        super().__init__(message)
        self.limit = limit


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole reply: its code, and the text of each line as it came."""

    code: int
    lines: tuple[bytes, ...]

    @property
    def accepts(self) -> bool:
        """A yes to a command. 220, 221 and 235 say yes to something else that was not asked."""
        return 200 <= self.code < 300 and self.code not in (220, 221, 235)

    @property
    def defers(self) -> bool:
        return 400 <= self.code < 500

    @property
    def refuses(self) -> bool:
        return self.code >= 500

    @property
    def enhanced(self) -> str | None:
        """The enhanced status code (RFC 3463), but only one that agrees with the reply's first digit."""
        found = _ENHANCED.match(self.lines[0])
        return found[0].decode() if found is not None and int(found[1]) == self.code // 100 else None

    def cleaned(self) -> str:
        """The text for logs and pages: printable ASCII on one line, at most 512 characters."""
        return cleaned(b" ".join(self.lines))

    def shown(self) -> RelayReply:
        return RelayReply(self.code, self.cleaned(), self.enhanced)

    def without(self, secrets: tuple[bytes, ...]) -> "Reply":
        """The same reply with stars where it repeats one of `secrets`."""
        lines = self.lines
        if not any(secret in line for line in lines for secret in secrets):
            return self
        for secret in secrets:
            lines = tuple(line.replace(secret, b"***") for line in lines)
        return Reply(self.code, lines)

    def __str__(self) -> str:
        return f"{self.code} {self.cleaned()}".rstrip()


class ReplyReader:
    """Collects bytes, gives replies. However the bytes are cut, the replies and the error are the same."""

    __slots__ = ("_at", "_buffer", "_code", "_groups", "_known", "_lines", "_size")

    def __init__(self) -> None:
        self._buffer = b""
        self._at = 0  # what stands before it has been read
        self._known: dict[bytes, Reply] = {}  # relays answer most messages in the same few words
        self._groups: dict[bytes, tuple[Reply, ...]] = {}  # and so are the answers to a message's commands
        self._lines: list[bytes] = []
        self._code = b""
        self._size = 0

    def feed(self, data: bytes) -> None:
        self._buffer = self._buffer[self._at :] + data if self._at < len(self._buffer) else data
        self._at = 0

    @property
    def has_rest(self) -> bool:
        """Whether anything is buffered that no reply was made of yet."""
        return self._at < len(self._buffer) or bool(self._lines)

    def group(self) -> tuple[Reply, ...]:
        """All that is left, if it is a group of replies that has been heard before; else nothing."""
        rest = self._buffer[self._at :] if self._at else self._buffer
        if self._lines or not rest or len(rest) > LONGEST_GROUP:
            return ()
        known = self._groups.get(rest) or self._learn(rest)
        if known:
            self._at = len(self._buffer)
        return known

    def _learn(self, rest: bytes) -> tuple[Reply, ...]:
        """Nothing but whole replies that are known one by one is a group from now on."""
        if rest[: rest.find(b"\r\n")] not in self._known:  # mostly the answer to a final dot, with a queue id
            return ()
        *lines, end = rest.split(b"\r\n")
        replies = tuple([self._known[line] for line in lines if line in self._known])
        if end or len(lines) < 2 or len(replies) < len(lines):
            return ()
        if len(self._groups) >= MOST_KNOWN:
            self._groups.clear()
        self._groups[rest] = replies
        return replies

    def next(self) -> Reply | None:
        """The next whole reply, or None until more bytes come. Raises ProtocolError."""
        while (line := self._next_line()) is not None:
            if not self._lines and (known := self._known.get(line)) is not None:
                self._size = 0
                return known
            found = _LINE.fullmatch(line)
            if found is None:
                raise ProtocolError("a line is not a reply")
            code, mark, text = found.groups(b"")
            self._add(code, text)
            if mark != b"-":
                return self._take(int(code), line)
        return None

    def _next_line(self) -> bytes | None:
        # A bare LF ends a line too: old relays send it, and in a reply nothing can hide behind it.
        start = self._at
        end = self._buffer.find(b"\n", start, start + LONGEST_LINE)
        if end < 0:
            if len(self._buffer) - start >= LONGEST_LINE:
                raise ProtocolError(f"a line is longer than {LONGEST_LINE} bytes", limit=True)
            return None
        self._at = end + 1
        self._size += end + 1 - start
        return self._buffer[start:end].removesuffix(b"\r")

    def _add(self, code: bytes, text: bytes) -> None:
        if self._lines and code != self._code:
            raise ProtocolError("the lines of one reply have different codes")
        self._code = code
        self._lines.append(text)
        if len(self._lines) > MOST_LINES or self._size > LONGEST_REPLY:
            raise ProtocolError(f"a reply is longer than {MOST_LINES} lines or {LONGEST_REPLY} bytes", limit=True)

    def _take(self, code: int, last: bytes) -> Reply:
        reply = Reply(code, tuple(self._lines))
        if len(self._lines) == 1 and code in (250, 354):
            if len(self._known) >= MOST_KNOWN:  # answers with a queue id are never seen again
                self._known.clear()
            self._known[last] = reply
        self._lines.clear()
        self._size = 0
        return reply


def cleaned(text: bytes) -> str:
    """Printable ASCII, every other byte as \\xNN, cut to what is shown of a relay's words."""
    plain = text[:LONGEST_SHOWN].decode("latin-1")
    if plain.isascii() and plain.isprintable():
        return plain
    return _UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]):02X}", plain)[:LONGEST_SHOWN]
