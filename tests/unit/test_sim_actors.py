"""The scripted actors: what they say follows from the messages, and from nothing else."""

from __future__ import annotations

import asyncio
import copy
import json
import re

import pytest

from schemas.blueprint import (
    AnswerFact,
    Blueprint,
    Constant,
    Fact,
    FromFact,
    FromStep,
    ListOf,
    ObjectOf,
    Step,
)
from schemas.catalog import ToolSpec
from schemas.evolution import Target
from services.kit.models.chat import ChatRequest, ModelFailed
from services.sim import assistant, user
from services.sim.actors import SimModel, parse_options
from services.sim.script import Ask, AssistantScript, ReadUser
from services.sim.script_maker import find_places, make_script
from services.sim.spelling import readable, spell, unspell

GET = ToolSpec(
    server="shop",
    name="get_order",
    description="Looks up an order.",
    input_schema={"type": "object", "properties": {"order_id": {"type": "string"}}, "required": ["order_id"]},
)
REFUND = ToolSpec(
    server="shop",
    name="create_refund",
    input_schema={
        "type": "object",
        "properties": {
            "payment_id": {"type": "string"},
            "amount": {"type": "number"},
            "reason": {"type": "string", "enum": ["changed_mind", "damaged"]},
            "notify": {"type": "boolean", "default": True},
            "tags": {"type": "array", "items": {"type": "string"}},
            "contact": {"type": "object", "properties": {"email": {"type": "string"}}},
        },
        "required": ["payment_id", "amount"],
    },
)
GOAL = (
    "I need to refund an order. The order number is ORD-1042 and the amount is 12.5. The email address is "
    "jo.b@example.org. Please tell me the refund number."
)
ORDER = {"order": {"payments": [{"id": "PAY-7"}, {"id": "PAY-8"}]}}


def blueprint(**changes: object) -> Blueprint:
    fields: dict[str, object] = {
        "id": "c.1.1",
        "campaign": "c",
        "generation": 0,
        "slot": 1,
        "attempt": 1,
        "seed": 3,
        "catalog_hash": "h",
        "cluster": "k",
        "cluster_hash": "h",
        "domains": ("shopping",),
        "persona": "a customer",
        "goal": GOAL,
        "facts": (
            Fact(name="order_id", label="order number", value="ORD-1042"),
            Fact(name="amount", label="amount", value=12.5),
            Fact(name="email", label="email address", value="jo.b@example.org"),
            Fact(name="reason", label="reason for the refund", value="changed_mind", asked=True),
        ),
        "initial_state": {},
        "steps": (
            Step(
                id="s1",
                tool="get_order",
                arguments={"order_id": FromFact(fact="order_id")},
                purpose="look up an order",
            ),
            Step(
                id="s2",
                tool="create_refund",
                wave=1,
                purpose="refund an order",
                arguments={
                    "payment_id": FromStep(step="s1", path=("order", "payments", 1, "id")),
                    "amount": FromFact(fact="amount"),
                    "reason": FromFact(fact="reason"),
                    "notify": Constant(value=True),
                    "tags": ListOf(items=(FromStep(step="s1", path=("order", "payments", 0, "id")),)),
                    "contact": ObjectOf(fields={"email": FromFact(fact="email")}),
                },
            ),
        ),
        "tools": (GET, REFUND),
        "answer_facts": (AnswerFact(label="refund number", step="s2", path=("refund", "id")),),
        "target": Target(domain="shopping", shape="chain", depth=2, flags=("clarifies",)),
    }
    return Blueprint.model_validate(fields | changes)


TOOLS = tuple(
    {"type": "function", "function": {"name": tool.name, "parameters": tool.input_schema}}
    for tool in (GET, REFUND)
)


def spoken(reply: assistant.ChatReply) -> dict:
    message: dict = {"role": "assistant", "content": reply.content}
    if reply.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in reply.calls
        ]
    return message


def conversation(plan: Blueprint, results: dict[str, list[object]], seed: int = 3) -> list[dict]:
    """The whole dialogue, with ``results`` as the tools' answers in turn."""
    messages: list[dict] = [{"role": "system", "content": "You have tools."}]
    for _ in range(20):
        said = user.reply([one for one in messages if "tool_calls" not in one], plan.goal, plan.facts, seed)
        messages.append({"role": "user", "content": said.content})
        if said.ends:
            return messages
        while True:
            reply = assistant.reply(messages, TOOLS, make_script(plan, messages), seed)
            messages.append(spoken(reply))
            if not reply.calls:
                break
            for call in reply.calls:
                content = json.dumps(results[call.name].pop(0))
                messages.append({"role": "tool", "tool_call_id": call.id, "content": content})
    raise AssertionError("the dialogue does not end")


def results() -> dict[str, list[object]]:
    return {
        "get_order": [{"error": {"code": "timeout", "message": "The service did not answer."}}, ORDER],
        "create_refund": [{"refund": {"id": "REF-55"}}],
    }


def test_given_a_plan_when_the_actors_play_it_then_every_value_is_read_and_the_answer_reports_the_result():
    messages = conversation(blueprint(), results())
    calls = [call["function"] for one in messages for call in one.get("tool_calls", ())]
    assert [call["name"] for call in calls] == ["get_order", "get_order", "create_refund"]
    assert json.loads(calls[2]["arguments"]) == {
        "payment_id": "PAY-8",
        "amount": 12.5,
        "reason": "changed_mind",
        "notify": True,
        "tags": ["PAY-7"],
        "contact": {"email": "jo.b@example.org"},
    }
    question = next(
        one for one in messages if one["role"] == "assistant" and "reason for the refund" in one["content"]
    )
    assert question["content"].endswith("?")
    assert "REF-55" in messages[-2]["content"]
    ids = [call["id"] for one in messages for call in one.get("tool_calls", ())]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("seed", range(12))
def test_given_another_value_in_an_observation_then_the_next_call_carries_it(seed: int):
    plan = blueprint()
    messages = conversation(plan, results(), seed)
    place = next(
        i
        for i, one in enumerate(messages)
        if one.get("tool_calls", [{}])[0].get("function", {}).get("name") == "create_refund"
    )
    before = messages[:place]
    recorded = assistant.reply(before, TOOLS, make_script(plan, before), seed)
    assert spoken(recorded) == messages[place]
    replaced = copy.deepcopy(before)
    for one in replaced:
        one["content"] = one["content"].replace("PAY-8", "PAY-99001")
    changed = assistant.reply(replaced, TOOLS, make_script(plan, replaced), seed)
    assert json.loads(changed.calls[0].arguments)["payment_id"] == "PAY-99001"
    assert "PAY-8" not in changed.calls[0].arguments


@pytest.mark.parametrize("seed", range(12))
def test_given_another_value_in_the_last_result_then_the_final_answer_reports_it(seed: int):
    plan = blueprint()
    messages = conversation(plan, results(), seed)[:-2]
    for one in messages:
        one["content"] = one["content"].replace("REF-55", "REF-70707")
    answer = assistant.reply(messages, TOOLS, make_script(plan, messages), seed)
    assert "REF-70707" in answer.content
    assert not answer.calls


def test_given_another_value_in_the_users_text_then_the_same_script_reads_it():
    plan = blueprint()
    messages = [{"role": "user", "content": GOAL}]
    script = make_script(plan, messages)
    changed = [{"role": "user", "content": GOAL.replace("ORD-1042", "A.7/b")}]
    reply = assistant.reply(changed, TOOLS, script, 1)
    assert json.loads(reply.calls[0].arguments) == {"order_id": "A.7/b"}


def test_a_script_holds_no_value():
    messages = conversation(blueprint(), results())
    for end in range(2, len(messages)):
        text = make_script(blueprint(), messages[:end]).model_dump_json()
        for value in ("ORD-1042", "12.5", "jo.b@example.org", "changed", "PAY-7", "PAY-8", "REF-55"):
            assert value not in text


def test_given_a_result_without_the_value_then_the_assistant_says_so_and_invents_nothing():
    plan = blueprint()
    broken = results() | {"get_order": [{"order": {"payments": []}}]}
    messages = conversation(plan, broken)
    assert not any(
        call["function"]["name"] == "create_refund" for one in messages for call in one.get("tool_calls", ())
    )
    assert "doesn't contain" in messages[-2]["content"]


def test_given_errors_that_do_not_pass_then_the_assistant_gives_up_and_says_why():
    failing = {"get_order": [{"error": {"code": "timeout", "message": "No answer in time."}}] * 9}
    messages = conversation(blueprint(), failing)
    assert sum(len(one.get("tool_calls", ())) for one in messages) == assistant.MAX_ATTEMPTS
    assert "No answer in time" in messages[-2]["content"]


def test_given_a_user_who_never_tells_then_the_assistant_stops_asking():
    plan = blueprint()
    messages = [
        {"role": "user", "content": GOAL},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "a", "function": {"name": "get_order", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "a", "content": json.dumps(ORDER)},
    ]
    for _ in range(5):
        reply = assistant.reply(messages, TOOLS, make_script(plan, messages), 5)
        if "?" not in reply.content:
            break
        messages += [spoken(reply), {"role": "user", "content": "I don't know."}]
    assert "can't complete" in reply.content
    assert len(messages) == 3 + 2 * assistant.MAX_QUESTIONS


def test_two_calls_of_one_tool_in_one_turn_are_told_apart_by_their_order():
    script = AssistantScript.model_validate(
        {
            "steps": [
                {"id": "a", "tool": "get_order", "wave": 0},
                {"id": "b", "tool": "get_order", "wave": 0},
            ],
            "answer": [
                {"label": "total", "step": "a", "path": ["total"]},
                {"label": "tax", "step": "b", "path": ["total"]},
            ],
        }
    )
    messages = [{"role": "user", "content": "Both orders, please."}]
    first = assistant.reply(messages, TOOLS, script, 1)
    assert len(first.calls) == 2
    error = json.dumps({"error": {"code": "rate_limited", "message": "Slow down."}})
    messages += [spoken(first)]
    messages += [
        {"role": "tool", "tool_call_id": first.calls[0].id, "content": error},
        {"role": "tool", "tool_call_id": first.calls[1].id, "content": '{"total": 22}'},
    ]
    again = assistant.reply(messages, TOOLS, script, 1)
    assert len(again.calls) == 1
    messages += [
        spoken(again),
        {"role": "tool", "tool_call_id": again.calls[0].id, "content": '{"total": 11}'},
    ]
    answer = assistant.reply(messages, TOOLS, script, 1)
    assert re.search(r"total\D*11\D.*tax\D*22", answer.content)


# --- the user


def test_given_no_turn_yet_then_the_user_says_the_goal():
    assert user.reply([], GOAL, blueprint().facts, 1).content == GOAL


@pytest.mark.parametrize("seed", range(10))
def test_given_a_question_for_a_held_fact_then_the_user_tells_it_readably(seed: int):
    dialogue = [
        {"role": "user", "content": GOAL},
        {"role": "assistant", "content": "What is the reason for the refund?"},
    ]
    reply = user.reply(dialogue, GOAL, blueprint().facts, seed)
    assert not reply.ends
    assert "ORD-1042" not in reply.content
    places = find_places(blueprint().facts, [{"role": "user", "content": reply.content}])
    assert isinstance(places["reason"], ReadUser)


def test_given_a_question_for_something_not_held_then_the_user_does_not_know():
    dialogue = [
        {"role": "user", "content": GOAL},
        {"role": "assistant", "content": "What is your shoe size?"},
    ]
    reply = user.reply(dialogue, GOAL, blueprint().facts, 1)
    assert re.search(r"don't (know|have)", reply.content)
    assert "changed mind" not in reply.content


def test_given_a_request_to_confirm_then_the_user_does():
    dialogue = [{"role": "user", "content": GOAL}, {"role": "assistant", "content": "Shall I go ahead?"}]
    assert user.reply(dialogue, GOAL, blueprint().facts, 1).content.startswith("Yes")


@pytest.mark.parametrize("text", ["The refund number is REF-55.", "Done! Is there anything else I can do?"])
def test_given_a_final_answer_then_the_user_ends(text: str):
    dialogue = [{"role": "user", "content": GOAL}, {"role": "assistant", "content": text}]
    assert user.reply(dialogue, GOAL, blueprint().facts, 1).ends


# --- spelling


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        ("ORD-1042", {"type": "string"}),
        (12, {"type": "integer"}),
        (12.5, {"type": "number"}),
        (40, {"type": ["number", "null"]}),
        (True, {"type": "boolean"}),
        ("in_transit", {"type": "string", "enum": ["delivered", "in_transit"]}),
        (3, {"enum": [1, 3]}),
        (["a", "b c"], {"type": "array", "items": {"type": "string"}}),
        ([1, 2], {"type": "array", "items": {"type": "integer"}}),
        ("x", {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        (7, {"$ref": "#/$defs/n"}),
    ],
)
def test_what_is_spelled_is_read_back(value: object, schema: dict):
    root = {"$defs": {"n": {"type": "integer"}}}
    assert unspell(spell(value), schema, root) == value
    assert readable(value, schema, root)


@pytest.mark.parametrize("value", [None, {}, [], "", " padded ", ["a, b"], [["a"]]])
def test_what_has_no_text_is_refused(value: object):
    with pytest.raises(ValueError, match=r"."):
        spell(value)


def test_a_value_that_would_be_read_as_another_is_not_readable():
    assert not readable("snake_case_name", {"type": "string"})
    assert not readable("12", {"type": "integer"})


def test_a_fact_that_no_message_holds_becomes_a_question():
    places = find_places(blueprint().facts, [{"role": "user", "content": "Order ORD-10423 costs 112.5"}])
    assert all(isinstance(place, Ask) for place in places.values())


# --- the model


def request(role: str, script: dict | None, model: str = "sim", **changes: object) -> ChatRequest:
    fields: dict = {"role": role, "run": "c.1.1", "turn": 1, "model": model, "messages": (), "script": script}
    return ChatRequest(**(fields | changes))


def complete(one: ChatRequest) -> assistant.ChatReply:
    return asyncio.run(SimModel().complete(one))


@pytest.mark.parametrize("exchanged", [False, True])
def test_the_user_role_replies_json_whichever_side_it_is_shown_on(exchanged: bool):
    mine, theirs = ("assistant", "user") if exchanged else ("user", "assistant")
    script = {"goal": GOAL, "facts": [fact.model_dump(mode="json") for fact in blueprint().facts]}
    first = json.loads(complete(request("user", script)).content)
    assert first == {"content": GOAL, "ends": False}
    shown = (
        {"role": "system", "content": "You are the user."},
        {"role": mine, "content": json.dumps(first) if exchanged else GOAL},
        {"role": theirs, "content": "The refund number is REF-55."},
    )
    assert json.loads(complete(request("user", script, messages=shown)).content)["ends"] is True


def test_the_judge_passes():
    assert json.loads(complete(request("judge", {})).content)["pass"] is True


@pytest.mark.parametrize(
    "model",
    [
        "sim?malformed=2",
        "sim?malformd=0.1",
        "sim?latency=3:1",
        "sim?malformed=x",
        "sim?",
        "gpt",
        "sim?malformed=0.1&malformed=0.2",
    ],
)
def test_options_that_make_no_sense_are_refused_with_their_name(model: str):
    with pytest.raises(ValueError, match=r"."):
        parse_options(model)
    with pytest.raises(ModelFailed) as failure:
        complete(request("judge", {}, model))
    assert not failure.value.infrastructure


@pytest.mark.parametrize("option", ["malformed", "wrong_tool", "early_stop", "ungrounded"])
def test_imperfections_come_on_demand_and_by_seed(option: str):
    messages = ({"role": "user", "content": GOAL},)
    script = make_script(blueprint(), messages).model_dump(mode="json")
    good = complete(request("assistant", script, messages=messages, tools=TOOLS))
    bad = request("assistant", script, f"sim?{option}=1", messages=messages, tools=TOOLS)
    spoilt = complete(bad)
    assert spoilt == complete(bad)
    assert spoilt.calls != good.calls
    share = sum(
        complete(
            request("assistant", script, f"sim?{option}=0.3", messages=messages, tools=TOOLS, seed=seed)
        ).calls
        != good.calls
        for seed in range(200)
    )
    assert 30 <= share <= 90
