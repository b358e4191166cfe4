"""The ladder, and the exit code that says where it ended."""

import pytest

from postroom.cli import exits
from postroom.domain.delivery import Stage
from serving import free_port
from smtp.moods import Mood

from .conftest import Cli, Terminal, a_relay


def test_the_check_of_the_sandbox_is_green(served: Cli):
    done = served("check", "--recipient", "one@example.com")
    assert done.code == 0, done
    assert '✓ recipient  The relay takes mail for "one@example.com".' in done.out
    assert " ms)" in done.out


def test_a_closed_port_ends_with_22_and_advice(either: Cli):
    either.ok("profile", "set", "--host", "127.0.0.1", "--port", str(free_port()), "--sender", "us@example.com")
    done = either("check")
    assert done.code == 22
    assert "✗ connect" in done.out
    assert "What to do: " in done.out
    as_json = either("check", "1", "--json")
    assert as_json.code == 22
    assert as_json.json["ok"] is False


def test_a_relay_without_tls_ends_with_23(served: Cli):
    served.ok("profile", "set", "--security", "starttls")
    assert served("check").code == 23


@pytest.mark.parametrize(
    ("moment", "answer", "code"),
    [
        ("greeting", b"554 5.3.2 not today", 22),
        ("AUTH", b"535 5.7.8 wrong", 24),
        ("MAIL", b"550 5.7.1 not you", 25),
        ("RCPT", b"550 5.1.1 nobody", 26),
    ],
)
def test_what_a_relay_refuses_has_its_own_exit_code(served: Cli, moment: str, answer: bytes, code: int):
    with a_relay(Mood({moment: answer + b"\r\n"}, offers=("AUTH PLAIN",))) as relay:
        login = ("--auth", "password", "--username", "us", "--password-stdin")
        served.ok("profile", "set", "--port", str(relay.port), *login, stdin="x7-secret")
        done = served("check", "--recipient", "one@example.com")
    assert done.code == code, done
    assert f"The relay said: {answer[:3].decode()}" in done.out


def test_a_name_without_an_address_ends_with_21(served: Cli):
    served.ok("profile", "set", "--host", "relay.invalid")
    assert served("check").code == 21


def test_an_address_that_policy_forbids_ends_with_20(served: Cli):
    served.ok("profile", "set", "--host", "169.254.169.254")
    assert served("check").code == 20


def test_a_profile_that_is_not_there_is_not_found(either: Cli):
    assert either("check", "7").code == 3
    assert either("check", "seven").code == 2


def test_colour_is_for_terminals_that_want_it(served: Cli):
    coloured = served("check", kind=Terminal, TERM="xterm-256color")
    assert "\x1b[32m✓" in coloured.out
    assert "\x1b" not in served("check").out
    assert "\x1b[32m" not in served("check", kind=Terminal, TERM="xterm-256color", NO_COLOR="1").out


@pytest.mark.parametrize("stage", list(Stage))
def test_each_stage_of_a_check_has_an_exit_code(stage: Stage):
    assert 20 <= exits.for_stage(stage) <= 27
