"""The connection to what replicas share in Redis, and may lose at any moment.

All commands of a process go over one connection, in order; those that come together travel together.
When one fails, or takes longer than ``TIMEOUT_S``, Redis counts as gone: every question is answered None at
once, and what would be sent is dropped, until a probe in the background finds it back. So losing Redis
delays a call by ``TIMEOUT_S`` at most, twice that if a slow answer came before, and then by nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import random
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import structlog
from redis.asyncio.connection import AbstractConnection, ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as ConnectionCut
from redis.exceptions import RedisError, ResponseError

from services.kit.shared.sharing import SharedError

log = structlog.get_logger(__name__)

TIMEOUT_S: Final = 0.5
"""For one exchange, connecting included; longer than an event loop is ever kept busy."""
FIRST_WAIT_S: Final = 0.1
LONGEST_WAIT_S: Final = 5.0
"""Between two probes while Redis is gone; the wait doubles from the first to the longest."""
MAX_WAITING: Final = 1024
"""Commands not yet sent; more are treated as if Redis were gone."""
MAX_TOGETHER: Final = 128

Command = tuple[str | bytes | int, ...]
Waiting = tuple[Command, "asyncio.Future[Any] | None"]
FAILURES: Final = (RedisError, OSError)
"""What an exchange raises: Redis's errors, and those of the network, a timeout's among them."""


class Shared:
    """One Redis, shared with other replicas.

    ``prefix`` stands before every key; ``seed`` is for the jitter of waits only.
    """

    def __init__(self, url: str, *, prefix: str = "tds:", seed: int = 0) -> None:
        """A connection that is opened by the first command.

        Raises:
            SharedError: ``url`` is none of Redis.
        """
        self.where = _place(url)
        self.prefix = prefix
        self._pool = ConnectionPool.from_url(
            url, max_connections=1, protocol=2, retry=Retry(NoBackoff(), 0), socket_timeout=None
        )
        self._password = self._pool.connection_kwargs.get("password") or ""
        self._connection: AbstractConnection | None = None
        self._rng = random.Random(f"{seed}/redis")
        self._scripts: list[bytes] = []
        self._waiting: list[Waiting] = []
        self._sending: asyncio.Task[None] | None = None
        self._reviving: asyncio.Task[None] | None = None
        self._exchanging = asyncio.Lock()
        self._failures = 0
        self._back_s = -math.inf
        self._closed = False

    @property
    def gone(self) -> bool:
        """Whether everything is done without Redis at the moment."""
        return self._closed or self._reviving is not None

    async def ask(self, *command: str | bytes | int) -> Any:
        """Redis's answer; None while it is gone. Ask only what is never answered by nil."""
        if self.gone or len(self._waiting) >= MAX_WAITING:
            return None
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._push(command, answer)
        return await answer

    def send(self, *command: str | bytes | int) -> None:
        """Send without waiting for the answer; dropped while Redis is gone. ``close`` waits for it."""
        if not self.gone and len(self._waiting) < MAX_WAITING:
            self._push(command, None)

    def script(self, text: str) -> str:
        """What to call a Lua script by, with EVALSHA. It is loaded now and after every reconnect."""
        script = text.encode()
        self._scripts.append(script)
        self.send("SCRIPT", "LOAD", script)
        return hashlib.sha1(script, usedforsecurity=False).hexdigest()

    async def probe(self) -> None:
        """A small write, as every use of Redis is one.

        Raises:
            RedisError, OSError, TimeoutError: it did not go through.
        """
        (answer,) = await self._exchange([("SET", f"{self.prefix}probe", "1", "PX", 1000)])
        if isinstance(answer, Exception):
            raise answer

    async def close(self) -> None:
        """Let out what was sent, for a bounded time, and close the connection."""
        self._closed = True
        if self._sending is not None:
            await asyncio.wait({self._sending}, timeout=2 * TIMEOUT_S)
        tasks = [task for task in (self._sending, self._reviving) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._give_up()
        await self._drop()

    def said(self, error: BaseException) -> str:
        """What an error says, on one line and without the password."""
        if isinstance(error, TimeoutError):
            return f"no answer within {TIMEOUT_S:g} s"
        text = str(error) or type(error).__name__
        if self._password:
            text = text.replace(self._password, "***")
        return " ".join(text.split())[:300]

    def _push(self, command: Command, answer: asyncio.Future[Any] | None) -> None:
        self._waiting.append((command, answer))
        if self._sending is None:
            self._sending = asyncio.get_running_loop().create_task(self._send_all(), name="redis")

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MAX_TOGETHER], self._waiting[MAX_TOGETHER:]
                answers: list[Any] = [None] * len(batch)
                try:
                    answers = await self._exchange([command for command, _ in batch])
                    failed = next((answer for answer in answers if isinstance(answer, Exception)), None)
                except FAILURES as error:
                    failed = error
                finally:  # whoever asked is answered, whatever happens in here
                    _settle(batch, answers)
                if failed is not None:
                    self._lost(failed)
        finally:
            self._sending = None

    def _lost(self, error: Exception) -> None:
        log.warning("redis is gone", at=self.where, reason=self.said(error))
        self._give_up()
        if not self._closed:
            self._reviving = asyncio.get_running_loop().create_task(self._revive(), name="redis probe")

    def _give_up(self) -> None:
        waiting, self._waiting = self._waiting, []
        _settle(waiting, [None] * len(waiting))

    async def _revive(self) -> None:
        loop = asyncio.get_running_loop()
        since_s = loop.time()
        if since_s - self._back_s > LONGEST_WAIT_S:  # else it comes and goes: trust it less each time
            self._failures = 0
        await self._drop()
        while True:
            await asyncio.sleep(self.wait_s(self._failures))
            self._failures += 1
            try:
                await self.probe()
                break
            except FAILURES:
                continue
        self._reviving, self._back_s = None, loop.time()
        log.info("redis is back", at=self.where, away_s=round(self._back_s - since_s, 3))

    def wait_s(self, failures: int) -> float:
        """How long to wait before the next probe, after so many that failed."""
        longest = min(LONGEST_WAIT_S, math.ldexp(FIRST_WAIT_S, min(failures, 16)))
        return longest * self._rng.uniform(0.5, 1.0)

    async def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        """The answers, those that are errors as exceptions.

        A connection that was idle may have been closed meanwhile: then once more, over a new one.
        """
        async with asyncio.timeout(TIMEOUT_S), self._exchanging:
            if self._connection is not None:
                try:
                    return await self._over(self._connection, commands)
                except (ConnectionCut, OSError):
                    pass
            return await self._over(await self._connect(), commands)

    async def _connect(self) -> AbstractConnection:
        connection: AbstractConnection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        self._connection = connection
        try:
            await connection.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            await self._drop()
            raise
        if self._scripts:
            await self._over(connection, [("SCRIPT", "LOAD", script) for script in self._scripts])
        return connection

    async def _over(self, connection: AbstractConnection, commands: Sequence[Command]) -> list[Any]:
        answers: list[Any] = []
        try:
            await connection.send_packed_command(connection.pack_commands(commands), check_health=False)
            for _ in commands:
                try:
                    answers.append(await connection.read_response(disconnect_on_error=False))
                except ResponseError as error:
                    answers.append(error)
        except BaseException:  # a later reader would take what is still to come for its own answer
            await self._drop()
            raise
        return answers

    async def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)


def _settle(waiting: Sequence[Waiting], answers: Sequence[Any]) -> None:
    """Answer those who asked; an error's answer is None."""
    for (_, future), answer in zip(waiting, answers, strict=True):
        if future is not None and not future.done():
            future.set_result(None if isinstance(answer, Exception) else answer)


def _place(url: str) -> str:
    """HOST:PORT or the socket's path.

    Raises:
        SharedError: not a URL of Redis. Nothing of it is quoted, for a part may be one of the password.
    """
    problem = "TDS_REDIS is no URL of a Redis: write redis://[USER:PASSWORD@]HOST:PORT/DB"
    try:
        parts = urlsplit(url)
        port = parts.port or 6379
    except ValueError:
        raise SharedError(problem) from None
    if "@" in f"{parts.path}{parts.query}{parts.fragment}":
        raise SharedError(f"{problem}, with / ? # @ in the password as %2F %3F %23 %40")
    if parts.scheme == "unix" and parts.path:
        return parts.path
    options = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    database = parts.path.strip("/")
    if (
        parts.scheme not in ("redis", "rediss")
        or not parts.hostname
        or (database and not (database.isascii() and database.isdigit()))
        or not all(name.startswith("ssl_") for name in options)
    ):
        raise SharedError(problem)
    return f"{parts.hostname}:{port}"
