"""The mechanism of Windows domains."""

import logging
from typing import TYPE_CHECKING, ClassVar

from postroom.domain.secret import Secret
from postroom.smtp.sasl.mechanism import Mechanism, OutOfStep, decoded

if TYPE_CHECKING:
    import spnego


class Ntlm(Mechanism):
    """MS-SMTPNTLM over MS-NLMP: NTLMv2 and nothing older, because what v1 sends is cracked in hours (A11).

    The user name is `DOMAIN\\user`, `user@domain` or bare.
    """

    name: ClassVar[str] = "NTLM"
    _context: "spnego.ContextProxy | None" = None

    def initial(self) -> bytes | None:
        # MS-SMTPNTLM 2.2.1: Exchange takes the first message only after its prompt.
        return None

    def respond(self, challenge: bytes) -> bytes:
        if self._context is None:
            # The prompt is "NTLM supported" in plain words (MS-SMTPNTLM 2.2.2), or nothing at all.
            self._context = _ntlm_context(self._username, self._secret)
            return self._context.step() or b""
        if self._context.complete:
            raise OutOfStep
        return _only_version_2(_step(self._context, decoded(challenge)))


def _ntlm_context(username: str, password: Secret) -> "spnego.ContextProxy":
    import spnego  # here, because loading it takes longer than everything else that opens a connection

    # At DEBUG it would write the exchange, from which the password can be guessed.
    logging.getLogger("spnego").setLevel(logging.INFO)
    options = spnego.NegotiateOptions.use_ntlm  # not what the system may have
    return spnego.client(username, password.reveal(), protocol="ntlm", options=options)


def _step(context: "spnego.ContextProxy", challenge: bytes) -> bytes:
    try:
        return context.step(challenge) or b""
    except Exception:  # a hostile challenge ends it in many ways: SpnegoError, struct.error, ValueError, ...
        raise OutOfStep from None


def _only_version_2(message: bytes) -> bytes:
    """The environment can talk pyspnego into version 1 (LM_COMPAT_LEVEL): its response has 24 bytes, no more."""
    # MS-NLMP 2.2.1.3: the length of NtChallengeResponse is at offset 20.
    if int.from_bytes(message[20:22], "little") <= 24:
        raise OutOfStep
    return message
