"""Where every mail ends: a server in a thread, because it outlives any test's event loop."""

import threading
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import SMTP as SMTP_POLICY
from typing import Any, cast

from aiosmtpd.smtp import SMTP, Envelope

from .daemon import PATIENCE


class Sink:
    def __init__(self) -> None:
        self._arrived = threading.Condition()
        self._mails: dict[str, list[bytes]] = {}

    async def handle_DATA(self, _server: SMTP, _session: Any, envelope: Envelope) -> str:
        with self._arrived:
            for recipient in envelope.rcpt_tos:
                self._mails.setdefault(recipient, []).append(cast(bytes, envelope.content))
            self._arrived.notify_all()
        return "250 2.0.0 taken"

    def mail_to(self, recipient: str) -> EmailMessage:
        """The one mail to whom it is; waits for it."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: recipient in self._mails, PATIENCE), f"no mail came to {recipient}"
            (content,) = self._mails[recipient]
        return cast(EmailMessage, BytesParser(policy=SMTP_POLICY).parsebytes(content))

    def has_mail_to(self, recipient: str) -> bool:
        with self._arrived:
            return recipient in self._mails
