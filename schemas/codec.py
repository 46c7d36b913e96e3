"""Wire form to envelope. Never raises anything but ``Undecodable``, whatever the bytes are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from pydantic import ValidationError

from schemas.envelope import PREFIX, UNSEQUENCED, Envelope, Message, Skimmed, event_id
from schemas.known import Known
from schemas.topics import MESSAGES, TOPICS, Topic, sequenced
from schemas.upcast import Raw, upcast

SKIMMED: Final = Skimmed()
LATEST: Final[dict[str, tuple[int, type[Message]]]] = {
    name.rpartition(".v")[0]: (message.VERSION, message) for name, message in MESSAGES.items()
}

CURRENT: Final[dict[tuple[str, str], type[Message]]] = {
    (topic.name, message.type_name()): message for topic in TOPICS.values() for message in topic.messages
}
"""By topic and type, as nearly every message comes: of this version, on its own topic."""


class Undecodable(ValueError):  # noqa: N818  (named for what the message is, as it reads in a dead letter)
    """A message that no reader can use. ``code`` can be counted; the text says what to do."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


_decoded: Final = Known()
_skimmed: Final = Known()


def decode(topic: Topic, key: str, headers: Mapping[str, str], value: bytes | None) -> Envelope:
    """The envelope of one wire message.

    Raises:
        Undecodable: no value, too large a one, headers missing or not UTF-8, unknown type or version, another
            topic's type, a key that is not the message's, JSON that is none or does not fit the model, an
            event whose id is not that of its place and content.
    """
    found = _decoded.find(topic.name, key, headers, value)
    if found is not None:
        return found
    message, type_name, value = checked(topic, key, headers, value)
    try:
        if version_of(type_name) < message.VERSION:
            data = message.model_validate(lifted(type_name, message, json.loads(value)))
        else:
            data = message.model_validate_json(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        code = "not_json" if first["type"] == "json_invalid" else "not_valid"
        raise Undecodable(code, f"{type_name} at {where or 'the top'}: {first['msg']}") from None
    except Undecodable:
        raise
    except (ValueError, RecursionError) as error:
        raise Undecodable("not_json", f"{type_name}: {error}") from None
    envelope = identified(topic, message, enveloped(key, headers, data), type_name, value)
    return _decoded.keep(topic.name, key, headers, value, envelope)


def written(topic: Topic, headers: Mapping[str, str], value: bytes, envelope: Envelope) -> None:
    """Note a message that is about to be appended: who reads it back in this process gets ``envelope``."""
    _decoded.keep(topic.name, envelope.subject, headers, value, envelope)


def skim(topic: Topic, key: str, headers: Mapping[str, str], value: bytes | None) -> Envelope:
    """The envelope alone, for a reader to whom the content does not matter.

    Raises:
        Undecodable: as ``decode``, but for content that does not fit: its own reader says that. For what
            stands in a chain the id vouches: a message that was not made by its owner takes no place there.
    """
    found = _skimmed.find(topic.name, key, headers, value)
    if found is not None:
        return found
    whole = _decoded.find(topic.name, key, headers, value)
    if whole is not None and value is not None:
        envelope = replace(whole, data=SKIMMED)
    else:
        message, type_name, value = checked(topic, key, headers, value)
        envelope = identified(topic, message, enveloped(key, headers, SKIMMED), type_name, value)
    return _skimmed.keep(topic.name, key, headers, value, envelope)


def checked(
    topic: Topic, key: str, headers: Mapping[str, str], value: bytes | None
) -> tuple[type[Message], str, bytes]:
    """What can be said of a message without its content: model, type name, and a value that is there.

    Raises:
        Undecodable: see ``decode``.
    """
    if value is None:
        raise Undecodable("no_value", "the message has no value")
    if len(value) > topic.max_bytes:
        raise Undecodable("oversized", f"{len(value)} bytes; {topic.name} takes at most {topic.max_bytes}")
    for name, text in headers.items():
        if not (text.isascii() and name.isascii()) and not is_text(name + text):
            raise Undecodable("bad_header", f"{name!r} is not UTF-8")
    type_name = headers.get(PREFIX + "type", "")
    message = message_type(topic, type_name)
    if not key or not is_text(key):
        raise Undecodable("wrong_key", f"key {key!r} is none" if not key else "the key is not UTF-8")
    if headers.get(PREFIX + "subject", key) != key:
        raise Undecodable("wrong_key", f"key {key!r}, but ce_subject {headers[PREFIX + 'subject']!r}")
    try:
        topic.partition(key)
    except ValueError as error:
        raise Undecodable("wrong_key", str(error)) from None
    return message, type_name, value


def identified(
    topic: Topic, message: type[Message], envelope: Envelope, type_name: str, value: bytes
) -> Envelope:
    """The envelope, if an event of a chain has a place there, and the id of that place and its content.

    Raises:
        Undecodable: it has not.
    """
    if sequenced(message) != (envelope.sequence != UNSEQUENCED):
        what = "none" if envelope.sequence == UNSEQUENCED else f"{envelope.sequence}, but stands in no chain"
        raise Undecodable("bad_header", f"{type_name}: ce_sequence is {what}")
    if envelope.sequence != UNSEQUENCED:
        place = (topic.name, envelope.subject, envelope.sequence, envelope.predecessor)
        if envelope.id != event_id(*place, type_name, value):
            detail = f"{type_name}: ce_id {envelope.id[:40]!r} is not that of its place and content"
            raise Undecodable("bad_id", detail)
    return envelope


def enveloped(key: str, headers: Mapping[str, str], data: Message) -> Envelope:
    """The envelope that headers describe, around ``data``.

    Raises:
        Undecodable: when a header is missing or is no count.
    """
    sequence = headers.get(PREFIX + "sequence", "0")
    if not is_count(sequence):
        raise Undecodable("bad_header", f"ce_sequence {sequence[:40]!r} is no count")
    identity = headers.get(PREFIX + "id", "")
    if not identity:
        raise Undecodable("bad_header", "ce_id is missing")
    return Envelope(
        id=identity,
        source=headers.get(PREFIX + "source", ""),
        time=headers.get(PREFIX + "time", ""),
        subject=key,
        data=data,
        correlationid=headers.get(PREFIX + "correlationid", ""),
        causationid=headers.get(PREFIX + "causationid", ""),
        sequence=int(sequence),
        predecessor=headers.get(PREFIX + "predecessor", ""),
        traceparent=headers.get("traceparent", ""),
    )


def message_type(topic: Topic, type_name: str) -> type[Message]:
    """The model for ``type_name`` on ``topic``.

    Raises:
        Undecodable: unknown type, a version newer than this program, or a type of another topic.
    """
    current = CURRENT.get((topic.name, type_name))
    if current is not None:
        return current
    known = LATEST.get(type_name.rpartition(".v")[0])
    if known is None or version_of(type_name) < 1:
        raise Undecodable("unknown_type", f"{type_name[:200]!r} is not in the language of this program")
    latest, message = known
    if version_of(type_name) > latest:
        raise Undecodable(
            "newer_version",
            f"{type_name} was written by a newer program; this one knows v{latest}: upgrade it",
        )
    if message not in topic.messages:
        raise Undecodable("wrong_topic", f"{type_name} does not belong on {topic.name}")
    return message


def version_of(type_name: str) -> int:
    """The version that a type name ends with; 0 when it ends with none."""
    version = type_name.rpartition(".v")[2]
    return int(version) if is_count(version) else 0


def is_text(text: str) -> bool:
    """Whether ``text`` came from UTF-8: what did not, the log gives as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_count(text: str) -> bool:
    """Whether ``text`` is a count in ASCII digits, of a length that cannot be an attack."""
    return text.isascii() and text.isdigit() and len(text) <= 18


def lifted(type_name: str, message: type[Message], raw: Any) -> Raw:
    """The JSON object ``raw`` of an old version as the version that ``message`` is of.

    Raises:
        Undecodable: ``raw`` is no object, or not one that this version could have been.
    """
    if not isinstance(raw, dict):
        raise Undecodable("not_valid", f"{type_name} at the top: it must be an object")
    name = type_name.rpartition(".v")[0]
    try:
        return upcast(name, version_of(type_name), message.VERSION, raw)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise Undecodable("not_valid", f"{type_name}: an upcaster misses {error}") from None


def topic_named(name: str) -> Topic:
    """The topic of this name.

    Raises:
        LookupError: when the table has none.
    """
    return TOPICS[name]
