"""Defects in calls and their answers. Each planter returns None when the run has no place for it."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

from schemas.blueprint import Blueprint, FromFact, FromStep
from services.agent_runner.alignment import in_order, needs, parts
from services.agent_runner.grounding import (
    fixed_values,
    is_number,
    leaves,
    occurs,
)
from services.agent_runner.trace import Call, executed
from services.sim.json_schema import alike
from tests.support.alteration import altered
from tests.support.run_parts import (
    Messages,
    function_of,
    heard_until,
    is_valid,
    shuffled,
    steps_made,
    with_leaf,
)


def _planned_leaves(blueprint: Blueprint, messages: Messages) -> Iterator[tuple[Call, tuple[Any, ...], Any]]:
    """String and number leaves of planned arguments that a fact or an observation gave.

    Calls that were made twice alike are passed over: the other one would still be as planned.
    """
    calls = executed(messages)
    for step, call in steps_made(blueprint, messages):
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
    for call, path, leaf in shuffled(list(_planned_leaves(blueprint, messages)), rng):
        sources = heard_until(messages, call.message)
        others = [value for fact in blueprint.facts for _, value in leaves(fact.value)]
        for message in messages[: call.message]:
            if message["role"] == "tool":
                others += [value for _, value in leaves(json.loads(message["content"]))]
        for other in shuffled(others, rng)[:200]:
            fits = isinstance(other, str) == isinstance(leaf, str) and not isinstance(other, bool | None)
            if not fits or alike(other, leaf) or not sources.grounded(other):
                continue
            arguments = with_leaf(call.arguments, path, other)
            if is_valid(blueprint, call.name, arguments):
                function_of(messages, call)["arguments"] = json.dumps(arguments, ensure_ascii=False)
                return messages
    return None


def ungrounded_value(blueprint: Blueprint, messages: Messages, rng: random.Random) -> Messages | None:
    """A planned argument gets a value that stands nowhere."""
    schemas = {tool.name: tool.input_schema for tool in blueprint.tools}
    everything = "\n".join(str(message["content"]) for message in messages)
    for call, path, leaf in shuffled(list(_planned_leaves(blueprint, messages)), rng):
        for _ in range(8):
            other = altered(leaf, rng)
            arguments = with_leaf(call.arguments, path, other)
            fixed = other in fixed_values(schemas[call.name])
            if not fixed and not occurs(other, everything) and is_valid(blueprint, call.name, arguments):
                function_of(messages, call)["arguments"] = json.dumps(arguments, ensure_ascii=False)
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
    made = steps_made(blueprint, messages)
    calls = executed(messages)
    order = [step.id for step in in_order(blueprint.steps)]
    last = max((order.index(step.id) for step, _ in made), default=-1)
    planned = {call.id for _, call in made}
    for step, call in shuffled(made, rng):
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
    made = {step.id: (step, call) for step, call in steps_made(blueprint, messages)}
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


def invented_tool(_blueprint: Blueprint, messages: Messages, rng: random.Random) -> Messages | None:
    """A call goes to a tool that is not offered."""
    calls = executed(messages)
    if not calls:
        return None
    call = rng.choice(calls)
    name = f"{call.name[:60]}_v2"
    function_of(messages, call)["name"] = name
    messages[call.answer]["name"] = name
    return messages


def broken_json(_blueprint: Blueprint, messages: Messages, rng: random.Random) -> Messages | None:
    """A call's arguments are cut off, or have a stray comma."""
    calls = executed(messages)
    if not calls:
        return None
    function = function_of(messages, rng.choice(calls))
    function["arguments"] = function["arguments"][:-1] + rng.choice(("", ",,}"))
    return messages


def early_stop(blueprint: Blueprint, messages: Messages, rng: random.Random) -> Messages | None:
    """The assistant says that it is done while the plan's last steps are open, or never says anything."""
    made = steps_made(blueprint, messages)
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
