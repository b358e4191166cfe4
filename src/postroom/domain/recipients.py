"""The recipient filter: who may be mailed at all (ThreadFix's `filter`, seed 000).

A comma-separated list of patterns, `*` for any run of characters. Checked when a message is accepted and again when it
is sent, on the parsed address. Compared without regard to case; `*` never reaches across the @, so that
`*@good.example` can't be met by a domain.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from postroom.domain.address import Address, domain_name
from postroom.domain.problems import Invalid

MOST_PATTERNS = 64
LONGEST_PATTERN = 256

_LOCAL_PATTERN = re.compile(r"[^\s@,\"(),:;<>\[\]\\%!]+")
_DOMAIN_PATTERN = re.compile(r"[a-z0-9.*-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Pattern:
    """`local@domain`, each part with `*` for any run of characters."""

    local: str
    domain: str

    @classmethod
    def parse(cls, text: str, field: str) -> "Pattern":
        """Raises Invalid(field). A lone `*` is `*@*`."""
        if len(text) > LONGEST_PATTERN:
            raise Invalid(field, f"A filter pattern is longer than {LONGEST_PATTERN} characters.")
        if text == "*":
            return cls("*", "*")
        local, at, domain = text.partition("@")
        if not (at and local and domain):
            raise Invalid(field, "Each filter pattern needs an @, for example *@company.com (or * alone for everyone).")
        if not _LOCAL_PATTERN.fullmatch(local):
            raise Invalid(field, "A filter pattern has characters that no address can have before its @.")
        return cls(local.lower(), _domain_pattern(domain, field))

    def matches(self, address: Address) -> bool:
        return _like(self.local, address.local.lower()) and _like(self.domain, address.domain)


@dataclass(frozen=True, slots=True)
class RecipientFilter:
    """Allows an address that any pattern matches; without patterns, everyone."""

    patterns: tuple[Pattern, ...] = ()

    @classmethod
    def parse(cls, text: str | None, field: str = "recipient_filter") -> "RecipientFilter":
        """Read a comma list; None or blank means no filter. Raises Invalid(field) rather than guess at a pattern."""
        if text is None or not text.strip():
            return cls()
        items = text.split(",")
        if len(items) > MOST_PATTERNS:
            raise Invalid(field, f"The filter has more than {MOST_PATTERNS} patterns.")
        if not all(item.strip() for item in items):
            raise Invalid(field, "The filter has an empty pattern: remove the comma that has nothing beside it.")
        return cls(tuple(Pattern.parse(item.strip(), field) for item in items))

    @property
    def allows_everyone(self) -> bool:
        return not self.patterns

    def allows(self, address: Address) -> bool:
        return not self.patterns or any(pattern.matches(address) for pattern in self.patterns)


@lru_cache(maxsize=4096)
def recipient_filter(text: str | None) -> RecipientFilter:
    """The filter of a stored (hence valid) profile; parsed once per text."""
    return RecipientFilter.parse(text)


def _domain_pattern(text: str, field: str) -> str:
    if "*" not in text:
        return domain_name(text, field)
    folded = ".".join(_label_pattern(label, field) for label in text.split("."))
    if not _DOMAIN_PATTERN.fullmatch(folded):
        raise Invalid(field, "A filter pattern has characters that no domain can have after its @.")
    return folded


def _label_pattern(label: str, field: str) -> str:
    if label.isascii():
        return label.lower()
    if "*" in label:
        raise Invalid(field, "In a filter pattern, * and non-ASCII letters can't share a label of the domain.")
    return domain_name(label, field)


def _like(pattern: str, text: str) -> bool:
    """Whether `text` fits `pattern`, in linear time: every piece between stars is found once, from left to right."""
    if "*" not in pattern:
        return pattern == text
    first, *middle, last = pattern.split("*")
    if not text.startswith(first) or not text.endswith(last) or len(first) + len(last) > len(text):
        return False
    at, end = len(first), len(text) - len(last)
    for piece in middle:
        found = text.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return True
