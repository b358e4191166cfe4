"""A secret that was handed in turns up nowhere again: not in an answer, a page, a log, a file or a process's
surroundings, whoever made a mistake or whatever a relay says back."""

import contextlib
import json
import re
import sqlite3
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpx2
import pytest

from attacks.canaries import MARK, canary, files_under, found_in, planted
from attacks.listening import elsewhere
from cli.conftest import Cli
from postroom.dialects import ALL
from postroom.dialects.dialect import Verb
from postroom.domain.profile import Auth, Profile
from postroom.domain.secret import Secret
from postroom.web.pages.visit import COOKIE
from serving import ADMIN_KEY, Server, eventually
from smtp.moods import OFFERS, Mood, Relay, Visit, open_relay
from smtp.tokens_from import Issuer, answer, open_issuer

UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
OFFERED = (*OFFERS, "AUTH PLAIN LOGIN XOAUTH2")


def parrot(code: bytes) -> Any:
    """Says what it heard of the login: the last line, and what it says under its base64."""

    async def act(visit: Visit) -> bytes:
        logins = [line for line in visit.relay.heard if line.upper().startswith("AUTH")]
        said = (logins or visit.relay.heard or ["nothing"])[-1]
        line = code + b" 5.7.8 you said " + said.encode() + b"\r\n"
        await visit.say(line)
        return line

    return act


async def takes_and_tells(visit: Visit) -> bytes:
    line = b"235 2.7.0 welcome: " + visit.relay.heard[-1].encode() + b"\r\n"
    await visit.say(line)
    return line


PARROTS: dict[str, Mood] = {  # by the moment at which they repeat what they heard
    "AUTH": Mood({"AUTH": parrot(b"535")}, OFFERED),
    "AUTH, later": Mood({"AUTH": parrot(b"454")}, OFFERED),
    "welcome": Mood({"AUTH": takes_and_tells}, OFFERED),
    "MAIL": Mood({"MAIL": parrot(b"550")}, OFFERED),
    "RCPT": Mood({"RCPT": parrot(b"550")}, OFFERED),
    "DATA": Mood({"DATA": parrot(b"554")}, OFFERED),
    "dot": Mood({"dot": parrot(b"554")}, OFFERED),
    "taken": Mood({"dot": parrot(b"250")}, OFFERED),
    "greeting of the next": Mood(
        {"greeting": (b"220 relay.test\r\n", parrot(b"554")), "MAIL": b"451 later\r\n"}, OFFERED
    ),
    "EHLO of the next": Mood({"EHLO": (b"250-relay.test\r\n250 AUTH PLAIN\r\n", parrot(b"550"))}, OFFERED),
}


@dataclass
class Scene:
    server: Server
    cli: Cli
    relays: dict[str, Relay]
    issuer: Issuer
    heard: list[tuple[str, bytes]] = field(default_factory=list)  # every answer
    keys: list[str] = field(default_factory=list)

    def ask(self, method: str, path: str, **said: Any) -> httpx2.Response:
        answered = self.server.client.request(method, path, **said)
        self.heard.append((f"{method} {path}", repr(answered.headers.raw).encode() + b"\n" + answered.content))
        return answered

    def tenant(self, name: str) -> dict[str, str]:
        return {"x-postroom-tenant": name}

    def everything(self) -> Iterator[tuple[str, bytes]]:
        yield from self.heard
        yield from (("the command line", text.encode()) for text in self.cli.seen)
        yield "the log", self.server.log.read_bytes()
        yield from files_under(self.server.data_dir / "data")
        process = Path(f"/proc/{self.server.running()['pid']}")
        yield "the process's environment", (process / "environ").read_bytes()
        yield "the process's command line", (process / "cmdline").read_bytes()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with elsewhere() as place, contextlib.ExitStack() as stack:
        relays = {name: place.open(open_relay(mood)) for name, mood in PARROTS.items()}

        async def repeats(writer: Any) -> None:
            said = json.dumps(issuer.forms[-1])
            writer.write(answer(400, error="invalid_client", error_description=f"you said {said}"))
            await writer.drain()

        issuer = place.open(open_issuer(repeats))
        directory = tmp_path_factory.mktemp("canaries")
        server = stack.enter_context(Server(directory, module="attacks.uncounted", plaintext_auth="127.0.0.0/8"))
        cli = Cli({"POSTROOM_URL": server.url, "POSTROOM_KEY": ADMIN_KEY})
        yield Scene(server, cli, relays, issuer)


def settings(scene: Scene, n: int) -> dict[str, Any]:
    """Profile `n`: at one parrot or another, with a password, a client's secret or a sign-in."""
    names = list(scene.relays)
    common = {"host": "127.0.0.1", "port": scene.relays[names[n % len(names)]].port, "username": "mailer",
              "sender_address": f"us{n}@home.example"}  # fmt: skip
    if n % 5 == 3:
        return common | {"auth": "oauth2", "token_url": scene.issuer.url, "client_id": "us",
                         "password": canary("client", n), "token_client_auth": ("body", "basic")[n % 2]}  # fmt: skip
    if n % 5 == 4:
        return common | {"auth": "oauth2", "token_url": scene.issuer.url, "client_id": "us", "token_grant":
                         "refresh_token", "refresh_token": f"refresh-{MARK}-{n}"}  # fmt: skip
    mechanism = ("PLAIN", "LOGIN", None)[n % 3]
    return common | {"auth": "password", "mechanism": mechanism, "password": canary("password", n)}


def wrong_bodies(n: int) -> Iterator[Any]:
    """Mistakes with a secret in them."""
    secret = canary("mistake", n)
    yield {"content": f'{{"host": "x", "password": "{MARK}{n}'}
    yield {"content": f"{MARK}: {MARK}"}
    yield {"content": MARK.encode("utf-16")}
    yield {"json": {"host": "x.example", "password": {"value": secret}}}
    yield {"json": {"host": "x.example", "password": [secret]}}
    yield {"json": {"host": "x.example", "port": secret}}
    yield {"json": {"host": "x.example", "auth": secret, "password": secret}}
    yield {"json": {"host": "x.example", "pasword": secret}}
    yield {"json": {"host": "x.example", "auth": "password", "username": "u", "password": secret + "\0"}}
    yield {"json": {"host": "x.example", "auth": "password", "username": "u", "password": MARK * 500}}
    yield {"json": {"host": "x.example", "token_url": f"http://user:{MARK}@127.0.0.1:1/token"}}
    yield {"json": {"host": "x.example", "mechanism": secret, "auth": "password", "password": secret}}
    yield {"json": [secret]}
    yield {"json": secret}
    yield {"data": {"host": "x.example", "password": secret}}


def live(scene: Scene, count: int) -> None:
    """Every interface, in the right way and in wrong ones."""
    for n in range(count):
        slug = f"c{n}"
        there = scene.tenant(slug)
        assert scene.ask("POST", "/v1/tenants", json={"slug": slug}).status_code == 201
        body = settings(scene, n)
        made = scene.ask("POST", "/v1/profiles", json=body | {"name": "default"}, headers=there)
        assert made.status_code == 201, made.text
        for path in ("/v1/profiles", "/v1/profiles/default", *(f"/v1/profiles/default/as/{d.name}" for d in ALL)):
            scene.ask("GET", path, headers=there)
        scene.ask("POST", "/v1/profiles/default/check", json={"recipient": "a@b.example"}, headers=there)
        scene.ask("PATCH", "/v1/profiles/default", json={"port": 9}, headers=there)
        scene.ask("POST", "/v1/messages", json={"to": [f"x{n}@there.example"], "text": "x"}, headers=there)
        speak(scene, n, slug, there)
        if n % 3 == 0:
            click(scene, n, slug)
        if n % 25 == 0:
            for wrong in wrong_bodies(n):
                for method, path in places():
                    scene.ask(method, path, **wrong, headers=there)
            command(scene, n, slug)
    for n in range(count):
        eventually(lambda n=n: seen(scene, n), what=f"an attempt of c{n}", within=60)


def places() -> Iterator[tuple[str, str]]:
    yield from (("PUT", "/v1/profiles/default"), ("PATCH", "/v1/profiles/default"), ("POST", "/v1/profiles"))
    for dialect in ALL:
        yield "PUT", f"/v1/profiles/default/from/{dialect.name}"
        for endpoint in {each.verb: each for each in dialect.endpoints}.values():
            if endpoint.body is not None:
                yield endpoint.method, endpoint.path.format(version="latest", tenant="default", realm="default")


def speak(scene: Scene, n: int, slug: str, there: dict[str, str]) -> None:
    """Each product's own words: show, save with a secret, and try."""
    dialect = ALL[n % len(ALL)]
    made = scene.server.client.post("/v1/keys", json={"name": "k", "email": "me@home.example"}, headers=there).json()
    scene.keys.append(made["key"])
    headers = dict(dialect.key_styles[0].attach(Secret(made["key"])))
    profile = Profile(host="127.0.0.1", port=settings(scene, n)["port"], auth=Auth.PASSWORD, username="mailer",
                      sender_address="us@home.example", sender_name="Us")  # fmt: skip
    for endpoint in {each.verb: each for each in dialect.endpoints}.values():
        path = endpoint.path.format(version="latest", tenant=slug, realm=slug)
        said = dialect.write(profile, Secret(canary("dialect", n)))
        if endpoint.verb is Verb.TRY:
            said = {"TestRecipient": "me@home.example", **said.get("smtpServer", said)}
        if endpoint.verb in (Verb.TOKEN, Verb.RESET):
            continue  # a token is the answer that is asked for
        scene.ask(endpoint.method, path, json=said if endpoint.body else None, headers=headers)
    for moved in (replace(profile, port=9), replace(profile, auth=Auth.NTLM)):
        body = dialect.write(moved, Secret(canary("moved", n)))
        scene.ask("PUT", f"/v1/profiles/default/from/{dialect.name}", json=body, headers=there)
    scene.ask("PUT", "/v1/profiles/default", json=settings(scene, n), headers=there)


def click(scene: Scene, n: int, slug: str) -> None:
    """The console's pages, with the right form and with mistakes in it."""
    typed = {name: str(value) for name, value in settings(scene, n).items() if value is not None}
    revision = scene.ask("GET", "/v1/profiles/1", headers=scene.tenant(slug)).json()["revision"]
    right = typed | {"name": "Console", "revision": str(revision)}
    wrong = right | {"port": "x", "password": canary("form", n), "refresh_token": f"form-{MARK}-{n}"}
    for form in (right, wrong, wrong | {"port": "9"}, wrong | {"use": canary("use", n)}, wrong | {"send": "yes"}):
        for accept in ("text/html", "text/event-stream"):
            page(scene, "POST", "/profiles/1/check", slug, data=form, headers={"accept": accept})
        page(scene, "POST", "/profiles/new/check", slug, data=form)
        page(scene, "POST", "/profiles/new?preset=gmail", slug, data=wrong)
        page(scene, "POST", "/profiles/1", slug, data=form)
    page(scene, "POST", "/profiles/1", slug, data=right | {"password": canary("late", n)})  # overtaken by the others
    for path in ("/", "/profiles", "/profiles/1", "/profiles/1/revisions", "/profiles/1/revisions/1",
                 *(f"/profiles/1/as/{dialect.name}" for dialect in ALL)):  # fmt: skip
        assert page(scene, "GET", path, slug).status_code == 200, path


def page(scene: Scene, method: str, path: str, slug: str, **said: Any) -> httpx2.Response:
    said["headers"] = said.get("headers", {}) | {"cookie": f"{COOKIE}={ADMIN_KEY}"}
    return scene.ask(method, path, **said, params={"tenant": slug, **({"preset": "gmail"} if "?" in path else {})})


def command(scene: Scene, n: int, slug: str) -> None:
    mine = scene.cli.of(slug)
    mine("profile", "set", "--password-stdin", stdin=canary("command", n))
    mine("profile", "set", "--port", "0", "--password-stdin", stdin=canary("command", n))
    for arguments in (("profile", "show"), ("profile", "show", "--json"), ("profile", "list"), ("check",),
                      ("messages", "list"), ("key", "list")):  # fmt: skip
        mine(*arguments)
    scene.ask("PUT", "/v1/profiles/default", json=settings(scene, n), headers=scene.tenant(slug))


def seen(scene: Scene, n: int) -> bool:
    """Whether the tenant's mail was tried, and is shown with all that was said."""
    there = scene.tenant(f"c{n}")
    for each in scene.ask("GET", "/v1/messages", headers=there).json()["messages"]:
        shown = scene.ask("GET", f"/v1/messages/{each['id']}", headers=there).json()
        profile = scene.ask("GET", "/v1/profiles/default", headers=there).json()
        if not shown["deliveries"][0]["tries"] and not profile["trouble"]:
            return False
    return True


def crash(scene: Scene) -> None:
    """A handler comes upon something that it did not expect, with a secret in its hands."""
    database = next((scene.server.data_dir / "data").glob("*.db"), None) or next(
        path for path in (scene.server.data_dir / "data").iterdir() if path.read_bytes()[:6] == b"SQLite"
    )
    with contextlib.closing(sqlite3.connect(database, timeout=30)) as other:
        for table in ("revision", "audit"):
            other.execute(f"ALTER TABLE {table} RENAME TO gone")
            other.commit()
            answers = [
                scene.ask("PUT", "/v1/profiles/default", json=settings(scene, 0) | {"password": canary("crash", n)})
                for n in range(3)
            ]
            answers += [
                scene.ask("PUT", f"/v1/profiles/default/from/{dialect.name}", json=dialect.write(
                    Profile(host="127.0.0.1", auth=Auth.PASSWORD, username="u", sender_address="a@b.example",
                            sender_name="x"), Secret(canary("crash", 9))))
                for dialect in ALL
            ]  # fmt: skip
            other.execute(f"ALTER TABLE gone RENAME TO {table}")
            other.commit()
            assert any(each.status_code == 500 for each in answers), "nothing crashed"


def pages(scene: Scene) -> None:
    for name in ("v1", *(dialect.name for dialect in ALL)):
        scene.ask("GET", f"/docs/{name}")
        scene.ask("GET", f"/docs/{name}/openapi.json")
    for path in ("/", "/docs", "/sandbox", "/metrics", "/healthz", "/readyz", "/v1/status", "/v1/keys", f"/{MARK[:4]}"):
        scene.ask("GET", path, headers={"x-postroom-tenant": "c0"})
    for n in range(len(PARROTS)):
        visit_mail(scene, f"c{n}")
    key = visit_keys(scene, "c0")
    for path in ("/keys", "/keys/new", f"/keys/{key}", "/audit", "/audit/verification", "/tenants"):
        assert seen_in_console(scene, "GET", path, "c0").status_code == 200, path
    for path in ("/keys?scope=installation", "/audit?scope=all", "/audit/verification?scope=all"):
        assert seen_in_console(scene, "GET", path, "c0").status_code == 200, path


def visit_mail(scene: Scene, slug: str) -> None:
    """Each message with its transcripts."""
    for each in scene.ask("GET", "/v1/messages", headers=scene.tenant(slug)).json()["messages"]:
        assert seen_in_console(scene, "GET", f"/messages/{each['id']}", slug).status_code == 200
        seen_in_console(scene, "POST", f"/messages/{each['id']}/retry", slug)
    for path in ("/messages", "/messages?state=waiting", "/sandbox", "/sandbox/nothing", "/messages/nothing"):
        seen_in_console(scene, "GET", path, slug)


def visit_keys(scene: Scene, slug: str) -> str:
    """Make a key and give it another value; neither answer counts, for there the value is shown. Its id."""
    as_admin = {"cookie": f"{COOKIE}={ADMIN_KEY}"}
    form = {"name": "console", "once": "0" * 26, "life": "", "mail:read": "on"}
    posts: tuple[tuple[str, dict[str, str]], ...] = (
        ("/keys", form), (f"/keys/{form['once']}/rotate", {"turn": "", "overlap": "3600"}),
    )  # fmt: skip
    for path, said in posts:
        shown = scene.server.client.post(path, params={"tenant": slug}, data=said, headers=as_admin)
        assert shown.status_code == 200, shown.text
        scene.keys += UUID.findall(shown.text)
        seen_in_console(scene, "POST", path, slug, data=said)  # the same once more shows nothing
    assert len(set(scene.keys[-2:])) == 2
    return form["once"]


def seen_in_console(scene: Scene, method: str, path: str, slug: str, **said: Any) -> httpx2.Response:
    path, _, query = path.partition("?")
    params = dict(parse_qsl(query)) | {"tenant": slug}
    return scene.ask(method, path, params=params, headers={"cookie": f"{COOKIE}={ADMIN_KEY}"}, **said)


def leaks(scene: Scene) -> list[str]:
    starts, places, whole = list[int](), list[str](), bytearray()
    for where, content in scene.everything():
        starts.append(len(whole))
        places.append(where)
        whole += content + b"\n"
    return [f"{places[bisect(starts, at) - 1]}: {how}" for at, how in found_in(bytes(whole), MARK, *scene.keys)]


def run(scene: Scene, count: int) -> None:
    live(scene, count)
    crash(scene)
    pages(scene)
    said = b"".join(bytes(relay.got) for relay in scene.relays.values())
    assert found_in(said), "no relay has heard a password: nothing was tried"
    assert scene.issuer.forms, "no token endpoint was asked"
    assert leaks(scene) == []


@pytest.mark.parametrize("writing", planted(canary("x", 1)))
def test_the_search_finds_what_was_planted(writing: str):
    for number in range(12):  # whatever stands before it
        assert found_in(b"\x00 noise " * number + planted(canary("k" * number, number))[writing] + b" noise")
    assert not found_in(b"nothing of the kind")


def test_no_secret_is_found_anywhere(scene: Scene):
    run(scene, 50)


@pytest.mark.campaign
def test_no_secret_is_found_anywhere_in_full(scene: Scene):
    run(scene, 1000)
