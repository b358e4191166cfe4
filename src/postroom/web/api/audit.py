"""/v1/audit"""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime, Field

from postroom.domain.access import Caller
from postroom.domain.tenant import Tenant
from postroom.store.audit import AuditSearch, Verified
from postroom.store.audit_chain import Entry
from postroom.web.api.models import Out
from postroom.web.callers import TENANT_HEADER, NativeCaller, TheRoom

router = APIRouter(tags=["audit"])
INSTALLATION = "*"
LARGEST = 2**53


class EntryOut(Out):
    """Who did what, when. `detail.changes` is field by field what was and what is; of a secret only that it changed."""

    id: int
    number: int | None = Field(description="Its place in the chain of its tenant, or of the installation.")
    at: str = Field(description="To the microsecond.")
    tenant: str | None = Field(description="Null is the whole installation.")
    key_id: str | None
    key: str = Field(description="The key's name.")
    address: str
    dialect: str | None
    action: str
    subject: str
    detail: dict[str, Any]
    hash: str | None


class EntryList(Out):
    entries: list[EntryOut]
    next: int | None = Field(description="Give it as `before` to get the page after this one.")


class FaultOut(Out):
    what: Literal["edited", "removed", "reordered", "inserted", "unproved"]
    message: str
    number: int | None = Field(description="The first bad row's place in the chain.")
    id: int | None = Field(description="Its id, where there is such a row.")


class ChainOut(Out):
    tenant: str | None = Field(description="Null is the chain of the installation itself.")
    ok: bool
    rows: int = Field(description="How many were found to be well, from the first on.")
    head: str | None = Field(description="Keep it elsewhere: a later verification can be asked whether it still holds.")
    fault: FaultOut | None


class VerificationOut(Out):
    ok: bool
    chains: list[ChainOut]


@router.get("/audit", summary="Who did what, newest first (with `X-Postroom-Tenant: *` everything)")
async def list_entries(
    request: Request, room: TheRoom, caller: NativeCaller,
    action: Annotated[str | None, Query(max_length=64, description="Such as profile.saved, or profile.")] = None,
    subject: Annotated[str | None, Query(max_length=255)] = None,
    since: AwareDatetime | None = None, until: AwareDatetime | None = None,
    before: Annotated[int | None, Query(ge=1, le=LARGEST)] = None, limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> EntryList:  # fmt: skip
    tenant = await _scope(request, room, caller)
    search = AuditSearch(action and action.rstrip("."), subject, _micro(since), _micro(until), before, limit)
    found = await room.audit.page(caller, tenant, search)
    slugs = await _slugs(room, caller)
    return EntryList(
        entries=[_entry(each, slugs) for each in found], next=found[-1].id if len(found) == limit else None
    )


@router.get("/audit/verification", summary="Whether anything in it was edited, removed, reordered or inserted")
async def verify(
    request: Request, room: TheRoom, caller: NativeCaller,
    head: Annotated[str | None, Query(max_length=100, description="One that was kept: must still hold.")] = None,
) -> VerificationOut:  # fmt: skip
    verified = await room.audit.verify(caller, await _scope(request, room, caller), head)
    slugs = await _slugs(room, caller)
    return VerificationOut(
        ok=all(each.fault is None for each in verified), chains=[_chain(each, slugs) for each in verified]
    )


async def _scope(request: Request, room: TheRoom, caller: Caller) -> Tenant | None:
    """None is everything, asked for as tenant `*`."""
    asked = request.headers.get(TENANT_HEADER)
    return None if asked == INSTALLATION else await room.tenants.of(caller, asked)


async def _slugs(room: TheRoom, caller: Caller) -> dict[int | None, str]:
    return {each.id: each.slug for each in await room.tenants.visible(caller)}


def _entry(entry: Entry, slugs: dict[int | None, str]) -> EntryOut:
    return EntryOut(
        id=entry.id, number=entry.number, at=_exact(entry.at), tenant=slugs.get(entry.tenant_id), key_id=entry.key_id,
        key=entry.actor, address=entry.address, dialect=entry.dialect, action=entry.action, subject=entry.subject,
        detail=entry.more(), hash=entry.hash,
    )  # fmt: skip


def _chain(verified: Verified, slugs: dict[int | None, str]) -> ChainOut:
    fault, head = verified.fault, verified.head
    told = FaultOut(what=fault.what.value, message=fault.message, number=fault.number, id=fault.id) if fault else None
    return ChainOut(
        tenant=slugs.get(verified.tenant_id), ok=fault is None, rows=verified.rows, head=str(head) if head else None,
        fault=told,
    )  # fmt: skip


def _micro(moment: datetime | None) -> int | None:
    return int(moment.timestamp() * 1_000_000) if moment is not None else None


def _exact(microseconds: int) -> str:
    moment = datetime.fromtimestamp(microseconds // 1_000_000, UTC).replace(microsecond=microseconds % 1_000_000)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
