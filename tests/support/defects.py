"""Twelve kinds of defect, planted in good runs: deterministic in (run, seed), one defect a copy.

``plant(kind, blueprint, messages, seed)`` returns the messages with one defect of that kind, or None
when the run has no place for it. What it plants is told apart by construction, not by asking the rules
whether they would see it.
"""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jsonschema

from schemas.blueprint import Blueprint, Fact, FromFact, FromStep, Step
from services.agent_runner.alignment import align, in_order, needs, parts
from services.agent_runner.grounding import (
    MISSING,
    Sources,
    at,
    find,
    fixed_values,
    is_number,
    leaves,
    occurs,
    same,
)
from services.agent_runner.outcome import holds
from services.agent_runner.trace import Call, executed
from services.worlds.world import World
from tests.support.alteration import altered

Messages = list[dict[str, Any]]
Planter = Callable[[Blueprint, Messages, random.Random], Messages | None]


def plant(kind: str, blueprint: Blueprint, messages: Sequence[dict[str, Any]], seed: int) -> Messages | None:
    """The messages with one defect of this kind, or None when they have no place for it.

    Raises:
        KeyError: when ``kind`` is none of ``KINDS``.
    """
    rng = random.Random(f"{seed}/{blueprint.id}/{kind}")
    planted = PLANTERS[kind](blueprint, copy.deepcopy(list(messages)), rng)
    return None if planted == list(messages) else planted


def _made(blueprint: Blueprint, messages: Messages) -> list[tuple[Step, Call]]:
    """The plan's steps with the calls that they became, in the order of the calls."""
    calls = executed(messages)
    steps = {step.id: step for step in blueprint.steps}
    made = sorted(align(blueprint, calls).made.items(), key=lambda item: item[1])
    return [(steps[step], calls[position]) for step, position in made]


def _function(messages: Messages, call: Call) -> dict[str, Any]:
    found = next(one for one in messages[call.message]["tool_calls"] if one["id"] == call.id)
    return found["function"]


def _shuffled(items: Sequence[Any], rng: random.Random) -> list[Any]:
    return rng.sample(list(items), len(items))


def _heard(messages: Messages, until: int) -> Sources:
    sources = Sources()
    for message in messages[:until]:
        if message["role"] == "user":
            sources.hear(message["content"])
        elif message["role"] == "tool":
            sources.observe(message["content"], json.loads(message["content"]))
    return sources


def _valid(blueprint: Blueprint, tool: str, arguments: dict[str, Any]) -> bool:
    schema = next(one.input_schema for one in blueprint.tools if one.name == tool)
    return jsonschema.Draft202012Validator(schema).is_valid(arguments)


def _set(value: Any, path: Sequence[str | int], leaf: Any) -> Any:
    value = copy.deepcopy(value)
    place = value
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = leaf
    return value


def _planned_leaves(blueprint: Blueprint, messages: Messages) -> Iterator[tuple[Call, tuple[Any, ...], Any]]:
    """String and number leaves of planned arguments that a fact or an observation gave.

    Calls that were made twice alike are passed over: the other one would still be as planned.
    """
    calls = executed(messages)
    for step, call in _made(blueprint, messages):
        if sum(one.name == call.name and one.arguments == call.arguments for one in calls) > 1:
            continue
        for name, source in step.arguments.items():
            if name not in (call.arguments or {}):
                continue
            if all(isinstance(part, FromFact | FromStep) for part in parts(source)):
                for path, leaf in leaves(call.arguments[name], (name,)):
                    if isinstance(leaf, str) or is_number(leaf):
                        yield call, path, leaf


def wrong_argument(blueprint: Blueprint, messages: Messages, rng: random.Random) -> Messages | None:
    """A planned argument gets another value that the dialogue holds."""
    for call, path, leaf in _shuffled(list(_planned_leaves(blueprint, messages)), rng):
        sources = _heard(messages, call.message)
        others = [value for fact in blueprint.facts for _, value in leaves(fact.value)]
        for message in messages[: call.message]:
            if message["role"] == "tool":
                others += [value for _, value in leaves(json.loads(message["content"]))]
        for other in _shuffled(others, rng)[:200]:
            fits = isinstance(other, str) == isinstance(leaf, str) and not isinstance(other, bool | None)
            if not fits or same(other, leaf) or not sources.grounded(other):
                continue
            arguments = _set(call.arguments, path, other)
            if _valid(blueprint, call.name, arguments):
                _function(messages, call)["arguments"] = json.dumps(arguments, ensure_ascii=False)
                return messages
    return None


def ungrounded_value(blueprint: Blueprint, messages: Messages, rng: random.Random) -> Messages | None:
    """A planned argument gets a value that stands nowhere."""
    schemas = {tool.name: tool.input_schema for tool in blueprint.tools}
    everything = "\n".join(str(message["content"]) for message in messages)
    for call, path, leaf in _shuffled(list(_planned_leaves(blueprint, messages)), rng):
        for _ in range(8):
            other = altered(leaf, rng)
            arguments = _set(call.arguments, path, other)
            fixed = other in fixed_values(schemas[call.name])
            if not fixed and not occurs(other, everything) and _valid(blueprint, call.name, arguments):
                _function(messages, call)["arguments"] = json.dumps(arguments, ensure_ascii=False)
                return messages
    return None


def _without(messages: Messages, dropped: Sequence[Call]) -> Messages:
    """The messages without these calls and their answers, and without turns that are left empty."""
    gone = {call.id for call in dropped}
    kept: Messages = []
    for message in messages:
        if message["role"] == "tool" and message["tool_call_id"] in gone:
            continue
        if message.get("tool_calls"):
            message["tool_calls"] = [call for call in message["tool_calls"] if call["id"] not in gone]
            if not message["tool_calls"]:
                continue
        kept.append(message)
    return kept


def missing_call(blueprint: Blueprint, messages: Messages, rng: random.Random) -> Messages | None:
    """A planned call is taken out, though later steps of the plan are made."""
    made = _made(blueprint, messages)
    calls = executed(messages)
    order = [step.id for step in in_order(blueprint.steps)]
    last = max((order.index(step.id) for step, _ in made), default=-1)
    planned = {call.id for _, call in made}
    for step, call in _shuffled(made, rng):
        same_tool = [one for one in calls if one.name == call.name and one.id not in planned]
        if order.index(step.id) < last and all(one.arguments == call.arguments for one in same_tool):
            return _without(messages, [call, *same_tool])
    return None


def _block(messages: Messages, start: int) -> Messages:
    """An assistant's turn with calls, and the answers to them."""
    end = start + 1
    while end < len(messages) and messages[end]["role"] == "tool":
        end += 1
    return messages[start:end]


def swapped_order(blueprint: Blueprint, messages: Messages, rng: random.Random) -> Messages | None:
    """Two turns with calls, the later of which depends on the earlier, change places."""
    made = {step.id: (step, call) for step, call in _made(blueprint, messages)}
    pairs = [
        (made[need][1].message, call.message)
        for step, call in made.values()
        for need in needs(step)
        if need in made and made[need][1].message < call.message
    ]
    if not pairs:
        return None
    first, second = rng.choice(pairs)
    early, late = _block(messages, first), _block(messages, second)
    between = messages[first + len(early) : second]
    return [*messages[:first], *late, *between, *early, *messages[second + len(late) :]]


def unanswered_call(_blueprint: Blueprint, messages: Messages, rng: random.Random) -> Messages | None:
    """An answer is taken out."""
    answers = [index for index, message in enumerate(messages) if message["role"] == "tool"]
    if not answers:
        return None
    del messages[rng.choice(answers)]
    return messages


def answer_without_fact(blueprint: Blueprint, messages: Messages, rng: random.Random) -> Messages | None:
    """The final answer says nothing of a value that it must report."""
    made = {step.id: call for step, call in _made(blueprint, messages)}
    final = next((one for one in reversed(messages) if one["role"] == "assistant"), None)
    due = []
    for fact in blueprint.answer_facts:
        value = at(made[fact.step].content, fact.path) if fact.step in made else MISSING
        due += [leaf for _, leaf in leaves(value) if (isinstance(leaf, str) and leaf) or is_number(leaf)]
    blank = [text for text in BLANKS if not any(occurs(_lower(leaf), text.lower()) for leaf in due)]
    if not due or final is None or final.get("tool_calls") or not blank:
        return None
    final["content"] = rng.choice(blank)
    return messages


BLANKS = (
    "That's all taken care of. Is there anything else you would like me to look at?",
    "Everything went through as you asked.",
    "I've finished what you wanted.",
)


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def leaked_plan(blueprint: Blueprint, messages: Messages, rng: random.Random) -> Messages | None:
    """An assistant's text speaks of the plan, a tool's identifier, or a value before it is known."""
    turns = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    if not turns or not blueprint.steps:
        return None
    step = rng.choice(blueprint.steps)
    leaks = [
        (rng.choice(turns), f"Next comes ${step.id}.result, as planned."),
        (rng.choice(turns), "The expected observation is the same."),
        (rng.choice(turns), "This is what the blueprint says."),
    ]
    everything = "\n".join(str(message["content"]) for message in messages)
    names = [tool.name for tool in blueprint.tools if "_" in tool.name and tool.name not in everything]
    if names:
        leaks.append((rng.choice(turns), f"I use {rng.choice(names)} for this."))
    for fact in blueprint.facts:
        said = "\n".join(str(message["content"]) for message in messages[: turns[0]])
        long = isinstance(fact.value, str) and len(fact.value) >= 4 and bool(re.search(r"\d", fact.value))
        if fact.asked and long and fact.value not in said:
            leaks.append((turns[0], f"I suppose it is about {fact.value}."))
    for index, leak in _shuffled(leaks, rng):
        messages[index]["content"] = " ".join([messages[index]["content"] or "", leak]).strip()
        return messages
    return None


def wrong_final_state(blueprint: Blueprint, messages: Messages, rng: random.Random) -> Messages | None:
    """A further call undoes what the plan asserts; or a write reports what did not happen."""
    undone = _undone(blueprint, messages, rng)
    return undone if undone is not None else _misreported(blueprint, messages, rng)


def _undone(blueprint: Blueprint, messages: Messages, rng: random.Random) -> Messages | None:
    world = World(blueprint.tools, blueprint.seed)
    state, calls = blueprint.initial_state, executed(messages)
    for call in calls:
        if not call.error:
            state, _ = world.call(state, call.name, call.arguments or {})
    if messages[-1]["role"] != "assistant" or not calls:
        return None
    sources = _heard(messages, len(messages))
    for tool, arguments in _further_writes(blueprint, world, calls, rng):
        grounded = all(
            sources.grounded(leaf) or leaf in _members(tool)
            for _, leaf in leaves(arguments)
            if isinstance(leaf, str) or is_number(leaf)
        )
        if not grounded or not _valid(blueprint, tool.name, arguments):
            continue
        after, observation = world.call(state, tool.name, arguments)
        if not observation.error and not all(holds(one, after) for one in blueprint.assertions):
            made = {
                "id": "call_planted",
                "type": "function",
                "function": {"name": tool.name, "arguments": json.dumps(arguments)},
            }
            answer = {
                "role": "tool",
                "tool_call_id": "call_planted",
                "name": tool.name,
                "content": json.dumps(observation.content, ensure_ascii=False),
            }
            turn = {"role": "assistant", "content": None, "tool_calls": [made]}
            return [*messages[:-1], turn, answer, messages[-1]]
    return None


def _members(tool: Any) -> list[Any]:
    properties = tool.input_schema.get("properties") or {}
    return [value for schema in properties.values() for value in schema.get("enum") or ()]


def _further_writes(
    blueprint: Blueprint, world: World, calls: Sequence[Call], rng: random.Random
) -> Iterator[tuple[Any, dict[str, Any]]]:
    """State-changing calls whose arguments are those of earlier calls, or members of an enum."""
    passed: dict[str, list[Any]] = {}
    for call in calls:
        for name, value in (call.arguments or {}).items():
            passed.setdefault(name, []).append(value)
    for tool in _shuffled([one for one in blueprint.tools if world.meaning(one.name).writes], rng):
        properties = tool.input_schema.get("properties") or {}
        required = tool.input_schema.get("required") or []
        optional = [name for name in properties if name not in required and "enum" in properties[name]]
        for extra in ((), *((name,) for name in optional)):
            choices = {
                name: [*passed.get(name, []), *(properties.get(name, {}).get("enum") or ())]
                for name in (*required, *extra)
            }
            for _ in range(12 if all(choices.values()) else 0):
                yield tool, {name: rng.choice(values) for name, values in choices.items()}


def _misreported(blueprint: Blueprint, messages: Messages, rng: random.Random) -> Messages | None:
    world = World(blueprint.tools, blueprint.seed)
    made = [(step, call) for step, call in _made(blueprint, messages) if world.meaning(call.name).writes]
    for _, call in _shuffled(made, rng):
        later = "\n".join(
            f"{message['content']} {json.dumps(message.get('tool_calls'), ensure_ascii=False)}"
            for message in messages[call.answer + 1 :]
        )
        found = [
            (path, leaf)
            for path, leaf in leaves(call.content)
            if path and (isinstance(leaf, str) or is_number(leaf)) and str(leaf) not in later
        ]
        if found and not call.error:
            path, leaf = rng.choice(found)
            content = _set(call.content, path, altered(leaf, rng))
            messages[call.answer]["content"] = json.dumps(content, ensure_ascii=False)
            return messages
    return None


def invented_tool(_blueprint: Blueprint, messages: Messages, rng: random.Random) -> Messages | None:
    """A call goes to a tool that is not offered."""
    calls = executed(messages)
    if not calls:
        return None
    call = rng.choice(calls)
    name = f"{call.name[:60]}_v2"
    _function(messages, call)["name"] = name
    messages[call.answer]["name"] = name
    return messages


def broken_json(_blueprint: Blueprint, messages: Messages, rng: random.Random) -> Messages | None:
    """A call's arguments are cut off, or have a stray comma."""
    calls = executed(messages)
    if not calls:
        return None
    function = _function(messages, rng.choice(calls))
    function["arguments"] = function["arguments"][:-1] + rng.choice(("", ",,}"))
    return messages


def early_stop(blueprint: Blueprint, messages: Messages, rng: random.Random) -> Messages | None:
    """The assistant says that it is done while the plan's last steps are open, or never says anything."""
    made = _made(blueprint, messages)
    order = [step.id for step in in_order(blueprint.steps)]
    cuts = []
    for index in sorted({call.message for _, call in made}):
        before = [order.index(step.id) for step, call in made if call.message < index]
        open_ = [order.index(step.id) for step, call in made if call.message >= index]
        if open_ and min(open_) > max(before, default=-1):
            cuts.append(index)
    if not cuts:
        return None
    if rng.random() < 0.3:
        last = max(index for index, message in enumerate(messages) if message["role"] == "tool")
        return messages[: last + 1]
    stop = {"role": "assistant", "content": "That's all taken care of. Have a nice day!"}
    return [*messages[: rng.choice(cuts)], stop]


def contradiction(blueprint: Blueprint, messages: Messages, rng: random.Random) -> Messages | None:
    """A held fact is stated with another value: by the user, first or in addition; by the assistant."""
    everything = "\n".join([blueprint.goal, *(str(message["content"]) for message in messages)])
    for fact in _shuffled([fact for fact in blueprint.facts if fact.label], rng):
        if not isinstance(fact.value, str) and not is_number(fact.value):
            continue
        others = [altered(fact.value, rng) for _ in range(8)]
        other = next((value for value in others if not occurs(value, everything)), None)
        if other is None:
            continue
        for way in _shuffled([_replaced, _added, _misquoted], rng):
            planted = way(fact, other, messages)
            if planted is not None:
                return planted
    return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _replaced(fact: Fact, other: Any, messages: Messages) -> Messages | None:
    """The user says the other value wherever they said the fact's, where its label leads to it."""
    value = _text(fact.value)
    said = re.compile(rf"(?i:\b{re.escape(fact.label)})\s+(?:is|are)\s+[\"“]?{re.escape(value)}(?!\w)")
    if not any(message["role"] == "user" and said.search(message["content"]) for message in messages):
        return None
    for message in messages:
        if message["role"] == "user":
            text, start = message["content"], find(value, message["content"])
            while start >= 0:
                text = text[:start] + _text(other) + text[start + len(value) :]
                start = find(value, text, start + len(_text(other)))
            message["content"] = text
    return messages


def _added(fact: Fact, other: Any, messages: Messages) -> Messages | None:
    """The user states the fact a second time, differently."""
    turns = [message for message in messages if message["role"] == "user"]
    if not turns or not any(occurs(fact.value, turn["content"]) for turn in turns[:-1] or turns):
        return None
    if isinstance(fact.value, str) and not re.search(r"\d", fact.value):
        return None
    turns[-1]["content"] += f" Sorry, the {fact.label} is {_text(other)}."
    return messages


def _misquoted(fact: Fact, other: Any, messages: Messages) -> Messages | None:
    """The assistant's last text states the fact differently."""
    final = messages[-1]
    if final["role"] != "assistant" or occurs(fact.value, final["content"]):
        return None
    final["content"] += f" By the way, the {fact.label} is {_text(other)}."
    return messages


PLANTERS: dict[str, Planter] = {
    "wrong_argument": wrong_argument,
    "ungrounded_value": ungrounded_value,
    "missing_call": missing_call,
    "swapped_order": swapped_order,
    "unanswered_call": unanswered_call,
    "answer_without_fact": answer_without_fact,
    "leaked_plan": leaked_plan,
    "wrong_final_state": wrong_final_state,
    "invented_tool": invented_tool,
    "broken_json": broken_json,
    "early_stop": early_stop,
    "contradiction": contradiction,
}
KINDS = tuple(PLANTERS)
