"""The options for a mail, and what they say in the API's words."""

import base64
import mimetypes
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from postroom.cli.duration import seconds
from postroom.cli.reading import read_bytes, read_text
from postroom.domain.message import Notify, Returned

_NAMED = re.compile(r'\s*"?(?P<name>[^"<>]*?)"?\s*<(?P<address>[^<>]+)>\s*')
_MAILBOX = "ADDRESS"


@dataclass(frozen=True, slots=True)
class Draft:
    """An address may have a name: `"Ada Example <ada@example.com>"`."""

    to: Annotated[list[str] | None, typer.Option(metavar=_MAILBOX, help="A recipient; give it several times.")] = None
    cc: Annotated[list[str] | None, typer.Option(metavar=_MAILBOX)] = None
    bcc: Annotated[list[str] | None, typer.Option(metavar=_MAILBOX)] = None
    subject: Annotated[str, typer.Option("--subject", "-s")] = ""
    text: Annotated[str | None, typer.Option(help="The text itself.")] = None
    text_file: Annotated[str | None, typer.Option(metavar="FILE", help="The text; - is stdin.")] = None
    html_file: Annotated[str | None, typer.Option(metavar="FILE", help="The same as HTML; - is stdin.")] = None
    sender: Annotated[str | None, typer.Option("--from", metavar=_MAILBOX, help="Else the profile's sender.")] = None
    reply_to: Annotated[str | None, typer.Option(metavar=_MAILBOX)] = None
    attach: Annotated[list[str] | None, typer.Option(metavar="FILE", help="Give it several times.")] = None
    inline: Annotated[
        list[str] | None, typer.Option(metavar="FILE", help='A picture in the HTML: <img src="cid:NAME OF THE FILE">.')
    ] = None
    profile: Annotated[int | None, typer.Option(metavar="ID", help="Else the tenant's default profile.")] = None
    expires_in: Annotated[
        int | None, typer.Option(parser=seconds, metavar="DURATION", help="Give up after this long: 2h, 3d; else 5d.")
    ] = None
    notify: Annotated[
        list[Notify] | None, typer.Option(help="When relays are to report to the sender; give it several times.")
    ] = None
    returned: Annotated[Returned | None, typer.Option("--return", help="What reports of failure bring back.")] = None

    def body(self) -> dict[str, Any]:
        """Raises Invalid when a file can't be read, BadParameter when there is no recipient or two texts."""
        if not (self.to or self.cc or self.bcc):
            raise typer.BadParameter("say to whom: --to somebody@example.com")
        said = {
            "to": _mailboxes(self.to), "cc": _mailboxes(self.cc), "bcc": _mailboxes(self.bcc), "subject": self.subject,
            "text": self._text(), "html": read_text(self.html_file, "--html-file") if self.html_file else None,
            "from": _mailbox(self.sender) if self.sender else None,
            "reply_to": _mailbox(self.reply_to) if self.reply_to else None,
            "attachments": [*(_attachment(path) for path in self.attach or ()), *map(_inline, self.inline or ())],
            "profile": self.profile, "expires_in": self.expires_in, "dsn": self._dsn(),
        }  # fmt: skip
        return {name: value for name, value in said.items() if value not in (None, [])}

    def _dsn(self) -> dict[str, Any] | None:
        if not self.notify and self.returned is None:
            return None
        return {"notify": [each.value for each in self.notify or ()], "return": self.returned}

    def _text(self) -> str | None:
        if self.text is not None and self.text_file is not None:
            raise typer.BadParameter("give the text once: --text, --text-file or -.")
        if "-" == self.text_file == self.html_file:
            raise typer.BadParameter("stdin can be read once: for the text, or for the HTML.")
        return read_text(self.text_file, "--text-file") if self.text_file is not None else self.text


def _mailboxes(given: list[str] | None) -> list[dict[str, str | None]]:
    return [_mailbox(each) for each in given or ()]


def _mailbox(text: str) -> dict[str, str | None]:
    named = _NAMED.fullmatch(text)
    if named is None:
        return {"address": text.strip(), "name": None}
    return {"address": named["address"].strip(), "name": named["name"] or None}


def _inline(path: str) -> dict[str, str]:
    return _attachment(path, "--inline") | {"content_id": Path(path).name}


def _attachment(path: str, option: str = "--attach") -> dict[str, str]:
    content = base64.b64encode(read_bytes(path, option)).decode("ascii")
    kind, encoding = mimetypes.guess_type(path)
    kind = kind if kind and not encoding else "application/octet-stream"  # report.txt.gz is no text
    return {"filename": Path(path).name, "content_type": kind, "content": content}
