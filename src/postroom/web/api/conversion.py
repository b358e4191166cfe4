"""/v1/profiles/{profile}/as/{dialect} and …/from/{dialect}: a profile in a product's words, and back."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import Field

from postroom.dialects import by_name
from postroom.dialects.dialect import Dialect, Fields
from postroom.domain.problems import Invalid, Unavailable
from postroom.web import bodies
from postroom.web.api.models import Out
from postroom.web.api.profile_models import ProfileOut
from postroom.web.api.profiles import IfMatch, revision, tagged, which
from postroom.web.callers import NativeCaller, NativeTenant, TheRoom

router = APIRouter(tags=["conversion"])
_ANY_OBJECT = {"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}}


class LostOut(Out):
    field: str
    is_: Any = Field(serialization_alias="is", description="What it is here.")
    becomes: Any = Field(description="What a product that is told so would take it for.")


class ConvertedOut(Out):
    dialect: str
    settings: dict[str, Any] = Field(description="In the product's words, its secret hidden as the product hides it.")
    lost: list[LostOut]


@router.get("/profiles/{profile}/as/{dialect}", summary="A profile in a product's words, and what those would lose")
async def show_as(
    profile: str, dialect: str, room: TheRoom, caller: NativeCaller, tenant: NativeTenant
) -> ConvertedOut:
    speaker = by_name(dialect)
    settings = (await room.profiles.show(caller, tenant, which(profile))).settings
    lost = [LostOut(field=name, is_=now, becomes=then) for name, (now, then) in speaker.loss(settings).items()]
    return ConvertedOut(dialect=dialect, settings=speaker.write(settings), lost=lost)


@router.put(
    "/profiles/{profile}/from/{dialect}", summary="Set a profile in a product's words", openapi_extra=_ANY_OBJECT
)
async def set_from(
    profile: str, dialect: str, request: Request, response: Response, room: TheRoom, caller: NativeCaller,
    tenant: NativeTenant, if_match: IfMatch = None,
) -> ProfileOut:  # fmt: skip
    """Takes the settings as the product's API does, or a whole answer of the product with its envelope."""
    speaker = by_name(dialect)
    said = bodies.loose_json(await bodies.read(request, bodies.SETTINGS_OCTETS))
    patch = speaker.read(_fields(speaker, said))
    stored = await room.profiles.save(
        caller,
        tenant,
        which(profile),
        lambda before: speaker.change(patch, before.settings if before else None),
        dialect=speaker.name,
        if_revision=revision(if_match),
        clear_if_moved=speaker.clear_if_moved,
    )
    return tagged(response, stored)


def _fields(dialect: Dialect, said: Any) -> Fields:
    if not isinstance(said, Mapping):
        raise Invalid("body", "The request body must be a JSON object with the product's settings.")
    try:
        return dialect.unwrap(200, said) or said
    except Unavailable:  # no envelope round it
        return said
