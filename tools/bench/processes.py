"""CPU time and memory of processes, from Linux's /proc."""

import contextlib
import os
import time
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICK = os.sysconf("SC_CLK_TCK")


def known() -> bool:
    """Whether this machine tells of its processes: Linux does."""
    return Path("/proc/self/stat").exists()


def cpu_of(pid: int) -> float:
    """Seconds of CPU of a process, and of the children that it has and had, unless it is this one."""
    if pid == os.getpid():
        return time.process_time()
    total = 0.0
    for one in [pid, *children_of(pid)]:
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15] if one == pid else fields[11:13])) / _TICK
    return total


def exact_cpu_of(pid: int) -> float:
    """Seconds of CPU of a process of one thread, to the nanosecond where the kernel counts them; without its children."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / _TICK


def children_of(pid: int) -> list[int]:
    """The processes that this one started and that are there."""
    with contextlib.suppress(OSError):
        return [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    return []


def memory_of(pid: int) -> int:
    """Bytes that the process holds in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
