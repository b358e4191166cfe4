"""The SMTP client as a state machine without I/O: bytes in, bytes out, and always a known phase.

First a dialogue opens the connection in lock-step (`opening.py`); then it carries transactions. With PIPELINING
(RFC 2920) one write holds MAIL, every RCPT and DATA, and the next transaction's follow right behind a final dot. Every
354 is a point where both sides agree again: a reply too many or too few shows there at the latest, before the next dot.
Whoever drives it writes what `to_send` gives and looks at `needs_tls`, `token_due`, `work_due`, `body_due`,
`take_finished` and `is_over`.
"""

from collections import deque
from itertools import repeat

from postroom.domain.delivery import Stage
from postroom.smtp import verdict
from postroom.smtp.body import END
from postroom.smtp.command import command
from postroom.smtp.dialogue import Listen, Say
from postroom.smtp.failure import Failure
from postroom.smtp.lockstep import Lockstep, injected
from postroom.smtp.reply import ProtocolError, Reply
from postroom.smtp.transaction import DATA, Commands, Phase, Transaction
from postroom.smtp.verdict import Interruption

RESET = command("RSET")


class Protocol(Lockstep):
    """One connection's conversation."""

    def __init__(self) -> None:
        super().__init__()
        self.replies = 0  # heard so far
        self.body_due: Transaction | None = None  # has its 354; its content is for the driver to write
        self._unsaid: deque[Commands] = deque()
        self._awaited: deque[Transaction] = deque()
        self._finished: list[Transaction] = []
        self._unwritten = 0  # of the awaited replies, how many are to commands that are still in `_out`

    # What the driver asks.

    @property
    def stage(self) -> Stage:
        """What is waited for now."""
        if self._turn is not None:
            return super().stage
        first = self._awaited[0] if self._awaited else self.body_due
        return first.stage if first is not None else Stage.SENDER

    @property
    def is_waiting(self) -> bool:
        """Whether the relay owes a reply."""
        return bool(self._awaited) or isinstance(self._turn, Say | Listen)

    @property
    def is_idle(self) -> bool:
        return not (self.is_over or self._awaited or self._unsaid or self.body_due or self._dialogue)

    def to_send(self, behind: bytes | memoryview = b"") -> bytes:
        """What to write now, behind that. It is given once."""
        if not self._out:
            return bytes(behind)
        data = b"".join((behind, *self._out))
        self._out.clear()
        self._unwritten = 0
        return data

    @property
    def has_news(self) -> bool:
        """Whether anything has passed or finished that nobody has looked at."""
        return bool(self._finished or self.passed)

    def take_finished(self) -> list[Transaction]:
        finished, self._finished = self._finished, []
        return finished

    # What happens to it.

    def receive(self, data: bytes) -> None:
        """Bytes came. Never raises: what is wrong with them becomes the end of the connection."""
        if self.is_over:
            return
        reader = self._reader
        reader.feed(data)
        if self.needs_tls:
            self._stop(injected())
            return
        try:
            while not (self.is_over or (self._turn is not None and self.needs_tls)):
                if self._turn is None and (group := reader.group()):
                    for reply in group:
                        self._hear(reply)
                elif (one := reader.next()) is not None:
                    self._hear(one)
                else:
                    break
        except ProtocolError as error:
            self._break_off(Interruption.MALFORMED, limit=error.limit)

    def interrupt(self, why: Interruption) -> None:
        """The connection was lost, or its time is up."""
        if not self.is_over:
            self._break_off(why)

    # What it is told to do.

    def begin(self, transaction: Transaction) -> None:
        """Say its commands as soon as the relay may hear them; it ends among the finished."""
        script = transaction.script(self.capabilities)
        if not script:
            self._finished.append(transaction)
            return
        if self.capabilities.pipelining:
            self._unsaid.append(Commands(transaction, b"".join(script), len(script), asks_for_data=True))
        else:
            self._unsaid.extend(Commands(transaction, line, 1, line is DATA) for line in script)
        self._say_what_may_be_said()

    def end_body(self) -> None:
        """Write the final dot of the transaction whose body was due."""
        if self.body_due is None:
            raise RuntimeError("no transaction is in its body")
        transaction, self.body_due = self.body_due, None
        self._write_dot(transaction)
        if self._unsaid:
            self._say_what_may_be_said()

    def give_up(self, failure: Failure) -> None:
        """End the transaction whose body is due without its final dot; the connection can't go on after that."""
        if self.body_due is not None:
            self._finish(self.body_due, failure)
        self._break_off(Interruption.LOST)

    # Transactions.

    def _hear(self, reply: Reply) -> None:
        if self.is_over:  # by what came before it
            return
        if self._out and len(self._awaited) <= self._unwritten:
            raise ProtocolError("a reply came before its command")  # so it belongs to something else
        self.replies += 1
        if self.secrets and reply.code != 334:  # a challenge is for the mechanism, as it came
            reply = reply.without(self.secrets)
        if self._turn is not None:
            self._hear_turn(self._turn, reply)
        elif self._awaited:
            self._hear_answer(reply)
        elif self.body_due is not None:
            self._hear_early(self.body_due, reply)
        else:
            # Nothing was asked: an idle relay closing (421), or one that is out of step. Neither is anybody's failure.
            self.is_over = True

    def _hear_answer(self, reply: Reply) -> None:
        transaction = self._awaited[0]
        transaction.transcript.heard(reply)
        if reply.code == 421:
            self._finish(transaction, verdict.closing(reply, transaction.stage))
            self._break_off(Interruption.LOST)
        else:
            transaction.hear(reply)  # still awaited, so that a reply that can't be meant ends this one too
            self._awaited.popleft()
            if self._unsaid or transaction.phase >= Phase.BODY:
                self._after(transaction)
        if self._unsaid:
            self._say_what_may_be_said()

    def _after(self, transaction: Transaction) -> None:
        """Go on from where a reply has brought a transaction."""
        if transaction.phase is Phase.BODY:
            if transaction.has_recipients:
                self.body_due = transaction
            else:
                self._write_dot(transaction)  # RFC 2920 3.1: the relay waits for a message all the same
            return
        if self._unsaid and self._unsaid[0].owner is transaction and transaction.is_hopeless:
            transaction.phase = Phase.DONE
        if transaction.phase is Phase.DONE:
            self._forget(transaction)
            if transaction.needs_reset:
                transaction.reset_went_out()
                self._unsaid.append(Commands(transaction, RESET))
            else:
                self._finished.append(transaction)

    def _hear_early(self, transaction: Transaction, reply: Reply) -> None:
        transaction.transcript.heard(reply)
        if reply.code == 421:
            self._finish(transaction, verdict.closing(reply, transaction.stage))
        else:
            transaction.hear(reply)
            self._finished.append(transaction)
        self.body_due = None
        self._break_off(Interruption.LOST)  # the relay still waits for the rest of the body

    def _write_dot(self, transaction: Transaction) -> None:
        transaction.dot_went_out()
        transaction.transcript.said(END)
        self._out.append(END)
        # Before the answers to whatever is pipelined behind it: nothing is awaited while a body is due.
        self._awaited.appendleft(transaction)
        self._unwritten += 1

    def _say_what_may_be_said(self) -> None:
        while self._unsaid and (self.capabilities.pipelining or not self._awaited) and self.body_due is None:
            owner, lines, replies, asks_for_data = self._unsaid.popleft()
            self._awaited.extend(repeat(owner, replies))
            self._out.append(lines)
            self._unwritten += replies
            owner.transcript.said(lines)
            owner.asked_for_data |= asks_for_data

    def _forget(self, transaction: Transaction) -> None:
        while self._unsaid and self._unsaid[0].owner is transaction:
            self._unsaid.popleft()

    def _finish(self, transaction: Transaction, failure: Failure) -> None:
        transaction.end(failure)
        if transaction not in self._finished:
            self._finished.append(transaction)

    def _break_off(self, why: Interruption, *, limit: bool = False) -> None:
        """Nothing more is said or heard: everything that is under way ends in the phase where it is."""
        self.is_over = True
        self._broken_by = why
        under_way = [*self._awaited, self.body_due, *(commands.owner for commands in self._unsaid)]
        self._awaited.clear()
        self._unsaid.clear()
        self._out.clear()
        self.body_due = None
        for transaction in dict.fromkeys(filter(None, under_way)):
            if transaction.phase is not Phase.DONE:
                transaction.interrupt(why)
                self._finished.append(transaction)
        self._break_dialogue(why, limit=limit)
