"""Dovecot's submission service, which hands every mail straight on to the sink; and its logins for Postfix."""

import base64
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from joserfc import jwt
from joserfc.jwk import OctKey

from .daemon import PASSWORD, USER, Certificate, Relay, free_ports, home, need, running

PROGRAM = Path("/usr/sbin/dovecot")
SUBMISSION = Path("/usr/lib/dovecot/submission")
ACCOUNT = "dovecot"
LOGINS = "logins"  # a socket in the log's directory: the logins for other servers
_KEY = "a key of at least 32 bytes, for the tests of one run only"

_CONFIGURATION = """\
protocols = submission
listen = 127.0.0.1
base_dir = {home}/run
state_dir = {home}/state
log_path = {home}/log
auth_verbose = yes
hostname = relay.test
ssl = yes
ssl_cert = <{home}/relay.pem
ssl_key = <{home}/relay.key
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256 xoauth2 oauthbearer
auth_failure_delay = 0
default_internal_user = {account}
default_internal_group = {account}
first_valid_uid = 1
mail_location = maildir:{home}/mail
submission_relay_host = 127.0.0.1
submission_relay_port = {sink}
passdb {{
  driver = passwd-file
  args = {home}/users
  mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256
}}
passdb {{
  driver = oauth2
  args = {home}/oauth2.conf
  mechanisms = xoauth2 oauthbearer
}}
userdb {{
  driver = static
  args = uid={account} gid={account} home={home}/mail
}}
service submission-login {{
  inet_listener submission {{
    port = {port}
  }}
  inet_listener submissions {{
    port = {tls_port}
    ssl = yes
  }}
}}
service auth {{
  unix_listener {home}/{logins} {{
    mode = 0666
  }}
}}
# It would make whoever fails wait, the longer the more often.
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
"""
_OAUTH2 = """\
introspection_mode = local
local_validation_key_dict = fs:posix:prefix={home}/keys/
username_attribute = sub
"""


def token(user: str = USER, key: str = _KEY) -> str:
    """A JWT such as a provider's token endpoint gives; another key makes one that Dovecot does not believe."""
    now = int(time.time())
    claims = {"sub": user, "iat": now - 10, "nbf": now - 10, "exp": now + 600}
    return jwt.encode({"alg": "HS256", "typ": "JWT"}, claims, OctKey.import_key(key))


@contextmanager
def dovecot(sink: int, certificate: Certificate) -> Iterator[Relay]:
    need(PROGRAM, SUBMISSION, package="Dovecot (dovecot-submissiond)")
    with home("dovecot") as here:
        port, tls_port = free_ports(2)
        certificate.lay_out(here)
        (here / "mail").mkdir(mode=0o777)
        (here / "users").write_text(f"{USER}:{{PLAIN}}{PASSWORD}\n")
        (here / "oauth2.conf").write_text(_OAUTH2.format(home=here))
        keys = here / "keys/default/HS256"
        keys.mkdir(parents=True)
        (keys / "default").write_bytes(base64.b64encode(_KEY.encode()))
        configuration = here / "dovecot.conf"
        values = {"port": port, "tls_port": tls_port, "sink": sink, "home": here, "account": ACCOUNT, "logins": LOGINS}
        configuration.write_text(_CONFIGURATION.format(**values))
        command = [PROGRAM, "-F", "-c", configuration]
        with running(command, Relay("Dovecot", port, tls_port, here / "log")) as relay:
            yield relay
