"""The AsyncAPI document: as the code is, whole, and of one piece."""

import json
import subprocess
import sys

import pytest

from schemas.codec import Undecodable
from schemas.envelope import Envelope
from schemas.run import UserSpoke
from schemas.topics import MESSAGES, TOPIC_OF, TOPICS, sequenced
from services.console import asyncapi
from services.kit.dead import bury
from services.kit.log import Record


@pytest.fixture(scope="module")
def document():
    return json.loads(asyncapi.FILE.read_text(encoding="utf-8"))


def references(part):
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def resolved(document, reference):
    found = document
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return found


def as_in_the_document(schema):
    """A part of pydantic's JSON Schema, with its definitions where the document has them."""
    text = json.dumps(schema).replace("#/$defs/", "#/components/schemas/")
    return json.loads(text, object_hook=_discriminated)


def _discriminated(part):
    """AsyncAPI's discriminator is the property's name alone."""
    named = part.get("discriminator")
    if isinstance(named, dict) and "propertyName" in named:
        part["discriminator"] = named["propertyName"]
    return part


def test_the_committed_document_is_as_the_code_is(capsys):
    assert asyncapi.main(["--check"]) == 0, capsys.readouterr().err


@pytest.mark.slow
def test_another_process_writes_the_same_bytes(tmp_path):
    # Another hash seed, so that no set's order can be in it.
    command = [sys.executable, "-m", "services.console.asyncapi", "--write", str(tmp_path / "made.json")]
    subprocess.run(command, check=True, env={"PYTHONHASHSEED": "7"}, timeout=60)
    assert (tmp_path / "made.json").read_bytes() == asyncapi.FILE.read_bytes()


def test_drift_is_found_and_says_what_to_run(tmp_path, capsys):
    drifted = tmp_path / "asyncapi.json"
    assert asyncapi.main(["--check", str(drifted)]) == 1
    drifted.write_text(asyncapi.FILE.read_text(encoding="utf-8").replace("RunFinished", "RunDone"))
    assert asyncapi.main(["--check", str(drifted)]) == 1
    assert "python -m services.console.asyncapi --write" in capsys.readouterr().err


def test_every_topic_is_in_it(document):
    channels = document["channels"]
    assert channels.keys() == {one.name for one in TOPICS.values()} | {one.dead for one in TOPICS.values()}
    for topic in TOPICS.values():
        channel = channels[topic.name]
        assert channel["address"] == topic.name
        assert channel["bindings"]["kafka"]["partitions"] == topic.partitions
        assert channel["messages"].keys() == {message.type_name() for message in topic.messages}
        sent = document["operations"][f"{topic.owner}.send.{topic.name}"]
        assert sent["action"] == "send"
        assert len(sent["messages"]) == len(topic.messages)


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_every_message_is_in_it_with_its_schema(document, name):
    kind = MESSAGES[name]
    message = document["components"]["messages"][name]
    schema = kind.model_json_schema()
    parts = schema.pop("$defs", {})
    assert resolved(document, message["payload"]["$ref"]) == as_in_the_document(schema)
    for part, definition in parts.items():
        assert document["components"]["schemas"][part] == as_in_the_document(definition)
    assert message["headers"]["properties"]["ce_type"] == {"const": name}
    assert ("ce_sequence" in message["headers"]["required"]) == sequenced(kind)


def test_the_headers_are_those_that_are_written(document):
    every = Envelope("i", "s", "t", "k", UserSpoke(run="c.0.1", turn=0, content=""), "c", "c", 1, "p", "t")
    message = document["components"]["messages"][every.type]
    assert message["headers"]["properties"].keys() == every.headers().keys()
    letter = bury(Record("t", 0, 0, "k", {}, b""), Undecodable("code", "detail"), "service", "time")
    headers = document["components"]["messages"]["DeadLetter"]["headers"]
    assert headers["properties"].keys() == letter.headers.keys()


def test_who_receives_what(document):
    operations = document["operations"]
    received = {name for name, one in operations.items() if one["action"] == "receive"}
    services = {name.partition(".")[0] for name in received}
    assert services == {topic.owner for topic in TOPICS.values()} - {"console"}
    for topic in TOPICS.values():
        readers = {name.partition(".")[0] for name in received if name.endswith(f".receive.{topic.name}")}
        buriers = {name.partition(".")[0] for name in operations if name.endswith(f".send.{topic.dead}")}
        assert readers
        assert readers == buriers
    used = [one["$ref"] for one in operations["sandbox-exec.receive.tds.run.events"]["messages"]]
    assert [one.rpartition("/")[2] for one in used] == ["tds.run.RunFinished.v1", "tds.run.RunFailed.v1"]


def test_nothing_refers_to_what_is_not_there(document):
    found = list(references(document))
    assert len(found) > len(TOPIC_OF)
    for reference in found:
        assert resolved(document, reference)


def test_an_operation_takes_only_messages_of_its_own_channel(document):
    for operation in document["operations"].values():
        for message in operation["messages"]:
            assert message["$ref"].startswith(operation["channel"]["$ref"] + "/messages/")
