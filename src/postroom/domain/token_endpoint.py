"""The address of a token endpoint (RFC 6749 section 3.2), read once for whoever checks it and whoever dials it."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Self

from postroom.domain.host import host_name
from postroom.domain.problems import Invalid

# RFC 3986, without what a token endpoint must not have: a fragment (RFC 6749 3.2), and a user's name or password.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9.-]+)(?::(?P<port>[0-9]{1,5}))?"
    r"(?:[/?](?:[a-z0-9._~:/?@!$&'()*+,;=-]|%[0-9a-f]{2})*)?",
    re.ASCII | re.IGNORECASE,
)
_DEFAULT_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class TokenEndpoint:
    """Where it is dialled. `host` is a name as A-labels or an IP address without brackets."""

    host: str
    port: int
    encrypted: bool

    @classmethod
    def parse(cls, url: str) -> Self:
        """Raises Invalid."""
        found = _URL.fullmatch(url)
        if found is None:
            raise Invalid(
                "token_url",
                "The token endpoint must be an address such as https://login.example.com/token: in ASCII, without a "
                "user name and without a # part.",
            )
        scheme = found["scheme"].lower()
        port = int(found["port"]) if found["port"] else _DEFAULT_PORTS[scheme]
        if not 1 <= port <= 65535:
            raise Invalid("token_url", "The token endpoint's port must be a number from 1 to 65535.")
        try:
            host = host_name(found["host"])
        except Invalid:
            raise Invalid("token_url", "The token endpoint's host is neither a name nor an IP address.") from None
        if scheme != "https" and not _is_loopback(host):
            raise Invalid("token_url", "The token endpoint must be an https:// address (http:// on loopback only).")
        return cls(host, port, scheme == "https")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
