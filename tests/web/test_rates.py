"""Rates: too many requests, failed logins and test mails, each refused with 429 and Retry-After, in each envelope."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.requests import Request

from postroom.actions.rates import FAILED_LOGINS, REQUESTS, TEST_MAILS, TEST_MAILS_TO_ONE, Rates
from postroom.app import opened
from postroom.config import Config
from postroom.dialects import ALL
from postroom.dialects.dialect import Dialect, Verb
from postroom.domain.problems import TooMany, Unavailable
from postroom.domain.rate import Buckets, Rate
from postroom.domain.secret import Secret
from postroom.web.callers import Surroundings, address_of
from serving import ADMIN_KEY, House, Sink, with_tables


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@asynccontextmanager
async def a_house(data_dir: Path, clock: Clock, **settings: Any) -> AsyncIterator[House]:
    config = Config(data_dir=with_tables(data_dir), admin_key=ADMIN_KEY, public_url="http://postroom.test", **settings)
    async with opened(config, rates=Rates(clock)) as postroom:
        transport = httpx2.ASGITransport(app=postroom.site, client=("192.0.2.1", 5))
        async with httpx2.AsyncClient(transport=transport, base_url="https://postroom.test") as client:
            yield House(postroom, client)


@pytest.fixture
async def house(tmp_path: Path, clock: Clock) -> AsyncIterator[House]:
    async with a_house(tmp_path, clock) as house:
        yield house


def test_a_bucket_gives_what_is_in_it_and_then_what_flows_in():
    buckets = Buckets(Rate(3, 10.0))
    assert [buckets.take("a", 0.0) for _ in range(4)] == [0, 0, 0, 10]
    assert buckets.take("b", 0.0) == 0
    assert buckets.wait("a", 4.0) == 6
    assert buckets.take("a", 10.0) == 0
    assert buckets.take("a", 10.0) == 10
    assert [buckets.take("a", 1000.0) for _ in range(4)] == [0, 0, 0, 10]


def test_a_clock_that_was_set_back_makes_nobody_wait_for_long():
    buckets = Buckets(Rate(3, 10.0))
    for _ in range(3):
        buckets.take("a", 1_000_000.0)
    assert buckets.take("a", 0.0) == 10
    assert buckets.take("a", 10.0) == 10  # as long as nothing is taken, it counts from then on
    assert 0 < buckets.wait("a", 500.0) <= 10


def test_a_table_does_not_grow_and_who_took_most_is_not_forgotten():
    buckets = Buckets(Rate(3, 10.0), most=100)
    for _ in range(3):
        buckets.take("greedy", 0.0)
    for number in range(10_000):
        assert buckets.take(number, 1.0) == 0
        assert len(buckets) <= 100
    assert buckets.take("greedy", 1.0) > 0


def test_asking_costs_a_request_about_a_microsecond():
    """Generous, for a machine that does other things, too: the figure is in the report of `--durations`, not here."""
    rates = Rates()
    rounds = []
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(2000):
            rates.request("01HXXXXXXXXXXXXXXXXXXXXXXX")
        rounds.append((time.perf_counter() - started) / 2000)
    assert min(rounds) < 10e-6


async def test_too_many_requests_of_one_caller_hold_up_no_other(house: House, clock: Clock):
    one = {"authorization": f"Bearer {await house.key(name='one')}"}
    keys = (await house.client.get("/v1/keys", headers=house.admin)).json()["keys"]
    for _ in range(REQUESTS.at_once):
        house.postroom.room.keys._rates.request(keys[0]["id"])
    for method, path in (("GET", "/v1/profiles"), ("POST", "/v1/messages")):
        refused = await house.client.request(method, path, headers=one)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many")
        assert refused.headers["retry-after"] == "1"
    assert (await house.client.get("/v1/profiles", headers=house.admin)).status_code == 200
    clock.now += 1
    assert (await house.client.get("/v1/profiles", headers=one)).status_code == 200


async def guess(house: House, key: str, times: int) -> list[int]:
    headers = {"authorization": f"Bearer {key}"}
    return [(await house.client.get("/v1/profiles", headers=headers)).status_code for _ in range(times)]


async def test_failed_logins_of_one_address_are_refused_before_they_are_looked_up(house: House, clock: Clock):
    known = await house.key()
    assert await guess(house, known, 1) == [200]
    told = [(await guess(house, f"wrong-{number}", 1))[0] for number in range(FAILED_LOGINS.at_once + 3)]
    assert told == [401] * FAILED_LOGINS.at_once + [429] * 3
    # Not even a good one is looked up now; but who was good lately goes on, as does the operator.
    fresh = await house.key()
    assert await guess(house, fresh, 1) == [429]
    assert await guess(house, known, 1) == [200]
    assert await guess(house, house.postroom.operator_key.reveal(), 1) == [200]
    clock.now += 2 * FAILED_LOGINS.every
    assert await guess(house, fresh, 1) == [200]


async def test_a_credential_that_is_wrong_again_and_again_is_known_wherever_it_comes_from(house: House):
    for number in range(FAILED_LOGINS.at_once):
        transport = httpx2.ASGITransport(app=house.postroom.site, client=(f"198.51.100.{number}", 5))
        async with httpx2.AsyncClient(transport=transport, base_url="http://postroom.test") as elsewhere:
            assert await guess(House(house.postroom, elsewhere), "the-same", 1) == [401]
    assert await guess(house, "the-same", 1) == [429]
    assert await guess(house, "another", 1) == [401]


async def test_bad_tokens_and_what_is_too_long_count_as_well(house: House):
    assert set(await guess(house, "a.b.c", FAILED_LOGINS.at_once // 2)) == {401}
    assert set(await guess(house, "x" * 5000, FAILED_LOGINS.at_once // 2)) == {401}
    assert await guess(house, "wrong", 1) == [429]


async def test_no_credential_at_all_is_no_guess(house: House):
    for _ in range(FAILED_LOGINS.at_once + 5):
        assert (await house.client.get("/v1/profiles")).status_code == 401


def test_an_ipv6_customer_is_one_address():
    rates = Rates(Clock())
    for number in range(FAILED_LOGINS.at_once):
        rates.failed_login(f"2001:db8::{number:x}:1", str(number))
    with pytest.raises(TooMany):
        rates.failed_login("2001:db8::ffff", "x")
    rates.failed_login("2001:db8:0:1::1", "x")
    for number in range(FAILED_LOGINS.at_once):
        rates.failed_login("::ffff:192.0.2.7", f"m{number}")
    with pytest.raises(TooMany):
        rates.may_log_in("192.0.2.7", "y")


@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
async def test_each_product_says_it_in_its_envelope(house: House, dialect: Dialect):
    for number in range(FAILED_LOGINS.at_once):
        await guess(house, f"wrong-{number}", 1)
    for endpoint in dialect.endpoints:
        if endpoint.verb not in (Verb.SAVE, Verb.SHOW, Verb.TRY):
            continue
        path = endpoint.path.format(version="latest", tenant="default")
        headers = dict(dialect.key_styles[0].attach(Secret("wrong")))
        answer = await house.client.request(endpoint.method, path, json={}, headers=headers)
        assert answer.status_code == 429
        assert int(answer.headers["retry-after"]) >= 1
        with pytest.raises(Unavailable):
            dialect.unwrap(answer.status_code, answer.json())


@pytest.mark.parametrize("path", ["/digitanium/v4/login", "/realms/default/protocol/openid-connect/token"])
async def test_a_token_endpoint_too(house: House, path: str):
    for number in range(FAILED_LOGINS.at_once):
        await guess(house, f"wrong-{number}", 1)
    answer = await house.client.post(path, data={"grant_type": "password", "username": "x", "password": "wrong"})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    signed_in = await house.client.post("/sign-in", data={"key": "wrong"})
    assert (signed_in.status_code, signed_in.headers["retry-after"]) == (429, "1")


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.9", ["203.0.113.5"], "192.0.2.9"),  # no proxy of ours: whoever it is wrote that himself
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["203.0.113.5"], "203.0.113.5"),
        ("10.0.0.1", ["198.51.100.1, 203.0.113.5"], "203.0.113.5"),
        ("10.0.0.1", ["198.51.100.1", "203.0.113.5, 10.0.0.2"], "203.0.113.5"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["203.0.113.5, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("10.0.0.1", [""], "10.0.0.1"),
    ],
)
def test_behind_trusted_proxies_the_address_is_the_last_that_they_vouch_for(
    peer: str, forwarded: list[str], address: str
):
    class App:
        class state:
            surroundings = Surroundings(trusted_proxies=(ip_network("10.0.0.0/8"),))

    headers = [(b"x-forwarded-for", each.encode()) for each in forwarded]
    scope = {"type": "http", "app": App, "client": (peer, 1), "headers": headers, "method": "GET", "path": "/"}
    assert address_of(Request(scope)) == address


# Test mails

KEYFACTOR = {"Host": "127.0.0.1", "SenderAccount": "noreply@postroom.test", "SenderName": ""}
KEYCLOAK = {"host": "127.0.0.1", "from": "noreply@postroom.test"}


@pytest.fixture
def sink():
    with Sink() as sink:
        yield sink


def test_what_is_taken_is_never_more_than_the_rate_says():
    """10,000 test calls at one moment, from as many keys as there are."""
    from postroom.domain.access import EVERYTHING, Caller
    from postroom.domain.address import Address
    from postroom.domain.tenant import Tenant

    rates, tenant = Rates(Clock()), Tenant(1, "t", "T", 0)
    to = [Address.parse(f"User{number % 3}@Example.com", "to") for number in range(10_000)]
    taken = 0
    for number in range(10_000):
        try:
            rates.test_mail(Caller(str(number), "k", 1, EVERYTHING), tenant, to[number])
        except TooMany:
            continue
        taken += 1
    assert taken == TEST_MAILS.at_once


async def keyfactor(house: House, port: int, to: str) -> httpx2.Response:
    body = KEYFACTOR | {"Port": port, "TestRecipient": to}
    return await house.client.post("/KeyfactorAPI/SMTP/Test", json=body, headers=house.admin)


async def keycloak(house: House, port: int, key: str) -> httpx2.Response:
    return await house.client.post(
        "/admin/realms/default/testSMTPConnection", json=KEYCLOAK | {"port": str(port)},
        headers={"authorization": f"Bearer {key}"},
    )  # fmt: skip


@pytest.mark.campaign
async def test_ten_thousand_test_calls_send_at_most_the_bucket(house: House, sink: Sink):
    await many(house, sink, 10_000)


async def test_test_calls_in_every_way_send_at_most_the_bucket(house: House, sink: Sink):
    await many(house, sink, 200)


async def many(house: House, sink: Sink, calls: int) -> None:
    """Keyfactor's and Keycloak's way and DocSpace's job, all to one recipient, however it is written."""
    answer = await house.client.post("/v1/keys", json={"name": "me", "email": "me@example.com"}, headers=house.admin)
    mine = answer.json()["key"]
    statuses: dict[int, int] = {}
    for number in range(calls):
        way = number % 3
        if way == 0:
            answer = await keyfactor(
                house, sink.port, ("me@example.com", "Me@Example.COM", "ME@example.com")[number % 9 // 3]
            )
        elif way == 1:
            answer = await keycloak(house, sink.port, mine)
        else:
            answer = await house.client.get("/api/2.0/smtpsettings/smtp/test", headers={"authorization": mine})
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1
        if answer.status_code == 429:
            assert int(answer.headers["retry-after"]) > 0
    assert 0 < len(sink.mails) <= TEST_MAILS_TO_ONE.at_once
    assert sum(count for status, count in statuses.items() if status != 429) <= TEST_MAILS_TO_ONE.at_once
    assert statuses[429] >= calls - TEST_MAILS_TO_ONE.at_once


async def test_a_test_mail_goes_again_when_time_has_passed(house: House, sink: Sink, clock: Clock):
    while (answer := await keyfactor(house, sink.port, "me@example.com")).status_code == 200:
        assert len(sink.mails) <= TEST_MAILS_TO_ONE.at_once
    assert answer.status_code == 429
    assert answer.json()["ErrorCode"] == "0xA0110006"
    assert (await keyfactor(house, sink.port, "another@example.com")).status_code == 200
    clock.now += int(answer.headers["retry-after"])
    assert (await keyfactor(house, sink.port, "me@example.com")).status_code == 200
    assert len(sink.mails) == TEST_MAILS_TO_ONE.at_once + 2


async def test_another_tenant_has_its_own(house: House, sink: Sink):
    for number in range(TEST_MAILS.at_once):
        assert (await keyfactor(house, sink.port, f"u{number}@example.com")).status_code == 200
    assert (await keyfactor(house, sink.port, "one-more@example.com")).status_code == 429
    await house.tenant("acme")
    key = await house.key(tenant="acme")
    body = KEYFACTOR | {"Port": sink.port, "TestRecipient": "one-more@example.com"}
    answer = await house.client.post("/KeyfactorAPI/SMTP/Test", json=body, headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 200


async def test_a_test_mail_goes_only_to_whom_the_filter_allows(house: House, sink: Sink):
    profile = await house.client.patch(
        "/v1/profiles/default", json={"recipient_filter": "*@company.example"}, headers=house.admin
    )
    assert profile.status_code == 200, profile.text
    assert (await keyfactor(house, sink.port, "me@example.com")).status_code == 400
    assert (await keyfactor(house, sink.port, "me@company.example")).status_code == 200
    assert [mail.recipients for mail in sink.mails] == [("me@company.example",)]
