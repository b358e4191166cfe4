"""POST /v1/messages is served before FastAPI; the rest of /v1/messages, and its documentation, by it."""

import httpx2

MAIL = {"to": ["bob@good.example"], "from": "noreply@company.example", "subject": "Hello", "text": "Hello, Bob."}


async def test_a_mail_is_taken_and_found(client: httpx2.AsyncClient) -> None:
    taken = await client.post("/messages", json=MAIL)
    found = await client.get("/messages")

    assert taken.status_code == 202
    assert [each["id"] for each in found.json()["messages"]] == [taken.json()["id"]]


async def test_an_idempotency_key_is_heeded(client: httpx2.AsyncClient) -> None:
    one, other = [await client.post("/messages", json=MAIL, headers={"Idempotency-Key": "once"}) for _ in range(2)]

    assert one.json() == other.json()


async def test_problems_are_told_as_everywhere(client: httpx2.AsyncClient) -> None:
    nobody = await client.post("/messages", json=MAIL, headers={"authorization": "Bearer wrong"})
    no_tenant = await client.post("/messages", json=MAIL, headers={"X-Postroom-Tenant": "nowhere"})
    no_mail = await client.post("/messages", json={"to": [7]})

    answers = (nobody, no_tenant, no_mail)
    assert [each.status_code for each in answers] == [401, 404, 400]
    assert {each.headers["content-type"] for each in answers} == {"application/problem+json"}
    assert {each.headers["x-content-type-options"] for each in answers} == {"nosniff"}
    assert nobody.headers["www-authenticate"].startswith("Bearer")
    assert no_mail.json()["field"] == "to[0]"


async def test_other_methods_are_no_concern_of_it(client: httpx2.AsyncClient) -> None:
    assert (await client.delete("/messages")).status_code == 404  # as for any method that is not served


async def test_it_is_documented(client: httpx2.AsyncClient) -> None:
    document = (await client.get("http://test/docs/v1/openapi.json")).json()

    assert set(document["paths"]["/messages"]) == {"get", "post"}
