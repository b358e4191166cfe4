"""Asking for an access token (RFC 6749 section 4.4 or 6), one request for one token.

A token endpoint is chosen by a tenant, as a relay is, so the same network policy holds: the name is looked up once,
every address is judged, and a judged one is dialled. Redirections are not followed: the secret would go along.
"""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address

import httpx2

from postroom.domain.delivery import Scope
from postroom.domain.problems import Invalid
from postroom.domain.token_endpoint import TokenEndpoint
from postroom.smtp import reach as network
from postroom.smtp import tls
from postroom.smtp.failure import Failure
from postroom.smtp.grant import Grant, Issued, failed, read
from postroom.smtp.reach import Reach

LARGEST_ANSWER = 64 * 1024
MOST_ADDRESSES = 8
HTTPS = 443


@dataclass(frozen=True, slots=True)
class _Endpoint:
    url: httpx2.URL
    host: str
    port: int


async def ask_for_token(grant: Grant, reach: Reach, seconds: float) -> Issued | Failure:
    """A new one, in this time, or why there is none."""
    try:
        async with asyncio.timeout(seconds):
            return await _ask(grant, reach, seconds)
    except TimeoutError:
        return failed("oauth.temporary", "The token endpoint did not answer in time.", Scope.RELAY)


async def _ask(grant: Grant, reach: Reach, seconds: float) -> Issued | Failure:
    endpoint = _endpoint(grant.url)
    if isinstance(endpoint, Failure):
        return endpoint
    addresses = await _judged(endpoint, reach)
    if isinstance(addresses, Failure):
        return addresses
    # A dead address must leave time for the next one.
    async with _client(grant, seconds, seconds / (len(addresses) + 1)) as client:
        return await _at_one_of(addresses, client, endpoint, grant)


def _endpoint(url: str) -> _Endpoint | Failure:
    try:
        parsed = TokenEndpoint.parse(url)
        return _Endpoint(httpx2.URL(url), parsed.host, parsed.port)
    except (httpx2.InvalidURL, Invalid):
        what = "The token endpoint's address has no usable host or port."
        return failed("oauth.unreachable", what, Scope.PROFILE)


async def _judged(endpoint: _Endpoint, reach: Reach) -> tuple[str, ...] | Failure:
    host, port = endpoint.host, endpoint.port
    addresses = await network.resolve(reach, host, port)
    if isinstance(addresses, Failure):
        return failed("oauth.unreachable", f"Looking up the token endpoint failed. {addresses.what}", addresses.scope)
    # What the domain lets go unencrypted is for this machine only, whatever a look-up says of "localhost".
    open_outside = endpoint.url.scheme != "https" and not all(ip_address(a).is_loopback for a in addresses)
    if open_outside or network.refused(reach.also_at(HTTPS), host, addresses, port):
        what = f"The network policy of this installation does not let the token endpoint be at {host}, port {port}."
        return failed("oauth.address_refused", what, Scope.PROFILE)
    return addresses[:MOST_ADDRESSES]


def _client(grant: Grant, seconds: float, seconds_to_connect: float) -> httpx2.AsyncClient:
    """Without proxies and .netrc from the environment: only what was judged is dialled."""
    return httpx2.AsyncClient(
        transport=httpx2.AsyncHTTPTransport(verify=tls.for_https(grant.authorities), trust_env=False),
        trust_env=False,
        follow_redirects=False,
        timeout=httpx2.Timeout(seconds, connect=seconds_to_connect),
    )


async def _at_one_of(
    addresses: Sequence[str], client: httpx2.AsyncClient, endpoint: _Endpoint, grant: Grant
) -> Issued | Failure:
    unreachable = failed("oauth.unreachable", f"Nothing answers at the token endpoint {endpoint.host}.", Scope.RELAY)
    for address in addresses:
        try:
            return await _post(client, endpoint, address, grant)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            # Before a connection stands nothing was asked, so the next address may be.
            if _is_about_certificate(error):
                what = f"The certificate of the token endpoint {endpoint.host} could not be verified."
                return failed("oauth.untrusted", what, Scope.PROFILE)
        except httpx2.HTTPError:
            what = f"The token endpoint {endpoint.host} cut the connection or did not answer in HTTP."
            return failed("oauth.temporary", what, Scope.RELAY)
    return unreachable


async def _post(client: httpx2.AsyncClient, endpoint: _Endpoint, address: str, grant: Grant) -> Issued | Failure:
    """To this address; in the TLS handshake and the Host header the endpoint keeps its name."""
    request = client.stream(
        "POST",
        endpoint.url.copy_with(host=address),
        data=grant.form(),
        headers={
            "Host": endpoint.url.netloc.decode("ascii"),
            "Accept": "application/json",
            "Accept-Encoding": "identity",  # so that the limit is one on what there is to be read
            "User-Agent": "Postroom",
            **grant.headers(),
        },
        extensions={"sni_hostname": endpoint.host},
    )
    async with request as response:
        body = bytearray()
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > LARGEST_ANSWER:
                what = f"The token endpoint answered with more than {LARGEST_ANSWER // 1024} KiB."
                return failed("oauth.malformed", what, Scope.PROFILE)
        return read(grant, endpoint.host, response.status_code, bytes(body))


def _is_about_certificate(error: BaseException) -> bool:
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, ssl.SSLCertVerificationError):
        cause = cause.__cause__ or cause.__context__
    return cause is not None
