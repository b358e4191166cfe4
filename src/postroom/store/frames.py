"""What the server and its writing process say to each other over their socket pair: frames of one object each.

The objects are pickled. Nobody else can write to that pair: it has no name, and both ends are one program, forked.
"""

import pickle
from collections.abc import Iterator
from enum import IntEnum
from typing import Any

_LENGTH = 4  # octets that say how long a frame is


class Word(IntEnum):
    BATCH = 1  # (number, batch): from now on this number means it
    JOBS = 2  # [(number, item), …]
    TURN = 3  # asked: let me write; answered: you may
    BACK = 4  # go on; {number: batch}: what these mean has changed
    DONE = 5  # (transactions, jobs done in them, results): of the jobs in their order
    END = 6  # nothing comes after this


def frame(word: Word, what: Any = None) -> bytes:
    """Raises what pickling raises when that can't be sent."""
    data = pickle.dumps((int(word), what), pickle.HIGHEST_PROTOCOL)
    return len(data).to_bytes(_LENGTH) + data


class Frames:
    """Takes octets as they come, gives whole frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, Any]]:
        self._buffer += data
        while len(self._buffer) >= _LENGTH:
            end = _LENGTH + int.from_bytes(self._buffer[:_LENGTH])
            if len(self._buffer) < end:
                return
            whole = bytes(memoryview(self._buffer)[_LENGTH:end])
            del self._buffer[:end]
            yield pickle.loads(whole)  # noqa: S301  see above
