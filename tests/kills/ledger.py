"""What was accepted, what arrived, what was in doubt between two lives, and what follows from that. Pure."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Mail:
    """One message of a request: `token` is in a header of its own and comes out at the relay."""

    token: str
    recipients: tuple[str, ...]
    hold: bool  # on_doubt=hold: rather for a person to look at than sent twice


@dataclass(frozen=True, slots=True)
class Copy:
    """A mail as the relay took it: its final dot had come."""

    message_id: str
    life: int


Delivery = tuple[str, str]  # the message's token and a recipient


@dataclass
class Ledger:
    accepted: dict[str, str] = field(default_factory=dict)  # token -> id, from the 202
    mails: dict[str, Mail] = field(default_factory=dict)
    copies: dict[Delivery, list[Copy]] = field(default_factory=dict)
    doubts: dict[int, set[tuple[str, str]]] = field(default_factory=dict)  # life -> message id and recipient
    released: set[str] = field(default_factory=set)  # ids of held messages that were told to go out after all

    def accept(self, mail: Mail, message_id: str) -> None:
        self.mails[mail.token] = mail
        self.accepted[mail.token] = message_id

    def arrive(self, token: str, recipient: str, copy: Copy) -> None:
        self.copies.setdefault((token, recipient), []).append(copy)

    def unsent(self) -> set[Delivery]:
        """Accepted, and never at the relay."""
        due = {(mail.token, recipient) for mail in self.mails.values() for recipient in mail.recipients}
        return due - self.copies.keys()

    def doubled(self) -> set[Delivery]:
        """One message that the relay took more than once."""
        return {
            each for each, copies in self.copies.items()
            if len({copy.message_id for copy in copies}) < len(copies)
        }  # fmt: skip

    def unexplained(self) -> set[Delivery]:
        """Doubled without need: an earlier copy was not in doubt when its life had ended."""
        return {each for each in self.doubled() if not self._is_explained(each)}

    def _is_explained(self, delivery: Delivery) -> bool:
        return all((copy.message_id, delivery[1]) in self.doubts.get(copy.life, ()) for copy in self._earlier(delivery))

    def _earlier(self, delivery: Delivery) -> list[Copy]:
        """Every copy of a message but its last."""
        copies = self.copies[delivery]
        return [
            copy for n, copy in enumerate(copies) if copy.message_id in {each.message_id for each in copies[n + 1 :]}
        ]

    def accepted_twice(self) -> set[str]:
        """Tokens that became more than one message, or another than the answer said."""
        wrong = set()
        for (token, _), copies in self.copies.items():
            if {copy.message_id for copy in copies} != {self.accepted.get(token)}:
                wrong.add(token)
        return wrong

    def broken_holds(self) -> set[Delivery]:
        """Sent twice although they were to be held, and nobody released them."""
        return {
            each for each in self.doubled()
            if each[0] in self.mails and self.mails[each[0]].hold and self.accepted[each[0]] not in self.released
        }  # fmt: skip

    def most_doubled_by_one_kill(self) -> int:
        by_life: dict[int, int] = {}
        for each in self.doubled():
            for copy in self._earlier(each):
                by_life[copy.life] = by_life.get(copy.life, 0) + 1
        return max(by_life.values(), default=0)
