"""Numbers that one process of this machine holds at a time; the kernel frees them when it dies.

What bears a number that nobody holds is left over: whoever holds the number may clear it away.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path


class AllHeld(RuntimeError):  # noqa: N818  (a state of the machine; the text says what to do)
    """Every number is held by another process."""


class Number:
    """A number below ``most``, this process's own until it is closed."""

    def __init__(self, folder: Path, most: int, reap: Callable[[list[int]], None]) -> None:
        """Take the first free number; ``reap`` is given all that are free, while nobody else can take them.

        Raises:
            AllHeld: none is free.
            OSError: the folder of the locks cannot be used.
        """
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
            raise OSError(f"{folder} is not a folder of this user; remove it")
        free = []
        for number in range(most):
            lock = os.open(folder / f"{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            free.append((number, lock))
        kept = -1
        try:
            if not free:
                raise AllHeld(f"{most} services run sandboxes here already; stop one of them")
            reap([number for number, _ in free])
            self.value, kept = free[0]
        finally:
            for _, lock in free:
                if lock != kept:
                    os.close(lock)
        self._lock = kept

    def close(self) -> None:
        """Give it back."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
