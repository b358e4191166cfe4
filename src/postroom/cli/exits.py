"""What each exit code means: the one table, also printed by `postroom --help`."""

from collections.abc import Mapping
from enum import IntEnum

from postroom.domain.delivery import Stage
from postroom.domain.problems import (
    Conflict,
    Denied,
    Invalid,
    NotFound,
    Problem,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
)  # fmt: skip


class Exit(IntEnum):
    OK = 0
    REFUSED = 1
    USAGE = 2  # said by Typer itself
    NOT_FOUND = 3
    NOT_PERMITTED = 4
    CONFLICT = 5
    UNAVAILABLE = 6
    CHECK_SETTINGS = 20
    CHECK_RESOLVE = 21
    CHECK_CONNECT = 22
    CHECK_TLS = 23
    CHECK_AUTH = 24
    CHECK_SENDER = 25
    CHECK_RECIPIENT = 26
    CHECK_MESSAGE = 27
    NOT_ALL_SENT = 30
    AUDIT_REWRITTEN = 40


MEANINGS: Mapping[Exit, str] = {
    Exit.OK: "done",
    Exit.REFUSED: "refused: something in what was asked can't be so",
    Exit.USAGE: "the command line can't be understood",
    Exit.NOT_FOUND: "not there, or not yours",
    Exit.NOT_PERMITTED: "the key is missing or wrong, or lacks a permission",
    Exit.CONFLICT: "not possible as things stand",
    Exit.UNAVAILABLE: "the server, or the data directory, can't be used (just now)",
    Exit.CHECK_SETTINGS: "check: the settings, or the operator's policy, forbid it",
    Exit.CHECK_RESOLVE: "check: the relay's name has no address",
    Exit.CHECK_CONNECT: "check: no connection, greeting or EHLO",
    Exit.CHECK_TLS: "check: no encryption, or a wrong certificate",
    Exit.CHECK_AUTH: "check: the login failed",
    Exit.CHECK_SENDER: "check: the relay refuses the sender",
    Exit.CHECK_RECIPIENT: "check: the relay refuses the recipient",
    Exit.CHECK_MESSAGE: "check: the test mail was not sent",
    Exit.NOT_ALL_SENT: "send --wait: not every delivery was sent",
    Exit.AUDIT_REWRITTEN: "audit verify: something was edited, removed, reordered or inserted",
}

_PROBLEMS: Mapping[type[Problem], Exit] = {
    Invalid: Exit.REFUSED,
    TooLarge: Exit.REFUSED,
    TooMany: Exit.UNAVAILABLE,
    NotFound: Exit.NOT_FOUND,
    Unauthenticated: Exit.NOT_PERMITTED,
    Denied: Exit.NOT_PERMITTED,
    Conflict: Exit.CONFLICT,
    Unavailable: Exit.UNAVAILABLE,
}

_STAGES: Mapping[str, Exit] = {
    Stage.SETTINGS: Exit.CHECK_SETTINGS,
    Stage.POLICY: Exit.CHECK_SETTINGS,
    Stage.RESOLVE: Exit.CHECK_RESOLVE,
    Stage.CONNECT: Exit.CHECK_CONNECT,
    Stage.GREETING: Exit.CHECK_CONNECT,
    Stage.EHLO: Exit.CHECK_CONNECT,
    Stage.TLS: Exit.CHECK_TLS,
    Stage.AUTH: Exit.CHECK_AUTH,
    Stage.SENDER: Exit.CHECK_SENDER,
    Stage.RECIPIENT: Exit.CHECK_RECIPIENT,
    Stage.SIZE: Exit.CHECK_MESSAGE,
    Stage.DATA: Exit.CHECK_MESSAGE,
    Stage.DOT: Exit.CHECK_MESSAGE,
}


def for_problem(problem: Problem) -> Exit:
    return next(code for kind, code in _PROBLEMS.items() if isinstance(problem, kind))


def for_stage(stage: str) -> Exit:
    """The code of a check that failed at `stage`; a stage of a newer server counts as refused."""
    return _STAGES.get(stage, Exit.REFUSED)


def table() -> str:
    """For the end of `postroom --help`."""
    return "\n".join(["Exit codes:", *(f"{code.value:4}  {meaning}" for code, meaning in MEANINGS.items())])
