"""A secret is never needed on the command line, and never comes back from it."""

import contextlib
import os
import pty
import select
import subprocess
import sys
from io import FileIO
from pathlib import Path

from serving import Server

from .conftest import Cli

PASSWORD = "pa55-Grüße-word"
LOGIN = ("--auth", "password", "--username", "us")


def test_a_password_on_stdin_appears_in_no_output_and_no_log(served: Cli, server: Server):
    served.seen.clear()
    stored = served.ok("profile", "set", *LOGIN, "--password-stdin", stdin=f"{PASSWORD}\n")
    assert stored["password_set"]
    served("profile", "show")
    served("profile", "list", "--json")
    served("check")
    refused = served("profile", "set", "--password-stdin", "--port", "99999", stdin=PASSWORD)
    assert refused.code == 1
    assert PASSWORD not in "".join(served.seen)
    assert PASSWORD not in server.logged()


def test_a_new_destination_asks_for_the_password_again(served: Cli):
    served.ok("profile", "set", *LOGIN, "--password-stdin", stdin=PASSWORD)
    done = served("profile", "set", "--host", "other.example", "--json")
    assert (done.code, done.error["code"], done.error["field"]) == (1, "secret_needed", "password")


SIGN_IN = (
    "--auth", "oauth2", "--token-grant", "refresh_token", "--token-url", "https://login.example/token",
    "--client-id", "the-client", "--sender", "me@example.com",
)  # fmt: skip


def test_a_refresh_token_on_stdin_appears_in_no_output_and_no_log(served: Cli, server: Server):
    served.seen.clear()
    stored = served.ok("profile", "set", *SIGN_IN, "--refresh-token-stdin", stdin="1//canary-token\n")
    assert (stored["refresh_token_set"], stored["password_set"]) == (True, False)
    shown = served("profile", "show")
    assert "me@example.com, by token for the-client, refresh token set" in shown.out
    moved = served("profile", "set", "--client-id", "other", "--json")
    assert (moved.code, moved.error["code"], moved.error["field"]) == (1, "secret_needed", "refresh_token")
    assert "1//canary-token" not in "".join(served.seen) + server.logged()


def test_one_secret_at_a_time_comes_from_stdin_and_a_client_may_have_none(served: Cli):
    assert served("profile", "set", "--password-stdin", "--refresh-token-stdin", stdin="x").code == 2
    assert served("profile", "set", "--refresh-token", "--refresh-token-stdin", stdin="x").code == 2
    assert served("profile", "set", "--refresh-token-stdin", "--from-json", "-", stdin="{}").code == 2
    assert served("profile", "set", "--no-password", "--password-stdin", stdin="x").code == 2
    served.ok("profile", "set", *LOGIN, "--password-stdin", stdin=PASSWORD)
    assert served("profile", "set", *SIGN_IN, "--refresh-token-stdin", stdin="1//token").code == 1
    stored = served.ok("profile", "set", *SIGN_IN, "--no-password", "--refresh-token-stdin", stdin="1//token")
    assert (stored["refresh_token_set"], stored["password_set"]) == (True, False)


def test_stdin_without_a_password_is_a_usage_error(in_place: Cli):
    assert in_place("profile", "set", *LOGIN, "--password-stdin", stdin="\n").code == 2
    assert in_place("profile", "set", "--password-stdin", "--password", stdin="y").code == 2
    assert in_place("profile", "set", "--password", stdin="y").code == 2  # no terminal to ask in


def test_a_password_that_was_put_on_the_command_line_is_refused_unsaid(served: Cli, server: Server):
    for arguments in (("--password", PASSWORD), (f"--password={PASSWORD}",)):
        done = served("profile", "set", *LOGIN, *arguments)
        assert done.code == 2
        assert PASSWORD not in done.err
    assert PASSWORD not in server.logged()


def test_a_password_that_is_asked_for_is_not_echoed(tmp_path: Path):
    controller, terminal = pty.openpty()
    environment = os.environ | {"POSTROOM_DATA_DIR": str(tmp_path / "data")}
    command = [sys.executable, "-m", "postroom", "profile", "set", *LOGIN, "--password"]
    child = subprocess.Popen(
        command, env=environment, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True
    )
    os.close(terminal)
    with os.fdopen(controller, "r+b", buffering=0) as person:
        said = _heard(person, until=b"Relay password: ")
        person.write(f"{PASSWORD}\n".encode())
        said += _heard(person)
    assert child.wait(timeout=30) == 0, said
    assert "us, password set" in said.decode()
    assert PASSWORD not in said.decode()


def _heard(person: FileIO, until: bytes | None = None) -> bytes:
    """What the program says up to `until`, or to its end."""
    said = b""
    with contextlib.suppress(OSError):  # how Linux says that the other side is closed
        while until is None or until not in said:
            assert select.select([person], [], [], 30)[0], f"it says nothing more after {said!r}"
            some = person.read(1024)
            if not some:
                break
            said += some
    return said
