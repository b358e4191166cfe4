"""What holds for every answer: headers, names, nothing of a query in the log, and a bound on what is in memory."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from sqlalchemy import text
from starlette.routing import Mount, Route
from structlog.testing import capture_logs

from postroom.dialects import ALL
from postroom.web.uploads import Uploads
from serving import ADMIN_KEY, House, a_house

ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cache-control": "no-store",
}


def _paths(routes: list[Any], prefix: str = "") -> Iterator[str]:
    for each in routes:
        if isinstance(each, Mount):
            yield from _paths(list(getattr(each.app, "routes", [])) or [Route("/x", lambda: None)], prefix + each.path)
        elif path := getattr(each, "path", None):
            yield prefix + re.sub(r"\{[^}]*\}", "x", path)


def every_path(house: House) -> list[str]:
    site = house.postroom.site._site  # type: ignore[attr-defined]
    ours = _paths(site.routes)
    theirs = (re.sub(r"\{[^}]*\}", "x", each.path) for dialect in ALL for each in dialect.endpoints)
    return sorted({*ours, *theirs, "/nowhere", "/v1/nowhere", "/rest/nowhere"})


async def test_every_answer_of_every_route_carries_the_headers(house: House):
    paths = every_path(house)
    assert len(paths) > 40
    statuses = set()
    for path in paths:
        for method in ("GET", "POST", "BREW"):
            for headers in ({}, house.admin):
                answer = await house.client.request(method, path, headers=headers, content=b"{")
                statuses.add(answer.status_code)
                where = (method, path, answer.status_code)
                assert {name: answer.headers.get(name) for name in ALWAYS} == ALWAYS, where
                assert "frame-ancestors 'none'" in answer.headers["content-security-policy"], where
                assert answer.headers["x-request-id"], where
                assert "server" not in answer.headers, where
                assert "strict-transport-security" not in answer.headers, where
    assert {200, 303, 400, 401, 404} <= statuses


async def test_a_bug_and_a_body_too_large_carry_them_too(house: House):
    large = await house.client.post("/v1/profiles", content=b"x" * 300_000, headers=house.admin)
    assert large.status_code == 413
    await house.postroom.database.close()
    broken = await house.client.get("/v1/profiles", headers=house.admin)
    assert broken.status_code in (500, 503)
    for answer in (large, broken):
        assert {name: answer.headers.get(name) for name in ALWAYS} == ALWAYS


@pytest.mark.parametrize(("url", "there"), [("https://postroom.test", True), ("http://postroom.test", False)])
async def test_behind_https_no_browser_is_to_come_by_http_again(tmp_path: Path, url: str, there: bool):
    async with a_house(tmp_path, public_url=url) as house:
        for path in ("/healthz", "/nowhere", "/v1/profiles"):
            answer = await house.client.get(path)
            assert ("strict-transport-security" in answer.headers) is there


@pytest.mark.parametrize("given", ["abc-1", "0af7651916cd43dd8448eb211c80319c", "a" * 100])
async def test_the_callers_name_for_a_request_is_kept(house: House, given: str):
    with capture_logs() as logged:
        answer = await house.client.get("/v1/nowhere", headers=house.admin | {"x-request-id": given})
    assert answer.headers["x-request-id"] == given
    assert answer.json()["request_id"] == given
    assert [each["request_id"] for each in logged if each["event"] == "request"] == [given]


@pytest.mark.parametrize("given", ["", "two words", "a" * 101, "x\x1b[2J", "é", '"}', "<b>"])
async def test_what_could_do_harm_in_a_log_is_no_name(house: House, given: str):
    headers = [(b"authorization", f"Bearer {ADMIN_KEY}".encode()), (b"x-request-id", given.encode())]
    first = await house.client.get("/v1/nowhere", headers=headers)
    second = await house.client.get("/v1/nowhere", headers=headers)
    names = [each.headers["x-request-id"] for each in (first, second)]
    assert given not in names
    assert names[0] != names[1]
    assert first.json()["request_id"] == names[0]


async def test_no_query_string_reaches_the_log(house: House):
    with capture_logs() as logged:
        for path in ("/healthz", "/v1/messages", "/rest/latest/systemsettings/email", "/nowhere", "/api/2.0/x"):
            await house.client.get(f"{path}?apikey=canary-17&password=canary-17", headers=house.admin)
    assert len([each for each in logged if each["event"] == "request"]) == 5
    assert "canary-17" not in json.dumps(logged, default=repr)


# Whose address the audit gets.

PROXIES = "10.1.0.0/16,fd12::/32"


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("10.1.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("10.1.0.1", ["198.51.100.1, 203.0.113.7"], "203.0.113.7"),  # the left one anybody can have written
        ("10.1.0.1", ["198.51.100.1", "203.0.113.7"], "203.0.113.7"),
        ("10.1.0.1", ["203.0.113.7, 10.1.9.9"], "203.0.113.7"),
        ("10.1.0.1", ["203.0.113.7:4711"], "203.0.113.7"),
        ("10.1.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.1.0.1", ["10.1.0.5"], "10.1.0.5"),
        ("10.1.0.1", ["nonsense"], "10.1.0.1"),
        ("10.1.0.1", ["203.0.113.7, nonsense"], "10.1.0.1"),
        ("10.1.0.1", [], "10.1.0.1"),
        ("fd12::1", ["203.0.113.7"], "203.0.113.7"),
        ("203.0.113.9", ["198.51.100.1"], "203.0.113.9"),  # no proxy of ours
    ],
)
async def test_the_audit_has_who_asked(tmp_path: Path, peer: str, forwarded: list[str], address: str):
    async with a_house(tmp_path, trusted_proxies=PROXIES) as house:
        transport = httpx2.ASGITransport(app=house.postroom.site, client=(peer, 1))
        headers = [(b"authorization", f"Bearer {ADMIN_KEY}".encode())]
        headers += [(b"x-forwarded-for", each.encode()) for each in forwarded]
        async with httpx2.AsyncClient(transport=transport, base_url="http://postroom.test") as client:
            made = await client.post("/v1/tenants", json={"slug": "traced"}, headers=headers)
        assert made.status_code == 201

        told = await house.postroom.database.read(
            lambda connection: connection.execute(text("SELECT address FROM audit ORDER BY id DESC LIMIT 1")).scalar()
        )
        assert told == address


# Bodies in memory.


def _site(house: House, most: int) -> Any:
    site = house.postroom.site
    site._uploads = Uploads(most)  # type: ignore[attr-defined]  # the same site with less room
    return site


async def _upload(
    site: Any, pieces: "asyncio.Queue[bytes | None]", path: str = "/v1/messages"
) -> tuple[int, dict[bytes, bytes]]:
    """One POST whose body comes piece by piece, as they are put there."""
    started: dict[str, Any] = {}

    async def receive() -> dict[str, Any]:
        piece = await pieces.get()
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    async def send(message: dict[str, Any]) -> None:
        started.update(message if message["type"] == "http.response.start" else {})

    headers = [(b"authorization", f"Bearer {ADMIN_KEY}".encode()), (b"host", b"postroom.test")]
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "headers": headers,
             "query_string": b"", "client": ("127.0.0.1", 1),
             "server": ("127.0.0.1", 1), "scheme": "http", "state": {}}  # fmt: skip
    await site(scope, receive, send)
    return started["status"], dict(started["headers"])


async def test_many_large_uploads_at_once_stay_within_a_bound_and_the_rest_is_asked_to_come_again(house: House):
    site = _site(house, 1_000_000)
    queues: list[asyncio.Queue[bytes | None]] = [asyncio.Queue() for _ in range(10)]
    uploads = [asyncio.create_task(_upload(site, each)) for each in queues]
    for queue in queues:
        for _ in range(2):
            queue.put_nowait(b" " * 100_000)
    done, _ = await asyncio.wait(uploads, timeout=10, return_when=asyncio.FIRST_COMPLETED)
    assert done
    assert site._uploads.octets <= 1_000_000
    for queue in queues:
        queue.put_nowait(None)
    answers = await asyncio.gather(*uploads)
    refused = [headers for status, headers in answers if status == 503]
    assert 1 <= len(refused) < 10
    assert all(int(headers[b"retry-after"]) > 0 for headers in refused)
    assert {status for status, _ in answers} == {400, 503}
    assert site._uploads.octets == 0
    again: asyncio.Queue[bytes | None] = asyncio.Queue()
    again.put_nowait(json.dumps({"to": ["a@b.example"], "text": "x"}).encode())
    again.put_nowait(None)
    assert (await _upload(site, again))[0] == 202


async def test_a_product_hears_it_in_its_own_words(house: House):
    site = _site(house, 10)
    answer = await house.client.put(
        "/rest/latest/systemsettings/email",
        content=b"{}" + b" " * 100,
        headers={"authorization": f"APIKEY {ADMIN_KEY}"},
    )
    assert (answer.status_code, answer.json()["success"]) == (503, False)
    assert site._uploads.octets == 0
