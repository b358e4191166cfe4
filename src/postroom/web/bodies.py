"""Request bodies: read within a limit, parsed once, wrong ones named by field and never echoed."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect, Request

from postroom.domain.problems import Invalid, TooLarge

T = TypeVar("T")

SETTINGS_OCTETS = 256 * 1024
MAIL_OCTETS = 40 * 1024 * 1024
MOST_FORM_FIELDS = 100


async def read(request: Request, most: int) -> bytes:
    """The body. Raises TooLarge as soon as it is, without reading the rest."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > most:
        raise _too_large(most)
    chunks, size, more = [], 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > most:
            raise _too_large(most)
        chunks.append(chunk)
        more = message.get("more_body", False)
    return b"".join(chunks)


def _too_large(most: int) -> TooLarge:
    size = f"{most // 2**20} MiB" if most >= 2**20 else f"{most // 1024} KiB"
    return TooLarge(f"The request body may have at most {size}; base64 makes a file a third larger. Send less at once.")


def parse(model: type[BaseModel] | TypeAdapter[T], raw: bytes) -> Any:
    """A pydantic model of a JSON body. Raises Invalid, naming the field as in `to[0].address`."""
    validate = model.validate_json if isinstance(model, TypeAdapter) else model.model_validate_json
    try:
        return validate(raw)
    except ValidationError as error:
        raise invalid(error) from None


def invalid(error: ValidationError) -> Invalid:
    first = error.errors(include_input=False, include_url=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return Invalid("body", f"The request body is not valid JSON: {first['msg'].partition(': ')[2]}.")
    message = first["msg"].removeprefix("Value error, ")
    return Invalid(path(first["loc"]), message if message.endswith(".") else f"{message}.")


def path(location: tuple[int | str, ...]) -> str:
    """`("to", 0, "address")` as `to[0].address`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return text.removeprefix(".") or "body"


def loose_json(raw: bytes) -> Any:
    """JSON as products' clients send it; None for no body. Raises Invalid. A member given twice is refused: two readers
    would see two different settings."""
    if not raw.strip():
        return None
    try:
        return json.loads(raw, object_pairs_hook=_object, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Invalid("body", f"The request body is not valid JSON ({error.msg}, {where}).") from None
    except (RecursionError, ValueError):  # not UTF-8, or a number of thousands of digits
        raise Invalid("body", "The request body is not valid JSON in UTF-8, or out of all proportion.") from None


def form(raw: bytes) -> Mapping[str, str]:
    """A form body. Raises Invalid."""
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=MOST_FORM_FIELDS)
    except ValueError:
        raise Invalid("body", "The request body is not a valid form in UTF-8.") from None
    return _object(pairs)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Invalid("body", "The request body names a field twice.")
    return members


def _no_constant(name: str) -> None:
    raise Invalid("body", f"The request body is not valid JSON ({name} is no JSON value).")
