"""Wire form to envelope. Never raises anything but ``Undecodable``, whatever the bytes are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from schemas.envelope import PREFIX, Envelope, Message, Skimmed
from schemas.topics import MESSAGES, TOPICS, Topic
from schemas.upcast import Raw, upcast

SKIMMED: Final = Skimmed()
LATEST: Final[dict[str, tuple[int, type[Message]]]] = {
    name.rpartition(".v")[0]: (message.VERSION, message) for name, message in MESSAGES.items()
}


class Undecodable(ValueError):  # noqa: N818  (named for what the message is, as it reads in a dead letter)
    """A message that no reader can use. ``code`` can be counted; the text says what to do."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


def decode(topic: Topic, key: str, headers: Mapping[str, str], value: bytes | None) -> Envelope:
    """The envelope of one wire message.

    Raises:
        Undecodable: no value, headers missing, unknown type or version, another topic's type, a key
            that is not the message's, JSON that is none or does not fit the model.
    """
    if value is None:
        raise Undecodable("no_value", "the message has no value")
    if len(value) > topic.max_bytes:
        raise Undecodable("oversized", f"{len(value)} bytes; {topic.name} takes at most {topic.max_bytes}")
    type_name = headers.get(PREFIX + "type", "")
    message = message_type(topic, type_name)
    if headers.get(PREFIX + "subject", key) != key:
        raise Undecodable("wrong_key", f"key {key!r}, but ce_subject {headers[PREFIX + 'subject']!r}")
    try:
        topic.partition(key)
    except ValueError as error:
        raise Undecodable("wrong_key", str(error)) from None
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
    return enveloped(key, headers, data)


def skim(key: str, headers: Mapping[str, str]) -> Envelope:
    """The envelope alone, for a reader to whom the content does not matter.

    Raises:
        Undecodable: when the headers do not say which event this is.
    """
    return enveloped(key, headers, SKIMMED)


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
