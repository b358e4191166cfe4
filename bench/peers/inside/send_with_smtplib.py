"""smtplib, one thread and one connection each, as much as the interpreter lets them run at once."""

import smtplib
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import load


def send(job: load.Load, content: bytes, tickets: "count[int]") -> None:
    with smtplib.SMTP("127.0.0.1", job.port) as client:
        while next(tickets) < job.messages:
            client.sendmail(load.SENDER, [load.RECIPIENT], content)


def main() -> None:
    job = load.asked()
    content, tickets = job.content, count()
    job.start()
    with ThreadPoolExecutor(job.connections) as pool:
        for done in [pool.submit(send, job, content, tickets) for _ in range(job.connections)]:
            done.result()
    job.tell()


if __name__ == "__main__":
    main()
