"""Postfix as a relay whose logins are Dovecot's or Cyrus', as people have it; its queue goes on to the sink.

Three ports: TLS as the client likes, TLS from the first byte, and STARTTLS or no mail (`strict_port`).
"""

import grp
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .daemon import PASSWORD, USER, Certificate, Relay, free_ports, home, need, running

UNPACKED = Path(__file__).parent.parent.parent / ".cache/postfix"
SASLPASSWD = Path("/usr/sbin/saslpasswd2")
PLUGINS = tuple(Path("/usr/lib").glob("*/sasl2/libscram.so")) or (Path("/usr/lib/sasl2/libscram.so"),)
_QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "saved", "trace")
_SERVICES = """\
127.0.0.1:{port} inet n - n - - smtpd -o smtpd_tls_security_level=may
127.0.0.1:{tls_port} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
127.0.0.1:{strict_port} inet n - n - - smtpd -o smtpd_tls_security_level=encrypt
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""

_CYRUS = """\
pwcheck_method: auxprop
auxprop_plugin: sasldb
sasldb_path: {passwords}
mech_list: PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256 NTLM
"""


@dataclass(frozen=True)
class Postfix(Relay):
    strict_port: int


@contextmanager
def postfix(sink: int, certificate: Certificate, dovecot: Path | None) -> Iterator[Postfix]:
    """With the socket where a Dovecot answers for logins, or without one: then Cyrus SASL does."""
    root = UNPACKED if UNPACKED.exists() else Path("/")
    daemons = root / "usr/lib/postfix/sbin"
    need(daemons / "master", daemons / "smtpd", package="Postfix (postfix)")
    with home("postfix") as here:
        port, tls_port, strict_port = free_ports(3)
        certificate.lay_out(here)
        logins = _by_dovecot(dovecot) if dovecot else _by_cyrus(here)
        _lay_out(here, _settings(here, root, sink) | logins)
        services = _SERVICES.format(port=port, tls_port=tls_port, strict_port=strict_port)
        (here / "etc/master.cf").write_text(services)
        found = Postfix("Postfix", port, tls_port, here / "log", strict_port)
        environment = {"PATH": os.environ["PATH"], "LD_LIBRARY_PATH": str(root / "usr/lib/postfix")}
        with running([daemons / "master", "-c", here / "etc", "-d"], found, environment):
            yield found


def _settings(here: Path, root: Path, sink: int) -> dict[str, object]:
    owner, group = _someone()
    return {
        "compatibility_level": "3.6",
        "queue_directory": here / "queue",
        "data_directory": here / "data",
        "daemon_directory": root / "usr/lib/postfix/sbin",
        "command_directory": root / "usr/sbin",
        "shlib_directory": root / "usr/lib/postfix",
        "meta_directory": here / "etc",
        "import_environment": "MAIL_CONFIG MAIL_LOGTAG TZ LANG=C LD_LIBRARY_PATH",
        "mail_owner": owner.pw_name,
        "setgid_group": group.gr_name,
        "maillog_file": here / "log",
        "maillog_file_prefixes": here,
        "myhostname": "relay.test",
        "mydestination": "",
        "mynetworks": "127.0.0.0/8",
        "inet_interfaces": "127.0.0.1",
        "inet_protocols": "ipv4",
        "smtpd_peername_lookup": "no",
        "smtpd_relay_restrictions": "permit_mynetworks, reject",
        "alias_maps": "",
        "local_recipient_maps": "",
        "relayhost": f"[127.0.0.1]:{sink}",
        "smtp_dns_support_level": "disabled",
        "smtpd_tls_cert_file": here / "relay.pem",
        "smtpd_tls_key_file": here / "relay.key",
        "smtpd_sasl_auth_enable": "yes",
        "smtpd_sasl_security_options": "noanonymous",
    }


def _by_dovecot(socket: Path) -> dict[str, object]:
    return {"smtpd_sasl_type": "dovecot", "smtpd_sasl_path": socket}


def _by_cyrus(here: Path) -> dict[str, object]:
    need(SASLPASSWD, *PLUGINS, package="Cyrus SASL (sasl2-bin, libsasl2-modules)")
    directory = here / "etc/sasl"  # where Debian's Postfix looks, whatever cyrus_sasl_config_path says
    directory.mkdir(parents=True)
    passwords = directory / "passwords"
    user, _, realm = USER.partition("@")
    command = [SASLPASSWD, "-c", "-p", "-f", passwords, "-u", realm, user]
    subprocess.run(command, input=PASSWORD.encode(), check=True)
    shutil.chown(passwords, _someone()[0].pw_name)
    (directory / "smtpd.conf").write_text(_CYRUS.format(passwords=passwords))
    return {"smtpd_sasl_type": "cyrus", "smtpd_sasl_path": "smtpd"}


def _lay_out(here: Path, settings: dict[str, object]) -> None:
    owner, group = _someone()
    for name in ("etc", "queue", "data"):
        (here / name).mkdir(exist_ok=True)
    os.chown(here / "data", owner.pw_uid, -1)
    for name in (*_QUEUES, "private", "public", "maildrop", "pid"):
        (here / "queue" / name).mkdir()
        if name != "pid":
            os.chown(here / "queue" / name, owner.pw_uid, group.gr_gid if name in ("public", "maildrop") else -1)
    (here / "etc/main.cf").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))


def _someone() -> tuple[pwd.struct_passwd, grp.struct_group]:
    """The accounts that Postfix has on a machine where it is installed, else two that every machine has."""
    users = {each.pw_name: each for each in pwd.getpwall()}
    groups = {each.gr_name: each for each in grp.getgrall()}
    return users.get("postfix") or users["mail"], groups.get("postdrop") or groups["operator"]
