"""One mail address, parsed once and strictly.

The recipient filter, the header and the RCPT command all use the same `Address`, so that they can't disagree about
where a mail goes. That is why the grammar is much narrower than RFC 5322's: a dot-atom local part and a domain name.
Quoted local parts, comments, groups, source routes, address literals, encoded words, `%` and `!` routing are refused,
because two parsers read them in two ways (`research/security-reliability.md` C4, M4 to M8).
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

import idna

from postroom.domain.problems import Invalid

LOCAL_PART_OCTETS = 64  # RFC 5321 4.5.3.1.1
ADDRESS_OCTETS = 254  # RFC 5321 4.5.3.1.3 less the angle brackets (erratum 1690)

# RFC 5322 3.2.3 atext less "%" and "!", which old relays take as routes.
_ATEXT = r"[A-Za-z0-9#$&'*+\-/=?^_`{|}~]"
_LOCAL = re.compile(rf"{_ATEXT}+(?:\.{_ATEXT}+)*", re.ASCII)
_CAPITALS = re.compile("[A-Z]")
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """`local@domain`; the domain is lower-case A-labels, so that equal addresses are equal strings.

    The local part keeps its case on the wire (RFC 5321 2.4); `folded` is what comparisons use.
    """

    local: str
    domain: str

    @classmethod
    def parse(cls, text: str, field: str = "address") -> "Address":
        """Read one bare addr-spec. Raises Invalid(field), saying what is wrong with it."""
        if len(text) > ADDRESS_OCTETS:
            raise Invalid(field, f"The address is longer than {ADDRESS_OCTETS} characters.")
        local, at, domain = text.partition("@")
        if not (at and local and domain):
            raise Invalid(field, "An address has the form name@domain.")
        if "@" in domain:
            raise Invalid(field, "An address has exactly one @; give one address per entry.")
        address = cls(_local_part(local, field), domain_name(domain, field))
        # What is ASCII has not become longer.
        if not text.isascii() and len(str(address).encode()) > ADDRESS_OCTETS:
            raise Invalid(field, f"The address is longer than {ADDRESS_OCTETS} octets.")
        return address

    @property
    def folded(self) -> str:
        """Lower-case throughout: the form that filters, limits and look-ups compare."""
        # lower(), not casefold(): the latter makes "straße" and "strasse" one mailbox.
        return f"{self.local.lower()}@{self.domain}"

    @property
    def needs_smtputf8(self) -> bool:
        """Whether a relay must offer SMTPUTF8 (RFC 6531) to take it. The domain never needs it: it is an A-label."""
        return not self.local.isascii()

    def __str__(self) -> str:
        return f"{self.local}@{self.domain}"


def _local_part(text: str, field: str) -> str:
    if "=?" in text:
        raise Invalid(field, "The part before the @ must not be an encoded word; write the address as it is.")
    if not _is_dot_atom(text):
        raise Invalid(
            field,
            "The part before the @ may have letters, digits, single dots and #$&'*+-/=?^_`{|}~ only; "
            "quotes, spaces, comments, % and ! are not taken.",
        )
    if len(text.encode()) > LOCAL_PART_OCTETS:  # only now: half a character (a lone surrogate) has no UTF-8
        raise Invalid(field, f"The part before the @ is longer than {LOCAL_PART_OCTETS} octets.")
    return text


def _is_dot_atom(text: str) -> bool:
    if text.isascii():
        return bool(_LOCAL.fullmatch(text))
    # Non-ASCII letters and digits stand for themselves (RFC 6531), but only in the one spelling that no other
    # program folds to something else: look-alikes such as full-width letters are not NFKC-stable.
    skeleton = "".join("a" if ord(c) > 127 and unicodedata.category(c)[0] in "LMN" else c for c in text)
    return bool(_LOCAL.fullmatch(skeleton)) and unicodedata.is_normalized("NFKC", text)


def domain_name(text: str, field: str = "host") -> str:
    """A domain name as lower-case A-labels (RFC 5890). Raises Invalid(field). One label (`localhost`) is enough."""
    try:
        return _domain_name(text)
    except Invalid as problem:
        raise Invalid(field, problem.message) from None


@lru_cache(maxsize=4096)  # many addresses are of few domains
def _domain_name(text: str) -> str:
    # Only ASCII is folded: U+212A (Kelvin) lower-cased would become an ASCII "k".
    name = text.lower() if text.isascii() else _CAPITALS.sub(lambda found: found[0].lower(), text)
    if not name.isascii():
        try:
            # IDNA 2008 without the UTS 46 mapping: what would have to be mapped to become a name is not taken as one.
            # Strict: only the full stop separates labels.
            name = idna.encode(name, strict=True).decode()
        except (idna.IDNAError, UnicodeError):
            raise Invalid("", "The domain is not a valid internationalised domain name.") from None
    if len(name) > 253 or not _DOMAIN.fullmatch(name):
        raise Invalid("", "The domain may have letters, digits, hyphens and dots only, 63 characters a label.")
    last = name.rpartition(".")[2]
    if last.isdigit() or last.startswith("0x"):  # what resolvers read as an IPv4 address, too: 127.1, 0x7f000001
        raise Invalid("", "The domain must be a name, not a number or an IP address.")
    if "xn--" in name:
        _check_a_labels(name)
    return name


def _check_a_labels(name: str) -> None:
    for label in name.split("."):
        if label.startswith("xn--"):
            try:
                idna.ulabel(label)
            except (idna.IDNAError, UnicodeError):
                raise Invalid("", "The domain has an xn-- label that decodes to no valid name.") from None
