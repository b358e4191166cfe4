"""Who is spoken to, as whom, and what is said when that fails."""

import json
import os
from pathlib import Path

from serving import ADMIN_KEY, Server, free_port

from .conftest import Cli

WRONG = "00000000-0000-4000-8000-000000000000"


def by_address(server: Server, key: str = ADMIN_KEY) -> Cli:
    return Cli({"POSTROOM_URL": server.url, "POSTROOM_KEY": key, "POSTROOM_DATA_DIR": "/nonexistent"})


def test_an_address_and_a_key_are_enough(server: Server):
    assert "default" in by_address(server)("tenant", "list").out


def test_a_wrong_key_is_4(server: Server, in_place: Cli):
    done = by_address(server, WRONG)("tenant", "list", "--json")
    assert (done.code, done.out, done.error["code"]) == (4, "", "unauthenticated")
    assert WRONG not in done.err
    assert in_place("tenant", "list", POSTROOM_KEY=WRONG).code == 4


def test_an_address_without_a_key_is_4_and_says_what_to_set(server: Server):
    done = Cli({"POSTROOM_URL": server.url})("tenant", "list")
    assert done.code == 4
    assert "POSTROOM_KEY" in done.err


def test_a_key_that_is_given_counts_also_where_none_is_needed(by_note: Cli, server: Server):
    limited = by_note.ok("key", "create", "reader", "--permission", "mail:read")["key"]
    assert by_note("messages", "list", POSTROOM_KEY=limited).code == 0
    denied = by_note("profile", "list", POSTROOM_KEY=limited)
    assert denied.code == 4
    assert "settings:read" in denied.err


def test_another_tenants_name_is_not_found_for_a_tenants_key(served: Cli):
    key = served.ok("key", "create", "own")["key"]
    assert served("profile", "list", POSTROOM_KEY=key).code == 0
    assert served.of("default")("profile", "list", POSTROOM_KEY=key).code == 3


def test_where_nothing_answers_the_address_and_the_way_to_start_it_are_said():
    url = f"http://127.0.0.1:{free_port()}"
    done = Cli({"POSTROOM_URL": url, "POSTROOM_KEY": WRONG})("tenant", "list")
    assert done.code == 6
    assert url in done.err
    assert "postroom serve" in done.err
    assert WRONG not in done.err


def test_an_address_that_is_none_is_refused():
    for url in ("127.0.0.1:8025", "ftp://example.com", "http://user:hidden@example.com"):
        done = Cli({"POSTROOM_URL": url, "POSTROOM_KEY": WRONG})("tenant", "list")
        assert done.code == 1
        assert "hidden" not in done.err


def test_what_is_not_postroom_is_said_to_be_none(server: Server):
    done = Cli({"POSTROOM_URL": f"{server.url}/threadfix", "POSTROOM_KEY": WRONG})("tenant", "list")
    assert done.code == 6
    assert "POSTROOM_URL" in done.err


def test_a_stale_note_is_ignored(in_place: Cli, server: Server):
    in_place.ok("tenant", "create", "here")
    note = Path(in_place.environment["POSTROOM_DATA_DIR"]) / "running.json"
    for url in (f"http://127.0.0.1:{free_port()}", server.url, "nonsense"):  # the second one is another's by now
        note.write_text(json.dumps({"url": url, "key": WRONG, "pid": 1}))
        assert "here" in in_place("tenant", "list").out
    note.write_text("{")
    assert "here" in in_place("tenant", "list").out


def test_a_proxy_gets_no_key_of_the_server_beside_us(by_note: Cli):
    nowhere = f"http://127.0.0.1:{free_port()}"
    assert by_note("tenant", "list", HTTP_PROXY=nowhere, http_proxy=nowhere, ALL_PROXY=nowhere).code == 0


def test_the_first_start_in_place_shows_the_admin_key_once(tmp_path: Path):
    cli = Cli({"POSTROOM_DATA_DIR": str(tmp_path)})
    first = cli("tenant", "list", "--json")
    assert first.json["tenants"]
    key = first.err.split("Admin key: ")[1].split()[0]
    assert cli("tenant", "list", POSTROOM_KEY=key).code == 0
    assert "Admin key" not in cli("tenant", "list").err


def test_a_data_directory_that_cannot_be_is_6(tmp_path: Path):
    (tmp_path / "file").touch()
    done = Cli({"POSTROOM_DATA_DIR": str(tmp_path / "file")})("tenant", "list")
    assert done.code == 6
    assert "POSTROOM_DATA_DIR" in done.err


def test_a_misspelt_variable_is_1(in_place: Cli):
    assert in_place("tenant", "list", POSTROOM_DATADIR="x").code == 1


def test_nothing_of_the_environment_leaks_into_a_test():
    assert not [name for name in os.environ if name.startswith("POSTROOM_")]
