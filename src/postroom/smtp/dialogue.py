"""A conversation in lock-step, written as a generator: it yields what to do next and is sent what came of it.

That makes opening a connection a list of steps at one height, which can be tested without a socket.
"""

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from postroom.domain.delivery import Scope, Stage
from postroom.domain.secret import Secret
from postroom.smtp.command import Unsendable, command
from postroom.smtp.failure import Failure, Stopped
from postroom.smtp.reply import Reply

NO_DETAIL: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Say:
    """Write this and wait for the reply. `hidden` is what the transcript shows in its place.

    `secrets` are taken out of the reply too: a relay that repeats a password must not get it into our records.
    With `hides_challenge` a 334 is not shown at all.
    """

    line: bytes
    stage: Stage
    hidden: bytes | None = None
    secrets: tuple[bytes, ...] = ()
    hides_challenge: bool = False


@dataclass(frozen=True, slots=True)
class Listen:
    """Wait for a reply without having said anything: the greeting."""

    stage: Stage = Stage.GREETING


@dataclass(frozen=True, slots=True)
class Upgrade:
    """Begin TLS, and be told about it."""

    stage: Stage = Stage.TLS


@dataclass(frozen=True, slots=True)
class Token:
    """An access token (RFC 6749 1.4), and in words where it came from."""

    value: Secret
    origin: str
    kept: bool = False  # from before; the one who gave it may have withdrawn it since


@dataclass(frozen=True, slots=True)
class NeedToken:
    """Get the access token that the settings speak of, and another one than `instead_of`."""

    instead_of: Token | None = None
    stage: Stage = Stage.AUTH


@dataclass(frozen=True, slots=True)
class Worked:
    """What came of some work: a value, or the exception that it ended with."""

    value: bytes = b""
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Work:
    """Do this where it keeps nobody else waiting, and tell what came of it."""

    run: Callable[[], bytes]
    stage: Stage = Stage.AUTH

    def done(self) -> Worked:
        try:
            return Worked(self.run())
        except Exception as error:
            return Worked(error=error)


@dataclass(frozen=True, slots=True)
class Passed:
    """A step of the ladder was reached (`done`), or there was nothing to do there."""

    stage: Stage
    message: str
    detail: Mapping[str, str] = field(default_factory=lambda: NO_DETAIL)
    done: bool = True


Turn = Say | Listen | Upgrade | NeedToken | Work | Passed
TlsFacts = Mapping[str, str]
Heard = Reply | TlsFacts | Token | Worked
T = TypeVar("T")
Dialogue = Generator[Turn, Heard | None, T]


def ask(
    text: str,
    stage: Stage,
    hidden: bytes | None = None,
    secrets: tuple[bytes, ...] = (),
    *,
    hides_challenge: bool = False,
) -> Dialogue[Reply]:
    """Say a command and hear the reply."""
    try:
        line = command(text)
    except Unsendable:
        what = "A setting has a character that no SMTP command can carry."
        raise Stopped(Failure("settings.unsendable", what, stage, Scope.PROFILE)) from None
    return (yield from _reply_to(Say(line, stage, hidden, secrets, hides_challenge)))


def listen() -> Dialogue[Reply]:
    return (yield from _reply_to(Listen()))


def upgrade() -> Dialogue[TlsFacts]:
    facts = yield Upgrade()
    if not isinstance(facts, Mapping):
        raise TypeError("an upgrade is answered with what is known about the TLS connection")
    return facts


def need_token(instead_of: Token | None = None) -> Dialogue[Token]:
    token = yield NeedToken(instead_of)
    if not isinstance(token, Token):
        raise TypeError("who needs a token is answered with one")
    return token


def elsewhere(run: Callable[[], bytes]) -> Dialogue[bytes]:
    """Have it computed in another thread. Raises what it raises."""
    worked = yield Work(run)
    if not isinstance(worked, Worked):
        raise TypeError("work is answered with what came of it")
    if worked.error is not None:
        raise worked.error
    return worked.value


def _reply_to(turn: Say | Listen) -> Dialogue[Reply]:
    reply = yield turn
    if not isinstance(reply, Reply):
        raise TypeError("what was said is answered with a reply")
    return reply
