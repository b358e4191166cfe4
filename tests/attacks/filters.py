"""Twelve filters, and for each who is inside it: said once more, in plain Python, for the oracle at the relay."""

from collections.abc import Callable

import idna

from postroom.dialects import ALL
from postroom.dialects.dialect import Verb

Inside = Callable[[str], bool]  # of an address in lower case, its domain in A-labels

FILTERS: dict[str, Inside] = {
    "*@good.example": lambda a: a.endswith("@good.example"),
    "bob@good.example": lambda a: a == "bob@good.example",
    "BOB@GOOD.EXAMPLE": lambda a: a == "bob@good.example",
    "*@*.good.example": lambda a: a.endswith(".good.example"),
    "bob*@good.example": lambda a: a.startswith("bob") and a.endswith("@good.example"),
    "*.builder@*": lambda a: a.partition("@")[0].endswith(".builder"),
    "*@bücher.example": lambda a: a.endswith("@xn--bcher-kva.example"),
    "*@xn--mnchen-3ya.example": lambda a: a.endswith("@xn--mnchen-3ya.example"),
    "*@good.*": lambda a: a.partition("@")[2].startswith("good."),
    " *+tag@good.example , user1@mail*.good.example,*@localhost": lambda a: (
        a.endswith(("+tag@good.example", "@localhost")) or (a.startswith("user1@mail") and a.endswith(".good.example"))
    ),
    "**@good.example": lambda a: a.endswith("@good.example"),
    "b?b@good.example,a*b@good.example": lambda a: (
        a == "b?b@good.example" or (a.startswith("a") and a.endswith("b@good.example"))
    ),
}

BAD = ("*@good.example,", ",", "*@good.example,,x@y.example", "good.example", "*good.example", "@good.example", "*@",
       "*@good example", "bob evil@*", "*@ｇood.example", "*@xn--.example", "*@good.example\x00", "**", "*@a@b",
       "*@*,evil", "<*@good.example>", "*@good.example;*@evil.example", "   ")  # fmt: skip

NATIVE_WAYS = ("to", "cc", "bcc")
TEST_WAYS = tuple(
    f"{dialect.name} {endpoint.verb.name}"
    for dialect in ALL
    for endpoint in {each.verb: each for each in reversed(dialect.endpoints)}.values()
    if endpoint.verb in (Verb.TRY, Verb.TRY_START)
)


def canonical(address: str) -> str:
    """A legal address as it is compared."""
    local, _, domain = address.partition("@")
    return f"{local.lower()}@{idna.encode(domain.lower()).decode()}"
