"""Callers that hand in mail all the time, and ask again with the same key when they got no answer."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count

import httpx2

from kills.ledger import Ledger, Mail

SINGLES, LISTS = 8, 3  # callers with one mail a request, and with a list
PAUSE = 0.15  # seconds between two requests of a caller, at most
PATIENCE = 0.01  # before asking again a server that is about to be known as dead


@dataclass(frozen=True, slots=True)
class Request:
    key: str
    mails: tuple[Mail, ...]
    is_list: bool

    def body(self) -> object:
        bodies = [_body(each) for each in self.mails]
        return bodies if self.is_list else bodies[0]


def _body(mail: Mail) -> dict[str, object]:
    return {
        "to": list(mail.recipients), "subject": f"Mail {mail.token}", "text": "It is done.\n" * 10,
        "headers": {"X-Campaign": mail.token}, "on_doubt": "hold" if mail.hold else "retry",
    }  # fmt: skip


class Load:
    """`up` is set while there is a server to ask."""

    def __init__(
        self, client: httpx2.AsyncClient, ledger: Ledger, dice: random.Random, up: asyncio.Event, longest_list: int
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._dice = dice
        self._up = up
        self._longest_list = longest_list
        self._numbers = count(1)
        self._stopped = asyncio.Event()
        self._callers: list[asyncio.Task[None]] = []
        self.asked_again = 0  # requests that got no answer the first time

    def start(self) -> None:
        self._callers = [asyncio.create_task(self._call(n >= SINGLES)) for n in range(SINGLES + LISTS)]

    async def stop(self) -> None:
        """Return when every request has been answered; there must be a server."""
        self._stopped.set()
        await asyncio.gather(*self._callers)

    async def _call(self, is_list: bool) -> None:
        while not self._stopped.is_set():
            await self._ask(self._request(is_list))
            await asyncio.sleep(self._dice.uniform(0, PAUSE))
            await self._up.wait()

    def _request(self, is_list: bool) -> Request:
        number = next(self._numbers)
        length = self._dice.randint(1, self._longest_list) if is_list else 1
        return Request(f"request-{number}", tuple(self._mails(number, length)), is_list)

    def _mails(self, number: int, length: int) -> Iterator[Mail]:
        for n in range(length):
            recipients = 3 if self._dice.random() < 0.1 else 1
            yield Mail(
                f"{number}-{n}",
                tuple(f"r{each}@d{self._dice.randrange(50)}.example" for each in range(recipients)),
                hold=self._dice.random() < 0.1,
            )

    async def _ask(self, request: Request) -> None:
        """Until it is answered. Nothing but 202 and 503 (it is stopping) is expected."""
        for tries in count(1):
            await self._up.wait()
            try:
                headers = {"Idempotency-Key": request.key}
                answer = await self._client.post("/v1/messages", json=request.body(), headers=headers)
            except httpx2.TransportError:
                await asyncio.sleep(PATIENCE)
                continue
            if answer.status_code == 503:
                await asyncio.sleep(PATIENCE)
                continue
            assert answer.status_code == 202, answer.text
            self.asked_again += tries > 1
            receipts = answer.json() if request.is_list else [answer.json()]
            for mail, receipt in zip(request.mails, receipts, strict=True):
                self._ledger.accept(mail, receipt["id"])
            return
