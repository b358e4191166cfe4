"""`postroom audit`, `postroom profile revisions` and `rollback`."""

import sqlite3
from contextlib import closing
from pathlib import Path

from .conftest import Cli


def test_revisions_are_listed_and_rolled_back_to(either: Cli):
    either.ok("profile", "set", "--host", "one.example", "--sender", "us@example.com")
    either.ok("profile", "set", "--host", "two.example")
    shown = either("profile", "revisions")
    assert "host one.example → two.example" in shown.out
    assert either.ok("profile", "rollback", "1")["host"] == "one.example"
    assert either.ok("profile", "show")["revision"] == 3
    assert either("profile", "rollback", "77").code == 3
    assert either("audit", "list", "--action", "profile.restored").out.count("profile.restored") == 1


def test_a_chain_is_verified(either: Cli):
    either.ok("profile", "set", "--host", "one.example", "--sender", "us@example.com")
    told = either.ok("audit", "verify")
    assert (told["ok"], told["chains"][0]["rows"]) == (True, 2)
    head = told["chains"][0]["head"]
    assert head in either("audit", "verify").out
    assert either("audit", "verify", "--head", head).code == 0
    assert either("audit", "verify", "--head", head[:-1] + "g").code == 40
    assert either("audit", "verify", "--head", "nonsense").code == 1
    assert either("audit", "verify", "--installation").code == 0


def test_what_was_tampered_with_ends_with_a_code_of_its_own(in_place: Cli, tmp_path: Path):
    in_place.ok("profile", "set", "--sender-name", "Us")
    with closing(sqlite3.connect(tmp_path / "data" / "postroom.db")) as database:
        database.execute("DELETE FROM audit WHERE id = (SELECT max(id) FROM audit WHERE tenant_id = 1)")
        database.commit()
    done = in_place("audit", "verify", "--json")
    assert done.code == 40
    assert done.json["chains"][0]["fault"]["what"] == "removed"
    assert "removed" in in_place("audit", "verify").out
