"""What those have in common that run in an environment of their own; so it needs nothing but the standard library."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

SENDER, RECIPIENT = "noreply@bench.example", "bob@bench.example"
TEXT = ("Your build has finished, and all of its tests have passed.\n" * 18)[:1024]


@dataclass
class Load:
    """So many messages over so many connections, and the clock that runs meanwhile."""

    port: int
    messages: int
    connections: int
    octets: int
    started: float = field(default_factory=time.perf_counter)
    used: float = field(default_factory=time.process_time)

    @property
    def content(self) -> bytes:
        """A mail whose body has that many octets, in lines as mail has them; its header is like smtp-source's."""
        head = (
            f"From: <{SENDER}>\r\nTo: <{RECIPIENT}>\r\nDate: Mon, 01 Jan 2024 00:00:00 +0000\r\n"
            "Message-Id: <0001.0001@bench.example>\r\nSubject: from a benchmark\r\n\r\n"
        )
        return head.encode() + (b"X" * 78 + b"\r\n") * (self.octets // 80)

    def start(self) -> None:
        self.started, self.used = time.perf_counter(), time.process_time()

    def tell(self) -> None:
        """Everything has been taken by the other side."""
        seconds, cpu = time.perf_counter() - self.started, time.process_time() - self.used
        print(json.dumps({"seconds": seconds, "cpu": cpu, "pid": os.getpid()}))


def asked() -> Load:
    parser = argparse.ArgumentParser()
    for name in ("port", "messages", "connections", "octets"):
        parser.add_argument(f"--{name}", type=int, required=True)
    return Load(**vars(parser.parse_args()))


def accept_when_told(accept: Callable[[], None]) -> None:
    """For each line on stdin: that many, one after the other; then when it began and ended, on stdout."""
    for line in sys.stdin:
        first = time.monotonic()
        for _ in range(int(line)):
            accept()
        print(json.dumps({"first": first, "last": time.monotonic()}), flush=True)


def do_when_told(do: Callable[[int], None]) -> None:
    """For each line on stdin: do it, and say so."""
    for line in sys.stdin:
        do(int(line))
        print("{}", flush=True)
