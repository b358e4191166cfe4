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


def family(pid: int) -> dict[int, list[str]]:
    """A process and its descendants that live, with what proc(5) says of each in `stat` behind its name."""
    stats, found = {}, {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            stats[int(stat.parent.name)] = stat.read_text().rpartition(")")[2].split()
    for number in sorted(stats):  # a parent is older than its children
        if number == pid or int(stats[number][1]) in found:
            found[number] = stats[number]
    return found


def cpu(pid: int, *, with_children: bool = False) -> float:
    """Seconds of processor time so far; with those of its descendants, alive or gone."""
    those = [each for number, each in family(pid).items() if with_children or number == pid]
    return sum(sum(map(int, each[11:15] if with_children else each[11:13])) for each in those) / _TICK


def resident(pid: int) -> int:
    """Octets of memory that a process and its descendants have now; what several share counts once (proc(5), Pss)."""
    return sum(_share(each) for each in family(pid))


def _share(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
