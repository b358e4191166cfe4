"""How often a caller may ask, who does not know a key may guess, and a test mail may go out.

All of it is counted in memory, by process: nothing of it costs a request a look into the database.
"""

import math
import time
from collections.abc import Callable, Hashable
from ipaddress import IPv6Address, ip_address

from postroom.domain.access import Caller
from postroom.domain.address import Address
from postroom.domain.problems import TooMany
from postroom.domain.rate import Buckets, Rate
from postroom.domain.tenant import Tenant

REQUESTS = Rate(60_000, 0.001)  # of one caller: far more than one server answers, but not for ever
FAILED_LOGINS = Rate(60, 1.0)  # from one address (IPv6: one /64), and with one and the same wrong credential
TEST_MAILS = Rate(30, 120.0)  # of one tenant, and of one caller: 30 an hour
TEST_MAILS_TO_ONE = Rate(20, 180.0)  # to one recipient, whoever asks


class Rates:
    """`clock` gives seconds; it need not be that of the wall."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._requests = Buckets(REQUESTS)
        self._failures = Buckets(FAILED_LOGINS)
        self._test_mails = Buckets(TEST_MAILS)
        self._recipients = Buckets(TEST_MAILS_TO_ONE)

    def request(self, caller_id: str) -> None:
        """One more request of this caller. Raises TooMany."""
        wait = self._requests.take(caller_id, self._clock())
        if wait:
            raise _too_many("Too many requests with this key", wait)

    def may_log_in(self, address: str, credential: str) -> None:
        """Before a credential is looked up that was not good lately. Raises TooMany."""
        now = self._clock()
        wait = max(self._failures.wait(name, now) for name in _who(address, credential))
        if wait:
            raise _too_many("Too many failed logins from this address or with this key", wait)

    def failed_login(self, address: str, credential: str) -> None:
        """One more that was not good. Raises TooMany where there were too many before it."""
        self.may_log_in(address, credential)
        now = self._clock()
        for name in _who(address, credential):
            self._failures.take(name, now)

    def test_mail(self, caller: Caller, tenant: Tenant, recipient: Address | None) -> None:
        """One more test mail, however it was asked for. Raises TooMany, and then counts nothing."""
        now = self._clock()
        parts: list[tuple[Buckets, Hashable]] = [
            (self._test_mails, ("tenant", tenant.id)),
            (self._test_mails, ("caller", caller.key_id)),
        ]
        if recipient is not None:
            parts.append((self._recipients, str(recipient).casefold()))
        wait = max(buckets.wait(name, now) for buckets, name in parts)
        if wait:
            raise _too_many("Too many test mails from this tenant, with this key or to this recipient", wait)
        for buckets, name in parts:
            buckets.take(name, now)


def _who(address: str, credential: str) -> tuple[Hashable, Hashable]:
    return ("from", _network(address)), ("with", credential)


def _network(address: str) -> str:
    """One customer of an IPv6 network has a whole /64 (RFC 6177), so that is one address."""
    try:
        ip = ip_address(address)
    except ValueError:
        return address
    if not isinstance(ip, IPv6Address):
        return address
    return str(ip.ipv4_mapped) if ip.ipv4_mapped else str(IPv6Address(int(ip) >> 64 << 64))


def _too_many(what: str, wait: float) -> TooMany:
    seconds = math.ceil(wait)
    return TooMany(f"{what}: try again in {seconds} s.", seconds)
