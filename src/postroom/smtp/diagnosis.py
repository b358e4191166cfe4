"""Why it failed and what change would mend it: pure, from the settings, the failure and what was seen of the relay.

Whoever has a failure can ask: the check, which has also looked at the relay's other doors; a product's test call; a
page that shows an attempt. First the relay's own words count, then what was seen, then what the code says.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from postroom.domain.delivery import RelayReply, Stage
from postroom.domain.profile import Auth, Profile, Security, TlsVersion
from postroom.smtp import remedies
from postroom.smtp.advice import advice_on
from postroom.smtp.causes import CAUSES
from postroom.smtp.certificate import Certificate
from postroom.smtp.doors import Door
from postroom.smtp.proposal import Proposal
from postroom.smtp.providers import PROVIDERS, known_reply


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """`cause` is stable and names an entry of CAUSES; empty where nothing more is known than the code."""

    cause: str
    why: str
    advice: str
    proposal: Proposal | None = None


@dataclass(frozen=True, slots=True)
class _Case:
    profile: Profile
    code: str
    stage: Stage
    reply: RelayReply | None
    seen: Sequence[Door]

    @property
    def here(self) -> Door | None:
        """What answers at the port of the settings."""
        return next((door for door in self.seen if door.port == self.profile.port), None)

    @property
    def certificate(self) -> Certificate | None:
        return self.here.certificate if self.here else None

    def best(self, *, elsewhere: bool = False) -> Door | None:
        """The door that suits: with TLS before without, one that offers a login where one is due."""
        doors = [door for door in self.seen if not (elsewhere and door.port == self.profile.port)]
        if self.profile.auth is not Auth.NONE:
            doors = [door for door in doors if door.offered.auth and door.security is not Security.NONE]
        return min(doors, key=lambda door: door.security is Security.NONE, default=None)


Found = tuple[str, Proposal | None]  # cause, or "" with a proposal alone


def diagnose(
    profile: Profile, code: str, stage: Stage, reply: RelayReply | None = None, seen: Sequence[Door] = ()
) -> Diagnosis:
    """`code`, `stage` and `reply` are a failure's or an outcome's; `seen` as `doors.look_around` gives it."""
    case = _Case(profile, code, stage, reply, seen)
    cause, proposal = _by_reply(case) or _by_code(case) or ("", None)
    known = CAUSES.get(cause)
    return Diagnosis(cause, known.why if known else "", (known.advice if known else "") or advice_on(code), proposal)


def in_words(what: str, found: Diagnosis) -> str:
    """One text, for where there is room for one only. A change that a person must look at first is left out."""
    ready = found.proposal.message if found.proposal is not None and not found.proposal.confirm else ""
    return " ".join(filter(None, (what, found.why, found.advice, ready)))


def _by_reply(case: _Case) -> Found | None:
    if case.reply is None:
        return None
    cause = known_reply(case.profile.host, case.stage, case.reply)
    if cause is None:
        return None
    cause = _nearer(case, cause)
    remedy = _REMEDIES.get(cause)
    return cause, remedy(case) if remedy else None


def _nearer(case: _Case, cause: str) -> str:
    """Where the same words mean something else with these settings."""
    profile = case.profile
    if cause == "sendgrid.user_name" and profile.username == "apikey":
        return "sendgrid.key"
    if cause == "relay.denied" and profile.auth is not Auth.NONE:
        return "relay.denied_to_login"
    return cause


def _by_code(case: _Case) -> Found | None:
    rule = _RULES.get(case.code)
    return rule(case) if rule else None


# What was seen of the relay's doors.


def _no_connection(case: _Case) -> Found | None:
    door = case.best(elsewhere=True)
    return ("port.wrong", remedies.through(case.profile, door)) if door else None


def _no_greeting(case: _Case) -> Found | None:
    if case.stage not in (Stage.GREETING, Stage.TLS):
        return None
    here = case.here
    if here is not None and here.security is Security.TLS:
        return "port.wants_tls", remedies.through(case.profile, here)
    return _no_connection(case)


def _no_handshake(case: _Case) -> Found | None:
    here = case.here
    if here is not None and here.certificate is not None and case.profile.tls_minimum is TlsVersion.V1_3:
        return _too_new_tls(case)  # not every relay says why it ends a handshake
    if case.profile.security is not Security.TLS or here is None or here.security is Security.TLS:
        return _no_greeting(case)
    if here.security is Security.STARTTLS:
        return "port.wants_starttls", remedies.through(case.profile, here)
    return _no_tls(case)


def _no_tls(case: _Case) -> Found | None:
    door = case.best(elsewhere=True)
    if door is not None and door.security is not Security.NONE:
        return "port.has_no_tls", remedies.through(case.profile, door)
    if case.here is not None and case.here.security is Security.NONE:
        if case.profile.security is Security.TLS:
            return "tls.nowhere", remedies.through(case.profile, case.here)
        return "tls.nowhere", remedies.without_tls(case.profile)
    return None


def _tls_first(case: _Case) -> Found | None:
    door = case.here if case.here and case.here.security is not Security.NONE else case.best(elsewhere=True)
    if door is None or door.security is Security.NONE:
        return "tls.needed", None
    return "tls.needed", remedies.through(case.profile, door)


def _too_new_tls(case: _Case) -> Found | None:
    return ("tls.too_new", remedies.older_tls(case.profile)) if case.certificate else None


# Certificates.


def _with_certificate(case: _Case, remedy: Callable[[Profile, Certificate], Proposal | None]) -> Proposal | None:
    return remedy(case.profile, case.certificate) if case.certificate else None


def _self_signed(case: _Case) -> Found:
    return "certificate.self_signed", _with_certificate(case, remedies.trust)


def _unknown_authority(case: _Case) -> Found:
    return "certificate.unknown_authority", _with_certificate(case, remedies.trust)


def _other_name(case: _Case) -> Found:
    return "certificate.other_name", _with_certificate(case, remedies.by_name)


# Login.


def _no_login_offered(case: _Case) -> Found:
    here = case.here
    if here is not None and here.offered.auth and here.security is not case.profile.security:
        return "login.after_tls", remedies.through(case.profile, here)
    door = case.best(elsewhere=True)
    if door is not None:
        return "login.elsewhere", remedies.through(case.profile, door)
    return "login.not_needed", remedies.without_login(case.profile)


def _login_in_the_clear(case: _Case) -> Found:
    door = case.here if case.here and case.here.security is not Security.NONE else case.best(elsewhere=True)
    return "login.after_tls", remedies.through(case.profile, door) if door else None


def _other_mechanism(case: _Case) -> Found:
    offered = case.here.offered.auth if case.here else ()
    return "login.other_mechanism", remedies.another_mechanism(case.profile, offered)


def _login_needed(case: _Case) -> Found | None:
    if case.profile.auth is not Auth.NONE:
        return None
    return "login.needed", remedies.log_in(case.profile, case.here or case.best())


def _login_rejected(case: _Case) -> Found:
    whole = remedies.whole_address(case.profile)
    if whole is not None:
        return "login.short_user_name", whole
    return "login.wrong", remedies.password_again(case.profile) if case.profile.auth is not Auth.OAUTH2 else None


# Addresses.


def _sender(case: _Case) -> Found | None:
    if (proposal := remedies.no_envelope_sender(case.profile)) is not None:
        return "sender.envelope", proposal
    if (proposal := remedies.own_sender(case.profile)) is not None:
        return "sender.not_yours", proposal
    return None


def _unknown_host(case: _Case) -> Found | None:
    known = [relay for provider in PROVIDERS for relay in provider.relays]
    near = get_close_matches(case.profile.host, known, n=1, cutoff=0.85)
    return ("host.misspelt", remedies.host(case.profile, near[0])) if near else None


_RULES: Mapping[str, Callable[[_Case], Found | None]] = {
    "resolve.unknown": _unknown_host,
    "connect.refused": _no_connection,
    "connect.timeout": _no_connection,
    "greeting.not_smtp": _no_greeting,
    "reply.timeout": _no_greeting,
    "connection.lost": _no_greeting,
    "tls.handshake": _no_handshake,
    "tls.not_offered": _no_tls,
    "tls.required": _tls_first,
    "tls.version": _too_new_tls,
    "tls.self_signed": _self_signed,
    "tls.untrusted": _unknown_authority,
    "tls.name_mismatch": _other_name,
    "tls.expired": lambda _: ("certificate.expired", None),
    "auth.not_offered": _no_login_offered,
    "auth.plaintext_forbidden": _login_in_the_clear,
    "auth.no_common_mechanism": _other_mechanism,
    "auth.required": _login_needed,
    "auth.rejected": _login_rejected,
    "settings.no_password": lambda case: ("", remedies.password_again(case.profile)),
    "settings.no_refresh_token": lambda case: ("", remedies.signed_in_again(case.profile)),
    "oauth.signed_out": lambda case: ("login.expired", remedies.signed_in_again(case.profile)),
    "sender.refused": _sender,
    "policy.filtered": lambda _: ("recipient.filtered", None),
}

_REMEDIES: Mapping[str, Callable[[_Case], Proposal | None]] = {
    "microsoft.basic_auth_off": lambda case: remedies.oauth2_at_microsoft(case.profile),
    "microsoft.policy": lambda case: remedies.oauth2_at_microsoft(case.profile),
    "microsoft.wrong_login": lambda case: remedies.whole_address(case.profile) or remedies.password_again(case.profile),
    "microsoft.login_needed": lambda case: remedies.oauth2_at_microsoft(case.profile),
    "microsoft.send_as": lambda case: remedies.own_sender(case.profile),
    "microsoft.too_many_connections": lambda case: remedies.microsofts_connections(case.profile),
    "google.app_password": lambda case: remedies.password_again(case.profile),
    "google.wrong_login": lambda case: remedies.whole_address(case.profile) or remedies.password_again(case.profile),
    "ses.wrong_login": lambda case: remedies.password_again(case.profile),
    "sendgrid.user_name": lambda case: remedies.user_name(case.profile, "apikey"),
    "sendgrid.key": lambda case: remedies.password_again(case.profile),
    "mailgun.wrong_login": lambda case: remedies.password_again(case.profile),
    "mailjet.wrong_login": lambda case: remedies.password_again(case.profile),
    "postmark.wrong_login": lambda case: remedies.password_again(case.profile),
    "brevo.wrong_login": lambda case: remedies.password_again(case.profile),
    "mailbox.app_password": lambda case: remedies.password_again(case.profile),
    "exchange.login_needed": lambda case: remedies.log_in(case.profile, case.here),
    "exchange.send_as": lambda case: remedies.own_sender(case.profile),
    "exchange.wrong_login": lambda case: remedies.password_again(case.profile),
    "tls.needed": lambda case: (_tls_first(case) or ("", None))[1] or remedies.starttls(case.profile),
    "relay.denied": lambda case: remedies.log_in(case.profile, case.here or case.best()),
    "relay.ehlo_name": lambda case: remedies.ehlo_name(case.profile),
    "relay.too_many_connections": lambda case: remedies.connections(case.profile),
    "sender.not_yours": lambda case: remedies.own_sender(case.profile),
    "login.expired": lambda case: remedies.signed_in_again(case.profile),
}
