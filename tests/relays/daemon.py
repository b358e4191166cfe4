"""A mail server that we did not write, run by a test on loopback, as a configuration of ours says; ended by pid."""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from postroom.domain.profile import Security

PATIENCE = 20  # seconds for a server to greet, and for a mail to arrive
USER, PASSWORD = "user@relay.test", "correct-horse-battery"  # also Dovecot's JWT is for this user
WHERE_FROM = "see .ci/packages"


@dataclass(frozen=True)
class Relay:
    """A server that listens: which port has TLS from the first byte, and which none or STARTTLS."""

    name: str
    port: int
    tls_port: int
    log: Path

    def port_for(self, security: Security) -> int:
        return self.tls_port if security is Security.TLS else self.port


@dataclass(frozen=True)
class Certificate:
    """What a server shows, and who vouches for it."""

    authority: str  # PEM
    chain: bytes  # PEM
    key: bytes  # PEM

    def lay_out(self, home: Path) -> None:
        (home / "relay.pem").write_bytes(self.chain)
        (home / "relay.key").write_bytes(self.key)


def need(*programs: Path, package: str) -> None:
    """Skip, and say what is missing."""
    missing = [str(each) for each in programs if not each.exists()]
    if missing:
        pytest.skip(f"{package} is not on this machine ({', '.join(missing)}): {WHERE_FROM}")
    if os.geteuid() != 0:
        pytest.skip(f"{package} changes users, so only root can run it")


@contextlib.contextmanager
def home(name: str) -> Iterator[Path]:
    """A directory that other users may enter, as pytest's may not be; its path is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix=f"postroom-{name}-", ignore_cleanup_errors=True) as directory:
        path = Path(directory)
        path.chmod(0o755)
        yield path


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


@contextlib.contextmanager
def running(command: list[str | Path], relay: Relay, environment: Mapping[str, str] | None = None) -> Iterator[Relay]:
    """From its greeting on both ports to its end. What it writes is shown if it never comes to that."""
    output = relay.log.with_suffix(".output")
    with output.open("wb") as sink:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=environment, start_new_session=True
        )
    try:
        greeted = until(lambda: process.poll() is not None or (greets(relay.port) and greets(relay.tls_port, tls=True)))
        if not greeted or process.poll() is not None:
            raise RuntimeError(f"{relay.name} does not greet: {tail(output)} {tail(relay.log)}")
        yield relay
    finally:
        _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """With all that it has started, which may take longer: nothing of it may write where nothing is any more."""
    process.terminate()
    process.wait(PATIENCE)
    if not until(lambda: not _group_lives(process.pid)):
        os.killpg(process.pid, signal.SIGKILL)


def _group_lives(leader: int) -> bool:
    """Zombies don't count: whoever is process 1 here may be slow to bury them."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, group, *_ = stat.read_text().rpartition(")")[2].split()  # proc(5)
            if int(group) == leader and state != "Z":
                return True
    return False


def until(holds: Callable[[], bool]) -> bool:
    """Whether it came to that in time."""
    end = time.monotonic() + PATIENCE
    while not (held := holds()) and time.monotonic() < end:
        time.sleep(0.05)
    return held


def greets(port: int, *, tls: bool = False) -> bool:
    with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
        raw = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=5))
        connection = stack.enter_context(_unverified().wrap_socket(raw)) if tls else raw
        greeting: bytes = connection.recv(3)
        return greeting == b"220"
    return False


def _unverified() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def tail(log: Path) -> str:
    return log.read_text(errors="replace")[-4000:] if log.exists() else ""
