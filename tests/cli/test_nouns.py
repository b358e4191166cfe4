"""Every noun's commands do the same against a server and in place."""

import json
from pathlib import Path

import pytest

from .conftest import Cli

RELAY = ("--host", "127.0.0.1", "--port", "1025", "--sender", "us@example.com")


def test_a_tenant_that_was_made_is_listed(either: Cli):
    slug = either.before[1]
    assert slug in [each["slug"] for each in either.ok("tenant", "list")["tenants"]]
    assert f"Tenant {slug}" in either("tenant", "list").out
    assert either("tenant", "create", slug).code == 5
    assert either("tenant", "create", "No Such Slug").code == 1


def test_an_unknown_tenant_is_not_found(either: Cli):
    done = either.of("nobody")("profile", "list", "--json")
    assert done.code == 3
    assert done.out == ""
    assert done.error == {"code": "not_found", "detail": done.error["detail"], "exit": 3}


def test_a_key_is_made_listed_without_its_value_and_revoked(either: Cli):
    made = either.ok(
        "key", "create", "ci", "--permission", "mail:send", "--permission", "mail:read", "--expires-in", "90d"
    )
    assert made["permissions"] == ["mail:read", "mail:send"]
    assert made["expires_at"] > made["created_at"]
    listed = either("key", "list")
    assert made["id"] in listed.out
    assert made["key"] not in listed.out
    assert either("key", "revoke", made["id"]).code == 0
    assert either.ok("key", "list")["keys"][0]["revoked_at"]
    assert either("key", "revoke", "unknown").code == 3


def test_a_new_key_is_all_that_quiet_prints(either: Cli):
    quiet = either("key", "create", "ci", "--quiet")
    assert quiet.out.strip().count("-") == 4
    assert len(quiet.out.splitlines()) == 1
    loud = either("key", "create", "ci")
    assert "shown once" in loud.err


def test_a_key_is_rotated_and_its_old_value_is_told_of(either: Cli):
    made = either.ok("key", "create", "ci")
    rotated = either.ok("key", "rotate", made["id"], "--overlap", "1h")
    assert rotated["id"] == made["id"]
    assert rotated["key"] != made["key"]
    assert "its old value until" in either("key", "list").out
    quiet = either("key", "rotate", made["id"], "--quiet")
    assert quiet.out.strip() not in ("", made["key"], rotated["key"])
    assert either("key", "rotate", "unknown").code == 3


def test_a_key_of_the_installation_has_no_tenant(either: Cli):
    made = either.ok("key", "create", "all", "--installation")
    assert made["tenant"] is None
    assert made["id"] not in either("key", "list").out
    assert made["id"] in either("key", "list", "--installation").out
    assert either("key", "revoke", made["id"]).code == 3
    assert either("key", "revoke", made["id"], "--installation").code == 0


def test_the_first_set_makes_the_default_profile_and_the_next_changes_only_what_it_names(either: Cli):
    assert either("profile", "show").code == 3
    assert either("profile", "set", "--port", "587").code == 1  # no host yet
    first = either.ok("profile", "set", *RELAY, "--sender-name", "Us")
    assert (first["default"], first["host"], first["sender_name"]) == (True, "127.0.0.1", "Us")
    second = either.ok("profile", "set", "--security", "starttls", "--no-verify", "--sender-name", "")
    changed = {name for name in first if first[name] != second[name]}
    assert changed == {"security", "verify_certificate", "sender_name", "revision", "changed_at"}
    assert either("profile", "set").code == 2


def test_a_profile_is_made_shown_made_the_default_and_deleted(either: Cli):
    either.ok("profile", "set", *RELAY)
    other = either.ok("profile", "create", "newsletter", "--host", "relay.example", "--filter", "*@example.com")
    assert other["recipient_filter"] == "*@example.com"
    number = str(other["id"])
    assert "relay.example:25" in either("profile", "show", number).out
    assert either.ok("profile", "set", number, "--no-filter", "--name", "letters")["recipient_filter"] is None
    assert either.ok("profile", "default", number)["default"]
    assert "letters" in either("profile", "list").out
    assert either("profile", "delete", "1").code == 0
    assert [each["name"] for each in either.ok("profile", "list")["profiles"]] == ["letters"]


def test_limits_and_a_failover_are_set_shown_and_cleared(either: Cli):
    either.ok("profile", "set", *RELAY)
    either.ok("profile", "create", "second", *RELAY)
    limits = ("--limit-per-minute", "30", "--limit-per-day", "9000", "--most-connections", "2", "--failover", "2")
    shown = either.ok("profile", "set", *limits)
    assert (shown["limit_per_minute"], shown["limit_per_hour"], shown["limit_per_day"]) == (30, None, 9000)
    assert (shown["most_connections"], shown["failover"]) == (2, 2)
    told = either("profile", "show").out
    assert "30 a minute, 9000 a day" in told
    cleared = either.ok("profile", "set", "--limit-per-minute", "0", "--failover", "0")
    assert (cleared["limit_per_minute"], cleared["limit_per_day"], cleared["failover"]) == (None, 9000, None)
    assert either("profile", "set", "--failover", "9").code == 1


def test_a_profile_is_paused_and_resumed(either: Cli):
    either.ok("profile", "set", *RELAY)
    assert either.ok("profile", "pause")["paused_at"]
    told = either("profile", "show")
    assert "profile resume" in told.err
    assert "paused" in either("profile", "list").out
    assert either.ok("profile", "resume", "1")["paused_at"] is None


def test_a_profile_comes_from_json_and_options_go_before_it(either: Cli, tmp_path: Path):
    said = {"host": "relay.example", "port": 2525, "reply_to_name": "Help"}
    (tmp_path / "profile.json").write_text(json.dumps(said))
    stored = either.ok("profile", "set", "--from-json", str(tmp_path / "profile.json"), "--port", "587")
    assert (stored["host"], stored["port"], stored["reply_to_name"]) == ("relay.example", 587, "Help")
    assert either.ok("profile", "set", "--from-json", "-", stdin='{"host": "other.example"}')["host"] == "other.example"
    assert either("profile", "set", "--from-json", "-", stdin='{"hots": "x"}').code == 1
    assert either("profile", "set", "--from-json", "-", stdin="[]").code == 1


def test_authorities_come_from_a_file(either: Cli, tmp_path: Path):
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\n…\n-----END CERTIFICATE-----\n")
    done = either("profile", "set", *RELAY, "--ca-file", str(tmp_path / "ca.pem"), "--json")
    assert done.code in (0, 1)  # whether it is checked when saved is not the command line's to say
    missing = either("profile", "set", *RELAY, "--ca-file", str(tmp_path / "none.pem"))
    assert missing.code == 1
    assert "--ca-file: No such file" in missing.err


def test_a_message_is_listed_shown_cancelled_and_tried_again(either: Cli):
    either.ok("profile", "set", "--host", "192.0.2.1", "--sender", "us@example.com")  # goes nowhere
    sent = either.ok("send", "--to", "one@example.com", "-s", "Hello", "--text", "Hi", "--expires-in", "2h")
    assert sent["id"] in either("messages", "list", "--recipient", "one@example.com", "--limit", "1").out
    assert either.ok("messages", "list", "--state", "sent")["messages"] == []
    assert "one@example.com  " in either("messages", "show", sent["id"], "--transcript").out
    retried = either("messages", "retry", sent["id"], "--json")
    assert retried.code in (0, 5), retried  # 5: an attempt is under way on the server just now
    assert either("messages", "show", "unknown").code == 3
    assert either("messages", "list", "--limit", "0", "--json").error["field"] == "limit"


@pytest.mark.parametrize("command", [("cancel",), ("retry",), ("show",)])
def test_an_unknown_message_is_not_found(either: Cli, command: tuple[str]):
    assert either("messages", *command, "unknown").code == 3


def test_what_waits_can_be_cancelled(in_place: Cli):
    sent = in_place.ok("send", "--to", "one@example.com", "--text", "Hi")
    assert in_place.ok("messages", "cancel", sent["id"])["state"] == "cancelled"
    again = in_place("messages", "cancel", sent["id"])
    assert (again.code, again.out) == (5, "")


def test_an_empty_sandbox_says_so(either: Cli):
    assert either.ok("sandbox", "list") == {"messages": [], "next": None}
    assert "empty" in either("sandbox", "list").err
    assert either.ok("sandbox", "empty") == {"removed": 0}
    assert either("sandbox", "show", "unknown").code == 3


def test_an_id_that_would_lead_elsewhere_is_refused(either: Cli):
    for name in ("", "..", "../keys"):
        assert either("messages", "show", name).code in (1, 3)
        assert either("profile", "show", name).code == 2


def test_a_profile_is_shown_in_a_products_words_with_what_those_would_lose(either: Cli):
    either.ok("profile", "set", *RELAY, "--reply-to", "help@example.com")
    shown = either.ok("profile", "show", "--as", "threadfix")
    assert (shown["settings"]["host"], shown["settings"]["port"]) == ("127.0.0.1", "1025")
    assert [each["field"] for each in shown["lost"]] == ["reply_to_address"]
    told = either("profile", "show", "--as", "threadfix")
    assert json.loads(told.out) == shown["settings"]
    assert "threadfix can't say reply_to_address" in told.err
    assert either("profile", "show", "--as", "cobol").code == 3


def test_a_profile_is_set_from_a_file_in_a_products_words(either: Cli, tmp_path: Path):
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"host": "mail.example.com", "port": 25, "senderAddress": "a@example.com",
                                "senderDisplayName": "A", "enableAuth": False, "enableSSL": False}))  # fmt: skip
    made = either.ok("profile", "set", "--from", "onlyoffice", str(file))
    assert (made["host"], made["sender_name"], made["dialect"]) == ("mail.example.com", "A", "onlyoffice")
    file.write_text('{"host": "mail.example.com"}')
    assert either("profile", "set", "--from", "onlyoffice", str(file)).code == 1
    assert either("profile", "set", "--from", "onlyoffice", str(file), "--port", "25").code == 2
