"""A stored secret goes nowhere but where it was entered for: whichever field moves it, whichever way the change comes,
whatever stands in the secret's place. The oracle are the listeners: what they hear, not what Postroom says."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from attacks.destinations import FIELDS, PASSWORD, REFRESH, Case, Home, body_in, cases, secrets_in, ways
from attacks.listening import Elsewhere, elsewhere
from cli.conftest import Cli
from postroom.dialects import ALL
from postroom.dialects.dialect import Verb
from postroom.domain.destination import DESTINATION_FIELDS
from postroom.domain.profile import Profile
from postroom.domain.secret import Secret
from serving import ADMIN_KEY, Server, eventually
from smtp.moods import OFFERS, Mood, Relay, open_relay
from smtp.tokens_from import Issuer, open_issuer, token

GREEDY = Mood(offers=(*OFFERS, "AUTH PLAIN LOGIN NTLM XOAUTH2"))
CHANGING = ("revision", "changed_at", "changed_by", "dialect", "trouble", "rests_until")
TOO_MANY = 429
EVERY = 13  # one of so many cases in plain tests; the forms of a secret come in fives


def on(host: str, mood: Mood) -> Any:
    return open_relay(mood, host)


@dataclass
class Scene:
    server: Server
    cli: Cli
    relays: tuple[Relay, ...]
    issuers: tuple[Issuer, ...]
    home: Home
    key: str  # of the tenant, with an address that test mails go to

    def heard(self) -> int:
        """Logins and requests for tokens, at anybody."""
        logins = sum(line.upper().startswith("AUTH") for relay in self.relays for line in list(relay.heard))
        return logins + sum(len(issuer.forms) for issuer in self.issuers)

    def profile(self) -> dict[str, Any]:
        shown = self.server.client.get("/v1/profiles/default").json()
        return {name: value for name, value in shown.items() if name not in CHANGING}

    def check(self) -> None:
        assert self.server.client.post("/v1/profiles/default/check", json={}).status_code == 200

    def put_back(self, login: str) -> dict[str, Any]:
        body = settings_of(self.home.base(login)) | {"password": PASSWORD}
        body |= {"refresh_token": REFRESH} if login == "sign-in" else {}
        answer = self.server.client.put("/v1/profiles/default", json=body)
        assert answer.status_code == 200, answer.text
        return self.profile()


def settings_of(profile: Profile) -> dict[str, Any]:
    return {name: getattr(profile, name) for name in Profile.__slots__ if name != "extras"}


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with elsewhere() as place, contextlib.ExitStack() as stack:
        relay = place.open(on("127.0.0.1", GREEDY))
        twin = place.open(at_port(place, "127.0.0.2", relay.port))
        other = place.open(on("127.0.0.1", GREEDY))
        issuers = [place.open(open_issuer(token("an-access-token"))) for _ in range(2)]
        home = Home(relay.port, issuers[0].url, "127.0.0.2", other.port, issuers[1].url)
        directory = tmp_path_factory.mktemp("destinations")
        server = stack.enter_context(Server(directory, module="attacks.uncounted", plaintext_auth="127.0.0.0/8"))
        key = server.client.post("/v1/keys", json={"name": "mine", "email": "me@home.example"}).json()["key"]
        cli = Cli({"POSTROOM_URL": server.url, "POSTROOM_KEY": ADMIN_KEY})
        yield Scene(server, cli, (relay, twin, other), tuple(issuers), home, key)


@contextlib.asynccontextmanager
async def at_port(place: Elsewhere, host: str, port: int) -> Any:
    """The same port on another of this machine's addresses."""
    import asyncio

    from smtp.moods import Recorder

    relay = Relay(GREEDY)
    relay.port = port

    def visited() -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(Recorder(relay.got), relay.receive)

    server = await asyncio.get_running_loop().create_server(visited, host, port)
    try:
        yield relay
    finally:
        server.close()
        await relay.stop()


def ask(scene: Scene, case: Case, tmp: Any) -> bool:
    """Whether the change was taken (or the test mail sent)."""
    base = scene.home.base(case.login)
    changed = replace(base, **{case.field: scene.home.elsewhere(case.field)})
    native = secrets_in(case.form, case.login, case.field)
    client, path = scene.server.client, "/v1/profiles/default"
    match case.way.kind:
        case "PUT":
            return client.put(path, json=settings_of(changed) | native).is_success
        case "PATCH":
            return client.patch(path, json={case.field: getattr(changed, case.field)} | native).is_success
        case "check":
            typed = {"settings": {case.field: getattr(changed, case.field)} | native}
            return client.post(f"{path}/check", json=typed).is_success
        case "import":
            assert case.way.dialect
            return client.put(
                f"{path}/from/{case.way.dialect.name}", json=body_in(case.way, changed, case.form)
            ).is_success
        case "command line":
            return by_options(scene, case, changed, tmp)
        case "command line, --from-json":
            file = tmp / "change.json"
            file.write_text(json.dumps({case.field: getattr(changed, case.field)} | native))
            return scene.cli("profile", "set", "--from-json", str(file)).code == 0
        case "command line, --from":
            assert case.way.dialect
            file = tmp / "change.json"
            file.write_text(json.dumps(body_in(case.way, changed, case.form)))
            return scene.cli("profile", "set", "--from", case.way.dialect.name, str(file)).code == 0
        case _:
            return as_the_product_does(scene, case, changed)


def by_options(scene: Scene, case: Case, changed: Profile, tmp: Any) -> bool:
    value = getattr(changed, case.field)
    authorities = tmp / "authorities.pem"
    authorities.write_text("PEM")
    option = {
        "verify_certificate": ["--no-verify"], "ca_certificates": ["--ca-file", str(authorities)],
    }.get(case.field, [f"--{case.field.replace('_', '-')}", str(value)])  # fmt: skip
    secret = {
        "absent": ([], ""), "null": (["--no-password"], ""), "empty": (["--password-stdin"], ""),
        "mask": (["--password-stdin"], "*" * 10), "right": (["--password-stdin"], PASSWORD),
    }[case.form]  # fmt: skip
    if case.form == "right" and (case.login == "sign-in" or case.field == "token_grant"):
        file = tmp / "secrets.json"  # stdin can be read once
        file.write_text(json.dumps({"password": PASSWORD, "refresh_token": REFRESH}))
        secret = (["--from-json", str(file)], "")
    return scene.cli("profile", "set", *option, *secret[0], stdin=secret[1]).code == 0


def as_the_product_does(scene: Scene, case: Case, changed: Profile) -> bool:
    dialect, endpoint = case.way.dialect, case.way.endpoint
    assert dialect
    assert endpoint
    said = body_in(case.way, changed, case.form)
    if case.way.version == " 1":
        said = {name: _flat(value) for name, value in said.items() if name not in ("ClientId", "ClientSecret",
                "TokenEndpoint", "Scope", "Audience", "RequestHeaders")}  # fmt: skip
    headers = dict(dialect.key_styles[0].attach(Secret(scene.key)))
    headers |= {name: case.way.version.strip() for name in dialect.dial_headers if "version" in name}
    if endpoint.verb is Verb.TRY:
        said = {"TestRecipient": "me@home.example", **said.get("smtpServer", said)}
    path = endpoint.path.format(version="latest", tenant="default")
    answer = scene.server.client.request(endpoint.method, path, json=said, headers=headers)
    assert answer.status_code != TOO_MANY, "a case that is refused for its number shows nothing"
    return answer.is_success


def _flat(value: Any) -> Any:
    return value.get("SecretValue") if isinstance(value, dict) else value


def says_all_secrets(case: Case) -> bool:
    """No product has a word for a refresh token."""
    return case.way.dialect is None or case.login != "sign-in"


def reaches(case: Case) -> bool:
    """Whether the secret, entered anew, can be heard at the new destination: these relays offer no TLS, and what is
    no certificate is found before anything is dialled."""
    by_flag = case.way.dialect is not None and case.field == "security"
    return says_all_secrets(case) and not by_flag and case.field != "ca_certificates"


def run(scene: Scene, case: Case, tmp: Any, before: dict[str, Any]) -> str:
    """What went wrong; nothing when nothing did."""
    earlier = scene.heard()
    taken = ask(scene, case, tmp)
    tried = scene.heard() - earlier
    after = scene.profile()
    moved = any(after[name] != before[name] for name in DESTINATION_FIELDS)
    right = case.form == "right"
    arrives = right and reaches(case)
    if case.way.tries_without_saving:
        if after != before:
            return "a test changed the settings"
        return "" if (tried > 0) is arrives else f"the secret was shown {tried} times"
    if tried:
        return "a save dialled"
    if right and says_all_secrets(case) and not (taken and moved):
        return f"with the right secret it was not taken: {after}"
    if not right and moved and (after["password_set"] or after["refresh_token_set"]):
        return "the secret moved"
    if moved or taken:
        scene.check()
        if moved and (scene.heard() > earlier) is not arrives:
            return f"after the change the secret was shown {scene.heard() - earlier} times"
    return ""


def campaign(scene: Scene, chosen: list[Case], tmp: Any) -> list[str]:
    wrong, login, before = [], "", {}
    for case in sorted(chosen, key=lambda case: case.login):
        if case.login != login or scene.profile() != before:
            login, before = case.login, scene.put_back(case.login)
        found = run(scene, case, tmp, before)
        if found:
            wrong.append(f"{case.title}: {found}")
    return wrong


def test_every_field_that_says_where_a_secret_goes_has_a_row():
    assert set(FIELDS) == set(DESTINATION_FIELDS), "say in destinations.py what an attacker would put there"


def test_every_way_of_every_dialect_is_tried(scene: Scene):
    named = {(way.dialect, way.kind) for way in ways() if way.dialect}
    for dialect in ALL:
        verbs = {each.verb.name for each in dialect.endpoints} & {"SAVE", "TRY"}
        assert {(dialect, verb) for verb in verbs} <= named
    assert len(list(cases(scene.home))) >= 1000


def test_no_secret_is_shown_where_it_was_not_entered_for(scene: Scene, tmp_path: Any):
    every = list(cases(scene.home))
    assert campaign(scene, every[::EVERY], tmp_path) == []


@pytest.mark.campaign
def test_no_secret_is_shown_where_it_was_not_entered_for_in_full(scene: Scene, tmp_path: Any):
    every = list(cases(scene.home))
    assert campaign(scene, every, tmp_path) == []


def test_mail_waits_without_its_secret_and_goes_out_when_it_is_given_again(scene: Scene):
    """The product that clears a secret whose destination changed: nothing is shown to the new one, nothing is lost."""
    scene.put_back("password")
    keycloak = next(dialect for dialect in ALL if dialect.clear_if_moved)
    moved = replace(scene.home.base("password"), port=scene.home.attackers_port)
    client = scene.server.client
    earlier = scene.heard()
    assert client.put(f"/v1/profiles/default/from/{keycloak.name}", json=keycloak.write(moved)).is_success
    assert not scene.profile()["password_set"]
    sent = client.post("/v1/messages", json={"to": ["x@there.example"], "text": "x"}).json()

    def delivery() -> Any:
        return client.get(f"/v1/messages/{sent['id']}").json()["deliveries"][0]

    eventually(lambda: client.get("/v1/profiles/default").json()["trouble"], what="an attempt")
    assert (scene.heard(), delivery()["state"]) == (earlier, "waiting")
    assert client.patch("/v1/profiles/default", json={"password": PASSWORD}).is_success
    eventually(lambda: delivery()["state"] == "sent", what="delivery")
    assert scene.heard() > earlier


def test_where_nothing_moves_the_secret_stays_and_logs_in(scene: Scene):
    for way in ways():
        if way.dialect is None or way.tries_without_saving:
            continue
        scene.put_back("password")
        same = replace(scene.home.base("password"), sender_name="Renamed")
        said = scene.server.client.put(f"/v1/profiles/default/from/{way.dialect.name}", json=way.dialect.write(same))
        assert said.is_success, said.text
        earlier = scene.heard()
        scene.check()
        assert scene.heard() > earlier, way.title
