"""Looks at a call while it runs: is it within its limits?"""

from __future__ import annotations

import contextlib
import os
import select
import time
from typing import Protocol

from services.sandbox_exec.worker import files
from services.sandbox_exec.worker.interpreter import Interpreter
from services.sandbox_exec.worker.pipes import Output, discard
from services.sandbox_exec.worker.processes import PAGE, cpu_of, stat_of

TICK_S = 0.02
COUNT_EVERY = 5
FOLDERS = ("/work", "/tmp", "/dev/shm")  # noqa: S108  (in the jail)


class Watched(Protocol):
    """What a watch has to know of its supervisor."""

    limits: dict[str, float]
    pid: int
    own: tuple[int, ...]
    woken: int
    interpreter: Interpreter | None
    cpu_s: float
    wall_s: float


class Watch:
    """Looks at a call while it runs."""

    def __init__(self, supervisor: Watched, began: float, cpu_before: float) -> None:
        self._supervisor = supervisor
        self._limits = supervisor.limits
        self._until = began + min(self._limits["wall_s"], self._limits["session_wall_s"] - supervisor.wall_s)
        self._cpu = cpu_before + min(self._limits["cpu_s"], self._limits["session_cpu_s"] - supervisor.cpu_s)
        self._next = began + TICK_S
        self._peak = 0
        self._looks = 0
        self._parts = os.path.exists("/proc/self/smaps_rollup")  # in gVisor not: its memory is the jail's

    def tick(self, streams: tuple[Output, ...], done: int | None) -> tuple[str, str, bool]:
        """Wait for output or an end; what limit is broken, in words, and whether ``done`` has something."""
        poll = select.poll()
        for stream in streams:
            if stream.open:
                poll.register(stream.source, select.POLLIN)
        poll.register(self._supervisor.woken, select.POLLIN)
        poll.register(self._supervisor.own[0], 0)
        if done is not None:
            poll.register(done, select.POLLIN)
        wait_s = max(0.0, self._next - time.monotonic())
        ready = {number for number, _ in poll.poll(wait_s * 1000)}
        if self._supervisor.own[0] in ready:
            os._exit(0)  # the service is gone, and with this process all else in the jail is
        discard(self._supervisor.woken)
        for stream in streams:
            if stream.source in ready:
                stream.read()
        if sum(stream.size for stream in streams) > self._limits["output_bytes"]:
            return "output_limit", f"more than {int(self._limits['output_bytes'])} bytes of output", False
        now = time.monotonic()
        if now >= self._next:
            self._next = now + TICK_S
            breach, reason = self._look(now)
            if breach:
                return breach, reason, False
        return "", "", done in ready

    def _look(self, now: float) -> tuple[str, str]:
        limits = self._limits
        if now > self._until:
            return "timeout", f"more than {limits['wall_s']:g} s, or all that the session may take"
        cpu = tasks = resident = 0.0
        for name in os.listdir("/proc"):
            if not name.isdigit() or not (fields := stat_of(name)):
                continue
            cpu += cpu_of(name, fields)
            if name not in ("1", str(self._supervisor.pid)):
                tasks += int(fields[17])
                resident += int(fields[21]) * PAGE
        self._peak = max(self._peak, int(resident))
        if cpu > self._cpu:
            return (
                "cpu_limit",
                f"more than {limits['cpu_s']:g} s of processor time, or all the session has",
            )
        if tasks >= limits["processes"] - 3:
            return "process_limit", f"more processes and threads than {int(limits['processes'])}"
        if resident > limits["memory_bytes"] and self._shared() > limits["memory_bytes"]:
            return "memory_limit", f"more than {int(limits['memory_bytes'])} bytes of memory"
        self._looks += 1
        for folder in FOLDERS:
            if crowded(folder, limits["files"], counting=self._looks % COUNT_EVERY == 0):
                return "disk_limit", f"{folder} holds more than {int(limits['files'])} files"
        return "", ""

    def _shared(self) -> int:
        """What all processes take, of what they share each its part."""
        total = 0
        if not self._parts:
            with open("/proc/meminfo") as told:
                held = {name: int(rest.split()[0]) for name, rest in (line.split(":") for line in told)}
            return (held["MemTotal"] - held["MemFree"]) * 1024
        for name in os.listdir("/proc"):
            if name.isdigit() and name != "1":
                with contextlib.suppress(OSError, ValueError), open(f"/proc/{name}/smaps_rollup") as rollup:
                    total += sum(int(line.split()[1]) * 1024 for line in rollup if line.startswith("Pss:"))
        return total

    def peak(self) -> int:
        """The most that was seen resident, in bytes; the interpreter's own mark where it is higher."""
        found = self._supervisor.interpreter
        with contextlib.suppress(OSError, ValueError):
            if found is not None:
                with open(f"/proc/{found.pid}/status") as status:
                    for line in status:
                        if line.startswith(("VmHWM:", "VmRSS:")):  # gVisor has no mark
                            self._peak = max(self._peak, int(line.split()[1]) * 1024)
        return self._peak


def crowded(folder: str, most: float, *, counting: bool = True) -> bool:
    """Whether a folder that is a file system holds more than ``most`` files.

    One that does not keep count, as gVisor's, is walked through where ``counting``.
    """
    room = os.statvfs(folder)
    if room.f_files or not counting:
        return room.f_files - room.f_ffree > most + 1
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        files.look(opened, int(most))
    except files.TooMany:
        return True
    finally:
        os.close(opened)
    return False
