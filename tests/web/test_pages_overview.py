"""/: what state everything is in"""

import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import Connection, insert, text, update

from postroom.domain.access import EVERYTHING
from postroom.domain.delivery import SECOND, State
from postroom.store import keys
from postroom.store.ids import new_id
from postroom.store.overview import HOUR, Hour
from postroom.store.schema import delivery, lane, message, queue
from postroom.web.pages import overview
from postroom.web.pages.chart import FLOOR, chart
from postroom.web.pages.visit import COOKIE
from serving import ADMIN_KEY, House, Server, a_house
from web.test_pages_profiles import RELAY, page, put, sign_in


@pytest.fixture
async def house(tmp_path: Path, database_url: str | None) -> AsyncIterator[House]:
    async with a_house(tmp_path, database_url=database_url) as house:
        yield house


@pytest.fixture(autouse=True)
def _however_busy_the_machine_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page waits for its chart."""
    monkeypatch.setattr(overview, "PATIENCE", None)


def now() -> int:
    return time.time_ns() // 1000


async def mail(house: House, state: State, *, ago: int = 0, tenant: int = 1, lane_id: int = 1) -> str:
    """A message handed in `ago` seconds before now, with one delivery in this state."""
    at = now() - ago * SECOND
    id_ = new_id(at)

    def keep(connection: Connection) -> None:
        connection.execute(
            insert(message).values(
                id=id_, tenant_id=tenant, profile_id=1, queued_at=at, expires_at=at * 2, hold_in_doubt=False,
                envelope_sender="a@b.example", header_from="a@b.example", subject="x", size=1, key_id="k",
            )
        )  # fmt: skip
        connection.execute(
            insert(delivery).values(
                id=f"{id_}.1", message_id=id_, recipient="c@d.example", state=state.value, attempts=0, updated_at=at
            )
        )
        if state is State.WAITING:
            connection.execute(
                insert(queue).values(
                    lane=lane_id, due_at=at, id=f"{id_}.1", message_id=id_, recipient="c@d.example", attempt=0,
                    crashes=0, expires_at=at * 2, hold_in_doubt=False, in_doubt=False,
                )
            )  # fmt: skip

    await house.postroom.database.write(keep)
    return id_


async def trouble(house: House, lane_id: int, **values: object) -> None:
    changed = update(lane).where(lane.c.id == lane_id).values(values)
    await house.postroom.database.write(lambda connection: connection.execute(changed))


async def test_a_fresh_installation_says_the_first_steps(house: House):
    await sign_in(house)
    shown = await page(house, "/")
    assert "Nothing needs attention." in shown.text
    assert "First steps" in shown.text
    assert {"/profiles/1", "/profiles/new"} <= set(shown.links)


async def test_a_tenant_without_settings_is_told_to_make_some(house: House):
    await house.tenant("acme")
    await sign_in(house, await house.key(tenant="acme"))
    shown = await page(house, "/")
    assert "Set up outgoing mail" in shown.text
    assert "/profiles/new" in shown.links


async def test_the_day_is_counted_by_the_hour(house: House):
    for state, ago in ((State.SENT, 0), (State.SENT, 7200), (State.REFUSED, 7200), (State.WAITING, 7200),
                       (State.EXPIRED, 3 * 3600), (State.FILTERED, 0), (State.SENT, 25 * 3600)):  # fmt: skip
        await mail(house, state, ago=ago)
    await house.tenant("acme")
    await mail(house, State.SENT, tenant=2)
    await sign_in(house)
    shown = await page(house, "/")
    assert "2 sent 2 failed 1 waiting" in shown.text
    assert "First steps" not in shown.text
    begun = (now() - 7200 * SECOND) // HOUR * HOUR
    hour = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(begun // SECOND))
    assert f"{hour} 1 1 1" in shown.text, "the table says what the chart shows"


async def test_an_hour_that_is_over_is_not_counted_again_and_again(house: House):
    await mail(house, State.SENT, ago=7200)
    await sign_in(house)
    assert "1 sent" in (await page(house, "/")).text
    await mail(house, State.SENT, ago=7200)
    await mail(house, State.SENT)
    assert "2 sent" in (await page(house, "/")).text, "the hour that is not over is looked at each time"


async def test_a_day_that_takes_long_to_count_keeps_nobody_waiting(house: House, monkeypatch: pytest.MonkeyPatch):
    await mail(house, State.SENT, ago=7200)
    await sign_in(house)
    monkeypatch.setattr(overview, "PATIENCE", 0)  # seconds
    monkeypatch.setattr("postroom.actions.overview.SOME_WAY", 0)
    assert "Being counted" in (await page(house, "/")).text
    monkeypatch.setattr(overview, "PATIENCE", None)
    assert "1 sent" in (await page(house, "/")).text


async def test_what_needs_somebody_is_said_with_a_link_to_it(house: House):
    await put(house, RELAY)
    made = await house.client.post(
        "/v1/profiles", json=RELAY | {"name": "<b>Other</b>", "host": "o.example"}, headers=house.admin
    )
    assert made.json()["id"] == 2
    await house.client.patch("/v1/profiles/1", json={"failover": 2}, headers=house.admin)
    resting = {"trouble": "The relay is away.", "failures": 1, "about": "relay", "rests_until": now() + 90 * SECOND}
    await trouble(house, 1, **resting)
    await house.client.post("/v1/profiles/2/pause", headers=house.admin)
    await mail(house, State.HELD)
    await mail(house, State.WAITING, ago=3600)
    body = {"name": "Ends soon", "expires_in": 86_400}
    ends = await house.client.post("/v1/keys", json=body, headers=house.admin | {"x-postroom-tenant": "default"})
    assert ends.status_code == 201, ends.text
    await sign_in(house)
    answer = await house.client.get("/")
    shown = await page(house, "/")
    for words in ("resting", "The relay is away.", "Tried again by itself in 1 min", "1 delivery waits for a person",
                  "The oldest mail has waited since", "Ends soon", "paused", "goes through"):  # fmt: skip
        assert words in shown.text, words
    assert "&lt;b&gt;Other" in answer.text
    assert "<b>Other" not in answer.text
    assert "/profiles/1#check" in shown.links


async def test_a_lost_secret_needs_somebody(house: House):
    await put(house, RELAY)
    broken = text("UPDATE revision SET sealed_password = 'deadbeef.x' WHERE number = 2")
    await house.postroom.database.write(lambda connection: connection.execute(broken))
    await sign_in(house)
    assert "Needs attention" in (await page(house, "/")).text


async def test_a_certificate_near_its_end_needs_somebody(house: House):
    await put(house, RELAY)
    ends = time.strftime("%b %d %H:%M:%S %Y GMT", time.gmtime(time.time() + 5 * 86_400))
    house.postroom.room.overviews._certificates.saw("relay.example:587", {"expires": ends})
    await sign_in(house)
    assert "The certificate of relay.example:587 ends" in (await page(house, "/")).text


async def test_the_operator_sees_trouble_elsewhere_and_a_tenant_only_its_own(house: House):
    await house.tenant("acme")
    await put(house, RELAY, "acme")
    await trouble(house, 2, trouble="Acme's relay is away.", failures=1)
    await sign_in(house)
    assert "Acme's relay is away." in (await page(house, "/")).text
    await sign_in(house, await house.key())
    assert "Acme" not in (await page(house, "/")).text


async def test_the_installations_own_keys_are_the_operators_to_renew(house: House):
    def add(connection: Connection) -> None:
        keys.add(
            connection, keys.fresh(), tenant_id=None, name="Installation's", permissions=EVERYTHING, now=now(),
            expires_at=now() + 86_400 * SECOND,
        )  # fmt: skip

    await house.postroom.database.write(add)
    await sign_in(house, await house.key())
    assert "Installation's" not in (await page(house, "/")).text
    await sign_in(house)
    assert "The key Installation's ends" in (await page(house, "/")).text


async def test_each_key_sees_what_it_may(house: House):
    await mail(house, State.SENT)
    await sign_in(house, await house.key("settings:read"))
    assert "Mail of the last 24 hours" not in (await page(house, "/")).text
    await sign_in(house, await house.key("mail:read"))
    shown = await page(house, "/")
    assert "1 sent" in shown.text
    assert "127.0.0.1" not in shown.text
    await sign_in(house, await house.key("mail:send"))
    assert "Not much to see with this key" in (await page(house, "/")).text


def test_a_bar_is_as_high_as_its_hour_and_one_mail_is_seen_among_thousands():
    drawn = chart([Hour(0, sent=5000, failed=1), Hour(HOUR, waiting=2500), Hour(2 * HOUR)])
    (sent, failed), (waiting,), nothing = (bar.parts for bar in drawn.bars)
    assert nothing == ()
    assert failed[2] == 2.0
    assert failed[1] + failed[2] == pytest.approx(sent[1])
    assert sent[1] + sent[2] == FLOOR
    assert waiting[2] == pytest.approx(sent[2] / 2, abs=0.2)
    assert all(y >= 0 for bar in drawn.bars for _, y, _ in bar.parts)
    assert chart([Hour(0)]).bars[0].parts == ()


def test_the_overview_follows_what_happens(tmp_path: Path):
    with Server(tmp_path) as server:
        cookie = {"cookie": f"{COOKIE}={ADMIN_KEY}"}
        shown = server.client.get("/", headers=cookie).text
        live = shown.partition('data-live="')[2].partition('"')[0].replace("&amp;", "&")
        with server.client.stream("GET", live, headers=cookie) as events:
            assert events.headers["content-type"].startswith("text/event-stream")
            server.client.post("/v1/profiles/1/pause")
            assert _first(events) == "event: changed"


def _first(events: httpx2.Response) -> str:
    return next(line for line in events.iter_lines() if line.startswith("event:"))
