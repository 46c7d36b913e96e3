"""One running instance of a service, and what it has sent on its way to the log."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Generator, Iterable
from dataclasses import dataclass, field
from typing import Any

from services.kit.chain import Sealed
from services.kit.fold import Fold
from services.kit.log import Offsets, Outgoing, TopicPartition
from services.kit.service import Service
from services.kit.window import Task, Window

Job = Generator[None, None, None]
"""Something that takes several steps; others may come between any two of them."""


@dataclass(eq=False)
class Producer:
    """What is on its way: in order within a partition, in any order between partitions."""

    queues: dict[TopicPartition, deque[Outgoing]] = field(default_factory=dict)

    def send(self, records: Iterable[Outgoing]) -> None:
        for one in records:
            self.queues.setdefault((one.topic, one.partition), deque()).append(one)


@dataclass(eq=False)
class Replica:
    """One instance. A performer's window knows where it stands; a decider's is kept in ``positions``."""

    service: Service
    engine: Fold | Window
    topics: frozenset[str]
    producer: Producer = field(default_factory=Producer)
    positions: Offsets = field(default_factory=dict)
    starts: Offsets = field(default_factory=dict)
    """Where reading of a performer's partitions began."""
    behind: list[TopicPartition] = field(default_factory=list)
    """Partitions with records that it has not read."""
    lagging: list[TopicPartition] = field(default_factory=list)
    """The same, of slow topics."""
    tasks: list[Task] = field(default_factory=list)
    asked: dict[int, set[Any]] = field(default_factory=lambda: defaultdict(set))
    """Requests that were handed out, by partition, since it is this replica's own."""
    generation: int = 0
    job: Job | None = None
    """Its part in a new assignment, or its leaving."""
    commit: Job | None = None
    zombie: bool = False
    """Of a decider: another one leads, and it does not know yet."""

    def position(self, place: TopicPartition) -> int:
        if isinstance(self.engine, Window):
            return self.engine.position(place)
        return self.positions.get(place, 0)

    def send(self, sealed: Iterable[Sealed]) -> None:
        self.producer.send(one.outgoing for one in sealed)
