"""One mail transaction: MAIL, RCPT for each recipient, DATA, the final dot (RFC 5321 section 3.3).

Knows nothing of sockets. Hears the replies in order and keeps one outcome per recipient. It always knows its phase:
a connection lost before the final dot leaves nobody with the mail, one lost after it leaves a doubt (RFC 1047).
"""

from collections.abc import Callable
from enum import IntEnum
from typing import NamedTuple

from postroom.domain.delivery import InDoubt, Outcome, Scope, Sent, Stage
from postroom.domain.message import Envelope
from postroom.smtp import dsn, verdict
from postroom.smtp.body import on_the_wire
from postroom.smtp.capabilities import Capabilities
from postroom.smtp.command import Unsendable, command, path
from postroom.smtp.failure import Failure
from postroom.smtp.reply import ProtocolError, Reply
from postroom.smtp.transcript import Transcript
from postroom.smtp.verdict import Interruption

DATA = b"DATA\r\n"


class Phase(IntEnum):
    SENDER = 1  # the answer to MAIL is due
    RECIPIENT = 2
    DATA = 3  # the 354 is due
    BODY = 4  # the content is going out, the final dot is not
    DOT = 5  # the final dot may have arrived
    NOBODY = 6  # a lone dot went out, because there is no recipient for what the relay asked for
    RESET = 7  # it ended without a final dot; what came of it holds once the answer to RSET shows both sides in step
    DONE = 8


_STAGES = {
    Phase.SENDER: Stage.SENDER,
    Phase.RECIPIENT: Stage.RECIPIENT,
    Phase.DATA: Stage.DATA,
    Phase.BODY: Stage.DATA,
    Phase.DOT: Stage.DOT,
    Phase.NOBODY: Stage.DOT,
    Phase.RESET: Stage.DATA,
    Phase.DONE: Stage.DOT,
}
# Here one reply too many has shifted what came behind it; a 354 or the answer to RSET shows that none was (H13).
_MAY_BE_OUT_OF_STEP = frozenset({Phase.RECIPIENT, Phase.DATA, Phase.RESET})


class Commands(NamedTuple):
    """What is written in one go, because the relay may hear all of it before it has answered any."""

    owner: "Transaction"
    lines: bytes
    replies: int = 1
    asks_for_data: bool = False


class Transaction:
    """Made for one connection's try; `outcomes` has every recipient once `phase` is DONE."""

    __slots__ = (
        "_accepted",
        "_asked",
        "_open",
        "_sender_taken",
        "_taken",
        "asked_for_data",
        "content",
        "envelope",
        "heard",
        "outcomes",
        "phase",
        "transcript",
    )

    def __init__(self, envelope: Envelope, content: bytes) -> None:
        self.envelope = envelope
        self.content = content
        self.phase = Phase.SENDER
        self.outcomes: dict[str, Outcome] = {}
        self.transcript = Transcript()
        self.heard = False  # whether the relay has answered any of it
        self.asked_for_data = False  # whether DATA has been written
        self._sender_taken = False
        self._asked = 0  # recipients that were answered
        self._accepted: list[str] = []
        self._taken = 0  # recipients that the relay said yes to, whether or not we still want it to
        self._open = False  # whether the relay may still have the sender or a recipient in mind

    @property
    def stage(self) -> Stage:
        return _STAGES[self.phase]

    @property
    def is_in_doubt(self) -> bool:
        """Whether it may have been delivered or not, for anybody."""
        return any(isinstance(outcome, InDoubt) for outcome in self.outcomes.values())

    @property
    def needs_reset(self) -> bool:
        """Whether RSET is due before the next one: it began, and no final dot ended it (RFC 5321 4.1.1.5)."""
        return self._open

    @property
    def is_hopeless(self) -> bool:
        """Whether everyone has an outcome already, so that there is no use in going on."""
        return len(self.outcomes) == len(set(self.envelope.recipients))

    @property
    def has_recipients(self) -> bool:
        """Whether the relay took at least one, and so whether there is anything to send after the 354."""
        return bool(self._accepted)

    def script(self, offered: Capabilities) -> list[bytes]:
        """MAIL, RCPT…, DATA; empty when it is over before it began, because this relay can't take this message."""
        utf8, eight_bit = self.envelope.needs_smtputf8, not self.content.isascii()
        failure = _unfit(self.envelope, len(self.content), offered, utf8=utf8, eight_bit=eight_bit)
        if failure is None:
            try:
                return _commands(self.envelope, len(self.content), offered, utf8=utf8, eight_bit=eight_bit)
            except Unsendable:
                failure = verdict.unsendable(Stage.SENDER)
        self.end(failure)
        return []

    def body(self) -> bytes:
        return on_the_wire(self.content)

    def hear(self, reply: Reply) -> None:
        """The next reply. Raises ProtocolError for one that can't be meant."""
        self.heard = True
        _HEAR[self.phase](self, reply)

    def end(self, failure: Failure) -> None:
        """It goes no further: everyone who has no outcome yet gets this one."""
        self._everyone_else(failure.outcome())
        self.phase = Phase.DONE

    def reset_went_out(self) -> None:
        self.phase = Phase.RESET

    def interrupt(self, why: Interruption) -> None:
        """The connection is gone or of no more use."""
        if why is Interruption.MALFORMED and self._sender_taken and self.phase in _MAY_BE_OUT_OF_STEP:
            self.outcomes.clear()
        if self.phase is Phase.DOT:
            self._everyone_else(verdict.doubt(why))
            self.phase = Phase.DONE
        else:
            self.end(verdict.interrupted(why, self.stage, in_body=self.phase is Phase.BODY))

    def dot_went_out(self) -> None:
        self.phase = Phase.DOT if self._accepted else Phase.NOBODY

    def _hear_mail(self, reply: Reply) -> None:
        self._sender_taken = _yes_or_no(reply)
        if not self._sender_taken:
            failure = verdict.on_sender(reply, self.envelope.sender)
            self._everyone_else(failure.outcome())
        self._open = True
        self.phase = Phase.RECIPIENT

    def _hear_recipient(self, reply: Reply) -> None:
        recipient = self.envelope.recipients[self._asked]
        self._asked += 1
        accepted = _yes_or_no(reply)
        self._taken += accepted
        if recipient not in self.outcomes:  # else the sender was refused, and this only follows from it
            if accepted:
                self._accepted.append(recipient)
            else:
                self.outcomes[recipient] = verdict.on_recipient(reply, recipient).outcome()
        if self._asked == len(self.envelope.recipients):
            self.phase = Phase.DATA

    def _hear_data(self, reply: Reply) -> None:
        if reply.code == 354:
            if self._taken and not self._accepted:
                # It refused the sender and takes the recipients: a lone dot would be an empty mail to them.
                raise ProtocolError("DATA was granted after the sender was refused")
            self.phase = Phase.BODY
            return
        if _yes_or_no(reply):
            raise ProtocolError("DATA was answered with a yes instead of a 354")
        self.end(verdict.on_data(reply))

    def _hear_body(self, reply: Reply) -> None:
        # It did not wait for the end: a no ends it (H29), and a yes to nothing is no answer.
        if _yes_or_no(reply):
            raise ProtocolError("a yes came before the end of the message")
        self.end(verdict.on_data(reply))

    def _hear_dot(self, reply: Reply) -> None:
        self._open = False
        if _yes_or_no(reply):
            self._everyone_else(Sent(reply.shown()))
            self.phase = Phase.DONE
        else:
            self.end(verdict.on_dot(reply))

    def _hear_reset(self, reply: Reply) -> None:
        if not reply.accepts:
            raise ProtocolError("RSET was refused, so that this is the answer to something else")
        self._open = False
        self.phase = Phase.DONE

    def _hear_nothing(self, _: Reply) -> None:
        # Nobody was to get it, so no answer makes a Sent.
        self._open = False
        self.phase = Phase.DONE

    def _everyone_else(self, outcome: Outcome) -> None:
        if self.outcomes:
            self.outcomes = {each: self.outcomes.get(each, outcome) for each in self.envelope.recipients}
        else:
            self.outcomes = dict.fromkeys(self.envelope.recipients, outcome)


_HEAR: dict[Phase, Callable[[Transaction, Reply], None]] = {
    Phase.SENDER: Transaction._hear_mail,
    Phase.RECIPIENT: Transaction._hear_recipient,
    Phase.DATA: Transaction._hear_data,
    Phase.BODY: Transaction._hear_body,
    Phase.DOT: Transaction._hear_dot,
    Phase.NOBODY: Transaction._hear_nothing,
    Phase.RESET: Transaction._hear_reset,
}


def _means(reply: Reply) -> bool | None:
    return True if reply.accepts else False if reply.defers or reply.refuses else None


_YES_OR_NO = {code: _means(Reply(code, ())) for code in range(200, 600)}  # each answer is looked up here


def _yes_or_no(reply: Reply) -> bool:
    """Raises ProtocolError for a reply that is neither."""
    answer = _YES_OR_NO[reply.code]
    if answer is None:
        raise ProtocolError(f"{reply.code} is no answer to what was said")
    return answer


def _commands(envelope: Envelope, size: int, offered: Capabilities, *, utf8: bool, eight_bit: bool) -> list[bytes]:
    mail = f"MAIL FROM:{path(envelope.sender)}"
    if offered.size is not None:
        mail += f" SIZE={size}"  # RFC 1870 section 5
    if eight_bit and offered.eight_bit:
        mail += " BODY=8BITMIME"  # RFC 6152 section 3
    if utf8:
        mail += " SMTPUTF8"  # RFC 6531 section 3.4
    if offered.dsn:
        mail += dsn.of_message(envelope)
    return [command(mail), *[_recipient(envelope, address, offered) for address in envelope.recipients], DATA]


def _recipient(envelope: Envelope, address: str, offered: Capabilities) -> bytes:
    return command(f"RCPT TO:{path(address)}{dsn.of_recipient(envelope, address) if offered.dsn else ''}")


def _unfit(envelope: Envelope, size: int, offered: Capabilities, *, utf8: bool, eight_bit: bool) -> Failure | None:
    """What is known before MAIL: it would be refused for good, or worse, sent on damaged."""
    if not envelope.recipients:
        return _refused("message.no_recipients", "The message has no recipients.")
    if offered.size is not None and size > offered.size:
        what = f"The message has {size} bytes, and the relay takes at most {offered.size}."
        return _refused("message.too_large", what)
    if utf8 and not offered.utf8:
        return verdict.utf8_unsupported(Stage.SENDER)
    if eight_bit and not offered.eight_bit:
        return _refused("message.eight_bit_unsupported", "The message has 8-bit text, and the relay takes only 7.")
    return None


def _refused(code: str, what: str) -> Failure:
    return Failure(code, what, Stage.SENDER, Scope.MESSAGE, permanent=True)
