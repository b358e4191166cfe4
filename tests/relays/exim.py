"""Exim as a submission server: whoever logs in may send, and everything goes on to the sink."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .daemon import PASSWORD, USER, Certificate, Relay, free_ports, home, need, running

PROGRAM = Path("/usr/sbin/exim4")
ACCOUNT = "Debian-exim"  # compiled in

_CONFIGURATION = """\
primary_hostname = relay.test
local_interfaces = 127.0.0.1
disable_ipv6 = true
daemon_smtp_ports = {port} : {tls_port}
tls_on_connect_ports = {tls_port}
tls_advertise_hosts = *
tls_certificate = {home}/relay.pem
tls_privatekey = {home}/relay.key
spool_directory = {home}/spool
log_file_path = {home}/log-%s
pid_file_path = {home}/pid
keep_environment =
smtp_accept_queue_per_connection = 0
host_lookup =
rfc1413_query_timeout = 0s
deliver_drop_privilege = true
acl_smtp_rcpt = recipient

begin acl
recipient:
  accept authenticated = *
  deny message = log in first

begin routers
everything:
  driver = manualroute
  route_list = * 127.0.0.1
  self = send
  transport = to_the_sink

begin transports
to_the_sink:
  driver = smtp
  port = {sink}
  hosts_avoid_tls = *
  allow_localhost

begin authenticators
plain:
  driver = plaintext
  public_name = PLAIN
  server_prompts = :
  server_condition = ${{if and{{{{eq{{$auth2}}{{{user}}}}}{{eq{{$auth3}}{{{password}}}}}}}}}
  server_set_id = $auth2
login:
  driver = plaintext
  public_name = LOGIN
  server_prompts = Username:: : Password::
  server_condition = ${{if and{{{{eq{{$auth1}}{{{user}}}}}{{eq{{$auth2}}{{{password}}}}}}}}}
  server_set_id = $auth1
challenge:
  driver = cram_md5
  public_name = CRAM-MD5
  server_secret = ${{if eq{{$auth1}}{{{user}}}{{{password}}}fail}}
  server_set_id = $auth1
windows:
  driver = spa
  public_name = NTLM
  server_password = ${{if eq{{$auth1}}{{{user}}}{{{password}}}fail}}
  server_set_id = $auth1
"""


@contextmanager
def exim(sink: int, certificate: Certificate) -> Iterator[Relay]:
    need(PROGRAM, package="Exim (exim4-daemon-heavy)")
    with home("exim") as here:
        port, tls_port = free_ports(2)
        certificate.lay_out(here)
        (here / "spool").mkdir()
        for each in (here, here / "spool"):
            shutil.chown(each, ACCOUNT, ACCOUNT)
        configuration = here / "exim.conf"
        values = {"port": port, "tls_port": tls_port, "sink": sink, "home": here, "user": USER, "password": PASSWORD}
        configuration.write_text(_CONFIGURATION.format(**values))
        command = [PROGRAM, "-C", configuration, "-bdf"]
        with running(command, Relay("Exim", port, tls_port, here / "log-main")) as relay:
            yield relay
