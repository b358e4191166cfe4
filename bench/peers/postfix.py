"""Postfix: the relay (a whole one of its own, thrown away afterwards), its smtp-source and its smtp-sink.

It is found in the system, or unpacked into the cache without being installed; nothing of the system's is changed.
"""

import contextlib
import grp
import os
import pwd
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cache import Cache, Missing
from machine import free_port

from peers.peer import OCTETS, SESSIONS, Accepted, Run, Setting, through

_QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "saved", "trace")
_SERVICES = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
"""


@dataclass(frozen=True, slots=True)
class Programs:
    """Where Postfix's programs and libraries are."""

    commands: Path
    daemons: Path
    libraries: Path | None

    @property
    def environment(self) -> dict[str, str]:
        found = {"PATH": os.environ.get("PATH", "/usr/bin:/bin")}
        return found | {"LD_LIBRARY_PATH": str(self.libraries)} if self.libraries else found


def programs(cache: Cache) -> Programs:
    """Those of the system, else of Debian's package, unpacked. Raises Missing."""
    return _below(Path("/"), None) or _unpacked(cache)


def _unpacked(cache: Cache) -> Programs:
    root = cache.debian("postfix", "postfix")
    found = _below(root, root / "usr/lib/postfix")
    if found is None:
        raise Missing(f"no Postfix in the package unpacked into {root}")
    return found


def _below(root: Path, libraries: Path | None) -> Programs | None:
    commands = next((root / each for each in ("usr/sbin", "sbin") if (root / each / "smtp-source").exists()), None)
    places = ("usr/lib/postfix/sbin", "usr/libexec/postfix", "usr/lib/postfix")
    daemons = next((root / each for each in places if (root / each / "master").exists()), None)
    return Programs(commands, daemons, libraries) if commands and daemons else None


def feed(programs: Programs, port: int, messages: int, sessions: int, octets: int) -> tuple[float, float]:
    """Hand messages in with smtp-source, over connections that are used again: the seconds it took, and its CPU's."""
    options = {"-s": sessions, "-m": messages, "-l": octets, "-f": "noreply@bench.example", "-t": "bob@bench.example"}
    command: list[str | Path] = [programs.commands / "smtp-source", "-d"]
    command += (str(part) for pair in options.items() for part in pair)
    started = time.monotonic()
    process = subprocess.Popen([*command, f"inet:127.0.0.1:{port}"], env=programs.environment)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError("smtp-source failed")
    return time.monotonic() - started, used.ru_utime + used.ru_stime


@contextlib.contextmanager
def sink(programs: Programs) -> Iterator[int]:
    """The port of a running smtp-sink, which takes everything and keeps nothing."""
    port = free_port()
    command: list[str | Path] = [programs.commands / "smtp-sink"]
    if os.geteuid() == 0:
        command += ["-u", _someone()[0].pw_name]
    command += [f"127.0.0.1:{port}", "1024"]
    process = subprocess.Popen(command, env=programs.environment)
    try:
        _wait_for(port, process, None)
        yield port
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def running(setting: Setting) -> Iterator[dict[str, Callable[[int], Run]]]:
    """A Postfix that relays everything to the sink. Raises Missing."""
    if os.geteuid() != 0:
        raise Missing("Postfix's master only runs as root")
    found, home, port = programs(setting.cache), setting.home / "postfix", free_port()
    _lay_out(found, home, port, setting.sink.port)
    log = (home / "log").open("w")
    command: list[str | Path] = [found.daemons / "master", "-c", home / "etc", "-d"]
    master = subprocess.Popen(command, env=found.environment, stderr=log, stdout=log, start_new_session=True)

    def accept(messages: int) -> Accepted:
        started = time.monotonic()
        feed(found, port, messages, SESSIONS, OCTETS)
        return Accepted(started, time.monotonic())

    try:
        _wait_for(port, master, home / "log")
        yield {"postfix": lambda messages: through(setting.sink, [master.pid], messages, accept)}
    finally:
        master.terminate()  # and it ends its own
        master.wait()
        log.close()


def _lay_out(programs: Programs, home: Path, port: int, relay_port: int) -> None:
    owner, group = _someone()
    for name in ("etc", "queue", "data"):
        (home / name).mkdir(parents=True)
    for name in (*_QUEUES, "private", "public", "maildrop", "pid"):
        (home / "queue" / name).mkdir()
        if name != "pid":
            os.chown(home / "queue" / name, owner.pw_uid, -1)
    for name in ("public", "maildrop"):
        os.chown(home / "queue" / name, owner.pw_uid, group.gr_gid)
    os.chown(home / "data", owner.pw_uid, -1)
    for each in (home, home.parent):  # Postfix works as another user
        each.chmod(0o755)
    settings = {
        "compatibility_level": "3.6",
        "queue_directory": home / "queue",
        "data_directory": home / "data",
        "daemon_directory": programs.daemons,
        "command_directory": programs.commands,
        "meta_directory": home / "etc",
        "mail_owner": owner.pw_name,
        "setgid_group": group.gr_name,
        "myhostname": "postfix.bench.example",
        "mydestination": "",
        "mynetworks": "127.0.0.0/8",
        "inet_interfaces": "loopback-only",
        "inet_protocols": "ipv4",
        "relayhost": f"[127.0.0.1]:{relay_port}",
        "alias_maps": "",
        "local_recipient_maps": "",
    }
    if programs.libraries:
        settings["shlib_directory"] = programs.libraries
        settings["import_environment"] = "MAIL_CONFIG MAIL_DEBUG TZ LANG=C LD_LIBRARY_PATH"
    main = "".join(f"{name} = {value}\n" for name, value in settings.items())
    (home / "etc/main.cf").write_text(main)
    (home / "etc/master.cf").write_text(_SERVICES.format(port=port))


def _someone() -> tuple[pwd.struct_passwd, grp.struct_group]:
    """The accounts that Postfix has on a machine where it is installed, else two that every machine has."""
    users = {each.pw_name: each for each in pwd.getpwall()}
    groups = {each.gr_name: each for each in grp.getgrall()}
    owner = users.get("postfix") or users["mail"]
    return owner, groups.get("postdrop") or groups["operator"]


def _wait_for(port: int, process: "subprocess.Popen[bytes]", log: Path | None) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            if connection.recv(3) == b"220":
                return
        time.sleep(0.1)
    said = log.read_text() if log else ""
    raise RuntimeError(f"Postfix does not answer; it said: {said or 'nothing'}")
