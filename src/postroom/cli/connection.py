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

    async def follow(self, path: str, body: object) -> AsyncIterator[tuple[str, Any]]:
        """Each event of an answer that is told as it happens: its name and its JSON. Raises Problem."""
        headers = {"Accept": "text/event-stream"}
        try:
            async with self.client.stream("POST", f"/v1/{path}", headers=headers, **_json(body)) as answer:
                if not answer.is_success:
                    raise problem_in(answer.status_code, await answer.aread(), self.where)
                name = ""
                async for line in answer.aiter_lines():
                    field, _, value = line.partition(": ")
                    name = value if field == "event" else name
                    if field == "data":
                        yield name, json.loads(value)
        except httpx2.TransportError as error:
            raise _unreachable(self.where, error) from None


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
        async with _client(_checked(config.url), _key_for(config), headers) as client:
            yield Connection(client, config.url, delivers=True)
        return
    note = _note(config)
    if note is not None:
        url, operator_key = note
        # No proxy may get the operator's key of a server beside us.
        async with _client(url, config.secret("key") or operator_key, headers, trust_env=False) as client:
            if await _answers(client, operator_key):
                yield Connection(client, url, delivers=True)
                return
    async with _in_place(wiring, config, headers) as connection:
        yield connection


@asynccontextmanager
async def _in_place(wiring: Wiring, config: Config, headers: dict[str, str]) -> AsyncIterator[Connection]:
    log.configure(config.log_format, "warning")
    async with wiring.opened(config) as postroom:
        if postroom.first_key:
            show_first_key(postroom.first_key)
        key = config.secret("key") or postroom.operator_key
        transport = httpx2.ASGITransport(app=postroom.site)
        async with _client("http://in-place.invalid", key, headers, transport=transport) as client:
            # On PostgreSQL other machines' workers take it up; SQLite is ours alone.
            yield Connection(client, f"the data directory {config.data_dir}", config.database_url is not None)


def _client(
    url: str,
    key: Secret,
    headers: dict[str, str],
    *,
    transport: httpx2.AsyncBaseTransport | None = None,
    trust_env: bool = True,
) -> httpx2.AsyncClient:
    """`trust_env`: whether a proxy that the environment names may be used."""
    return httpx2.AsyncClient(
        base_url=url, headers=headers | _bearer(key), timeout=PATIENCE, transport=transport, trust_env=trust_env
    )


def _note(config: Config) -> tuple[str, Secret] | None:
    """What a server on this data directory left for us: its address, and a key for it."""
    try:
        note = json.loads(config.running_note.read_text())
        return _checked(str(note["url"])), Secret(str(note["key"]))
    except (OSError, ValueError, KeyError, TypeError, Invalid):
        return None


async def _answers(client: httpx2.AsyncClient, key: Secret) -> bool:
    """Whether the process that left the note is there: another one on its port would not know the key."""
    try:
        return (await client.get("/v1/tenants", headers=_bearer(key), timeout=GLANCE)).is_success
    except httpx2.TransportError:
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
