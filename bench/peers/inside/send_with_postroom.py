"""Postroom's client as its worker uses it: `await pool.send(…)` by many callers, one pool, its own connections.

Its permit for the final dot is given at once: nothing is committed here. Connections are kept, as everybody else's are.
"""

import asyncio
import sys
from ipaddress import ip_network
from itertools import count

import load

from postroom.domain.delivery import Sent
from postroom.domain.message import Envelope
from postroom.domain.profile import Profile, Security
from postroom.smtp.pool import Pool
from postroom.smtp.reach import Reach
from postroom.smtp.route import Route

CALLERS = 4  # for each connection, so that there is a next message to write behind a final dot


def pool_of(port: int, connections: int) -> Pool:
    profile = Profile(host="127.0.0.1", port=port, security=Security.NONE, sender_address=load.SENDER)
    route = Route(profile, None, Reach((ip_network("127.0.0.0/8"),)), "bench.example")
    return Pool(route, most_connections=connections, messages_per_connection=sys.maxsize)


async def send(pool: Pool, job: load.Load, content: bytes, tickets: "count[int]") -> None:
    envelope = Envelope(load.SENDER, (load.RECIPIENT,))
    while next(tickets) < job.messages:
        attempt = await pool.send(envelope, content, lambda answer: answer(True))
        (outcome,) = attempt.outcomes.values()
        if not isinstance(outcome, Sent):
            raise RuntimeError(f"not sent: {outcome}")


async def main() -> None:
    job = load.asked()
    content, tickets = job.content, count()
    pool = pool_of(job.port, job.connections)
    job.start()
    await asyncio.gather(*(send(pool, job, content, tickets) for _ in range(job.connections * CALLERS)))
    job.tell()
    await pool.close()


if __name__ == "__main__":
    asyncio.run(main())
