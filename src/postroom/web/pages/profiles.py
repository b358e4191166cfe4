"""/profiles: all of them, making one, and what can be done with one; its settings are in editor.py."""

from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from postroom.domain.problems import Invalid, SecretLost, Stale
from postroom.domain.text import one_line
from postroom.web.api.profiles import which
from postroom.web.pages import presets, profile_form
from postroom.web.pages.editor import DIALECT, Editor, number, show
from postroom.web.pages.presets import PRESETS, Preset
from postroom.web.pages.standing import standing
from postroom.web.pages.visit import Visit, page


def routes() -> list[BaseRoute]:
    return [
        Route("/profiles", page(_list)),
        Route("/profiles/new", page(_new), methods=["GET"]),
        Route("/profiles/new", page(_create), methods=["POST"]),
        Route("/profiles/{profile}", page(_edit), methods=["GET"]),
        Route("/profiles/{profile}", page(_save), methods=["POST"]),
        Route("/profiles/{profile}/pause", page(_pause), methods=["POST"]),
        Route("/profiles/{profile}/resume", page(_resume), methods=["POST"]),
        Route("/profiles/{profile}/default", page(_make_default), methods=["POST"]),
        Route("/profiles/{profile}/delete", page(_delete), methods=["POST"]),
    ]


async def _list(visit: Visit) -> Response:
    states = await visit.room.overviews.states(visit.caller, visit.tenant)
    return visit.show("profiles.html", states=states, standing=standing)


async def _new(visit: Visit) -> Response:
    known = _presets(visit)
    preset = next((each for each in known if each.name == visit.query("preset")), None)
    if preset is None:
        return visit.show("presets.html", presets=known)
    values = profile_form.blank(preset.begun(visit.query("region"))) | {"name": preset.title}
    return await show(visit, Editor(values=values, preset=preset))


async def _create(visit: Visit) -> Response:
    form = visit.form
    try:
        name = _name(form.get("name", ""))
        patch = profile_form.patch(form, None)
        stored = await visit.room.profiles.create(visit.caller, visit.tenant, name, patch, dialect=DIALECT)
    except Invalid as problem:
        return await show(visit, Editor.of_form(visit, _preset(visit), problem), 400)
    return visit.to(f"/profiles/{stored.id}", done="created")


async def _edit(visit: Visit) -> Response:
    stored = await visit.room.profiles.show(visit.caller, visit.tenant, which(visit.part("profile")))
    values = profile_form.shown(stored.settings) | {"name": stored.name}
    return await show(visit, Editor(values=values, stored=stored))


async def _save(visit: Visit) -> Response:
    """The settings, then the name: that is no setting, and makes no revision."""
    profile, form = number(visit), visit.form
    try:
        base = _revision(form.get("revision", ""))
        name = _name(form.get("name", ""))
        saved = await visit.room.profiles.save(
            visit.caller, visit.tenant, profile,
            lambda stored: profile_form.patch(form, stored.settings if stored else None),
            dialect=DIALECT, if_revision=base,
        )  # fmt: skip
        if name != saved.name:
            await visit.room.profiles.arrange(visit.caller, visit.tenant, profile, name=name, make_default=False)
    except Invalid as problem:
        return await show(visit, await Editor.again(visit, profile, problem), 400)
    except Stale:
        return await show(visit, await Editor.outrun(visit, profile), 412)
    except SecretLost as problem:
        return await show(visit, await Editor.again(visit, profile, Invalid("", problem.message)), 503)
    is_same = saved.revision == base and name == saved.name
    return visit.to(f"/profiles/{profile}", done="unchanged" if is_same else "saved")


async def _pause(visit: Visit) -> Response:
    await visit.room.profiles.pause(visit.caller, visit.tenant, number(visit))
    return visit.to(f"/profiles/{number(visit)}", done="paused")


async def _resume(visit: Visit) -> Response:
    await visit.room.profiles.resume(visit.caller, visit.tenant, number(visit))
    return visit.to(f"/profiles/{number(visit)}", done="resumed")


async def _make_default(visit: Visit) -> Response:
    await visit.room.profiles.arrange(visit.caller, visit.tenant, number(visit), name=None, make_default=True)
    return visit.to(f"/profiles/{number(visit)}", done="default")


async def _delete(visit: Visit) -> Response:
    await visit.room.profiles.delete(visit.caller, visit.tenant, number(visit), dialect=DIALECT)
    return visit.to("/profiles", done="deleted")


def _presets(visit: Visit) -> tuple[Preset, ...]:
    fallback = visit.room.profiles.fallback
    return (*PRESETS, presets.sandbox(fallback)) if fallback is not None else PRESETS


def _preset(visit: Visit) -> Preset | None:
    return next((each for each in _presets(visit) if each.name == visit.query("preset")), None)


def _name(given: str) -> str:
    name = one_line("name", given.strip())
    if not name:
        raise Invalid("name", "Give the profile a name that people will know it by.")
    return name


def _revision(given: str) -> int:
    if not (given.isascii() and given.isdigit() and 1 <= len(given) <= 9):
        raise Invalid("revision", "The form does not say which revision it was made from: load the page again.")
    return int(given)
