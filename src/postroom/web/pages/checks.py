"""/profiles/…/check: the settings in the form tried as they stand, saved or not. With script the ladder grows beside
the form, by server-sent events; without, the page comes back with the whole of it."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from postroom.actions.checks import Wanted
from postroom.domain.problems import Denied, Invalid, Problem, TooMany
from postroom.domain.profile import Patch
from postroom.smtp.step import Step
from postroom.web import events
from postroom.web.api.check_models import told
from postroom.web.events import Event
from postroom.web.pages import profile_form, render
from postroom.web.pages.editor import Editor, number, show
from postroom.web.pages.visit import Visit, page

NEEDED = "Enter this, too: it goes with the change."


def routes() -> list[BaseRoute]:
    return [
        Route("/profiles/new/check", page(_check_new), methods=["POST"]),
        Route("/profiles/{profile}/check", page(_back), methods=["GET"]),
        Route("/profiles/{profile}/check", page(_check), methods=["POST"]),
    ]


async def _back(visit: Visit) -> Response:
    """Who loads the page of a check again wants to see its profile."""
    return visit.to(f"/profiles/{visit.part('profile')}")


async def _check_new(visit: Visit) -> Response:
    editor = Editor.of_form(visit, None)
    patch = Patch() if visit.form.get("use") else _patched(visit, None)
    return await _answer(visit, editor, None, patch, is_new=True)


async def _check(visit: Visit) -> Response:
    editor = await Editor.again(visit, number(visit))
    return await _answer(visit, editor, number(visit), _patched(visit, editor), is_new=False)


async def _answer(
    visit: Visit, editor: Editor, profile: int | None, patch: Patch | Invalid, *, is_new: bool
) -> Response:
    if visit.form.get("use"):
        return await show(visit, _with_proposal(editor, visit.form["use"]))
    try:
        if isinstance(patch, Invalid):
            raise patch
        steps = await visit.room.checks.begin(visit.caller, visit.tenant, profile, _wanted(visit, patch, is_new=is_new))
    except (Invalid, Denied, TooMany) as problem:
        return await _refused(visit, editor, problem)
    if events.is_wanted(visit.request):
        return events.stream(visit.request, _told(visit, editor, steps))
    ended = [told(step) async for step in steps]
    return await show(visit, replace(editor, steps=ended))


def _patched(visit: Visit, editor: Editor | None) -> Patch | Invalid:
    try:
        return profile_form.patch(visit.form, editor.stored.settings if editor and editor.stored else None)
    except Invalid as problem:
        return problem


def _wanted(visit: Visit, patch: Patch, *, is_new: bool) -> Wanted:
    """A test mail goes by the stored settings; so there must be none in the form that are not stored."""
    recipient, send = visit.form.get("recipient", "").strip() or None, bool(visit.form.get("send"))
    if send and patch == Patch():
        return Wanted(recipient, send=True)
    return Wanted(recipient, lambda _stored: patch, is_new, send)


async def _refused(visit: Visit, editor: Editor, problem: Problem) -> Response:
    where = problem.field if isinstance(problem, Invalid) else ""
    if events.is_wanted(visit.request):
        return events.stream(visit.request, _only(Event("wrong", {"field": where, "message": problem.message})))
    status = 400 if isinstance(problem, Invalid) else 403 if isinstance(problem, Denied) else 429
    return await show(visit, replace(editor, wrong={where: problem.message}), status)


async def _only(event: Event) -> AsyncGenerator[Event, None]:
    yield event


async def _told(visit: Visit, editor: Editor, steps: AsyncGenerator[Step, None]) -> AsyncGenerator[Event, None]:
    """Each rung as the page would show it, so that there is one way to show it."""
    ended = []
    async with aclosing(steps):
        async for step in steps:
            ended.append(told(step))
            rung = render.text("rung.html", step=ended[-1], check=visit.link(f"{editor.path}/check"), link=visit.link)
            yield Event("step", {"html": rung, "stage": step.stage.value, "status": step.status})
    editor = replace(editor, steps=ended)
    yield Event("done", {"ok": editor.failed_at is None, "words": editor.verdict})


def _with_proposal(editor: Editor, proposal: str) -> Editor:
    """The form with a proposed change filled in, and what has to be entered with it marked."""
    try:
        said: Any = json.loads(proposal)
        changes, needs = dict(said["changes"]), [str(each) for each in said["needs"]]
        values = profile_form.with_changes(editor.values, changes)
        "".join(values.values()).encode()  # JSON can say half a character, which no page can show
    except (ValueError, TypeError, KeyError, RecursionError):
        raise Invalid("use", "This is no change that a check has proposed: check the settings again.") from None
    used = [name for name in changes if name in profile_form.FIELDS]
    return replace(editor, values=values, used=used, wrong=dict.fromkeys(needs, NEEDED))
