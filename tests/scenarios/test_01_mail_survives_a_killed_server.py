"""Nothing that was acknowledged is lost; a duplicate only ever comes out of `in_doubt` (design section 5)."""

import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from serving import Server, Sink, eventually

MAILS = 2_000
LEASE = {"lease": "15"}  # a dead worker's mail on PostgreSQL is due again when its lease ends


def point_to(server: Server, sink: Sink) -> None:
    settings = {"host": "127.0.0.1", "port": sink.port, "sender_address": "a@b.example"}
    assert server.client.put("/v1/profiles/default", json=settings).status_code == 200


def hand_in(server: Server, count: int) -> set[str]:
    mails = [{"to": [f"r{n}@d.example"], "subject": str(n), "text": "x" * 500} for n in range(count)]
    ids: set[str] = set()
    for start in range(0, count, 500):
        answer = server.client.post("/v1/messages", json=mails[start : start + 500])
        assert answer.status_code == 202
        ids |= {each["id"] for each in answer.json()}
    return ids


def in_doubt(server: Server, database_url: str | None) -> set[str]:
    """What the dead server had marked, read from what it left behind."""
    query = "SELECT message_id FROM queue WHERE in_doubt"
    if database_url is None:
        with sqlite3.connect(server.data_dir / "data" / "postroom.db") as connection:
            return {row[0] for row in connection.execute(query)}
    engine = create_engine(database_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        found = set(connection.execute(text(query)).scalars())
    engine.dispose()
    return found


@pytest.mark.parametrize("killed_after", [1, 700])
def test_two_thousand_accepted_mails_arrive_although_the_server_is_killed(
    tmp_path: Path, database_url: str | None, killed_after: int
):
    with Sink() as sink, Server(tmp_path, database_url=database_url, **LEASE) as server:
        point_to(server, sink)
        accepted = hand_in(server, MAILS)
        eventually(lambda: len(sink.mails) >= killed_after, what="the first deliveries")
        server.kill()
        doubtful = in_doubt(server, database_url)
        server.start()
        eventually(lambda: len(set(sink.message_ids())) >= MAILS, within=90, what="the delivery of all")
        eventually(lambda: not server.client.get("/v1/messages?state=waiting").json()["messages"], what="settling")
        arrived = Counter(sink.message_ids())
        assert set(arrived) == accepted
        assert {each for each, times in arrived.items() if times > 1} <= doubtful


def test_a_server_that_is_told_to_stop_sends_nothing_twice(tmp_path: Path, database_url: str | None):
    with Sink() as sink, Server(tmp_path, database_url=database_url) as server:
        point_to(server, sink)
        accepted = hand_in(server, 1_000)
        eventually(lambda: len(sink.mails) >= 100, what="the first deliveries")
        assert server.stop() == 0
        assert "stopped" in server.logged()
        server.start()
        eventually(lambda: len(sink.mails) >= 1_000, what="the delivery of all")
        assert Counter(sink.message_ids()) == Counter(accepted)
