"""Templates to answers. Everything in a template is escaped; the way around it, `Markup`, nobody uses."""

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib.util import cache_from_source
from pathlib import Path
from types import MappingProxyType
from typing import Final

from jinja2 import Environment, FileSystemBytecodeCache, PackageLoader, StrictUndefined, select_autoescape
from jinja2.bccache import Bucket
from starlette.responses import HTMLResponse, StreamingResponse

from postroom.domain.delivery import Stage
from postroom.web.api.models import moment

SECOND = 1_000_000
GOES_ON = "<!-- it goes on here -->"  # in a template; what people have typed has no bare "<"

# What a page says at its top after something was done, by `?done=<word>`: nobody can make a page say anything else.
DONE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "saved": "Saved as a new revision.",
        "unchanged": "Nothing was different, so nothing was saved.",
        "created": "Created.",
        "deleted": "Deleted.",
        "restored": "Rolled back. That is a new revision, too.",
        "paused": "Paused. Its mail is kept until you resume it.",
        "resumed": "Resumed. Its mail goes out again.",
        "default": "Mail that names no profile goes through this one now.",
        "retried": "It is tried again now.",
        "cancelled": "Cancelled. What had not left yet stays here.",
        "tenant": "The tenant is made. These are its pages.",
        "key_made": "That key was made already, and its value shown once. If nobody kept it, make another.",
        "turned": "That key was rotated already, and its new value shown once. If nobody kept it, rotate it again.",
        "revoked": "Revoked. Whoever uses this key is refused from now on.",
        "emptied": "The sandbox is empty.",
    }
)


STAGES: Final[Mapping[str, str]] = {
    Stage.SETTINGS: "Settings", Stage.POLICY: "Network policy", Stage.RESOLVE: "Name (DNS)",
    Stage.CONNECT: "Connection", Stage.GREETING: "Greeting", Stage.EHLO: "EHLO", Stage.TLS: "Encryption (TLS)",
    Stage.AUTH: "Login", Stage.SIZE: "Size", Stage.SENDER: "Sender", Stage.RECIPIENT: "Recipient", Stage.DATA: "Mail",
    Stage.DOT: "Delivery",
}  # fmt: skip


def stage(name: str) -> str:
    """A step of a check, in words."""
    return STAGES.get(name, name)


def clock(microseconds: int) -> str:
    """For people: to the second, in UTC. The whole moment is in the `datetime` attribute beside it."""
    return datetime.fromtimestamp(microseconds / SECOND, UTC).strftime("%Y-%m-%d %H:%M:%S")


def size(octets: int) -> str:
    """As people say it: 812 B, 14 kB, 3.2 MB."""
    if octets < 1000:
        return f"{octets} B"
    for unit in ("kB", "MB", "GB"):
        octets_in_unit = octets / 1000
        if octets_in_unit < 1000 or unit == "GB":
            return f"{octets_in_unit:.1f} {unit}" if octets_in_unit < 10 else f"{octets_in_unit:.0f} {unit}"
        octets = int(octets_in_unit)
    raise AssertionError("unreachable")


def ago(microseconds: int, now: int) -> str:
    """How long since, or until: "just now", "5 min ago", "in 2 h"."""
    seconds = (now - microseconds) // SECOND
    if abs(seconds) < 10:
        return "just now"
    words = next(
        f"{abs(seconds) // length} {unit}"
        for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
        if abs(seconds) >= length
    )
    return f"{words} ago" if seconds > 0 else f"in {words}"


def lasted(microseconds: int) -> str:
    """A duration: 12 ms, 1.4 s, 3 min."""
    seconds = microseconds / SECOND
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


class CompiledTemplates(FileSystemBytecodeCache):
    """Kept where Python keeps compiled modules and by its rules: none if it is told to write none. Where nothing can be
    written they are compiled at each start, which takes a quarter of a second."""

    def dump_bytecode(self, bucket: Bucket) -> None:
        if not sys.dont_write_bytecode:
            with suppress(OSError):
                Path(self.directory).mkdir(parents=True, exist_ok=True)
                super().dump_bytecode(bucket)


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("postroom.web.pages"), autoescape=select_autoescape(default=True),
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True,
        bytecode_cache=CompiledTemplates(str(Path(cache_from_source(__file__)).parent)),
    )  # fmt: skip
    environment.filters.update(moment=moment, clock=clock, size=size, ago=ago, lasted=lasted, stage=stage)
    return environment


_TEMPLATES = _environment()


def prepare() -> None:
    """Read all templates, once: whoever asks for a page first should not wait for that."""
    for name in _TEMPLATES.list_templates():
        _TEMPLATES.get_template(name)


def page(template: str, status: int = 200, **values: object) -> HTMLResponse:
    """A whole page."""
    return HTMLResponse(_TEMPLATES.get_template(template).render(**values), status)


def growing(template: str, parts: AsyncIterator[str], **values: object) -> StreamingResponse:
    """A page that goes out at once, but for what its template has GOES_ON in place of: that comes as `parts` give it.
    A browser shows what it has got, so this needs no script."""
    before, _, after = text(template, **values).partition(GOES_ON)

    async def pieces() -> AsyncIterator[str]:
        yield before
        async for each in parts:
            yield each
        yield after

    return StreamingResponse(pieces(), media_type="text/html")


def text(template: str, **values: object) -> str:
    """A part of a page."""
    return _TEMPLATES.get_template(template).render(**values)
