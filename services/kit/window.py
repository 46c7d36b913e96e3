"""The performer's loop without I/O: many keys at once, one key in order, contiguous commits.

A host feeds records in (``receive``), asks what is due (``due``), does it, and hands the results back
(``performed``). Nothing here waits, reads a clock or talks to a log, so the same code runs under the
embedded host, under Kafka and under the simulation.
"""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.envelope import Envelope
from services.kit.chain import Chain, Head, Sealed, seal
from services.kit.log import Offsets, Record, TopicPartition
from services.kit.service import Append, Closed, Draft, Perform, Performer, Step, Wait

REMEMBERED: Final = 100_000
"""Closed keys that are remembered, so that late duplicates do not open them again."""
REFERENCES: Final = -1
"""Stands for the partitions of all references where partitions are counted."""


@dataclass(slots=True)
class Entry:
    """One key: its state, its chains, and what is under way for it."""

    key: str
    order: int
    partition: int
    state: Any
    chain: Chain = field(default_factory=Chain)
    first: dict[str, int] = field(default_factory=dict)
    last_lead: int | None = None
    """Offset of the last lead record; a key may have several."""
    again: dict[str, int] = field(default_factory=dict)
    """Offset of the last duplicate, in each other topic, of an event with which its chain may begin."""
    lead_before: int | None = None
    """Of a key without a lead record: if there is one, its offset is below this."""
    awaited: set[tuple[str, int, str]] = field(default_factory=set)
    """(topic, sequence, id) of appended messages that have not come back."""
    performing: bool = False
    moved: bool = False
    """An event was folded while an effect was under way."""
    queued: bool = False
    closed: bool = False
    step: Step | None = None
    """What is due, where it could not be handed out yet."""
    alone: bool = False
    """Nobody else can have worked on it: it began after this instance had read its partition to the end."""


@dataclass(frozen=True, slots=True)
class Task:
    """An effect to perform for ``key``, decided when the key's chains stood at ``heads``."""

    key: str
    effect: Any
    heads: Mapping[str, Head]
    order: int
    """Of the entry that it was decided for: a key may move away and come back."""
    alone: bool = False
    """Whether no other instance can have performed anything for the key."""


class Window:
    """The keys that one instance of a performer has in hand.

    Args:
        service: what is done with them.
        start: offsets that reading begins at.
        ends: where every partition of the inputs and references ends when it begins: nothing is
            performed for a partition before all of that, and all references, are folded.
        source: CloudEvents source of what is appended.
        partitions: those that are this instance's own, until ``assign`` says others; None: all there are.
    """

    def __init__(
        self,
        service: Performer,
        start: Offsets,
        ends: Offsets,
        source: str = "",
        partitions: Collection[int] | None = None,
    ) -> None:
        self.service = service
        self.source = source or f"tds/{service.name}"
        self.reference = service.initial_reference()
        self.dropped = 0
        self._references = {topic.name for topic in service.references}
        self._lead = service.lead.name
        self._earlier = {
            topic.name
            for topic in service.inputs
            if topic.owner == service.lead.owner and topic.name != self._lead
        }
        """Topics of a key's events that may stand before its lead record: who writes it writes them too."""
        self._reference_chains: dict[str, Chain] = {}
        self._entries: dict[str, Entry] = {}
        self._closed: OrderedDict[str, int] = OrderedDict()
        """Partition of each key that is over and let go."""
        self._ready: list[tuple[int, str]] = []
        self._waiting: dict[str, None] = {}
        self._begun: Offsets = {}
        self._positions: Offsets = {}
        self._behind: Offsets = {}
        self._late: Counter[int] = Counter()
        """Of each partition, how many topics are still behind."""
        self._own = None if partitions is None else frozenset(partitions)
        self._count = 0
        self._begin(start, ends)

    def _begin(self, start: Offsets, ends: Offsets) -> None:
        self._begun.update(start)
        self._positions.update(start)
        self._behind.update({place: end for place, end in ends.items() if self.position(place) < end})
        self._late = Counter(self._lane(place) for place in self._behind)

    def _lane(self, place: TopicPartition) -> int:
        return REFERENCES if place[0] in self._references else place[1]

    def assign(self, partitions: Collection[int], start: Offsets, ends: Offsets) -> list[str]:
        """Own these partitions from now on.

        ``start`` are the committed offsets of the new ones. ``ends`` are the present ends of all of them:
        others may have worked on those that are kept, if this instance was not heard of for a while.
        Returns the keys that were in hand and have moved away: they are another instance's now.
        """
        own = frozenset(partitions)
        kept = own if self._own is None else own & self._own
        for key in [key for key, partition in self._closed.items() if partition not in kept]:
            del self._closed[key]  # a partition that comes back is read again, its keys from their beginning
        moved = [key for key, entry in self._entries.items() if entry.partition not in own]
        for key in moved:
            del self._entries[key]
            self._waiting.pop(key, None)
            self.service.let_go(key)
        for offsets in (self._begun, self._positions, self._behind):
            for place in [one for one in offsets if self._lane(one) not in {*own, REFERENCES}]:
                del offsets[place]
        for entry in self._entries.values():
            entry.alone = False
        self._own = own
        self._begin(start, ends)
        self._ready = []
        for entry in self._entries.values():
            if entry.queued:
                entry.queued = False
                self._queue(entry)
        return moved

    @property
    def partitions(self) -> frozenset[int]:
        """The partitions that are its own; none where it owns all there are."""
        return self._own or frozenset()

    def position(self, place: TopicPartition) -> int:
        """Offset of the next record that is wanted of a partition."""
        return self._positions.get(place, 0)

    @property
    def keys(self) -> Collection[str]:
        """Keys that records are kept for: open ones, and closed ones until those may be committed."""
        return self._entries.keys()

    @property
    def open_keys(self) -> int:
        """Keys that are in hand: their lead record has been read, and they are not closed."""
        return sum(not entry.closed and entry.last_lead is not None for entry in self._entries.values())

    @property
    def pausable(self) -> bool:
        """Whether the lead topic may be paused while keys are open: not where they wait for more of it."""
        return not self._earlier

    @property
    def caught_up(self) -> bool:
        """Whether everything that was in the log at the start has been folded."""
        return not self._behind

    @property
    def quiet(self) -> bool:
        """Whether nothing is due, under way, or still on its way back from the log."""
        busy = any(entry.performing or entry.awaited for entry in self._entries.values())
        return not (self._behind or self._ready or busy)

    def states(self) -> dict[str, Any]:
        """The state of every open key, for status displays."""
        return {key: entry.state for key, entry in self._entries.items() if not entry.closed}

    def skip(self, record: Record) -> None:
        """Count a record as read that is not folded: a dead letter."""
        place = _place(record)
        self._positions[place] = record.offset + 1
        end = self._behind.get(place)
        if end is not None and record.offset + 1 >= end:
            del self._behind[place]
            self._arrived(self._lane(place))

    def wants(self, record: Record) -> bool:
        """Whether a record is one of its own partitions', and not one that it has read already."""
        place = _place(record)
        if self._own is not None and self._lane(place) not in self._own and place[0] not in self._references:
            return False
        return record.offset >= self._positions.get(place, 0)

    def _arrived(self, lane: int) -> None:
        self._late[lane] -= 1
        if self._late[lane]:
            return
        del self._late[lane]
        for entry in self._entries.values():
            if lane in (REFERENCES, entry.partition):
                self._queue(entry)

    def receive(self, record: Record, envelope: Envelope) -> None:
        """Fold one record.

        What the service's ``evolve`` raises goes to the caller: a fold that fails on an event that fits
        its model is a fault of the program, and every reader of the log would meet it.
        """
        if record.topic in self._references:
            chain = self._reference_chains.setdefault(record.key, Chain())
            if chain.accept(record.topic, envelope):
                self.reference = self.service.refer(self.reference, envelope)
                for entry in self._entries.values():
                    entry.step = None
                for key in self._waiting:
                    self._queue(self._entries[key])
                self._waiting.clear()
            else:
                self.dropped += 1
        else:
            self._fold(record, envelope)
        self.skip(record)

    def _fold(self, record: Record, envelope: Envelope) -> None:
        if record.key in self._closed:
            self.dropped += 1
            return
        entry = self._entries.get(record.key) or self._open(record)
        known = record.topic in entry.chain.heads
        taken = entry.chain.accept(record.topic, envelope)
        if taken:
            entry.first.setdefault(record.topic, record.offset)
        if record.topic == self._lead and self._lead in entry.first:
            entry.last_lead = record.offset  # be it a duplicate: whoever reads on from here would take it
        if not taken and envelope.sequence <= 1 and record.topic != self._lead:
            entry.again[record.topic] = record.offset
        if not taken or entry.closed:
            self.dropped += 1
            if not (taken or known) and envelope.sequence > 1 and self._begun.get(_place(record)):
                self._close(entry)
            if not entry.first:
                self._forget(record.key)
            else:
                self._lost(entry, envelope)
            return
        entry.state, entry.step = self.service.evolve(entry.state, envelope), None
        entry.awaited = {
            (topic, sequence, identity)
            for topic, sequence, identity in entry.awaited
            if not (topic == record.topic and (identity == envelope.id or 0 < sequence <= envelope.sequence))
        }
        self._queue(entry)

    def _lost(self, entry: Entry, envelope: Envelope) -> None:
        """If this is an event of our own that lost its place to a rival's, wait for it no longer."""
        lost = {one for one in entry.awaited if one[2] == envelope.id}
        if lost and envelope.sequence:
            entry.awaited -= lost
            self._queue(entry)

    def _open(self, record: Record) -> Entry:
        self._count += 1
        entry = Entry(record.key, self._count, record.partition, self.service.initial(record.key))
        entry.alone = record.partition not in self._late
        self._entries[record.key] = entry
        return entry

    def _queue(self, entry: Entry) -> None:
        entry.moved = entry.performing
        late = entry.partition in self._late or REFERENCES in self._late
        if not (late or entry.queued or entry.performing or entry.awaited or entry.closed):
            entry.queued = True
            heapq.heappush(self._ready, (entry.order, entry.key))

    def due(self, capacity: int, time: str) -> tuple[list[Sealed], list[Task]]:
        """What is due now: messages to append, and at most ``capacity`` effects to perform.

        Older keys come first. Each is handed out once; the host must append or perform it.
        """
        appends: list[Sealed] = []
        tasks: list[Task] = []
        while self._ready:
            order, key = heapq.heappop(self._ready)
            entry = self._entries.get(key)
            if entry is None or entry.closed or entry.order != order:
                continue  # closed since it was queued
            entry.queued = False
            step = entry.step or self.service.next_step(entry.state, self.reference)
            entry.step = None
            if isinstance(step, Append):
                appends.extend(self._seal(entry, step.drafts, time))
            elif isinstance(step, Wait):
                self._waiting[key] = None
            elif isinstance(step, Closed):
                self._close(entry)
            elif len(tasks) < capacity:
                entry.performing = True
                tasks.append(Task(key, step.effect, dict(entry.chain.heads), order, entry.alone))
            else:
                entry.queued, entry.step = True, step
                heapq.heappush(self._ready, (order, key))
                break
        return appends, tasks

    def performed(self, task: Task, drafts: Sequence[Draft], time: str) -> list[Sealed]:
        """The messages that carry an effect's result.

        Empty when the key has moved on in the meantime (another replica's event stands in the log):
        the result is then not an event, and the key goes on from what is.
        """
        entry = self._entry_of(task)
        if entry is None:
            return []
        entry.performing = False
        if not self._stands(entry, task):
            self.dropped += 1
            self._queue(entry)
            return []
        return self._seal(entry, drafts, time)

    def abandoned(self, task: Task) -> None:
        """The effect was not performed (the host is stopping): the key may be asked again."""
        entry = self._entry_of(task)
        if entry is not None:
            entry.performing = False
            if entry.moved:
                self._queue(entry)

    def gave_up(self, task: Task, error: BaseException) -> Sequence[Draft]:
        """What to append for an effect that raised for the last time; nothing if the key has moved on."""
        entry = self._entry_of(task)
        if entry is None or not self._stands(entry, task):
            return ()
        return self.service.gave_up(entry.state, task.effect, error)

    def _entry_of(self, task: Task) -> Entry | None:
        entry = self._entries.get(task.key)
        return None if entry is None or entry.closed or entry.order != task.order else entry

    def _stands(self, entry: Entry, task: Task) -> bool:
        """Whether the key still needs this effect: what came meanwhile may have been of no account to it."""
        if entry.chain.heads == task.heads:
            return True
        step = self.service.next_step(entry.state, self.reference)
        return isinstance(step, Perform) and bool(step.effect == task.effect)

    def _seal(self, entry: Entry, drafts: Sequence[Draft], time: str) -> list[Sealed]:
        assert drafts, f"{self.service.name}: a step for {entry.key} that appends nothing would never end"
        heads = {(topic, entry.key): head for topic, head in entry.chain.heads.items()}
        sealed = seal(drafts, heads, self.source, time)
        entry.awaited = {(one.outgoing.topic, one.sequence, one.id) for one in sealed}
        return sealed

    def _close(self, entry: Entry) -> None:
        entry.closed = True
        entry.state = None
        entry.awaited = set()
        entry.performing = False
        self._waiting.pop(entry.key, None)
        self.service.let_go(entry.key)

    def unled(self) -> list[str]:
        """Keys without a lead record, of which it is not known where it would have to stand.

        Their other records are kept until it has been read, or cannot come any more: between topics there
        is no order, and a key whose records were let go before its lead would be opened by it once more.
        What is read of an open key in topics that may be ahead of the lead's says nothing yet.
        """
        return [
            key
            for key, entry in self._entries.items()
            if entry.last_lead is None
            and entry.lead_before is None
            and (entry.closed or self._earlier.isdisjoint(entry.first))
        ]

    def led_before(self, keys: Collection[str], ends: Offsets) -> None:
        """Where the lead topic ended, asked after ``unled`` named these keys."""
        for key in keys:
            entry = self._entries.get(key)
            if entry is not None:
                entry.lead_before = ends.get((self._lead, entry.partition), 0)

    def _leaderless(self, entry: Entry) -> bool:
        """Whether this key has no lead record from where reading began on, and never will."""
        busy = entry.performing or entry.awaited or entry.queued
        if busy or entry.last_lead is not None or entry.lead_before is None:
            return False
        return self.position((self._lead, entry.partition)) >= entry.lead_before

    def commits(self) -> Offsets:
        """Offsets that may be committed: in order, up to the first record that is not done.

        The lead topic is done up to the oldest open key. All topics are kept from the first record of
        any key, open or closed, of which a lead record is kept or still to come: so whoever reads on from
        here sees of every key that it opens all that has happened to it. A closed key is kept as long as a
        duplicate of what opened it lies behind the cut: it would be opened by that one, and never close.
        """
        lead = self._lead
        for key in [key for key, entry in self._entries.items() if self._leaderless(entry)]:
            self._forget(key)
        cut = {place: end for place, end in self._positions.items() if place[0] not in self._references}
        over = []
        for entry in self._entries.values():
            if entry.closed and entry.last_lead is not None:
                over.append(entry)
            else:
                _keep(entry, cut)
        # Latest first: a closed key that is kept, is kept from its first records, which may keep more.
        over.sort(key=lambda entry: entry.last_lead or 0, reverse=True)
        before = -1
        while len(over) != before:
            before, gone = len(over), []
            for entry in over:
                last = {**entry.again, lead: entry.last_lead or 0}
                if any(offset >= cut[topic, entry.partition] for topic, offset in last.items()):
                    _keep(entry, cut)
                else:
                    gone.append(entry)
            over = gone
        for entry in over:
            self._forget(entry.key)
        return cut

    def _forget(self, key: str) -> None:
        entry = self._entries.pop(key)
        self._waiting.pop(key, None)
        if not entry.closed:
            return
        self._closed[key] = entry.partition
        if len(self._closed) > REMEMBERED:
            self._closed.popitem(last=False)


def _place(record: Record) -> TopicPartition:
    return record.topic, record.partition


def _keep(entry: Entry, cut: dict[TopicPartition, int]) -> None:
    """Cut before all that is known of this key."""
    for topic, offset in entry.first.items():
        place = (topic, entry.partition)
        cut[place] = min(cut[place], offset)
