"""An issuer of tokens beside us: a real one, that serves its keys on loopback, turns them over, and goes away."""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from joserfc import jws
from joserfc.errors import SecurityWarning
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from sqlalchemy import text

import serving
from postroom import config as configuration
from postroom.actions.issuer import FRESH, PAUSE
from postroom.domain.problems import Invalid
from serving import ADMIN_KEY, House, free_port

NOW = 1_800_000_000.0
AUDIENCE = "postroom-of-acme"


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


class TheIssuer:
    """`keys` are what it lists; `asked` counts who asked for what."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}/realms/acme"
        self.keys: dict[str, Any] = {"rsa-1": RSAKey.generate_key(2048)}
        self.listed: list[Any] = []
        self.document: dict[str, Any] = {"issuer": self.url, "jwks_uri": f"{self.url}/certs"}
        self.redirects = False
        self.asked: list[str] = []
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> "TheIssuer":
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                served.asked.append(self.path)
                is_keys = self.path.endswith("/certs")
                body = json.dumps(served.jwks() if is_keys else served.document).encode()
                self.send_response(302 if served.redirects and is_keys else 200)
                if served.redirects:
                    self.send_header("location", f"{served.url}/elsewhere/certs")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def stop(self) -> None:
        if self._server:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def jwks(self) -> dict[str, Any]:
        ours = [key.as_dict(private=False) | {"kid": kid, "use": "sig"} for kid, key in self.keys.items()]
        return {"keys": self.listed + ours}

    def claims(self) -> dict[str, Any]:
        return {
            "iss": self.url, "aud": AUDIENCE, "sub": "build-7", "iat": int(NOW), "exp": int(NOW) + 300,
            "tenant": "acme", "scope": "openid settings:read settings:write",
        }  # fmt: skip

    def token(self, kid: str = "rsa-1", algorithm: str | None = None, key: Any = None, **claims: Any) -> str:
        key = key or self.keys[kid]
        fits = {"RSA": "RS256", "EC": "ES256", "OKP": "Ed25519", "oct": "HS256"}[key.key_type]
        said = {name: value for name, value in (self.claims() | claims).items() if value is not None}
        # By hand: joserfc warns of the older name of Ed25519, which issuers use.
        return _signed_by_hand(algorithm or fits, kid, said, key)


def _b64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def _signed_by_hand(algorithm: str, kid: str, claims: dict[str, Any], key: Any) -> str:
    both = f"{_b64(json.dumps({'alg': algorithm, 'kid': kid}).encode())}.{_b64(json.dumps(claims).encode())}"
    return f"{both}.{_b64(jws.JWSRegistry.algorithms[algorithm].sign(both.encode(), key))}"


@pytest.fixture
def issuer() -> Iterator[TheIssuer]:
    issuer = TheIssuer(free_port()).start()
    yield issuer
    issuer.stop()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@asynccontextmanager
async def a_house(data_dir: Path, clock: Clock, **oidc: str) -> AsyncIterator[House]:
    async with serving.a_house(data_dir, clock=clock, oidc=oidc) as house:
        await house.tenant("acme")
        yield house


@pytest.fixture
async def house(tmp_path: Path, clock: Clock, issuer: TheIssuer) -> AsyncIterator[House]:
    async with a_house(tmp_path, clock, issuer=issuer.url, audience=AUDIENCE) as house:
        yield house


async def ask(house: House, token: str, path: str = "/v1/profiles") -> httpx2.Response:
    return await house.client.get(path, headers={"authorization": f"Bearer {token}"})


async def test_a_token_gives_its_tenant_and_its_permissions_and_nothing_else(house: House, issuer: TheIssuer):
    headers = {"authorization": f"Bearer {issuer.token()}"}
    saved = await house.client.post(
        "/v1/profiles", json={"name": "x", "host": "smtp.example", "sender_address": "a@smtp.example"}, headers=headers
    )
    assert saved.status_code == 201
    assert (await house.client.get("/v1/tenants", headers=headers)).json()["tenants"][0]["slug"] == "acme"
    assert (await house.client.get("/v1/keys", headers=headers)).status_code == 403
    elsewhere = await house.client.get("/v1/profiles", headers=headers | {"x-postroom-tenant": "default"})
    assert elsewhere.status_code == 404


async def test_the_audit_names_subject_and_issuer(house: House, issuer: TheIssuer):
    headers = {"authorization": f"Bearer {issuer.token()}"}
    body = {"name": "x", "host": "smtp.example", "sender_address": "a@smtp.example"}
    assert (await house.client.post("/v1/profiles", json=body, headers=headers)).status_code == 201
    newest = text("SELECT actor FROM audit WHERE action = 'profile.saved' ORDER BY id DESC LIMIT 1")
    actor = await house.postroom.database.read(lambda connection: connection.execute(newest).scalar())
    assert actor == f"build-7 ({issuer.url})"


async def test_a_product_takes_it_too(house: House, issuer: TheIssuer):
    answer = await house.client.get("/KeyfactorAPI/SMTP", headers={"authorization": f"Bearer {issuer.token()}"})
    assert answer.status_code == 200


@pytest.mark.parametrize("kind", [RSAKey, ECKey, OKPKey])
async def test_each_algorithm_that_is_allowed(house: House, issuer: TheIssuer, kind: Any):
    size: Any = {RSAKey: 3072, ECKey: "P-256", OKPKey: "Ed25519"}[kind]
    issuer.keys["new"] = kind.generate_key(size)
    algorithm = {RSAKey: "RS256", ECKey: "ES256", OKPKey: "EdDSA"}[kind]
    assert (await ask(house, issuer.token("new", algorithm))).status_code == 200


BAD_CLAIMS: list[dict[str, Any]] = [
    {"iss": "https://evil.example"}, {"iss": None}, {"aud": "another"}, {"aud": ["another"]}, {"aud": None},
    {"aud": [AUDIENCE, 5][1:]}, {"exp": None}, {"exp": int(NOW) - 61}, {"exp": "soon"}, {"iat": None},
    {"iat": int(NOW) + 61}, {"nbf": int(NOW) + 61}, {"sub": None}, {"sub": ""}, {"sub": "a\nb"},
    {"tenant": None}, {"tenant": "nobody"}, {"tenant": "*"}, {"tenant": ["acme"]}, {"tenant": "ACME"},
]  # fmt: skip


@pytest.mark.parametrize("claims", BAD_CLAIMS, ids=str)
async def test_what_is_wrong_in_its_claims_is_refused(house: House, issuer: TheIssuer, claims: dict[str, Any]):
    assert (await ask(house, issuer.token(**claims))).status_code == 401
    assert (await ask(house, issuer.token())).status_code == 200


async def test_clocks_may_differ_by_a_minute_and_audiences_may_be_several(house: House, issuer: TheIssuer):
    for claims in ({"exp": int(NOW) - 59}, {"iat": int(NOW) + 59}, {"nbf": int(NOW) + 59}, {"aud": ["x", AUDIENCE]}):
        assert (await ask(house, issuer.token(**claims))).status_code == 200, claims


async def test_the_algorithm_is_the_keys_never_the_tokens(house: House, issuer: TheIssuer):
    public = issuer.keys["rsa-1"].as_pem(private=False)
    header, claims, _signature = _signed_by_hand("HS256", "rsa-1", issuer.claims(), OctKey.generate_key()).split(".")
    by_public_key = _b64(hmac.new(public, f"{header}.{claims}".encode(), hashlib.sha256).digest())
    for token in (
        f"{header}.{claims}.{by_public_key}",  # the classic
        issuer.token(key=RSAKey.generate_key(2048)),
        issuer.token(key=ECKey.generate_key("P-256")),
        issuer.token().rpartition(".")[0] + ".",
        issuer.token("unknown", key=issuer.keys["rsa-1"]),
    ):
        assert (await ask(house, token)).status_code == 401
    assert (await ask(house, issuer.token())).status_code == 200


async def test_keys_that_are_not_for_this_are_not_used(house: House, issuer: TheIssuer):
    with pytest.warns(SecurityWarning):
        weak = RSAKey.generate_key(1024)
    wrong = RSAKey.generate_key(2048)
    shared = OctKey.generate_key(256)
    p384 = ECKey.generate_key("P-384")
    issuer.listed = [
        None, 5, {"kty": "RSA"}, {"kid": "broken", "kty": "RSA", "n": "x" * 400, "e": 5},
        weak.as_dict(private=False) | {"kid": "weak"},
        wrong.as_dict(private=False) | {"kid": "enc", "use": "enc"},
        wrong.as_dict(private=False) | {"kid": "ops", "key_ops": None},
        wrong.as_dict(private=False) | {"kid": "ps", "alg": "PS256"},
        shared.as_dict() | {"kid": "shared"},
        p384.as_dict(private=False) | {"kid": "p384"},
    ]  # fmt: skip
    for kid, key in (("enc", wrong), ("ops", wrong), ("ps", wrong), ("shared", shared), ("weak", weak), ("p384", p384)):
        assert (await ask(house, issuer.token(kid, key=key))).status_code == 401, kid
    assert (await ask(house, issuer.token())).status_code == 200


async def test_a_new_key_is_found_and_unknown_ones_are_asked_for_once_a_minute(
    house: House, issuer: TheIssuer, clock: Clock
):
    assert (await ask(house, issuer.token())).status_code == 200
    once = len(issuer.asked)
    issuer.keys["rsa-2"] = RSAKey.generate_key(2048)
    for _ in range(20):
        assert (await ask(house, issuer.token("rsa-2"))).status_code == 401
    assert len(issuer.asked) == once
    clock.now += PAUSE + 1
    for _ in range(20):
        assert (await ask(house, issuer.token("rsa-2"))).status_code == 200
    assert len(issuer.asked) == 2 * once
    assert (await ask(house, issuer.token("rsa-1"))).status_code == 200


async def test_a_withdrawn_key_ends_within_the_hour(house: House, issuer: TheIssuer, clock: Clock):
    token = issuer.token(exp=int(NOW + 2 * FRESH))
    assert (await ask(house, token)).status_code == 200
    issuer.keys = {"rsa-2": RSAKey.generate_key(2048)}
    clock.now += FRESH + 1
    assert (await ask(house, token)).status_code == 200  # nobody waits for the renewal
    assert await refused_at_last(house, token)


async def refused_at_last(house: House, token: str) -> bool:
    deadline = time.monotonic() + 20
    while (await ask(house, token)).status_code != 401:
        assert time.monotonic() < deadline
    return True


async def test_while_the_issuer_is_away_known_keys_go_on_and_unknown_ones_wait(
    house: House, issuer: TheIssuer, clock: Clock
):
    known, later = issuer.token(exp=int(NOW + 9 * FRESH)), RSAKey.generate_key(2048)
    assert (await ask(house, known)).status_code == 200
    issuer.stop()
    clock.now += 2 * FRESH
    for _ in range(3):
        assert (await ask(house, known)).status_code == 200
        unknown = await ask(house, issuer.token("later", key=later, exp=int(NOW + 9 * FRESH)))
        assert unknown.status_code == 503
        assert int(unknown.headers["retry-after"]) > 0
    issuer.keys["later"] = later
    issuer.start()
    clock.now += PAUSE + 1
    assert (await ask(house, issuer.token("later", exp=int(NOW + 9 * FRESH)))).status_code == 200


async def test_an_issuer_that_is_away_from_the_start_keeps_nobody_else_out(tmp_path: Path, clock: Clock):
    issuer = TheIssuer(free_port())
    async with a_house(tmp_path, clock, issuer=issuer.url, audience=AUDIENCE) as house:
        assert (await ask(house, issuer.token())).status_code == 503
        assert (await ask(house, ADMIN_KEY)).status_code == 200


@pytest.mark.parametrize(
    "document",
    [{"issuer": "http://127.0.0.1:1/realms/acme"}, {"jwks_uri": None}, {"jwks_uri": "http://169.254.169.254/keys"},
     {"jwks_uri": "http://keys.example/keys"}, {"jwks_uri": "file:///etc/passwd"}],
)  # fmt: skip
async def test_a_document_that_leads_astray_is_not_followed(house: House, issuer: TheIssuer, document: dict[str, Any]):
    issuer.document |= document
    assert (await ask(house, issuer.token())).status_code == 503
    assert not [path for path in issuer.asked if path.endswith("/certs")]


async def test_a_redirection_is_not_followed(house: House, issuer: TheIssuer):
    issuer.redirects = True
    assert (await ask(house, issuer.token())).status_code == 503
    assert not [path for path in issuer.asked if "elsewhere" in path]


async def test_no_token_or_session_of_ours_is_made_from_one(house: House, issuer: TheIssuer):
    """It would outlive what the issuer says."""
    form = {"grant_type": "password", "username": "x", "password": issuer.token()}
    refused = await house.client.post("/realms/acme/protocol/openid-connect/token", data=form)
    assert refused.status_code == 403
    signed_in = await house.client.post("/sign-in", data={"key": issuer.token()})
    assert signed_in.status_code == 401
    assert "set-cookie" not in signed_in.headers


async def test_claims_may_have_other_names_and_lie_deeper(tmp_path: Path, clock: Clock, issuer: TheIssuer):
    names = {"tenant_claim": "https://acme.example/org", "permissions_claim": "realm_access.roles"}
    async with a_house(tmp_path, clock, issuer=issuer.url, audience=AUDIENCE, **names) as house:
        said = {"https://acme.example/org": "acme", "realm_access": {"roles": ["settings:read"]}, "tenant": "default"}
        assert (await ask(house, issuer.token(**said))).status_code == 200
        assert (await ask(house, issuer.token(**said), "/v1/keys")).status_code == 403
        assert (await ask(house, issuer.token(**said | {"realm_access": "settings:read"}))).status_code == 403


async def test_without_the_setting_nobody_vouches(tmp_path: Path, issuer: TheIssuer):
    async with serving.a_house(tmp_path, clock=lambda: NOW) as house:
        assert (await ask(house, issuer.token())).status_code == 401
    assert issuer.asked == []


@pytest.mark.parametrize(
    "setting",
    ["{", "[]", "{}", '{"issuer": "https://a.example"}', '{"issuer": "http://a.example", "audience": "x"}',
     '{"issuer": "a.example", "audience": "x"}', '{"issuer": "https://a.example", "audience": ""}',
     '{"issuer": "https://a.example", "audience": "x", "tenant_clam": "y"}'],
)  # fmt: skip
def test_a_setting_that_cannot_be_so_stops_the_start(setting: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POSTROOM_OIDC", setting)
    with pytest.raises(Invalid, match="POSTROOM_OIDC"):
        configuration.load()
    monkeypatch.setenv("POSTROOM_OIDC", '{"issuer": "https://a.example", "audience": "x"}')
    loaded = configuration.load().oidc
    assert loaded
    assert loaded.tenant_claim == "tenant"
