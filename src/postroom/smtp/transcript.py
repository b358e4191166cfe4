"""The record of a conversation: both directions, bounded, without secrets and without the message's content.

What was said is only noted down; it is made presentable when somebody looks, which for mail that goes well is never.
"""

from postroom.smtp.reply import Reply, cleaned

LONGEST = 4 * 1024
_CUT = "(more was said than is kept)"


class Transcript:
    """Grows until it is full. Who writes a secret gives what is shown in its place."""

    __slots__ = ("_entries", "_size")

    def __init__(self) -> None:
        self._entries: list[bytes | Reply | str] = []
        self._size = 0

    def said(self, lines: bytes) -> None:
        """One line, or several that were written in one go; each has its CRLF."""
        if self._size < LONGEST:
            self._size += len(lines)
            self._entries.append(lines)

    def heard(self, reply: Reply) -> None:
        if self._size < LONGEST:
            self._size += len(reply.lines[0]) if len(reply.lines) == 1 else sum(map(len, reply.lines))
            self._entries.append(reply)

    def note(self, text: str) -> None:
        if self._size < LONGEST:
            self._size += len(text)
            self._entries.append(text)

    def __str__(self) -> str:
        return bounded("\n".join(map(_shown, self._entries)), LONGEST)


def bounded(text: str, longest: int) -> str:
    """Whole lines from the beginning, and a word about the rest if there is one."""
    if len(text) <= longest:
        return text
    kept = text[: longest - len(_CUT) - 1]
    return f"{kept[: kept.rfind(chr(10)) + 1]}{_CUT}"


def joined(opening: str, own: str) -> str:
    """Both halves within the bound; the opening may take half of it."""
    return bounded("\n".join(filter(None, (bounded(opening, LONGEST // 2), own))), LONGEST)


def _shown(entry: bytes | Reply | str) -> str:
    match entry:
        case Reply():
            *more, last = map(cleaned, entry.lines)
            return "\n".join([*(f"S: {entry.code}-{line}" for line in more), f"S: {entry.code} {last}"])
        case bytes():
            return "\n".join(
                f"C: {cleaned(line)}" for line in entry[: LONGEST + 2].removesuffix(b"\r\n").split(b"\r\n")
            )
        case _:
            return f"({entry})"
