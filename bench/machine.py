"""What the figures were seen on, and what a process has used."""

import contextlib
import os
import platform
import socket
import statistics
import time
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def described(home: Path | None = None) -> str:
    """Cores, memory, versions; with a directory, also how long its disk takes to sync."""
    models = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    model = models[0].partition(":")[2].strip() if models else platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    load = f"load {os.getloadavg()[0]:.1f} at the start"
    disk = f"; 4 kB written and synced in {_sync_time(home) * 1e6:.0f} us" if home else ""
    return (
        f"{os.cpu_count()} cores ({model}), {memory:.0f} GB, Linux {platform.release()}, Python"
        f" {platform.python_version()}, {load}{disk}"
    )


def _sync_time(home: Path) -> float:
    took = []
    with (home / "sync").open("wb", buffering=0) as file:
        for _ in range(200):
            started = time.perf_counter()
            file.write(bytes(4096))
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - started)
    return statistics.median(took)


def cpu(pid: int, *, with_children: bool = False) -> float:
    """Seconds of processor time so far; with those of its descendants, alive or gone."""
    total, family = 0.0, {pid}
    stats = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            stats[int(stat.parent.name)] = stat.read_text().rpartition(")")[2].split()
    for number in sorted(stats):  # a parent is older than its children
        fields = stats[number]
        if number == pid or (with_children and int(fields[1]) in family):
            family.add(number)
            total += sum(map(int, fields[11:15] if with_children else fields[11:13]))
    return total / _TICK


def resident(pid: int) -> int:
    """Octets of memory that a process has to itself or shares, now."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
