"""Jails that are containers: of the engine that is asked here, or of a sidecar that alone may ask it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, ClassVar, Final

from services.sandbox_exec.engine import ASK_S, OUT, REMOVE_S, Engine, exactly, header
from services.sandbox_exec.jail import MAX_SAID, Jail, JailFailed, Seen

TOLD: Final = 3
"""Kind of the sidecar's own frames, a JSON object each."""
MAX_TOLD: Final = 1 << 16
PIECE: Final = 1 << 16
HELLO: Final = b"?"
START: Final = b"+"


class ContainerJail:
    """A started container, spoken to in the engine's frames.

    ``fate`` says what a container that is over died of; ``remove`` takes it away.
    """

    native: ClassVar[bool] = False

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        fate: Callable[[], Awaitable[Seen]],
        remove: Callable[[], Awaitable[None]],
    ) -> None:
        self._reader, self._writer = reader, writer
        self._fate, self._remove = fate, remove
        self._out = bytearray()
        self._words = bytearray()
        self._seen = Seen()
        self._ending: asyncio.Future[None] | None = None

    def send(self, data: bytes) -> None:
        """Write to the worker."""
        self._writer.write(data)

    async def receive(self, count: int) -> bytes:
        """So many bytes of what the worker says.

        Raises:
            EOFError: the container is over.
            ValueError: nonsense arrives.
        """
        while len(self._out) < count:
            await self._frame()
        found = bytes(self._out[:count])
        del self._out[:count]
        return found

    async def _frame(self) -> None:
        try:
            kind, left = header(await self._reader.readexactly(8))
            if kind == TOLD:
                self._told(await self._reader.readexactly(left) if left <= MAX_TOLD else b"")
                return
            while left:
                piece = await self._reader.read(min(left, PIECE))
                if not piece:
                    raise EOFError  # noqa: TRY301
                left -= len(piece)
                if kind == OUT:
                    self._out += piece
                elif len(self._words) < MAX_SAID:
                    self._words += piece[: MAX_SAID - len(self._words)]
        except (EOFError, ConnectionError):
            if self._seen == Seen():
                self._seen = await self._fate()
            raise EOFError from None

    def _told(self, data: bytes) -> None:
        told = json.loads(data)
        self._seen = Seen(killed=int(told.get("killed", 0)), refused=int(told.get("refused", 0)))
        self._words += str(told.get("failed", "")).encode()[:MAX_SAID]

    def alive(self) -> bool:
        """Whether it has not been seen to end."""
        return not self._reader.at_eof()

    def enclose(self) -> None:
        """It is bounded as a whole from its start."""

    async def seen(self) -> Seen:
        """What it died of, once it is over; what the kernel counts before, the worker sees."""
        return self._seen

    async def last_words(self) -> str:
        """What it said on its standard error."""
        with contextlib.suppress(TimeoutError, EOFError, ValueError):
            async with asyncio.timeout(1.0):
                while True:
                    await self._frame()
        return self._words.decode("utf-8", "replace").strip()[-500:]

    async def end(self) -> None:
        """Kill everything in it, and return when nothing of it is left. May be called twice."""
        if self._ending is None:
            self._ending = asyncio.ensure_future(self._end())
        try:
            await asyncio.shield(self._ending)
        except asyncio.CancelledError:
            await self._ending
            raise

    async def _end(self) -> None:
        # What is attached is let go first: an engine whose output nobody takes may not kill.
        with contextlib.suppress(OSError):
            if self._writer.can_write_eof():
                self._writer.write_eof()
        await self._remove()
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class Containers:
    """Makes jails by the engine itself."""

    ready = 2

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.name = engine.tier
        self.languages, self.packages = engine.languages, engine.packages

    async def start(self) -> Jail:
        """Start one.

        Raises:
            JailFailed: it does not start.
        """
        opening = asyncio.ensure_future(self._start())
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            with contextlib.suppress(JailFailed):
                await (await opening).end()
            raise

    async def _start(self) -> ContainerJail:
        name = self.engine.named()
        speaking = await self._ask(self.engine.start, name)
        speaking.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=speaking)

        async def remove() -> None:
            writer.transport.abort()
            await self._ask(self.engine.remove, name)

        return ContainerJail(reader, writer, fate=partial(self._ask, self.engine.fate, name), remove=remove)

    async def _ask(self, ask: Callable[[str], Any], name: str) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.engine.pool, ask, name)

    def close(self) -> None:
        """Let go of the engine."""
        self.engine.close()


class Sidecar:
    """Makes jails by a sidecar, which listens at a socket in the file system."""

    ready = 2

    def __init__(self, path: str, tier: str) -> None:
        """Ask it what it has.

        Raises:
            JailFailed: it does not answer, or has another tier.
        """
        self._path = path
        try:
            with socket.socket(socket.AF_UNIX) as speaking:
                speaking.settimeout(ASK_S)
                speaking.connect(path)
                speaking.sendall(HELLO)
                _, size = header(exactly(speaking, 8))
                told = json.loads(exactly(speaking, min(size, MAX_TOLD)))
        except (OSError, EOFError, ValueError) as error:
            raise JailFailed(f"no sidecar answers at {path}: {error}") from None
        if told.get("tier") != tier:
            raise JailFailed(f"the sidecar has {str(told.get('tier'))[:40]}, and {tier} is wanted")
        self.name = tier
        self.languages = tuple(str(one) for one in told["languages"])
        self.packages = tuple(str(one) for one in told["packages"])

    async def start(self) -> Jail:
        """Ask for one.

        Raises:
            JailFailed: it does not answer.
        """
        try:
            reader, writer = await asyncio.open_unix_connection(self._path)
        except OSError as error:
            raise JailFailed(f"no sidecar answers at {self._path}: {error}") from None
        writer.write(START)

        async def fate() -> Seen:
            return Seen()  # the sidecar has told it in a frame of its own

        async def removed() -> None:
            with contextlib.suppress(TimeoutError, OSError):
                async with asyncio.timeout(REMOVE_S):
                    while await reader.read(PIECE):
                        pass

        return ContainerJail(reader, writer, fate=fate, remove=removed)

    def close(self) -> None:
        """Nothing is held."""


def told(content: dict[str, Any]) -> bytes:
    """A frame of the sidecar's own."""
    body = json.dumps(content).encode()
    return struct.pack(">B3xI", TOLD, len(body)) + body
