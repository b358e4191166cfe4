"""What well-known relays want, as their operators publish it: the settings to begin with, and what to enter as user
name and password. Adding one is one row."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from postroom.domain.profile import Auth, Profile, Security

_NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Preset:
    """`settings` are fields of a profile. `hosts`: the relay's name by region, where it has several. `hints`: what to
    enter, by field, in place of the form's usual hint."""

    name: str
    title: str
    about: str
    settings: Mapping[str, Any]
    hosts: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    hints: Mapping[str, str] = field(default_factory=lambda: _NOTHING)

    def begun(self, region: str | None) -> Mapping[str, Any]:
        """The settings to begin with; an unknown region is the first."""
        if not self.hosts:
            return self.settings
        first = next(iter(self.hosts.values()))
        return {**self.settings, "host": self.hosts.get(region or "", first)}


_STARTTLS: Mapping[str, Any] = {"port": 587, "security": Security.STARTTLS}
_LOGIN: Mapping[str, Any] = {**_STARTTLS, "auth": Auth.PASSWORD}
_SES_REGIONS = (
    "us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1", "eu-central-1", "eu-west-1",
    "eu-west-2", "eu-west-3", "eu-south-1", "eu-north-1", "ap-south-1", "ap-southeast-1", "ap-southeast-2",
    "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "me-south-1", "af-south-1",
)  # fmt: skip

PRESETS = (
    Preset(
        "microsoft365", "Microsoft 365", "Exchange Online, with OAuth 2. Basic login is being switched off there.",
        {
            **_STARTTLS, "host": "smtp.office365.com", "auth": Auth.OAUTH2,
            "token_url": "https://login.microsoftonline.com/TENANT-ID/oauth2/v2.0/token",
            "token_scope": "https://outlook.office365.com/.default",
        },
        hints={
            "username": "The mailbox to send as, such as noreply@company.example.",
            "token_url": "Put your directory (tenant) ID from the app registration in place of TENANT-ID.",
            "client_id": "The application (client) ID of the app registration. It needs the permission SMTP.SendAsApp.",
            "password": "The value of the app's client secret, not its ID.",
            "limit_per_minute": "Exchange Online takes 30 messages in a minute from one mailbox.",
        },
    ),
    Preset(
        "gmail", "Gmail", "A Gmail or Workspace mailbox, with an app password.",
        {**_LOGIN, "host": "smtp.gmail.com"},
        hints={
            "username": "The whole address of the mailbox.",
            "password": "An app password of 16 letters. The account must have 2-step verification to make one.",
            "sender_address": "The mailbox's address or one of its aliases. Gmail replaces any other one.",
        },
    ),
    Preset(
        "google-relay", "Google Workspace relay", "A whole domain's mail, known by this machine's address.",
        {**_STARTTLS, "host": "smtp-relay.gmail.com"},
        hints={
            "auth": "None, if the Admin console allows this machine's address; else a password.",
            "sender_address": "An address of your Workspace domain.",
        },
    ),
    Preset(
        "ses", "Amazon SES", "Simple Email Service, in the region of your account.", _LOGIN,
        hosts={each: f"email-smtp.{each}.amazonaws.com" for each in _SES_REGIONS},
        hints={
            "username": "The SMTP user name from the SES console. An AWS access key does not work as it is.",
            "password": "The SMTP password from the SES console.",
            "sender_address": "An address or domain that is verified in this region.",
        },
    ),
    Preset(
        "sendgrid", "SendGrid", "Twilio SendGrid, with an API key.",
        {**_LOGIN, "host": "smtp.sendgrid.net", "username": "apikey"},
        hints={
            "username": "Always the word apikey.",
            "password": "An API key that may send mail. It begins with SG.",
            "sender_address": "A verified sender, or an address of an authenticated domain.",
        },
    ),
    Preset(
        "mailgun", "Mailgun", "With the SMTP login of a sending domain.", _LOGIN,
        hosts={"US": "smtp.mailgun.org", "EU": "smtp.eu.mailgun.org"},
        hints={
            "username": "An SMTP login of the domain, such as postmaster@mg.company.example.",
            "password": "The password of that SMTP login, not the API key.",
        },
    ),
    Preset(
        "mailjet", "Mailjet", "With the API key and the secret key.",
        {**_LOGIN, "host": "in-v3.mailjet.com"},
        hints={
            "username": "The API key.",
            "password": "The secret key.",
            "sender_address": "A validated sender address or domain.",
        },
    ),
    Preset(
        "postmark", "Postmark", "With a server's token.",
        {**_LOGIN, "host": "smtp.postmarkapp.com"},
        hints={
            "username": "The server API token, or the access key of an SMTP token.",
            "password": "The same server API token, or the SMTP token's secret key.",
            "sender_address": "A confirmed sender signature, or an address of a verified domain.",
        },
    ),
    Preset(
        "exchange", "Exchange on premises", "A receive connector of your own Exchange server.",
        _LOGIN,
        hints={
            "host": "The name in the server's certificate.",
            "auth": "Port 587 takes a login. A relay connector on port 25 often takes none, by address.",
            "username": "DOMAIN\\user or user@domain.",
            "ca_certificates": "Paste your own authority's certificate, if the server has one of it.",
        },
    ),
    Preset(
        "postfix", "Postfix or another relay", "Your own mail server, or one that is not listed here.",
        {**_STARTTLS},
        hints={
            "port": "587 for a login, 465 for TLS from the start, 25 between servers.",
            "auth": "None, if the relay knows this machine by its address.",
        },
    ),
)  # fmt: skip


def sandbox(settings: Profile) -> Preset:
    """The relay that keeps everything here."""
    said = {name: getattr(settings, name) for name in ("host", "port", "security", "sender_address", "sender_name")}
    about = "Keeps all mail on this machine, to look at on the page Sandbox."
    return Preset("sandbox", "The sandbox", about, said)
