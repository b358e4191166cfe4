"""Wires everything, once. Nothing imports this but the process that serves and the command that starts it."""

import ipaddress
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from sqlalchemy.exc import OperationalError
from starlette.types import ASGIApp

from postroom.actions.audit import Audit, sealer_of
from postroom.actions.checks import Checks
from postroom.actions.first_start import sandbox_settings, settle_in
from postroom.actions.health import Health
from postroom.actions.issuer import Issuer
from postroom.actions.keys import Gate, Keys
from postroom.actions.mail import Mail
from postroom.actions.overview import Overviews
from postroom.actions.profiles import Profiles, RouteWith
from postroom.actions.rates import Rates
from postroom.actions.revisions import Revisions
from postroom.actions.room import Room
from postroom.actions.sandbox import SandboxMail
from postroom.actions.sign_ins import SignIns
from postroom.actions.status import Status
from postroom.actions.tenants import Tenants
from postroom.actions.trials import Trials
from postroom.actions.vault import VaultKeys
from postroom.config import Config, endpoint
from postroom.domain.counts import Counts
from postroom.domain.problems import Unavailable
from postroom.domain.profile import Profile
from postroom.domain.secret import Secret
from postroom.smtp.certificates import Certificates
from postroom.smtp.reach import Network, Reach
from postroom.smtp.route import Route
from postroom.smtp.sign_in import SignIn
from postroom.smtp.tokens import Tokens
from postroom.store import audit, profiles, writing_process
from postroom.store.database import Database
from postroom.store.key_ring import vault_from
from postroom.store.profiles import StoredProfile
from postroom.store.references import References
from postroom.store.vault import Vault
from postroom.store.writing import Writing
from postroom.web.callers import Surroundings
from postroom.web.events import Streams
from postroom.web.server import Ready, build
from postroom.worker.loop import Worker


@dataclass(frozen=True, slots=True)
class Postroom:
    """Everything, opened. `operator_key` is good for this process only; `first_key` is the admin key just drawn."""

    config: Config
    database: Database
    vault: Vault
    room: Room
    worker: Worker
    site: ASGIApp
    streams: Streams
    operator_key: Secret
    first_key: Secret | None


@asynccontextmanager
async def opened(
    config: Config, *, listening: frozenset[tuple[str, int]] = frozenset(), clock: Callable[[], float] = time.time,
    rates: Rates | None = None, writing: Writing | None = None,
) -> AsyncIterator[Postroom]:  # fmt: skip
    """Open the data directory and wire the rest. Raises Problem when it can't be used. `clock` is what tokens are
    judged by, in seconds since 1970; `writing` is the process that writes, where there is one (`fork_writing`)."""
    with _usable(config):
        database = Database.open(config.database, data_dir=config.data_dir, writing=writing)
    try:
        vault, key_file = vault_from(config.secret("vault_key"), config.data_dir)
        sandbox, sealer = endpoint(config.sandbox), sealer_of(vault)
        audit.seal_with(database.writer, sealer)
        first_key = await settle_in(database, vault, sandbox=sandbox, admin_key=config.secret("admin_key"))
        tokens, certificates, counts = Tokens(), Certificates(), Counts()
        references, reach = _references(config), _reach(config, listening | database.endpoints, sandbox)
        route_with = _router(config, references, reach, tokens, certificates)
        route_of = _stored_router(database, vault, route_with)
        worker = Worker(database, vault, route_of, lease=config.lease, counts=counts)
        operator_key = Secret(secrets.token_urlsafe(32))
        mail = Mail(database, vault, worker)
        rates, issuer = rates or Rates(), _issuer(config, listening, clock)
        changed = _each(mail.settings_changed, worker.settings_changed)
        managed = Profiles(
            database, vault, references, route_with, changed, sandbox_settings(sandbox) if sandbox else None
        )
        room = Room(
            tenants=Tenants(database),
            keys=Keys(database, vault, operator_key, Gate(rates, issuer), clock),
            profiles=managed,
            overviews=Overviews(database, vault, certificates),
            checks=Checks(database, managed, mail, rates),
            revisions=Revisions(database, vault, changed),
            trials=Trials(database, managed, rates),
            mail=mail,
            audit=Audit(database, sealer),
            sandbox=SandboxMail(database, vault),
            vault=VaultKeys(database, vault, key_file, changed),
            status=Status(database, vault, mail, counts, certificates),
        )
        ready, streams = Ready(Health(database, room.status, worker).wrong), Streams()
        site = build(room, ready, _surroundings(config), counts, streams)
        try:
            yield Postroom(config, database, vault, room, worker, site, streams, operator_key, first_key)
        finally:
            await room.trials.close()
            if issuer is not None:
                await issuer.close()
            await tokens.close()
    finally:
        await database.close()


def _each(*calls: Callable[[], None]) -> Callable[[], None]:
    def call() -> None:
        for each in calls:
            each()

    return call


def fork_writing(config: Config, listener: socket.socket | None) -> Writing:
    """Have a process of its own write, before anything here has a thread or a connection. Raises Problem."""
    with _usable(config):
        return writing_process.fork(config.database, config.data_dir, listener=listener)


@contextmanager
def _usable(config: Config) -> Iterator[None]:
    """Neither a directory nor a database that can't be reached is a surprise; the database's URL is never told."""
    try:
        config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield
    except OSError as error:
        where = f"the data directory {config.data_dir}"
        raise Unavailable(f"Can't use {where} ({error.strerror}): set POSTROOM_DATA_DIR.") from None
    except OperationalError as error:
        reason = " ".join(str(error.orig).split())
        raise Unavailable(f"Can't open the database ({reason}): check POSTROOM_DATABASE_URL and the disk.") from None


def _router(
    config: Config, references: References, reach: Reach, tokens: Tokens, certificates: Certificates
) -> RouteWith:
    ehlo_name = config.ehlo_name or socket.gethostname()
    plaintext = _networks(config.plaintext_auth)

    def route_with(settings: Profile, password: Secret | None, sign_in: SignIn | None) -> Route:
        name = settings.ehlo_name or ehlo_name
        return Route(
            settings, password, reach, name, plaintext_networks=plaintext, sign_in=sign_in, tokens=tokens,
            read_secret=references.resolved, certificates=certificates,
        )  # fmt: skip

    return route_with


def _stored_router(database: Database, vault: Vault, route_with: RouteWith) -> Callable[[StoredProfile], Route]:
    sign_ins = SignIns(database, vault)

    def route_of(stored: StoredProfile) -> Route:
        """Raises Unavailable when the secret can't be opened: it is never sent without."""
        password = None
        if stored.sealed_password is not None:
            password = vault.open(stored.sealed_password, profiles.place(stored.tenant_id, stored.id))
        return route_with(stored.settings, password, sign_ins.of(stored))

    return route_of


def _reach(config: Config, listening: frozenset[tuple[str, int]], sandbox: tuple[str, int] | None) -> Reach:
    networks, ports = config.relays
    return Reach(
        "any" if networks == "any" else "public" if networks == "public" else _networks(networks),
        ports=ports,
        own=listening,
        exempt=frozenset({sandbox} if sandbox else ()),
    )


def _issuer(config: Config, listening: frozenset[tuple[str, int]], clock: Callable[[], float]) -> Issuer | None:
    return Issuer(config.oidc.trusted(), Reach("any", own=listening), clock) if config.oidc else None


def _references(config: Config) -> References:
    allowed = config.secret_references
    return References(() if allowed == "none" else tuple(item.strip() for item in allowed.split(",")))


def _surroundings(config: Config) -> Surroundings:
    home = urlsplit(config.public_url or "")
    return Surroundings(config.https_only, _networks(config.trusted_proxies), home.hostname, home.scheme == "https")


def _networks(setting: str) -> tuple[Network, ...]:
    return () if setting == "none" else tuple(ipaddress.ip_network(item.strip()) for item in setting.split(","))
