"""Defects in the world's state at the end: a further call undoes it, or a write is misreported."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

from schemas.blueprint import Blueprint
from services.agent_runner.grounding import (
    is_number,
    leaves,
)
from services.agent_runner.outcome import holds
from services.agent_runner.trace import Call, executed
from services.worlds.world import World
from tests.support.alteration import altered
from tests.support.run_parts import Messages, heard_until, is_valid, shuffled, steps_made, with_leaf


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
    sources = heard_until(messages, len(messages))
    for tool, arguments in _further_writes(blueprint, world, calls, rng):
        grounded = all(
            sources.grounded(leaf) or leaf in _members(tool)
            for _, leaf in leaves(arguments)
            if isinstance(leaf, str) or is_number(leaf)
        )
        if not grounded or not is_valid(blueprint, tool.name, arguments):
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
    for tool in shuffled([one for one in blueprint.tools if world.meaning(one.name).writes], rng):
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
    made = [(step, call) for step, call in steps_made(blueprint, messages) if world.meaning(call.name).writes]
    for _, call in shuffled(made, rng):
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
            content = with_leaf(call.content, path, altered(leaf, rng))
            messages[call.answer]["content"] = json.dumps(content, ensure_ascii=False)
            return messages
    return None
