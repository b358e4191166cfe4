"""What a relay's no means for a recipient or a message (`research/security-reliability.md` 3.2). Pure.

The first digit decides (RFC 5321 4.2.1); what differs is whom the no is about, and so who has to wait.
"""

from enum import Enum

from postroom.domain.delivery import InDoubt, RelayReply, Scope, Stage
from postroom.smtp.advice import advice_on
from postroom.smtp.failure import Failure
from postroom.smtp.reply import Reply

_ABOUT_SENDER = ("5.1.7", "5.1.8")  # RFC 3463: bad sender's mailbox, bad sender's system
_TOO_LARGE = ("5.3.4", "5.2.3")


class Interruption(Enum):
    """Why a connection is of no more use: the code before the final dot, the one after it, and what happened."""

    LOST = "connection.lost", "in_doubt.lost", "The relay cut the connection"
    TIMEOUT = "reply.timeout", "in_doubt.timeout", "The relay did not answer in time"
    MALFORMED = "reply.malformed", "in_doubt.malformed", "The relay answered with something that is not SMTP"
    ATTEMPT = "attempt.timeout", "in_doubt.timeout", "The attempt took longer than an attempt may take"


def interrupted(why: Interruption, stage: Stage, *, in_body: bool = False) -> Failure:
    """Before the final dot: nobody has the mail."""
    code, _, what = why.value
    # A message that breaks the connection each time must cost itself attempts, not everybody else a rest.
    about_message = in_body or why is Interruption.ATTEMPT
    where = "while the message was going out" if in_body else f"before the mail was handed over ({stage})"
    return Failure(code, f"{what} {where}.", stage, Scope.MESSAGE if about_message else Scope.RELAY)


def doubt(why: Interruption) -> InDoubt:
    """After the final dot: the relay may have taken it or not (RFC 1047)."""
    _, code, what = why.value
    said = f"{what} after the whole message had gone out, so that it may have been delivered or not."
    return InDoubt(code, f"{said} {advice_on(code)}")


def said_no(code: str, what: str, stage: Stage, reply: Reply) -> Failure:
    """While the connection is opened: a temporary no is about the relay; a final one, and a reply that is neither,
    about the settings."""
    scope = Scope.RELAY if reply.defers else Scope.PROFILE
    return Failure(code, _in_words(what, reply), stage, scope, reply.shown())


def closing(reply: Reply, stage: Stage) -> Failure:
    """421 may come in answer to anything (RFC 5321 3.8)."""
    what = _in_words("The relay is closing the connection", reply)
    return Failure("relay.closing", what, stage, Scope.RELAY, reply.shown())


def unsendable(stage: Stage) -> Failure:
    what = "An address has characters that no SMTP command can carry."
    return Failure("message.unsendable", what, stage, Scope.MESSAGE, permanent=True)


def utf8_unsupported(stage: Stage) -> Failure:
    what = "An address is not plain ASCII, and the relay takes no other."
    return Failure("message.utf8_unsupported", what, stage, Scope.MESSAGE, permanent=True)


def on_sender(reply: Reply, sender: str) -> Failure:
    said, shown = _in_words(f'The relay did not take the sender "{sender}"', reply), reply.shown()
    if reply.defers:
        return Failure("sender.deferred", said, Stage.SENDER, Scope.MESSAGE, shown)
    if reply.code == 530:  # RFC 3207 section 4, RFC 4954 section 6
        return _something_first(reply, shown)
    if _is_too_large(reply, shown):
        what = _in_words("The message is larger than the relay takes", reply)
        return Failure("message.too_large", what, Stage.SENDER, Scope.MESSAGE, shown, permanent=True)
    if reply.code in (550, 553) or (shown.enhanced or "").startswith("5.7.") or shown.enhanced in _ABOUT_SENDER:
        # The settings name a sender that this relay will not have: every message would bounce.
        return Failure("sender.refused", said, Stage.SENDER, Scope.PROFILE, shown)
    return Failure("sender.refused", said, Stage.SENDER, Scope.MESSAGE, shown, permanent=True)


def on_recipient(reply: Reply, recipient: str) -> Failure:
    said, shown = _in_words(f'The relay did not take the recipient "{recipient}"', reply), reply.shown()
    if reply.refuses:
        return Failure("recipient.refused", said, Stage.RECIPIENT, Scope.RECIPIENT, shown, permanent=True)
    code = "recipient.too_many" if reply.code == 452 and shown.enhanced == "4.5.3" else "recipient.deferred"
    return Failure(code, said, Stage.RECIPIENT, Scope.RECIPIENT, shown)


def on_data(reply: Reply) -> Failure:
    return _on_message("data", "The relay did not want the message", Stage.DATA, reply)


def on_dot(reply: Reply) -> Failure:
    return _on_message("dot", "The relay read the message and did not take it", Stage.DOT, reply)


def _on_message(code: str, what: str, stage: Stage, reply: Reply) -> Failure:
    shown, said = reply.shown(), _in_words(what, reply)
    if reply.refuses and _is_too_large(reply, shown):
        return Failure("message.too_large", said, stage, Scope.MESSAGE, shown, permanent=True)
    ending = "refused" if reply.refuses else "deferred"
    return Failure(f"{code}.{ending}", said, stage, Scope.MESSAGE, shown, permanent=reply.refuses)


def _something_first(reply: Reply, shown: RelayReply) -> Failure:
    code = "tls.required" if "TLS" in shown.text.upper() else "auth.required"
    need = "TLS" if code == "tls.required" else "a login"
    return Failure(code, _in_words(f"The relay wants {need} first", reply), Stage.SENDER, Scope.PROFILE, shown)


def _is_too_large(reply: Reply, shown: RelayReply) -> bool:
    return reply.code == 552 or shown.enhanced in _TOO_LARGE


def _in_words(what: str, reply: Reply) -> str:
    """A sentence with the relay's words, which may have a full stop of their own."""
    return f"{what}: {str(reply).rstrip('.')}."
