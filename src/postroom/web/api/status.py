"""/v1/status"""

from fastapi import APIRouter
from pydantic import Field

from postroom.web.api.models import Out, moment
from postroom.web.callers import NativeCaller, TheRoom

router = APIRouter(tags=["status"])


class StatusOut(Out):
    """Of the process that answers, for all tenants together. Only keys of the whole installation may see it."""

    since: str = Field(description="When it started; what it counts begins at 0 then.")
    accepted: int = Field(description="Messages taken in durably.")
    commits: int = Field(description="Database transactions. Many callers share one, so there should be far fewer.")


@router.get("/status", summary="What the operator wants to know of this process: mail accepted, transactions committed")
async def show_status(room: TheRoom, caller: NativeCaller) -> StatusOut:
    figures = room.status.figures(caller)
    return StatusOut(since=moment(figures.since), accepted=figures.accepted, commits=figures.commits)
