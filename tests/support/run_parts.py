"""Parts of an executed run, as planters of defects need them."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Sequence
from typing import Any

import jsonschema

from schemas.blueprint import Blueprint, Step
from services.agent_runner.alignment import align
from services.agent_runner.grounding import Sources
from services.agent_runner.trace import Call, executed

Messages = list[dict[str, Any]]


def steps_made(blueprint: Blueprint, messages: Messages) -> list[tuple[Step, Call]]:
    """The plan's steps with the calls that they became, in the order of the calls."""
    calls = executed(messages)
    steps = {step.id: step for step in blueprint.steps}
    made = sorted(align(blueprint, calls).made.items(), key=lambda item: item[1])
    return [(steps[step], calls[position]) for step, position in made]


def function_of(messages: Messages, call: Call) -> dict[str, Any]:
    """The function part of a call, in the messages themselves."""
    found = next(one for one in messages[call.message]["tool_calls"] if one["id"] == call.id)
    return found["function"]


def shuffled(items: Sequence[Any], rng: random.Random) -> list[Any]:
    """The items in an order drawn by ``rng``."""
    return rng.sample(list(items), len(items))


def heard_until(messages: Messages, until: int) -> Sources:
    """What the first ``until`` messages hold."""
    sources = Sources()
    for message in messages[:until]:
        if message["role"] == "user":
            sources.hear(message["content"])
        elif message["role"] == "tool":
            sources.observe(message["content"], json.loads(message["content"]))
    return sources


def is_valid(blueprint: Blueprint, tool: str, arguments: dict[str, Any]) -> bool:
    """Whether arguments fit the tool's schema."""
    schema = next(one.input_schema for one in blueprint.tools if one.name == tool)
    return jsonschema.Draft202012Validator(schema).is_valid(arguments)


def with_leaf(value: Any, path: Sequence[str | int], leaf: Any) -> Any:
    """A copy of a JSON value with another leaf at ``path``."""
    value = copy.deepcopy(value)
    place = value
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = leaf
    return value
