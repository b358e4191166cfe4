"""/v1/profiles/{profile}/check and /v1/check: settings tried step by step."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request, Response

from postroom.actions.checks import Wanted
from postroom.smtp.step import Step
from postroom.web import bodies, events
from postroom.web.api.check_models import CheckBody, CheckOut, DoneOut, NewCheckBody, told
from postroom.web.api.profiles import partial, which
from postroom.web.callers import NativeCaller, NativeTenant, TheRoom
from postroom.web.events import Event
from postroom.web.openapi import takes

router = APIRouter(tags=["checks"])
MODELS = (CheckBody, NewCheckBody)
_STREAM = "One `step` event with a StepOut for each step as it is known, then `done` with a DoneOut."
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {events.MEDIA_TYPE: {"schema": {"type": "string", "description": _STREAM}}}}
}


@router.post(
    "/profiles/{profile}/check", summary="Try a profile's settings, step by step", response_model=CheckOut,
    openapi_extra=takes(CheckBody), responses=_ANSWERS,
)  # fmt: skip
async def check_profile(
    profile: str, request: Request, room: TheRoom, caller: NativeCaller, tenant: NativeTenant
) -> CheckOut | Response:
    raw = await bodies.read(request, bodies.SETTINGS_OCTETS)
    wanted = _wanted(bodies.parse(CheckBody, raw or b"{}"))
    return await _answer(request, await room.checks.begin(caller, tenant, which(profile), wanted))


@router.post(
    "/check", summary="Try settings that are not a profile yet, step by step", response_model=CheckOut,
    openapi_extra=takes(NewCheckBody), responses=_ANSWERS,
)  # fmt: skip
async def check_new(request: Request, room: TheRoom, caller: NativeCaller, tenant: NativeTenant) -> CheckOut | Response:
    wanted = _wanted(bodies.parse(NewCheckBody, await bodies.read(request, bodies.SETTINGS_OCTETS)), is_new=True)
    return await _answer(request, await room.checks.begin(caller, tenant, None, wanted))


def _wanted(body: CheckBody, *, is_new: bool = False) -> Wanted:
    if body.settings is None:
        return Wanted(body.recipient, send=body.send)
    patch = partial(body.settings)
    return Wanted(body.recipient, lambda _stored: patch, is_new, body.send)


async def _answer(request: Request, steps: AsyncGenerator[Step, None]) -> CheckOut | Response:
    if events.is_wanted(request):
        return events.stream(request, as_events(steps))
    found = [told(step) async for step in steps]
    failed = next((step.stage for step in found if step.status == "failed"), None)
    return CheckOut(ok=failed is None, failed_at=failed, steps=found)


async def as_events(steps: AsyncGenerator[Step, None]) -> AsyncGenerator[Event, None]:
    """Each step, then how it ended: for this API and for the console."""
    failed = None
    async with aclosing(steps):
        async for step in steps:
            failed = failed or (step.stage.value if step.status == "failed" else None)
            yield Event("step", told(step).model_dump(mode="json"))
    yield Event("done", DoneOut(ok=failed is None, failed_at=failed).model_dump())
