"""What came of a run: the world replayed from the executed calls, and the answer that reports it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from schemas.blueprint import Assertion, Blueprint
from schemas.evolution import RoleModel
from schemas.run import Finding
from services.agent_runner.alignment import Alignment
from services.agent_runner.grounding import MISSING, at, is_number, leaves, numbers, occurs
from services.agent_runner.trace import FAULT_CODES, Call, code_tools
from services.agent_runner.wellformed import final_answer, finding, shown
from services.kit.models.openai_wire import is_sim_named
from services.sim.json_schema import alike
from services.worlds.world import World


def world_findings(
    blueprint: Blueprint, calls: Sequence[Call], alignment: Alignment, world: World
) -> Iterator[Finding]:
    """The calls replayed through the world, injected faults left out; then the plan's assertions."""
    model = blueprint.models.get("tools", RoleModel()).model
    simulated = is_sim_named(model)
    codes = code_tools(blueprint)
    offered = {tool.name for tool in blueprint.tools} - codes
    steps = {position: step for step, position in alignment.made.items()}
    expected = {step.id: step.expected for step in blueprint.steps}
    state, unplanned = blueprint.initial_state, False
    for position, call in enumerate(calls):
        if call.name in codes:
            continue  # the sandbox is no part of the world
        if call.name not in offered or call.arguments is None or call.error in FAULT_CODES:
            if call.error in FAULT_CODES and position not in alignment.faulted and simulated:
                detail = f"call {call.id} of {call.name} was answered by {call.error}, which is not planned"
                yield finding("wrong_observation", "tools", detail)
            continue
        writes = world.writes(call.name)
        if simulated:
            after, observation = world.call(state, call.name, call.arguments)
            changed = after is not state and not alike(after, state)
            state = after
            if call.answer >= 0 and not _reported(call.content, observation.content):
                code = "wrong_final_state" if writes else "wrong_observation"
                detail = f"call {call.id} of {call.name} reported what is not so in the world"
                yield finding(code, "tools", detail)
        else:
            changed = writes and not call.error
        if changed and position not in steps:
            unplanned = True
            detail = f"call {call.id} of {call.name} changed the world; the plan has no such step"
            yield finding("unexpected_write", "assistant", detail)
        step = steps.get(position)
        if step and call.error and not _is_error(expected[step]):
            detail = f"step {step} ({call.name}) was answered by {call.error}"
            yield finding("failed_call", "tools", detail)
    if simulated:
        done = not alignment.missing and not alignment.differences and not unplanned
        for assertion in blueprint.assertions:
            if not holds(assertion, state):
                where = "/".join(map(str, assertion.path))
                detail = f"at the end, not so: {where} {assertion.op} {shown(assertion.value)}"
                yield finding("wrong_final_state", "tools" if done else "assistant", detail)


def _is_error(expected: Any) -> bool:
    return isinstance(expected, dict) and expected.keys() == {"error"}


def _reported(recorded: Any, actual: Any) -> bool:
    """Whether a recorded observation is the world's, whole, or its text cut at the observation limit."""
    if alike(recorded, actual):
        return True
    plain = json.loads(json.dumps(actual))
    if alike(recorded, plain):
        return True
    kept = recorded.get("truncated") if isinstance(recorded, dict) else None
    return isinstance(kept, str) and json.dumps(plain, ensure_ascii=False).startswith(kept)


def holds(assertion: Assertion, state: dict[str, Any]) -> bool:
    """Whether an assertion holds for the world's state."""
    value = at(state, assertion.path)
    if assertion.op == "absent":
        return value is MISSING
    if assertion.op == "equals":
        return value is not MISSING and alike(value, assertion.value)
    elements = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(_contains(element, assertion.value) for element in elements)


def _contains(element: Any, wanted: Any) -> bool:
    if isinstance(element, dict) and isinstance(wanted, dict):
        return all(key in element and alike(element[key], value) for key, value in wanted.items())
    return alike(element, wanted)


def answer_findings(
    blueprint: Blueprint, messages: Sequence[dict[str, Any]], calls: Sequence[Call], alignment: Alignment
) -> Iterator[Finding]:
    """The final answer reports every value that it must, as it was observed."""
    answer = final_answer(messages)
    for fact in blueprint.answer_facts:
        position = alignment.made.get(fact.step)
        value = MISSING
        if position is not None:
            worked = alignment.worked.get(fact.step)
            value = at(calls[position].value if worked is None else worked, fact.path)
        if not answer or value is MISSING:
            continue
        absent = [leaf for _, leaf in leaves(value) if not _reports(answer, leaf)]
        if absent:
            detail = f"the answer does not report {fact.label}: {shown(absent[0])}"
            yield finding("answer_without_fact", "assistant", detail)


def _reports(answer: str, value: Any) -> bool:
    """Whether the answer holds a value, blanks and capitals aside; true, false and null hold anyway."""
    if isinstance(value, str):
        words = " ".join(value.split()).lower()
        return not words or occurs(words, " ".join(answer.split()).lower())
    return not is_number(value) or value in numbers(answer)
