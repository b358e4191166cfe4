"""Twenty tenants, each with the others' names, numbers and ids in its hands: it reads nothing of theirs, writes
nothing, and is told of what is not its own exactly what it is told of what does not exist."""

import itertools
import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.routing import Route

from attacks.operations import NATIVE, OPERATIONS, Operation, filled
from postroom.dialects import ALL
from postroom.domain.secret import Secret
from postroom.store import caught
from postroom.store.ids import new_id
from postroom.web.pages import (
    as_dialect,
    audit,
    checks,
    keys,
    messages,
    overview,
    profiles,
    revisions,
    sandbox,
    tenants,
)
from postroom.web.pages.visit import COOKIE
from serving import House, a_house, without_id

HOME = "postroom.test"
PROFILES = 20  # of the odd tenants; the even ones have one, and make a few: the others' numbers are none of theirs
NOBODY: dict[str, Any] = {"tenant": "nobody0", "profile": 77, "recipient": "nobody0@nobody.example"}


@dataclass(frozen=True)
class Party:
    """A tenant and everything that names something of it. `marker` is in all that it has."""

    tenant: str
    marker: str
    credential: str
    places: dict[str, Any]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with a_house(tmp_path, public_url=f"http://{HOME}") as house:
        yield house


async def settle(house: House, number: int) -> Party:
    slug, marker = f"tenant{number}", f"mark{number}x"
    await house.tenant(slug)
    there = house.admin | {"x-postroom-tenant": slug}
    for n in range(PROFILES if number % 2 else 1):
        said = {"name": f"{marker}-{n}", "host": "127.0.0.1", "port": 9, "sender_address": f"a@{marker}.example",
                "auth": "password", "username": marker, "password": f"secret-{marker}"}  # fmt: skip
        assert (await house.client.post("/v1/profiles", json=said, headers=there)).status_code == 201
    made, spare = [  # the spare one is there to be revoked
        (
            await house.client.post("/v1/keys", json={"name": marker, "email": f"k@{marker}.example"}, headers=there)
        ).json()
        for _ in range(2)
    ]
    mail = {"to": [f"r@{marker}.example"], "subject": marker, "text": marker}
    sent = await house.client.post("/v1/messages", json=mail, headers=there | {"idempotency-key": "the-same"})
    id_ = await keep_caught(house, slug, marker)
    places = {
        "number": 1, "tenant": slug, "profile": PROFILES, "message": sent.json()["id"], "key": spare["id"],
        "mail": id_, "recipient": f"r@{marker}.example", "fresh": new_id(number),
    }  # fmt: skip
    return Party(slug, marker, made["key"], places)


async def keep_caught(house: House, slug: str, marker: str) -> str:
    """A mail in the sandbox, as it caught one of the tenant's."""
    there = house.admin | {"x-postroom-tenant": slug}
    message = (await house.client.get("/v1/messages", headers=there)).json()["messages"][0]
    content = (
        f"Message-ID: <{message['id']}@{marker}.example>\r\nSubject: {marker}\r\nMIME-Version: 1.0\r\n"
        f"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{marker}\r\n--b\r\n"
        f"Content-Disposition: attachment; filename={marker}\r\n\r\n{marker}\r\n--b--\r\n"
    ).encode()
    new = caught.NewCaught(1, f"a@{marker}.example", (f"r@{marker}.example",), marker, content)
    await house.postroom.database.fold(caught.Keeping(house.postroom.vault), new)
    found = (await house.client.get("/v1/sandbox/messages", headers=there)).json()["messages"]
    assert len(found) == 1, "the sandbox's mail is not the tenant's"
    return str(found[0]["id"])


async def settled(house: House, count: int) -> list[Party]:
    return [await settle(house, number) for number in range(count)]


def headers_of(operation: Operation, party: Party) -> dict[str, str]:
    if operation.is_page:
        return {"cookie": f"{COOKIE}={party.credential}"}
    style = (
        operation.dialect.key_styles[0]
        if operation.dialect
        else next(each for dialect in ALL for each in dialect.key_styles if getattr(each, "scheme", "") == "Bearer")
    )
    endpoint_key = {"apikey": party.credential} if operation.path == "/auth/apikey" else {}
    return {**style.attach(Secret(party.credential)), **endpoint_key}


@dataclass(frozen=True)
class Case:
    """What stranger asks as the key of `asker`; `like` is the same about what does not exist."""

    operation: Operation
    how: str
    headers: dict[str, str]
    places: dict[str, Any]
    like: "tuple[dict[str, str], dict[str, Any]] | None"


def beside(id_: str) -> str:
    """An id of the same age and form that nobody has."""
    return id_[:-1] + ("1" if id_[-1] == "0" else "0")


def cases(operation: Operation, asker: Party, victim: Party) -> Iterator[Case]:
    own = asker.places | {"profile": 1, "credential": asker.credential}
    nothing = own | NOBODY | {name: beside(victim.places[name]) for name in ("message", "key", "mail")}

    def said(tenant: str) -> dict[str, dict[str, str]]:
        return {
            "X-Postroom-Tenant": {"x-postroom-tenant": tenant},
            "Host": {"host": f"{tenant}.{HOME}"},
            "X-Forwarded-Host": {"x-forwarded-host": f"{tenant}.{HOME}", "forwarded": f"host={tenant}.{HOME}"},
        }

    for how in said(""):
        like = (said("nobody0")[how], own)
        yield Case(operation, how, said(victim.tenant)[how], own, like)
    for name in ("tenant", "profile", "message", "key", "mail", "recipient"):
        if "{" + name + "}" in repr(operation) and (name != "profile" or victim.places[name] != asker.places["count"]):
            yield Case(operation, name, {}, own | {name: victim.places[name]}, ({}, own | {name: nothing[name]}))
    all_at_once = [{"x-postroom-tenant": slug, "host": f"{slug}.{HOME}"} for slug in (victim.tenant, "nobody0")]
    yield Case(operation, "everything", all_at_once[0], own | victim.places, (all_at_once[1], nothing))


async def asked(house: House, case: Case, asker: Party, headers: dict[str, str], places: dict[str, Any]) -> Any:
    operation = case.operation
    return await house.client.request(
        operation.method, filled(operation.path, places), params=filled(operation.query, places),
        json=filled(operation.json, places) if operation.json is not None else None,
        data=filled(operation.form, places) if operation.form is not None else None,
        headers=headers_of(operation, asker) | headers,
    )  # fmt: skip


async def all_of(house: House, party: Party) -> str:
    """Everything that the tenant has, as the operator sees it."""
    there = house.admin | {"x-postroom-tenant": party.tenant}
    parts = []
    for path in ("profiles", f"messages/{party.places['message']}", "messages", "keys", "sandbox/messages"):
        parts.append((await house.client.get(f"/v1/{path}", headers=there)).json())
    for key in parts[3]["keys"]:
        key.pop("last_used_at")
    return json.dumps(parts)


def shape(answer: httpx2.Response, places: dict[str, Any], headers: dict[str, str]) -> Any:
    """Status and body, less what was said in the question."""
    text = re.sub(r'"request_id": "[^"]*"', "", answer.text)  # another one each time
    words = sorted({*map(str, places.values()), *(value for value in headers.values())}, key=len, reverse=True)
    for word in words:
        if len(word) > 3:
            text = text.replace(word, "…")
    return answer.status_code, text


async def campaign(house: House, count: int, every: int) -> int:
    """Each tenant against the next, every `every`th case; the number of cases."""
    parties = await settled(house, count)
    for party in parties:
        party.places["count"] = len(await _profiles(house, party))
    done = 0
    for n, asker in enumerate(parties):
        victim = parties[(n + 1) % count]
        before = await all_of(house, victim)
        everything = [case for operation in OPERATIONS for case in cases(operation, asker, victim)]
        for case in itertools.islice(everything, n % every, None, every):
            await try_one(house, case, asker, victim)
            done += 1
        made = len(await _profiles(house, asker)) - int(asker.places["count"])
        assert n % 2 or made < PROFILES - 1, "it has a profile of the victim's number itself now"
        assert await all_of(house, victim) == before, f"{asker.tenant} changed something of {victim.tenant}"
    return done


async def _profiles(house: House, party: Party) -> list[Any]:
    there = house.admin | {"x-postroom-tenant": party.tenant}
    return list((await house.client.get("/v1/profiles", headers=there)).json()["profiles"])


OWN = ("X-Forwarded-Host",)  # nobody is believed who says so: it is as if it had not been said


async def try_one(house: House, case: Case, asker: Party, victim: Party) -> None:
    answer = await asked(house, case, asker, case.headers, case.places)
    where = f"{case.operation.title} with another's {case.how}: {answer.status_code} {answer.text[:300]}"
    assert "Something went wrong" not in answer.text, where
    assert victim.marker not in answer.text.replace(case.places["recipient"], ""), where
    if (
        case.how in OWN
        or tells_its_tenant_by_address(case)
        or (case.how == "Host" and not names_its_tenant_by_host(case.operation))
    ):
        return
    assert case.like is not None
    headers, places = case.like
    same = await asked(house, case, asker, headers, places)
    assert shape(answer, case.places, case.headers) == shape(same, places, headers), where
    if case.how == "X-Postroom-Tenant" and not is_about_no_tenant(case.operation):
        assert answer.status_code == 404, where


def names_its_tenant_by_host(operation: Operation) -> bool:
    return operation.dialect is not None and operation.path.startswith("/digitanium")


def tells_its_tenant_by_address(case: Case) -> bool:
    """A page asks no header which tenant it is about."""
    return case.operation.is_page and case.how in ("X-Postroom-Tenant", "Host")


def is_about_no_tenant(operation: Operation) -> bool:
    return operation.path.startswith(("/v1/tenants", "/v1/status", "/v1/vault"))


def bare(method: str, path: str) -> tuple[str, str]:
    """A route whatever its places are called, and whichever dialect it speaks of."""
    path = re.sub(r"/(as|from)/[^/]+$", r"/\1/{}", path.replace("/latest/", "/{}/"))
    return method.upper(), re.sub(r"\{\w+\}", "{}", path)


async def test_every_route_has_a_row(house: House):
    known = {bare(each.method, each.path) for each in OPERATIONS}
    for name in ("v1", *(dialect.name for dialect in ALL)):
        document = (await house.client.get(f"/docs/{name}/openapi.json")).json()
        served = {
            bare(method, ("/v1" if name == "v1" else "") + path)
            for path, methods in document["paths"].items()
            for method in methods.keys() & {"get", "put", "post", "delete", "patch"}
        }
        assert served
        assert served - known == set(), "no row in operations.py"


def test_every_page_has_a_row():
    known = {bare(each.method, each.path) for each in OPERATIONS}
    nouns = (overview, profiles, checks, as_dialect, revisions, messages, sandbox, keys, tenants, audit)
    served = {
        bare(method, route.path.replace("{number:int}", "0"))
        for noun in nouns
        for route in noun.routes()
        if isinstance(route, Route) and not route.path.startswith("/live/")  # they never end: test_pages_messages.py
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert len(served) > 30
    assert served - known == set(), "no row in operations.py"


async def test_the_operations_work_for_whoever_they_belong_to(house: House):
    """Else a refusal would say nothing."""
    asker = (await settled(house, 2))[1]
    refused = []
    for operation in OPERATIONS:
        case = Case(operation, "own", {}, asker.places | {"credential": asker.credential}, None)
        if operation.method == "DELETE" or "{key}" in operation.path or operation.path.endswith("/delete"):
            continue
        answer = await asked(house, case, asker, {}, case.places)
        if answer.status_code >= 400 or answer.headers.get("location", "").startswith("/sign-in"):
            refused.append((operation.title, answer.status_code, answer.text[:200]))
    allowed = (
        "POST /v1/tenants",
        "GET /v1/status",
        "/v1/vault",
        "testSMTPConnection",
        "/SMTP/Test",
        "/cancel",
        "/retry",
        "/login",
        "/tenants",
    )
    assert [each for each in refused if not any(word in each[0] for word in allowed)] == []


async def test_a_tenant_gets_at_nothing_of_another(house: House):
    assert await campaign(house, 20, every=10) >= 600


@pytest.mark.campaign
async def test_a_tenant_gets_at_nothing_of_another_in_full(house: House):
    done = await campaign(house, 20, every=1)
    assert done >= 4000


async def test_the_same_idempotency_key_of_two_tenants_is_two_keys(house: House):
    one, other = await settled(house, 2)
    mail = {"to": [f"r@{one.marker}.example"], "subject": one.marker, "text": one.marker}
    answers = []
    for party in (one, other):
        headers = headers_of(NATIVE[0], party) | {"idempotency-key": "the-same"}
        answers.append(await house.client.post("/v1/messages", json=mail, headers=headers))
    assert [each.status_code for each in answers] == [202, 409]  # its own; another body than its own
    assert answers[0].json()["id"] == one.places["message"]


async def test_another_tenants_profile_is_no_failover(house: House):
    one, other = await settled(house, 2)
    assert other.places["profile"] == PROFILES
    answers = [
        await house.client.patch("/v1/profiles/1", json={"failover": number}, headers=headers_of(NATIVE[0], one))
        for number in (PROFILES, 77)
    ]
    assert [each.status_code for each in answers] == [400, 400]
    assert without_id(answers[0])["detail"].replace(f"profile {PROFILES}", "profile 77") == answers[1].json()["detail"]
