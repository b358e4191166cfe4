"""The laws of design section 3, on every registered dialect."""

import json
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postroom.dialects import ALL
from postroom.dialects.dialect import Asked, Dialect, Endpoint, Standing, Verb
from postroom.domain.problems import Invalid, Problem, Unavailable
from postroom.domain.profile import KEEP, Auth, Profile, Security, apply
from postroom.domain.secret import Secret
from postroom.store.space import DiskFull
from serving import House

each_dialect = pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)

PASSWORD = "kanarienvogel-4711"
names = st.from_regex(r"[a-z][a-z0-9-]{0,20}[a-z0-9]\.(example|test)", fullmatch=True)
addresses = st.builds("{}@{}".format, st.from_regex(r"[a-z][a-z0-9.]{0,10}[a-z0-9]", fullmatch=True).filter(
    lambda local: ".." not in local), names)  # fmt: skip


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    """Profiles as dialects meet them: with a sender, and with or without everything else."""
    auth = draw(st.sampled_from(Auth))
    return Profile(
        host=draw(names),
        port=draw(st.integers(1, 65535)),
        security=draw(st.sampled_from(Security)),
        auth=auth,
        username=draw(st.text("abc@.\\ ", min_size=1, max_size=12).filter(str.strip).map(str.strip))
        if auth is not Auth.NONE
        else None,
        token_url="https://login.example/token" if auth is Auth.OAUTH2 else None,
        client_id="client" if auth is Auth.OAUTH2 else None,
        sender_address=draw(addresses),
        sender_name=draw(st.none() | st.just("Ops")),
        reply_to_address=draw(st.none() | addresses),
        envelope_sender=draw(st.none() | addresses),
        recipient_filter=draw(st.none() | st.just("*@email.com, ops@*.example")),
        verify_certificate=draw(st.booleans()),
    )


def every_problem() -> Iterator[type[Problem]]:
    waiting = [Problem]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if kind is not Problem:
            yield kind


def made(kind: type[Problem]) -> Problem:
    if issubclass(kind, DiskFull):
        return kind()
    return kind("host", "This can't be so.") if issubclass(kind, Invalid) else kind("This can't be so.")


def as_json(body: Any) -> Any:
    """What comes out at the other end of a wire."""
    return json.loads(json.dumps(body))


@each_dialect
@given(profile=profiles())
def test_what_is_written_reads_back(dialect: Dialect, profile: Profile):
    written = as_json(dialect.write(profile))
    there = apply(profile, dialect.read(written))
    assert as_json(dialect.write(there)) == written


@each_dialect
@given(profile=profiles())
def test_what_the_dialect_has_no_words_for_survives_it(dialect: Dialect, profile: Profile):
    said = dialect.read(as_json(dialect.write(profile)))
    there = apply(profile, said)
    changed = {name for name in Profile.__slots__ if getattr(profile, name) != getattr(there, name)}
    assert changed <= set(said.settings())
    # What it can only say coarsely (one flag for two kinds of TLS, one for all kinds of login) it says alike again.
    assert apply(there, dialect.read(as_json(dialect.write(there)))) == there


@each_dialect
@given(profile=profiles())
def test_a_reply_never_holds_the_secret(dialect: Dialect, profile: Profile):
    for endpoint in (*shows(dialect), *saves(dialect)):
        assert PASSWORD not in json.dumps(dialect.reply(endpoint, Asked(), Standing(profile)).body)
    assert PASSWORD not in json.dumps(dialect.write(profile))


@each_dialect
@given(profile=profiles())
def test_silence_keeps_the_secret(dialect: Dialect, profile: Profile):
    assert dialect.read(as_json(dialect.write(profile))).password is KEEP
    said = dialect.read(as_json(dialect.write(profile, Secret(PASSWORD))))
    # Without login a product may have no place for a password; the stored one is then no business of its.
    without_login = profile.auth is Auth.NONE and said.password is KEEP
    assert without_login or said.password == Secret(PASSWORD)


@each_dialect
@given(profile=profiles())
def test_the_mirror_rule_a_field_that_comes_back_as_shown_is_no_change(dialect: Dialect, profile: Profile):
    mirrored = dialect.change(dialect.read(as_json(dialect.write(profile))), profile)
    assert mirrored.settings() == {}
    assert apply(profile, mirrored) == profile


@each_dialect
@given(profile=profiles())
def test_what_others_keep_for_themselves_survives_it(dialect: Dialect, profile: Profile):
    kept = {"another": {"field": 1}}
    before = replace(profile, extras=kept | {dialect.name: {"field": 2}})
    said = replace(dialect.read(as_json(dialect.write(profile))), extras={dialect.name: {"field": 3}})
    assert apply(before, dialect.change(said, before)).extras == kept | {dialect.name: {"field": 3}}


@each_dialect
@pytest.mark.parametrize("kind", list(every_problem()), ids=lambda kind: kind.__name__)
def test_every_problem_has_a_reply_in_the_products_envelope(dialect: Dialect, kind: type[Problem]):
    reply = dialect.refuse(made(kind))
    assert 400 <= reply.status < 600
    with pytest.raises(Unavailable):
        dialect.unwrap(reply.status, as_json(reply.body))


@each_dialect
@given(profile=profiles())
def test_what_reply_wraps_unwrap_undoes(dialect: Dialect, profile: Profile):
    for endpoint in shows(dialect):
        reply = dialect.reply(endpoint, Asked(headers=dialect.dial_headers), Standing(profile))
        assert dialect.read(dialect.unwrap(reply.status, as_json(reply.body))) == dialect.shown(profile)


@each_dialect
@pytest.mark.parametrize("body", [None, [], "text", 7, True])
def test_a_body_that_is_no_object_is_invalid(dialect: Dialect, body: Any):
    with pytest.raises(Invalid):
        dialect.fields(Asked(body=body))


def saves(dialect: Dialect) -> list[Endpoint]:
    return [endpoint for endpoint in dialect.endpoints if endpoint.verb is Verb.SAVE]


def shows(dialect: Dialect) -> list[Endpoint]:
    return [endpoint for endpoint in dialect.endpoints if endpoint.verb is Verb.SHOW]


def path(endpoint: Endpoint, tenant: str = "default") -> str:
    return endpoint.path.format(version="latest", tenant=tenant)


def body_of(answer: httpx2.Response) -> Any:
    return answer.json() if answer.content else None


async def stored(house: House, headers: dict[str, str]) -> Profile:
    """What was understood, in our own words; and away with it."""
    shown = (await house.client.get("/v1/profiles/default", headers=headers)).json()
    assert (await house.client.delete("/v1/profiles/default", headers=headers)).status_code == 204
    said = {each.name: shown[each.name] for each in fields(Profile) if each.name in shown}
    return Profile(**said | {"security": Security(shown["security"]), "auth": Auth(shown["auth"])})


PROFILE = Profile(
    host="smtp.dialled.example", port=587, security=Security.STARTTLS, auth=Auth.PASSWORD, username="mailer",
    sender_address="noreply@dialled.example",
)  # fmt: skip


@each_dialect
async def test_we_can_dial_what_we_serve(dialect: Dialect, house: House):
    await house.tenant("fresh")
    key, body = Secret(await house.key(tenant="fresh")), dialect.write(PROFILE, Secret(PASSWORD))
    native = {"authorization": f"Bearer {key.reveal()}"}
    for style in dialect.key_styles:
        headers = dict(style.attach(key))
        for save in saves(dialect):
            for show in shows(dialect) or [None]:
                answer = await house.client.request(save.method, path(save, "fresh"), json=body, headers=headers)
                assert answer.status_code == save.status, answer.text
                told = [dialect.unwrap(answer.status_code, body_of(answer))]  # which may be nothing
                if show is not None:
                    answer = await house.client.request(show.method, path(show, "fresh"), headers=headers)
                    told.append(dialect.unwrap(answer.status_code, answer.json()))
                    assert PASSWORD not in answer.text
                    assert told[-1]
                assert [apply(None, dialect.read(each)) for each in told if each] == [PROFILE for each in told if each]
                assert await stored(house, native) == PROFILE


@each_dialect
async def test_a_wrong_key_is_refused_in_the_products_words_and_changes_nothing(dialect: Dialect, house: House):
    before = await house.profile()
    for save in saves(dialect):
        for headers in ({}, *(dict(style.attach(Secret("wrong"))) for style in dialect.key_styles)):
            body = dialect.write(PROFILE, Secret(PASSWORD))
            answer = await house.client.request(save.method, path(save), json=body, headers=headers)
            assert answer.status_code == 401
            with pytest.raises(Unavailable):
                dialect.unwrap(answer.status_code, answer.json())
    assert await house.profile() == before


@each_dialect
async def test_a_key_without_the_permission_reads_but_does_not_write(dialect: Dialect, house: House):
    key = Secret(await house.key("settings:read"))
    before = await house.profile()
    headers = dict(dialect.key_styles[0].attach(key))
    for save in saves(dialect):
        answer = await house.client.request(save.method, path(save), json=dialect.write(PROFILE), headers=headers)
        assert answer.status_code == 403
    for show in shows(dialect):
        assert (await house.client.request(show.method, path(show), headers=headers)).status_code == 200
    assert await house.profile() == before


@each_dialect
async def test_a_tenant_reads_and_writes_only_its_own(dialect: Dialect, house: House):
    await house.tenant("acme")
    ours, before = Secret(await house.key(tenant="acme")), await house.profile()
    save, style = saves(dialect)[0], dialect.key_styles[0]
    body = dialect.write(PROFILE, Secret(PASSWORD))
    own = path(save, "acme")
    answer = await house.client.request(save.method, own, json=body, headers=dict(style.attach(ours)))
    assert answer.status_code == save.status
    assert await house.profile() == before
    others = [(own, {"x-postroom-tenant": other}) for other in ("default", "nobody")]
    others += [
        (path(each, other), {}) for each in saves(dialect) for other in ("default", "nobody") if "{tenant}" in each.path
    ]
    answers = [
        await house.client.request(save.method, where, json=body, headers=dict(style.attach(ours)) | more)
        for where, more in others
    ]
    assert {each.status_code for each in answers} == {404}
    assert len({each.text for each in answers}) == 1
    assert await house.profile() == before


@each_dialect
async def test_its_openapi_document_and_its_page_are_served_offline(dialect: Dialect, house: House):
    page = await house.client.get(f"/docs/{dialect.name}")
    assert page.status_code == 200
    assert "http://" not in page.text.replace("http://postroom.test", "")
    assert "https://" not in page.text
    document = (await house.client.get(f"/docs/{dialect.name}/openapi.json")).json()
    for endpoint in dialect.endpoints:
        assert endpoint.method.lower() in document["paths"][endpoint.path]


@each_dialect
async def test_within_its_territory_every_answer_is_in_its_envelope(dialect: Dialect, house: House):
    for prefix in dialect.territory:
        for method in ("GET", "POST", "DELETE", "PATCH"):
            answer: httpx2.Response = await house.client.request(method, f"{prefix}/no/such/path")
            assert answer.status_code in (401, 404)
            with pytest.raises(Unavailable):
                dialect.unwrap(answer.status_code, answer.json())
