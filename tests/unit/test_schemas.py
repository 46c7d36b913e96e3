"""The language: wire form and back, what is refused, old versions, the table, the lock."""

import json
import shutil
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from schemas import locking
from schemas.blueprint import Constant, FromFact, FromStep, ListOf, ObjectOf, Step, Usage
from schemas.codec import Undecodable, decode, skim
from schemas.envelope import Envelope, Message, Skimmed, Value, event_id, payload
from schemas.lock.__main__ import main
from schemas.run import RunStarted, UserSpoke, run_id, slot_of
from schemas.topics import (
    CATALOG_EVENTS,
    MESSAGES,
    RUN_EVENTS,
    RUN_PARTITIONS,
    SANDBOX_COMMANDS,
    TOPIC_OF,
    TOPICS,
    sequenced,
)
from schemas.upcast import UPCASTERS, upcast
from tests.support.schema_instances import instances

RUN = "c7.12.1"
KEYS = {"server": "srv", "campaign": "c7", "run": RUN, "backend": "docker"}


def enveloped(data: Message, **attributes: object) -> Envelope:
    topic = TOPIC_OF[type(data)]
    place = {"sequence": 1} if sequenced(type(data)) else {"id": "e1"}
    given = {"source": "tds/test", "time": "2026-01-01T00:00:00Z", "subject": KEYS[topic.key], **place}
    given |= attributes
    if "id" not in given:
        where = (topic.name, given["subject"], given["sequence"], given.get("predecessor", ""))
        given["id"] = event_id(*where, data.type_name(), payload(data))
    return Envelope(**given, data=data)


def started(**attributes: object) -> Envelope:
    return enveloped(RunStarted(run=RUN, campaign="c7", blueprint_event="b1"), **attributes)


def refused(topic, key, headers, value) -> Undecodable:
    with pytest.raises(Undecodable) as caught:
        decode(topic, key, headers, value)
    assert caught.value.detail
    assert str(caught.value).startswith(caught.value.code)
    return caught.value


# --- wire form and back ---------------------------------------------------------------------------


@pytest.mark.parametrize("type_name", sorted(MESSAGES))
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_message_comes_back_as_it_was_sent(type_name, data):
    message = MESSAGES[type_name]
    topic = TOPIC_OF[message]
    sent = message.model_validate(data.draw(instances(message.model_json_schema())))
    envelope = enveloped(sent)
    back = decode(topic, envelope.subject, envelope.headers(), payload(sent))
    assert back == envelope
    same = [repr(one).replace("-0.0", "0.0") for one in (back, envelope)]  # zero's sign is a default's
    assert same[0] == same[1]  # to the type of every part


def test_a_message_that_was_read_is_known_again_by_its_headers_too():
    envelope = started()
    headers, value = envelope.headers(), payload(envelope.data)
    assert decode(RUN_EVENTS, RUN, headers, value) is decode(RUN_EVENTS, RUN, dict(headers), value)
    assert isinstance(skim(RUN_EVENTS, RUN, headers, value).data, Skimmed)
    assert decode(RUN_EVENTS, RUN, headers, value) == envelope
    assert refused(RUN_EVENTS, "c7.12.2", headers, value).code == "wrong_key"
    headers["ce_sequence"] = "2"
    assert refused(RUN_EVENTS, RUN, headers, value).code == "bad_id"


@given(
    st.builds(
        Envelope,
        id=st.text(min_size=1),
        source=st.text(),
        time=st.text(),
        subject=st.just(RUN),
        data=st.just(started().data),
        correlationid=st.text(),
        causationid=st.text(),
        sequence=st.integers(1, 2**53),
        predecessor=st.text(),
        traceparent=st.text(),
    )
)
def test_every_attribute_of_the_envelope_comes_back(envelope):
    envelope = identified(envelope)
    assert decode(RUN_EVENTS, RUN, envelope.headers(), payload(envelope.data)) == envelope
    skimmed = skim(RUN_EVENTS, RUN, envelope.headers(), payload(envelope.data))
    assert replace(skimmed, data=envelope.data) == envelope


@pytest.mark.parametrize("read", [decode, skim])
def test_an_event_in_a_chain_has_the_id_of_its_place_and_content_or_none_takes_it(read):
    right = identified(started(sequence=1))
    value = payload(right.data)
    assert read(RUN_EVENTS, RUN, right.headers(), value).id == right.id
    for headers, content in (
        ({**right.headers(), "ce_id": "another"}, value),
        ({**right.headers(), "ce_sequence": "2"}, value),
        ({**right.headers(), "ce_predecessor": "x"}, value),
        (right.headers(), value + b" "),
    ):
        with pytest.raises(Undecodable) as refused:
            read(RUN_EVENTS, RUN, headers, content)
        assert refused.value.code == "bad_id"
    nowhere = {name: text for name, text in right.headers().items() if name != "ce_sequence"}
    with pytest.raises(Undecodable, match=r"bad_header.*ce_sequence is none"):
        read(RUN_EVENTS, RUN, nowhere, value)


@pytest.mark.parametrize("read", [decode, skim])
def test_what_is_no_utf8_is_refused_by_whoever_reads_it(read):
    value = payload(started().data)
    for key, headers, code in (
        (RUN, {**started().headers(), "ce_source": "\udcff"}, "bad_header"),
        (RUN, {**started().headers(), "x\udcff": "y"}, "bad_header"),
        ("\udcff", started().headers(), "wrong_key"),
        ("", started().headers(), "wrong_key"),
    ):
        with pytest.raises(Undecodable) as refused:
            read(RUN_EVENTS, key, headers, value)
        assert refused.value.code == code
        str(refused.value).encode()


def identified(envelope):
    """The envelope with the id that its place and content give it."""
    place = (RUN_EVENTS.name, envelope.subject, envelope.sequence, envelope.predecessor)
    return replace(envelope, id=event_id(*place, envelope.type, payload(envelope.data)))


def test_attributes_are_cloudevents_headers_and_empty_ones_are_left_out():
    assert started(id="e1", correlationid="c7", sequence=1, traceparent="00-1-2-01").headers() == {
        "ce_specversion": "1.0",
        "ce_id": "e1",
        "ce_type": "tds.run.RunStarted.v2",
        "ce_source": "tds/test",
        "ce_time": "2026-01-01T00:00:00Z",
        "ce_subject": RUN,
        "ce_correlationid": "c7",
        "ce_sequence": "1",
        "traceparent": "00-1-2-01",
    }


def test_the_form_of_an_argument_is_written_though_it_is_a_default():
    step = Step(
        id="a",
        tool="t",
        arguments={
            "x": FromFact(fact="f"),
            "y": ObjectOf(fields={"z": ListOf(items=(Constant(value=0), FromStep(step="b", path=("c", 1))))}),
        },
    )
    wire = step.model_dump_json(exclude_defaults=True)
    assert json.loads(wire)["arguments"]["x"] == {"kind": "fact", "fact": "f"}
    assert Step.model_validate_json(wire) == step


# --- what is refused ------------------------------------------------------------------------------


def test_a_message_without_a_value_is_refused():
    assert refused(RUN_EVENTS, RUN, started().headers(), None).code == "no_value"


def test_a_message_above_its_topics_limit_is_refused_and_one_at_the_limit_is_not():
    frame = len(payload(UserSpoke(run=RUN, turn=0, content=" ")))  # JSON of one character of content
    fits = UserSpoke(run=RUN, turn=0, content="x" * (RUN_EVENTS.max_bytes - frame + 1))
    headers = enveloped(fits).headers()
    assert decode(RUN_EVENTS, RUN, headers, payload(fits)).data == fits
    value = payload(fits.model_copy(update={"content": fits.content + "x"}))
    assert refused(RUN_EVENTS, RUN, headers, value).code == "oversized"


def test_a_key_that_is_not_the_subject_or_no_run_id_is_refused():
    envelope = started()
    value = payload(envelope.data)
    assert refused(RUN_EVENTS, "c7.13.1", envelope.headers(), value).code == "wrong_key"
    headers = {**envelope.headers(), "ce_subject": "nonsense"}
    assert refused(RUN_EVENTS, "nonsense", headers, value).code == "wrong_key"


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (b'{"run": "c7.12.1", "campaign": "c7"}', "blueprint_event"),
        (b'{"run": 3, "campaign": "c7", "blueprint_event": "b"}', "run"),
        (b'{"run": "c7.12.1", "campaign": "c7", "blueprint_event": "b", "extra": 1}', "extra"),
        (b'["c7.12.1"]', "the top"),
    ],
)
def test_json_that_does_not_fit_the_model_is_refused_with_the_place(value, where):
    reason = refused(RUN_EVENTS, RUN, started().headers(), value)
    assert reason.code == "not_valid"
    assert where in reason.detail


@pytest.mark.parametrize("value", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
@pytest.mark.parametrize("version", [1, 2])
def test_bytes_that_are_no_json_are_refused_in_every_version(value, version):
    headers = {**started().headers(), "ce_type": f"tds.run.RunStarted.v{version}"}
    assert refused(RUN_EVENTS, RUN, headers, value).code == "not_json"


def test_an_old_message_that_its_version_cannot_have_been_is_refused():
    headers = {**started().headers(), "ce_type": "tds.run.RunStarted.v1"}
    for value in (b'{"run": "c7.12.1"}', b"[]", b"3", b"null", b'"text"'):
        assert refused(RUN_EVENTS, RUN, headers, value).code == "not_valid"


@pytest.mark.parametrize(
    "type_name",
    [
        "",
        "RunStarted",
        "tds.run.RunStarted",
        "tds.run.RunStarted.v0",
        "tds.run.RunStarted.vX",
        "tds.run.RunStarted.v²",
        "tds.run.RunStarted.v" + "9" * 5000,
        "tds.run.No.v1",
    ],
)
def test_an_unknown_type_is_refused(type_name):
    headers = {**started().headers(), "ce_type": type_name}
    assert refused(RUN_EVENTS, RUN, headers, b"{}").code == "unknown_type"


def test_a_type_header_that_is_missing_is_an_unknown_type():
    assert refused(RUN_EVENTS, RUN, {"ce_id": "e1"}, b"{}").code == "unknown_type"


def test_a_newer_version_is_refused_with_the_advice_to_upgrade():
    headers = {**started().headers(), "ce_type": "tds.run.RunStarted.v3"}
    reason = refused(RUN_EVENTS, RUN, headers, payload(started().data))
    assert reason.code == "newer_version"
    assert "upgrade" in reason.detail


def test_a_type_of_another_topic_is_refused():
    envelope = started()
    assert refused(SANDBOX_COMMANDS, RUN, envelope.headers(), payload(envelope.data)).code == "wrong_topic"


def test_a_sequence_that_is_no_number_and_a_missing_id_are_refused():
    headers = started().headers()
    value = payload(started().data)
    for sequence in ("one", "-1", "²", "9" * 5000):
        assert refused(RUN_EVENTS, RUN, {**headers, "ce_sequence": sequence}, value).code == "bad_header"
    del headers["ce_id"]
    assert refused(RUN_EVENTS, RUN, headers, value).code == "bad_header"


@given(
    headers=st.dictionaries(
        st.sampled_from(["ce_type", "ce_id", "ce_subject", "ce_sequence", "other"]),
        st.text(max_size=12) | st.sampled_from(sorted(MESSAGES)) | st.just("tds.run.RunStarted.v1"),
    ),
    key=st.text(max_size=12) | st.just(RUN),
    value=st.none() | st.binary(max_size=40) | st.just(b"{}"),
    topic=st.sampled_from(sorted(TOPICS)),
)
def test_whatever_the_bytes_are_only_undecodable_is_raised(headers, key, value, topic):
    with pytest.raises(Undecodable):
        decode(TOPICS[topic], key, headers, value)


# --- old versions ---------------------------------------------------------------------------------


def test_a_run_started_of_version_1_is_read_as_version_2():
    old = json.dumps({"run": RUN, "campaign": "c7", "blueprint": "b1"}).encode()
    written = event_id(RUN_EVENTS.name, RUN, 1, "", "tds.run.RunStarted.v1", old)
    headers = {**started(id=written).headers(), "ce_type": "tds.run.RunStarted.v1"}
    envelope = decode(RUN_EVENTS, RUN, headers, old)
    assert envelope == started(id=written)
    assert envelope.type == "tds.run.RunStarted.v2"


@pytest.mark.parametrize(("name", "version"), sorted(UPCASTERS))
@settings(max_examples=20)
@given(data=st.data())
def test_whatever_an_old_schema_allows_is_lifted_to_a_valid_message(name, version, data):
    schema = json.loads((locking.FOLDER / f"{name}.v{version}.json").read_text())
    target = next(message for message in MESSAGES.values() if message.type_name().startswith(f"{name}.v"))
    raw = upcast(name, version, target.VERSION, data.draw(instances(schema)))
    assert target.model_validate(raw).type_name() == f"{name}.v{target.VERSION}"


def test_a_missing_step_is_a_lookup_error():
    with pytest.raises(LookupError):
        upcast("tds.run.RunStarted", 2, 3, {})


# --- models ---------------------------------------------------------------------------------------


def every_model() -> list[type[BaseModel]]:
    found: dict[str, type[BaseModel]] = {}
    waiting: list[type[BaseModel]] = [Message, Value]
    while waiting:
        for model in waiting.pop().__subclasses__():
            if model.__module__.startswith("schemas."):
                found[model.__qualname__] = model
                waiting.append(model)
    return [found[name] for name in sorted(found)]


@pytest.mark.parametrize("model", every_model(), ids=lambda model: model.__name__)
def test_every_model_is_frozen_closed_and_explained(model):
    assert model.model_config["frozen"] is True
    assert model.model_config["extra"] == "forbid"
    assert (model.__doc__ or "").strip()


def test_a_message_cannot_be_changed_and_takes_no_unknown_field():
    message = UserSpoke(run=RUN, turn=0, content="hello")
    with pytest.raises(ValidationError):
        message.content = "other"
    with pytest.raises(ValidationError):
        UserSpoke(run=RUN, turn=0, content="hello", mood="good")


def test_usage_adds_up_field_by_field():
    total = Usage(calls=1, prompt_tokens=10, completion_tokens=2, usd=0.5) + Usage(calls=2, prompt_tokens=1)
    assert total == Usage(calls=3, prompt_tokens=11, completion_tokens=2, usd=0.5)
    assert total.tokens == 13


# --- ids ------------------------------------------------------------------------------------------

PLACE = ("tds.run.events", RUN, 3, "p", "tds.run.UserSpoke.v1", b"{}")


def test_an_event_id_is_the_same_in_every_process():
    assert event_id(*PLACE) == "d8cc6ac3-43ba-5cd7-853b-dfff84da742e"


@pytest.mark.parametrize("part", range(6))
def test_an_event_id_depends_on_every_part_of_its_place_and_content(part):
    other = list(PLACE)
    other[part] = 4 if part == 2 else b"[]" if part == 5 else other[part] + "x"
    assert event_id(*other) != event_id(*PLACE)


@given(st.integers(0, 10**6), st.integers(1, 9), st.integers(0, 9))
def test_a_run_id_names_its_slot(slot, attempt, retry):
    assert slot_of(run_id("c7", slot, attempt, retry)) == slot


@pytest.mark.parametrize(
    "text", ["", "c7", "c7.1", "c7.x.1", "c7.1.2.3.4", "a.b.1.2", "c7.-1.1", "c7.².1", "c7.٣.1"]
)
def test_what_is_no_run_id_is_refused(text):
    with pytest.raises(ValueError, match="not a run id"):
        slot_of(text)


# --- the table ------------------------------------------------------------------------------------


def test_every_message_of_the_language_is_on_exactly_one_topic():
    carried = Counter(message for topic in TOPICS.values() for message in topic.messages)
    assert set(carried.values()) == {1}
    defined = {model for model in every_model() if issubclass(model, Message)}
    assert set(carried) == defined - {Skimmed}, "a skimmed message is no message of the language"


def test_a_topic_is_named_for_its_family_and_has_one_owner():
    for topic in TOPICS.values():
        assert {message.FAMILY for message in topic.messages} == {topic.name.split(".")[1]}
        assert topic.owner in (
            "console",
            "cluster-registry",
            "blueprint-planner",
            "agent-runner",
            "sandbox-exec",
            "diversity-monitor",
            "evolution-scheduler",
        )
        assert topic.dead == f"{topic.name}.dead"
        assert set(topic.loose) <= set(topic.messages)


def test_commands_stand_outside_of_any_chain():
    for topic in TOPICS.values():
        if topic.name.endswith(".commands"):
            assert not any(sequenced(message) for message in topic.messages)


@given(st.integers(0, 10**6), st.integers(1, 3), st.integers(0, 3))
def test_a_runs_messages_all_have_the_partition_of_its_slot(slot, attempt, retry):
    run = run_id("c7", slot, attempt, retry)
    by_run = [topic for topic in TOPICS.values() if topic.key == "run"]
    assert len(by_run) == 5
    assert {topic.partition(run) for topic in by_run} == {slot % RUN_PARTITIONS}


def test_all_other_topics_have_one_partition():
    for topic in TOPICS.values():
        if topic.key != "run":
            assert topic.partitions == 1
            assert topic.partition("anything") == 0


# --- the lock -------------------------------------------------------------------------------------


@pytest.fixture
def lock(tmp_path):
    """A copy of the lock, to plant drifts in: what is taken out of the lock has been added to the code."""
    folder = tmp_path / "lock"
    shutil.copytree(locking.FOLDER, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return folder


def edit(folder, name, change):
    path = folder / f"{name}.json"
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def drifts(folder):
    return [(drift.where, drift.compatible) for drift in locking.check(folder)]


def test_the_lock_is_as_the_code_is(capsys):
    assert main(["--check"]) == 0
    assert "as the code is" in capsys.readouterr().out


def test_writing_an_unchanged_lock_writes_nothing(lock, capsys):
    assert main(["--write", "--folder", str(lock)]) == 0
    assert capsys.readouterr().out.startswith("0 files")


def test_a_lock_written_from_nothing_asks_for_the_old_versions_it_cannot_make(tmp_path):
    with pytest.raises(ValueError, match=r"tds\.run\.RunStarted\.v1: an old version has gone"):
        locking.write(tmp_path / "new")


def test_a_new_optional_field_is_compatible_and_is_settled_by_writing(lock, capsys):
    name = "tds.run.ToolReturned.v1"
    edit(lock, name, lambda schema: schema["properties"].pop("size_bytes"))
    assert main(["--check", "--folder", str(lock)]) == 1
    said = capsys.readouterr().err
    assert f"{name} at size_bytes: a new optional field" in said
    assert "schemas.lock --write" in said
    assert main(["--write", "--folder", str(lock)]) == 0
    assert drifts(lock) == []


def test_a_new_optional_field_of_a_part_is_compatible_also_where_it_is_in_a_default(lock):
    def without_usd(schema):
        del schema["$defs"]["Usage"]["properties"]["usd"]
        del schema["properties"]["usage"]["default"]["usd"]

    edit(lock, "tds.run.UserSpoke.v1", without_usd)
    assert drifts(lock) == [("tds.run.UserSpoke.v1 at usage.usd", True)]


def require_usage(schema):
    schema["required"].append("usage")


def add_a_field(schema):
    schema["properties"]["mood"] = {"type": "string", "default": ""}


def drop_a_required_field(schema):
    del schema["properties"]["content"]
    schema["required"].remove("content")


def change_a_type(schema):
    schema["properties"]["turn"]["type"] = "string"


def change_a_default(schema):
    schema["properties"]["ends"]["default"] = True


def change_a_part(schema):
    schema["$defs"]["Usage"]["properties"]["calls"]["type"] = "number"


@pytest.mark.parametrize(
    ("change", "where", "what"),
    [
        (require_usage, "usage", "is no longer required"),
        (add_a_field, "mood", "the field has gone"),
        (drop_a_required_field, "content", "a new required field"),
        (change_a_type, "turn", 'type was "string", is "integer"'),
        (change_a_default, "ends", "the default was true, is false"),
        (change_a_part, "usage.calls", 'type was "number", is "integer"'),
    ],
)
def test_any_other_change_asks_for_a_new_version_and_cannot_be_written_over(
    lock, capsys, change, where, what
):
    name = "tds.run.UserSpoke.v1"
    edit(lock, name, change)
    before = (lock / f"{name}.json").read_text()
    for mode in ("--check", "--write"):
        assert main([mode, "--folder", str(lock)]) == 1
        said = capsys.readouterr().err
        assert f"{name} at {where}: {what}" in said
        assert "raise VERSION" in said
        assert "upcaster" in said
    assert (lock / f"{name}.json").read_text() == before


def test_another_member_of_an_enumeration_or_a_union_is_incompatible(lock):
    edit(lock, "tds.sandbox.CodeExecuted.v1", lambda s: s["properties"]["outcome"]["enum"].pop())
    edit(lock, "tds.blueprint.BlueprintPlanned.v1", drop_an_alternative)
    found = drifts(lock)
    assert ("tds.sandbox.CodeExecuted.v1 at outcome", False) in found
    assert any(where.startswith("tds.blueprint.BlueprintPlanned.v1 at") and not ok for where, ok in found)


def drop_an_alternative(schema):
    schema["$defs"]["Step"]["properties"]["arguments"]["additionalProperties"]["oneOf"].pop()


def test_renaming_a_part_changes_nothing_on_the_wire(lock):
    path = lock / "tds.run.UserSpoke.v1.json"
    path.write_text(path.read_text().replace("Usage", "Expense"))
    assert drifts(lock) == [("tds.run.UserSpoke.v1", True)]


def test_a_new_type_is_compatible_and_a_lost_one_is_not(lock):
    (lock / "tds.run.RunFailed.v1.json").unlink()
    shutil.copy(lock / "tds.run.RunFinished.v1.json", lock / "tds.run.RunPaused.v1.json")
    assert drifts(lock) == [("tds.run.RunFailed.v1", True), ("tds.run.RunPaused.v1", False)]


def test_a_new_version_needs_the_old_one_in_the_lock_and_an_upcaster(lock):
    class RunFailed(MESSAGES["tds.run.RunFailed.v1"]):
        VERSION = 2

    messages = {
        message.type_name(): message
        for message in (
            RunFailed if message is MESSAGES["tds.run.RunFailed.v1"] else message
            for message in MESSAGES.values()
        )
    }
    found = [(drift.where, drift.compatible, drift.what) for drift in locking.check(lock, messages)]
    assert ("tds.run.RunFailed.v2", True, "is not in the lock") in found
    assert ("tds.run.RunFailed.v1", False, "v2 is written, but nothing lifts v1 to v2") in found


def test_a_version_is_never_lowered(lock):
    shutil.copy(lock / "tds.run.RunFailed.v1.json", lock / "tds.run.RunFailed.v2.json")
    assert drifts(lock) == [("tds.run.RunFailed.v2", False)]


@pytest.mark.parametrize(
    ("change", "compatible"),
    [
        ({"partitions": 32}, False),
        ({"max_bytes": 2 * 1024 * 1024}, True),
        ({"max_bytes": 1024}, False),
        ({"sequenced": False}, False),
        ({"owner": "agent-runner-2"}, True),
        ({"messages": RUN_EVENTS.messages[:-1]}, False),
        ({"loose": RUN_EVENTS.messages[:1]}, False),
        ({"messages": (*RUN_EVENTS.messages, CATALOG_EVENTS.messages[0])}, True),
    ],
)
def test_changes_of_the_topic_table(lock, change, compatible):
    topics = {**TOPICS, RUN_EVENTS.name: replace(RUN_EVENTS, **change)}
    (drift,) = locking.check(lock, topics=topics)
    assert (drift.where, drift.compatible) == (RUN_EVENTS.name, compatible)


def test_a_topic_may_come_but_not_go(lock):
    rest = {name: topic for name, topic in TOPICS.items() if topic is not RUN_EVENTS}
    assert [drift.compatible for drift in locking.check(lock, topics=rest)] == [False]
    edit(lock, "topics", lambda table: table.pop(RUN_EVENTS.name))
    assert drifts(lock) == [(RUN_EVENTS.name, True)]


def test_a_lock_file_that_is_not_json_is_named(lock, capsys):
    (lock / "tds.run.RunFailed.v1.json").write_text("{")
    assert main(["--check", "--folder", str(lock)]) == 1
    assert "tds.run.RunFailed.v1.json is not JSON" in capsys.readouterr().err
