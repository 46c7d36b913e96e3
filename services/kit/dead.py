"""Dead letters: an unusable message goes to ``<topic>.dead`` with its reason, and the stream goes on."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from schemas.codec import Undecodable
from schemas.envelope import NAMESPACE
from services.kit.log import Outgoing, Record


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that was refused, where it stood, and why."""

    id: str
    topic: str
    partition: int
    offset: int
    key: str
    code: str
    detail: str
    value: bytes | None


def bury(record: Record, reason: Undecodable, service: str, time: str) -> Outgoing:
    """The dead letter of ``record``: its own bytes and headers, with the reason in headers beside them."""
    place = f"{record.topic}|{record.partition}|{record.offset}"
    headers = {
        **record.headers,
        "dead_id": str(uuid.uuid5(NAMESPACE, place)),
        "dead_topic": record.topic,
        "dead_partition": str(record.partition),
        "dead_offset": str(record.offset),
        "dead_code": reason.code,
        "dead_detail": reason.detail[:2000],
        "dead_service": service,
        "dead_time": time,
    }
    return Outgoing(f"{record.topic}.dead", 0, record.key, headers, record.value)


def exhume(records: Iterable[Record]) -> list[DeadLetter]:
    """The dead letters among ``records``, each once, however many services buried it."""
    letters: dict[str, DeadLetter] = {}
    for record in records:
        headers = record.headers
        if record.topic.endswith(".dead") and "dead_id" in headers:
            letters.setdefault(
                headers["dead_id"],
                DeadLetter(
                    id=headers["dead_id"],
                    topic=headers["dead_topic"],
                    partition=int(headers["dead_partition"]),
                    offset=int(headers["dead_offset"]),
                    key=record.key,
                    code=headers["dead_code"],
                    detail=headers["dead_detail"],
                    value=record.value,
                ),
            )
    return list(letters.values())
