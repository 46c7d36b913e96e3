"""Wire form to envelope. Never raises anything but ``Undecodable``, whatever the bytes are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from pydantic import ValidationError

from schemas.envelope import PREFIX, Envelope, Message
from schemas.topics import MESSAGES, TOPICS, Topic
from schemas.upcast import upcast

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
    name, _, version = type_name.rpartition(".v")
    try:
        if int(version) < message.VERSION:
            data = message.model_validate(upcast(name, int(version), message.VERSION, json.loads(value)))
        else:
            data = message.model_validate_json(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise Undecodable("not_valid", f"{type_name} at {where or 'the top'}: {first['msg']}") from None
    except (ValueError, LookupError, RecursionError) as error:
        raise Undecodable("not_json", f"{type_name}: {error}") from None
    try:
        sequence = int(headers.get(PREFIX + "sequence", "0"))
    except ValueError:
        raise Undecodable(
            "bad_header", f"ce_sequence {headers[PREFIX + 'sequence']!r} is no number"
        ) from None
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
        sequence=sequence,
        predecessor=headers.get(PREFIX + "predecessor", ""),
        traceparent=headers.get("traceparent", ""),
    )


def message_type(topic: Topic, type_name: str) -> type[Message]:
    """The model for ``type_name`` on ``topic``.

    Raises:
        Undecodable: unknown type, a version newer than this program, or a type of another topic.
    """
    name, _, version = type_name.rpartition(".v")
    known = LATEST.get(name)
    if known is None or not version.isdigit() or int(version) < 1:
        raise Undecodable("unknown_type", f"{type_name!r} is not in the language of this program")
    latest, message = known
    if int(version) > latest:
        raise Undecodable(
            "newer_version",
            f"{type_name} was written by a newer program; this one knows v{latest}: upgrade it",
        )
    if message not in topic.messages:
        raise Undecodable("wrong_topic", f"{type_name} does not belong on {topic.name}")
    return message


def topic_named(name: str) -> Topic:
    """The topic of this name.

    Raises:
        LookupError: when the table has none.
    """
    return TOPICS[name]
