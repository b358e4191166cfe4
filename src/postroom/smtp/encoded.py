"""Base64 of attachments, remembered: a list of mails often carries the same file in each."""

from binascii import b2a_base64
from collections import OrderedDict
from hashlib import sha256
from struct import Struct
from threading import Lock

BASE64_LINE = 76  # RFC 2045 6.8
REMEMBERED = 16 * 1024 * 1024  # octets of encoded contents, the least recently used go first
WORTH_IT = 1024  # octets; a smaller content is encoded faster than it is found

_LINE = Struct(f"{BASE64_LINE}s")


def base64_lines(raw: bytes) -> bytes:
    """Base64 in lines that end with CRLF."""
    encoded = b2a_base64(raw, newline=False)
    short = len(encoded) % BASE64_LINE
    lines = [line for (line,) in _LINE.iter_unpack(encoded[: len(encoded) - short])]  # half the time of slicing
    if short or not lines:
        lines.append(encoded[len(encoded) - short :])
    lines.append(b"")
    return b"\r\n".join(lines)


class Encoded:
    """`base64_lines`, remembered by what is encoded. It may be asked by several threads at once."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self.octets = 0
        self._most = most
        self._known: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = Lock()

    def __call__(self, raw: bytes) -> bytes:
        if not WORTH_IT <= len(raw) <= self._most // 2:
            return base64_lines(raw)
        digest = sha256(raw).digest()
        with self._lock:
            if (known := self._known.get(digest)) is not None:
                self._known.move_to_end(digest)
                return known
        encoded = base64_lines(raw)
        with self._lock:
            self._remember(digest, encoded)
        return encoded

    def _remember(self, digest: bytes, encoded: bytes) -> None:
        if digest not in self._known:  # else another thread was faster
            self._known[digest] = encoded
            self.octets += len(encoded)
        while self.octets > self._most:
            self.octets -= len(self._known.popitem(last=False)[1])
