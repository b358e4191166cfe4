"""A profile as the fields of a form, and back. Pure.

A field that comes back as it was shown is no change; one that is missing from the form is none, either. Secrets are
never shown: an empty one means "leave it", a tick beside it means "remove it".
"""

from collections.abc import Mapping
from dataclasses import fields
from enum import StrEnum
from typing import Any, Final

from postroom.domain.limits import LIMIT_FIELDS
from postroom.domain.problems import Invalid
from postroom.domain.profile import (
    KEEP,
    SECRET_FIELDS,
    Auth,
    ClientAuth,
    Keep,
    Patch,
    Profile,
    Security,
    TlsVersion,
    TokenGrant,
)  # fmt: skip
from postroom.domain.secret import Secret

FIELDS: Final = tuple(each.name for each in fields(Profile) if each.name != "extras")
_NUMBERS: Final = ("port", *LIMIT_FIELDS, "most_connections", "failover")
_CHOICES: Final[Mapping[str, type[StrEnum]]] = {
    "security": Security, "tls_minimum": TlsVersion, "auth": Auth, "token_grant": TokenGrant,
    "token_client_auth": ClientAuth,
}  # fmt: skip
_NEW: Final = Profile(host="a", port=587, security=Security.STARTTLS)


def shown(settings: Profile) -> dict[str, str]:
    """What the form's fields hold for these settings."""
    return {name: as_text(getattr(settings, name)) for name in FIELDS}


def blank(begun: Mapping[str, Any]) -> dict[str, str]:
    """The same for settings that are only begun: those of a preset."""
    return shown(_NEW) | {"host": ""} | {name: as_text(value) for name, value in begun.items()}


def as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def patch(form: Mapping[str, str], before: Profile | None) -> Patch:
    """The change that a form means. Raises Invalid."""
    stood = shown(before) if before is not None else {}
    given = {name: _text(form[name]) for name in FIELDS if name in form}
    said = {name: _read(name, text) for name, text in given.items() if name not in stood or _text(stood[name]) != text}
    said |= {name: _secret(form, name) for name in SECRET_FIELDS}
    return Patch(**said)


def with_changes(values: Mapping[str, str], changes: Mapping[str, Any]) -> dict[str, str]:
    """The form's fields after a proposed change."""
    return {**values, **{name: as_text(value) for name, value in changes.items() if name in FIELDS}}


def without_secrets(form: Mapping[str, str]) -> dict[str, str]:
    """What may be shown again of a form."""
    return {name: form[name] for name in (*FIELDS, "name", "recipient") if name in form}


def _text(given: str) -> str:
    """Browsers send the lines of a text with CR LF, whatever they were (HTML standard, form submission)."""
    return given.replace("\r\n", "\n").strip()


def _read(name: str, text: str) -> Any:
    if name in _NUMBERS:
        return _number(name, text)
    if name in _CHOICES:
        try:
            return _CHOICES[name](text)
        except ValueError:
            raise Invalid(name, f"Choose one of {', '.join(_CHOICES[name])}.") from None
    if name == "verify_certificate":
        if text not in ("yes", "no"):
            raise Invalid(name, "Choose yes or no.")
        return text == "yes"
    return text if text or name == "host" else None


def _number(name: str, text: str) -> int | None:
    if not text and name != "port":
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise Invalid(name, "Enter a whole number, in digits.")
    return int(text)


def _secret(form: Mapping[str, str], name: str) -> Secret | Keep | None:
    if form.get(name):
        return Secret(form[name])
    return None if form.get(f"{name}_clear") else KEEP
