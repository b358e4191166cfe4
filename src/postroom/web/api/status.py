"""/v1/status"""

from fastapi import APIRouter

from postroom.web.api.models import StatusOut, moment
from postroom.web.callers import NativeCaller, TheRoom

router = APIRouter(tags=["status"])


@router.get("/status", summary="What the operator wants to know of this process: mail accepted, transactions committed")
async def show_status(room: TheRoom, caller: NativeCaller) -> StatusOut:
    figures = room.status.figures(caller)
    return StatusOut(since=moment(figures.since), accepted=figures.accepted, commits=figures.commits)
