"""Numbers that one process of this machine holds at a time; the kernel frees them when it dies.

What bears a number that nobody holds is left over: whoever holds the number may clear it away.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

DOOR_S: Final = 30.0
"""How long others may be at taking a number, which is when they hold all that are free."""


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
        with _alone(folder / "door.lock"):
            self.value, self._lock = _first_free(folder, most, reap)

    def close(self) -> None:
        """Give it back."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


def _first_free(folder: Path, most: int, reap: Callable[[list[int]], None]) -> tuple[int, int]:
    """A number, and the descriptor that holds it. Meanwhile all free ones are held."""
    free = []
    try:
        for number in range(most):
            lock = os.open(folder / f"{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(lock)
                continue
            free.append((number, lock))
        if not free:
            raise AllHeld(f"{most} services run sandboxes here already; stop one of them")
        reap([number for number, _ in free])
        return free.pop(0)
    finally:
        for _, lock in free:
            os.close(lock)


@contextlib.contextmanager
def _alone(door: Path) -> Iterator[None]:
    """Hold this lock; wait for others to come out, but not for ever.

    Raises:
        AllHeld: they do not.
    """
    lock = os.open(door, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + DOOR_S
    try:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    message = f"somebody has held {door} for {DOOR_S:.0f} s; see who does"
                    raise AllHeld(message) from None
                time.sleep(0.02)
        yield
    finally:
        os.close(lock)
