"""/v1/profiles"""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response

from postroom.domain.problems import Invalid
from postroom.domain.profile import SECRET_FIELDS, Patch
from postroom.domain.secret import Secret
from postroom.store.profiles import StoredProfile
from postroom.web import bodies
from postroom.web.api.models import moment
from postroom.web.api.profile_models import (
    NewProfileBody,
    ProfileBody,
    ProfileList,
    ProfileOut,
    ProfilePatchBody,
)  # fmt: skip
from postroom.web.callers import NativeCaller, NativeTenant, TheRoom
from postroom.web.openapi import takes

router = APIRouter(tags=["profiles"])
DIALECT = "native"
MODELS = (ProfileBody, NewProfileBody, ProfilePatchBody)

IfMatch = Annotated[str | None, Header(description='The ETag that your change is based on, such as "3".')]


@router.get("/profiles", summary="The tenant's profiles")
async def list_profiles(room: TheRoom, caller: NativeCaller, tenant: NativeTenant) -> ProfileList:
    return ProfileList(profiles=[shown(each) for each in await room.profiles.every(caller, tenant)])


@router.post("/profiles", status_code=201, summary="Make one more profile", openapi_extra=takes(NewProfileBody))
async def create_profile(
    request: Request, response: Response, room: TheRoom, caller: NativeCaller, tenant: NativeTenant
) -> ProfileOut:
    body: NewProfileBody = bodies.parse(NewProfileBody, await bodies.read(request, bodies.SETTINGS_OCTETS))
    stored = await room.profiles.create(caller, tenant, body.name, _whole(body), dialect=DIALECT)
    response.headers["location"] = f"/v1/profiles/{stored.id}"
    return tagged(response, stored)


@router.get("/profiles/{profile}", summary="One profile (an id, or `default`)")
async def get_profile(
    profile: str, response: Response, room: TheRoom, caller: NativeCaller, tenant: NativeTenant
) -> ProfileOut:
    return tagged(response, await room.profiles.show(caller, tenant, which(profile)))


@router.put("/profiles/{profile}", summary="Replace a profile's settings", openapi_extra=takes(ProfileBody))
async def put_profile(
    profile: str, request: Request, response: Response, room: TheRoom, caller: NativeCaller, tenant: NativeTenant,
    if_match: IfMatch = None,
) -> ProfileOut:  # fmt: skip
    body: ProfileBody = bodies.parse(ProfileBody, await bodies.read(request, bodies.SETTINGS_OCTETS))
    stored = await room.profiles.save(
        caller, tenant, which(profile), lambda _stored: _whole(body), dialect=DIALECT, if_revision=revision(if_match)
    )
    return tagged(response, stored)


@router.patch("/profiles/{profile}", summary="Change some of it", openapi_extra=takes(ProfilePatchBody))
async def patch_profile(
    profile: str, request: Request, response: Response, room: TheRoom, caller: NativeCaller, tenant: NativeTenant,
    if_match: IfMatch = None,
) -> ProfileOut:  # fmt: skip
    body: ProfilePatchBody = bodies.parse(ProfilePatchBody, await bodies.read(request, bodies.SETTINGS_OCTETS))
    patch = partial(body)
    stored = await room.profiles.save(
        caller, tenant, which(profile), lambda _stored: patch, dialect=DIALECT, if_revision=revision(if_match)
    )
    if body.name is not None or body.default:
        stored = await room.profiles.arrange(
            caller, tenant, stored.id, name=body.name, make_default=body.default is True
        )
    return tagged(response, stored)


@router.delete("/profiles/{profile}", status_code=204, summary="Delete a profile that no mail waits for")
async def delete_profile(
    profile: str, room: TheRoom, caller: NativeCaller, tenant: NativeTenant, if_match: IfMatch = None
) -> None:
    await room.profiles.delete(caller, tenant, which(profile), if_revision=revision(if_match))


@router.post("/profiles/{profile}/pause", summary="Keep its mail back until it is resumed")
async def pause_profile(
    profile: str, response: Response, room: TheRoom, caller: NativeCaller, tenant: NativeTenant
) -> ProfileOut:
    return tagged(response, await room.profiles.pause(caller, tenant, which(profile)))


@router.post("/profiles/{profile}/resume", summary="Send its mail again at once, whatever it waits for but its limits")
async def resume_profile(
    profile: str, response: Response, room: TheRoom, caller: NativeCaller, tenant: NativeTenant
) -> ProfileOut:
    return tagged(response, await room.profiles.resume(caller, tenant, which(profile)))


def which(profile: str) -> int | None:
    """A profile's id; None for `default`. Raises Invalid."""
    if profile == "default":
        return None
    if not (profile.isascii() and profile.isdigit() and 1 <= len(profile) <= 9):
        raise Invalid("profile", "A profile is named by its number, or as default.")
    return int(profile)


def revision(if_match: str | None) -> int | None:
    """The revision in an If-Match header (RFC 9110 13.1.1); None where there is none, or `*`. Raises Invalid."""
    text = (if_match or "*").strip()
    if text == "*":
        return None
    number = text.removeprefix("W/").strip('"')
    if not (number.isascii() and number.isdigit() and len(number) <= 9):
        raise Invalid("If-Match", 'If-Match must be the ETag of the profile as you read it, such as "3".')
    return int(number)


def shown(stored: StoredProfile) -> ProfileOut:
    settings = {
        name: getattr(stored.settings, name) for name in ProfileOut.model_fields if hasattr(stored.settings, name)
    }
    return ProfileOut(
        **settings,
        id=stored.id,
        name=stored.name,
        default=stored.is_default,
        revision=stored.revision,
        password_set=stored.sealed_password is not None,
        refresh_token_set=stored.sign_in is not None,
        changed_at=moment(stored.changed_at),
        changed_by=stored.author,
        dialect=stored.dialect,
        trouble=stored.trouble,
        rests_until=moment(stored.rests_until) if stored.rests_until else None,
        paused_at=moment(stored.paused_at) if stored.paused_at else None,
    )


def tagged(response: Response, stored: StoredProfile) -> ProfileOut:
    """The profile as answered, with its ETag."""
    response.headers["etag"] = f'"{stored.revision}"'
    return shown(stored)


def _whole(body: ProfileBody) -> Patch:
    """PUT says everything: what is left out goes back to its default. Only the secrets may stay unsaid."""
    said: dict[str, Any] = {name: getattr(body, name) for name in ProfileBody.model_fields if name not in SECRET_FIELDS}
    return Patch(**said, **_secrets(body))


_CANNOT_BE_NULL = (
    "host", "port", "security", "verify_certificate", "tls_minimum", "auth", "token_grant", "token_client_auth",
)  # fmt: skip


def partial(body: ProfilePatchBody) -> Patch:
    """Only what is named. Raises Invalid."""
    said = {name: getattr(body, name) for name in body.model_fields_set - {"name", "default", *SECRET_FIELDS}}
    for name in _CANNOT_BE_NULL:
        if name in said and said[name] is None:
            raise Invalid(name, "This can't be null; leave it out to keep it.")
    return Patch(**said, **_secrets(body))


def _secrets(body: ProfileBody | ProfilePatchBody) -> dict[str, Any]:
    said = {name: getattr(body, name) for name in SECRET_FIELDS if name in body.model_fields_set}
    return {name: Secret(text) if text else None for name, text in said.items()}
