"""/v1/tenants"""

from fastapi import APIRouter, Request
from pydantic import Field

from postroom.domain.tenant import Tenant
from postroom.web import bodies
from postroom.web.api.models import In, Out, moment
from postroom.web.callers import NativeCaller, TheRoom
from postroom.web.openapi import takes

router = APIRouter(tags=["tenants"])


class NewTenantBody(In):
    slug: str
    name: str = Field("", max_length=255)


class TenantOut(Out):
    slug: str
    name: str
    created_at: str


class TenantList(Out):
    tenants: list[TenantOut]


MODELS = (NewTenantBody,)


@router.get("/tenants", summary="The tenants that the key can see")
async def list_tenants(room: TheRoom, caller: NativeCaller) -> TenantList:
    return TenantList(tenants=[_tenant(each) for each in await room.tenants.visible(caller)])


@router.post("/tenants", status_code=201, summary="Make a tenant", openapi_extra=takes(NewTenantBody))
async def create_tenant(request: Request, room: TheRoom, caller: NativeCaller) -> TenantOut:
    body: NewTenantBody = bodies.parse(NewTenantBody, await bodies.read(request, bodies.SETTINGS_OCTETS))
    return _tenant(await room.tenants.create(caller, body.slug, body.name))


@router.get("/tenants/{slug}", summary="One tenant")
async def get_tenant(slug: str, room: TheRoom, caller: NativeCaller) -> TenantOut:
    return _tenant(await room.tenants.of(caller, slug))


def _tenant(tenant: Tenant) -> TenantOut:
    return TenantOut(slug=tenant.slug, name=tenant.name, created_at=moment(tenant.created_at))
