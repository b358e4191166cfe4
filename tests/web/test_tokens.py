"""Tokens that are not good (security-reliability.md V17): one change each from one that is, wherever one is taken."""

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey, RSAKey

from postroom.actions.rates import Rates
from postroom.dialects import ALL
from postroom.dialects.dialect import Dialect, Verb
from postroom.domain.problems import Unavailable
from postroom.domain.secret import Secret
from serving import House, a_house

NOW = 1_800_000_000


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 3600  # nobody has guessed lately
        return self.now


class Mint:
    """Makes tokens with the installation's own key, good ones and others."""

    def __init__(self, key: bytes, good: str) -> None:
        self.key = key
        self.good = good
        self.header, self.claims = (json.loads(octets(part)) for part in good.split(".")[:2])

    def signed(self, header: str | Mapping[str, Any], claims: str | Mapping[str, Any]) -> str:
        both = ".".join(b64(each if isinstance(each, str) else json.dumps(each)) for each in (header, claims))
        return f"{both}.{b64(hmac.new(self.key, both.encode(), hashlib.sha256).digest())}"

    def claiming(self, **claims: Any) -> str:
        return self.signed(self.header, self.claims | claims)

    def without(self, name: str) -> str:
        return self.signed(self.header, {key: value for key, value in self.claims.items() if key != name})

    def headed(self, **header: Any) -> str:
        return self.signed(self.header | header, self.claims)


def b64(text: str | bytes) -> str:
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def octets(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def unsigned(mint: Mint, **header: Any) -> str:
    return f"{b64(json.dumps(mint.header | header))}.{b64(json.dumps(mint.claims))}."


def by_another(algorithm: str, key: Any) -> Callable[[Mint], str]:
    return lambda mint: jwt.encode(dict(mint.header) | {"alg": algorithm}, dict(mint.claims), key, [algorithm])


def parts(mint: Mint, **changed: str) -> str:
    header, claims, signature = mint.good.split(".")
    return ".".join({"header": header, "claims": claims, "signature": signature, **changed}[name]
                    for name in ("header", "claims", "signature"))  # fmt: skip


def noncanonical(mint: Mint) -> str:
    """The last character of 32 octets in base64url has two bits to spare."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return mint.good[:-1] + alphabet[alphabet.index(mint.good[-1]) + 1]


def twice(mint: Mint, name: str, value: Any) -> str:
    """The claims with one member again, the good one last, where a lenient reader finds it."""
    return mint.signed(mint.header, f"{{{json.dumps(name)}: {json.dumps(value)}, {json.dumps(mint.claims)[1:]}")


BAD: dict[str, Callable[[Mint], str]] = {
    "alg none": lambda m: unsigned(m, alg="none"),
    "alg None": lambda m: unsigned(m, alg="None"),
    "alg none, with the good signature": lambda m: parts(m, header=b64(json.dumps(m.header | {"alg": "none"}))),
    "alg empty": lambda m: m.headed(alg=""),
    "alg missing": lambda m: m.signed({key: v for key, v in m.header.items() if key != "alg"}, m.claims),
    "alg null": lambda m: m.headed(alg=None),
    "alg a list": lambda m: m.headed(alg=["HS256"]),
    "alg in small letters": lambda m: m.headed(alg="hs256"),
    "alg HS384": by_another("HS384", OctKey.generate_key(384)),
    "alg HS512 with our key": lambda m: jwt.encode(
        dict(m.header) | {"alg": "HS512"}, dict(m.claims), OctKey.import_key(m.key * 2), ["HS512"]
    ),
    "alg RS256 by a key of their own": by_another("RS256", RSAKey.generate_key(2048)),
    "alg said to be RS256 over our HMAC": lambda m: m.headed(alg="RS256"),
    "alg said to be ES256": lambda m: m.headed(alg="ES256"),
    "alg said to be EdDSA": lambda m: m.headed(alg="EdDSA"),
    "alg that is not known": lambda m: m.headed(alg="XS999"),
    "kid missing": lambda m: m.signed({key: v for key, v in m.header.items() if key != "kid"}, m.claims),
    "kid of nobody": lambda m: m.headed(kid="0" * 16),
    "kid empty": lambda m: m.headed(kid=""),
    "kid a path": lambda m: m.headed(kid="../../../../dev/null"),
    "kid SQL": lambda m: m.headed(kid="' OR 1=1 --"),
    "kid a number": lambda m: m.headed(kid=1),
    "crit": lambda m: m.headed(crit=["exp"], exp=NOW),
    "crit empty": lambda m: m.headed(crit=[]),
    "typ of another kind": lambda m: m.headed(typ="logout+jwt"),
    "typ a number": lambda m: m.headed(typ=5),
    "alg twice": lambda m: m.signed('{"alg": "none", ' + json.dumps(m.header)[1:], m.claims),
    "kid twice": lambda m: m.signed('{"kid": "x", ' + json.dumps(m.header)[1:], m.claims),
    "a jwk of its own": lambda m: jwt.encode(
        dict(m.header) | {"jwk": OctKey.import_key(b"k" * 32).as_dict()}, dict(m.claims), OctKey.import_key(b"k" * 32)
    ),
    "by an empty key": lambda m: Mint(b"", m.good).signed(m.header, m.claims),
    "by a key of zeros": lambda m: Mint(bytes(32), m.good).signed(m.header, m.claims),
    "by its key id": lambda m: Mint(str(m.header["kid"]).encode(), m.good).signed(m.header, m.claims),
    "without exp": lambda m: m.without("exp"),
    "without iat": lambda m: m.without("iat"),
    "without iss": lambda m: m.without("iss"),
    "without aud": lambda m: m.without("aud"),
    "without sub": lambda m: m.without("sub"),
    "without jti": lambda m: m.without("jti"),
    "without anything": lambda m: m.signed(m.header, {}),
    "only iss, as a seed shows": lambda m: m.signed(m.header, {"iss": "postroom"}),
    "expired long ago": lambda m: m.claiming(exp=1),
    "expired just now": lambda m: m.claiming(exp=NOW),
    "exp null": lambda m: m.claiming(exp=None),
    "exp true": lambda m: m.claiming(exp=True),
    "exp text": lambda m: m.claiming(exp=str(NOW + 60)),
    "exp negative": lambda m: m.claiming(exp=-1),
    "exp endless": lambda m: m.signed(m.header, json.dumps(m.claims | {"exp": 0}).replace('"exp": 0', '"exp": 1e999')),
    "exp Infinity": lambda m: m.claiming(exp=float("inf")),
    "exp NaN": lambda m: m.claiming(exp=float("nan")),
    "exp in milliseconds": lambda m: m.claiming(exp=(NOW + 60) * 1000),
    "exp a list": lambda m: m.claiming(exp=[NOW + 60]),
    "iat in the future": lambda m: m.claiming(iat=NOW + 120),
    "iat text": lambda m: m.claiming(iat="now"),
    "nbf in the future": lambda m: m.claiming(nbf=NOW + 120),
    "nbf null": lambda m: m.claiming(nbf=None),
    "iss of another": lambda m: m.claiming(iss="https://evil.example.com"),
    "iss in capitals": lambda m: m.claiming(iss="Postroom"),
    "iss a list": lambda m: m.claiming(iss=["postroom"]),
    "aud of another": lambda m: m.claiming(aud="billing"),
    "aud a list": lambda m: m.claiming(aud=["postroom"]),
    "aud a list with others": lambda m: m.claiming(aud=["billing", "postroom"]),
    "aud empty": lambda m: m.claiming(aud=""),
    "sub of nobody": lambda m: m.claiming(sub="0" * 26),
    "sub empty": lambda m: m.claiming(sub=""),
    "sub the operator": lambda m: m.claiming(sub="operator"),
    "sub a number": lambda m: m.claiming(sub=1),
    "sub null": lambda m: m.claiming(sub=None),
    "sub a list": lambda m: m.claiming(sub=[m.claims["sub"]]),
    "sub with a NUL": lambda m: m.claiming(sub=f"{m.claims['sub']}\x00"),
    "sub with half a character": lambda m: m.claiming(sub="\ud800"),
    "jti empty": lambda m: m.claiming(jti=""),
    "jti a number": lambda m: m.claiming(jti=7),
    "sub twice": lambda m: twice(m, "sub", "0" * 26),
    "exp twice": lambda m: twice(m, "exp", 1),
    "claims a list": lambda m: m.signed(m.header, json.dumps([m.claims])),
    "claims text": lambda m: m.signed(m.header, '"postroom"'),
    "claims empty": lambda m: m.signed(m.header, ""),
    "claims of no JSON": lambda m: m.signed(m.header, "{'sub': 1}"),
    "claims very deep": lambda m: m.signed(m.header, "[" * 3000 + "]" * 3000),
    "claims of no UTF-8": lambda m: parts(m, claims=b64(b'{"sub": "\xff"}')),
    "header a list": lambda m: m.signed("[]", m.claims),
    "header null": lambda m: m.signed("null", m.claims),
    "claims of another": lambda m: parts(m, claims=b64(json.dumps(m.claims | {"sub": "0" * 26}))),
    "claims one bit off": lambda m: parts(m, claims=m.good.split(".")[1][:-1] + "_"),
    "signature empty": lambda m: parts(m, signature=""),
    "signature cut": lambda m: m.good[:-4],
    "signature of zeros": lambda m: parts(m, signature=b64(bytes(32))),
    "signature with bits to spare": noncanonical,
    "signature padded": lambda m: f"{m.good}=",
    "signature in ordinary base64": lambda m: parts(m, signature=m.good.split(".")[2].replace("-", "+") + "/"),
    "signature of impossible length": lambda m: f"{m.good}AA",
    "four parts": lambda m: f"{m.good}.x",
    "five parts, as if encrypted": lambda m: f"{m.good}.x.y",
    "two parts": lambda m: m.good.rpartition(".")[0],
    "dots alone": lambda _: "..",
    "huge": lambda m: m.claiming(filler="x" * 20_000),
    "huge number": lambda m: m.signed(m.header, json.dumps(m.claims)[:-1] + ', "n": ' + "9" * 5000 + "}"),
}  # fmt: skip


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    given = {"clock": lambda: NOW, "rates": Rates(Clock())}
    async with a_house(tmp_path, public_url="http://postroom.test", **given) as house:
        yield house


async def mint_of(house: House) -> Mint:
    key = await house.key()
    good = (await house.client.post("/auth/apikey", headers={"apikey": key})).json()["token"]
    return Mint(house.postroom.vault.derive("tokens"), good)


def test_there_are_enough_of_them():
    assert len(BAD) >= 60


async def test_the_mint_makes_good_ones_too(house: House):
    """So that the bad ones are refused for what is bad about them."""
    mint = await mint_of(house)
    for token in (mint.good, mint.claiming(), mint.headed(), mint.claiming(nbf=NOW), mint.headed(typ="at+JWT")):
        answer = await house.client.get("/v1/profiles/default", headers={"authorization": f"Bearer {token}"})
        assert answer.status_code == 200, token


@pytest.mark.parametrize("third", [0, 1, 2])
async def test_a_bad_token_is_refused_and_changes_nothing(house: House, third: int):
    """Through the native API, the cookie of the pages, and each product's ways to carry a token, in its words."""
    mint, before = await mint_of(house), await house.profile()
    for name in list(BAD)[third::3]:
        token = BAD[name](mint)
        assert token != mint.good, name
        native = await house.client.get("/v1/profiles/default", headers={"authorization": f"Bearer {token}"})
        assert (native.status_code, native.json().get("code")) == (401, "unauthenticated"), (name, native.text)
        page = await house.client.get("/sandbox", headers={"cookie": f"postroom_session={token}"})
        assert page.headers["location"] == "/sign-in?next=%2Fsandbox", name
        for dialect in ALL:
            await refused_in_its_words(house, dialect, Secret(token), name)
    assert await house.profile() == before


async def refused_in_its_words(house: House, dialect: Dialect, token: Secret, name: str) -> None:
    save = next(each for each in dialect.endpoints if each.verb is Verb.SAVE)
    path = save.path.format(version="latest", tenant="default")
    told = set()
    for style in dialect.key_styles:
        for shown in (token, Secret("wrong")):
            answer = await house.client.request(save.method, path, json={}, headers=dict(style.attach(shown)))
            assert answer.status_code == 401, (name, style)
            told.add(answer.text)
            with pytest.raises(Unavailable):
                dialect.unwrap(answer.status_code, answer.json())
    assert len(told) == 1, name  # whatever is wrong with a token, nobody learns it by asking


@pytest.mark.parametrize("bad", ["without jti", "expired just now", "alg none", "kid of nobody"])
async def test_a_bad_refresh_token_is_refused_as_one(house: House, bad: str):
    token = BAD[bad](await mint_of(house))
    form = {"grant_type": "refresh_token", "refresh_token": token, "client_id": "x"}
    answer = await house.client.post("/realms/default/protocol/openid-connect/token", data=form)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
