"""Control groups (version 1) around sandboxes, where this process may make them: memory and processes.

They bound a sandbox as a whole, see what the kernel killed, and know the peak. Where there are none, limits
of single processes and the supervisor's own looks at all of them must do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path("/sys/fs/cgroup")
FOLDER: Final = "tds-sandbox"
CONTROLLERS: Final = ("memory", "pids")
REMOVE_S: Final = 2.0


class Groups:
    """Where this process makes its groups, one folder a controller."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self._folders = folders

    @classmethod
    def here(cls) -> Groups | None:
        """The place beneath this process's own groups; None where they cannot be made."""
        try:
            lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
            own = {
                name: path
                for _, names, path in (line.split(":", 2) for line in lines)
                for name in names.split(",")
            }
            folders = {one: ROOT / one / own[one].lstrip("/") / FOLDER for one in CONTROLLERS}
            for folder in folders.values():
                folder.mkdir(exist_ok=True)
                if not os.access(folder / "cgroup.procs", os.W_OK):
                    return None
        except (OSError, KeyError, ValueError):
            return None
        return cls(folders)

    def make(self, name: str, *, memory_bytes: int, processes: int) -> Group:
        """A group with these bounds.

        Raises:
            OSError: it cannot be made.
        """
        group = Group({one: folder / name for one, folder in self._folders.items()})
        group.remove()
        for folder in group.folders.values():
            folder.mkdir(parents=True)
        _write(group.folders["memory"] / "memory.limit_in_bytes", memory_bytes)
        with contextlib.suppress(OSError):
            _write(group.folders["memory"] / "memory.memsw.limit_in_bytes", memory_bytes)
        _write(group.folders["pids"] / "pids.max", processes)
        return group

    def close(self) -> None:
        """Remove the place, unless groups of another service are there."""
        for folder in self._folders.values():
            with contextlib.suppress(OSError):
                folder.rmdir()

    def reap(self, *names: range) -> None:
        """Remove left-over groups of these names, and kill what is in them."""
        for folder in self._folders.values():
            for found in folder.iterdir():
                if found.name.isdigit() and any(int(found.name) in some for some in names):
                    Group({"": found}).remove()


class Group:
    """One sandbox's groups."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self.folders = folders

    def add(self, process: int) -> None:
        """Put a process in; what it starts from now on is in, too.

        Raises:
            OSError: it is gone.
        """
        for folder in self.folders.values():
            _write(folder / "cgroup.procs", process)

    def killed(self) -> int:
        """How many of its processes the kernel killed because the memory was used up."""
        return _counted(self.folders["memory"] / "memory.oom_control", "oom_kill")

    def refused(self) -> int:
        """How often a process was not made because there were too many."""
        return _counted(self.folders["pids"] / "pids.events", "max")

    def peak(self) -> int:
        """The most memory used since it was last asked, in bytes."""
        mark = self.folders["memory"] / "memory.max_usage_in_bytes"
        with contextlib.suppress(OSError, ValueError):
            most = int(mark.read_text(encoding="ascii"))
            _write(mark, 0)
            return most
        return 0

    def remove(self) -> None:
        """Kill whatever is in it, and remove it; what is still busy then is left to the next start."""
        until = time.monotonic() + REMOVE_S
        for folder in self.folders.values():
            while folder.exists():
                try:
                    folder.rmdir()
                except OSError:
                    with contextlib.suppress(OSError):
                        for one in (folder / "cgroup.procs").read_text(encoding="ascii").split():
                            with contextlib.suppress(ProcessLookupError):
                                os.kill(int(one), signal.SIGKILL)
                    if time.monotonic() > until:
                        break
                    time.sleep(0.005)


def _write(path: Path, value: int) -> None:
    path.write_text(str(value), encoding="ascii")


def _counted(path: Path, name: str) -> int:
    with contextlib.suppress(OSError, ValueError):
        for line in path.read_text(encoding="ascii").splitlines():
            key, _, count = line.partition(" ")
            if key == name:
                return int(count)
    return 0
