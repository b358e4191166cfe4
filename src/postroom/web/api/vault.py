"""/v1/vault: the keys that secrets and mail are sealed with."""

from fastapi import APIRouter, Request, Response
from pydantic import Field

from postroom.web import bodies
from postroom.web.api.models import In, Out
from postroom.web.callers import NativeCaller, TheRoom
from postroom.web.openapi import takes

router = APIRouter(tags=["vault"])


class VaultKeyOut(Out):
    id: str = Field(description="A name for it; the key itself is never told.")
    seals: bool = Field(description="Whether it is the one that seals from now on.")
    is_here: bool = Field(description="False: it may have sealed something, and this machine does not have it.")


class VaultOut(Out):
    keys: list[VaultKeyOut]


class RotationOut(Out):
    made: str | None = Field(description="The new key; null where the operator has put one in place.")


class ResealBody(In):
    after: str | None = Field(None, max_length=255, description="What the last answer gave; null begins.")


class ResealOut(Out):
    kind: str
    sealed: int
    lost: int = Field(description="Could not be opened, and stay as they are.")
    after: str | None = Field(description="For the next lot; null when that was all.")


MODELS = (ResealBody,)


@router.get("/vault", summary="The keys that may have sealed something")
async def show_vault(room: TheRoom, caller: NativeCaller) -> VaultOut:
    keys = await room.vault.every(caller)
    return VaultOut(keys=[VaultKeyOut(id=each.id, seals=each.seals, is_here=each.is_here) for each in keys])


@router.post("/vault/rotate", summary="Have a new key seal from now on")
async def rotate_vault(room: TheRoom, caller: NativeCaller) -> RotationOut:
    return RotationOut(made=await room.vault.rotate(caller))


@router.post(
    "/vault/reseal", summary="Seal a lot of what is under other keys with the new one", openapi_extra=takes(ResealBody)
)
async def reseal(request: Request, room: TheRoom, caller: NativeCaller) -> ResealOut:
    body: ResealBody = bodies.parse(ResealBody, await bodies.read(request, bodies.SETTINGS_OCTETS))
    lot = await room.vault.reseal(caller, body.after)
    return ResealOut(kind=lot.kind, sealed=lot.sealed, lost=lot.lost, after=lot.after)


@router.delete("/vault/keys/{key}", status_code=204, summary="Take a key out of use that nothing is sealed with")
async def retire_vault_key(key: str, room: TheRoom, caller: NativeCaller) -> Response:
    await room.vault.retire(caller, key)
    return Response(status_code=204)
