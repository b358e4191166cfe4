"""The record of a conversation: both directions, bounded, without secrets and without the message's content."""

from postroom.smtp.reply import Reply, cleaned

LONGEST = 4 * 1024
_CUT = "(more was said than is kept)"


class Transcript:
    """Grows line by line until it is full. Who writes a secret gives what is shown in its place."""

    __slots__ = ("_full", "_lines", "_size")

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._size = 0
        self._full = False

    def said(self, line: bytes) -> None:
        self._add(f"C: {cleaned(line[:-2])}")

    def heard(self, reply: Reply) -> None:
        code = reply.code
        for line in reply.lines[:-1]:
            self._add(f"S: {code}-{cleaned(line)}")
        self._add(f"S: {code} {cleaned(reply.lines[-1])}")

    def note(self, text: str) -> None:
        self._add(f"({text})")

    def __str__(self) -> str:
        return "\n".join(self._lines)

    def _add(self, line: str) -> None:
        if self._full:
            return
        self._size += len(line) + 1
        if self._size > LONGEST - len(_CUT) - 1:
            self._full, line = True, _CUT
        self._lines.append(line)


def joined(opening: str, own: str) -> str:
    """Both halves within the bound; of the opening the beginning is kept, of the rest as much as fits."""
    if not opening:
        return own[:LONGEST]
    return f"{opening[: LONGEST // 2]}\n{own}"[:LONGEST]
