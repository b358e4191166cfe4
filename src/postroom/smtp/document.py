"""Fetching one JSON document of an issuer of tokens that the operator named, under the rules for token endpoints.

https (http on loopback only), no redirections, no proxies; the name is looked up once, every address is judged, a
judged one is dialled. Which relays tenants may use (POSTROOM_RELAY_NETWORKS) is another question: the operator chose
this host, so only what is never dialled (link-local, metadata, our own port) is refused.
"""

import asyncio
import json
from ipaddress import ip_address
from typing import Any

import httpx2

from postroom.domain.problems import Invalid, Unavailable
from postroom.domain.token_endpoint import TokenEndpoint
from postroom.smtp import reach as network
from postroom.smtp import tls
from postroom.smtp.failure import Failure
from postroom.smtp.reach import Reach

LARGEST = 512 * 1024  # octets
PATIENCE = 5.0  # seconds, for all of it: a request of somebody waits for it


async def fetch(url: str, reach: Reach) -> dict[str, Any]:
    """The document. Raises Unavailable, saying why."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await _fetch(url, reach)
    except (TimeoutError, httpx2.TimeoutException):
        raise Unavailable(f"No answer in {PATIENCE:.0f} s from {url}.") from None
    except httpx2.HTTPError as error:
        raise Unavailable(f"{type(error).__name__} at {url}: {error}.") from None
    except (Invalid, httpx2.InvalidURL):
        raise Unavailable(f"Not an https:// address (http:// on loopback only): {url}.") from None


async def _fetch(url: str, reach: Reach) -> dict[str, Any]:
    parsed, endpoint = httpx2.URL(url), TokenEndpoint.parse(url)
    address = await _judged(endpoint, reach)
    transport = httpx2.AsyncHTTPTransport(verify=tls.for_https(None), trust_env=False)
    async with (
        httpx2.AsyncClient(transport=transport, trust_env=False, follow_redirects=False, timeout=PATIENCE) as client,
        client.stream(
            "GET",
            parsed.copy_with(host=address),
            headers={"Host": parsed.netloc.decode("ascii"), "Accept": "application/json",
                     "Accept-Encoding": "identity", "User-Agent": "Postroom"},
            extensions={"sni_hostname": endpoint.host},
        ) as response,
    ):  # fmt: skip
        if response.status_code != 200:
            raise Unavailable(f"Status {response.status_code} from {url}.")
        body = bytearray()
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > LARGEST:
                raise Unavailable(f"More than {LARGEST // 1024} KiB from {url}.")
    return _object(bytes(body), url)


async def _judged(endpoint: TokenEndpoint, reach: Reach) -> str:
    addresses = await network.resolve(reach, endpoint.host, endpoint.port)
    if isinstance(addresses, Failure):
        raise Unavailable(addresses.what)
    open_outside = not endpoint.encrypted and not all(ip_address(each).is_loopback for each in addresses)
    if open_outside or network.refused(reach, endpoint.host, addresses, endpoint.port):
        raise Unavailable(f"{endpoint.host}, port {endpoint.port}, may not be dialled.")
    return addresses[0]


def _object(body: bytes, url: str) -> dict[str, Any]:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict):
        raise Unavailable(f"No JSON object at {url}.")
    return said
