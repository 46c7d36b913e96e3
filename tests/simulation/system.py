"""The whole system on one seed: six services, one log, and a scheduler that is out to break them.

No event loop and no clock: the kit's windows and folds are driven directly. At every step a seeded draw
picks one of: deliver some records of one partition to one replica (so topics arrive in any order and at
any delay), take up what a replica is due, let an append reach the log (or twice, as after a lost
acknowledgement), let an effect finish, commit, crash a replica (what it had not appended is lost or lands
late), start a second replica beside the first. When nothing is left, the campaign must have ended right.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from schemas.codec import decode
from schemas.envelope import Envelope
from schemas.topics import TOPICS
from services.kit.chain import Sealed, seal
from services.kit.fold import Fold
from services.kit.log import Offsets, Outgoing, Record
from services.kit.service import Decider, Draft, Performer, Service
from services.kit.window import Task, Window, topics_of

TIME = "2026-01-01T00:00:00Z"
MAX_STEPS = 60_000


def finish(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine; the simulation's own time stands still meanwhile."""

    async def whole() -> Any:
        return await work

    return asyncio.run(whole())


@dataclass
class Log:
    """Partitions in memory. An event's id covers what it says, so each is decoded once for all logs."""

    partitions: dict[tuple[str, int], list[tuple[Record, Envelope]]] = field(default_factory=dict)
    records: list[tuple[Record, Envelope]] = field(default_factory=list)
    decoded: dict[tuple[str, str], Envelope] = field(default_factory=dict)

    def put(self, outgoing: Sequence[Outgoing]) -> None:
        for one in outgoing:
            place = (one.topic, one.partition)
            stored = self.partitions.setdefault(place, [])
            record = Record(one.topic, one.partition, len(stored), one.key, one.headers, one.value)
            known = (one.topic, one.headers["ce_id"])
            envelope = self.decoded.get(known)
            if envelope is None:
                envelope = decode(TOPICS[one.topic], one.key, one.headers, one.value)
                self.decoded[known] = envelope
            stored.append((record, envelope))
            self.records.append((record, envelope))

    def ends(self, topics: Sequence[str]) -> Offsets:
        return {place: len(stored) for place, stored in self.partitions.items() if place[0] in topics}


@dataclass
class Replica:
    """One running instance of a service."""

    service: Service
    engine: Fold | Window
    topics: frozenset[str]
    positions: Offsets
    behind: list[tuple[str, int]] = field(default_factory=list)
    """Partitions with records that it has not read."""
    tasks: list[Task] = field(default_factory=list)


@dataclass(frozen=True)
class Faults:
    """Chances per step, and how many of each kind at most."""

    crash: float = 0.01
    double_append: float = 0.02
    second_replica: float = 0.005
    max_crashes: int = 12


@dataclass
class System:
    """The services, their replicas, and everything under way."""

    services: tuple[Service, ...]
    rng: random.Random
    faults: Faults
    perform: Callable[[Performer, Any], Sequence[Draft]]
    log: Log
    capacity: int = 4
    replicas: list[Replica] = field(default_factory=list)
    appends: list[tuple[Replica, list[Sealed]]] = field(default_factory=list)
    committed: dict[str, Offsets] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def start(self, opening: Sequence[Outgoing]) -> None:
        self.put(opening)
        for service in self.services:
            self.start_replica(service)

    def start_replica(self, service: Service) -> None:
        if isinstance(service, Decider):
            topics = [topic.name for topic in service.inputs]
            engine: Fold | Window = Fold(service, self.log.ends(topics))
            start: Offsets = {}
        else:
            topics = [topic.name for topic in topics_of(service)]
            start = dict(self.committed.get(service.name, {}))
            engine = Window(service, start, self.log.ends(topics))
            self.put([one.outgoing for one in seal(service.announce, {}, service.name, TIME)])
        replica = Replica(service, engine, frozenset(topics), dict(start))
        for place, end in self.log.ends(topics).items():
            if replica.positions.get(place, 0) < end:
                replica.behind.append(place)
        self.replicas.append(replica)

    def put(self, outgoing: Sequence[Outgoing]) -> None:
        self.log.put(outgoing)
        for place in {(one.topic, one.partition): None for one in outgoing}:
            for replica in self.replicas:
                if place[0] in replica.topics and place not in replica.behind:
                    replica.behind.append(place)

    def run(self) -> None:
        for step in range(MAX_STEPS):
            if not self.step():
                return
            if step % 50 == 0 and self.rng.random() < 0.5:
                self.commit(self.rng.choice(self.replicas))
        raise AssertionError(f"no end after {MAX_STEPS} steps: {dict(self.counts)}")

    def step(self) -> bool:
        """One draw. False when nothing is left to do."""
        rng = self.rng
        chance = rng.random()
        if chance < self.faults.crash and self.counts["crash"] < self.faults.max_crashes:
            self.crash(rng.choice(self.replicas))
            return True
        chance -= self.faults.crash
        if 0 <= chance < self.faults.second_replica and self.counts["second"] < 3:
            self.counts["second"] += 1
            self.start_replica(rng.choice(self.services))
            return True
        work: list[Callable[[], None]] = []
        for replica in self.replicas:
            if replica.behind:
                work.append(partial(self.deliver, replica))
            if replica.tasks:
                work.append(partial(self.end_effect, replica))
        if self.appends:
            work.append(self.land)
        if work:
            rng.choice(work)()
            return True
        due = [self.take_up(replica) for replica in self.replicas]
        return any(due)

    def deliver(self, replica: Replica) -> None:
        place = self.rng.choice(replica.behind)
        stored = self.log.partitions[place]
        position = replica.positions.get(place, 0)
        end = min(len(stored), position + self.rng.choice((1, 1, 2, 5, 50)))
        for record, envelope in stored[position:end]:
            replica.engine.receive(record, envelope)
        replica.positions[place] = end
        if end == len(stored):
            replica.behind.remove(place)
        if self.rng.random() < 0.7:
            self.take_up(replica)

    def take_up(self, replica: Replica) -> bool:
        if isinstance(replica.engine, Fold):
            sealed, tasks = replica.engine.due(TIME), []
        else:
            sealed, tasks = replica.engine.due(max(0, self.capacity - len(replica.tasks)), TIME)
        replica.tasks.extend(tasks)
        if sealed:
            self.appends.append((replica, sealed))
        return bool(sealed or tasks)

    def end_effect(self, replica: Replica) -> None:
        assert isinstance(replica.engine, Window)
        assert isinstance(replica.service, Performer)
        task = replica.tasks.pop(self.rng.randrange(len(replica.tasks)))
        sealed = replica.engine.performed(task, self.perform(replica.service, task.effect), TIME)
        if sealed:
            self.appends.append((replica, sealed))
        self.take_up(replica)

    def land(self) -> None:
        """An append reaches the log; those of one replica keep their order, as with one connection."""
        replica = self.rng.choice(self.appends)[0]
        index = next(i for i, (owner, _) in enumerate(self.appends) if owner is replica)
        _, sealed = self.appends.pop(index)
        self.put([one.outgoing for one in sealed])
        if self.rng.random() < self.faults.double_append:
            self.counts["doubled"] += 1
            self.put([one.outgoing for one in sealed])

    def commit(self, replica: Replica) -> None:
        if isinstance(replica.engine, Window):
            known = self.committed.setdefault(replica.service.name, {})
            for place, offset in replica.engine.commits().items():
                known[place] = max(known.get(place, 0), offset)

    def crash(self, replica: Replica) -> None:
        """Everything in memory is gone. Appends on their way are lost, or land after the crash."""
        self.counts["crash"] += 1
        self.replicas.remove(replica)
        kept = []
        for owner, sealed in self.appends:
            if owner is not replica:
                kept.append((owner, sealed))
            elif self.rng.random() < 0.5:
                self.put([one.outgoing for one in sealed])
        self.appends = kept
        if not any(other.service is replica.service for other in self.replicas):
            self.start_replica(replica.service)
