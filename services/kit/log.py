"""The EventLog port: a partitioned, ordered, durable log of records, and who has read how far.

SQLite implements it for one process, Kafka for many. Everything that knows the difference stays
behind this port; one contract suite holds for both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

TopicPartition = tuple[str, int]
Offsets = dict[TopicPartition, int]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A record about to be appended."""

    topic: str
    partition: int
    key: str
    headers: dict[str, str]
    value: bytes | None


@dataclass(frozen=True, slots=True)
class Record:
    """A record as the log has it. ``offset`` counts from 0 within (topic, partition)."""

    topic: str
    partition: int
    offset: int
    key: str
    headers: dict[str, str]
    value: bytes | None


class LogError(Exception):
    """The log cannot do what was asked. The text says what, where, and what to do."""


class Consumer(Protocol):
    """Reads partitions in order, each from its start offset on.

    Between partitions there is no order. (SQLite has one, that of the appends; nothing may rely on it.)
    """

    async def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """The next records, at least one if any comes within ``timeout_s``, at most ``max_records``."""

    async def close(self) -> None:
        """Let go of what it holds."""


class EventLog(Protocol):
    """The log."""

    async def append(
        self,
        records: Sequence[Outgoing],
        *,
        group: str = "",
        offsets: Mapping[TopicPartition, int] | None = None,
    ) -> None:
        """Append all of ``records`` durably and, where the log can, ``group``'s ``offsets`` with them.

        SQLite does both in one transaction: all or nothing. Kafka appends first, and each partition by
        itself; so whoever appends several records must bear that only some of them arrive.

        Raises:
            LogError: it cannot be said that all of this call was appended.
        """

    def consumer(self, topics: Sequence[str], start: Mapping[TopicPartition, int]) -> Consumer:
        """A reader of every partition of ``topics``; those not in ``start`` are read from offset 0."""

    async def ends(self, topics: Sequence[str]) -> Offsets:
        """Where each non-empty partition ends now: the offset of the next record."""

    async def committed(self, group: str) -> Offsets:
        """The offsets that ``group`` has committed: the next record it wants, per partition."""

    async def commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit ``offsets`` for ``group``."""

    async def close(self) -> None:
        """Let go of everything. Appends under way are finished first."""


async def take_when_appended(
    take: Callable[[], list[Record]], appended: asyncio.Condition, timeout_s: float
) -> list[Record]:
    """What ``take`` finds now or, if that is nothing, after an append within ``timeout_s``."""
    found = take()
    if found or timeout_s <= 0:
        return found
    try:
        async with asyncio.timeout(timeout_s), appended:
            while not (found := take()):
                await appended.wait()
    except TimeoutError:
        return []
    return found
