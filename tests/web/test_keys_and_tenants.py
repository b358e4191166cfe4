"""/v1/keys, /v1/tenants, and what every answer has in common."""

from typing import Any

import pytest

from serving import ADMIN_KEY, House, without_id


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def test_a_key_is_shown_once_and_works_at_once(house: House):
    made = await house.client.post("/v1/keys", json={"name": "ci"}, headers=house.admin)
    assert made.status_code == 201
    key, tenant = made.json()["key"], made.json()["tenant"]
    assert tenant == "default"
    listed = await house.client.get("/v1/keys", headers=house.admin)
    assert key not in listed.text
    assert [each["name"] for each in listed.json()["keys"]] == ["ci"]
    assert (await house.client.get("/v1/profiles/default", headers=bearer(key))).status_code == 200


async def test_a_revoked_key_ends_at_once_together_with_its_tokens(house: House):
    made = (await house.client.post("/v1/keys", json={"name": "ci"}, headers=house.admin)).json()
    token = (await house.client.post("/auth/apikey", headers={"apikey": made["key"]})).json()["token"]
    for shown in (made["key"], token):
        assert (await house.client.get("/v1/profiles/default", headers=bearer(shown))).status_code == 200
    assert (await house.client.delete(f"/v1/keys/{made['id']}", headers=house.admin)).status_code == 204
    for shown in (made["key"], token):
        assert (await house.client.get("/v1/profiles/default", headers=bearer(shown))).status_code == 401


async def test_a_key_cannot_give_more_than_it_has(house: House):
    limited = bearer(await house.key("keys:manage", "mail:send"))
    refused = await house.client.post(
        "/v1/keys", json={"name": "x", "permissions": ["settings:write"]}, headers=limited
    )
    assert refused.status_code == 403
    made = await house.client.post("/v1/keys", json={"name": "x"}, headers=limited)
    assert made.json()["permissions"] == ["keys:manage", "mail:send"]


async def test_a_tenants_key_sees_and_revokes_only_its_tenants_keys(house: House):
    await house.tenant("acme")
    theirs = bearer(await house.key(tenant="acme"))
    ours = (await house.client.post("/v1/keys", json={"name": "ours"}, headers=house.admin)).json()["id"]
    assert {each["tenant"] for each in (await house.client.get("/v1/keys", headers=theirs)).json()["keys"]} == {"acme"}
    other = await house.client.delete(f"/v1/keys/{ours}", headers=theirs)
    unknown = await house.client.delete(f"/v1/keys/{'0' * 26}", headers=theirs)
    assert (other.status_code, without_id(other)) == (404, without_id(unknown))
    assert (
        await house.client.post("/v1/keys", json={"name": "x"}, headers=theirs | {"x-postroom-tenant": "*"})
    ).status_code == 403


async def test_tenants_are_made_by_the_installations_key_only(house: House):
    assert (await house.client.post("/v1/tenants", json={"slug": "acme"}, headers=house.admin)).status_code == 201
    twice = await house.client.post("/v1/tenants", json={"slug": "acme"}, headers=house.admin)
    assert twice.status_code == 409
    theirs = bearer(await house.key(tenant="acme"))
    assert (await house.client.post("/v1/tenants", json={"slug": "more"}, headers=theirs)).status_code == 403
    assert [each["slug"] for each in (await house.client.get("/v1/tenants", headers=theirs)).json()["tenants"]] == [
        "acme"
    ]
    assert (await house.client.get("/v1/tenants/default", headers=theirs)).status_code == 404


@pytest.mark.parametrize("slug", ["", "Acme", "-a", "a_b", "a.b", "x" * 64, "ä"])
async def test_a_tenants_slug_is_plain(house: House, slug: str):
    answer = await house.client.post("/v1/tenants", json={"slug": slug}, headers=house.admin)
    assert (answer.status_code, answer.json()["field"]) == (400, "slug")


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"authorization": ""}, {"authorization": "Bearer"}, {"authorization": "Bearer wrong"},
        {"authorization": f"Basic {ADMIN_KEY}"}, {"authorization": "Bearer " + "x" * 5000},
        {"authorization": "Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."}, {"authorization": "Bearer a.b.c"},
        {"authorization": "Bearer \xff\xfe".encode("latin-1")},
    ],
)  # fmt: skip
async def test_without_a_good_key_there_is_one_answer(house: House, headers: dict[str, Any]):
    for path in ("/v1/profiles", "/v1/messages", "/v1/keys", "/v1/tenants", "/v1/sandbox/messages"):
        answer = await house.client.get(path, headers=headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="postroom"'
        assert answer.json()["code"] == "unauthenticated"


async def test_every_answer_carries_the_security_headers(house: House):
    for path in ("/v1/profiles", "/healthz", "/sign-in", "/nothing", "/threadfix/x", "/static/postroom.css"):
        answer = await house.client.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"]


async def test_an_unknown_path_or_method_is_a_problem_document(house: House):
    for method, path in (
        ("GET", "/v1/nothing"),
        ("GET", "/nothing"),
        ("TRACE", "/v1/profiles"),
        ("PUT", "/v1/messages"),
    ):
        answer = await house.client.request(method, path, headers=house.admin)
        assert (answer.status_code, answer.json()["code"]) == (404, "no_route")


async def test_the_openapi_document_names_every_body(house: House):
    document = (await house.client.get("/docs/v1/openapi.json")).json()
    schemas = document["components"]["schemas"]
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                for choice in content["schema"].get("oneOf", [content["schema"]]):
                    if choice == {"type": "object"}:  # a product's own words, which its own document describes
                        continue
                    reference = choice.get("$ref") or choice["items"]["$ref"]
                    assert reference.rpartition("/")[2] in schemas, (path, verb)


async def test_health_is_told_without_a_key(house: House):
    assert (await house.client.get("/healthz")).json()["alive"] is True
    assert (await house.client.get("/readyz")).json()["ready"] is True
