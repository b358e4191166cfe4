"""When the certificates end that relays have shown, for whoever wants to be told before."""

import ssl
from collections.abc import Mapping

MOST_RELAYS = 1000


class Certificates:
    """One for all routes of a process. Only verified ones are known: others are not even parsed."""

    def __init__(self) -> None:
        self._ends: dict[str, float] = {}

    def saw(self, relay: str, facts: Mapping[str, str]) -> None:
        if "expires" in facts:
            self._ends.pop(relay, None)
            self._ends[relay] = ssl.cert_time_to_seconds(facts["expires"])
            if len(self._ends) > MOST_RELAYS:
                del self._ends[next(iter(self._ends))]  # whoever was not seen for longest

    def ends(self) -> Mapping[str, float]:
        """Seconds since 1970, by the relay's name and port."""
        return dict(self._ends)
