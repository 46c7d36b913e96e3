"""The order of one key's events: who follows whom, and which of two rivals is the event.

A reader takes the first event for a sequence whose predecessor it took, and drops the rest. So when
two replicas work on one key by mistake, the log's order decides and all readers agree.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from schemas.codec import written
from schemas.envelope import UNSEQUENCED, Envelope, event_id, payload
from schemas.topics import Topic, sequenced
from services.kit.log import Outgoing
from services.kit.service import Draft

Head = tuple[int, str]
START: Head = (0, "")
REMEMBERED: Final = 10_000
"""Ids of unsequenced messages that are remembered a key; folds of older ones are idempotent."""


@dataclass(slots=True)
class Chain:
    """The chains of one key, one per topic, and the ids of its latest unsequenced messages."""

    heads: dict[str, Head] = field(default_factory=dict)
    seen: dict[str, None] = field(default_factory=dict)

    def accept(self, topic: str, envelope: Envelope) -> bool:
        """Whether this is the next event of its chain; if so, the chain moves on to it."""
        if envelope.sequence == UNSEQUENCED:
            if envelope.id in self.seen:
                return False
            self.seen[envelope.id] = None
            if len(self.seen) > REMEMBERED:
                del self.seen[next(iter(self.seen))]
            return True
        sequence, identity = self.heads.get(topic, START)
        if envelope.sequence != sequence + 1 or envelope.predecessor != identity:
            return False
        self.heads[topic] = (envelope.sequence, envelope.id)
        return True

    def head(self, topic: str) -> Head:
        """Sequence and id of the last event taken from ``topic``."""
        return self.heads.get(topic, START)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A draft with its place in the chain: ready for the log."""

    outgoing: Outgoing
    id: str
    sequence: int


def seal(drafts: Iterable[Draft], heads: dict[tuple[str, str], Head], source: str, time: str) -> list[Sealed]:
    """Give each draft its sequence, predecessor and id. ``heads``, by (topic, key), move on with them."""
    out = []
    for draft in drafts:
        topic = draft.topic
        value = draft.value or payload(draft.data)
        sequence, predecessor = UNSEQUENCED, ""
        if sequenced(type(draft.data)):
            last, predecessor = heads.get((topic.name, draft.key), START)
            sequence = last + 1
        identity = event_id(topic.name, draft.key, sequence, predecessor, draft.data.type_name(), value)
        if sequence:
            heads[topic.name, draft.key] = (sequence, identity)
        envelope = Envelope(
            id=identity,
            source=source,
            time=time,
            subject=draft.key,
            data=draft.data,
            correlationid=draft.correlation,
            causationid=draft.cause,
            sequence=sequence,
            predecessor=predecessor,
        )
        record = outgoing(topic, envelope, value)
        out.append(Sealed(record, identity, sequence))
    return out


def outgoing(topic: Topic, envelope: Envelope, value: bytes) -> Outgoing:
    """The record that carries ``envelope``.

    Raises:
        ValueError: when the value is larger than the topic takes; who makes it must cut it first.
    """
    if len(value) > topic.max_bytes:
        message = (
            f"{envelope.type} for key {envelope.subject!r} is {len(value)} bytes; "
            f"{topic.name} takes at most {topic.max_bytes}"
        )
        raise ValueError(message)
    partition = topic.partition(envelope.subject)
    headers = envelope.headers()
    written(topic, headers, value, envelope)
    return Outgoing(topic.name, partition, envelope.subject, headers, value)
