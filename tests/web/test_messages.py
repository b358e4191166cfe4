"""/v1/messages: what is taken, what is answered, what is never taken twice. Nothing is delivered here."""

import asyncio
import base64
from typing import Any

import pytest

from postroom.web import bodies
from serving import House, without_id

MAIL = {"to": ["ann@email.com"], "subject": "Hello", "text": "It works."}


async def send(house: House, body: Any, **headers: str) -> Any:
    return await house.client.post("/v1/messages", json=body, headers=house.admin | headers)


async def stored(house: House) -> list[Any]:
    return list((await house.client.get("/v1/messages", headers=house.admin)).json()["messages"])


async def filter_to(house: House, patterns: str) -> None:
    await house.client.patch("/v1/profiles/default", json={"recipient_filter": patterns}, headers=house.admin)


async def test_an_accepted_mail_is_answered_with_its_deliveries(house: House):
    answer = await send(house, MAIL)
    assert answer.status_code == 202
    body = answer.json()
    assert list(body) == ["id", "state", "deliveries"]
    assert body["state"] == "waiting"
    assert body["deliveries"] == [{"recipient": "ann@email.com", "state": "waiting"}]
    shown = (await house.client.get(f"/v1/messages/{body['id']}", headers=house.admin)).json()
    assert (shown["subject"], shown["from"], shown["profile"]) == ("Hello", "postroom@localhost", 1)


async def test_a_recipient_outside_the_filter_is_recorded_and_the_others_go_on(house: House):
    await filter_to(house, "*@email.com")
    body = (await send(house, MAIL | {"cc": ["bob@other.example"], "bcc": ["Eve@EMAIL.com"]})).json()
    assert [(each["recipient"], each["state"]) for each in body["deliveries"]] == [
        ("ann@email.com", "waiting"), ("bob@other.example", "filtered"), ("Eve@email.com", "waiting"),
    ]  # fmt: skip
    assert body["state"] == "waiting"
    all_filtered = (await send(house, MAIL | {"to": ["bob@other.example"]})).json()
    assert all_filtered["state"] == "filtered"


async def test_a_recipient_named_twice_gets_one_mail(house: House):
    body = (await send(house, MAIL | {"to": ["Ann@email.com", "ann@EMAIL.com"], "cc": ["ann@email.com"]})).json()
    assert len(body["deliveries"]) == 1


async def test_a_list_is_accepted_whole(house: House):
    answer = await send(house, [MAIL, MAIL | {"to": [{"address": "bob@email.com", "name": "Bob"}]}])
    assert answer.status_code == 202
    assert [each["deliveries"][0]["recipient"] for each in answer.json()] == ["ann@email.com", "bob@email.com"]
    assert len(await stored(house)) == 2


async def test_a_list_with_one_bad_mail_is_refused_whole(house: House):
    answer = await send(house, [MAIL, MAIL | {"to": ["nobody"]}])
    assert (answer.status_code, answer.json()["field"]) == (400, "[1].to[0]")
    bad_header = await send(house, [MAIL, MAIL | {"subject": "a\r\nBcc: x@evil.example"}])
    assert (bad_header.status_code, bad_header.json()["field"]) == (400, "[1].subject")
    assert await stored(house) == []


@pytest.mark.parametrize("count", [0, 501])
async def test_a_list_has_1_to_500_mails(house: House, count: int):
    assert (await send(house, [MAIL] * count)).status_code == 400


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"to": []}, "to"),
        ({"to": "ann@email.com"}, "to"),
        ({"to": [7]}, "to[0]"),
        ({"to": ["ann@email.com", "ann"]}, "to[1]"),
        ({"to": ["Ann <ann@email.com>"]}, "to[0]"),
        ({"to": ["ann@email.com,bob@email.com"]}, "to[0]"),
        ({"to": [{"name": "Ann"}]}, "to[0].address"),
        ({"to": [{"address": "ann@email.com", "name": "A\nB"}]}, "to[0].name"),
        ({"cc": ["x@y@z"]}, "cc[0]"),
        ({"from": "nobody"}, "from"),
        ({"from": {"address": "a@b.example", "name": "x\r\ny"}}, "from.name"),
        ({"reply_to": "x"}, "reply_to"),
        ({"subject": "a\nb"}, "subject"),
        ({"subject": "x" * 999}, "subject"),
        ({"headers": {"Bcc": "eve@evil.example"}}, "headers.Bcc"),
        ({"headers": {"X-A": "a\r\nBcc: x"}}, "headers.X-A"),
        ({"headers": {"X A": "a"}}, "headers"),
        ({"attachments": [{"filename": "a", "content": "%%%"}]}, "attachments[0].content"),
        ({"attachments": [{"filename": "a\n", "content": ""}]}, "attachments[0].filename"),
        ({"attachments": [{"filename": "a", "content": "", "content_type": "text"}]}, "attachments[0].content_type"),
        ({"attachments": [{"filename": "a", "content": "QQ"}]}, "attachments[0].content"),
        ({"attachments": [{"filename": "a", "content": "Q Q="}]}, "attachments[0].content"),
        ({"attachments": [{"filename": "a", "content": 7}]}, "attachments[0].content"),
        ({"attachments": [{"filename": "a"}]}, "attachments[0].content"),
        ({"attachments": [{"filename": "a", "path": "/etc/passwd"}]}, "attachments[0].content"),
        ({"attachments": [{"filename": "a", "content": "", "path": "/etc/passwd"}]}, "attachments[0].path"),
        ({"attachments": [{"filename": "a", "content": "", "href": "http://x.example"}]}, "attachments[0].href"),
        ({"attachments": [{"filename": "a", "content": "", "content_id": "a"}]}, "attachments[0].content_id"),
        (
            {"html": "x", "attachments": [{"filename": "a", "content": "", "content_id": "<a>"}]},
            "attachments[0].content_id",
        ),
        (
            {"html": "x", "attachments": [{"filename": "a", "content": "", "content_id": "a"}] * 2},
            "attachments[1].content_id",
        ),
        ({"attachments": [{"filename": "a", "content": ""}] * 51}, "attachments"),
        ({"profile": 77}, "profile"),
        ({"expires_in": 0}, "expires_in"),
        ({"expires_in": 99_999_999}, "expires_in"),
        ({"on_doubt": "guess"}, "on_doubt"),
        ({"bccc": []}, "bccc"),
        ({"text": 5}, "text"),
        ({"to": [f"r{n}@email.com" for n in range(101)]}, "to"),
    ],
)
async def test_a_bad_field_is_named_and_nothing_is_kept(house: House, change: dict[str, Any], field: str):
    answer = await send(house, MAIL | change)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["field"] == field
    assert "evil" not in answer.text
    assert await stored(house) == []


async def test_the_same_key_and_body_get_the_same_answer_and_one_mail(house: House):
    key = {"idempotency-key": "order-4711"}
    answers = [await send(house, MAIL, **key) for _ in range(3)]
    assert {each.status_code for each in answers} == {202}
    assert len({each.text for each in answers}) == 1
    assert len(await stored(house)) == 1


async def test_the_same_key_at_the_same_time_is_one_mail(house: House):
    answers = await asyncio.gather(*(send(house, MAIL, **{"idempotency-key": "order-4711"}) for _ in range(20)))
    assert len({each.text for each in answers}) == 1
    assert len(await stored(house)) == 1


async def test_the_same_key_with_another_body_is_a_conflict(house: House):
    await send(house, MAIL, **{"idempotency-key": "order-4711"})
    answer = await send(house, MAIL | {"subject": "Other"}, **{"idempotency-key": "order-4711"})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert len(await stored(house)) == 1


async def test_the_same_key_of_another_tenant_is_another_key(house: House):
    await house.tenant("acme")
    theirs = {"authorization": f"Bearer {await house.key(tenant='acme')}", "idempotency-key": "order-4711"}
    await house.client.put(
        "/v1/profiles/default", json={"host": "a.example", "sender_address": "x@a.example"}, headers=theirs
    )
    await send(house, MAIL, **{"idempotency-key": "order-4711"})
    other = await house.client.post("/v1/messages", json=MAIL | {"subject": "Theirs"}, headers=theirs)
    assert other.status_code == 202


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_an_unusable_idempotency_key_is_refused(house: House, key: str):
    answer = await send(house, MAIL, **{"idempotency-key": key})
    assert (answer.status_code, answer.json()["field"]) == (400, "Idempotency-Key")


async def test_a_full_mail_is_taken(house: House):
    body = MAIL | {
        "to": [{"address": "ann@email.com", "name": "Änn"}], "cc": ["bob@email.com"], "bcc": ["eve@email.com"],
        "html": "<p>It works.</p>", "from": {"address": "shop@email.com", "name": "The Shop"},
        "reply_to": "help@email.com", "headers": {"X-Order": "4711", "List-Unsubscribe": "<mailto:off@email.com>"},
        "attachments": [{"filename": "Übersicht.pdf", "content_type": "application/pdf",
                         "content": base64.b64encode(b"%PDF").decode()}],
        "expires_in": 3600, "on_doubt": "hold",
    }  # fmt: skip
    answer = await send(house, body)
    assert answer.status_code == 202
    shown = (await house.client.get(f"/v1/messages/{answer.json()['id']}", headers=house.admin)).json()
    assert (shown["from"], shown["on_doubt"], len(shown["deliveries"])) == ("shop@email.com", "hold", 3)


async def test_a_picture_in_the_html_is_kept_where_the_html_finds_it(house: House):
    logo = {"filename": "logo.png", "content_type": "image/png", "content": "iVBORw==", "content_id": "logo.png"}
    body = MAIL | {"html": '<img src="cid:logo.png">', "attachments": [logo]}
    message = (await send(house, body)).json()["id"]
    content = await house.content(message)
    assert content is not None
    assert b"Content-Type: multipart/related" in content
    assert b"Content-ID: <logo.png>" in content


async def test_a_mail_of_25_mib_is_taken(house: House):
    octets = 25 * 1024 * 1024
    file = {"filename": "a", "content": base64.b64encode(bytes(octets)).decode()}
    answer = await send(house, MAIL | {"attachments": [file]})
    assert answer.status_code == 202, answer.text
    assert (await stored(house))[0]["size"] > octets * 4 // 3


async def test_a_request_that_is_too_large_is_told_what_may_be_sent(house: House):
    answer = await send(house, MAIL | {"text": "x" * (bodies.MAIL_OCTETS + 1)})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert "40 MiB" in answer.json()["detail"]
    assert await stored(house) == []


async def test_without_a_sender_anywhere_the_from_field_is_asked_for(house: House):
    await house.client.patch("/v1/profiles/default", json={"sender_address": None}, headers=house.admin)
    answer = await send(house, MAIL)
    assert (answer.status_code, answer.json()["field"]) == (400, "from")
    assert (await send(house, MAIL | {"from": "a@b.example"})).status_code == 202


async def test_in_a_long_list_too_the_mail_is_named_that_cannot_be_so(house: House):
    await house.client.patch("/v1/profiles/default", json={"sender_address": None}, headers=house.admin)
    mails = [MAIL | {"from": "a@b.example"}] * 230 + [MAIL] + [MAIL | {"from": "a@b.example"}] * 69
    answer = await send(house, mails)
    assert (answer.status_code, answer.json()["field"]) == (400, "[230].from")
    assert await stored(house) == []


async def test_a_short_list_need_not_wait_for_all_of_a_long_one(house: House):
    ended: list[int] = []

    async def hand_in(count: int) -> None:
        assert (await send(house, [MAIL] * count)).status_code == 202
        ended.append(count)

    await asyncio.gather(hand_in(500), hand_in(500), hand_in(2))
    assert ended[0] == 2


async def test_messages_are_found_by_state_recipient_and_page(house: House):
    await filter_to(house, "*@email.com")
    for n in range(5):
        await send(house, MAIL | {"to": [f"r{n}@email.com"], "subject": str(n)})
    await send(house, MAIL | {"to": ["x@other.example"]})

    async def found(query: str) -> Any:
        return (await house.client.get(f"/v1/messages?{query}", headers=house.admin)).json()

    assert len((await found("state=filtered"))["messages"]) == 1
    assert [each["subject"] for each in (await found("recipient=r3@EMAIL.com"))["messages"]] == ["3"]
    first = await found("limit=4")
    rest = await found(f"limit=4&before={first['next']}")
    assert [len(first["messages"]), len(rest["messages"])] == [4, 2]
    assert rest["next"] is None
    assert (await house.client.get("/v1/messages?limit=0", headers=house.admin)).json()["field"] == "limit"
    assert (await house.client.get("/v1/messages?state=lost", headers=house.admin)).json()["field"] == "state"


async def test_cancelling_takes_back_what_waits_once(house: House):
    message = (await send(house, MAIL)).json()["id"]
    cancelled = await house.client.post(f"/v1/messages/{message}/cancel", headers=house.admin)
    assert cancelled.json()["state"] == "cancelled"
    again = await house.client.post(f"/v1/messages/{message}/cancel", headers=house.admin)
    assert again.status_code == 409
    back = await house.client.post(f"/v1/messages/{message}/retry", headers=house.admin)
    assert back.json()["state"] == "waiting"


async def test_another_tenants_message_looks_like_none(house: House):
    message = (await send(house, MAIL)).json()["id"]
    await house.tenant("acme")
    theirs = {"authorization": f"Bearer {await house.key(tenant='acme')}"}
    for method, path in (("GET", ""), ("POST", "/cancel"), ("POST", "/retry")):
        other = await house.client.request(method, f"/v1/messages/{message}{path}", headers=theirs)
        unknown = await house.client.request(method, f"/v1/messages/{'0' * 26}{path}", headers=theirs)
        assert (other.status_code, without_id(other)) == (404, without_id(unknown))
    assert (await house.client.get("/v1/messages", headers=theirs)).json()["messages"] == []


async def test_permissions_are_asked_for_one_by_one(house: House):
    reader = {"authorization": f"Bearer {await house.key('mail:read')}"}
    sender = {"authorization": f"Bearer {await house.key('mail:send')}"}
    message = (await house.client.post("/v1/messages", json=MAIL, headers=sender)).json()["id"]
    assert (await house.client.get(f"/v1/messages/{message}", headers=sender)).status_code == 403
    assert (await house.client.get(f"/v1/messages/{message}", headers=reader)).status_code == 200
    assert (await house.client.post(f"/v1/messages/{message}/cancel", headers=reader)).status_code == 403
    refused = await house.client.post("/v1/messages", json=MAIL, headers=reader)
    assert (refused.status_code, refused.json()["code"]) == (403, "denied")
    assert "mail:send" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ({"notify": ["failure", "delay", "failure"], "return": "headers"},
         {"notify": ["failure", "delay"], "return": "headers"}),
        ({"notify": ["never"]}, {"notify": ["never"], "return": None}),
        ({}, {"notify": [], "return": None}),
        (None, None),
    ],
)  # fmt: skip
async def test_the_reports_that_are_asked_for_are_kept_with_the_message(house: House, said: Any, kept: Any):
    message = (await send(house, MAIL | {"dsn": said})).json()["id"]
    shown = (await house.client.get(f"/v1/messages/{message}", headers=house.admin)).json()
    assert shown["dsn"] == kept


@pytest.mark.parametrize(
    ("dsn", "field"),
    [
        ({"notify": ["never", "delay"]}, "dsn.notify"),
        ({"notify": ["sometimes"]}, "dsn.notify[0]"),
        ({"notify": "failure"}, "dsn.notify"),
        ({"return": "half"}, "dsn.return"),
        ({"ret": "full"}, "dsn.ret"),
    ],
)
async def test_reports_that_can_not_be_asked_for_are_refused(house: House, dsn: Any, field: str):
    refused = await send(house, MAIL | {"dsn": dsn})
    assert (refused.status_code, refused.json()["field"]) == (400, field)
