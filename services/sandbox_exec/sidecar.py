"""The sidecar that alone owns the container engine's socket: ``python -m services.sandbox_exec.sidecar``.

It listens at ``TDS_SANDBOX_SIDECAR`` and does two things. To a ``?`` it says what it has. To a ``+`` it
starts a container and passes bytes both ways, unread, until one side ends; then nothing of the container is
left. What a container is given is fixed here, so whoever reaches the socket gets a jail and no more.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import structlog

from services.sandbox_exec.container_jail import HELLO, PIECE, START, told
from services.sandbox_exec.engine import Engine
from services.sandbox_exec.jail import JailFailed
from services.sandbox_exec.settings import SandboxSettings, load

log = structlog.get_logger(__name__)

HELLO_S: Final = 10.0
MORE: Final = 16
"""Containers at once beyond what one service's sessions need."""


class Doorkeeper:
    """Serves one engine to whoever comes."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._under_way = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end."""
        try:
            async with asyncio.timeout(HELLO_S):
                asked = await reader.read(1)
            if asked == HELLO:
                engine = self.engine
                has = {"tier": engine.tier, "languages": engine.languages, "packages": engine.packages}
                writer.write(told(has))
            elif asked == START:
                await self._counted(reader, writer)
        except (OSError, TimeoutError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _counted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        most = self.engine.limits.sessions + MORE
        if self._under_way >= most:
            writer.write(told({"failed": f"{most} containers run already"}))
            return
        self._under_way += 1
        try:
            await self._container(reader, writer)
        finally:
            self._under_way -= 1

    async def _container(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop, pool, name = asyncio.get_running_loop(), self.engine.pool, self.engine.named()
        passing: list[asyncio.Task[None]] = []
        inner: asyncio.StreamWriter | None = None
        try:
            speaking = await loop.run_in_executor(pool, self.engine.start, name)
            speaking.setblocking(False)
            outer, inner = await asyncio.open_connection(sock=speaking)
            passing = [asyncio.create_task(passed(reader, inner)), asyncio.create_task(passed(outer, writer))]
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
            if passing[1].done():
                writer.write(
                    told(dataclasses.asdict(await loop.run_in_executor(pool, self.engine.fate, name)))
                )
        except JailFailed as error:
            log.warning("a container did not start", error=str(error))
            writer.write(told({"failed": str(error)}))
        finally:
            for one in passing:
                one.cancel()
            await asyncio.gather(*passing, return_exceptions=True)
            if inner is not None:
                inner.transport.abort()
            await asyncio.shield(loop.run_in_executor(pool, self.engine.remove, name))


async def passed(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Pass bytes on until one side ends."""
    with contextlib.suppress(OSError):
        while piece := await source.read(PIECE):
            target.write(piece)
            await target.drain()


async def serve(settings: SandboxSettings) -> None:
    """Serve until told to stop.

    Raises:
        JailFailed: the engine lacks something.
        OSError: the socket cannot be made.
    """
    tier = settings.sandbox if settings.sandbox.startswith("docker-") else "docker-gvisor"
    keeper = Doorkeeper(Engine(tier, settings.sandbox_image, settings.limits))
    path = settings.sandbox_sidecar
    stopped = asyncio.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(one, stopped.set)
    connections: set[asyncio.Task[None]] = set()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(keeper.serve(reader, writer))
        connections.add(task)
        task.add_done_callback(connections.discard)

    try:
        with listening(path) as at:
            server = await asyncio.start_unix_server(begin, sock=at)
            log.info("serving", tier=tier, socket=path)
            await stopped.wait()
            server.close()
            for task in connections:
                task.cancel()
            await asyncio.gather(*connections, return_exceptions=True)
    finally:
        keeper.engine.close()


@contextlib.contextmanager
def listening(path: str) -> Iterator[socket.socket]:
    """A socket in the file system; who may come is who is given its folder."""
    place = Path(path)
    place.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)
        place.chmod(0o666)
        made.listen(64)
        yield made
    place.unlink(missing_ok=True)


def main() -> None:
    """Read the settings and serve; 1 where that cannot be."""
    try:
        settings = load()
        if not settings.sandbox_sidecar:
            raise ValueError("TDS_SANDBOX_SIDECAR is not set: name the socket to listen at")  # noqa: TRY301
        asyncio.run(serve(settings))
    except (ValueError, OSError, JailFailed) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
