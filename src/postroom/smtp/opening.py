"""From the first byte to a connection that takes mail: greeting, EHLO, TLS and login, in the order the profile asks.

TLS that is due and not to be had, or a login that fails, ends the dialogue (`research/security-reliability.md` 3.2: the
settings are wrong, so mail waits for an administrator). Where the settings say "if offered", only the absence of an
offer lets it go on in the clear: an offer that comes to nothing is a failure there, too.
"""

from dataclasses import replace

from postroom.domain.delivery import RelayReply, Scope, Stage
from postroom.domain.profile import Auth, Security
from postroom.smtp.capabilities import Capabilities, read_capabilities
from postroom.smtp.dialogue import Dialogue, Passed, TlsFacts, ask, listen, upgrade
from postroom.smtp.failure import Failure, Stopped
from postroom.smtp.login import log_in
from postroom.smtp.reply import Reply
from postroom.smtp.route import Route
from postroom.smtp.verdict import said_no

# Dovecot's submission service (2.3.19, with its usual greeting) hands the mail on and then, before it has answered,
# crashes over commands that follow the final dot: every mail but a connection's last would be in doubt, and sent twice.
# A relay with another greeting is found out the first time (`Pool.was_cut_short`).
_READS_NOT_AHEAD = "Dovecot"


def opening(route: Route) -> Dialogue[Capabilities]:
    """Raises Stopped, with the failure, when it does not come to a connection that takes mail."""
    security = route.profile.security
    if security is Security.TLS:
        yield _tls_stands(route, (yield from upgrade()))
    greeting = yield from _hear_greeting()
    capabilities = yield from _greet(route)
    yield _greeted(capabilities)
    encrypted = security is Security.TLS
    if security is Security.STARTTLS or (security is Security.STARTTLS_IF_OFFERED and capabilities.starttls):
        yield from _start_tls(route, capabilities)
        encrypted = True
        # RFC 3207 section 4.2: everything learnt before TLS is forgotten.
        capabilities = yield from _greet(route)
    elif not encrypted:
        yield Passed(Stage.TLS, _WHY_IN_THE_CLEAR[security], done=False)
    yield from log_in(route, capabilities, encrypted=encrypted)
    return replace(capabilities, reads_ahead=_READS_NOT_AHEAD not in greeting.cleaned())


_WHY_IN_THE_CLEAR = {
    Security.NONE: "TLS is switched off in the settings.",
    Security.STARTTLS_IF_OFFERED: "The relay offers no STARTTLS; the settings allow going on without.",
}


def _hear_greeting() -> Dialogue[Reply]:
    greeting = yield from listen()
    if greeting.code != 220:
        raise Stopped(_no_greeting(greeting))
    yield Passed(Stage.GREETING, "The relay greeted us.", {"greeting": greeting.cleaned()})
    return greeting


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
    if reply.refuses and route.profile.security in _WHY_IN_THE_CLEAR and route.profile.auth is Auth.NONE:
        reply = yield from ask(f"HELO {route.ehlo_name}", Stage.EHLO)
        if reply.accepts:
            return Capabilities()
    raise Stopped(said_no("ehlo.refused", "The relay refused our EHLO", Stage.EHLO, reply))


def _greeted(capabilities: Capabilities) -> Passed:
    size = "" if capabilities.size is None else str(capabilities.size)
    detail = {"extensions": ", ".join(capabilities.named), "size": size}
    return Passed(Stage.EHLO, "The relay told us what it offers.", detail)


def _start_tls(route: Route, capabilities: Capabilities) -> Dialogue[None]:
    if not capabilities.starttls:
        what = "The settings ask for STARTTLS, and the relay does not offer it; nothing was sent."
        raise Stopped(Failure("tls.not_offered", what, Stage.TLS, Scope.PROFILE))
    reply = yield from ask("STARTTLS", Stage.TLS)
    if reply.code != 220:
        raise Stopped(said_no("tls.refused", "The relay offers STARTTLS but refused it", Stage.TLS, reply))
    yield _tls_stands(route, (yield from upgrade()))


def _tls_stands(route: Route, facts: TlsFacts) -> Passed:
    route.certificates.saw(f"{route.profile.host}:{route.profile.port}", facts)
    return Passed(Stage.TLS, f"The connection is encrypted ({facts.get('version', 'TLS')}).", facts)


def parting() -> Dialogue[None]:
    """Politely (RFC 5321 4.1.1.10); what the relay says to it changes nothing."""
    yield from ask("QUIT", Stage.DOT)
