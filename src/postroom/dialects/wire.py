"""Loose wire types: what products' clients really send ("587" for 587, "True" for true), read strictly.

Used as pydantic field types, so that they also describe themselves in each dialect's OpenAPI document.
"""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError, WithJsonSchema, model_validator

from postroom.domain.problems import Invalid
from postroom.domain.profile import Security

M = TypeVar("M", bound="Wire")

IMPLICIT_TLS_PORT = 465  # RFC 8314 section 7.3


class Wire(BaseModel):
    """A body on the wire; members it doesn't know are ignored, as the products do."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class AnyCase(Wire):
    """Its members may be spelled in any case, as .NET takes them."""

    @classmethod
    def spelled(cls, said: Mapping[str, Any]) -> dict[str, Any]:
        """The members as the product spells them. Raises Invalid when one is there in two spellings."""
        names = {name.lower(): name for name in cls.model_fields}
        found = {names.get(str(name).lower(), name): value for name, value in said.items()}
        if len(found) != len(said):
            raise Invalid("body", "The request body names a field twice.")
        return found

    @model_validator(mode="before")
    @classmethod
    def _spelled(cls, said: Any) -> Any:
        return cls.spelled(said) if isinstance(said, Mapping) else said


def null_is(default: Any) -> BeforeValidator:
    """A field where null is as good as nothing."""
    return BeforeValidator(lambda value: default if value is None else value)


def whole(value: Any) -> int:
    """A number, or a text that is one. Raises ValueError."""
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value.strip()) <= 9:
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError("This must be a whole number.")


def _text(value: Any) -> Any:
    if isinstance(value, str):
        return value.strip()
    if value is None:
        raise ValueError("This field is required.")
    raise ValueError("This must be text.")


def _flag(value: Any) -> bool:
    # bool("false") is true in Python: only these spellings are taken (security-reliability.md B6).
    spelled = {"true": True, "false": False}
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in spelled:
        return spelled[value.strip().lower()]
    raise ValueError("This must be true or false.")


def _port(value: Any) -> int:
    if isinstance(value, str) and value.strip().isascii() and value.strip().isdigit() and len(value.strip()) <= 5:
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535:
        return value
    raise ValueError("This must be a number from 1 to 65535 (usually 25, 465 or 587).")


Text = Annotated[str, BeforeValidator(_text)]
Password = Annotated[str | None, WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "null"}], "writeOnly": True})]
Flag = Annotated[
    bool, BeforeValidator(_flag), WithJsonSchema({"anyOf": [{"type": "boolean"}, {"enum": ["true", "false"]}]})
]
Number = Annotated[int, BeforeValidator(whole), WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "string"}]})]
Port = Annotated[
    int,
    BeforeValidator(_port),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1, "maximum": 65535}, {"type": "string"}]}),
]


def parse(model: type[M], fields: Any) -> M:
    """The wire model of `fields`. Raises Invalid with the first thing that is wrong, naming the product's field."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"]) or "body"
        if first["type"] == "missing":
            raise Invalid(name, "This field is required.") from None
        message = first["msg"].removeprefix("Value error, ")
        raise Invalid(name, message if message.endswith(".") else f"{message}.") from None


def in_any_case(model: type[Wire], fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The fields as the model spells them, for products that take names in any case. Raises Invalid."""
    spelled = {name.lower(): name for name in model.model_fields}
    said = {spelled.get(name.lower(), name): value for name, value in fields.items()}
    if len(said) != len(fields):
        raise Invalid("body", "The request body names a field twice.")
    return said


def security(tls: bool, port: int) -> Security:
    """One flag for two kinds of TLS: implicit on 465, else STARTTLS, and required either way (design rule 6)."""
    if not tls:
        return Security.NONE
    return Security.TLS if port == IMPLICIT_TLS_PORT else Security.STARTTLS
