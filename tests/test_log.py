"""What a log may say of a mistake."""

from collections.abc import Iterator

import pytest

from postroom import log


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    yield
    log.forget()


def _log_in(password: str) -> None:
    raise ValueError("the login went wrong")


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_traceback_names_places_and_no_values(form: str, capsys: pytest.CaptureFixture[str]):
    log.configure(form, "debug")
    try:
        _log_in("canary" + "-42")
    except ValueError as error:
        log.worker_failed(error)
    written = capsys.readouterr().err
    assert "the login went wrong" in written
    assert "_log_in" in written
    assert "canary-42" not in written
