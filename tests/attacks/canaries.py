"""Secrets that can be recognised wherever they turn up, and in nine writings."""

import base64
import json
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

MARK = "Kanarie7Qx"  # in every canary: one search finds them all


def canary(kind: str, number: int) -> str:
    """With signs that each writing writes in its own way."""
    return f'{kind}"{MARK}\\{number}&ü%'


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


def found_in(content: bytes, *marks: str) -> list[tuple[int, str]]:
    """Where one of these (else the MARK) is, in any writing, and what stands round it.

    `grep -F` looks for thousands of texts in one pass. Without case, as some writings are: no other text is so alike.
    """
    forms = {form.lower(): name for mark in marks or (MARK,) for name, form in writings(mark).items()}
    with tempfile.NamedTemporaryFile() as patterns:
        patterns.write(b"\n".join(forms))
        patterns.flush()
        grep = subprocess.run(
            ["grep", "-aobiF", "-f", patterns.name], input=content, stdout=subprocess.PIPE, env={"LC_ALL": "C"}
        )
    assert grep.returncode in (0, 1), "grep failed"
    found = []
    for line in grep.stdout.splitlines():
        offset, _, form = line.partition(b":")
        at = int(offset)
        found.append((at, f"{forms[form.lower()]}: {content[max(0, at - 120) : at + 80]!r}"))
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
