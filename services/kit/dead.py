"""Dead letters: an unusable message goes to ``<topic>.dead`` with its reason, and the stream goes on.

Once the program can use it, a dead letter can be taken up again. A command is appended anew. An event stays
where it is, for its place in the order matters: readers that have passed it fold again from before it. Either
way a note in the dead topic says so, and the letter is not offered again unless it is buried again.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from schemas.codec import Undecodable, decode, is_count, skim
from schemas.envelope import NAMESPACE, Envelope
from schemas.topics import TOPICS
from services.kit.log import Offsets, Outgoing, Record
from services.kit.service import Performer, Service

PREFIX: Final = "dead_"
COMMANDS: Final = ".commands"
"""Topics that end so carry commands."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that was refused, where it stood, why, and by whom (each service that met it)."""

    id: str
    topic: str
    partition: int
    offset: int
    key: str
    code: str
    detail: str
    value: bytes | None
    headers: Mapping[str, str]
    """Its own."""
    time: str = ""
    services: tuple[str, ...] = ()
    retried: bool = False

    @property
    def is_command(self) -> bool:
        """Whether it is a command: then its place does not matter."""
        return self.topic.endswith(COMMANDS)


def envelope_of(record: Record, *, skimmed: bool = False) -> Envelope:
    """The envelope of a record that stands where it belongs; ``skimmed``: its content does not matter.

    Raises:
        Undecodable: see ``decode`` and ``skim``; or it stands on another partition than its key's.
        LookupError: its topic is not in the table.
    """
    topic = TOPICS[record.topic]
    read = skim if skimmed else decode
    envelope = read(topic, record.key, record.headers, record.value)
    if topic.partition(record.key) != record.partition:
        where = f"key {record.key!r} belongs on partition {topic.partition(record.key)} of {topic.name}"
        raise Undecodable("wrong_partition", where)
    return envelope


def bury(record: Record, reason: Undecodable, service: str, time: str) -> Outgoing:
    """The dead letter of ``record``: its own bytes and headers, with the reason in headers beside them."""
    headers = {
        **_own(record.headers),
        "dead_id": letter_id(record),
        "dead_topic": record.topic,
        "dead_partition": str(record.partition),
        "dead_offset": str(record.offset),
        "dead_code": reason.code,
        "dead_detail": reason.detail[:2000],
        "dead_service": service,
        "dead_time": time,
    }
    return Outgoing(f"{record.topic}.dead", 0, record.key, headers, record.value)


def letter_id(record: Record) -> str:
    """The id of the letter that ``record`` becomes, whoever buries it."""
    return str(uuid.uuid5(NAMESPACE, f"{record.topic}|{record.partition}|{record.offset}"))


def letter_of(record: Record) -> DeadLetter | None:
    """The dead letter that a record is, or that it notes as taken up again; None for any other record."""
    headers = record.headers
    topic, identity = record.topic.removesuffix(".dead"), headers.get("dead_id", "")
    partition, offset = headers.get("dead_partition", ""), headers.get("dead_offset", "")
    if topic == record.topic or topic not in TOPICS or not identity:
        return None
    if headers.get("dead_topic") != topic or not (is_count(partition) and is_count(offset)):
        return None
    return DeadLetter(
        id=identity,
        topic=topic,
        partition=int(partition),
        offset=int(offset),
        key=record.key,
        code=headers.get("dead_code", ""),
        detail=headers.get("dead_detail", ""),
        value=record.value,
        headers=_own(headers),
        time=headers.get("dead_time", ""),
        services=(headers["dead_service"],) if headers.get("dead_service") else (),
        retried="dead_retried" in headers,
    )


def exhume(records: Iterable[Record]) -> list[DeadLetter]:
    """The dead letters among ``records``, each once, however many services buried it.

    One that was taken up again is left out, unless it was buried again after that.
    """
    letters: dict[str, DeadLetter] = {}
    for record in records:
        letter = letter_of(record)
        if letter is None:
            continue
        known = letters.get(letter.id)
        if letter.retried:
            letters.pop(letter.id, None)
        elif known is None:
            letters[letter.id] = letter
        else:
            services = dict.fromkeys((*known.services, *letter.services))
            letters[letter.id] = replace(known, services=tuple(services))
    return list(letters.values())


def usable(letter: DeadLetter) -> Envelope:
    """What the letter says, now that this program can read it.

    A command is read as if it stood where it belongs, since it will be appended there.

    Raises:
        Undecodable: it cannot.
    """
    partition = letter.partition
    if letter.is_command:
        try:
            partition = TOPICS[letter.topic].partition(letter.key)
        except ValueError as error:
            raise Undecodable("wrong_key", str(error)) from None
    record = Record(letter.topic, partition, letter.offset, letter.key, dict(letter.headers), letter.value)
    return envelope_of(record)


def again(letter: DeadLetter) -> Outgoing:
    """The command that the letter is, to be appended anew: its own key, headers and value."""
    partition = TOPICS[letter.topic].partition(letter.key)
    return Outgoing(letter.topic, partition, letter.key, dict(letter.headers), letter.value)


def taken_up(letter: DeadLetter, time: str) -> Outgoing:
    """The note that the letter was taken up again."""
    headers = {
        "dead_id": letter.id,
        "dead_topic": letter.topic,
        "dead_partition": str(letter.partition),
        "dead_offset": str(letter.offset),
        "dead_code": letter.code,
        "dead_retried": time,
    }
    return Outgoing(f"{letter.topic}.dead", 0, letter.key, headers, None)


def rewinds(
    letters: Sequence[DeadLetter], services: Iterable[Service], committed: Mapping[str, Offsets]
) -> dict[str, Offsets]:
    """Per group of a performer that refused some of these events, the offsets to commit to fold them again.

    A group that has passed an event may have folded and forgotten the event's key, and with it what came
    before. So it begins anew with the partition: of all its inputs, since a key's events stand in all of
    them. Folding costs little, and nothing is done twice: what was done stands in the log.
    """
    found: dict[str, Offsets] = {}
    for service in services:
        if not isinstance(service, Performer):
            continue
        reads, passed = [topic.name for topic in service.inputs], committed.get(service.name, {})
        for letter in letters:
            place = (letter.topic, letter.partition)
            refused = service.name in letter.services and letter.topic in reads
            if refused and passed.get(place, 0) > letter.offset:
                begin = [(topic, letter.partition) for topic in reads]
                found.setdefault(service.name, {}).update({one: 0 for one in begin if passed.get(one)})
    return found


def _own(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if not name.startswith(PREFIX)}
