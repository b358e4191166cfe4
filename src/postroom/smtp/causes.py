"""Why it failed, as far as the check knows more than the relay's code: by a stable name, in a sentence, and what to do.

The names are the first word of what it is about; those of providers are theirs. docs/operations.md has this as a table.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final


@dataclass(frozen=True, slots=True)
class Cause:
    why: str
    advice: str


def _table(**causes: tuple[str, str]) -> Mapping[str, Cause]:
    return {name.replace("__", "."): Cause(*said) for name, said in causes.items()}


_SETTINGS = _table(
    host__misspelt=(
        "The host looks like a provider's with a slip of the pen.",
        "Correct the host, if that provider is the one you mean.",
    ),
    port__wrong=(
        "Nothing answers at this port, but a mail server does at another one of the same host.",
        "Use the port that answers.",
    ),
    port__wants_tls=(
        "This port expects TLS from the first byte, so the relay waits for us while we wait for its greeting.",
        "Choose TLS from the start for this port, as is usual on 465.",
    ),
    port__wants_starttls=(
        "This port speaks plain SMTP first and changes to TLS by STARTTLS; the settings begin TLS at once.",
        "Choose STARTTLS for this port, as is usual on 587 and 25.",
    ),
    port__has_no_tls=(
        "What answers at this port does no TLS, but another port of the same host does.",
        "Use the port that does TLS. If this one used to, somebody on the way may be removing the offer.",
    ),
    tls__nowhere=(
        "None of the usual ports of this relay does TLS.",
        "Ask the relay's administrator for TLS. Without a login, and on a network that you trust, it can be "
        "done without.",
    ),
    tls__needed=(
        "The relay takes this only over an encrypted connection, and it offers STARTTLS.",
        "Choose STARTTLS in the settings.",
    ),
    tls__too_new=(
        "The relay does TLS 1.2, and the settings ask for 1.3.",
        "Take TLS 1.2 as well, or have the relay updated.",
    ),
    certificate__self_signed=(
        "The relay shows a certificate that no public authority has signed, so anybody could have made it.",
        "Compare its SHA-256 fingerprint with the one that the relay's administrator reads out. Only if they are "
        "the same, add it to the profile's CA certificates. Better: have the relay use a certificate of an authority.",
    ),
    certificate__unknown_authority=(
        "The authority behind the relay's certificate is not known here, or the relay does not send its whole chain.",
        "Add the authority's certificate to the profile's CA certificates; get it from whoever runs it. Or compare "
        "the SHA-256 fingerprint with the one that the relay's administrator reads out, and only if they are the same "
        "trust what the relay showed.",
    ),
    certificate__other_name=(
        "The relay's certificate is a good one, but for another name than the settings ask for.",
        "If the name in the certificate is your relay's, set it as server name.",
    ),
    certificate__expired=(
        "The relay's certificate has run out, so nobody vouches for it any more.",
        "The relay's administrator must renew the certificate. If it is not out of date, set this machine's "
        "clock right.",
    ),
    login__needed=(
        "The relay takes this mail only from those who have logged in, and login is switched off in the settings.",
        "Switch login on, and enter the user name and password for the relay.",
    ),
    login__not_needed=(
        "Neither this port of the relay nor another one offers a login.",
        "Switch login off, if the relay knows this machine by its address; else ask for the port for logins.",
    ),
    login__after_tls=(
        "The relay offers a login only over an encrypted connection.",
        "Choose STARTTLS, or TLS from the start.",
    ),
    login__elsewhere=(
        "This port offers no login, but another one of the same host does.",
        "Use the port for logins, usually 587 or 465.",
    ),
    login__other_mechanism=(
        "The relay offers other ways to log in than the settings ask for.",
        "Take one that it offers.",
    ),
    login__short_user_name=(
        "The user name has no @; many relays want the whole address.",
        "Try the whole address as user name, with the password.",
    ),
    login__wrong=(
        "The relay knows no such user with this password.",
        "Enter user name and password again. Some relays want the whole address as user name, some an app password.",
    ),
    login__expired=(
        "The sign-in at the provider has ended.",
        "Sign in again, and enter the refresh token that it gives.",
    ),
    login__over_quota=(
        "The provider takes no more logins or mails just now.",
        "Wait, and send less often: a limit in the profile keeps to what the provider allows.",
    ),
    sender__not_yours=(
        "This login may not send from the sender's address.",
        "Send from the login's own address, or have the relay's administrator grant the login this one.",
    ),
    sender__envelope=(
        "The address for bounces (MAIL FROM) is set to another one than the sender's, and the relay does not want it.",
        "Leave the envelope sender empty, so that bounces go to the sender.",
    ),
    sender__unknown_domain=(
        "The relay can't find the sender's domain in the DNS, or nobody there takes mail.",
        "Check the spelling of the sender's address; use a domain that takes mail.",
    ),
    relay__denied=(
        "The relay passes mail on to other domains only for those it knows: by login, or by their address.",
        "Switch login on, or have the relay's administrator allow this machine's address.",
    ),
    relay__denied_to_login=(
        "The relay does not pass mail on to this domain for this login.",
        "Ask the relay's administrator to let this login send to other domains.",
    ),
    relay__blocks_us=(
        "The relay refuses this machine's address: it is on a list of senders of spam, or in a range that is.",
        "Send through a provider's relay with a login, or have the address taken off the list that is named.",
    ),
    relay__ehlo_name=(
        "The relay does not like the name that we greet with (EHLO): it wants a full host name.",
        "Set the EHLO name to a full name that the DNS knows for this machine.",
    ),
    relay__too_many_connections=(
        "The relay allows fewer connections at a time than there are.",
        "Limit the profile's connections.",
    ),
    recipient__greylisted=(
        "The relay lets senders that it sees for the first time wait (greylisting). Real mail is tried again "
        "by itself.",
        "Nothing needs to be done: try again in some minutes. It lasts only if it happens for hours.",
    ),
    recipient__filtered=(
        "The profile's own recipient filter keeps mail to this address back; the relay was not asked.",
        "Choose an address that the filter allows, or allow this one.",
    ),
    recipient__unknown=(
        "The relay knows no such mailbox.",
        "Check the spelling of the recipient's address; the settings are not at fault.",
    ),
)  # fmt: skip

_PROVIDERS = _table(
    microsoft__basic_auth_off=(
        "Microsoft 365 has logins with a password (SMTP AUTH by basic authentication) switched off for this "
        "tenant or mailbox.",
        "Log in with OAuth 2. Or have the tenant's administrator switch authenticated SMTP on for the "
        "mailbox, as long as "
        "Microsoft still allows that.",
    ),
    microsoft__policy=(
        "Microsoft 365 refused the sign-in by a policy: security defaults or conditional access forbid it.",
        "Log in with OAuth 2, or have the tenant's administrator exempt this mailbox from the policy.",
    ),
    microsoft__wrong_login=(
        "Microsoft 365 does not know this user name with this password, or the mailbox is locked.",
        "The user name is the mailbox's whole address. With multi-factor sign-in a password won't do: use OAuth 2.",
    ),
    microsoft__login_needed=(
        "Microsoft 365 takes mail at this host only from those who have logged in.",
        "Switch login on: OAuth 2 for the mailbox that sends.",
    ),
    microsoft__send_as=(
        "The mailbox that logs in may not send as this sender (SendAs denied).",
        "Send from the mailbox's own address, or have the Exchange administrator grant it Send As for the "
        "sender's address.",
    ),
    microsoft__too_many_connections=(
        "Microsoft 365 takes three connections of a mailbox at a time, and there were more.",
        "Limit the profile to three connections.",
    ),
    microsoft__address_blocked=(
        "Microsoft 365 takes no mail from this machine's address for this tenant.",
        "Ask Microsoft's support to lift it; new and trial tenants often can't send to others at first.",
    ),
    microsoft__sender_blocked=(
        "Microsoft 365 has stopped this mailbox from sending, because it sent spam or too much.",
        "The tenant's administrator can release it under Restricted entities in the Defender portal.",
    ),
    microsoft__daily_limit=(
        "The mailbox has sent to as many recipients as Microsoft 365 allows in a day.",
        "Wait until tomorrow, or spread the mail over the day with a limit in the profile.",
    ),
    microsoft__no_connector=(
        "Microsoft 365 relays for this machine only if a connector names its address or certificate.",
        "Have the tenant's administrator add a connector, or log in at smtp.office365.com, port 587.",
    ),
    google__app_password=(
        "Google wants an app password here: the account has 2-step verification, and its own password won't do.",
        "Make an app password in the Google account under Security, and enter it in place of the password; "
        "or use OAuth 2.",
    ),
    google__wrong_login=(
        "Google did not accept user name and password. An account's own password is not accepted for SMTP any more.",
        "The user name is the whole address; the password must be an app password. Or use OAuth 2.",
    ),
    google__web_login=(
        "Google wants a person to sign in with a browser first, because the login looked unusual to it.",
        "Sign in to the account with a browser and confirm that it was you; then use an app password or OAuth 2.",
    ),
    google__relay_denied=(
        "Google's relay service does not know this machine: its address is not allowed in the Admin console.",
        "Add the address under SMTP relay service in the Admin console, or log in with an account of the domain.",
    ),
    google__daily_limit=(
        "The account has sent as much as Google allows in a day.",
        "Wait a day, or spread the mail with a limit in the profile.",
    ),
    ses__wrong_login=(
        "Amazon SES does not know these SMTP credentials in this region. They are not the access key of an "
        "IAM user: the "
        "password is made from its secret, for one region.",
        "Make SMTP credentials in the SES console, in the region that the host names, and enter those.",
    ),
    ses__not_verified=(
        "Amazon SES takes no mail from this sender in this region; in the sandbox the recipient must be verified, too.",
        "Verify the sender's address or domain in the region that the host names, and ask AWS to leave the sandbox.",
    ),
    ses__throttled=(
        "Amazon SES has taken as much as this account may send in a second or a day.",
        "Set the profile's limits to the account's, or ask AWS for higher ones.",
    ),
    sendgrid__user_name=(
        "At SendGrid the user name is the word apikey, for everybody.",
        "Set the user name to apikey, and enter an API key as password.",
    ),
    sendgrid__key=(
        "SendGrid does not accept the API key: it was revoked, or may not send mail.",
        "Make an API key with the permission Mail Send, and enter it as password.",
    ),
    sendgrid__credits=(
        "The SendGrid account has used up what it may send.",
        "Wait for the next period, or change the plan.",
    ),
    sendgrid__sender=(
        "SendGrid takes mail only from senders that were verified there, and this one was not.",
        "Verify the sender or its domain at SendGrid under Sender Authentication, or use one that is.",
    ),
    mailgun__wrong_login=(
        "Mailgun does not know these SMTP credentials. They belong to a domain, and are not the API key.",
        "The user name is a whole address of the domain, such as postmaster@ and the domain; reset its SMTP password.",
    ),
    mailgun__sandbox=(
        "Mailgun's sandbox domains, and free accounts, send only to recipients that were authorized.",
        "Authorize the recipient at Mailgun, or add a domain of your own.",
    ),
    mailjet__wrong_login=(
        "Mailjet does not know this API key with this secret key.",
        "The user name is the API key, the password its secret key.",
    ),
    postmark__wrong_login=(
        "Postmark does not know this token.",
        "Both user name and password are the server's API token (or the access key and secret key of an SMTP token).",
    ),
    brevo__wrong_login=(
        "Brevo does not know this login with this SMTP key.",
        "The password is an SMTP key, not the account's password and not an API key.",
    ),
    mailbox__app_password=(
        "This provider does not take the account's own password for SMTP.",
        "Make an app password in the account's security settings, and enter it in place of the password.",
    ),
    exchange__login_needed=(
        "The Exchange server's receive connector takes mail at this port only from those who have logged in.",
        "Switch login on, or have the Exchange administrator allow anonymous relay for this machine's address.",
    ),
    exchange__send_as=(
        "The Exchange mailbox that logs in may not send as this sender.",
        "Send from the mailbox's own address, or have the Exchange administrator grant it Send As.",
    ),
    exchange__wrong_login=(
        "Exchange did not accept the login. It knows users by their whole address or as DOMAIN\\user.",
        "Enter user name and password again; if that is right, try NTLM.",
    ),
)  # fmt: skip

CAUSES: Final[Mapping[str, Cause]] = MappingProxyType({**_SETTINGS, **_PROVIDERS})
