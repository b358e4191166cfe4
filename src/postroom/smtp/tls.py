"""TLS to a relay: verified unless the profile says otherwise, never below 1.2, and every failure told apart."""

import ssl
from collections.abc import Mapping
from functools import lru_cache

from postroom.domain.delivery import Scope, Stage
from postroom.domain.profile import Profile, TlsVersion
from postroom.smtp.certificate import shown_by
from postroom.smtp.failure import Failure

# OpenSSL's X509_V_ERR numbers, which are part of its public interface.
_CERTIFICATE_PROBLEMS: Mapping[int, tuple[str, str]] = {
    9: ("tls.not_yet_valid", "The relay's certificate is not valid yet."),
    10: ("tls.expired", "The relay's certificate has expired."),
    18: ("tls.self_signed", "The relay's certificate is signed by itself."),
    19: ("tls.self_signed", "The relay's certificate comes from an authority of its own that is not trusted here."),
    62: ("tls.name_mismatch", 'The relay\'s certificate is not for "{name}".'),
    64: ("tls.name_mismatch", 'The relay\'s certificate is not for "{name}".'),
}
_UNTRUSTED = ("tls.untrusted", "The relay's certificate comes from an authority that is not trusted here.")
_MINIMUM = {TlsVersion.V1_2: ssl.TLSVersion.TLSv1_2, TlsVersion.V1_3: ssl.TLSVersion.TLSv1_3}
CHAIN = "chain"
_TOO_OLD = frozenset({"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE"})


def certificate_name(profile: Profile) -> str:
    """The name that the relay must prove to have."""
    return profile.server_name or profile.host


def context(profile: Profile) -> ssl.SSLContext:
    """Raises ssl.SSLError when the profile's CA certificates can't be read."""
    return _context(profile.verify_certificate, profile.ca_certificates, profile.tls_minimum)


@lru_cache(maxsize=256)  # reading the system's authorities takes longer than the handshake
def _context(verify: bool, authorities: str | None, minimum: TlsVersion) -> ssl.SSLContext:
    made = ssl.create_default_context(cadata=authorities)
    made.minimum_version = _MINIMUM[minimum]
    if authorities is not None:
        # Whatever the profile names is trusted as it is, also a relay's own certificate (Python 3.13 does so anyway).
        made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if not verify:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


@lru_cache(maxsize=256)
def for_https(authorities: str | None) -> ssl.SSLContext:
    """For a token endpoint: always verified. An organisation's own authority counts beside the system's."""
    made = ssl.create_default_context()
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if authorities is not None:
        made.load_verify_locations(cadata=authorities)
    return made


def unreadable_authorities(profile: Profile) -> Failure | None:
    if profile.ca_certificates is None:
        return None  # the system's are not the profile's, and reading them takes long
    try:
        context(profile)
    except (ssl.SSLError, ValueError):
        what = "The profile's CA certificates could not be read."
        return Failure("settings.ca_unreadable", what, Stage.SETTINGS, Scope.PROFILE)
    return None


def explain(error: Exception, profile: Profile) -> Failure:
    """Why a handshake failed. What an administrator must mend is about the profile; a cut or a stall may pass."""
    if isinstance(error, ssl.SSLCertVerificationError):
        code, what = _CERTIFICATE_PROBLEMS.get(error.verify_code, _UNTRUSTED)
        return Failure(code, what.format(name=certificate_name(profile)), Stage.TLS, Scope.PROFILE)
    if isinstance(error, ssl.SSLError) and error.reason in _TOO_OLD:
        what = f"The relay offers no version of TLS that will do: the settings ask for {profile.tls_minimum} or newer."
        return Failure("tls.version", what, Stage.TLS, Scope.PROFILE)
    if isinstance(error, ssl.SSLError) and error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST"):
        return Failure("tls.handshake", "The relay did not speak TLS where TLS was due.", Stage.TLS, Scope.PROFILE)
    return Failure("tls.handshake", "The TLS handshake with the relay did not come to an end.", Stage.TLS, Scope.RELAY)


def facts(tls: ssl.SSLObject) -> dict[str, str]:
    """What an administrator wants to see of a connection that stands. Unverified certificates are not parsed here; all
    that was shown is under CHAIN, as PEM."""
    cipher = tls.cipher()
    shown = {"version": tls.version() or "", "cipher": cipher[0] if cipher else ""}
    certificate = tls.getpeercert() or {}
    shown[CHAIN] = shown_by(tls)
    return shown | {
        name: text
        for name, text in (
            ("subject", _distinguished(certificate.get("subject"))),
            ("issuer", _distinguished(certificate.get("issuer"))),
            ("expires", str(certificate.get("notAfter", ""))),
            ("names", _names(certificate.get("subjectAltName"))),
        )
        if text
    }


def _distinguished(name: object) -> str:
    parts = [pair for group in name if isinstance(group, tuple) for pair in group] if isinstance(name, tuple) else []
    return ", ".join(f"{key}={value}" for key, value in parts)


def _names(entries: object) -> str:
    return ", ".join(str(value) for _, value in entries) if isinstance(entries, tuple) else ""
