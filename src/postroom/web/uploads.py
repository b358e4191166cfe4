"""How much of request bodies may be in memory at once, over all requests."""

from collections.abc import Callable

from starlette.types import Message, Receive

from postroom.domain.problems import Unavailable

MOST_OCTETS = 128 * 2**20  # three of the largest mails, or many thousands of usual ones
RETRY_AFTER = 2  # seconds


class Uploads:
    """Octets count from when they arrive until their request is over: as long as it lives, so does its body. What was
    only announced does not count, or whoever announces much and sends nothing would shut the others out."""

    def __init__(self, most: int = MOST_OCTETS) -> None:
        self.most = most
        self.octets = 0

    def metered(self, receive: Receive) -> tuple[Receive, Callable[[], None]]:
        """`receive`, which raises Unavailable when it is too much, and what to call when the request is over."""
        mine = 0

        async def metered() -> Message:
            nonlocal mine
            message = await receive()
            size = len(message.get("body", b""))
            if self.octets + size > self.most:
                raise Unavailable("Too much is being uploaded just now: try again in a moment.", RETRY_AFTER)
            mine += size
            self.octets += size
            return message

        def over() -> None:
            self.octets -= mine

        return metered, over
