"""/metrics and /readyz on the real thing: what they tell is what happened."""

import asyncio
import re
import threading
from pathlib import Path

import pytest

from postroom.actions.health import Health
from postroom.domain.counts import Counts
from postroom.smtp.certificates import MOST_RELAYS, Certificates
from serving import House, Server, a_house, eventually

MAIL = {"to": ["bob@good.example"], "subject": "Hello", "text": "Hello, Bob."}


def value(page: str, name: str) -> float:
    found = re.search(rf"^{re.escape(name)} (\S+)$", page, re.MULTILINE)
    assert found, f"{name} is not in\n{page}"
    return float(found[1])


def test_it_tells_what_became_of_mail(tmp_path: Path):
    with Server(tmp_path) as server:
        for _ in range(3):
            assert server.client.post("/v1/messages", json=MAIL).status_code == 202
        assert server.client.get("/v1/nowhere").status_code == 404

        def page() -> str:
            answer = server.client.get("/metrics")
            assert answer.status_code == 200
            assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
            return answer.text

        sent = 'postroom_attempts_total{kind="sent",outcome="sent",stage="dot"}'
        eventually(lambda: "postroom_deliveries_ended_total" in page() and 'state="sent"} 3.0' in page())
        told = page()
        assert value(told, "postroom_messages_accepted_total") == 3
        assert value(told, 'postroom_deliveries_ended_total{state="sent"}') == 3
        assert value(told, sent) == 3
        assert value(told, 'postroom_http_requests_total{area="v1",status="202"}') == 3
        assert value(told, 'postroom_http_requests_total{area="v1",status="404"}') == 1
        assert 0 < value(told, "postroom_commits_total") <= value(told, "postroom_commit_jobs_total")
        assert value(told, "process_resident_memory_bytes") > 10**7
        assert value(told, "process_open_fds") > 3
        assert value(told, "postroom_disk_free_bytes") > 0
        server.client.post("/v1/profiles/default/pause")
        assert "bob@good.example" not in told


@pytest.mark.parametrize(("tenant", "permission"), [("default", "mail:read"), ("*", "mail:send")])
async def test_other_keys_are_refused(house: House, tenant: str, permission: str):
    key = await house.key(permission, tenant=tenant)
    answer = await house.client.get("/metrics", headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 403
    assert "postroom_" not in answer.text
    assert (await house.client.get("/metrics")).status_code == 401


async def test_it_tells_what_waits_and_why(tmp_path: Path, database_url: str | None):
    async with a_house(tmp_path, **({"database_url": database_url} if database_url else {})) as house:  # no worker runs
        assert (await house.client.post("/v1/messages", json=[MAIL] * 5, headers=house.admin)).status_code == 202
        await asyncio.sleep(0.05)
        told = (await house.client.get("/metrics", headers=house.admin)).text
        assert value(told, "postroom_queue_deliveries") == 5
        assert value(told, "postroom_queue_overdue_seconds") > 0.04
        assert value(told, 'postroom_profiles_kept_back{why="paused"}') == 0
        assert ("postroom_disk_free_bytes" in told) is (database_url is None)
        paused = await house.client.post("/v1/profiles/default/pause", headers=house.admin)
        assert paused.status_code == 200
        await asyncio.sleep(1.1)
        backlog = await house.postroom.room.status.backlog(fresh=True)
        assert (backlog.lanes_paused, backlog.overdue, backlog.deliveries) == (1, 0, 5)


def test_counting_costs_next_to_nothing():
    import timeit

    counts = Counts()

    def count() -> None:
        counts.attempts["sent", "dot", "sent"] += 1
        counts.ended["sent"] += 1
        counts.requests["v1", 202] += 1

    count()
    assert (
        min(timeit.repeat(count, number=10_000, repeat=5)) / 10_000 < 5e-6
    )  # about 0.4 us; ten times that on a busy day


def test_certificates_are_kept_for_the_relays_last_seen():
    seen = Certificates()
    seen.saw("unverified:25", {"version": "TLSv1.3"})
    for n in range(MOST_RELAYS + 1):
        seen.saw(f"r{n}:25", {"expires": "Jun  1 12:00:00 2030 GMT"})
    assert len(seen.ends()) == MOST_RELAYS
    assert "r0:25" not in seen.ends()
    assert seen.ends()["r1:25"] == 1906545600


# Whether it is ready.


async def test_a_transaction_that_does_not_end_is_told(house: House):
    postroom, let_go = house.postroom, threading.Event()
    health = Health(postroom.database, postroom.room.status, postroom.worker, stuck=0.1)
    assert await health.wrong() == {}
    stuck = asyncio.ensure_future(postroom.database.write(lambda _: let_go.wait(30)))
    await asyncio.sleep(0.3)
    assert "transaction" in (await health.wrong())["database"]
    let_go.set()
    await stuck
    assert await health.wrong() == {}


async def test_a_writer_that_died_is_told(house: House):
    await house.postroom.database.close()
    answer = await house.client.get("/readyz")
    assert answer.status_code == 503
    assert "database" in answer.json()["wrong"]


async def test_a_worker_that_takes_up_nothing_is_told(house: House, monkeypatch: pytest.MonkeyPatch):
    postroom = house.postroom
    assert (await house.client.post("/v1/messages", json=MAIL, headers=house.admin)).status_code == 202
    await asyncio.sleep(1.2)
    monkeypatch.setattr("postroom.actions.health.LEFT_LYING", 1.0)
    health = Health(postroom.database, postroom.room.status, postroom.worker)
    assert await health.wrong() == {}  # none runs here: it is another machine's
    postroom.worker.seen_at = asyncio.get_running_loop().time()  # it came round, and took nothing
    assert "takes up nothing" in (await health.wrong())["worker"]
    postroom.worker.seen_at = asyncio.get_running_loop().time() - 60
    assert "come round" in (await health.wrong())["worker"]
