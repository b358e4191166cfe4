"""aiosmtplib, as many clients as connections, each with the next message as soon as it is free."""

import asyncio
from itertools import count

import load
from aiosmtplib import SMTP


async def send(job: load.Load, content: bytes, tickets: "count[int]") -> None:
    async with SMTP(hostname="127.0.0.1", port=job.port, start_tls=False, use_tls=False) as client:
        while next(tickets) < job.messages:
            await client.sendmail(load.SENDER, [load.RECIPIENT], content)


async def main() -> None:
    job = load.asked()
    content, tickets = job.content, count()
    job.start()
    await asyncio.gather(*(send(job, content, tickets) for _ in range(job.connections)))
    job.tell()


if __name__ == "__main__":
    asyncio.run(main())
