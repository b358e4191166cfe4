"""What a check finds that works, but should be mended: pure, from a step that was passed."""

from dataclasses import dataclass

from postroom.domain.delivery import Stage
from postroom.domain.profile import Auth, Profile, Security
from postroom.smtp.dialogue import Passed
from postroom.smtp.proposal import Proposal, propose

EXPIRES_SOON = 21  # days: time enough to renew, and short enough that one looks
SMALL = 10_000_000  # octets: what Postfix takes unless told otherwise is a little more, and no reason to worry


@dataclass(frozen=True, slots=True)
class Warning:
    code: str
    message: str
    proposal: Proposal | None = None


def warning_on(profile: Profile, passed: Passed, *, encrypted: bool, starttls_offered: bool) -> Warning | None:
    """`encrypted`: the connection is, by now; `starttls_offered`: before that."""
    if passed.stage is Stage.TLS:
        return _on_certificate(profile, passed) if passed.done else _on_no_tls(profile, starttls_offered)
    if passed.stage is Stage.AUTH and passed.done and profile.auth is not Auth.NONE and not encrypted:
        return Warning("auth.in_the_clear", f"{passed.message} The login crossed an open connection.")
    if passed.stage is Stage.SIZE and 0 < int(passed.detail.get("size") or 0) < SMALL:
        return Warning("size.small", passed.message)
    return None


def _on_certificate(profile: Profile, passed: Passed) -> Warning | None:
    if not profile.verify_certificate:
        return Warning("tls.unverified", f"{passed.message} The settings say not to verify the certificate.")
    left = int(passed.detail.get("days_left", EXPIRES_SOON))
    if left < EXPIRES_SOON:
        return Warning("tls.expires_soon", f"{passed.message} The relay's certificate ends in {left} days.")
    return None


def _on_no_tls(profile: Profile, starttls_offered: bool) -> Warning | None:
    if profile.security is not Security.NONE or not starttls_offered:
        return None
    what = "The relay offers STARTTLS, but the settings have TLS switched off: the mail goes out unencrypted."
    return Warning("tls.unused", what, propose(profile, "Set the security to STARTTLS.", {"security": "starttls"}))
