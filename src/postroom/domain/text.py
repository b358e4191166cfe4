"""Text that people give and people are shown."""

import re

from postroom.domain.problems import Invalid

LONGEST_TEXT = 255

# C0 and C1 controls, DEL, line and paragraph separators: nothing that could end a line anywhere downstream, or command
# a terminal. And surrogates: JSON can say half a character, which has no UTF-8 and so no place in a database or on a
# wire.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def one_line(field: str, text: str, longest: int = LONGEST_TEXT) -> str:
    """`text`, checked. Raises Invalid(field)."""
    if len(text) > longest:
        raise Invalid(field, f"This is longer than {longest} characters.")
    if _CONTROL.search(text):
        raise Invalid(field, "This must be one line without control characters.")
    return text
