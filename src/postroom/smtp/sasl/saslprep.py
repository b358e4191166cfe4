"""User names and passwords as both sides of a SCRAM login must spell them (RFC 4013 over RFC 3454)."""

import stringprep
from unicodedata import ucd_3_2_0 as unicode_3_2  # the one that RFC 3454 is about

_PROHIBITED = (  # RFC 4013 section 2.3; section 2.5 for stored strings: what had no meaning yet
    stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3, stringprep.in_table_c4,
    stringprep.in_table_c5, stringprep.in_table_c6, stringprep.in_table_c7, stringprep.in_table_c8,
    stringprep.in_table_c9, stringprep.in_table_a1,
)  # fmt: skip


def prepared(text: str) -> str:
    """The normal form; or the text as it is, where SASLprep has none.

    RFC 5802 ends the login there. We go on, as PostgreSQL does: else nobody whose password has an emoji in it (there
    were none in 2002) could log in with SCRAM, and a relay that is strict says no by itself.
    """
    mapped = "".join(map(_mapped, text))
    normal = unicode_3_2.normalize("NFKC", mapped)
    return normal if normal and _is_allowed(normal) else text


def _mapped(letter: str) -> str:
    if stringprep.in_table_c12(letter):
        return " "
    return "" if stringprep.in_table_b1(letter) else letter


def _is_allowed(text: str) -> bool:
    if any(prohibits(letter) for letter in text for prohibits in _PROHIBITED):
        return False
    # RFC 3454 section 6: right-to-left text is right-to-left from its first letter to its last.
    if not any(map(stringprep.in_table_d1, text)):
        return True
    ends = stringprep.in_table_d1(text[0]) and stringprep.in_table_d1(text[-1])
    return ends and not any(map(stringprep.in_table_d2, text))
