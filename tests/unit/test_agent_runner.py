"""agent-runner: given these events and replies, when it plays a blueprint, then these events."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

from schemas.blueprint import Blueprint, BlueprintPlanned, BlueprintRejected, Fault, Rejection, Usage
from schemas.catalog import ToolSpec
from schemas.envelope import Message, payload
from schemas.evolution import Allowance, RoleModel
from schemas.run import (
    AssistantSpoke,
    RunFailed,
    RunFinished,
    RunStarted,
    ToolCall,
    ToolReturned,
    UserSpoke,
)
from schemas.sandbox import CodeExecuted, ExecuteCode
from schemas.topics import RUN_EVENTS
from services.agent_runner import prompts
from services.agent_runner.app import named, service
from services.agent_runner.conversation import SYSTEM, message, observation_text, offered
from services.agent_runner.domain import (
    FAULTS,
    MAX_CALLS,
    MAX_TEXT,
    OBSERVATION_BYTES,
    AskAssistant,
)
from services.kit.models.chat import ChatCall, ChatReply, ChatRequest, ModelFailed
from services.kit.service import Append, Closed, Perform, Step, Wait
from services.sim.code_tool import CODE_SERVER, CODE_TOOL
from tests.support.handmade import HANDMADE, cancelled_order, moved_money, played, schema
from tests.support.solo import Cast, Line, Solo, said

REAL = RoleModel(model="acme/large", base_url="http://acme")
COST = Usage(calls=1, prompt_tokens=100, completion_tokens=10, usd=0.01)
PLANNED = Usage(calls=1, prompt_tokens=7, completion_tokens=3, usd=0.5)
ENDS = '{"content": "Thanks, bye.", "ends": true}'
YES = '{"pass": true, "reason": "natural"}'


@cache
def plan(name: str) -> Blueprint:
    """A hand-made blueprint, whose talking roles are played by a model that is no script."""
    models = dict.fromkeys(("user", "assistant", "judge"), REAL)
    return HANDMADE[name]().model_copy(update={"models": models})


def with_tools_by_a_model(blueprint: Blueprint) -> Blueprint:
    return blueprint.model_copy(update={"models": {**blueprint.models, "tools": REAL}})


def reply(content: str = "", calls: Iterable[ChatCall] = ()) -> ChatReply:
    return ChatReply(content=content, calls=tuple(calls), prompt_tokens=100, completion_tokens=10, usd=0.01)


def call(name: str, identity: str = "x", **arguments: Any) -> ChatCall:
    return ChatCall(identity, name, json.dumps(arguments))


def calls_of(turn: dict[str, Any]) -> list[ChatCall]:
    """The calls of an assistant's turn in a dialogue."""
    made = [(one["id"], one["function"]) for one in turn.get("tool_calls", ())]
    return [ChatCall(identity, one["name"], one["arguments"]) for identity, one in made]


def retried(messages: Sequence[dict[str, Any]]) -> list[ChatCall]:
    """The calls of the last turn that an injected fault has answered, made again."""
    turns = [one for one in messages if one["role"] == "assistant" and one.get("tool_calls")]
    codes = {
        one["tool_call_id"]: json.loads(one["content"]).get("error", {}).get("code")
        for one in messages
        if one["role"] == "tool" and one["content"].startswith('{"error"')
    }
    return [
        ChatCall(f"again {one.id}", one.name, one.arguments)
        for one in (calls_of(turns[-1]) if turns and messages[-1]["role"] == "tool" else ())
        if codes.get(one.id) in FAULTS
    ]


def flawless(blueprint: Blueprint) -> Cast:
    """A cast that speaks the reference run of a plan, and repeats what a fault has answered."""
    steps = [one.model_copy(update={"fault": None}) for one in blueprint.steps]
    turns = played(blueprint.model_copy(update={"steps": tuple(steps)}))
    assistant = [reply(one["content"] or "", calls_of(one)) for one in turns if one["role"] == "assistant"]

    def spoken(request: ChatRequest) -> ChatReply:
        again = retried(request.messages)
        return reply("", again) if again else assistant.pop(0)

    user: list[Line] = [
        reply(json.dumps({"content": one["content"], "ends": False}))
        for one in turns[2:]
        if one["role"] == "user"
    ]
    return Cast({"assistant": [spoken], "user": [*user, reply(ENDS)], "judge": [reply(YES)]})


def opened(blueprint: Blueprint, cast: Cast) -> Solo:
    """The run of a blueprint that was planned."""
    return Solo(service(cast), blueprint.id).given(BlueprintPlanned(blueprint=blueprint, usage=PLANNED))


def end_of(solo: Solo) -> RunFinished | RunFailed:
    """How the run ended; it ended once, as its last event."""
    ends = [one for one in solo.messages if isinstance(one, RunFinished | RunFailed)]
    assert len(ends) == 1
    assert ends[0] is solo.messages[-1]
    assert solo.closed
    return ends[0]


def run_of(name: str, **lines: list[Line]) -> Solo:
    """A played run, with these lines in place of the flawless ones."""
    cast = flawless(plan(name))
    cast.lines.update(lines)
    solo = opened(plan(name), cast)
    solo.play()
    return solo


def seen(step: Step) -> Step:
    """A step that can be compared: two worlds made alike are not equal."""
    if isinstance(step, Perform) and hasattr(step.effect, "world"):
        return Perform(replace(step.effect, world=None))
    return step


def kinds(messages: Iterable[Message]) -> list[str]:
    return [type(one).__name__ for one in messages]


# A whole run


def test_a_run_starts_with_the_goal_and_goes_turn_by_turn() -> None:
    blueprint = plan("filed")
    cast = flawless(blueprint)
    solo = opened(blueprint, cast)
    event = solo.log[0].id
    assert solo.advance() == [RunStarted(run=blueprint.id, campaign="filed", blueprint_event=event)]
    assert solo.advance() == [UserSpoke(run=blueprint.id, turn=0, content=blueprint.goal)]
    assert cast.requests == []
    effect = solo.effect
    assert isinstance(effect, AskAssistant)
    assert [one["role"] for one in effect.messages] == ["system", "user"]
    (spoken,) = solo.advance()
    assert isinstance(spoken, AssistantSpoke)
    assert (spoken.turn, [one.name for one in spoken.calls], spoken.usage) == (1, ["list_boards"], COST)
    (returned,) = solo.advance()
    assert isinstance(returned, ToolReturned)
    assert (returned.turn, returned.call, returned.name) == (2, spoken.calls[0].id, "list_boards")
    assert json.loads(returned.content) == blueprint.steps[0].expected
    assert (returned.error, returned.fault, returned.size_bytes) == ("", False, 0)
    assert kinds(solo.advance() + solo.advance() + solo.advance()) == [
        "AssistantSpoke",
        "ToolReturned",
        "AssistantSpoke",
    ]
    (bye,) = solo.advance()
    assert isinstance(bye, UserSpoke)
    assert bye.ends
    (finish,) = solo.advance()
    assert isinstance(finish, RunFinished)
    assert finish.verdict.passed, finish.verdict
    assert finish.verdict.judge == "natural"
    assert solo.step == Closed()
    assert [one.turn for one in solo.messages if hasattr(one, "turn")] == list(range(7))


@pytest.mark.parametrize("name", HANDMADE)
def test_the_reference_runs_pass_and_cost_what_their_calls_cost(name: str) -> None:
    solo = run_of(name)
    finish = end_of(solo)
    assert isinstance(finish, RunFinished)
    assert finish.verdict.passed, finish.verdict
    blueprint = plan(name)
    assert (finish.run, finish.campaign, finish.slot, finish.attempt) == (blueprint.id, name, 0, 0)
    asked = [one for one in solo.messages if isinstance(one, AssistantSpoke | UserSpoke) and one.turn]
    assert {one.usage for one in asked} == {COST}
    judged = len(asked) + 1
    assert finish.usage.calls == judged + 1
    assert finish.usage.prompt_tokens == 100 * judged + 7
    assert finish.usage.completion_tokens == 10 * judged + 3
    assert finish.usage.usd == pytest.approx(0.01 * judged + 0.5)
    assert len(finish.actions) > len(blueprint.steps)


def test_every_request_is_recorded_by_its_digest() -> None:
    cast = flawless(plan("cancelled"))
    solo = opened(plan("cancelled"), cast)
    solo.play()
    recorded = [one.request for one in solo.messages if getattr(one, "request", "")]
    assert recorded == [request.digest() for request in cast.requests]
    assert len(set(recorded)) == len(recorded)


def test_a_question_is_answered_by_the_user_and_the_run_goes_on() -> None:
    solo = run_of("cancelled")
    texts = [(type(one).__name__, one.content) for one in solo.messages if isinstance(one, UserSpoke)]
    assert texts[0][1] == plan("cancelled").goal
    assert "18 Elm Street, Riverton 55012" in texts[1][1]
    assert texts[2] == ("UserSpoke", "Thanks, bye.")


def test_tools_answer_one_by_one_in_the_order_of_the_calls() -> None:
    solo = run_of("moved")
    turns = [one for one in solo.messages if isinstance(one, AssistantSpoke | ToolReturned)]
    parallel = next(place for place, one in enumerate(turns) if len(getattr(one, "calls", ())) == 2)
    spoken, first, second = turns[parallel : parallel + 3]
    assert isinstance(spoken, AssistantSpoke)
    assert [getattr(one, "call", "") for one in (first, second)] == [one.id for one in spoken.calls]
    assert first.turn == second.turn - 1 == spoken.turn + 1


def test_injected_faults_come_first_and_the_retry_gets_the_result() -> None:
    solo = run_of("moved")
    answers = [one for one in solo.messages if isinstance(one, ToolReturned)]
    found = [(one.name, one.error, one.fault) for one in answers]
    assert found == [
        ("find_account_holder", "timeout", True),
        ("find_account_holder", "timeout", True),
        ("find_account_holder", "", False),
        ("list_holder_accounts", "", False),
        ("get_account", "rate_limited", True),
        ("get_account", "", False),
        ("get_account", "", False),
        ("transfer_money", "", False),
    ]
    fault = json.loads(answers[0].content)
    assert fault["error"]["code"] == "timeout"
    assert "try again" in fault["error"]["message"]


def test_faults_of_two_steps_with_one_tool_come_one_after_another() -> None:
    blueprint = plan("moved")
    faults = {"s3": Fault(error="unavailable", times=2), "s4": Fault(error="timeout", times=1)}
    steps = [one.model_copy(update={"fault": faults.get(one.id)}) for one in blueprint.steps]
    blueprint = blueprint.model_copy(update={"steps": tuple(steps)})
    solo = opened(blueprint, flawless(blueprint))
    solo.play()
    finish = end_of(solo)
    assert isinstance(finish, RunFinished)
    assert finish.verdict.passed, finish.verdict
    reads = [one for one in solo.messages if isinstance(one, ToolReturned) and one.name == "get_account"]
    assert [one.error for one in reads] == ["unavailable", "unavailable", "timeout", "", ""]


def test_a_fault_leaves_the_world_as_it_was() -> None:
    solo = run_of("moved")
    before = opened(plan("moved"), Cast())
    assert before.state.state == plan("moved").initial_state
    assert solo.state.closed
    states = []
    again = opened(plan("moved"), flawless(plan("moved")))
    while not again.closed:
        (one,) = again.advance()
        if isinstance(one, ToolReturned):
            states.append((one.fault, one.name, again.state.state))
    for fault, _, state in states[:-1]:
        assert state == plan("moved").initial_state, fault
    assert states[-1][2] != plan("moved").initial_state


def test_a_tool_error_of_the_world_is_seen_by_the_assistant() -> None:
    wrong = reply("", [call("find_customer", customer_email="nobody@nowhere.example")])
    cast = flawless(plan("cancelled"))
    cast.lines["assistant"].insert(0, wrong)
    solo = opened(plan("cancelled"), cast)
    solo.play()
    returned = next(one for one in solo.messages if isinstance(one, ToolReturned))
    assert returned.error == "not_found"
    assert not returned.fault
    assert json.loads(returned.content)["error"]["code"] == "not_found"
    seen = cast.asked("assistant")[1].messages[-1]
    assert seen == {
        "role": "tool",
        "tool_call_id": returned.call,
        "name": "find_customer",
        "content": returned.content,
    }


# Order between topics, crashes


@pytest.mark.parametrize("name", HANDMADE)
def test_a_crash_after_any_event_changes_nothing(name: str) -> None:
    whole = run_of(name)
    events = [one.data for one in whole.log]
    for cut in range(1, len(events)):
        again = Solo(service(flawless(plan(name))), plan(name).id).given(*events[:cut])
        partial = Solo(service(flawless(plan(name))), plan(name).id).given(*events[1:cut], events[0])
        assert seen(again.step) == seen(partial.step)
        assert again.state.messages == partial.state.messages
        assert again.state.usage == partial.state.usage
        step = again.step
        if isinstance(step, Append):
            assert step.drafts[0].data == events[cut]
    late = Solo(service(Cast()), plan(name).id).given(*events[1:])
    assert late.closed
    assert late.given(events[0]).closed


def test_events_before_the_blueprint_wait_for_it() -> None:
    events = [one.data for one in run_of("filed").log]
    solo = Solo(service(Cast()), plan("filed").id).given(*events[1:5])
    assert solo.step == Wait("its blueprint")
    assert solo.play() == []
    solo.given(events[0])
    assert isinstance(solo.effect, AskAssistant)
    assert len(solo.effect.messages) == 4


def test_every_event_twice_changes_nothing() -> None:
    solo = run_of("moved")
    once = Solo(service(Cast()), solo.key)
    twice = Solo(service(Cast()), solo.key)
    for envelope in solo.log:
        once.fold(envelope)
        twice.fold(envelope)
        twice.fold(envelope)
        if not once.closed:
            assert seen(once.step) == seen(twice.step)
            assert once.state.messages == twice.state.messages
    assert twice.closed


def test_a_rejected_plan_closes_the_run() -> None:
    rejected = BlueprintRejected(
        run="c.0.1",
        campaign="c",
        generation=0,
        slot=0,
        attempt=1,
        content=True,
        attribution="planner",
        rejections=(Rejection(code="cyclic"),),
    )
    solo = Solo(service(Cast()), "c.0.1")
    assert solo.step == Wait("its blueprint")
    assert solo.given(rejected).step == Closed()


# Verdicts


def test_the_judge_is_not_asked_when_the_rules_have_failed() -> None:
    solo = run_of("cancelled", assistant=[reply("All done, your order is cancelled.")])
    finish = end_of(solo)
    assert isinstance(finish, RunFinished)
    assert not finish.verdict.passed
    assert finish.verdict.findings[0].attribution == "assistant"
    assert finish.verdict.judge == ""
    assert solo.service is not None
    cast = flawless(plan("cancelled"))
    cast.lines["assistant"] = [reply("Done.")]
    again = opened(plan("cancelled"), cast)
    again.play()
    assert cast.asked("judge") == []


def test_a_judge_that_says_no_fails_the_run_with_its_reason() -> None:
    solo = run_of("filed", judge=[reply('{"pass": false, "reason": "stilted"}')])
    finish = end_of(solo)
    assert isinstance(finish, RunFinished)
    assert not finish.verdict.passed
    (finding,) = finish.verdict.findings
    assert (finding.code, finding.attribution, finding.detail) == ("judge", "judge", "stilted")
    assert finish.verdict.judge == "stilted"


UNUSABLE = [
    ("broken_json", ChatCall("x", "list_boards", '{"archived": tru')),
    ("broken_json", ChatCall("x", "list_boards", "[]")),
    ("broken_json", ChatCall("x", "list_boards", '{"archived": NaN}')),
    ("broken_json", ChatCall("x", "list_boards", "")),
    ("invented_tool", call("list_everything")),
    ("schema_violation", call("list_boards", archived="maybe")),
    ("schema_violation", call("create_card", title="no board")),
    ("schema_violation", call("delete_card", card_id="1", force=True)),
]


@pytest.mark.parametrize(("code", "made"), UNUSABLE)
@pytest.mark.parametrize("beside", [False, True])
def test_a_call_that_can_never_be_used_ends_the_run_at_once(code: str, made: ChatCall, beside: bool) -> None:
    calls = [call("list_boards", "ok", archived=False)] if beside else []
    solo = run_of("filed", assistant=[reply("", [*calls, made])])
    finish = end_of(solo)
    assert isinstance(finish, RunFinished)
    assert not finish.verdict.passed
    assert [(one.code, one.attribution) for one in finish.verdict.findings] == [(code, "assistant")]
    assert kinds(solo.messages) == [
        "BlueprintPlanned",
        "RunStarted",
        "UserSpoke",
        "AssistantSpoke",
        "RunFinished",
    ]
    assert finish.usage == PLANNED + COST


# Whose fault it is


SPOILT: list[tuple[str, str, list[Line], tuple[bool, str, str]]] = [
    ("silent", "assistant", said([""]), (True, "assistant", "empty_reply")),
    ("blank", "assistant", said([" \n\t"]), (True, "assistant", "empty_reply")),
    ("endless", "assistant", said(["x" * (MAX_TEXT + 1)]), (True, "assistant", "oversized_reply")),
    (
        "endless arguments",
        "assistant",
        [reply("", [call("list_boards", note="x" * MAX_TEXT)])],
        (True, "assistant", "oversized_reply"),
    ),
    (
        "endless together",
        "assistant",
        [reply("", [call("list_boards", str(i), note="x" * (MAX_TEXT // 8)) for i in range(9)])],
        (True, "assistant", "oversized_reply"),
    ),
    (
        "an endless name",
        "assistant",
        [reply("", [call("x" * 2_000_000)])],
        (True, "assistant", "oversized_reply"),
    ),
    (
        "an endless id",
        "assistant",
        [reply("", [call("list_boards", "x" * 2_000_000)])],
        (True, "assistant", "oversized_reply"),
    ),
    (
        "too many calls",
        "assistant",
        [reply("", [call("list_boards", str(i)) for i in range(MAX_CALLS + 1)])],
        (True, "assistant", "too_many_calls"),
    ),
    ("half a character", "assistant", said(["well \ud83d"]), (True, "assistant", "bad_text")),
    ("no JSON", "user", said(["Thank you!"]), (True, "user", "bad_json")),
    ("empty", "user", said([""]), (True, "user", "bad_json")),
    ("a list", "user", said(['["content"]']), (True, "user", "bad_reply")),
    ("no ends", "user", said(['{"content": "hm"}']), (True, "user", "bad_reply")),
    ("ends in words", "user", said(['{"content": "hm", "ends": "no"}']), (True, "user", "bad_reply")),
    ("content is a number", "user", said(['{"content": 3, "ends": false}']), (True, "user", "bad_reply")),
    ("says nothing", "user", said(['{"content": " ", "ends": false}']), (True, "user", "empty_reply")),
    (
        "half a character, escaped",
        "user",
        said(['{"content": "\\ud83d", "ends": false}']),
        (True, "user", "bad_json"),
    ),
    (
        "says too much",
        "user",
        said([json.dumps({"content": "x" * (MAX_TEXT + 1), "ends": False})]),
        (True, "user", "oversized_reply"),
    ),
    ("too deep", "user", said(["[" * 100_000]), (True, "user", "bad_json")),
    ("a number of a book", "user", said(["9" * 10_000]), (True, "user", "bad_json")),
    ("nonsense", "judge", said(["I like it."]), (True, "judge", "bad_json")),
    ("no verdict", "judge", said(['{"reason": "fine"}']), (True, "judge", "bad_reply")),
    ("a verdict in words", "judge", said(['{"pass": "yes"}']), (True, "judge", "bad_reply")),
    (
        "half a character in the reason",
        "judge",
        said(['{"pass": true, "reason": "\\udc00"}']),
        (True, "judge", "bad_json"),
    ),
]


def bad_model(role: str) -> list[tuple[str, str, list[Line], tuple[bool, str, str]]]:
    gone = ModelFailed("unreachable", "no route", infrastructure=True)
    refused = ModelFailed("context_too_long", "by 7", infrastructure=False)
    return [
        ("unreachable", role, [gone], (False, "infrastructure", "unreachable")),
        ("refused", role, [refused], (True, "model", "context_too_long")),
        ("a fault of ours", role, [RuntimeError("oh")], (False, "infrastructure", "RuntimeError")),
    ]


SPOILT += [case for role in ("assistant", "user", "judge") for case in bad_model(role)]


@pytest.mark.parametrize(
    ("role", "lines", "expected"), [case[1:] for case in SPOILT], ids=[f"{c[1]}: {c[0]}" for c in SPOILT]
)
def test_every_failure_says_whose_it_is(
    role: str, lines: list[Line], expected: tuple[bool, str, str]
) -> None:
    failure = end_of(run_of("filed", **{role: lines}))
    assert isinstance(failure, RunFailed)
    assert (failure.content, failure.attribution, failure.code) == expected
    assert failure.detail
    assert len(payload(failure)) < RUN_EVENTS.max_bytes
    if failure.attribution in ("infrastructure", "model") and failure.code != "RuntimeError":
        assert failure.detail.startswith(f"{role}: ")


SPOILT_TOOLS: list[tuple[str, Line, tuple[bool, str, str]]] = [
    ("no JSON", reply("Sure! Here you go."), (True, "tools", "bad_json")),
    ("empty", reply(""), (True, "tools", "bad_json")),
    ("cut off", reply('{"boards": [{"board_id"'), (True, "tools", "bad_json")),
    ("no number", reply('{"boards": NaN}'), (True, "tools", "bad_json")),
    ("beyond all bounds", reply('{"boards": 1e999}'), (True, "tools", "bad_json")),
    ("half a character", reply('{"boards": "\\ud83d"}'), (True, "tools", "bad_json")),
    *[(case[0], case[2][0], case[3]) for case in bad_model("tools")],
]


@pytest.mark.parametrize(
    ("line", "expected"), [case[1:] for case in SPOILT_TOOLS], ids=[case[0] for case in SPOILT_TOOLS]
)
def test_a_tool_simulator_that_fails_is_to_blame(line: Line, expected: tuple[bool, str, str]) -> None:
    cast = flawless(plan("filed"))
    cast.lines["tools"] = [line]
    solo = opened(with_tools_by_a_model(plan("filed")), cast)
    solo.play()
    failure = end_of(solo)
    assert isinstance(failure, RunFailed)
    assert (failure.content, failure.attribution, failure.code) == expected


def test_a_reply_that_cannot_be_used_has_been_paid_for() -> None:
    failure = end_of(run_of("filed", user=[reply("not JSON")]))
    assert isinstance(failure, RunFailed)
    assert failure.usage.calls == 1 + 3 + 1  # the plan, three turns of the assistant, the user
    assert failure.usage.prompt_tokens == 7 + 4 * 100
    assert failure.usage.usd == pytest.approx(0.5 + 4 * 0.01)


def test_a_reply_that_never_came_counts_as_a_call() -> None:
    failure = end_of(run_of("filed", assistant=[ModelFailed("timeout", "", infrastructure=True)]))
    assert isinstance(failure, RunFailed)
    assert failure.usage == PLANNED + Usage(calls=1)


def test_a_user_who_ends_without_a_word_ends_the_run() -> None:
    solo = run_of("filed", user=[reply('{"content": "", "ends": true}')])
    finish = end_of(solo)
    assert isinstance(finish, RunFinished)
    assert finish.verdict.passed


@pytest.mark.parametrize("fence", ["```json\n{}\n```", "```\n{}\n```", "  {}  "])
def test_a_fence_around_json_is_taken_off(fence: str) -> None:
    user = said([fence.replace("{}", ENDS)])
    assert isinstance(end_of(run_of("filed", user=user)), RunFinished)


# Limits


def test_a_run_without_end_stops_at_its_turns() -> None:
    blueprint = plan("cancelled").model_copy(update={"max_turns": 6})
    cast = Cast({"assistant": [reply("Go on?")], "user": [reply('{"content": "Yes.", "ends": false}')]})
    solo = opened(blueprint, cast)
    solo.play()
    failure = end_of(solo)
    assert isinstance(failure, RunFailed)
    assert (failure.attribution, failure.code, failure.content) == ("limit", "turns", True)
    assert "6 turns" in failure.detail
    assert sum(isinstance(one, UserSpoke | AssistantSpoke) for one in solo.messages) == 7


def test_a_run_that_ends_within_its_turns_is_judged() -> None:
    turns = sum(one["role"] in ("user", "assistant") for one in played(plan("filed")))
    for limit, kind in ((turns, RunFinished), (turns - 1, RunFailed)):
        blueprint = plan("filed").model_copy(update={"max_turns": limit})
        solo = opened(blueprint, flawless(blueprint))
        solo.play()
        assert isinstance(end_of(solo), kind)


@pytest.mark.parametrize(
    ("allowance", "code"),
    [(Allowance(tokens=300), "allowance_tokens"), (Allowance(usd=0.525), "allowance_usd")],
)
def test_a_run_stops_when_its_allowance_is_spent(allowance: Allowance, code: str) -> None:
    blueprint = plan("cancelled").model_copy(update={"allowance": allowance})
    cast = flawless(blueprint)
    solo = opened(blueprint, cast)
    solo.play()
    failure = end_of(solo)
    assert isinstance(failure, RunFailed)
    assert (failure.attribution, failure.code, failure.content) == ("limit", code, True)
    assert len(cast.requests) == 3
    assert failure.usage.calls == 4


def test_the_planners_cost_counts_against_the_allowance() -> None:
    blueprint = plan("filed").model_copy(update={"allowance": Allowance(usd=0.5)})
    cast = flawless(blueprint)
    solo = opened(blueprint, cast)
    solo.play()
    failure = end_of(solo)
    assert isinstance(failure, RunFailed)
    assert failure.code == "allowance_usd"
    assert cast.requests == []


# Ids of calls


def test_ids_are_unique_in_the_run() -> None:
    earlier = [{"role": "assistant", "tool_calls": [{"id": "a"}, {"id": "call_9_0"}]}]
    made = [
        call("t", "a"),
        call("t", ""),
        call("t", "b"),
        call("t", "b"),
        call("t", "call_9_6"),
        call("t", ""),
        call("t", "call_9_5"),
    ]
    ids = [one.id for one in named(made, 9, earlier)]
    assert len({*ids, "a", "call_9_0"}) == len(ids) + 2
    assert ids[2] == "b"
    assert all(ids)
    assert [one.id for one in named(made, 9, earlier)] == ids


def test_an_id_made_up_in_the_style_of_ours_stays_apart() -> None:
    """A model that imitates the ids it has seen, beside one that it left empty."""
    for order in itertools.permutations(["call_3_0", "call_3_1", "call_3_2", "", ""]):
        ids = [one.id for one in named([call("t", identity) for identity in order], 3, [])]
        assert len(set(ids)) == len(ids), order


@pytest.mark.parametrize("identity", ["", "same"])
def test_calls_with_one_id_are_told_apart_and_answered_each(identity: str) -> None:
    cast = flawless(plan("moved"))
    (spoken,) = cast.lines["assistant"]

    def alike(request: ChatRequest) -> ChatReply:
        assert callable(spoken)
        turn = spoken(request)
        return reply(turn.content, [ChatCall(identity, one.name, one.arguments) for one in turn.calls])

    cast.lines["assistant"] = [alike]
    solo = opened(plan("moved"), cast)
    solo.play()
    finish = end_of(solo)
    assert isinstance(finish, RunFinished)
    assert finish.verdict.passed, finish.verdict
    ids = [one.id for spoken in solo.messages if isinstance(spoken, AssistantSpoke) for one in spoken.calls]
    assert len(set(ids)) == len(ids)
    assert [one.call for one in solo.messages if isinstance(one, ToolReturned)] == ids


@pytest.mark.parametrize("identity", ["", "same"])
def test_recorded_calls_with_one_id_end_the_run_at_once(identity: str) -> None:
    made = [ToolCall(id=identity, name="list_boards", arguments="{}")] * 2
    solo = opened(plan("filed"), Cast())
    solo.advance()
    solo.advance()
    solo.given(AssistantSpoke(run=solo.key, turn=1, calls=tuple(made))).play()
    finish = end_of(solo)
    assert isinstance(finish, RunFinished)
    assert {one.code for one in finish.verdict.findings} == {"repeated_id"}


# Who sees what


def plan_secrets(blueprint: Blueprint) -> list[str]:
    """Texts that stand in the plan, and in nothing that the assistant may see."""
    steps = [one.purpose for one in blueprint.steps if one.purpose]
    paths = ["answer_facts", "distractors", "assertions", "initial_state", "tool_domains"]
    return [blueprint.persona, *steps, *paths]


def all_requests(name: str) -> tuple[Blueprint, Cast]:
    purposes = [one.model_copy(update={"purpose": f"secretly {one.id}"}) for one in HANDMADE[name]().steps]
    update = {"steps": tuple(purposes), "persona": "Zebulon the impatient"}
    blueprint = with_tools_by_a_model(plan(name).model_copy(update=update))
    cast = flawless(blueprint)
    results: dict[str, list[Any]] = {}
    for one in blueprint.steps:
        results.setdefault(one.tool, []).append(one.expected)

    def simulated(request: ChatRequest) -> ChatReply:
        tool = json.loads(request.messages[-1]["content"])["name"]
        left = results[tool]
        return reply(json.dumps(left.pop(0) if len(left) > 1 else left[0]))

    cast.lines["tools"] = [simulated]
    solo = opened(blueprint, cast)
    solo.play()
    assert isinstance(end_of(solo), RunFinished)
    return blueprint, cast


@pytest.mark.parametrize("name", HANDMADE)
def test_the_assistant_sees_tools_and_dialogue_and_nothing_of_the_plan(name: str) -> None:
    blueprint, cast = all_requests(name)
    asked = cast.asked("assistant")
    assert len(asked) > 2
    heard = [blueprint.goal]
    for request in asked:
        assert request.script is None
        assert (request.model, request.base_url) == ("acme/large", "http://acme")
        assert [tool["function"]["name"] for tool in request.tools] == [tool.name for tool in blueprint.tools]
        assert all(tool.keys() == {"type", "function"} for tool in request.tools)
        assert all(tool["function"].keys() == {"name", "description", "parameters"} for tool in request.tools)
        text = json.dumps([request.messages, request.tools], ensure_ascii=False)
        for secret in plan_secrets(blueprint):
            assert secret not in text
        assert request.messages[0] == {"role": "system", "content": SYSTEM}
        heard += [one["content"] for one in request.messages if one["role"] == "user"]
        for fact in blueprint.facts:
            if fact.asked and not any(str(fact.value) in one for one in heard):
                assert str(fact.value) not in text
    first = json.dumps(asked[0].messages)
    assert [one["role"] for one in asked[0].messages] == ["system", "user"]
    for step in blueprint.steps:
        assert json.dumps(step.expected) not in first


def test_what_the_assistant_says_beside_its_calls_is_not_for_the_user() -> None:
    cast = flawless(plan("filed"))
    (spoken,) = cast.lines["assistant"]

    def thinking_aloud(request: ChatRequest) -> ChatReply:
        assert callable(spoken)
        turn = spoken(request)
        return reply("Let me look that up.", turn.calls) if turn.calls else turn

    cast.lines["assistant"] = [thinking_aloud]
    opened(plan("filed"), cast).play()
    (request,) = cast.asked("user")
    assert "Let me look" not in json.dumps(request.messages)
    assert "Let me look" in json.dumps(cast.asked("judge")[0].messages)


@pytest.mark.parametrize("name", HANDMADE)
def test_the_user_sees_goal_and_facts_and_neither_plan_nor_tools(name: str) -> None:
    blueprint, cast = all_requests(name)
    for request in cast.asked("user"):
        assert (request.tools, request.script) == ((), None)
        text = json.dumps(request.messages, ensure_ascii=False)
        for secret in plan_secrets(blueprint)[1:]:
            assert secret not in text
        for tool in blueprint.tools:
            assert tool.name not in text
        assert all("tool_calls" not in one and one["role"] != "tool" for one in request.messages)
        system = request.messages[0]["content"]
        assert blueprint.goal in system
        assert blueprint.persona in system
        for fact in blueprint.facts:
            line = f"{fact.label}: {fact.value}"
            assert line in system
            assert (f"{line} (told only when asked)" in system) == fact.asked
        assert request.messages[1] == {"role": "assistant", "content": blueprint.goal}
        assert request.messages[-1]["role"] == "user"
        assert request.json_schema is not None


def test_the_tool_simulator_sees_state_call_and_what_is_expected_of_it() -> None:
    blueprint, cast = all_requests("filed")
    first, second = cast.asked("tools")
    assert json.loads(first.messages[1]["content"]) == {
        "name": "list_boards",
        "arguments": '{"archived": false}',
    }
    for request, step in ((first, blueprint.steps[0]), (second, blueprint.steps[1])):
        system = request.messages[0]["content"]
        assert json.dumps(step.expected, ensure_ascii=False) in system
        assert json.dumps(blueprint.initial_state, ensure_ascii=False) in system
        assert request.script is None
        assert blueprint.persona not in system
        assert blueprint.goal not in system
    assert "list_boards" in second.messages[0]["content"]


def test_of_two_steps_with_one_tool_each_call_is_told_its_own_result() -> None:
    blueprint, cast = all_requests("moved")
    reads = [one for one in cast.asked("tools") if "get_account" in one.messages[1]["content"]]
    expected = {one.id: one.expected for one in blueprint.steps}
    assert expected["s3"] != expected["s4"]
    # The first read fails by a planned fault, so no model is asked for it; the second is s4's, then s3's.
    for request in reads:
        account = json.loads(json.loads(request.messages[1]["content"])["arguments"])["account_id"]
        told = request.messages[0]["content"].partition("The plan expects a result like: ")[2]
        assert json.loads(told)["account_id"] == account


def test_a_call_that_is_no_step_is_told_nothing() -> None:
    blueprint = with_tools_by_a_model(plan("filed"))
    made = ToolCall(id="x", name="delete_card", arguments='{"card_id": "1"}')
    spoken = AssistantSpoke(run=blueprint.id, turn=1, calls=(made,))
    messages = [{"role": "user", "content": blueprint.goal}, message(spoken)]
    assert prompts.expected(blueprint, made, messages) is None


def test_the_judge_sees_everything() -> None:
    blueprint, cast = all_requests("filed")
    (request,) = cast.asked("judge")
    text = request.messages[1]["content"]
    goal = json.dumps(blueprint.goal)[1:-1]
    for part in (blueprint.persona, goal, "secretly s2", "list_boards", "answer_facts"):
        assert part in text
    assert json.dumps(blueprint.steps[0].expected, ensure_ascii=False) in text
    assert request.script is None


def test_scripts_go_to_scripted_actors_only() -> None:
    blueprint = plan("filed")
    for model, scripted in (
        ("sim", True),
        ("sim?early_stop=0.5", True),
        ("openai/sim", True),
        ("simple", False),
    ):
        models = {role: RoleModel(model=model) for role in ("user", "assistant", "judge")}
        cast = flawless(blueprint)
        opened(blueprint.model_copy(update={"models": models}), cast).play()
        assert {request.role for request in cast.requests} == {"user", "assistant", "judge"}
        for request in cast.requests:
            assert (request.script is not None) == scripted


def test_seeds_differ_by_role_and_turn_and_follow_the_blueprint() -> None:
    _, cast = all_requests("cancelled")
    seeds = [request.seed for request in cast.requests]
    assert len(set(seeds)) == len(seeds)
    _, again = all_requests("cancelled")
    assert [request.seed for request in again.requests] == seeds


# Observations


@pytest.mark.parametrize(
    "value",
    [
        ["x" * 10] * 9,
        {"a": 'quotes " and \\ and \n' * 40},
        "ünïcödé 😀" * 300,
        "\ud83d" * 400,
        {"deep": [[[1.5, None, True]] * 30] * 9},
    ],
)
@pytest.mark.parametrize("limit", [64, 100, 1000])
def test_an_observation_cut_at_the_limit_stays_json_with_its_size(value: Any, limit: int) -> None:
    text, size = observation_text(value, limit)
    text.encode()
    whole, none = observation_text(value, 10**9)
    assert none == 0
    assert json.loads(whole) == value
    if len(whole.encode()) <= limit:
        assert (text, size) == (whole, 0)
        return
    cut = json.loads(text)
    assert size == cut["size_bytes"] == len(whole.encode())
    assert whole.startswith(cut["truncated"])
    assert len(cut["truncated"].encode()) <= limit // 2
    assert len(text.encode()) <= limit + 64


def test_a_long_observation_is_cut_in_the_run() -> None:
    cast = flawless(plan("filed"))
    cast.lines["tools"] = [reply(json.dumps({"boards": ["b" * 99] * 2000}))]
    solo = opened(with_tools_by_a_model(plan("filed")), cast)
    solo.play()
    returned = next(one for one in solo.messages if isinstance(one, ToolReturned))
    assert returned.size_bytes > 200_000
    assert len(returned.content.encode()) <= OBSERVATION_BYTES + 64
    assert json.loads(returned.content)["size_bytes"] == returned.size_bytes
    assert cast.asked("assistant")[1].messages[-1]["content"] == returned.content


def test_half_a_character_in_an_argument_ends_in_a_verdict() -> None:
    """JSON may escape one in an argument; a tool that echoes it must not break the run."""
    made = ChatCall("x", "create_card", '{"board_id": "\\ud83d", "title": "Order new \\udc00 chairs"}')
    lines: list[Line] = [reply("", [made]), reply("All done.")]
    solo = run_of("filed", assistant=lines)
    finish = end_of(solo)
    assert isinstance(finish, RunFinished)
    assert not finish.verdict.passed
    assert any(isinstance(one, ToolReturned) for one in solo.messages)


def test_an_error_made_up_by_a_tool_simulator_is_an_error() -> None:
    cast = flawless(plan("filed"))
    code = "not_found" + "x" * 2_000_000
    cast.lines["tools"] = [reply(json.dumps({"error": {"code": code, "message": "gone"}}))]
    solo = opened(with_tools_by_a_model(plan("filed")), cast)
    solo.play()
    returned = next(one for one in solo.messages if isinstance(one, ToolReturned))
    assert returned.error.startswith("not_found")
    assert len(returned.error) <= 100
    assert returned.usage == COST
    assert returned.request == cast.asked("tools")[0].digest()


def test_the_offered_tools_are_in_openai_form() -> None:
    tool = ToolSpec(server="s", name="t", description="d", input_schema=schema(a={"type": "string"}))
    assert offered((tool,)) == (
        {
            "type": "function",
            "function": {"name": "t", "description": "d", "parameters": schema(a={"type": "string"})},
        },
    )


# The code tool


CODE = ToolSpec(
    server=CODE_SERVER,
    name=CODE_TOOL,
    description="Runs code.",
    input_schema=schema(["code"], code={"type": "string"}, language={"type": "string"}),
)


def coding(*codes: str, run: str = "") -> tuple[Solo, Cast]:
    """A run whose assistant sends these pieces of code in one turn, and then answers."""
    blueprint = plan("filed")
    changes = {"id": run or blueprint.id, "tools": (*blueprint.tools, CODE), "code": True}
    blueprint = blueprint.model_copy(update=changes)
    calls = [call("run_code", f"k{place}", code=code) for place, code in enumerate(codes)]
    cast = Cast({"assistant": [reply("", calls), reply("It is 4.")], "user": [reply(ENDS)]})
    solo = opened(blueprint, cast)
    solo.play()
    return solo, cast


def executed(call_id: str, **more: Any) -> CodeExecuted:
    fields = {"outcome": "ok", "exit_code": 0, "stdout": "4\n"} | more
    return CodeExecuted.model_validate({"run": plan("filed").id, "turn": 2, "call": call_id} | fields)


def test_code_is_sent_once_and_waited_for() -> None:
    solo, _ = coding("2+2")
    assert solo.step == Wait("the sandbox")
    command = solo.messages[-1]
    assert command == ExecuteCode(run=plan("filed").id, turn=2, call="k0", language="python", code="2+2")
    assert solo.play() == []
    assert sum(isinstance(one, ExecuteCode) for one in solo.messages) == 1


def test_what_was_executed_becomes_the_observation() -> None:
    solo, cast = coding("2+2")
    (returned, *_) = solo.given(executed("k0")).play()
    assert isinstance(returned, ToolReturned)
    assert (returned.call, returned.name, returned.error, returned.turn) == ("k0", "run_code", "", 2)
    assert json.loads(returned.content) == {"outcome": "ok", "exit_code": 0, "stdout": "4\n"}
    assert cast.asked("assistant")[1].messages[-1]["content"] == returned.content


@pytest.mark.parametrize("outcome", ["refused", "error", "timeout", "memory_limit"])
def test_what_was_not_executed_is_a_tool_error_that_the_assistant_sees(outcome: str) -> None:
    solo, cast = coding("2+2")
    answer = executed("k0", outcome=outcome, reason="no safe backend", exit_code=None, stdout="")
    (returned, *_) = solo.given(answer).play()
    assert isinstance(returned, ToolReturned)
    assert (returned.error, returned.fault) == (outcome, False)
    seen = json.loads(cast.asked("assistant")[1].messages[-1]["content"])
    assert seen == {"outcome": outcome, "reason": "no safe backend"}
    finish = end_of(solo)
    assert isinstance(finish, RunFinished)
    assert finish.actions[0].kind == "code"
    assert finish.actions[0].error


def test_code_calls_of_one_turn_go_out_one_after_another() -> None:
    solo, cast = coding("1", "2")
    assert [one.call for one in solo.messages if isinstance(one, ExecuteCode)] == ["k0"]
    solo.given(executed("k0")).play()
    assert [one.call for one in solo.messages if isinstance(one, ExecuteCode)] == ["k0", "k1"]
    assert solo.step == Wait("the sandbox")
    solo.given(executed("k1")).play()
    assert [one.call for one in solo.messages if isinstance(one, ToolReturned)] == ["k0", "k1"]
    assert len(cast.asked("assistant")) == 2


def test_an_execution_read_before_its_command_or_its_blueprint_is_kept() -> None:
    solo, _ = coding("2+2")
    events = solo.messages
    early = Solo(service(Cast()), solo.key).given(executed("k0"), *events[1:], events[0])
    (returned,) = early.advance()
    assert isinstance(returned, ToolReturned)
    assert json.loads(returned.content)["stdout"] == "4\n"


def test_a_session_that_diverged_begins_the_attempt_anew_once_and_says_so() -> None:
    solo, _ = coding("2+2")
    lost = executed("k0", outcome="refused", reason="call k0 gave another result", diverged=True)
    (failure, *_) = solo.given(lost).play()
    assert isinstance(failure, RunFailed)
    assert (failure.content, failure.attribution, failure.code) == (
        False,
        "infrastructure",
        "session_diverged",
    )
    assert "another result" in failure.detail
    assert solo.closed


def test_a_repeated_attempt_whose_session_diverged_fails_as_content() -> None:
    repeated = f"{plan('filed').id}.1"
    solo, _ = coding("2+2", run=repeated)
    lost = executed("k0", outcome="refused", diverged=True).model_copy(update={"run": repeated})
    (failure, *_) = solo.given(lost).play()
    assert isinstance(failure, RunFailed)
    assert (failure.content, failure.attribution, failure.code) == (True, "assistant", "session_diverged")


def test_what_was_cut_off_of_the_output_is_told() -> None:
    solo, cast = coding("2+2")
    solo.given(executed("k0", stdout="y" * 100, stdout_bytes=1_000_000, stdout_truncated=True)).play()
    seen = json.loads(cast.asked("assistant")[1].messages[-1]["content"])
    assert seen["stdout_truncated"] is True


def test_a_flood_of_output_is_cut() -> None:
    solo, _ = coding("2+2")
    (returned, *_) = solo.given(executed("k0", stdout="y" * 500_000)).play()
    assert isinstance(returned, ToolReturned)
    assert returned.size_bytes > 500_000
    assert len(returned.content.encode()) <= OBSERVATION_BYTES + 64
    json.loads(returned.content)


def test_the_hand_made_plans_hold_what_these_tests_rely_on() -> None:
    assert any(fact.asked for fact in cancelled_order().facts)
    assert sum(step.fault.times for step in moved_money().steps if step.fault) == 3
