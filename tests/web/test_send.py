"""POST /v1/messages is served before FastAPI; the rest of /v1/messages, and the documentation of all of it, by it."""

from serving import House

MAIL = {"to": ["bob@good.example"], "subject": "Hello", "text": "Hello, Bob."}


async def test_a_mail_is_taken_and_found(house: House):
    taken = await house.client.post("/v1/messages", json=MAIL, headers=house.admin)
    found = await house.client.get("/v1/messages", headers=house.admin)

    assert taken.status_code == 202
    assert [each["id"] for each in found.json()["messages"]] == [taken.json()["id"]]


async def test_problems_are_told_as_everywhere(house: House):
    nobody = await house.client.post("/v1/messages", json=MAIL, headers={"authorization": "Bearer wrong"})
    no_tenant = await house.client.post(
        "/v1/messages", json=MAIL, headers=house.admin | {"x-postroom-tenant": "nowhere"}
    )
    no_mail = await house.client.post("/v1/messages", json={"to": [7]}, headers=house.admin)

    answers = (nobody, no_tenant, no_mail)
    assert [each.status_code for each in answers] == [401, 404, 400]
    assert {each.headers["content-type"] for each in answers} == {"application/problem+json"}
    assert {each.headers["x-content-type-options"] for each in answers} == {"nosniff"}
    assert nobody.headers["www-authenticate"].startswith("Bearer")
    assert no_mail.json()["field"] == "to[0]"


async def test_other_methods_are_no_concern_of_it(house: House):
    answer = await house.client.delete("/v1/messages", headers=house.admin)

    assert answer.status_code == 404  # as for any method that is not served


async def test_it_is_documented(house: House):
    document = (await house.client.get("/docs/v1/openapi.json")).json()

    assert set(document["paths"]["/messages"]) == {"get", "post"}
