"""Logging in: one mechanism of the kind that the settings name, tried once (RFC 4954).

No other kind is ever fallen back to, and nothing of a login crosses an open connection unless the operator allows it.
Of OAuth 2, a token that was kept from before may have been withdrawn: then there is one more try, with a new one.
"""

from dataclasses import replace
from functools import partial

from postroom.domain.delivery import Scope, Stage
from postroom.domain.profile import Auth, Profile, TokenGrant
from postroom.domain.secret import Secret
from postroom.smtp.capabilities import Capabilities
from postroom.smtp.dialogue import Dialogue, Passed, Token, ask, elsewhere, need_token
from postroom.smtp.failure import Failure, Stopped
from postroom.smtp.reply import Reply
from postroom.smtp.route import Route
from postroom.smtp.sasl.choice import candidates, choose
from postroom.smtp.sasl.mechanism import MOST_STEPS, Mechanism, OutOfStep, Unproved, encoded
from postroom.smtp.verdict import said_no

# RFC 4954 section 4 keeps the AUTH command to the length of any command (RFC 5321 4.5.3.1.4), and Dovecot and Postfix
# hold clients to it. Access tokens are longer as a rule.
LONGEST_COMMAND = 512 - len("\r\n")

_WHAT_IT_SENDS = {Auth.PASSWORD: "password", Auth.NTLM: "NTLM login", Auth.OAUTH2: "access token"}


def log_in(route: Route, capabilities: Capabilities, *, encrypted: bool) -> Dialogue[None]:
    profile = route.profile
    if profile.auth is Auth.NONE:
        yield Passed(Stage.AUTH, "Login is switched off in the settings.", done=False)
        return
    secret, username = _secret(route), _username(profile)
    if not encrypted:
        _refuse_open_connection(route)
    kind = _choose(capabilities, profile)
    detail = {"offered": " ".join(capabilities.auth), "chosen": kind.name}
    if profile.auth is Auth.OAUTH2:
        answer, token = yield from _with_token(kind, username)
        detail["token"] = token.origin
    else:
        answer = yield from _exchange(kind(username, secret), secret)
    if answer.code != 235:
        raise Stopped(replace(_login_failed(answer, kind.name), detail=detail))
    yield Passed(Stage.AUTH, f'The relay knows "{username}".', detail | {"answer": str(answer)})


def _secret(route: Route) -> Secret:
    if route.profile.auth is Auth.OAUTH2 and route.profile.token_grant is TokenGrant.REFRESH_TOKEN:
        if route.sign_in is None:
            what = "The settings ask for a login by refresh token, but hold none."
            raise Stopped(_about_login("settings.no_refresh_token", what))
        return route.password or Secret("")  # the token endpoint is shown it, if the client has one
    if route.password is None:
        raise Stopped(_about_login("settings.no_password", "The settings ask for login, but hold no password."))
    return route.password


def _username(profile: Profile) -> str:
    username = profile.username or profile.sender_address
    if username is None:
        what = "The settings ask for OAuth 2, but name no mailbox: neither a user name nor a sender's address."
        raise Stopped(_about_login("settings.no_sender", what))
    return username


def _refuse_open_connection(route: Route) -> None:
    """An access token is as good as a password, and an NTLM response can be cracked or passed on (A11, B5)."""
    if not route.allow_plaintext_auth:
        what = f"The {_WHAT_IT_SENDS[route.profile.auth]} was not sent, because the connection is not encrypted."
        raise Stopped(_about_login("auth.plaintext_forbidden", what))


def _choose(capabilities: Capabilities, profile: Profile) -> type[Mechanism]:
    if not capabilities.auth:
        raise Stopped(_about_login("auth.not_offered", "The settings ask for login, and the relay does not offer it."))
    mechanism = choose(capabilities.auth, profile)
    if mechanism is None:
        # The names come from the EHLO reply; `named` is the cleaned form of the same words.
        offered = next((line for line in capabilities.named if line.upper().startswith("AUTH")), "")
        wanted = " or ".join(kind.name for kind in candidates(profile))
        what = f"The settings ask for {wanted}, and the relay offers no such login ({offered})."
        raise Stopped(_about_login("auth.no_common_mechanism", what))
    return mechanism


def _with_token(kind: type[Mechanism], username: str) -> Dialogue[tuple[Reply, Token]]:
    token = yield from need_token()
    answer = yield from _exchange(kind(username, token.value), token.value)
    if token.kept and _says_who_are_you(answer):
        token = yield from need_token(instead_of=token)
        answer = yield from _exchange(kind(username, token.value), token.value)
    return answer, token


def _says_who_are_you(answer: Reply) -> bool:
    """RFC 4954 section 6 gives 535 5.7.8 to bad credentials; providers have numbers of their own."""
    return answer.code == 535 or (answer.enhanced or "").startswith("5.7.")


def _exchange(mechanism: Mechanism, secret: Secret) -> Dialogue[Reply]:
    """One try with one mechanism (RFC 4954 section 4). The transcript sees stars."""
    response = _initial_response(mechanism)
    command = " ".join(filter(None, ("AUTH", mechanism.name, response)))
    late = len(command) > LONGEST_COMMAND  # the relay is to ask for it, and the answer may be as long as it is
    hidden = f"AUTH {mechanism.name}{' ***' if response and not late else ''}\r\n".encode()
    secrets, private = (*_worth_hiding(response), *forms_of(secret)), mechanism.hides_challenges
    line = f"AUTH {mechanism.name}" if late else command
    reply = yield from ask(line, Stage.AUTH, hidden, secrets, hides_challenge=private)
    for _ in range(MOST_STEPS):
        if reply.code != 334:
            return _believed(reply, mechanism)
        try:
            answer = response if late else encoded((yield from _answer(mechanism, reply.lines[-1])))
        except OutOfStep as error:
            failure = _unproved() if isinstance(error, Unproved) else _out_of_order()
            break
        late = False
        secrets = _worth_hiding(answer) + secrets
        reply = yield from ask(answer, Stage.AUTH, b"***\r\n", secrets, hides_challenge=private)
    else:
        failure = _out_of_order()
    yield from ask("*", Stage.AUTH)  # RFC 4954 section 4: cancels the exchange
    raise Stopped(failure)


def _answer(mechanism: Mechanism, challenge: bytes) -> Dialogue[bytes]:
    """Raises OutOfStep."""
    if mechanism.is_laborious:
        return (yield from elsewhere(partial(mechanism.respond, challenge)))
    return mechanism.respond(challenge)


def _believed(reply: Reply, mechanism: Mechanism) -> Reply:
    """A yes counts only from a relay that has proved itself, where the mechanism has it do so."""
    if reply.code == 235 and mechanism.owes_proof:
        raise Stopped(_unproved())
    return reply


def _initial_response(mechanism: Mechanism) -> str:
    initial = mechanism.initial()
    # RFC 4954 section 4: an initial response of no bytes is written as "=".
    return "" if initial is None else encoded(initial) or "="


def forms_of(secret: Secret) -> tuple[bytes, ...]:
    """What a relay that repeats the secret would write: as it is, and wherever it stands inside of a base64 text."""
    plain = secret.reveal()
    if len(plain) <= 3:
        return ()
    raw = plain.encode()
    within = [encoded(b"\0" * at + raw)[(0, 2, 3)[at] : (at + len(raw)) // 3 * 4] for at in range(3)]
    return tuple([form for text in (plain, encoded(raw), *within) for form in _worth_hiding(text)])


def _worth_hiding(text: str) -> tuple[bytes, ...]:
    """Too short a one would star half the language."""
    return (text.encode(),) if len(text) > 3 else ()


def _login_failed(reply: Reply, mechanism: str) -> Failure:
    if reply.defers:
        return said_no("auth.temporary", "The relay could not log us in just now", Stage.AUTH, reply)
    if reply.enhanced == "5.7.139" and b"is disabled" in b" ".join(reply.lines):
        # Microsoft's number for several things; only its words tell a wrong password from a way in that is closed.
        return said_no("auth.disabled", "The relay has switched this way to log in off", Stage.AUTH, reply)
    if reply.refuses:
        return said_no("auth.rejected", f"The relay rejected the login ({mechanism})", Stage.AUTH, reply)
    return _about_login("auth.malformed", f"The relay answered our login with something else ({reply.code}).")


def _out_of_order() -> Failure:
    what = "The relay asked for something that its login mechanism does not have."
    return _about_login("auth.malformed", what)


def _unproved() -> Failure:
    what = "The relay did not prove that it knows the password, as its login mechanism demands; no mail was sent."
    return _about_login("auth.unproved", what)


def _about_login(code: str, what: str) -> Failure:
    return Failure(code, what, Stage.AUTH, Scope.PROFILE)
