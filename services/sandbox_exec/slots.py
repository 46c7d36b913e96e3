"""User ids for sandboxes of a service that is root: one a sandbox, none shared with anybody.

They come in blocks. A block belongs to the process that holds its lock, which the kernel releases when that
process dies, however it dies. So whoever holds a block may kill every process of its ids that it did not
start itself: they are left over.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Final

from services.sandbox_exec.locks import Number

LOCKS: Final = Path("/run/tds-sandbox")
FIRST: Final = 1_900_000_000
"""The first user id; no system gives these to a user."""
BLOCK: Final = 256
BLOCKS: Final = 64
REAP_S: Final = 5.0


class NoSlot(RuntimeError):  # noqa: N818  (a state of the machine; the text says what to do)
    """Every user id is taken."""


class Slots:
    """The user ids that this process may give to sandboxes, each to one at a time."""

    def __init__(self, reap_more: Callable[..., None] | None = None) -> None:
        """Take the first free block, and reap what is left over in every block that nobody holds.

        ``reap_more`` is handed these blocks too, while nobody else can take them.

        Raises:
            AllHeld: all blocks are taken.
            OSError: the folder of the locks cannot be used.
        """

        def reap_blocks(numbers: list[int]) -> None:
            blocks = [block(number) for number in numbers]
            reap(*blocks)
            if reap_more is not None:
                reap_more(*blocks)

        self._number = Number(LOCKS, BLOCKS, reap_blocks)
        self.users = block(self._number.value)
        self._free = deque(self.users)

    def take(self) -> int:
        """A user id; the one that has rested longest.

        Raises:
            NoSlot: all are in use.
        """
        if not self._free:
            raise NoSlot(f"all {BLOCK} user ids of this service are in use")
        return self._free.popleft()

    def give(self, user: int) -> None:
        """The id is used no longer: nothing of it may run."""
        self._free.append(user)

    def close(self) -> None:
        """Give the block back."""
        self._number.close()


def block(number: int) -> range:
    """The user ids of a block."""
    return range(FIRST + number * BLOCK, FIRST + (number + 1) * BLOCK)


def processes(*users: range) -> list[int]:
    """Living processes of these user ids; one that is dead is its parent's to reap, or the machine's."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/status", encoding="utf-8") as status:
                told = dict(line.split(":", 1) for line in status if line.startswith(("State:", "Uid:")))
                dead = told["State"].split()[0] in ("Z", "X")
                if not dead and any(int(told["Uid"].split()[0]) in one for one in users):
                    found.append(int(name))
    return found


def reap(*users: range) -> int:
    """Kill every process of these user ids; how many there were.

    Raises:
        OSError: some are still there after seconds.
    """
    killed: set[int] = set()
    until = time.monotonic() + REAP_S
    while left := processes(*users):
        for one in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        killed.update(left)
        if time.monotonic() > until:
            raise OSError(f"left-over processes of a sandbox cannot be killed: {left[:5]}")
        time.sleep(0.01)
    return len(killed)
