"""A reference names only what the operator allows, and is read anew each time."""

import os
from pathlib import Path

import pytest

from postroom.domain.problems import Invalid
from postroom.domain.secret import Secret
from postroom.store.references import LONGEST, References

ENVIRONMENT = {"SMTP_ACME": "hunter2", "SMTP_EMPTY": "", "OTHER": "other", "POSTROOM_VAULT_KEY": "ours"}


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "relay").write_text("hunter2\n")
    (tmp_path / "elsewhere").write_text("theirs")
    return tmp_path / "secrets"


def references(secrets: Path) -> References:
    return References(("env:SMTP_*", "env:P*", f"file:{secrets}/*"), ENVIRONMENT)


def refusal(found: References, text: str) -> str:
    with pytest.raises(Invalid) as refused:
        found.resolved(Secret(text))
    assert refused.value.field == "password"
    assert not any(value and value in refused.value.message for value in (*ENVIRONMENT.values(), "theirs"))
    return refused.value.message


def test_what_is_allowed_is_read_anew_each_time(secrets: Path):
    found = references(secrets)
    assert found.resolved(Secret("env:SMTP_ACME")) == Secret("hunter2")
    assert found.resolved(Secret(f"file:{secrets}/relay")) == Secret("hunter2")
    (secrets / "relay").write_text("another")
    assert found.resolved(Secret(f"file:{secrets}/relay")) == Secret("another")
    assert found.resolved(Secret("a password")) == Secret("a password")


def test_nothing_else_can_be_named(secrets: Path):
    found = references(secrets)
    (secrets / "out").symlink_to(secrets.parent / "elsewhere")
    (secrets / "deep").mkdir()
    (secrets / "deep" / "er").write_text("theirs")
    for name in (
        "env:OTHER", "env:POSTROOM_VAULT_KEY", "env:", "file:", f"file:{secrets}/../elsewhere",
        f"file:{secrets}//relay",
        f"file:{secrets}/./relay", f"file:{secrets}/deep/er", f"file:{secrets}/out", "file:relay",
        f"file:{secrets.parent}/elsewhere",
    ):  # fmt: skip
        assert "POSTROOM_SECRET_REFERENCES" in refusal(found, name), name
    assert "POSTROOM_SECRET_REFERENCES" in refusal(References(), "env:SMTP_ACME")


def test_a_link_inside_of_the_directory_is_how_kubernetes_mounts_secrets(secrets: Path):
    (secrets / "..data").mkdir()
    (secrets / "..data" / "key").write_text("mounted")
    (secrets / "key").symlink_to("..data/key")
    assert references(secrets).resolved(Secret(f"file:{secrets}/key")) == Secret("mounted")


def test_what_is_no_secret_is_refused_plainly(secrets: Path):
    found = references(secrets)
    os.mkfifo(secrets / "pipe")
    (secrets / "long").write_bytes(b"x" * (LONGEST + 1))
    (secrets / "binary").write_bytes(b"\xff\xfe")
    (secrets / "empty").write_text("\n")
    for name, words in (
        ("env:SMTP_NONE", "not set"), ("env:SMTP_EMPTY", "empty"), (f"file:{secrets}/none", "can't be read"),
        (f"file:{secrets}/pipe", "regular"), (f"file:{secrets}/long", "longer"), (f"file:{secrets}/binary", "UTF-8"),
        (f"file:{secrets}/empty", "empty"), (f"file:{secrets}/..data", "can't be read"),
    ):  # fmt: skip
        assert words in refusal(found, name), name


def test_only_who_has_the_whole_installation_may_give_one(secrets: Path):
    found = references(secrets)
    found.check(Secret("env:SMTP_ACME"), by_operator=True)
    found.check(Secret("a password"), by_operator=False)
    with pytest.raises(Invalid, match="whole installation"):
        found.check(Secret("env:SMTP_ACME"), by_operator=False)
