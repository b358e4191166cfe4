"""Sending, and following a mail to its end."""

import json
from pathlib import Path

import pytest

from serving import eventually, free_port
from smtp.moods import Mood

from .conftest import Cli, Terminal, a_relay


def test_wait_reaches_sent_and_shows_the_filtered_one(served: Cli):
    served.ok("profile", "set", "--filter", "*@example.com")
    done = served("send", "--to", "in@example.com", "--to", "out@example.org", "-s", "Hello", "--text", "Hi", "--wait")
    assert done.code == 0, done
    assert "✓ in@example.com  sent" in done.out
    assert "– out@example.org  filtered: Held back by the recipient filter *@example.com" in done.out


def test_wait_ends_with_30_when_the_relay_refuses_somebody(served: Cli):
    with a_relay(Mood({"RCPT": (b"250 ok\r\n", b"550 5.1.1 nobody\r\n")})) as relay:
        served.ok("profile", "set", "--port", str(relay.port))
        done = served("send", "--to", "one@example.com", "--to", "two@example.com", "--text", "Hi", "--wait")
    assert done.code == 30, done
    assert "✓ one@example.com  sent" in done.out
    assert "✗ two@example.com  refused" in done.out
    message = done.out.split()[1]
    assert "C: RCPT TO:<two@example.com>" in served("messages", "show", message, "--transcript").out


def test_a_profile_whose_mail_waits_says_why(served: Cli):
    served.ok("profile", "set", "--port", str(free_port()))
    served.ok("send", "--to", "one@example.com", "--text", "Hi")
    eventually(lambda: served.ok("profile", "show")["trouble"], what="noticing that the relay is away")
    shown = served("profile", "show")
    assert "rests until" in shown.out
    assert "postroom check" in shown.err


def test_json_is_the_message_and_nothing_else(served: Cli):
    found = served.ok("send", "--to", "one@example.com", "--text", "Hi", "--wait")
    assert found["state"] == "sent"
    assert found["deliveries"][0]["tries"][0]["outcome"] == "sent"
    assert "sent at dot" in served("messages", "show", found["id"], "--transcript").out


def test_in_a_terminal_waiting_is_quiet_when_it_is_over(served: Cli):
    done = served("send", "--to", "one@example.com", "--text", "Hi", "--wait", kind=Terminal)
    assert done.code == 0
    assert "one@example.com  sent" in done.out


def test_everything_that_was_said_is_in_the_mail(served: Cli, tmp_path: Path):
    (tmp_path / "page.html").write_text("<p>Grüße</p>")
    (tmp_path / "notes.txt").write_text("a note")
    found = served.ok(
        "send", "--to", "Ada Example <ada@example.com>", "--cc", "cc@example.com", "--bcc", "bcc@example.com",
        "--from", '"Büro" <office@example.com>', "--reply-to", "help@example.com", "-s", "Grüße", "-",
        "--html-file", str(tmp_path / "page.html"), "--attach", str(tmp_path / "notes.txt"), "--wait",
        stdin="Guten Tag",
    )  # fmt: skip
    assert found["state"] == "sent"
    caught = served.ok("sandbox", "list")["messages"][0]
    assert sorted(caught["recipients"]) == ["ada@example.com", "bcc@example.com", "cc@example.com"]
    mail = served.ok("sandbox", "show", caught["id"])
    assert mail["to"] == "Ada Example <ada@example.com>"
    assert mail["subject"] == "Grüße"
    assert mail["text"].strip() == "Guten Tag"
    assert mail["html"].strip() == "<p>Grüße</p>"
    assert mail["attachments"] == [{"filename": "notes.txt", "content_type": "text/plain", "size": 6}]
    assert "Guten Tag" in served("sandbox", "show", caught["id"]).out
    assert "Reply-To: help@example.com" in served("sandbox", "show", caught["id"], "--source").out
    assert served.ok("sandbox", "empty")["removed"] == 1


def test_a_picture_for_the_html_is_sent_along(served: Cli, tmp_path: Path):
    (tmp_path / "page.html").write_text('<img src="cid:logo.png">')
    (tmp_path / "logo.png").write_bytes(b"picture")
    found = served.ok(
        "send", "--to", "ada@example.com", "--html-file", str(tmp_path / "page.html"),
        "--inline", str(tmp_path / "logo.png"), "--wait",
    )  # fmt: skip
    assert found["state"] == "sent"
    caught = served.ok("sandbox", "list")["messages"][0]
    source = served("sandbox", "show", caught["id"], "--source").out
    assert "multipart/related" in source
    assert "Content-ID: <logo.png>" in source


def test_the_same_idempotency_key_sends_once(served: Cli):
    mail = ("send", "--to", "one@example.com", "--text", "Hi", "--idempotency-key", "k1")
    assert served.ok(*mail) == served.ok(*mail)
    other = served("send", "--to", "two@example.com", "--text", "Hi", "--idempotency-key", "k1")
    assert other.code == 5


def test_in_place_the_mail_waits_and_that_is_said(in_place: Cli):
    done = in_place("send", "--to", "one@example.com", "--text", "Hi")
    assert done.code == 0
    assert "waits until `postroom serve` does" in done.err
    assert "one@example.com  waiting" in done.out


def test_in_place_there_is_nothing_to_wait_for_and_nothing_is_handed_in(in_place: Cli):
    assert in_place("send", "--to", "one@example.com", "--text", "Hi", "--wait").code == 6
    assert in_place.ok("messages", "list")["messages"] == []


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--to", "a@example.com", "--text", "x", "--text-file", "y"),
        ("--to", "a@example.com", "--text", "x", "-"),
        ("--to", "a@example.com", "something"),
        ("--to", "a@example.com", "--text-file", "-", "--html-file", "-"),
        ("--to", "a@example.com", "--text", "x", "--expires-in", "soon"),
    ],
)
def test_a_command_line_that_says_too_little_or_too_much_is_a_usage_error(in_place: Cli, arguments: tuple[str, ...]):
    assert in_place("send", *arguments).code == 2


def test_the_problem_names_the_field(in_place: Cli):
    done = in_place("send", "--to", "not an address", "--text", "x", "--json")
    assert done.code == 1
    assert json.loads(done.err)["field"] == "to[0]"
    assert in_place("send", "--to", "not an address", "--text", "x").err.startswith("error: to[0]: ")


def test_a_file_that_is_not_there_is_named(in_place: Cli):
    done = in_place("send", "--to", "a@example.com", "--attach", "nowhere.pdf")
    assert done.code == 1
    assert "--attach: No such file or directory: nowhere.pdf" in done.err
    done = in_place("send", "--to", "a@example.com", "--inline", "nowhere.png")
    assert "--inline: No such file or directory: nowhere.png" in done.err


def test_reports_are_asked_for_by_option_and_a_relay_without_them_takes_the_mail(served: Cli):
    asked = ("--notify", "failure", "--notify", "delay", "--return", "headers")
    found = served.ok("send", "--to", "one@example.com", "--text", "Hi", *asked, "--wait")
    assert found["state"] == "sent"
    assert found["dsn"] == {"notify": ["failure", "delay"], "return": "headers"}
    assert served("send", "--to", "one@example.com", "--notify", "never", "--notify", "delay").code == 1
