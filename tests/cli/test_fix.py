"""`postroom check`: typed settings, the proposed change, a test mail."""

import contextlib
import os
import pty
import re
import select
import subprocess
import sys
from collections.abc import Iterator

import pytest

from check.moods import good, unless_heard
from check.row import PASSWORD
from postroom.cli.exits import Exit
from smtp.moods import Mood

from .conftest import Cli, a_relay

SENDER = "us@company.example"


def test_typed_settings_are_tried_and_not_saved(either: Cli):
    with a_relay(Mood()) as relay:
        typed = ("--host", "127.0.0.1", "--port", str(relay.port), "--sender", SENDER)
        done = either("check", *typed, "--recipient", "one@x.example")
    assert done.code == 0, done
    assert relay.heard[1:3] == [f"MAIL FROM:<{SENDER}>", "RCPT TO:<one@x.example>"]
    assert either.ok("profile", "list")["profiles"] == []


@pytest.fixture
def picky(served: Cli) -> Iterator[Cli]:
    """Its relay wants another envelope sender than the settings have."""
    with a_relay(Mood({"MAIL": unless_heard(f"FROM:<{SENDER}>", "550 not you")})) as relay:
        served.ok("profile", "set", "--port", str(relay.port), "--sender", SENDER, "--envelope-sender", "b@x.example")
        yield served


def test_what_is_proposed_is_said(picky: Cli):
    done = picky("check")
    assert done.code == Exit.CHECK_SENDER
    assert "Why: The address for bounces" in done.out
    assert "Proposed: Leave the envelope sender empty. [envelope_sender = nothing]" in done.out
    as_json = picky("check", "--json").json
    assert (as_json["failed_at"], as_json["steps"][-1]["cause"]) == ("sender", "sender.envelope")


def test_fix_applies_it_and_checks_again(picky: Cli):
    done = picky("check", "--fix", "--yes")
    assert done.code == 0, done
    assert "Saved: [envelope_sender = nothing]" in done.err
    assert done.out.count("✓ settings") == 2
    assert picky.ok("profile", "show")["envelope_sender"] is None


def test_fix_asks_before_it_saves_and_where_nobody_can_be_asked_it_does_not(picky: Cli):
    before = picky.ok("profile", "show")
    done = picky("check", "--fix")
    assert (done.code, picky.ok("profile", "show")) == (Exit.USAGE, before)
    assert "--yes" in done.err
    assert picky("check", "--yes").code == Exit.USAGE


def test_yes_does_not_answer_for_whom_to_trust(served: Cli):
    with a_relay(Mood({"RCPT": b"554 5.7.1 Relay access denied\r\n"}, offers=("AUTH PLAIN",))) as relay:
        served.ok("profile", "set", "--port", str(relay.port), "--ehlo-name", "laptop")
        relay.mood = Mood({"RCPT": b"504 5.5.2 <laptop>: Helo command rejected: need fully-qualified hostname\r\n"})
        before = served.ok("profile", "show")
        done = served("check", "--recipient", "one@x.example", "--fix", "--yes")
    assert (done.code, served.ok("profile", "show")) == (Exit.CHECK_RECIPIENT, before)
    assert "a person must look at it first" in done.err


def test_a_test_mail_is_followed_to_its_end(served: Cli):
    done = served("check", "--send", "one@x.example")
    assert done.code == 0, done
    assert "✓ dot        The relay took the test mail" in done.out
    (mail,) = served.ok("sandbox", "list")["messages"]
    assert mail["recipients"] == ["one@x.example"]


def test_a_test_mail_that_is_refused_has_its_own_exit_code(served: Cli):
    with a_relay(Mood({"dot": b"554 Message rejected: Email address is not verified.\r\n"})) as relay:
        served.ok("profile", "set", "--port", str(relay.port))
        done = served("check", "--send", "one@x.example")
    assert done.code == Exit.CHECK_MESSAGE, done
    assert "The relay said: 554 Message rejected" in done.out
    assert "Why: Amazon SES takes no mail from this sender" in done.out


def test_in_a_terminal_a_person_confirms_and_types_the_password(served: Cli):
    """The destination changes, so the stored password is not taken along."""
    with a_relay(good(user="us", login=("AUTH PLAIN",))) as relay:
        login = ("--auth", "password", "--username", "us", "--mechanism", "CRAM-MD5", "--password-stdin")
        served.ok("profile", "set", "--port", str(relay.port), *login, stdin="an-old-one")
        code, screen = in_a_terminal(served, "check", "--fix", answers=("y", PASSWORD))
        assert code == 0, screen
        assert code == served("check").code
    assert PASSWORD not in screen
    assert "[mechanism = nothing]; needs: password" in re.sub(r"\s+", " ", screen)
    assert "! auth" in screen  # it is allowed on this machine, and told all the same
    assert "crossed an open connection" in re.sub(r"\s+", " ", screen)


def test_a_test_mail_needs_somebody_who_sends_it(in_place: Cli):
    done = in_place("check", "--send", "one@x.example")
    assert done.code == Exit.UNAVAILABLE
    assert "nothing was handed in" in done.err


def in_a_terminal(cli: Cli, *arguments: str, answers: tuple[str, ...]) -> tuple[int, str]:
    """As somebody at a keyboard sees it, who answers each question."""
    controller, terminal = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("POSTROOM_")}
    command = [sys.executable, "-m", "postroom", *cli.before, *arguments]
    process = subprocess.Popen(command, env=environment | cli.environment | {"TERM": "xterm"}, stdin=terminal,
                               stdout=terminal, stderr=terminal)  # fmt: skip
    os.close(terminal)
    waiting, screen = list(answers), b""
    with contextlib.suppress(OSError):  # the other side has gone
        while select.select([controller], [], [], 60)[0]:
            screen += os.read(controller, 4096)
            if waiting and re.search(rb"(\[y/N\]: |password: )$", screen):
                os.write(controller, f"{waiting.pop(0)}\n".encode())
                screen += b" "
    os.close(controller)
    return process.wait(60), screen.decode(errors="replace")
