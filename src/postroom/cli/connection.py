"""The one way to talk: the native API, spoken to a server by its address, to the one that runs on this data directory,
or in place. Whichever it is, a command can't tell."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpx2

from postroom import log
from postroom.cli.answers import problem_in
from postroom.cli.greeting import show_first_key
from postroom.cli.wiring import Wiring
from postroom.config import Config
from postroom.domain.problems import Invalid, Unauthenticated, Unavailable
from postroom.domain.secret import Secret

INSTALLATION = "*"  # as a tenant: the whole installation
TENANT_HEADER = "X-Postroom-Tenant"
PATIENCE = httpx2.Timeout(120, connect=10)  # a check of a relay that never answers takes its time
GLANCE = httpx2.Timeout(3)


@dataclass(frozen=True, slots=True)
class Connection:
    """`delivers`: a worker is, or may be, at work on what is handed in here."""

    client: httpx2.AsyncClient
    where: str
    delivers: bool

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The answer's JSON; None where there is none. Raises Problem."""
        said = {name: str(value) for name, value in (query or {}).items() if value is not None}
        try:
            answer = await self.client.request(method, f"/v1/{path}", params=said, headers=headers, **_json(body))
        except httpx2.TransportError as error:
            raise _unreachable(self.where, error) from None
        if not answer.is_success:
            raise problem_in(answer.status_code, answer.content, self.where)
        return _read(answer, self.where) if answer.content else None


def at(noun: str, name: str, *rest: str) -> str:
    """The path of one thing. Raises Invalid for a name that would lead elsewhere."""
    if name.strip() in ("", ".", ".."):
        raise Invalid("id", "Say which one: its id is missing.")
    return "/".join([noun, quote(name, safe=""), *rest])


@asynccontextmanager
async def connected(wiring: Wiring, config: Config, tenant: str | None) -> AsyncIterator[Connection]:
    """By POSTROOM_URL, else the server that runs on this data directory, else in place. Raises Problem."""
    headers = {TENANT_HEADER: tenant} if tenant else {}
    if config.url is not None:
        async with _to(_checked(config.url), _key_for(config), headers) as connection:
            yield connection
        return
    running = await _running(wiring, config)
    if running is not None:
        async with _to(*running, headers, trust_env=False) as connection:
            yield connection
        return
    async with _in_place(wiring, config, headers) as connection:
        yield connection


@asynccontextmanager
async def _to(url: str, key: Secret, headers: dict[str, str], *, trust_env: bool = True) -> AsyncIterator[Connection]:
    """`trust_env`: whether a proxy that the environment names may be used."""
    async with httpx2.AsyncClient(
        base_url=url, headers=headers | _bearer(key), timeout=PATIENCE, trust_env=trust_env
    ) as client:
        yield Connection(client, url, delivers=True)


@asynccontextmanager
async def _in_place(wiring: Wiring, config: Config, headers: dict[str, str]) -> AsyncIterator[Connection]:
    log.configure(config.log_format, "warning")
    async with wiring.opened(config) as postroom:
        if postroom.first_key:
            show_first_key(postroom.first_key)
        key = config.secret("key") or postroom.operator_key
        transport = httpx2.ASGITransport(app=postroom.site)
        async with httpx2.AsyncClient(
            transport=transport, base_url="http://in-place.invalid", headers=headers | _bearer(key)
        ) as client:
            # On PostgreSQL other machines' workers take it up; SQLite is ours alone.
            yield Connection(client, f"the data directory {config.data_dir}", config.database_url is not None)


async def _running(wiring: Wiring, config: Config) -> tuple[str, Secret] | None:
    """The address of the server that runs on this data directory, and a key for it; None if none answers."""
    try:
        note = json.loads(wiring.running_note(config.data_dir).read_text())
        url, operator_key = str(note["url"]), Secret(str(note["key"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not await _answers(url, operator_key):
        return None
    return url, config.secret("key") or operator_key


async def _answers(url: str, key: Secret) -> bool:
    """Whether the process that left this address is there: another one on its port would not know the key."""
    try:
        async with httpx2.AsyncClient(base_url=url, headers=_bearer(key), timeout=GLANCE, trust_env=False) as client:
            return (await client.get("/v1/tenants")).is_success
    except (httpx2.TransportError, httpx2.InvalidURL):
        return False


def _key_for(config: Config) -> Secret:
    key = config.secret("key")
    if key is None:
        raise Unauthenticated("POSTROOM_URL is set, but no key: set POSTROOM_KEY (or POSTROOM_KEY_FILE) too.")
    return key


def _checked(url: str) -> str:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        parsed = None
    if parsed is None or parsed.scheme not in ("http", "https") or not parsed.host or parsed.userinfo:
        raise Invalid("POSTROOM_URL", "POSTROOM_URL must be an address such as http://127.0.0.1:8025.")
    return url.rstrip("/")


def _bearer(key: Secret) -> dict[str, str]:
    text = key.reveal()
    if not (text.isascii() and text.isprintable()):  # it would be told in an error of the library's
        raise Unauthenticated("POSTROOM_KEY has characters that no key has.")
    return {"Authorization": f"Bearer {text}"}


def _json(body: object) -> dict[str, Any]:
    return {} if body is None else {"json": body}


def _read(answer: httpx2.Response, where: str) -> Any:
    try:
        return answer.json()
    except ValueError:
        raise Unavailable(f"What answers at {where} is not Postroom: check POSTROOM_URL.") from None


def _unreachable(where: str, error: httpx2.TransportError) -> Unavailable:
    if isinstance(error, httpx2.ConnectError) and "SSL" in str(error):
        return Unavailable(f"No encrypted connection to {where} ({error}): check POSTROOM_URL and the certificate.")
    if isinstance(error, httpx2.ConnectError):
        return Unavailable(
            f"Nothing answers at {where}: start it there with `postroom serve`, or set POSTROOM_URL to where it runs."
        )
    if isinstance(error, httpx2.TimeoutException):
        return Unavailable(f"No answer from {where} in time: try again, or look at its log.")
    return Unavailable(f"The connection to {where} broke ({type(error).__name__}): try again, or look at its log.")
