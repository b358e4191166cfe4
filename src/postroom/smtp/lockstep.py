"""The lock-step half of the client: one dialogue at a time, each step of it answered before the next is said.

`opening.py` and `check.py` write the dialogues; `protocol.py` carries mail on the same connection.
"""

from postroom.domain.delivery import Scope, Stage
from postroom.smtp import verdict
from postroom.smtp.capabilities import Capabilities
from postroom.smtp.dialogue import (
    Dialogue,
    Heard,
    Listen,
    NeedToken,
    Passed,
    Say,
    TlsFacts,
    Token,
    Turn,
    Upgrade,
    Work,
    Worked,
)
from postroom.smtp.failure import Failure, Stopped
from postroom.smtp.opening import not_smtp
from postroom.smtp.reply import Reply, ReplyReader
from postroom.smtp.transcript import Transcript
from postroom.smtp.verdict import Interruption


class Lockstep:
    """What a dialogue waits for (`needs_tls`, `token_due`, `work_due`, else a reply), and what came of it."""

    def __init__(self) -> None:
        self.capabilities = Capabilities()
        self.transcript = Transcript()  # of the dialogues; each transaction has its own
        self.passed: list[Passed] = []  # steps of the ladder that nobody has looked at yet
        self.failure: Failure | None = None  # how a dialogue ended, unless well
        self.secrets: tuple[bytes, ...] = ()  # a relay may repeat them at any time: taken out of all that it says
        self.is_over = False  # the connection takes no more mail: close it
        self._reader = ReplyReader()
        self._out: list[bytes] = []
        self._dialogue: Dialogue[Capabilities | None] | None = None
        self._turn: Turn | None = None
        self._broken_by = Interruption.LOST

    # What the driver asks, and tells.

    @property
    def in_dialogue(self) -> bool:
        return self._dialogue is not None

    @property
    def needs_tls(self) -> bool:
        return isinstance(self._turn, Upgrade)

    @property
    def token_due(self) -> NeedToken | None:
        return self._turn if isinstance(self._turn, NeedToken) else None

    @property
    def work_due(self) -> Work | None:
        return self._turn if isinstance(self._turn, Work) else None

    @property
    def stage(self) -> Stage:
        """What is waited for now."""
        return self._turn.stage if self._turn is not None else Stage.SENDER

    def tls_started(self, facts: TlsFacts) -> None:
        self._turn = None
        self.transcript.note(f"TLS: {facts.get('version', '')} {facts.get('cipher', '')}")
        self._go_on(facts)

    def tls_failed(self, failure: Failure) -> None:
        self._stop(failure)

    def token_came(self, token: Token) -> None:
        if self.token_due is not None:  # else the connection has gone meanwhile
            self._turn = None
            self.transcript.note(f"access token {token.origin}")
            self._go_on(token)

    def token_failed(self, failure: Failure) -> None:
        if self.token_due is not None:
            self._stop(failure)

    def work_done(self, worked: Worked) -> None:
        if self.work_due is not None:
            self._turn = None
            self._go_on(worked)

    def start(self, dialogue: Dialogue[Capabilities] | Dialogue[None]) -> None:
        """Begin a dialogue; only while idle. On a connection that has gone meanwhile it ends at once."""
        self._dialogue = dialogue
        if self.is_over:
            self._stop(verdict.interrupted(self._broken_by, self.stage))
        else:
            self._go_on(None)

    # Steps.

    def _go_on(self, heard: Heard | None) -> None:
        """Run the dialogue up to the next thing that it waits for."""
        dialogue = self._dialogue
        if dialogue is None:
            return
        try:
            turn = dialogue.send(heard)
            while isinstance(turn, Passed):
                self.passed.append(turn)
                turn = dialogue.send(None)
        except StopIteration as end:
            self.capabilities = end.value or self.capabilities
            self._dialogue = self._turn = None
        except Stopped as stopped:
            self._stop(stopped.failure)
        else:
            self._take(turn)

    def _take(self, turn: Turn) -> None:
        self._turn = turn
        if isinstance(turn, Say):
            self._out.append(turn.line)
            self.transcript.said(turn.hidden or turn.line)
        elif isinstance(turn, Upgrade) and self._reader.has_rest:
            # Whatever came with the 220 was not protected, and would be read as if it had been (CVE-2011-0411).
            self._stop(injected())

    def _hear_dialogue(self, turn: Say | Listen, reply: Reply) -> None:
        self._turn = None
        if isinstance(turn, Listen):
            self._hear_greeting(reply)
            return
        self.secrets = self.secrets + tuple([each for each in turn.secrets if each not in self.secrets])
        shown = reply.without(turn.secrets)
        self.transcript.heard(Reply(334, (b"***",)) if turn.hides_challenge and reply.code == 334 else shown)
        self._go_on(reply if reply.code == 334 else shown)  # a challenge is for the mechanism, as it came

    def _hear_greeting(self, reply: Reply) -> None:
        if reply.code == 220:
            self.transcript.heard(reply)
        else:
            self.transcript.note(f"no 220 greeting but {reply.code}; the rest is not shown")
        self._go_on(reply)

    def _stop(self, failure: Failure) -> None:
        self.failure = failure
        if self._dialogue is not None:
            self._dialogue.close()
        self._dialogue = self._turn = None
        self.is_over = True

    def _hear_turn(self, turn: Turn, reply: Reply) -> None:
        if isinstance(turn, Say | Listen):
            self._hear_dialogue(turn, reply)
        else:
            # Nothing was asked: the relay will not wait for the token.
            self._stop(verdict.closing(reply, turn.stage))

    def _break_dialogue(self, why: Interruption, *, limit: bool) -> None:
        if self._turn is not None:
            never_smtp = why is Interruption.MALFORMED and not limit and self._turn.stage is Stage.GREETING
            self._stop(not_smtp() if never_smtp else verdict.interrupted(why, self._turn.stage))


def injected() -> Failure:
    what = "Something was slipped into the connection before TLS began; the connection was cut."
    return Failure("tls.injection", what, Stage.TLS, Scope.PROFILE)
