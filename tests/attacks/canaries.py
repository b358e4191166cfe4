"""Secrets that can be recognised wherever they turn up, and in nine writings."""

import base64
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from urllib.parse import quote

MARK = "Kanarie7Qx"  # in every canary: one search finds them all


def canary(kind: str, number: int) -> str:
    """With signs that each writing writes in its own way."""
    return f'{kind}"{MARK}\\{number}&ü%'


@cache
def writings(text: str) -> Mapping[str, bytes]:
    """How `text` looks inside of something longer."""
    raw = text.encode()
    return {
        "as it is": raw,
        **{f"base64 from octet {at}": _base64(raw, at) for at in range(3)},
        "URL": "".join(f"%{octet:02X}" for octet in raw).encode(),
        "JSON": "".join(f"\\u{ord(sign):04x}" for sign in text).encode(),
        "UTF-16 LE": text.encode("utf-16-le"),
        "UTF-16 BE": text.encode("utf-16-be"),
        "hex": raw.hex().encode(),
    }


def _base64(raw: bytes, at: int) -> bytes:
    """The signs that don't depend on what stands around."""
    written = base64.b64encode(b"\0" * at + raw)
    whole = len(raw) + at - (len(raw) + at) % 3
    return written[(0, 2, 3)[at] : whole // 3 * 4]


def found_in(content: bytes, *marks: str) -> list[str]:
    """In which writings one of these (else the MARK) is there, with what stands round it."""
    loose = content.lower()  # once: there are thousands to look for in hundreds of megabytes
    found = []
    for mark in marks or (MARK,):
        for name, form in writings(mark).items():
            where, form = (loose, form.lower()) if name in ("URL", "JSON", "hex") else (content, form)
            at = where.find(form)
            if at >= 0:
                found.append(f"{name}: {content[max(0, at - 120) : at + 80]!r}")
    return found


def files_under(directory: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            yield str(path.name), path.read_bytes()


def planted(secret: str) -> Mapping[str, bytes]:
    """The secret as somebody might let it out, whole, in each writing: what the search must find."""
    raw = secret.encode()
    return {
        "as it is": b"password=" + raw,
        "base64 from octet 0": base64.b64encode(raw),
        "base64 from octet 1": base64.b64encode(b"\0" + raw + b"x"),
        "base64 from octet 2": base64.b64encode(b"\0u" + raw + b"\0"),
        "URL": quote(secret).encode(),
        "JSON": json.dumps({"p": secret}).encode(),
        "UTF-16 LE": ("p=" + secret).encode("utf-16-le"),
        "UTF-16 BE": ("p=" + secret).encode("utf-16-be"),
        "hex": b"0x" + raw.hex().upper().encode(),
        "URL, every octet": "".join(f"%{octet:02x}" for octet in raw).encode(),
        "JSON, every sign": "".join(f"\\u{ord(sign):04X}" for sign in secret).encode(),
    }
