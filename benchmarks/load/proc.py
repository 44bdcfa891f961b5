"""What the kernel says of a process: its CPU time and its memory, from ``/proc``."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ("CpuTime", "Memory", "cpu_time", "machine", "memory")

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_CPUCLOCK_SCHED = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuTime:
    """CPU time since the start of a process, all threads, in seconds."""

    user_s: float
    "From /proc/PID/stat, in steps of 10 ms."
    system_s: float
    total_s: float
    "User and system: the same account, in nanoseconds."
    threads_s: dict[int, float]
    "By thread id, in nanoseconds where the kernel tells them (schedstat), else in steps of 10 ms."
    waits_s: dict[int, float]
    "By thread id: how long it could have run and others had its core; 0 where the kernel does not tell."


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """A process's memory in bytes, without what the kernel holds for its sockets."""

    private: int
    pss: int
    "Private, and its share of what it shares."


def _stat_times(path: Path) -> tuple[float, float]:
    # proc(5): the name in parentheses may hold anything; utime and stime are fields 14 and 15.
    fields = path.read_text().rpartition(")")[2].split()
    return int(fields[11]) / TICKS_PER_S, int(fields[12]) / TICKS_PER_S


def _thread_s(task: Path) -> tuple[float, float]:
    try:
        ran, waited, _ = (task / "schedstat").read_text().split()
    except OSError:
        return sum(_stat_times(task / "stat")), 0.0
    return int(ran) / 1e9, int(waited) / 1e9


def cpu_time(pid: int) -> CpuTime:
    """Return the CPU time of a process."""
    user_s, system_s = _stat_times(Path(f"/proc/{pid}/stat"))
    threads = {int(task.name): _thread_s(task) for task in Path(f"/proc/{pid}/task").iterdir()}
    # clock_getcpuclockid(3): the CPU clock of any process. /proc tells the same in steps of 10 ms, which is a tenth of
    # what a hundred calls take in three seconds.
    total_s = time.clock_gettime(~pid << 3 | _CPUCLOCK_SCHED)
    return CpuTime(
        user_s=user_s,
        system_s=system_s,
        total_s=total_s,
        threads_s={thread: ran for thread, (ran, _) in threads.items()},
        waits_s={thread: waited for thread, (_, waited) in threads.items()},
    )


def memory(pid: int) -> Memory:
    """Return the memory of a process."""
    sizes: dict[str, int] = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, value, *_ = line.split()
        sizes[name.rstrip(":")] = int(value) * 1024
    return Memory(private=sizes["Private_Clean"] + sizes["Private_Dirty"], pss=sizes["Pss"])


def machine() -> str:
    """Return a generic name of the machine."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{os.cpu_count()} cores, {line.partition(':')[2].strip()}"
    return f"{os.cpu_count()} cores"
