"""The AsyncAPI document of the whole system, made from the code: ``python -m services.console.asyncapi``.

FastStream's generator is asked about a broker on which every service's topics are declared. It gives
operations, bindings and payload schemas; what it cannot say (several named messages on one channel that
many services share, their headers, partitions) is put in afterwards from the topic table. Same code, same
bytes.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import warnings
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, Final, Literal

from faststream.kafka import KafkaBroker
from faststream.specification import AsyncAPI

import schemas
from schemas.envelope import Message
from schemas.topics import TOPICS, Topic, sequenced
from services.console import embedded
from services.kit.models.router import ModelRouter
from services.kit.service import Decider, Service

Json = dict[str, Any]

FILE: Final = Path(schemas.__file__).parent / "asyncapi.json"
REGENERATE: Final = "write it anew with `python -m services.console.asyncapi --write`, and commit it"
TITLE: Final = "TDScaling"
VERSION: Final = "1"
"""Of the document. Each message's version stands in its name."""
DESCRIPTION: Final = (
    "Services that synthesize tool-use trajectories over one log. They never call each other: all that "
    "they say stands on these topics. Every message is a CloudEvent 1.0 in Kafka's binary mode. The console "
    "reads all topics, without a group, and may write commands."
)
DEAD: Final = "DeadLetter"
KEYS: Final = {
    "server": "id of the server, or of the cluster, that the message is about",
    "campaign": "name of the campaign",
    "run": "id of the run; its slot modulo the number of partitions is the partition",
    "backend": "name of the sandbox's backend",
}
HEADERS: Final[Json] = {
    "ce_specversion": {"const": "1.0"},
    "ce_id": {"type": "string", "format": "uuid"},
    "ce_type": {"type": "string"},
    "ce_source": {"type": "string", "description": "tds/ and the service that wrote it"},
    "ce_time": {"type": "string", "format": "date-time"},
    "ce_subject": {"type": "string", "description": "the message's key"},
    "ce_correlationid": {"type": "string", "description": "the campaign, where there is one"},
    "ce_causationid": {"type": "string", "description": "ce_id of the message that led to it"},
    "ce_sequence": {"type": "string", "pattern": "^[1-9][0-9]*$", "description": "place among its key's"},
    "ce_predecessor": {"type": "string", "description": "ce_id of the event one place before"},
    "traceparent": {"type": "string", "description": "W3C Trace Context"},
}
ALWAYS: Final = ("ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "ce_subject")
DEAD_HEADERS: Final[Json] = {
    "dead_id": {"type": "string", "format": "uuid"},
    "dead_topic": {"type": "string", "description": "the topic it was on"},
    "dead_partition": {"type": "string"},
    "dead_offset": {"type": "string"},
    "dead_code": {"type": "string", "description": "why, to be counted"},
    "dead_detail": {"type": "string", "description": "why, to be read"},
    "dead_service": {"type": "string", "description": "the service that refused it"},
    "dead_time": {"type": "string", "format": "date-time"},
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One service sends, or receives, on one topic."""

    service: str
    action: Literal["send", "receive"]
    topic: str
    messages: tuple[type[Message], ...]
    """Empty: dead letters."""
    text: str

    @property
    def title(self) -> str:
        """Its unique name."""
        return f"{self.service}.{self.action}.{self.topic}"


def operations() -> list[Operation]:
    """Everything that is sent and received: topics are sent by their owners, and received as inputs."""
    found = [Operation(topic.owner, "send", topic.name, topic.messages, "") for topic in TOPICS.values()]
    for service in embedded.services(ModelRouter()):
        for topic in service.reads:
            used = tuple(one for one in topic.messages if service.folds is None or one in service.folds)
            used = used or topic.messages  # of those it needs to know only that they are there
            found.append(Operation(service.name, "receive", topic.name, used, reading(service, topic)))
            text = f"Of {topic.name}, what it could not use."
            found.append(Operation(service.name, "send", topic.dead, (), text))
    return found


def reading(service: Service, topic: Topic) -> str:
    """How a service reads a topic."""
    if isinstance(service, Decider):
        return "Read whole by the one replica that decides."
    if topic in service.references:
        return "Read whole by every replica."
    return f"Shared out among replicas by the group {service.name}."


def document() -> Json:
    """The document."""
    wanted = operations()
    found = generated(wanted)
    server = next(iter(found["servers"].values()))
    bindings = {one["address"]: one["bindings"]["kafka"] for one in found["channels"].values()}
    channels: Json = {}
    messages: Json = {DEAD: dead_letter()}
    for topic in TOPICS.values():
        names = [one.type_name() for one in topic.messages]
        text = f"Written by {topic.owner}. Key: {KEYS[topic.key]}."
        channels[topic.name] = channel(topic.name, text, names, topic.partitions, bindings[topic.name])
        channels[topic.name]["x-max-value-bytes"] = topic.max_bytes
        text = f"What a reader of {topic.name} could not use."
        channels[topic.dead] = channel(topic.dead, text, [DEAD], 1, bindings[topic.dead])
        messages.update({one.type_name(): message(topic, one) for one in topic.messages})
    # The generator's wrappers around several payloads have a colon in their names.
    payloads = {name: one for name, one in found["components"]["schemas"].items() if ":" not in name}
    return {
        "asyncapi": found["asyncapi"],
        "info": found["info"],
        "defaultContentType": found["defaultContentType"],
        "servers": {"kafka": {"host": server["host"], "protocol": server["protocol"]}},
        "channels": channels,
        "operations": {one.title: operation(one, found["operations"][one.title]) for one in wanted},
        "components": {"messages": messages, "schemas": payloads},
    }


def generated(wanted: Iterable[Operation]) -> Json:
    """FastStream's document of a broker on which ``wanted`` is declared."""
    broker = KafkaBroker("kafka:9092")
    for one in wanted:
        payload: Any = reduce(or_, one.messages) if one.messages else bytes
        if one.action == "send":
            broker.publisher(one.topic, title=one.title, schema=payload)
        else:
            broker.subscriber(one.topic, title=one.title)(handler(payload))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # the generator warns where two things have one name
        made = AsyncAPI(broker, title=TITLE, version=VERSION, description=DESCRIPTION).to_specification()
    found = json.loads(made.to_json())
    assert isinstance(found, dict)
    return found


def handler(payload: Any) -> Callable[[Any], Awaitable[None]]:
    """A function that takes ``payload``: the generator reads its annotation."""

    async def handle(event: Any) -> None: ...

    handle.__annotations__["event"] = payload
    return handle


def channel(name: str, text: str, messages: Iterable[str], partitions: int, binding: Json) -> Json:
    """A topic. All that is written stays."""
    kept = {"cleanup.policy": ["delete"], "retention.ms": -1}
    return {
        "address": name,
        "description": text,
        "servers": [ref("servers", "kafka")],
        "messages": {one: ref("components", "messages", one) for one in messages},
        "bindings": {"kafka": {**binding, "partitions": partitions, "topicConfiguration": kept}},
    }


def operation(one: Operation, made: Json) -> Json:
    """The generator's operation, on its topic's one channel and with its messages by their names."""
    names = [message.type_name() for message in one.messages] or [DEAD]
    return {
        "action": made["action"],
        "channel": ref("channels", one.topic),
        "messages": [ref("channels", one.topic, "messages", name) for name in names],
        "tags": [{"name": one.service}],
        **({"description": one.text} if one.text else {}),
    }


def message(topic: Topic, kind: type[Message]) -> Json:
    """A message of the language: headers, key and payload."""
    always = [*ALWAYS, "ce_sequence"] if sequenced(kind) else ALWAYS
    return {
        "name": kind.type_name(),
        "title": kind.__name__,
        "summary": inspect.getdoc(kind),
        "headers": {
            "type": "object",
            "properties": {**HEADERS, "ce_type": {"const": kind.type_name()}},
            "required": sorted(always),
        },
        "payload": ref("components", "schemas", kind.__name__),
        "correlationId": {"location": "$message.header#/ce_correlationid"},
        "bindings": key_binding(KEYS[topic.key]),
    }


def dead_letter() -> Json:
    """What stands on every topic of dead letters."""
    return {
        "name": DEAD,
        "title": DEAD,
        "summary": "The refused record, byte for byte, with its own headers and these.",
        "contentType": "application/octet-stream",
        "headers": {"type": "object", "properties": DEAD_HEADERS, "required": sorted(DEAD_HEADERS)},
        "payload": True,
        "bindings": key_binding("the refused record's key"),
    }


def key_binding(text: str) -> Json:
    """What a message's key is, as a binding."""
    return {"kafka": {"key": {"type": "string", "description": text}, "bindingVersion": "0.4.0"}}


def ref(*parts: str) -> Json:
    """A reference inside the document."""
    return {"$ref": "#/" + "/".join(parts)}


def text_of(found: Json) -> str:
    """The document as it is committed."""
    return json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def main(argv: Sequence[str] | None = None) -> int:
    """0: the file is as the code is. 1: it is not, and was to be checked; the reason is on stderr."""
    parser = argparse.ArgumentParser(prog="python -m services.console.asyncapi", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--check", action="store_true", help="fail when the file and the code differ")
    what.add_argument("--write", action="store_true", help="bring the file up to the code")
    parser.add_argument("file", type=Path, nargs="?", default=FILE, help="the file [schemas/asyncapi.json]")
    given = parser.parse_args(argv)
    text = text_of(document())
    if given.write:
        given.file.write_text(text, encoding="utf-8")
        return 0
    if given.file.exists() and given.file.read_text(encoding="utf-8") == text:
        return 0
    sys.stderr.write(f"{given.file.name} is not as the code is: {REGENERATE}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
