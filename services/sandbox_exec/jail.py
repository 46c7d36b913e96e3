"""The port of jails: a started sandbox with the worker's bootstrap in it, and who makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

START_S: Final = 20.0
MAX_SAID: Final = 4000


class JailFailed(RuntimeError):  # noqa: N818  (the text says what was wrong)
    """The sandbox could not be started, or ended where it must not."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the kernel has seen of a jail so far, where it can be asked: zeros where not."""

    killed: int = 0
    """Processes that were killed because the memory was used up."""
    refused: int = 0
    """How often a process was not made because there were too many."""
    peak_bytes: int = 0
    """The most memory used since it was last asked."""


class Jail(Protocol):
    """A sandbox whose worker is spoken to by its standard input and output."""

    @property
    def native(self) -> bool:
        """Whether it runs this Python, with its system calls filtered, as a user that is its own.

        Else the worker is sent as text, loads the filter itself, and sets no limits that are counted by user.
        """

    def send(self, data: bytes) -> None:
        """Write to the worker."""

    async def receive(self, count: int) -> bytes:
        """So many bytes of what the worker says.

        Raises:
            EOFError: it ends before.
            OSError: it is gone.
            ValueError: nonsense arrives.
        """

    def alive(self) -> bool:
        """Whether it still runs, as far as is known."""

    def enclose(self) -> None:
        """Put all that runs in it under what bounds it as a whole. Before any code of a call.

        Raises:
            OSError: a process is gone.
        """

    async def seen(self) -> Seen:
        """What the kernel has seen of it."""

    async def last_words(self) -> str:
        """What it said on its standard error."""

    async def end(self) -> None:
        """Kill everything in it, and return when nothing of it is left. May be called twice."""


class Jailer(Protocol):
    """Makes jails of one kind."""

    name: str
    languages: tuple[str, ...]
    packages: tuple[str, ...]
    ready: int
    """How many are to be started ahead."""

    async def start(self) -> Jail:
        """Start one, whose bootstrap waits for the worker.

        Raises:
            JailFailed: it does not start; the text says why.
        """

    def close(self) -> None:
        """Give back what it holds; all of its jails have ended."""
