"""The CloudEvents 1.0 envelope that every message travels in.

On the wire (Kafka's binary mode, and the same in SQLite) the attributes are headers and the value is
the JSON of one frozen pydantic model. ``ce_sequence`` and ``ce_predecessor`` are extension attributes:
they chain the events of one key, so that every reader can tell the first event of a sequence from a
duplicate or from the loser of a race.
"""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer

NAMESPACE: Final = uuid.UUID("6f1c3f5e-0d5b-5c1c-9a57-7d5c1a7e0001")
UNSEQUENCED: Final = 0
PREFIX: Final = "ce_"


class Message(BaseModel):
    """Base of every command and event: frozen, and closed against unknown fields.

    ``NAME`` and ``VERSION`` make the CloudEvents type, for example ``tds.run.RunFinished.v1``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    FAMILY: ClassVar[str] = ""
    VERSION: ClassVar[int] = 1

    @classmethod
    def type_name(cls) -> str:
        """CloudEvents type of this message: family, class name and version."""
        return f"tds.{cls.FAMILY}.{cls.__name__}.v{cls.VERSION}"


class Value(BaseModel):
    """A part of a message: frozen, closed, without a type of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Alternative(Value):
    """One of several forms that a value may take, told apart by ``kind``.

    ``kind`` has a default in every form, and yet it is always written: a reader needs it to choose.
    """

    kind: str

    @model_serializer(mode="wrap")
    def _with_kind(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"kind": self.kind, **write(self)}


class Skimmed(Message):
    """Stands for the content of a message whose reader needs only to know that it was there."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message with its CloudEvents attributes.

    ``subject`` is the message key; ``sequence`` counts from 1 within (topic, key), 0 means that the
    message stands outside its key's order; ``predecessor`` is the id of event ``sequence - 1``.
    """

    id: str
    source: str
    time: str
    subject: str
    data: Message
    correlationid: str = ""
    causationid: str = ""
    sequence: int = UNSEQUENCED
    predecessor: str = ""
    traceparent: str = ""

    @property
    def type(self) -> str:
        """CloudEvents type of the payload."""
        return self.data.type_name()

    def headers(self) -> dict[str, str]:
        """The envelope's attributes as message headers, empty ones left out."""
        attributes = {
            "specversion": "1.0",
            "id": self.id,
            "type": self.type,
            "source": self.source,
            "time": self.time,
            "subject": self.subject,
            "correlationid": self.correlationid,
            "causationid": self.causationid,
            "sequence": str(self.sequence) if self.sequence else "",
            "predecessor": self.predecessor,
        }
        headers = {PREFIX + name: value for name, value in attributes.items() if value}
        if self.traceparent:
            headers["traceparent"] = self.traceparent
        return headers


def payload(data: Message) -> bytes:
    """The message as JSON bytes: fields in declaration order, defaults left out."""
    return data.model_dump_json(exclude_defaults=True).encode()


def content_digest(value: bytes) -> str:
    """First 16 hexadecimal digits of the SHA-256 of ``value``."""
    return hashlib.sha256(value).hexdigest()[:16]


def event_id(topic: str, key: str, sequence: int, predecessor: str, type_name: str, value: bytes) -> str:
    """Deterministic id of an event: where it stands in its key's chain, and what it says.

    Two replicas that append the same fact make the same id; two that append different facts for one
    place make different ids, and the order of the log decides.
    """
    name = f"{topic}|{key}|{sequence}|{predecessor}|{type_name}|{content_digest(value)}"
    # As str(uuid.uuid5(NAMESPACE, name)), at a third of its cost: every reader of every event asks.
    made = bytearray(hashlib.sha1(NAMESPACE.bytes + name.encode(), usedforsecurity=False).digest()[:16])
    made[6] = made[6] & 0x0F | 0x50
    made[8] = made[8] & 0x3F | 0x80
    text = made.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
