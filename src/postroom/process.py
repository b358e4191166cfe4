"""The server's process: what it listens on, how it starts, and how it stops."""

import asyncio
import gc
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

import uvicorn

from postroom import cli, log
from postroom.app import Postroom, fork_writing, opened
from postroom.config import Config, endpoint
from postroom.domain.delivery import SECOND
from postroom.domain.problems import Unavailable
from postroom.smtp.reading import subject
from postroom.smtp.sandbox import Caught, Sandbox
from postroom.store import caught
from postroom.store.database import Database
from postroom.store.queue.claim import recover
from postroom.store.vault import Vault
from postroom.store.writing import Writing
from postroom.web.patience import PatientProtocol, PatientServer
from postroom.worker import chores

# New objects until the garbage collector looks. What a mail leaves behind goes without it; with Python's own 700 it
# would look through the mail in hand again and again, for nothing (docs/performance.md).
COLLECT_AFTER = 10_000
REQUEST_GRACE = 5  # seconds that a request under way gets when we are told to stop


def serve(config: Config, *, with_web: bool = True, with_worker: bool = True) -> None:
    """Run until SIGTERM or SIGINT; then finish what is under way."""
    log.configure(config.log_format, config.log_level)
    gc.set_threshold(COLLECT_AFTER, *gc.get_threshold()[1:])  # of the process that writes as well
    with _listen(config, with_web) as listener:
        writing = fork_writing(config, listener)
        asyncio.run(_serve(config, listener, writing, with_worker=with_worker))
    log.stopped()


async def _serve(config: Config, listener: socket.socket | None, writing: Writing, *, with_worker: bool) -> None:
    address = listener.getsockname()[:2] if listener else None
    async with opened(config, listening=frozenset({address} if address else ()), writing=writing) as postroom:
        if postroom.database.is_sqlite and not (listener and with_worker):
            raise Unavailable("Web and worker can only run apart on PostgreSQL: set POSTROOM_DATABASE_URL.")
        async with _sandbox(config, postroom.database, postroom.vault, listener is not None):
            await _run(postroom, listener, writing, with_worker)


async def _run(postroom: Postroom, listener: socket.socket | None, writing: Writing, with_worker: bool) -> None:
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
    stopped, widowed = asyncio.create_task(stop.wait()), asyncio.create_task(writing.ended.wait())
    await asyncio.wait([stopped, widowed, *parts], return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    postroom.streams.end()
    postroom.worker.stop()
    is_widowed = writing.ended.is_set()
    if is_widowed:
        log.writing_process_ended(writing.pid, await writing.how_it_ended())
    for task in (chore, stopped, widowed):
        task.cancel()
    await asyncio.gather(*parts)
    if is_widowed:
        raise Unavailable("The process that writes to the database has ended: start Postroom again.")


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
    host, port = endpoint(config.listen) or ("", 0)
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
    place = endpoint(config.sandbox)
    if place is None or not wanted:
        yield
        return
    keeping = caught.Keeping(vault)

    async def keep(mail: Caught) -> None:
        new = caught.NewCaught(
            mail.received_at, mail.envelope_sender, mail.recipients, subject(mail.content), mail.content
        )
        await database.fold(keeping, new)

    sandbox = Sandbox(keep, hostname="sandbox.postroom")
    try:
        await sandbox.start(*place)
    except OSError as error:
        raise Unavailable(
            f"The sandbox can't listen on {config.sandbox} ({error.strerror}): set POSTROOM_SANDBOX."
        ) from None
    try:
        yield
    finally:
        await sandbox.close()


async def _recover(database: Database) -> None:
    """SQLite is ours alone: what is leased now belonged to a process that died."""
    if database.is_sqlite:
        freed = await database.write(lambda connection: recover(connection, database.now(connection)))
        if freed:
            log.recovered(freed)


def _kept(config: Config) -> chores.Keep:
    contents, messages = config.kept
    return chores.Keep(contents * SECOND, messages * SECOND)


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
