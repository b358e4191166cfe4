"""A tenant: an organisation, portal, realm or customer."""

import re
from dataclasses import dataclass

from postroom.domain.problems import Invalid

DEFAULT = "default"
_SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Tenant:
    id: int
    slug: str
    name: str
    created_at: int  # microseconds since 1970, UTC


def is_slug(text: str) -> bool:
    """Whether a tenant could be called so."""
    return _SLUG.fullmatch(text) is not None


def slug(text: str, field: str = "slug") -> str:
    """A tenant's slug, checked. Raises Invalid."""
    if not is_slug(text):
        raise Invalid(field, "A tenant's slug has lower-case letters, digits and hyphens, at most 63 characters.")
    return text
