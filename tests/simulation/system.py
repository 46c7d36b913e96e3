"""The whole system on one seed: six services, one log, and a scheduler that is out to break them.

No event loop and no clock: the kit's windows and folds are driven directly, as the hosts drive them. At
every step a seeded draw picks one of: deliver some records of one partition to one replica (so partitions
are read in any order and at any delay), take up what a replica is due, let some records of an append reach
the log, let an effect finish, go on with a commit or a new assignment; or one of the faults:

* a replica crashes: of what it had sent, a prefix of every partition lands, late;
* a performer's replica joins, leaves, or is taken for dead and works on, with partitions that others own
  already, until it hears of it; every change of the members leads to a new assignment, in which each commits
  or fails to, and is told its partitions, in its own time;
* a decider's standby takes over, from a crashed leader or from one that goes on for a while;
* what was appended is appended once more, late, as after a lost acknowledgement.

When nothing is left, all that was read must be committed.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from services.kit.chain import seal
from services.kit.fold import Fold
from services.kit.log import TopicPartition
from services.kit.service import Decider, Draft, Performer, Service
from services.kit.window import Window
from tests.simulation.group import Group
from tests.simulation.log import Log, lane
from tests.simulation.replica import Job, Producer, Replica

T = TypeVar("T")

TIME = "2026-01-01T00:00:00Z"
MAX_STEPS = 60_000
SELDOM = (0.01, 0.03, 0.1, 0.3)
"""One for each run: how likely it is, at a step, that something happens that takes its time."""
MOST_REPLICAS = 3


def finish(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine; the simulation's own time stands still meanwhile."""

    async def whole() -> Any:
        return await work

    return asyncio.run(whole())


@dataclass(frozen=True)
class Faults:
    """Chances per step, and how many of each kind at most."""

    crash: float = 0.008
    move: float = 0.008
    double_append: float = 0.03
    slow: float = 0.3
    max_crashes: int = 10
    max_moves: int = 8


QUIET = Faults(crash=0, move=0, double_append=0, slow=0)


@dataclass
class System:
    """The services, their replicas, and everything under way."""

    services: tuple[Service, ...]
    rng: random.Random
    faults: Faults
    perform: Callable[[Performer, Any], Sequence[Draft]]
    request: Callable[[Service, Any], Any]
    log: Log
    capacity: int = 4
    replicas: list[Replica] = field(default_factory=list)
    groups: dict[str, Group] = field(default_factory=dict)
    sending: list[Producer] = field(default_factory=list)
    late: list[Producer] = field(default_factory=list)
    """Those that are gone, or send again."""
    slow: frozenset[str] = frozenset()
    """Topics that are read with much delay."""
    hurry: float = 1.0
    starting: list[Service] = field(default_factory=list)
    results: dict[Any, list[str]] = field(default_factory=dict)
    """Of each request, the ids of the events that carried its result."""
    let_go: set[tuple[str, str]] = field(default_factory=set)
    """(service, key) of which records were committed: the key is closed, and no more kept in hand."""
    excused: set[tuple[str, str]] = field(default_factory=set)
    """Those of which a duplicate was read or came after that: who takes over then may open them anew."""
    counts: Counter[str] = field(default_factory=Counter)

    def run(self) -> None:
        """From the first step to the last, and the commits of the end."""
        self.hurry = self.pick(SELDOM)
        topics = sorted({topic.name for one in self.services for topic in one.inputs})
        self.slow = frozenset(name for name in topics if self.rng.random() < self.faults.slow)
        for service in self.services:
            for _ in range(1 if isinstance(service, Decider) else 2):
                self.start(service)
        for step in range(MAX_STEPS):
            if not self.step():
                break
            if step % 50 == 0 and self.replicas:
                self.begin_commit(self.pick(self.replicas))
        else:
            raise AssertionError(f"no end after {MAX_STEPS} steps: {dict(self.counts)}")
        self.conclude()

    def step(self) -> bool:
        """One draw. False when nothing is left to do."""
        if self.fault():
            return True
        busy: list[Replica | None] = [
            one for one in self.replicas if one.behind or one.tasks or one.commit or one.job
        ]
        if self.sending:
            busy.append(None)
        if (not busy or self.rng.random() < self.hurry) and (seldom := self.seldom()):
            self.pick(seldom)()
        elif busy:
            replica = self.pick(busy)
            if replica is None:
                self.land(self.sending)
            else:
                self.pick(self.activities(replica))(replica)
        else:
            due = [self.take_up(replica) for replica in self.replicas]
            return any(due)
        return True

    def pick(self, several: Sequence[T]) -> T:
        """One of several; as fair as it needs to be, and quick."""
        return several[int(self.rng.random() * len(several))]

    def activities(self, replica: Replica) -> list[Callable[[Replica], object]]:
        """What a replica is at."""
        found: list[Callable[[Replica], object]] = []
        if replica.behind:
            found.append(self.deliver)
        if replica.tasks:
            found.append(self.end_effect)
        if replica.commit is not None:
            found.append(self.go_on_committing)
        if replica.job is not None:
            found.append(self.go_on)
        return found

    def seldom(self) -> list[Callable[[], object]]:
        """What takes its time: slow topics, late appends, news of one's standing, starting anew."""
        found: list[Callable[[], object]] = [partial(self.start_waiting, one) for one in self.starting]
        if self.late:
            found.append(partial(self.land, self.late))
        for replica in self.replicas:
            if replica.lagging:
                found.append(partial(self.deliver, replica, slow=True))
            if replica.job is None and (
                replica.zombie
                or (isinstance(replica.engine, Window) and self.groups[replica.service.name].calls(replica))
            ):
                found.append(partial(self.hear, replica))
        return found

    # --- what goes well --------------------------------------------------------------------------------

    def start(self, service: Service) -> Replica:
        if isinstance(service, Decider):
            topics = frozenset(topic.name for topic in service.inputs)
            engine: Fold | Window = Fold(service, self.log.ends(topics))
        else:
            topics = frozenset(topic.name for topic in service.reads)
            references = [topic.name for topic in service.references]
            engine = Window(service, {}, self.log.ends(references), partitions=())
            self.groups.setdefault(service.name, Group())
        replica = Replica(service, engine, topics)
        self.replicas.append(replica)
        self.look(replica)
        if isinstance(service, Performer):
            self.send(replica, seal(service.announce, {}, service.name, TIME))
        return replica

    def start_waiting(self, service: Service) -> None:
        self.starting.remove(service)
        self.start(service)

    def look(self, replica: Replica) -> None:
        """Which partitions hold records that this replica has to read."""
        replica.behind, replica.lagging = [], []
        for place, stored in self.log.partitions.items():
            if replica.position(place) < len(stored):
                self.notice(replica, place)

    def notice(self, replica: Replica, place: TopicPartition) -> None:
        """A partition has more; the replica may have to read it."""
        unread = replica.lagging if place[0] in self.slow else replica.behind
        if place not in unread and self.reads(replica, place):
            unread.append(place)

    def reads(self, replica: Replica, place: TopicPartition) -> bool:
        if place[0] not in replica.topics:
            return False
        service, engine = replica.service, replica.engine
        if isinstance(engine, Fold) or place[1] in engine.partitions:
            return True
        return any(topic.name == place[0] for topic in service.references)

    def deliver(self, replica: Replica, *, slow: bool = False) -> None:
        unread = replica.lagging if slow else replica.behind
        place = self.pick(unread)
        stored = self.log.partitions[place]
        position = replica.position(place)
        end = min(len(stored), position + self.pick((1, 1, 2, 5, 50)))
        for record, envelope in stored[position:end]:
            assert replica.engine.wants(record)
            replica.engine.receive(record, envelope)
        replica.positions[place] = end
        if end == len(stored):
            unread.remove(place)
        if self.rng.random() < 0.7:
            self.take_up(replica)

    def take_up(self, replica: Replica) -> bool:
        engine = replica.engine
        if isinstance(engine, Fold):
            sealed = engine.due(TIME)
            self.send(replica, sealed)
            return bool(sealed)
        sealed, tasks = engine.due(max(0, self.capacity - len(replica.tasks)), TIME)
        for task in tasks:
            self.ask(replica, engine, task.key, self.request(replica.service, task.effect))
        replica.tasks.extend(tasks)
        self.send(replica, sealed)
        return bool(sealed or tasks)

    def ask(self, replica: Replica, window: Window, key: str, request: Any) -> None:
        """A request is handed out: not twice by one owner, and not if its result is known to it."""
        part = self.lane_of(replica.service, key)
        assert request not in replica.asked[part], f"{request} is asked for twice by one owner"
        replica.asked[part].add(request)
        for identity in self.results.get(request, ()):
            if identity not in self.log.events:
                continue
            place, offset, _ = self.log.events[identity]
            begin = replica.starts.get(place, 0)
            assert not begin <= offset < window.position(place), f"{request}: its result was read"
            if offset < begin:
                assert (replica.service.name, key) in self.excused, f"{request}: its result was committed"
            self.counts["reopened" if offset < begin else "anew"] += 1
            break

    def lane_of(self, service: Service, key: str) -> int:
        assert isinstance(service, Performer)
        return lane(service.lead.partition(key))

    def end_effect(self, replica: Replica) -> None:
        task = replica.tasks.pop(self.rng.randrange(len(replica.tasks)))
        self.finish_effect(replica, task)
        self.take_up(replica)

    def finish_effect(self, replica: Replica, task: Any) -> None:
        assert isinstance(replica.engine, Window)
        assert isinstance(replica.service, Performer)
        sealed = replica.engine.performed(task, self.perform(replica.service, task.effect), TIME)
        if sealed:
            request = self.request(replica.service, task.effect)
            self.results.setdefault(request, []).append(sealed[0].id)
        self.send(replica, sealed)

    def send(self, replica: Replica, sealed: Sequence[Any]) -> None:
        if sealed:
            replica.send(sealed)
            if replica.producer not in self.sending:
                self.sending.append(replica.producer)

    def land(self, producers: list[Producer]) -> None:
        """Some records of one producer reach one partition."""
        rng = self.rng
        producer = rng.choice(producers)
        place = rng.choice(list(producer.queues))
        queue = producer.queues[place]
        landed = [queue.popleft() for _ in range(rng.choice((1, len(queue))))]
        if not queue:
            del producer.queues[place]
            if not producer.queues:
                producers.remove(producer)
        for one in landed:
            record = self.log.put(one)
            if not self.log.taken(record):
                self.excused.update(found for found in self.let_go if found[1] == record.key)
        for replica in self.replicas:
            self.notice(replica, (record.topic, record.partition))
        if rng.random() < self.faults.double_append:
            self.counts["doubled"] += 1
            again = Producer()
            again.send(landed)
            self.late.append(again)

    # --- commits and assignments, as the Kafka host makes them -------------------------------------------

    def begin_commit(self, replica: Replica) -> None:
        if isinstance(replica.engine, Window) and replica.commit is None:
            replica.commit = self.committing(replica, replica.engine)

    def go_on_committing(self, replica: Replica) -> None:
        if replica.commit is not None and next(replica.commit, True):
            replica.commit = None

    def committing(self, replica: Replica, window: Window) -> Job:
        service = window.service
        unled = window.unled()
        if unled:
            ends = self.log.ends([service.lead.name])
            yield
            window.led_before(unled, ends)
        had = set(window.keys)
        offsets = window.commits()
        self.note(window, had - set(window.keys))
        yield
        if self.groups[service.name].commit(replica, offsets):
            self.counts["commits"] += 1

    def note(self, window: Window, gone: set[str]) -> None:
        """These keys are let go; duplicates that the window has not read yet are too late for it."""
        self.let_go.update((window.service.name, key) for key in gone)
        for topic in window.service.inputs if gone else ():
            for part in window.partitions:
                place = (topic.name, part)
                for record, _ in self.log.partitions.get(place, ())[window.position(place) :]:
                    if record.key in gone and not self.log.taken(record):
                        self.excused.add((window.service.name, record.key))

    def go_on(self, replica: Replica) -> None:
        if replica.job is not None and next(replica.job, True):
            replica.job = None

    def hear(self, replica: Replica) -> None:
        """A replica hears what the others know: it leads no more, or there is a new generation."""
        if isinstance(replica.engine, Fold):
            self.retire(replica)
            return
        group = self.groups[replica.service.name]
        if replica in group.members and not group.preparing:
            own = group.assignment[id(replica)]
            replica.job = self.taking(replica, replica.engine, group.generation, own)
        else:
            replica.job = self.joining(replica)

    def joining(self, replica: Replica) -> Job:
        """The partitions are revoked: commit, or fail to, and join the next generation."""
        if replica.generation and self.rng.random() < 0.7:
            yield from self.finished_commit(replica)
        self.groups[replica.service.name].join(replica)
        yield

    def finished_commit(self, replica: Replica) -> Job:
        for begin in (False, True):  # the one that may be under way, then one of its own
            if begin:
                self.begin_commit(replica)
            while replica.commit is not None:
                self.go_on_committing(replica)
                yield

    def taking(self, replica: Replica, window: Window, generation: int, own: frozenset[int]) -> Job:
        """The partitions of a new generation are known: begin with the new ones where they are committed."""
        group = self.groups[replica.service.name]
        new = own - window.partitions
        inputs = {topic.name for topic in window.service.inputs}
        start = {place: end for place, end in group.committed.items() if place[1] in new}
        yield
        ends = {place: end for place, end in self.log.ends(inputs).items() if place[1] in own}
        yield
        moved = set(window.assign(own, start, ends))
        replica.tasks = [task for task in replica.tasks if task.key not in moved]
        for part in [one for one in replica.asked if one not in own or one in new]:
            del replica.asked[part]
        kept = {place: begin for place, begin in replica.starts.items() if place[1] in own - new}
        replica.starts = {**kept, **start}
        replica.generation = generation
        self.look(replica)

    # --- what goes wrong -------------------------------------------------------------------------------

    def fault(self) -> bool:
        chance = self.rng.random()
        if not self.replicas:
            return False
        if chance < self.faults.crash:
            if self.counts["crash"] < self.faults.max_crashes:
                self.crash(self.pick(self.replicas))
                return True
        elif chance < self.faults.crash + self.faults.move and self.counts["moves"] < self.faults.max_moves:
            self.counts["moves"] += 1
            self.move(self.pick(self.replicas))
            return True
        return False

    def crash(self, replica: Replica) -> None:
        """Everything in memory is gone; of what was sent, a prefix of each partition lands, late."""
        self.counts["crash"] += 1
        queues = replica.producer.queues
        for place in list(queues):
            for _ in range(self.rng.randint(0, len(queues[place]))):
                queues[place].pop()
            if not queues[place]:
                del queues[place]
        self.retire(replica)
        if not replica.zombie:
            self.starting.append(replica.service)

    def retire(self, replica: Replica) -> None:
        self.replicas.remove(replica)
        if replica.producer in self.sending:
            self.sending.remove(replica.producer)
            if replica.producer.queues:
                self.late.append(replica.producer)
        if isinstance(replica.engine, Window):
            self.groups[replica.service.name].leave(replica)

    def move(self, replica: Replica) -> None:
        """Another replica comes to work beside this one, or in its place."""
        service = replica.service
        if isinstance(replica.engine, Fold):
            if not replica.zombie:
                self.counts["second"] += 1
                replica.zombie = True
                self.start(service)
            return
        group = self.groups[service.name]
        several = sum(one.service is service for one in self.replicas) > 1
        choice = self.rng.randrange(3)
        if choice == 0 and several:
            if replica.job is None:
                replica.job = self.leaving(replica)
        elif choice == 1 and replica in group.members:
            self.counts["second"] += 1
            group.leave(replica)  # not heard of in time; it knows nothing of it
        elif sum(one.service is service for one in self.replicas) < MOST_REPLICAS:
            self.start(service)

    def leaving(self, replica: Replica) -> Job:
        """Stopped: effects are finished or cancelled, offsets committed, the group is left."""
        for task in replica.tasks:
            if self.rng.random() < 0.5:
                self.finish_effect(replica, task)
        replica.tasks = []
        yield from self.finished_commit(replica)
        self.retire(replica)
        if not any(one.service is replica.service for one in self.replicas):
            self.starting.append(replica.service)  # the others crashed while it left

    # --- the end ---------------------------------------------------------------------------------------

    def conclude(self) -> None:
        """Nothing is due any more: then all is committed, and nothing is kept but what is open."""
        for replica in self.replicas:
            window = replica.engine
            if not isinstance(window, Window):
                continue
            for _ in range(3):
                self.begin_commit(replica)
                while replica.commit is not None:
                    self.go_on_committing(replica)
            self.concluded(window)

    def concluded(self, window: Window) -> None:
        """All is committed and nothing kept, but where a key was opened anew that others know to be over."""
        name = window.service.name
        anew = {self.lane_of(window.service, key) for key in window.states() if (name, key) in self.excused}
        self.counts["stuck"] += len(anew)
        kept = [key for key in window.keys if self.lane_of(window.service, key) not in anew]
        assert not kept, f"{name} keeps {kept}"
        assert anew or window.quiet, f"{name} is not quiet"
        committed = self.groups[name].committed
        for place, end in self.log.ends([topic.name for topic in window.service.inputs]).items():
            if place[1] in window.partitions - anew:
                assert committed.get(place, 0) == end, f"{name} has not committed all of {place}"
