"""From the first byte to a connection that takes mail: greeting, EHLO, TLS and login, in the order the profile asks.

Nothing here is opportunistic. TLS that is due and not to be had, or a login that fails, ends the dialogue
(`research/security-reliability.md` 3.2: the settings are wrong, so mail waits for an administrator).
"""

from postroom.domain.delivery import RelayReply, Scope, Stage
from postroom.domain.profile import Auth, Security
from postroom.domain.secret import Secret
from postroom.smtp import sasl
from postroom.smtp.capabilities import Capabilities, read_capabilities
from postroom.smtp.dialogue import Dialogue, Passed, TlsFacts, ask, listen, upgrade
from postroom.smtp.failure import Failure, Stopped
from postroom.smtp.reply import Reply
from postroom.smtp.route import Route


def opening(route: Route) -> Dialogue[Capabilities]:
    """Raises Stopped, with the failure, when it does not come to a connection that takes mail."""
    security = route.profile.security
    if security is Security.TLS:
        yield _tls_stands((yield from upgrade()))
    yield from _hear_greeting()
    capabilities = yield from _greet(route)
    yield _greeted(capabilities)
    if security is Security.STARTTLS:
        yield from _start_tls(capabilities)
        # RFC 3207 section 4.2: everything learnt before TLS is forgotten.
        capabilities = yield from _greet(route)
    elif security is Security.NONE:
        yield Passed(Stage.TLS, "TLS is switched off in the settings.", done=False)
    yield from _log_in(route, capabilities)
    return capabilities


def _hear_greeting() -> Dialogue[None]:
    greeting = yield from listen()
    if greeting.code != 220:
        raise Stopped(_no_greeting(greeting))
    yield Passed(Stage.GREETING, "The relay greeted us.", {"greeting": greeting.cleaned()})


def _no_greeting(reply: Reply) -> Failure:
    """Without a 220 nothing that the peer wrote is passed on: it may be no mail server at all (H2)."""
    code = RelayReply(reply.code, "")
    if reply.defers:
        what = f"The relay did not take the connection just now ({reply.code})."
        return Failure("greeting.refused", what, Stage.GREETING, Scope.RELAY, code)
    if reply.refuses:
        what = f"The relay refused the connection ({reply.code})."
        return Failure("greeting.refused", what, Stage.GREETING, Scope.PROFILE, code)
    return not_smtp()


def not_smtp() -> Failure:
    what = "Something answered at this address, but it does not speak SMTP."
    return Failure("greeting.not_smtp", what, Stage.GREETING, Scope.PROFILE)


def _greet(route: Route) -> Dialogue[Capabilities]:
    reply = yield from ask(f"EHLO {route.ehlo_name}", Stage.EHLO)
    if reply.accepts:
        return read_capabilities(reply)
    # HELO has neither STARTTLS nor AUTH, so it will do only where neither is due (H35).
    if reply.refuses and route.profile.security is Security.NONE and route.profile.auth is Auth.NONE:
        reply = yield from ask(f"HELO {route.ehlo_name}", Stage.EHLO)
        if reply.accepts:
            return Capabilities()
    raise Stopped(_said_no("ehlo.refused", "The relay refused our EHLO", Stage.EHLO, reply))


def _greeted(capabilities: Capabilities) -> Passed:
    size = "" if capabilities.size is None else str(capabilities.size)
    detail = {"extensions": ", ".join(capabilities.named), "size": size}
    return Passed(Stage.EHLO, "The relay told us what it offers.", detail)


def _start_tls(capabilities: Capabilities) -> Dialogue[None]:
    if not capabilities.starttls:
        what = "The settings ask for STARTTLS, and the relay does not offer it; nothing was sent."
        raise Stopped(Failure("tls.not_offered", what, Stage.TLS, Scope.PROFILE))
    reply = yield from ask("STARTTLS", Stage.TLS)
    if reply.code != 220:
        raise Stopped(_said_no("tls.refused", "The relay offers STARTTLS but refused it", Stage.TLS, reply))
    yield _tls_stands((yield from upgrade()))


def _tls_stands(facts: TlsFacts) -> Passed:
    return Passed(Stage.TLS, f"The connection is encrypted ({facts.get('version', 'TLS')}).", facts)


def _log_in(route: Route, capabilities: Capabilities) -> Dialogue[None]:
    profile = route.profile
    if profile.auth is Auth.NONE or profile.username is None:
        yield Passed(Stage.AUTH, "Login is switched off in the settings.", done=False)
        return
    if route.password is None:
        raise Stopped(_about_login("settings.no_password", "The settings ask for login, but hold no password."))
    if profile.security is Security.NONE and not route.allow_plaintext_auth:
        what = "The password was not sent, because the connection is not encrypted."
        raise Stopped(_about_login("auth.plaintext_forbidden", what))
    mechanism = _choose(capabilities)(profile.username, route.password)
    answer = yield from _exchange(mechanism, _forms_of(route.password))
    if answer.code != 235:
        raise Stopped(_login_failed(answer))
    detail = {"offered": " ".join(capabilities.auth), "chosen": mechanism.name, "answer": str(answer)}
    yield Passed(Stage.AUTH, f'The relay knows "{profile.username}".', detail)


def _choose(capabilities: Capabilities) -> type[sasl.Mechanism]:
    if not capabilities.auth:
        raise Stopped(_about_login("auth.not_offered", "The settings ask for login, and the relay does not offer it."))
    mechanism = sasl.choose(capabilities.auth)
    if mechanism is None:
        # The names come from the EHLO reply; `named` is the cleaned form of the same words.
        offered = next((line for line in capabilities.named if line.upper().startswith("AUTH")), "")
        what = f"The relay offers no way to log in that we know ({offered})."
        raise Stopped(_about_login("auth.no_common_mechanism", what))
    return mechanism


def _exchange(mechanism: sasl.Mechanism, secrets: tuple[bytes, ...]) -> Dialogue[Reply]:
    """One try with one mechanism (RFC 4954 section 4). The transcript sees stars."""
    initial = mechanism.initial()
    # RFC 4954 section 4: an initial response of no bytes is written as "=".
    response = "" if initial is None else f" {sasl.encoded(initial) or '='}"
    hidden = f"AUTH {mechanism.name}{' ***' if response else ''}\r\n".encode()
    secrets += (response.strip().encode(),) if response else ()
    reply = yield from ask(f"AUTH {mechanism.name}{response}", Stage.AUTH, hidden, secrets)
    for _ in range(sasl.MOST_STEPS):
        if reply.code != 334:
            return reply
        try:
            answer = sasl.encoded(mechanism.respond(sasl.decoded(reply.lines[-1])))
        except sasl.OutOfStep:
            break
        reply = yield from ask(answer, Stage.AUTH, b"***\r\n", secrets)
    yield from ask("*", Stage.AUTH)  # RFC 4954 section 4: cancels the exchange
    raise Stopped(_about_login("auth.malformed", "The relay asked for more than its login mechanism has."))


def _forms_of(password: Secret) -> tuple[bytes, ...]:
    """What a relay that repeats the password would write; too short a one would star half the language."""
    value = password.reveal().encode()
    return (value, sasl.encoded(value).encode()) if len(value) > 3 else ()


def _login_failed(reply: Reply) -> Failure:
    if reply.defers or reply.refuses:
        code = "auth.temporary" if reply.defers else "auth.rejected"
        what = "The relay could not log us in just now" if reply.defers else "The relay rejected the login"
        return _said_no(code, what, Stage.AUTH, reply)
    return _about_login("auth.malformed", f"The relay answered our login with something else ({reply.code}).")


def _about_login(code: str, what: str) -> Failure:
    return Failure(code, what, Stage.AUTH, Scope.PROFILE)


def _said_no(code: str, what: str, stage: Stage, reply: Reply) -> Failure:
    """A temporary no is about the relay; a final one, and a reply that is neither, about the settings."""
    scope = Scope.RELAY if reply.defers else Scope.PROFILE
    return Failure(code, f"{what}: {reply}.", stage, scope, reply.shown())


def parting() -> Dialogue[None]:
    """Politely (RFC 5321 4.1.1.10); what the relay says to it changes nothing."""
    yield from ask("QUIT", Stage.DOT)
