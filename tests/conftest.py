"""What holds for all tests, and a real PostgreSQL for those that ask for one."""

from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings

from postroom import log
from serving import a_database, a_postgresql

# A busy machine makes an example slow, not wrong; tests that are about time measure it themselves.
settings.register_profile("postroom", deadline=None)
settings.load_profile("postroom")


LAST_LINES = 40
"""Of what a failed test printed: a server at log level debug says thousands, and pushes the failure out of sight."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    report.sections = [(title, "\n".join(text.splitlines()[-LAST_LINES:])) for title, text in report.sections]
    return report


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    """A command that was run in this process has turned the log to its own ends."""
    yield
    log.forget()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    with a_postgresql() as url:
        yield url


@pytest.fixture
def postgresql_url(postgresql: str) -> str:
    """An empty database."""
    return a_database(postgresql)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    """Both engines, one after the other; None is SQLite in the data directory."""
    return None if request.param == "sqlite" else str(request.getfixturevalue("postgresql_url"))
