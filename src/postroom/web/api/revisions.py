"""/v1/profiles/{profile}/revisions"""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Field

from postroom.domain.problems import Invalid
from postroom.domain.profile import LARGEST_ID
from postroom.store.revisions import StoredRevision
from postroom.web.api.models import Out, moment
from postroom.web.api.profile_models import ProfileOut
from postroom.web.api.profiles import DIALECT, IfMatch, revision, tagged, which
from postroom.web.callers import NativeCaller, NativeTenant, TheRoom

router = APIRouter(tags=["revisions"])


class RevisionOut(Out):
    revision: int
    changed_at: str
    changed_by: str
    key_id: str | None
    dialect: str
    changes: dict[str, Any] = Field(
        description="By field: what it was and what it became; of a secret only `changed` or `cleared`."
    )


class WholeRevisionOut(RevisionOut):
    settings: dict[str, Any] = Field(description="As they were, without secrets.")
    password_set: bool
    refresh_token_set: bool


class RevisionList(Out):
    revisions: list[RevisionOut]
    next: int | None = Field(description="Give it as `before` to get the page after this one.")


@router.get("/profiles/{profile}/revisions", summary="What was changed, when and by whom, newest first")
async def list_revisions(
    profile: str, room: TheRoom, caller: NativeCaller, tenant: NativeTenant,
    before: Annotated[int | None, Query(ge=1, le=LARGEST_ID)] = None, limit: Annotated[int, Query(ge=1, le=200)] = 50,
) -> RevisionList:  # fmt: skip
    found = await room.revisions.page(caller, tenant, which(profile), before, limit)
    last = found[-1].number if len(found) == limit else None
    return RevisionList(revisions=[RevisionOut(**_facts(each)) for each in found], next=last)


@router.get("/profiles/{profile}/revisions/{number}", summary="The settings as they were, without secrets")
async def show_revision(
    profile: str, number: str, room: TheRoom, caller: NativeCaller, tenant: NativeTenant
) -> WholeRevisionOut:
    found = await room.revisions.show(caller, tenant, which(profile), _number(number))
    names = [name for name in ProfileOut.model_fields if hasattr(found.settings, name)]
    return WholeRevisionOut(
        **_facts(found),
        settings={name: getattr(found.settings, name) for name in names},
        password_set=found.sealed_password is not None,
        refresh_token_set=found.sign_in is not None,
    )


@router.post(
    "/profiles/{profile}/revisions/{number}/restore", summary="Have its settings in force again, with its secrets"
)
async def restore_revision(
    profile: str, number: str, response: Response, room: TheRoom, caller: NativeCaller, tenant: NativeTenant,
    if_match: IfMatch = None,
) -> ProfileOut:  # fmt: skip
    restored = await room.revisions.restore(
        caller, tenant, which(profile), _number(number), dialect=DIALECT, if_revision=revision(if_match)
    )
    return tagged(response, restored)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= len(text) <= 9):
        raise Invalid("revision", "A revision is named by its number.")
    return int(text)


def _facts(stored: StoredRevision) -> dict[str, Any]:
    return {
        "revision": stored.number, "changed_at": moment(stored.changed_at), "changed_by": stored.author,
        "key_id": stored.key_id, "dialect": stored.dialect, "changes": dict(stored.changes),
    }  # fmt: skip
