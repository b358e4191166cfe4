"""The editor of a profile: what its page shows of settings that are stored, typed, wrong, or overtaken by somebody."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from starlette.responses import Response

from postroom.actions.overview import ProfileState
from postroom.domain.destination import DESTINATION_FIELDS
from postroom.domain.problems import Invalid, NotFound, Problem
from postroom.domain.profile import MECHANISMS, Auth
from postroom.store.profiles import UNKNOWN, StoredProfile
from postroom.web.api.check_models import StepOut
from postroom.web.api.profiles import which
from postroom.web.pages import profile_form
from postroom.web.pages.presets import Preset
from postroom.web.pages.render import stage
from postroom.web.pages.standing import standing
from postroom.web.pages.visit import Visit

DIALECT = "console"  # what a revision says that was made here


@dataclass(frozen=True, slots=True)
class Editor:
    """`values` are what the fields hold, `wrong` what is wrong with them. `overtaken`: by field what it was when the
    form was made, is now, and would become. `steps`: the ladder of a check that has ended; `used`: what of a proposal
    was filled in."""

    values: Mapping[str, str]
    stored: StoredProfile | None = None
    preset: Preset | None = None
    wrong: Mapping[str, str] = field(default_factory=dict)
    overtaken: Mapping[str, tuple[str, str, str]] | None = None
    steps: Sequence[StepOut] | None = None
    used: Sequence[str] = ()

    @property
    def path(self) -> str:
        return f"/profiles/{self.stored.id}" if self.stored else "/profiles/new"

    def hint(self, name: str, usual: str = "") -> str:
        return self.preset.hints.get(name, usual) if self.preset else usual

    def is_set(self, secret: str) -> bool:
        kept = self.stored and (self.stored.sealed_password if secret == "password" else self.stored.sign_in)  # noqa: S105
        return kept is not None

    @property
    def failed_at(self) -> str | None:
        """The step at which a check failed."""
        return next((each.stage for each in self.steps or () if each.status == "failed"), None)

    @property
    def verdict(self) -> str:
        if self.failed_at is not None:
            return f"It fails at: {stage(self.failed_at)}. What to do stands there."
        if any(each.status == "warning" for each in self.steps or ()):
            return "It works, but look at what is marked."
        return "All is well with these settings."

    def has_any(self, names: Sequence[str]) -> bool:
        """Whether one of these fields says something, or is wrong: then it has to be seen."""
        usual = profile_form.blank({})
        return any(name in self.wrong or self.values[name] != usual[name] for name in names)

    @classmethod
    def of_form(cls, visit: Visit, preset: Preset | None, problem: Invalid | None = None) -> Self:
        """A new profile's form again, as it was sent."""
        values = profile_form.blank({}) | profile_form.without_secrets(visit.form)
        return cls(values | {"name": visit.form.get("name", "")}, preset=preset, wrong=_wrong(problem))

    @classmethod
    async def again(cls, visit: Visit, profile: int, problem: Invalid | None = None) -> Self:
        """A profile's form again, as it was sent."""
        stored = await visit.room.profiles.show(visit.caller, visit.tenant, profile)
        values = profile_form.shown(stored.settings) | {"name": stored.name}
        return cls(values | profile_form.without_secrets(visit.form), stored, wrong=_wrong(problem))

    @classmethod
    async def outrun(cls, visit: Visit, profile: int) -> Self:
        """What somebody else has changed since the form was made, beside what is in it now."""
        mine = await cls.again(visit, profile)
        assert mine.stored is not None  # noqa: S101  narrows the type: `again` has it
        now = profile_form.shown(mine.stored.settings)
        base = await _as_it_was(visit, profile) or now
        theirs = {name: (base[name], now[name], mine.values[name]) for name in now if base[name] != now[name]}
        # What they changed and I did not touch is theirs; where both did, mine stands in the form, to be decided on.
        merged = {name: now[name] for name, (was, _, typed) in theirs.items() if typed == was}
        return cls({**mine.values, **merged}, mine.stored, overtaken=theirs)


async def show(visit: Visit, editor: Editor, status: int = 200) -> Response:
    states: tuple[ProfileState, ...] = await visit.room.overviews.states(visit.caller, visit.tenant)
    state = next((each for each in states if editor.stored and each.stored.id == editor.stored.id), None)
    others = [each.stored for each in states if each is not state]
    return visit.show(
        "profile.html", status, editor=editor, values=editor.values, wrong=_at_fields(editor), state_of=state,
        standing=standing, failovers=_failovers(others), mechanisms=_mechanisms(),
        bound=" ".join(DESTINATION_FIELDS),
    )  # fmt: skip


def number(visit: Visit) -> int:
    """The profile that the address names. Raises NotFound: here everyone has its number."""
    given = which(visit.part("profile"))
    if given is None:
        raise NotFound(UNKNOWN)
    return given


async def _as_it_was(visit: Visit, profile: int) -> dict[str, str] | None:
    """When the form was made."""
    try:
        base = int(visit.form.get("revision", ""))
        return profile_form.shown((await visit.room.revisions.show(visit.caller, visit.tenant, profile, base)).settings)
    except (ValueError, Problem):
        return None


def _wrong(problem: Invalid | None) -> dict[str, str]:
    return {problem.field: problem.message} if problem is not None else {}


def _at_fields(editor: Editor) -> dict[str, str]:
    """What is wrong with something that has no field of its own is said at the top."""
    known = {*profile_form.FIELDS, "name", "password", "refresh_token", "recipient"}
    return {name if name in known else "": said for name, said in editor.wrong.items()}


def _mechanisms() -> list[tuple[str, str]]:
    named = [each for kind in Auth for each in MECHANISMS[kind]]
    return [("", "The best that the relay offers"), *((each, each) for each in named)]


def _failovers(others: Sequence[StoredProfile]) -> list[tuple[str, str]]:
    return [(str(each.id), each.name) for each in others]
