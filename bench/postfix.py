"""A Postfix of its own for `bench/relay.py`: its settings, queue and data in a directory that is thrown away.

It is found in the system, or unpacked somewhere without being installed; nothing of the system's is changed.
"""

import contextlib
import grp
import os
import pwd
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

HOW_TO_GET_IT = """\
Postfix (master, smtp-source) is not here, so nothing is compared with it. To unpack it without installing it:
  apt-get download postfix && dpkg -x postfix_*.deb postfix
and give that directory: --postfix postfix"""

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


def find(unpacked: Path | None) -> Programs | None:
    """In the given directory (a package unpacked there), else in the system."""
    roots = [unpacked.resolve()] if unpacked else [Path("/"), Path("/usr/local")]
    for root in roots:
        sbins = [root / "usr/sbin", root / "sbin", root]
        on_path = None if unpacked else shutil.which("smtp-source")
        sbins += [Path(on_path).parent] if on_path else []
        daemons = [
            root / each for each in ("usr/lib/postfix/sbin", "usr/libexec/postfix", "usr/lib/postfix", "libexec")
        ]
        command = next((each for each in sbins if (each / "smtp-source").exists()), None)
        daemon = next((each for each in daemons if (each / "master").exists()), None)
        if command and daemon:
            libraries = root / "usr/lib/postfix"
            return Programs(command, daemon, libraries if unpacked and libraries.exists() else None)
    return None


def why_not() -> str | None:
    """What keeps Postfix from running here, if anything does."""
    if os.geteuid() != 0:
        return "Postfix's master only runs as root, so nothing is compared with it."
    return None


def flood(programs: Programs, port: int, messages: int, sessions: int, octets: int) -> float:
    """Messages per second from smtp-source straight to whatever listens there."""
    started = time.monotonic()
    _feed(programs, port, messages, sessions, octets)
    return messages / (time.monotonic() - started)


@dataclass(frozen=True, slots=True)
class Instance:
    programs: Programs
    port: int
    master: int

    def feed(self, messages: int, sessions: int, octets: int) -> None:
        """Hand messages in with smtp-source, over connections that are used again; returns when it took all of them."""
        _feed(self.programs, self.port, messages, sessions, octets)


def _feed(programs: Programs, port: int, messages: int, sessions: int, octets: int) -> None:
    options = {"-s": sessions, "-m": messages, "-l": octets, "-f": "noreply@bench.example", "-t": "bob@bench.example"}
    command = [programs.commands / "smtp-source", "-d", *(str(part) for pair in options.items() for part in pair)]
    subprocess.run([*command, f"inet:127.0.0.1:{port}"], env=programs.environment, check=True)


@contextlib.contextmanager
def running(programs: Programs, home: Path, relay_port: int) -> Iterator[Instance]:
    """A Postfix that relays everything to that port of this machine, until the block ends."""
    port = _free_port()
    _lay_out(programs, home, port, relay_port)
    log = (home / "log").open("w")
    command = [programs.daemons / "master", "-c", home / "etc", "-d"]
    master = subprocess.Popen(command, env=programs.environment, stderr=log, stdout=log, start_new_session=True)
    try:
        _wait_for(port, master, home / "log")
        yield Instance(programs, port, master.pid)
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


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int, master: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + 10
    while time.monotonic() < until and master.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            if connection.recv(3) == b"220":
                return
        time.sleep(0.1)
    raise RuntimeError(f"Postfix does not answer; it said: {log.read_text() or 'nothing'}")
