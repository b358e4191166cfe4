"""Checks, as the native API takes and tells them.

`POST /v1/profiles/{profile}/check` (stored settings, or with typed ones in `settings`) and `POST /v1/check` (typed ones
only) answer a `CheckOut`. With `Accept: text/event-stream` they answer a stream of server-sent events instead:

    event: step          one for each step as soon as it is known; `data` is a StepOut
    event: done          the last one; `data` is {"ok": true} or {"ok": false, "failed_at": "tls"}

To apply a proposal, PATCH the profile with its `changes`, and with the fields that `needs` names.
"""

from typing import Any, Literal

from pydantic import Field

from postroom.smtp.step import Step
from postroom.web.api.models import In, Out
from postroom.web.api.profile_models import ProfilePatchBody


class CheckBody(In):
    recipient: str | None = Field(None, description="Ask the relay whether it would take mail for this address.")
    send: bool = Field(False, description="Also send the recipient a test mail, and follow it to its end.")
    settings: ProfilePatchBody | None = Field(
        None, description="Settings as typed, not saved: a merge patch of the profile's. Its secret rule holds."
    )


class NewCheckBody(CheckBody):
    settings: ProfilePatchBody = Field(description="Settings as typed, for a profile that does not exist yet.")


class ProposalOut(Out):
    changes: dict[str, Any] = Field(description="Fields of the profile, as PATCH takes them.")
    message: str
    needs: list[str] = Field(description="Fields that a person must give with it, as password or client_id.")
    confirm: bool = Field(description="Ask a person first: it trusts something that was not trusted before.")


class StepOut(Out):
    stage: str
    status: Literal["ok", "warning", "failed", "skipped"]
    code: str = Field(description="Stable; the same as a delivery's that fails so.")
    message: str = Field(description="What happened, with the relay's words.")
    cause: str = Field(description="Stable: why, where that is known; else empty.")
    why: str = Field(description="The same in a sentence.")
    advice: str = Field(description="What to do.")
    detail: dict[str, str] = Field(description="Facts, by name.")
    seconds: float
    proposal: ProposalOut | None = Field(description="A change of settings that would mend it.")


class DoneOut(Out):
    ok: bool
    failed_at: str | None = Field(description="The stage of the step that failed.")


class CheckOut(DoneOut):
    steps: list[StepOut]


def told(step: Step) -> StepOut:
    proposal = step.proposal
    return StepOut(
        stage=step.stage.value, status=step.status, code=step.code, message=step.message, cause=step.cause,
        why=step.why, advice=step.advice, detail=dict(step.detail), seconds=round(step.seconds, 6),
        proposal=None if proposal is None else ProposalOut(
            changes=dict(proposal.changes), message=proposal.message, needs=list(proposal.needs),
            confirm=proposal.confirm,
        ),
    )  # fmt: skip
