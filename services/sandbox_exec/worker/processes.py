"""What the kernel shows of the processes in the jail."""

from __future__ import annotations

import contextlib
import os

TICKS = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")
COUNTED = (
    ("/sys/fs/cgroup/memory/memory.oom_control", "/sys/fs/cgroup/memory.events", "oom_kill"),
    ("/sys/fs/cgroup/pids/pids.events", "/sys/fs/cgroup/pids.events", "max"),
)
"""Where a control group of version 1 or 2, seen from within, tells what it had to do."""


def stat_of(name: str) -> list[str]:
    """The fields of a process's stat after its name, the state first; none where it is gone."""
    try:
        with open(f"/proc/{name}/stat") as source:
            return source.read().rpartition(")")[2].split()
    except OSError:
        return []


def cpu_of(name: str, fields: list[str]) -> float:
    """Seconds of processor time by a process's stat, with its ended children's; of the first only theirs."""
    return sum(map(int, fields[13 if name == "1" else 11 : 15])) / TICKS


def kernel_counts() -> tuple[int, ...]:
    """How many processes were killed for memory, and not made for their number, where that can be seen."""
    found = []
    for first, second, name in COUNTED:
        count = 0
        for path in (first, second):
            with contextlib.suppress(OSError, ValueError), open(path) as told:
                count += sum(int(line.split()[1]) for line in told if line.split()[:1] == [name])
        found.append(count)
    return tuple(found)
