"""The ways in which products carry a key: each with one half to find it in a request and one to attach it to one."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from postroom.dialects.dialect import Asked
from postroom.domain.secret import Secret


@dataclass(frozen=True, slots=True)
class HeaderKey:
    """A key in a header: `Authorization: APIKEY <key>` with a scheme, `apikey: <key>` without."""

    header: str = "authorization"
    scheme: str = ""

    @property
    def openapi(self) -> Mapping[str, str]:
        if self.header == "authorization" and self.scheme.lower() == "bearer":
            return {"type": "http", "scheme": "bearer"}
        return {"type": "apiKey", "in": "header", "name": self.header}

    def find(self, asked: Asked) -> Secret | None:
        value = asked.headers.get(self.header, "").strip()
        if self.scheme:
            scheme, _, value = value.partition(" ")
            if scheme.lower() != self.scheme.lower():  # RFC 9110 11.1: schemes have no case
                return None
        return Secret(value.strip()) if value.strip() else None

    def attach(self, key: Secret) -> Mapping[str, str]:
        return {self.header: f"{self.scheme} {key.reveal()}".strip()}


@dataclass(frozen=True, slots=True)
class BasicKey:
    """`Authorization: Basic`: the password is the key; the user name is for people to read (design rule 2)."""

    user: str = "postroom"  # when dialling

    @property
    def openapi(self) -> Mapping[str, str]:
        return {"type": "http", "scheme": "basic"}

    def find(self, asked: Asked) -> Secret | None:
        scheme, _, value = asked.headers.get("authorization", "").strip().partition(" ")
        if scheme.lower() != "basic":
            return None
        try:
            _user, colon, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            return None
        return Secret(password) if colon and password else None

    def attach(self, key: Secret) -> Mapping[str, str]:
        pair = base64.b64encode(f"{self.user}:{key.reveal()}".encode()).decode()
        return {"authorization": f"Basic {pair}"}


@dataclass(frozen=True, slots=True)
class CookieKey:
    """A key in a cookie. Browsers send cookies unasked, so its dialect has to see (`admit`) that who asks is
    `of_this_site`. `nameless`: a cookie that is only a value counts, too (RFC 6265bis 5.6: its name is empty)."""

    name: str
    nameless: bool = False

    @property
    def openapi(self) -> Mapping[str, str]:
        return {"type": "apiKey", "in": "cookie", "name": self.name}

    def find(self, asked: Asked) -> Secret | None:
        for cookie in asked.headers.get("cookie", "").split(";"):
            name, equals, value = cookie.strip().partition("=")
            if not equals and self.nameless:
                name, value = self.name, name
            if name == self.name and value:
                return Secret(value)
        return None

    def attach(self, key: Secret) -> Mapping[str, str]:
        return {"cookie": f"{self.name}={key.reveal()}"}


def of_this_site(asked: Asked) -> bool:
    """Whether a page of ours asks, as far as the browser tells (RFC 6454 section 7, Fetch Metadata).

    What is said has to be right: Origin, else Referer, names this host or the one that we are known by; and where there
    is any Sec-Fetch header, Sec-Fetch-Site is `same-origin`, or `none` (the user typed the address). Who says nothing
    at all is no browser of the last years: the vendors' clients send the cookie alone, and go on working. In older
    ones the cookie's SameSite=Strict holds.
    """
    said = asked.headers.get("origin") or asked.headers.get("referer")
    if said and not _is_ours(said, asked):
        return False
    is_browser = any(name.startswith("sec-fetch-") for name in asked.headers)
    return not is_browser or asked.headers.get("sec-fetch-site", "").lower() in ("same-origin", "none")


def _is_ours(said: str, asked: Asked) -> bool:
    """This host, by https or as the request came: what was fetched in the clear may be anybody's page."""
    try:
        given, here = urlsplit(said), urlsplit(asked.url)
    except ValueError:
        return False
    hosts = {asked.headers.get("host", "").lower(), (asked.home or "").lower()} - {""}
    return given.netloc.lower() in hosts and given.scheme in {"https", here.scheme}
