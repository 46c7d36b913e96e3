"""The release checks see what they are there to see: each fails on what it must not let pass."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from services.console.export import model_name
from services.worlds.machines import MACHINES
from services.worlds.world import World
from tests.release import crashes, faults, openings, stack_crashes
from tests.release.bench import Findings
from tests.release.replacement import candidates, fresh, from_results_alone, replaced, reported, told
from tests.release.sent_messages import check_messages
from tests.support.nonce_server import sha256, unmarked

ORDER = {"order_id": "ORD-1204", "total": 12, "status": "open"}
DIALOGUE: list[dict[str, Any]] = [
    {"role": "user", "content": "Cancel the order of Ada Byron."},
    {"role": "tool", "name": "find", "content": json.dumps(ORDER)},
]


def written(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_values_are_found_in_results_and_replaced_with_their_type():
    assert from_results_alone(DIALOGUE, "ORD-1204")
    assert not from_results_alone([*DIALOGUE, {"role": "user", "content": "I mean ORD-1204."}], "ORD-1204")
    assert candidates(iter(["open", 12, "ORD-1204"])) == ["ORD-1204", "open", 12]
    for value in ("ORD-1204", 12, "2026-03-04", 2.5):
        new = fresh(value, DIALOGUE, random.Random(1))
        assert type(new) is type(value)
        assert not told(json.dumps(DIALOGUE), new)
    changed = json.loads(replaced(DIALOGUE, 12, 15)[1]["content"])
    assert changed == {**ORDER, "total": 15}
    assert told("It costs 1,200.50 in all.", 1200.5)
    assert not told("ORD-12045 is open", "ORD-1204")
    assert reported("The title is Two Rivers.", "Two Rivers", "")
    assert not reported("I took Two Rivers; the title is two rivers.", "Two Rivers", "")
    assert not reported("I had it deleted.", "deleted", "Delete the file.")
    assert reported("Its status is deleted.", "deleted", "Read the file.")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({}, ""),
        ({"content": "Other (ref 00000000000000aa)"}, "text"),
        ({"content": "Done (ref 00000000000000bb)"}, "never sent"),
        ({"content": "Done"}, "never sent"),
    ],
)
def test_a_message_that_was_not_sent_is_seen(tmp_path: Path, change: dict[str, Any], complaint: str):
    text = "Done (ref 00000000000000aa)"
    sent = {
        "kind": "sending", "nonce": "00000000000000aa", "run": "c.0.1", "role": "assistant",
        "content_sha256": sha256(text), "calls": [],
    }  # fmt: skip
    messages = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": text, **change}]
    found = Findings()
    dataset = written(tmp_path / "dataset.jsonl", [{"id": "c.0.1", "messages": messages}])
    check_messages(dataset, written(tmp_path / "nonces.jsonl", [sent]), found)
    assert complaint in " ".join(found.wrong)
    assert bool(found.wrong) == bool(complaint)


def test_a_reply_that_is_used_twice_is_seen(tmp_path: Path):
    text = "Done (ref 00000000000000aa)"
    sent = {
        "kind": "sending", "nonce": "00000000000000aa", "run": "c.0.1", "role": "assistant",
        "content_sha256": sha256(text), "calls": [],
    }  # fmt: skip
    messages = [{"role": "user", "content": "Hello"}, *[{"role": "assistant", "content": text}] * 2]
    found = Findings()
    dataset = written(tmp_path / "dataset.jsonl", [{"id": "c.0.1", "messages": messages}])
    check_messages(dataset, written(tmp_path / "nonces.jsonl", [sent]), found)
    assert found.wrong == ["1 replies used twice"]


def test_a_request_sent_more_often_than_it_was_in_flight_is_seen(tmp_path: Path):
    asked = {"kind": "request", "run": "c.0.1", "turn": 1, "role": "assistant"}
    nonces = written(tmp_path / "nonces.jsonl", [asked, asked])
    for in_flight, wrong in ((frozenset({("c.0.1", 1, "assistant")}), 0), (frozenset(), 1)):
        found = Findings()
        crashes.check_requests(nonces, [crashes.Kill(1, in_flight)], found)
        assert len(found.wrong) == wrong


@pytest.mark.parametrize(
    ("times", "right"),
    [
        ([5], True),
        ([5, 25], True),
        ([5, 15], True),  # 15 lies in both tenures of the first replica's and the second's overlap
        ([5, 6], False),  # twice in one tenure
        ([25], True),
        ([31], False),  # nobody's
        ([5, 25, 26], False),
    ],
)
def test_a_request_may_be_sent_once_a_tenure(tmp_path: Path, times: list[float], right: bool):
    held = {3: [stack_crashes.Tenure(1, 0, 16), stack_crashes.Tenure(2, 14, 30)]}
    asked = {"kind": "request", "run": "c.67.1", "turn": 1, "role": "assistant"}
    nonces = written(tmp_path / "nonces.jsonl", [{**asked, "time_s": one} for one in times])
    found = Findings()
    stack_crashes.check_requests(nonces, held, found)
    assert bool(found.wrong) != right


def test_tenures_are_read_off_the_runners_logs(tmp_path: Path):
    def assigned(second: int, own: str) -> dict[str, Any]:
        return {"own": own, "event": "assigned", "timestamp": f"1970-01-01T00:00:{second:02}.000000Z"}

    written(tmp_path / "agent_runner-1.log", [assigned(1, "0-1"), assigned(5, "0"), assigned(7, "0-1")])
    written(tmp_path / "agent_runner-2.log", [assigned(5, "1"), assigned(7, "")])
    held = stack_crashes.tenures({1: 9.0}, tmp_path)
    late = stack_crashes.ON_ITS_WAY_S
    spans = {
        partition: [(one.replica, one.first_s, one.last_s) for one in held[partition]] for partition in held
    }
    assert spans == {0: [(1, 1.0, 9.0 + late)], 1: [(1, 1.0, 5.0), (1, 7.0, 9.0 + late), (2, 5.0, 7.0)]}


def test_a_failure_that_nobody_wrote_down_is_seen(tmp_path: Path):
    key = {"run": "c.0.1", "turn": 1, "role": "user"}
    line = {"event": "attempt failed", "code": "rate_limited", **key}
    for lines, wrong in (([line], 0), ([], 1), ([line, line], 1)):
        found = Findings()
        log = written(tmp_path / "run.log", lines)
        faults.check_attempts([{"fault": "429", **key}, {"fault": "none", **key}], log, found)
        assert len(found.wrong) == wrong


def test_the_nonce_server_takes_references_out_of_scripts():
    script = {"before": ". (ref 00000000000000aa)", "cut": [" please (ref 0000"], "of": "a (re"}
    assert unmarked(script) == {"before": ".", "cut": [" please"], "of": "a"}


def test_a_row_names_its_model_without_its_latency():
    assert model_name("sim?latency=0:0.05") == "sim"
    assert model_name("sim?malformed=0.1&latency=0:1") == "sim?malformed=0.1"
    assert model_name("openai/gpt-5") == "openai/gpt-5"


def test_a_machine_answers_a_time_that_is_none_with_an_error():
    world = World(MACHINES["calendar"].server.tools, 3)
    state = world.initial()
    given = {
        name: (world.known(state, "create_meeting", name) or [None])[0]
        or world.invent("create_meeting", name, random.Random(1))
        for name in world.tools["create_meeting"].input_schema["properties"]
    }
    made, observation = world.call(state, "create_meeting", given)
    assert not observation.error
    assert made != state
    after, observation = world.call(state, "create_meeting", {**given, "start_time": "2026-02-30T09:00"})
    assert observation.error == "invalid_arguments"
    assert after == state


def test_what_no_user_would_say_is_seen():
    parameters = {"type": "object", "properties": {"sort_by": {}, "note": {"properties": {"dueOn": {}}}}}
    row: dict[str, Any] = {
        "id": "c1.0.1", "tools": [{"function": {"name": "list_orders", "parameters": parameters}}],
        "messages": [{"role": "user", "content": ""}],
    }  # fmt: skip

    def complaints(content: str) -> int:
        row["messages"][0]["content"] = content
        return len(list(openings.wrong_texts(row)))

    for fine in (
        "List the orders, please.",
        "Mail ann@example.com and see https://example.com/a_b.",
        "The note.",
    ):
        assert complaints(fine) == 0
    for wrong in (
        "Use list_orders.",
        "Set dueOn.",
        "Sort it by sort_by.",
        "I am {name}.",
        "Call it foo.",
        "<id>",
        "Call it example.",
    ):
        assert complaints(wrong) == 1, wrong
    row["tools"][0]["function"]["name"] = "createFeedbackExample"
    assert complaints("Add a new feedback example.") == 0
    row["tools"][0]["function"] |= {"name": "provideFeedback", "description": "Create a Feedback Example."}
    assert complaints("Add a new feedback example.") == 0
    assert complaints("Add feedback named example.") == 1


def test_openings_are_compared_with_their_values_masked():
    def row(name: str, number: int) -> dict[str, Any]:
        call = {"function": {"name": "find", "arguments": json.dumps({"name": name})}}
        asked = {"role": "user", "content": f"Find {name} of room {number}."}
        return {"messages": [asked, {"role": "assistant", "tool_calls": [call]}]}

    distinct, most, opening = openings.variety([row("Ada", 1), row("Grace Hopper", 22), row("Bo", 3)])
    assert (round(distinct, 2), most) == (0.33, 3)
    assert opening == "Find _ of room _ "
