"""Wires everything, once. Nothing imports this but the command that starts it."""

import asyncio
import gc
import ipaddress
import json
import os
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from urllib.parse import urlsplit

import uvicorn
from sqlalchemy.exc import OperationalError
from starlette.types import ASGIApp

from postroom import cli, log
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
from postroom.config import Config
from postroom.domain.counts import Counts
from postroom.domain.delivery import SECOND
from postroom.domain.problems import Unavailable
from postroom.domain.profile import Profile
from postroom.domain.secret import Secret
from postroom.smtp.certificates import Certificates
from postroom.smtp.reach import Network, Reach
from postroom.smtp.reading import subject
from postroom.smtp.route import Route
from postroom.smtp.sandbox import Caught, Sandbox
from postroom.smtp.sign_in import SignIn
from postroom.smtp.tokens import Tokens
from postroom.store import audit, caught, profiles
from postroom.store.database import Database
from postroom.store.key_ring import vault_from
from postroom.store.profiles import StoredProfile
from postroom.store.queue.claim import recover
from postroom.store.references import References
from postroom.store.vault import Vault
from postroom.web.callers import Surroundings
from postroom.web.events import Streams
from postroom.web.patience import PatientProtocol, PatientServer
from postroom.web.server import Ready, build
from postroom.worker import chores
from postroom.worker.loop import Worker

REQUEST_GRACE = 5  # seconds that a request under way gets when we are told to stop


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
    rates: Rates | None = None,
) -> AsyncIterator[Postroom]:  # fmt: skip
    """Open the data directory and wire the rest. Raises Problem when it can't be used. `clock` is what tokens are
    judged by, in seconds since 1970."""
    database = _open(config)
    try:
        vault, key_file = vault_from(config.secret("vault_key"), config.data_dir)
        sandbox, sealer = _endpoint(config.sandbox), sealer_of(vault)
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


def _open(config: Config) -> Database:
    """Neither a directory nor a database that can't be reached is a surprise; the database's URL is never told."""
    try:
        config.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Database.open(config.database, data_dir=config.data_dir)
    except OSError as error:
        where = f"the data directory {config.data_dir}"
        raise Unavailable(f"Can't use {where} ({error.strerror}): set POSTROOM_DATA_DIR.") from None
    except OperationalError as error:
        reason = " ".join(str(error.orig).split())
        raise Unavailable(f"Can't open the database ({reason}): check POSTROOM_DATABASE_URL and the disk.") from None


async def serve(config: Config, *, with_web: bool = True, with_worker: bool = True) -> None:
    """Run until SIGTERM or SIGINT; then finish what is under way."""
    log.configure(config.log_format, config.log_level)
    with _listen(config, with_web) as listener:
        address = listener.getsockname()[:2] if listener else None
        async with opened(config, listening=frozenset({address} if address else ())) as postroom:
            if postroom.database.is_sqlite and not (with_web and with_worker):
                raise Unavailable("Web and worker can only run apart on PostgreSQL: set POSTROOM_DATABASE_URL.")
            async with _sandbox(config, postroom.database, postroom.vault, with_web):
                await _run(postroom, listener, with_worker)
    log.stopped()


async def _run(postroom: Postroom, listener: socket.socket | None, with_worker: bool) -> None:
    gc.collect()
    gc.freeze()  # what is there now stays: looking through it again and again would cost a tenth of the time
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    parts: list[asyncio.Task[None]] = []
    if with_worker:
        await _recover(postroom.database)
        parts.append(asyncio.create_task(postroom.worker.run()))
    server = _Server(
        uvicorn.Config(
            postroom.site, ws="none", lifespan="off", access_log=False, proxy_headers=False, log_config=None,
            server_header=False, http=PatientProtocol, timeout_graceful_shutdown=REQUEST_GRACE,
        )
    )  # fmt: skip
    if listener:
        parts.append(asyncio.create_task(server.serve(sockets=[listener])))
        _announce(postroom, listener)
    chore = asyncio.create_task(chores.run(postroom.database, _kept(postroom.config)))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([stopped, *parts], return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    postroom.streams.end()
    postroom.worker.stop()
    for task in (chore, stopped):
        task.cancel()
    await asyncio.gather(*parts)


class _Server(PatientServer):
    """Leaves the signals to us: they stop the worker as well."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def _listen(config: Config, with_web: bool) -> Iterator[socket.socket | None]:
    """Bind first: the port is known, and a taken one is found, before anything else is touched."""
    if not with_web:
        yield None
        return
    host, port = _endpoint(config.listen) or ("", 0)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or asyncio leaves Nagle's algorithm on: the end of each answer would wait 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(2048)  # who is quicker than our start waits instead of being refused
    except OSError as error:
        listener.close()
        raise Unavailable(f"Can't listen on {config.listen} ({error.strerror}): set POSTROOM_LISTEN.") from None
    with listener:
        yield listener


@asynccontextmanager
async def _sandbox(config: Config, database: Database, vault: Vault, wanted: bool) -> AsyncIterator[None]:
    endpoint = _endpoint(config.sandbox)
    if endpoint is None or not wanted:
        yield
        return
    keeper = caught.keeper(vault)

    async def keep(mail: Caught) -> None:
        new = caught.NewCaught(
            mail.received_at, mail.envelope_sender, mail.recipients, subject(mail.content), mail.content
        )
        await database.fold(keeper, new)

    sandbox = Sandbox(keep, hostname="sandbox.postroom")
    try:
        await sandbox.start(*endpoint)
    except OSError as error:
        raise Unavailable(
            f"The sandbox can't listen on {config.sandbox} ({error.strerror}): set POSTROOM_SANDBOX."
        ) from None
    try:
        yield
    finally:
        await sandbox.close()


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


def _kept(config: Config) -> chores.Keep:
    contents, messages = config.kept
    return chores.Keep(contents * SECOND, messages * SECOND)


def _networks(setting: str) -> tuple[Network, ...]:
    return () if setting == "none" else tuple(ipaddress.ip_network(item.strip()) for item in setting.split(","))


def _endpoint(setting: str) -> tuple[str, int] | None:
    if setting == "off":
        return None
    host, _, port = setting.rpartition(":")
    return host.strip("[]"), int(port)


async def _recover(database: Database) -> None:
    """SQLite is ours alone: what is leased now belonged to a process that died."""
    if database.is_sqlite:
        freed = await database.write(lambda connection: recover(connection, database.now(connection)))
        if freed:
            log.recovered(freed)


def _announce(postroom: Postroom, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    url = postroom.config.public_url or f"http://{shown}:{port}"
    _note_running(postroom, f"http://{shown}:{port}")
    log.started(url, "sqlite" if postroom.database.is_sqlite else "postgresql", worker=True)
    cli.greet(url, postroom.first_key, postroom.config.data_dir)


def _note_running(postroom: Postroom, url: str) -> None:
    """Let the command line on this machine find us, as whoever may read the data directory."""
    path = postroom.config.running_note
    with suppress(FileNotFoundError):
        path.unlink()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as file:
        json.dump({"url": url, "key": postroom.operator_key.reveal(), "pid": os.getpid()}, file)
