"""A change of settings that would mend a failure, as a value: shown, confirmed and applied like any other change.

No proposal ever makes a login less safe: `propose` refuses one that gives up encryption or verification where the
profile logs in.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from postroom.domain.destination import Need, destination, need_of
from postroom.domain.problems import Invalid
from postroom.domain.profile import SECRET_FIELDS, Auth, Profile, Security


@dataclass(frozen=True, slots=True)
class Proposal:
    """`changes` are canonical fields of a profile with the values to set, so that they can be sent as a patch."""

    changes: Mapping[str, Any]
    message: str  # what it does, in the imperative
    needs: tuple[str, ...] = ()  # fields that a person must give with it: secrets bound to the destination, a client id
    confirm: bool = False  # to be applied only after a person has looked, because it trusts something or somebody new


def propose(
    profile: Profile, message: str, changes: Mapping[str, Any], *, also: tuple[str, ...] = (), confirm: bool = False
) -> Proposal | None:
    """None where it would change nothing, or give up protection that a login has."""
    said = {name: value for name, value in changes.items() if getattr(profile, name) != value}
    after = _applied(profile, said, also)
    if not (said or also) or _is_weaker(profile, after):
        return None
    secrets = tuple(
        name for name in SECRET_FIELDS if destination(profile) != destination(after) and _is_due(after, name)
    )
    return Proposal(MappingProxyType(said), message, tuple(dict.fromkeys((*also, *secrets))), confirm)


def _is_due(after: Profile, name: Any) -> bool:
    return need_of(after, name) is Need.REQUIRED


def _applied(profile: Profile, changes: Mapping[str, Any], also: tuple[str, ...]) -> Profile:
    """With a stand-in for what a person is still to give."""
    stand_ins: dict[str, Any] = {name: "to.be@given.example" for name in also if name not in SECRET_FIELDS}
    try:
        return replace(profile, **changes, **stand_ins)
    except Invalid as problem:
        raise ValueError(f"a proposal that makes no profile: {problem.field}") from problem


def _is_weaker(before: Profile, after: Profile) -> bool:
    if after.auth is Auth.NONE:
        return False  # there is no login to protect any more
    if before.auth is Auth.NONE and after.security not in (Security.STARTTLS, Security.TLS):
        return True  # a login that is only now switched on must not cross an open connection
    return _RANK[after.security] < _RANK[before.security] or (
        before.verify_certificate and not after.verify_certificate
    )


_RANK = {Security.NONE: 0, Security.STARTTLS_IF_OFFERED: 1, Security.STARTTLS: 2, Security.TLS: 2}
