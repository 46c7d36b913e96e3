"""The log of the simulation: partitions in memory, and what is true of all that stands in it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from schemas.codec import decode
from schemas.envelope import Envelope
from schemas.topics import TOPICS
from services.kit.chain import Chain
from services.kit.log import Offsets, Outgoing, Record, TopicPartition

PARTITIONS = 2
"""Of topics that are keyed by run: few, so that runs share them."""


def lane(partition: int) -> int:
    """The simulation's partition for a partition of the topic table."""
    return partition % PARTITIONS


@dataclass
class Log:
    """Partitions in memory. An event's id covers what it says, so each is decoded once for all logs."""

    decoded: dict[tuple[str, str], Envelope] = field(default_factory=dict)
    partitions: dict[TopicPartition, list[tuple[Record, Envelope]]] = field(default_factory=dict)
    records: list[Record] = field(default_factory=list)
    """All of them, with the partitions of the topic table."""
    chains: dict[str, Chain] = field(default_factory=dict)
    events: dict[str, tuple[TopicPartition, int, Envelope]] = field(default_factory=dict)
    """By id, those that every reader of the whole log takes, and where they stand."""

    def put(self, one: Outgoing) -> Record:
        place = (one.topic, lane(one.partition))
        stored = self.partitions.setdefault(place, [])
        record = Record(one.topic, place[1], len(stored), one.key, one.headers, one.value)
        identity = one.headers["ce_id"]
        envelope = self.decoded.get((one.topic, identity))
        if envelope is None:
            envelope = decode(TOPICS[one.topic], one.key, one.headers, one.value)
            self.decoded[one.topic, identity] = envelope
        stored.append((record, envelope))
        self.records.append(replace(record, partition=one.partition))
        chain = self.chains.get(one.key)
        if chain is None:
            chain = self.chains[one.key] = Chain()
        if chain.accept(one.topic, envelope):
            self.events[identity] = (place, record.offset, envelope)
        return record

    def taken(self, record: Record) -> bool:
        """Whether a reader of the whole log takes this record, rather than another one or none."""
        place, offset, _ = self.events.get(record.headers["ce_id"], (None, -1, None))
        return place == (record.topic, record.partition) and offset == record.offset

    def ends(self, topics: Collection[str]) -> Offsets:
        return {place: len(stored) for place, stored in self.partitions.items() if place[0] in topics}

    def copy(self) -> Log:
        """A log that goes on from here by itself; what was decoded is shared."""
        return Log(
            self.decoded,
            {place: list(stored) for place, stored in self.partitions.items()},
            list(self.records),
            {key: Chain(dict(one.heads), dict(one.seen)) for key, one in self.chains.items()},
            dict(self.events),
        )
