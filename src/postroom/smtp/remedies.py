"""The changes of settings that the check can propose: each from a profile and what was seen to a Proposal. Pure."""

from collections.abc import Sequence
from typing import Any

from postroom.domain.address import Address, domain_name
from postroom.domain.problems import Invalid
from postroom.domain.profile import MECHANISMS, Auth, Profile, Security, TlsVersion, TokenGrant
from postroom.smtp.certificate import Certificate
from postroom.smtp.doors import Door
from postroom.smtp.proposal import Proposal, propose
from postroom.smtp.providers import MICROSOFT, Provider, provider_of

_MICROSOFTS_CONNECTIONS = 3  # published: "concurrent connections per mailbox"
_FEW_CONNECTIONS = 2
_BY_ENCRYPTION = {
    Security.NONE: "without TLS", Security.STARTTLS: "with STARTTLS", Security.TLS: "with TLS from the start",
}  # fmt: skip


def through(profile: Profile, door: Door) -> Proposal | None:
    """Use a door that answers."""
    unprotected = door.security is Security.NONE
    words = f"Use port {door.port} {_BY_ENCRYPTION[door.security]}."
    security = (
        profile.security if profile.security is Security.STARTTLS_IF_OFFERED and not unprotected else door.security
    )
    return propose(profile, words, {"port": door.port, "security": security}, confirm=_loses_tls(profile, door))


def _loses_tls(profile: Profile, door: Door) -> bool:
    return door.security is Security.NONE and profile.security in (Security.STARTTLS, Security.TLS)


def without_tls(profile: Profile) -> Proposal | None:
    words = "Use TLS only where the relay offers it: the mail may go out unencrypted."
    return propose(profile, words, {"security": Security.STARTTLS_IF_OFFERED}, confirm=True)


def starttls(profile: Profile) -> Proposal | None:
    return propose(profile, "Set the security to STARTTLS.", {"security": Security.STARTTLS})


def older_tls(profile: Profile) -> Proposal | None:
    return propose(profile, "Let TLS 1.2 do as well.", {"tls_minimum": TlsVersion.V1_2}, confirm=True)


def trust(profile: Profile, shown: Certificate) -> Proposal | None:
    """What the relay showed, in place of the authorities of the system: only after a person has compared."""
    changes: dict[str, Any] = {"ca_certificates": shown.anchor}
    if not _is_named(shown, profile.server_name or profile.host) and (name := name_in(shown, profile.host)):
        changes["server_name"] = name
    words = (
        f"Trust this certificate alone, if the relay's administrator confirms its SHA-256 fingerprint "
        f"{shown.anchor_sha256}. When the relay gets another one, it must be entered again."
    )
    return propose(profile, words, changes, confirm=True)


def by_name(profile: Profile, shown: Certificate) -> Proposal | None:
    name = name_in(shown, profile.host)
    if name is None:
        return None
    words = f'Expect the name "{name}" in the certificate, if that is your relay\'s.'
    return propose(profile, words, {"server_name": name}, confirm=True)


def name_in(shown: Certificate, host: str) -> str | None:
    """Of the names in a certificate the one that is most like the host's."""
    names = [name.replace("*", host.partition(".")[0], 1) for name in shown.names]
    names = [name for name in names if _is_name(name)]
    return max(names, key=lambda name: _common_end(name, host), default=None)


def _is_name(text: str) -> bool:
    try:
        return domain_name(text, "server_name") == text.lower()
    except Invalid:
        return False


def _is_named(shown: Certificate, name: str) -> bool:
    return any(each in (name, f"*.{name.partition('.')[2]}") for each in shown.names)


def _common_end(one: str, other: str) -> int:
    pairs = zip(reversed(one.split(".")), reversed(other.split(".")), strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(one.count("."), other.count(".")) + 1)


def log_in(profile: Profile, door: Door | None) -> Proposal | None:
    """With OAuth 2 where that is the provider's way; else as the sender's address, because that is the rule."""
    if (by_oauth := oauth2(profile)) is not None:
        return by_oauth
    username = profile.username or profile.sender_address
    changes: dict[str, Any] = {"auth": Auth.PASSWORD, "mechanism": None}
    if username is not None:
        changes["username"] = username
    if (
        profile.security in (Security.NONE, Security.STARTTLS_IF_OFFERED)
        and door
        and door.security is not Security.NONE
    ):
        changes |= {"security": door.security, "port": door.port}
    who = f' as "{username}"' if username else ""
    return propose(
        profile, f"Log in with a password{who}.", changes, also=() if username else ("username",), confirm=True
    )


def oauth2(profile: Profile, otherwise: Provider | None = None) -> Proposal | None:
    """By refresh token at the provider whose relay it is, by its name or else by its words; the client and the sign-in
    are a person's to give."""
    provider = provider_of(profile.host) or otherwise
    if provider is None or provider.oauth is None or profile.auth is Auth.OAUTH2:
        return None
    changes = {"auth": Auth.OAUTH2, "mechanism": None, "token_grant": TokenGrant.REFRESH_TOKEN, **provider.oauth}
    if profile.security is Security.NONE:
        changes["security"] = Security.STARTTLS
    words = f"Log in with OAuth 2 at {provider.name}: register a client there, sign in with it as the mailbox."
    return propose(profile, words, changes, also=() if profile.client_id else ("client_id",))


def oauth2_at_microsoft(profile: Profile) -> Proposal | None:
    return oauth2(profile, MICROSOFT)


def without_login(profile: Profile) -> Proposal | None:
    return propose(profile, "Switch login off.", {"auth": Auth.NONE}, confirm=True)


def another_mechanism(profile: Profile, offered: Sequence[str]) -> Proposal | None:
    """Another of the same kind if there is one, else the other kind of login with a password."""
    if any(name in MECHANISMS[profile.auth] for name in offered):
        return propose(profile, "Let the best mechanism that the relay offers be used.", {"mechanism": None})
    for auth in (Auth.PASSWORD, Auth.NTLM):
        if auth is not profile.auth and any(name in MECHANISMS[auth] for name in offered):
            username = profile.username or profile.sender_address
            if username is None:
                return None
            words = f"Log in by {'NTLM' if auth is Auth.NTLM else 'a password'} in place of {profile.auth}."
            return propose(profile, words, {"auth": auth, "mechanism": None, "username": username})
    if any(name in MECHANISMS[Auth.OAUTH2] for name in offered):
        return oauth2(profile)
    return None


def password_again(profile: Profile) -> Proposal | None:
    return propose(profile, "Enter the password again.", {}, also=("password",))


def signed_in_again(profile: Profile) -> Proposal | None:
    return propose(profile, "Sign in again at the provider.", {}, also=("refresh_token",))


def user_name(profile: Profile, name: str) -> Proposal | None:
    return propose(profile, f'Log in as "{name}".', {"username": name})


def whole_address(profile: Profile) -> Proposal | None:
    """Where the user name is only the first half of the sender's address."""
    sender = profile.sender_address
    if profile.username and sender and sender.startswith(f"{profile.username}@"):
        return user_name(profile, sender)
    return None


def own_sender(profile: Profile) -> Proposal | None:
    """The address that the login stands for."""
    if profile.auth is Auth.NONE or profile.username is None or _address(profile.username) is None:
        return None
    changes: dict[str, Any] = {"sender_address": _address(profile.username)}
    if profile.envelope_sender is not None:
        changes["envelope_sender"] = None
    return propose(profile, f"Send from {profile.username}, the address that logs in.", changes)


def no_envelope_sender(profile: Profile) -> Proposal | None:
    if profile.sender_address is None or profile.envelope_sender in (None, profile.sender_address):
        return None
    return propose(profile, "Leave the envelope sender empty.", {"envelope_sender": None})


def connections(profile: Profile, most: int = _FEW_CONNECTIONS) -> Proposal | None:
    if profile.most_connections is not None and profile.most_connections <= most:
        return None
    return propose(profile, f"Limit it to {most} connections at a time.", {"most_connections": most})


def microsofts_connections(profile: Profile) -> Proposal | None:
    return connections(profile, _MICROSOFTS_CONNECTIONS)


def ehlo_name(profile: Profile) -> Proposal | None:
    if profile.sender_address is None:
        return None
    name = profile.sender_address.rpartition("@")[2]
    return propose(profile, f"Greet the relay as {name}.", {"ehlo_name": name}, confirm=True)


def host(profile: Profile, name: str) -> Proposal | None:
    return propose(
        profile, f'Use the host "{name}", if that is the provider that you mean.', {"host": name}, confirm=True
    )


def _address(text: str) -> str | None:
    try:
        return str(Address.parse(text))
    except Invalid:
        return None
