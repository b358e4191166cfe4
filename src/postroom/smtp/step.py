"""One rung of the ladder that a check climbs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from postroom.domain.delivery import Stage
from postroom.smtp.proposal import Proposal

Status = Literal["ok", "warning", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Step:
    """`code` is stable and the same that a delivery ends with: the failure's, or the stage's name with `.ok` or
    `.skipped`; a warning has one of its own. `cause` and `why` say more where the check has found out more."""

    stage: Stage
    status: Status
    code: str
    message: str
    advice: str
    detail: Mapping[str, str]
    seconds: float
    cause: str = ""
    why: str = ""
    proposal: Proposal | None = None
