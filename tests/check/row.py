"""What a row of the table of broken relays and settings says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from postroom.domain.delivery import Stage
from smtp.moods import Mood

OTHER, SHOWN = "the other relay's port", "the certificate that was shown"
PASSWORD = "correct-horse-battery"
USER, SENDER, RECIPIENT = "mailer@company.example", "mailer@company.example", "one@customer.example"


@dataclass(frozen=True)
class At:
    """A relay on a port of the host. `certificate` is made for the row's host unless it says otherwise."""

    mood: Mood = field(default_factory=Mood)
    tls: str = "starttls"  # or "implicit", or "none"
    certificate: str = "good"


@dataclass(frozen=True)
class Row:
    """`ends` is where the check stops: stage, code and cause; `changes` what it proposes (None: nothing; OTHER and the
    like are filled in). What a proposal `needs` a person gives from `gives`. `cured`: with the change applied all is
    well."""

    name: str
    ends: tuple[Stage, str, str]
    changes: Mapping[str, Any] | None
    here: At | None = field(default_factory=At)  # None: nothing listens at the port of the settings
    other: At | None = None
    needs: tuple[str, ...] = ()
    confirm: bool = False
    cured: bool = True
    host: str = "relay.test"
    knows: tuple[str, ...] = ()  # the names that the DNS knows; else the host
    login: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)
    password: str | None = PASSWORD
    gives: Mapping[str, Any] = field(default_factory=lambda: {"password": PASSWORD})
    plaintext: bool = False  # the operator allows a login in the clear
    recipient: str = RECIPIENT
    forbidden: bool = False  # by the network policy
    delivers_alike: bool = True

    def __str__(self) -> str:
        return self.name
