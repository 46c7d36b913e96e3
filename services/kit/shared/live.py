"""What each replica says of itself once a second, for ``tds status``: short-lived, and of no consequence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from services.kit.shared.redis import Shared

EVERY_S: Final = 1.0
TTL_S: Final = 10
INDEX_TTL_S: Final = 3600

State = Literal["starting", "standby", "active", "stopping"]


class LiveStatus(BaseModel):
    """One replica of a service, as it was at ``time``."""

    model_config = ConfigDict(frozen=True)

    service: str = Field(min_length=1, max_length=100)
    replica: str = Field(min_length=1, max_length=200)
    host: str = Field(default="", max_length=255)
    pid: int
    state: State
    open_runs: int = 0
    effects: int = 0
    """Effects under way."""
    capacity: int = 0
    """Effects that may be under way at once."""
    lag: int = 0
    """Records of its inputs that it has not folded yet, over all partitions."""
    version: str = Field(default="", max_length=100)
    time: str = Field(max_length=40)


async def announce(shared: Shared, read: Callable[[], LiveStatus]) -> None:
    """Say what ``read`` gives, every second until cancelled; then take it back."""
    key = index = member = ""
    try:
        while True:
            status = read()
            member = f"{status.service}:{status.replica}"
            key, index = f"{shared.prefix}live:{member}", f"{shared.prefix}live"
            shared.send("SET", key, status.model_dump_json(), "EX", TTL_S)
            shared.send("SADD", index, member)
            shared.send("EXPIRE", index, INDEX_TTL_S)
            await asyncio.sleep(EVERY_S)
    finally:
        if key:
            shared.send("DEL", key)
            shared.send("SREM", index, member)


async def read_live(shared: Shared) -> tuple[LiveStatus, ...] | None:
    """All replicas that said something lately, by service and replica; None while Redis is gone."""
    index = f"{shared.prefix}live"
    members = await shared.ask("SMEMBERS", index)
    if not members:
        return None if members is None else ()
    texts = await shared.ask("MGET", *(b"%s:%s" % (index.encode(), member) for member in members))
    if texts is None:
        return None
    found = []
    for member, text in zip(members, texts, strict=True):
        if text is None:
            shared.send("SREM", index, member)
            continue
        try:
            found.append(LiveStatus.model_validate_json(text))
        except ValueError:  # of another version, or not written by a replica
            continue
    return tuple(sorted(found, key=lambda one: (one.service, one.replica)))
