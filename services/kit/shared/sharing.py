"""Where a service takes up the Redis that replicas share: checked at start, closed at the end.

Without ``TDS_REDIS`` nothing is shared, and nothing of it is imported.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from services.kit.models.retry import Gate
from services.kit.settings import KitSettings

if TYPE_CHECKING:
    from services.kit.shared.redis import Shared

START_S: Final = 20.0
"""How long ``check`` keeps trying."""


class SharedError(Exception):
    """Redis cannot be used; the text says where it was looked for and what is wrong, without passwords."""


@asynccontextmanager
async def sharing(settings: KitSettings, *, seed: int = 0) -> AsyncIterator[Shared | None]:
    """The Redis of ``settings``, checked, and closed in the end; None where they name none.

    Raises:
        SharedError: it cannot be used.
    """
    if not settings.redis.get_secret_value():
        yield None
        return
    if importlib.util.find_spec("redis") is None:
        raise SharedError("TDS_REDIS is set and the package redis is missing: pip install 'tdscaling[redis]'")
    shared = shared_in(settings, seed=seed)
    try:
        await check(shared)
        yield shared
    finally:
        await shared.close()


def shared_in(settings: KitSettings, *, seed: int = 0) -> Shared:
    """The Redis that ``settings`` name, with the stack's own keys; not looked at yet.

    Raises:
        SharedError: it is no URL of one.
        ImportError: the package redis is missing.
    """
    from services.kit.shared.redis import Shared

    return Shared(settings.redis.get_secret_value(), prefix=f"{settings.kafka_prefix}tds:", seed=seed)


def gate_on(shared: Shared | None) -> Gate | None:
    """What ``ModelRouter`` takes as its gate."""
    if shared is None:
        return None
    from services.kit.shared.gate import SharedGate

    return SharedGate(shared)


async def check(
    shared: Shared, *, patience_s: float = START_S, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Whether Redis is there and takes a write; to be called where a service starts.

    What may pass is tried again for ``patience_s``; a refused password or a server of another kind is not.

    Raises:
        SharedError: with the reason.
    """
    from services.kit.shared.redis import FAILURES

    loop = asyncio.get_running_loop()
    until_s, failures = loop.time() + patience_s, 0
    while True:
        try:
            return await shared.probe()
        except FAILURES as error:
            problem, lasting = _explained(error, shared)
        wait_s = shared.wait_s(failures)
        if lasting or loop.time() + wait_s > until_s:
            raise SharedError(problem)
        failures += 1
        await sleep(wait_s)


def _explained(error: Exception, shared: Shared) -> tuple[str, bool]:
    """What is wrong, and whether it will stay so."""
    from redis.exceptions import AuthenticationError, InvalidResponse, ResponseError

    said = shared.said(error)
    if isinstance(error, AuthenticationError) or said.startswith(("NOAUTH", "WRONGPASS")):
        return f"Redis at {shared.where} refuses user or password: {said}", True
    if isinstance(error, InvalidResponse):
        return f"what listens at {shared.where} is no Redis: {said}", True
    if isinstance(error, ResponseError):
        return f"Redis at {shared.where} takes no write: {said}", False
    return f"no Redis at {shared.where}: {said}", False
