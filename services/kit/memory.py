"""The log in memory: for replay, previews and tests. The same port, gone with the process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from services.kit.log import Consumer, Offsets, Outgoing, Record, TopicPartition, take_when_appended


class MemoryLog:
    """An EventLog held in lists. ``records`` is everything, in the order it was appended."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self._ends: Offsets = {}
        self._groups: dict[str, Offsets] = {}
        self._appended = asyncio.Condition()

    def put(self, records: Sequence[Outgoing]) -> list[Record]:
        """Append without waking anybody: for a driver that has no event loop. Returns the records."""
        stored = []
        for record in records:
            place = (record.topic, record.partition)
            offset = self._ends.get(place, 0)
            self._ends[place] = offset + 1
            stored.append(
                Record(record.topic, record.partition, offset, record.key, record.headers, record.value)
            )
        self.records.extend(stored)
        return stored

    async def append(
        self,
        records: Sequence[Outgoing],
        *,
        group: str = "",
        offsets: Mapping[TopicPartition, int] | None = None,
    ) -> None:
        """See EventLog."""
        self.put(records)
        if offsets:
            await self.commit(group, offsets)
        async with self._appended:
            self._appended.notify_all()

    def consumer(self, topics: Sequence[str], start: Mapping[TopicPartition, int]) -> Consumer:
        """See EventLog."""
        return MemoryConsumer(self.records, frozenset(topics), dict(start), self._appended)

    async def ends(self, topics: Sequence[str]) -> Offsets:
        """See EventLog."""
        return {place: end for place, end in self._ends.items() if place[0] in topics}

    async def committed(self, group: str) -> Offsets:
        """See EventLog."""
        return dict(self._groups.get(group, {}))

    async def commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """See EventLog."""
        self._groups.setdefault(group, {}).update(offsets)

    async def close(self) -> None:
        """See EventLog."""


class MemoryConsumer:
    """Reads a MemoryLog in the order of its appends."""

    def __init__(
        self, records: list[Record], topics: frozenset[str], start: Offsets, appended: asyncio.Condition
    ) -> None:
        self._records = records
        self._topics = topics
        self._start = start
        self._appended = appended
        self._position = 0

    async def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """See Consumer."""
        return await take_when_appended(lambda: self._take(max_records), self._appended, timeout_s)

    async def close(self) -> None:
        """See Consumer."""

    def _take(self, max_records: int) -> list[Record]:
        found: list[Record] = []
        while self._position < len(self._records) and len(found) < max_records:
            record = self._records[self._position]
            self._position += 1
            wanted = record.offset >= self._start.get((record.topic, record.partition), 0)
            if record.topic in self._topics and wanted:
                found.append(record)
        return found
