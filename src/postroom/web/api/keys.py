"""/v1/keys"""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field

from postroom.domain.access import LONGEST_KEY_LIFE, LONGEST_OVERLAP, Caller, Permission
from postroom.domain.tenant import Tenant
from postroom.store.keys import Key
from postroom.web import bodies
from postroom.web.api.models import In, Out, moment
from postroom.web.callers import TENANT_HEADER, NativeCaller, TheRoom
from postroom.web.openapi import takes

router = APIRouter(tags=["keys"])
INSTALLATION = "*"


class NewKeyBody(In):
    name: str = Field(min_length=1, max_length=255)
    permissions: list[Annotated[Permission, Field(strict=False)]] | None = Field(
        None, description="Null means all that the calling key has."
    )
    expires_in: int | None = Field(None, ge=60, le=LONGEST_KEY_LIFE, description="Seconds; null never expires.")
    email: str | None = Field(None, description="Whose it is: where the test mail of some products goes.")


class RotationBody(In):
    overlap: int = Field(
        86_400, ge=0, le=LONGEST_OVERLAP, description="Seconds that the old value is good beside the new one."
    )


class KeyOut(Out):
    id: str
    name: str
    email: str | None
    tenant: str | None = Field(description="Null is the whole installation.")
    permissions: list[Permission]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None
    previous_until: str | None = Field(description="Until when the value before the last rotation is good.")
    previous_used_at: str | None = Field(description="When that value was last used, since the rotation.")


class NewKeyOut(KeyOut):
    key: str = Field(description="Shown this once.")


class KeyList(Out):
    keys: list[KeyOut]


MODELS = (NewKeyBody, RotationBody)


@router.get("/keys", summary="The tenant's keys (with `X-Postroom-Tenant: *` all)")
async def list_keys(request: Request, room: TheRoom, caller: NativeCaller) -> KeyList:
    scope = await _scope(request, room, caller)
    names = {tenant.id: tenant.slug for tenant in await room.tenants.visible(caller)}
    return KeyList(keys=[KeyOut(**_facts(each, names)) for each in await room.keys.visible(caller, scope)])


@router.post(
    "/keys", status_code=201, summary="Make a key; its value is shown this once", openapi_extra=takes(NewKeyBody)
)
async def create_key(request: Request, room: TheRoom, caller: NativeCaller) -> NewKeyOut:
    body: NewKeyBody = bodies.parse(NewKeyBody, await bodies.read(request, bodies.SETTINGS_OCTETS))
    scope = await _scope(request, room, caller)
    permissions = caller.permissions if body.permissions is None else frozenset(body.permissions)
    key, value = await room.keys.create(caller, scope, body.name, permissions, body.expires_in, body.email)
    return NewKeyOut(**_facts(key, {scope.id: scope.slug} if scope else {}), key=value.reveal())


@router.post(
    "/keys/{key}/rotate", summary="Give a key a new value, shown this once; the old one is good for a while",
    openapi_extra=takes(RotationBody),
)  # fmt: skip
async def rotate_key(key: str, request: Request, room: TheRoom, caller: NativeCaller) -> NewKeyOut:
    body: RotationBody = bodies.parse(RotationBody, await bodies.read(request, bodies.SETTINGS_OCTETS))
    scope = await _scope(request, room, caller)
    rotated, value = await room.keys.rotate(caller, scope, key, body.overlap)
    names = {tenant.id: tenant.slug for tenant in await room.tenants.visible(caller)}
    return NewKeyOut(**_facts(rotated, names), key=value.reveal())


@router.delete("/keys/{key}", status_code=204, summary="Revoke a key, at once")
async def revoke_key(key: str, request: Request, room: TheRoom, caller: NativeCaller) -> None:
    await room.keys.revoke(caller, await _scope(request, room, caller), key)


async def _scope(request: Request, room: TheRoom, caller: Caller) -> Tenant | None:
    """None is the whole installation, asked for as tenant `*`."""
    asked = request.headers.get(TENANT_HEADER)
    return None if asked == INSTALLATION else await room.tenants.of(caller, asked)


def _facts(key: Key, slugs: dict[int, str]) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "email": key.email,
        "tenant": slugs.get(key.tenant_id) if key.tenant_id is not None else None,
        "permissions": sorted(key.permissions),
        "created_at": moment(key.created_at),
        "expires_at": moment(key.expires_at) if key.expires_at else None,
        "revoked_at": moment(key.revoked_at) if key.revoked_at else None,
        "last_used_at": moment(key.last_used_at) if key.last_used_at else None,
        "previous_until": moment(key.previous_until) if key.previous_until else None,
        "previous_used_at": moment(key.previous_used_at) if key.previous_used_at else None,
    }
