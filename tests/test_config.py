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
