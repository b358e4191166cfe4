"""The mail settings of a realm, as Keycloak and what is built on it spell them: every value may be text."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from postroom.dialects import wire
from postroom.dialects.dialect import Json
from postroom.domain.profile import Patch, Profile, Security

DEFAULT_PORT = 25


def _nothing_is(default: Any) -> BeforeValidator:
    """What null and "" mean: consoles send them for a field that is not filled in."""
    return BeforeValidator(lambda value: default if value is None or value == "" else value)


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


Words = Annotated[wire.Text, BeforeValidator(_number_as_text), _nothing_is("")]
Switch = Annotated[wire.Flag, _nothing_is(False)]
PortOrDefault = Annotated[wire.Port, _nothing_is(DEFAULT_PORT)]
Password = Annotated[wire.Password, BeforeValidator(_number_as_text), _nothing_is(None)]


class RealmMail(wire.Wire):
    """The fields that both products have. What is left out has its default: a save replaces all of them."""

    host: Words
    port: PortOrDefault = Field(DEFAULT_PORT, description="Left out: 25.")
    from_: Words = Field("", alias="from")
    fromDisplayName: Words = ""
    replyTo: Words = ""
    replyToDisplayName: Words = ""
    envelopeFrom: Words = Field("", description="For bounces; left out or empty: the sender's address.")
    ssl: Switch = Field(False, description="TLS from the first byte.")
    starttls: Switch = Field(False, description="STARTTLS, and no mail without it.")
    user: Words = ""
    password: Password = None

    @property
    def security(self) -> Security:
        if self.ssl:
            return Security.TLS
        return Security.STARTTLS if self.starttls else Security.NONE

    def patch(self, **login: Any) -> Patch:
        return Patch(
            host=self.host,
            port=self.port,
            security=self.security,
            sender_address=self.from_ or None,
            sender_name=self.fromDisplayName or None,
            reply_to_address=self.replyTo or None,
            reply_to_name=self.replyToDisplayName or None,
            envelope_sender=self.envelopeFrom or None,
            **login,
        )


WORDS = {
    "host": "host", "port": "port", "sender_address": "from", "sender_name": "fromDisplayName",
    "reply_to_address": "replyTo", "reply_to_name": "replyToDisplayName", "envelope_sender": "envelopeFrom",
    "username": "user", "password": "password",
}  # fmt: skip


def written(profile: Profile) -> dict[str, Json]:
    """The same fields from a profile, but for the login; what is not set is left out."""
    said = {
        "host": profile.host,
        "port": str(profile.port),
        "from": profile.sender_address,
        "fromDisplayName": profile.sender_name,
        "replyTo": profile.reply_to_address,
        "replyToDisplayName": profile.reply_to_name,
        "envelopeFrom": profile.envelope_sender,
        "ssl": quoted(profile.security is Security.TLS),
        "starttls": quoted(profile.security in (Security.STARTTLS, Security.STARTTLS_IF_OFFERED)),
    }
    return without_nothing(said)


def without_nothing(said: dict[str, Json]) -> dict[str, Json]:
    return {name: value for name, value in said.items() if value is not None}


def quoted(flag: bool) -> str:
    """One client's decoder stops at a bare boolean."""
    return "true" if flag else "false"
