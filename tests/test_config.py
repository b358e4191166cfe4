"""What an operator may set, and what is told where it can't be so."""

from pathlib import Path

import pytest

from postroom.config import Config, load
from postroom.domain.problems import Invalid


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["POSTROOM_LISTEN", "POSTROOM_SANDBOX"])
@pytest.mark.parametrize(
    "text", ["mail.example:25", "127.0.0.1", ":25", "127.0.0.1:x", "127.0.0.1:70000", "127.0.0.1:²"]
)
def test_an_endpoint_is_an_address_and_a_port(name: str, text: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(name, text)
    with pytest.raises(Invalid) as told:
        load()
    assert name in told.value.message


def test_localhost_is_an_address():
    assert Config(sandbox="localhost:2525").sandbox == "127.0.0.1:2525"
    assert Config(listen="[::1]:8025").listen == "[::1]:8025"


def test_how_long_things_are_kept_is_told_in_days_hours_or_minutes(monkeypatch: pytest.MonkeyPatch):
    assert Config().kept == (7 * 86_400, 90 * 86_400)
    assert Config(keep="content 0d messages 12h").kept == (0, 12 * 3600)
    for bad in ("7d", "content 7", "content -1d, messages 1d", "content 7d, messages 90y"):
        monkeypatch.setenv("POSTROOM_KEEP", bad)
        with pytest.raises(Invalid) as told:
            load()
        assert "POSTROOM_KEEP" in told.value.message
