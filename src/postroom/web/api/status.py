"""/v1/status"""

from fastapi import APIRouter
from pydantic import Field

from postroom.store.profiles import StoredProfile
from postroom.web.api.models import Out, moment
from postroom.web.callers import NativeCaller, TheRoom

router = APIRouter(tags=["status"])


class TroubleOut(Out):
    tenant: str
    profile: int
    name: str
    trouble: str | None = Field(description="What its last attempt failed with.")
    rests_until: str | None
    paused_at: str | None


class StatusOut(Out):
    """Of the process that answers, for all tenants together. Only keys of the whole installation may see it."""

    since: str = Field(description="When it started; what it counts begins at 0 then.")
    accepted: int = Field(description="Messages taken in durably.")
    commits: int = Field(description="Database transactions. Many callers share one, so there should be far fewer.")
    trouble: list[TroubleOut] = Field(description="Profiles whose mail waits: their relay fails, or they are paused.")


@router.get(
    "/status", summary="What the operator wants to know: mail accepted, transactions committed, profiles in trouble"
)
async def show_status(room: TheRoom, caller: NativeCaller) -> StatusOut:
    figures = await room.status.figures(caller)
    trouble = [_trouble(*each) for each in figures.trouble]
    return StatusOut(since=moment(figures.since), accepted=figures.accepted, commits=figures.commits, trouble=trouble)


def _trouble(tenant: str, stored: StoredProfile) -> TroubleOut:
    return TroubleOut(
        tenant=tenant, profile=stored.id, name=stored.name, trouble=stored.trouble,
        rests_until=moment(stored.rests_until) if stored.rests_until else None,
        paused_at=moment(stored.paused_at) if stored.paused_at else None,
    )  # fmt: skip
