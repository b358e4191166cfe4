"""The providers that we know by their hosts, and what their replies mean, as they have published them.

A reply is recognised by its code, its enhanced code and a few words of its text; whose text is peculiar enough is
recognised at any host. Sources: Microsoft, "Email non-delivery reports and SMTP errors in Exchange Online" and "Fix
issues with printers, scanners, and LOB applications"; Google, "SMTP errors and codes"; Amazon SES, "SMTP response
codes"; the documentation of Twilio SendGrid, Mailgun, Mailjet, Postmark and Brevo; Postfix's and Exim's own texts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from postroom.domain.delivery import RelayReply, Stage


@dataclass(frozen=True, slots=True)
class Provider:
    """`hosts` are the last labels of its relays' names, `relays` the names that people enter, as an aid for a slip."""

    name: str
    hosts: tuple[str, ...]
    relays: tuple[str, ...] = ()
    oauth: Mapping[str, str] | None = None  # fields of a profile, but for the client's id and the sign-in


MICROSOFT: Final = Provider(
    "Microsoft 365",
    ("office365.com", "outlook.com", "office365.us"),
    ("smtp.office365.com", "smtp-mail.outlook.com"),
    MappingProxyType({
        "token_url": "https://login.microsoftonline.com/organizations/oauth2/v2.0/token",
        "token_scope": "https://outlook.office.com/SMTP.Send offline_access",
    }),
)  # fmt: skip
GOOGLE: Final = Provider(
    "Google",
    ("gmail.com", "googlemail.com", "google.com"),
    ("smtp.gmail.com", "smtp-relay.gmail.com"),
    MappingProxyType({
        "token_url": "https://oauth2.googleapis.com/token", "token_scope": "https://mail.google.com/",
    }),
)  # fmt: skip
SES: Final = Provider("Amazon SES", ("amazonaws.com",))
SENDGRID: Final = Provider("SendGrid", ("sendgrid.net",), ("smtp.sendgrid.net",))
MAILGUN: Final = Provider("Mailgun", ("mailgun.org",), ("smtp.mailgun.org", "smtp.eu.mailgun.org"))
MAILJET: Final = Provider("Mailjet", ("mailjet.com",), ("in-v3.mailjet.com",))
POSTMARK: Final = Provider("Postmark", ("postmarkapp.com",), ("smtp.postmarkapp.com",))
BREVO: Final = Provider("Brevo", ("brevo.com", "sendinblue.com"), ("smtp-relay.brevo.com",))
MAILBOXES: Final = Provider(
    "a mailbox provider", ("mail.yahoo.com", "mail.me.com", "fastmail.com"),
    ("smtp.mail.yahoo.com", "smtp.mail.me.com", "smtp.fastmail.com"),
)  # fmt: skip
PROVIDERS: Final = (MICROSOFT, GOOGLE, SES, SENDGRID, MAILGUN, MAILJET, POSTMARK, BREVO, MAILBOXES)


def provider_of(host: str) -> Provider | None:
    """Whose relay this is, by its name."""
    name = host.lower().rstrip(".")
    return next(
        (each for each in PROVIDERS if any(name == end or name.endswith(f".{end}") for end in each.hosts)), None
    )


@dataclass(frozen=True, slots=True)
class Known:
    """A reply that means `cause`. Whatever is left empty does not matter; `words` is a regular expression."""

    cause: str
    words: str = ""
    enhanced: tuple[str, ...] = ()
    codes: tuple[int, ...] = ()
    provider: Provider | None = None
    stages: tuple[Stage, ...] = ()
    temporary: bool | None = None

    def fits(self, provider: Provider | None, stage: Stage, reply: RelayReply) -> bool:
        return (
            (self.provider is None or self.provider is provider)
            and (not self.stages or stage in self.stages)
            and (not self.codes or reply.code in self.codes)
            and (not self.enhanced or reply.enhanced in self.enhanced)
            and (self.temporary is None or self.temporary is (400 <= reply.code < 500))
            and (not self.words or re.search(self.words, reply.text, re.IGNORECASE) is not None)
        )


_AUTH, _SENDER, _RECIPIENT = (Stage.AUTH,), (Stage.SENDER,), (Stage.RECIPIENT,)
_MAIL = (Stage.SENDER, Stage.RECIPIENT, Stage.DATA, Stage.DOT)

# The first that fits counts: what is peculiar before what is common.
KNOWN: Final = (
    # Microsoft 365.
    Known("microsoft.basic_auth_off", r"basic authentication is disabled|SmtpClientAuthentication is disabled"),
    Known("microsoft.policy", r"did not meet the criteria|security defaults|conditional access",
          enhanced=("5.7.139",), stages=_AUTH),
    Known("microsoft.wrong_login", enhanced=("5.7.139",), stages=_AUTH),
    Known("microsoft.wrong_login", enhanced=("5.7.3",), stages=_AUTH, provider=MICROSOFT),
    Known("microsoft.login_needed", codes=(530,), stages=_MAIL, provider=MICROSOFT),
    Known("microsoft.send_as", r"SendAsDenied|does not have permissions to send as", provider=MICROSOFT),
    Known("microsoft.send_as", r"SendAsDenied", enhanced=("5.2.252",)),
    Known("microsoft.too_many_connections", r"concurrent connections? limit|sender thread limit", temporary=True),
    Known("microsoft.address_blocked", enhanced=("5.7.708", "5.7.705", "5.7.750")),
    Known("microsoft.sender_blocked", enhanced=("5.1.8", "5.7.501", "5.7.502", "5.7.503"), provider=MICROSOFT),
    Known("microsoft.daily_limit", enhanced=("5.1.90",)),
    Known("microsoft.daily_limit", r"SubmissionQuotaExceeded"),
    Known("microsoft.no_connector", r"TenantAttribution"),
    # Google.
    Known("google.app_password", r"application-specific password required", stages=_AUTH),
    Known("google.web_login", enhanced=("5.7.14",), codes=(534,), stages=_AUTH),
    Known("google.web_login", r"log in (via|with) your web browser", stages=_AUTH),
    Known("google.wrong_login", enhanced=("5.7.8",), stages=_AUTH, provider=GOOGLE),
    Known("google.relay_denied", r"mail relay denied|invalid credentials for relay", stages=_MAIL),
    Known("google.daily_limit", r"daily (user )?sending (limit|quota) exceeded"),
    # Amazon SES.
    Known("ses.wrong_login", r"authentication credentials invalid", codes=(535,), stages=_AUTH),
    Known("ses.wrong_login", codes=(535,), stages=_AUTH, provider=SES),
    Known("ses.not_verified", r"email address is not verified|identities failed the check"),
    Known("ses.throttled", r"throttling failure|maximum sending rate exceeded|daily (message|sending) quota exceeded"),
    # SendGrid, Mailgun and others.
    Known("sendgrid.credits", r"maximum credits exceeded"),
    Known("sendgrid.key", r"authorization grant is invalid, expired, or revoked", stages=_AUTH),
    Known("sendgrid.user_name", codes=(535,), stages=_AUTH, provider=SENDGRID),
    Known("sendgrid.sender", r"does not match a verified sender identity"),
    Known("mailgun.sandbox", r"(sandbox subdomains|free accounts) are for test purposes|authorized recipients"),
    Known("mailgun.wrong_login", codes=(535,), stages=_AUTH, provider=MAILGUN),
    Known("mailjet.wrong_login", codes=(535,), stages=_AUTH, provider=MAILJET),
    Known("postmark.wrong_login", codes=(535,), stages=_AUTH, provider=POSTMARK),
    Known("brevo.wrong_login", codes=(535,), stages=_AUTH, provider=BREVO),
    Known("mailbox.app_password", codes=(535,), stages=_AUTH, provider=MAILBOXES),
    # Exchange on premises.
    Known("exchange.login_needed", r"client was not authenticated", stages=_MAIL),
    Known("exchange.login_needed", enhanced=("5.7.54", "5.7.57"), stages=_MAIL),
    Known("exchange.send_as", r"does not have permissions to send as this sender"),
    Known("exchange.send_as", enhanced=("5.7.60",), stages=_MAIL),
    Known("exchange.wrong_login", enhanced=("5.7.3",), codes=(535,), stages=_AUTH),
    # Postfix, Exim and their like.
    Known("tls.needed", r"must issue a STARTTLS|STARTTLS (is )?(required|first)|encryption (is )?required"),
    Known("tls.needed", codes=(538,), stages=_AUTH),  # RFC 4954 section 6
    Known("login.expired", r"token (has )?expired", stages=_AUTH),
    Known("relay.blocks_us", r"spamhaus|spamcop|barracuda|blocked using|(black|block|deny) ?list|\b(DNSBL|RBL)\b"),
    Known("relay.blocks_us", r"client host rejected"),
    Known("relay.ehlo_name", r"\b(helo|ehlo)\b.*(rejected|invalid|fully.qualified)|invalid (helo|ehlo)"),
    Known("relay.too_many_connections", r"too many (concurrent |simultaneous )?(smtp )?(connections|sessions)"),
    Known("sender.not_yours", stages=_MAIL,
          words=r"not owned by|not (allowed|permitted|authori[sz]ed) to (use|send (as|from))|rejected: not logged in"),
    Known("sender.unknown_domain", stages=_MAIL,
          words=r"domain (not found|does not exist)|sender verif(y|ication) failed|domain of sender address"),
    Known("sender.unknown_domain", enhanced=("5.1.8", "4.1.8"), stages=_MAIL),
    Known("recipient.greylisted", r"gr[ea]y-?list|postgrey"),
    Known("relay.denied", stages=_MAIL,
          words=r"relay(ing)? (access )?(denied|not (permitted|allowed)|prohibited)|(unable|permitted) to relay"),
    Known("recipient.unknown", enhanced=("5.1.1",), stages=_RECIPIENT),
    Known("recipient.unknown", stages=_RECIPIENT, temporary=False,
          words=r"(user|mailbox|recipient|address) (unknown|unavailable|not found)|no such (user|mailbox)"),
    Known("recipient.greylisted", codes=(450, 451), stages=_RECIPIENT, temporary=True),
    Known("login.over_quota", r"too many (login|auth\w*) (attempts|failures)", stages=_AUTH),
)  # fmt: skip


def known_reply(host: str, stage: Stage, reply: RelayReply) -> str | None:
    """The cause that this reply tells, if it is one that we know."""
    provider = provider_of(host)
    return next((each.cause for each in KNOWN if each.fits(provider, stage, reply)), None)
