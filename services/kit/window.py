"""The performer's loop without I/O: many keys at once, one key in order, contiguous commits.

A host feeds records in (``receive``), asks what is due (``due``), does it, and hands the results back
(``performed``). Nothing here waits, reads a clock or talks to a log, so the same code runs under the
embedded host, under Kafka and under the simulation.
"""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.envelope import Envelope
from schemas.topics import Topic
from services.kit.chain import Chain, Head, Sealed, seal
from services.kit.log import Offsets, Record
from services.kit.service import Append, Closed, Draft, Performer, Step, Wait

REMEMBERED: Final = 100_000
"""Closed keys that are remembered, so that late duplicates do not open them again."""


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
    awaited: set[tuple[str, int, str]] = field(default_factory=set)
    """(topic, sequence, id) of appended messages that have not come back."""
    performing: bool = False
    moved: bool = False
    """An event was folded while an effect was under way."""
    queued: bool = False
    closed: bool = False
    step: Step | None = None
    """What is due, where it could not be handed out yet."""


@dataclass(frozen=True, slots=True)
class Task:
    """An effect to perform for ``key``, decided when the key's chains stood at ``heads``."""

    key: str
    effect: Any
    heads: Mapping[str, Head]


class Window:
    """The keys that one instance of a performer has in hand.

    Args:
        service: what is done with them.
        start: offsets that reading began at.
        ends: where every partition of the inputs and references ended when it began: nothing is
            performed for a partition before all of that is folded.
        source: CloudEvents source of what is appended.
    """

    def __init__(self, service: Performer, start: Offsets, ends: Offsets, source: str = "") -> None:
        self.service = service
        self.source = source or f"tds/{service.name}"
        self.reference = service.initial_reference()
        self.dropped = 0
        self._references = {topic.name for topic in service.references}
        self._reference_chains: dict[str, Chain] = {}
        self._entries: dict[str, Entry] = {}
        self._closed: OrderedDict[str, None] = OrderedDict()
        self._ready: list[tuple[int, str]] = []
        self._waiting: dict[str, None] = {}
        self._positions: Offsets = dict(start)
        self._behind = {place: end for place, end in ends.items() if start.get(place, 0) < end}
        self._count = 0

    @property
    def open_keys(self) -> int:
        """Keys that are not closed."""
        return sum(not entry.closed for entry in self._entries.values())

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
        place = (record.topic, record.partition)
        self._positions[place] = record.offset + 1
        end = self._behind.get(place)
        if end is not None and record.offset + 1 >= end:
            del self._behind[place]
            if not self._behind:
                self._ready_all()

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
        entry = self._entries.get(record.key)
        if entry is None:
            entry = self._open(record)
        elif entry.closed:
            self.dropped += 1
            return
        if not entry.chain.accept(record.topic, envelope):
            self.dropped += 1
            if not entry.first:
                del self._entries[record.key]
            else:
                self._lost(entry, envelope)
            return
        entry.first.setdefault(record.topic, record.offset)
        if record.topic == self.service.lead.name:
            entry.last_lead = record.offset
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
        self._entries[record.key] = entry
        return entry

    def _queue(self, entry: Entry) -> None:
        entry.moved = entry.performing
        if not (entry.queued or entry.performing or entry.awaited or entry.closed):
            entry.queued = True
            heapq.heappush(self._ready, (entry.order, entry.key))

    def _ready_all(self) -> None:
        for entry in self._entries.values():
            self._queue(entry)

    def due(self, capacity: int, time: str) -> tuple[list[Sealed], list[Task]]:
        """What is due now: messages to append, and at most ``capacity`` effects to perform.

        Older keys come first. Each is handed out once; the host must append or perform it.
        """
        appends: list[Sealed] = []
        tasks: list[Task] = []
        if self._behind:
            return appends, tasks
        while self._ready:
            order, key = heapq.heappop(self._ready)
            entry = self._entries[key]
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
                tasks.append(Task(key, step.effect, dict(entry.chain.heads)))
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
        entry = self._entries.get(task.key)
        if entry is None or entry.closed:
            return []
        entry.performing = False
        if entry.chain.heads != task.heads:
            self.dropped += 1
            self._queue(entry)
            return []
        return self._seal(entry, drafts, time)

    def abandoned(self, task: Task) -> None:
        """The effect was not performed (the host is stopping): the key may be asked again."""
        entry = self._entries.get(task.key)
        if entry is not None:
            entry.performing = False
            if entry.moved:
                self._queue(entry)

    def gave_up(self, task: Task, error: BaseException) -> Sequence[Draft]:
        """What to append for an effect that raised for the last time; nothing if the key has moved on."""
        entry = self._entries.get(task.key)
        if entry is None or entry.closed or entry.chain.heads != task.heads:
            return ()
        return self.service.gave_up(entry.state, task.effect, error)

    def _seal(self, entry: Entry, drafts: Sequence[Draft], time: str) -> list[Sealed]:
        assert drafts, f"{self.service.name}: a step for {entry.key} that appends nothing would never end"
        heads = {(topic, entry.key): head for topic, head in entry.chain.heads.items()}
        sealed = seal(drafts, heads, self.source, time)
        entry.awaited = {(one.outgoing.topic, one.sequence, one.id) for one in sealed}
        return sealed

    def _close(self, entry: Entry) -> None:
        entry.closed = True
        entry.state = None
        self._waiting.pop(entry.key, None)

    def commits(self) -> Offsets:
        """Offsets that may be committed: in order, up to the first record that is not done.

        The lead topic is done up to the oldest open key. All topics are kept from the first record of
        any key, open or closed, of which a lead record is kept: so whoever reads on from here sees of
        every key that it opens all that has happened to it.
        """
        lead = self.service.lead.name
        cut = {place: end for place, end in self._positions.items() if place[0] not in self._references}
        closed = []
        for entry in self._entries.values():
            if entry.closed:
                closed.append(entry)
            elif entry.last_lead is not None:
                place = (lead, entry.partition)
                cut[place] = min(cut[place], entry.first[lead])
        # Latest first: a closed key that is kept, is kept from its first lead record, which may keep more.
        for entry in sorted(closed, key=_last_lead, reverse=True):
            place = (lead, entry.partition)
            if entry.last_lead is not None and entry.last_lead >= cut[place]:
                cut[place] = min(cut[place], entry.first[lead])
            else:
                self._forget(entry.key)
        for entry in self._entries.values():
            for topic, offset in entry.first.items():
                place = (topic, entry.partition)
                cut[place] = min(cut[place], offset)
        return cut

    def _forget(self, key: str) -> None:
        del self._entries[key]
        self._closed[key] = None
        if len(self._closed) > REMEMBERED:
            self._closed.popitem(last=False)


def _last_lead(entry: Entry) -> int:
    return -1 if entry.last_lead is None else entry.last_lead


def topics_of(service: Performer) -> tuple[Topic, ...]:
    """All topics that a performer reads: inputs, then references."""
    return (*service.inputs, *service.references)
