"""Regular expressions that every Python we run on reads alike."""

import importlib
import pkgutil
import re
from collections.abc import Iterator
from typing import Any

import postroom

_parser: Any = importlib.import_module("re._parser")


def patterns() -> Iterator[tuple[str, "re.Pattern[Any]"]]:
    for module in pkgutil.walk_packages(postroom.__path__, "postroom."):
        if not module.name.endswith("__main__") and ".migrations." not in module.name:
            for name, value in vars(importlib.import_module(module.name)).items():
                if isinstance(value, re.Pattern):
                    yield f"{module.name}.{name}", value


def possessive_groups(parsed: Any) -> bool:
    """Whether anything but one character is repeated possessively."""
    for operation, argument in parsed:
        if str(operation) == "POSSESSIVE_REPEAT" and [str(each[0]) for each in argument[2]] not in (
            ["IN"], ["LITERAL"], ["NOT_LITERAL"], ["ANY"],
        ):  # fmt: skip
            return True
        inner = argument if isinstance(argument, list | tuple) else [argument]
        if any(possessive_groups(each) for part in inner for each in _patterns_in(part)):
            return True
    return False


def _patterns_in(part: Any) -> list[Any]:
    if isinstance(part, _parser.SubPattern):
        return [part]
    return [each for each in part if isinstance(each, _parser.SubPattern)] if isinstance(part, list) else []


def test_no_group_is_repeated_possessively():
    """Before 3.11.5 `(?:ab?c)*+` matches what `(?:ab?c)*` does not (CPython issue 106052), and Debian 12 has 3.11.2.
    `(?>(?:ab?c)*)` means the same and is right everywhere."""
    found = dict(patterns())
    assert len(found) > 20
    assert [name for name, each in found.items() if possessive_groups(_parser.parse(each.pattern, each.flags))] == []


def test_such_a_group_would_be_found():
    for pattern in ("(?:ab?c)*+", "x|(?:y(?:ab)++)", "(a(?:bc)?+)", "(?=(?:ab){2}+)"):
        assert possessive_groups(_parser.parse(pattern)), pattern
    for pattern in ("a*+", "[ab]++c?+", "(?>(?:ab?c)*)", "(a|b++)*"):
        assert not possessive_groups(_parser.parse(pattern)), pattern
