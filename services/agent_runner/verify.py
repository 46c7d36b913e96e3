"""Verification by rules against the executed trace: every violated rule with whose fault it is.

Ours, not the paper's. Findings come in the order of ``RULES``: causes before what they lead to (a call
that was never made comes before the values that the answer then has from nowhere), so the first finding
is the reason of a rejection. Reads that the plan does not have are legal; so are calls that the plan's
injected faults answered, and their retries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from schemas.blueprint import Blueprint, FromFact, Step
from schemas.run import Attribution, Finding, Verdict
from services.agent_runner.alignment import Alignment, align, in_order, needs, observations
from services.agent_runner.coding import code_of, parts, unheld
from services.agent_runner.grounding import Sources, free_leaves, is_number, leaves, occurs
from services.agent_runner.outcome import answer_findings, world_findings
from services.agent_runner.statements import contradictions, leaks
from services.agent_runner.trace import Call, code_tools, executed, observe, spoken
from services.agent_runner.wellformed import (
    call_findings,
    final_answer,
    finding,
    id_findings,
    pairing_findings,
    role_findings,
    shown,
)
from services.sim.code_tool import records, simulated
from services.sim.code_work import sources_in
from services.worlds.world import World

CODE: Final = "code"
"""Where the values of a code call stand: in its source."""
SHOWN: Final = 3
RULES: Final = (
    "broken_json",  # arguments that are no JSON object
    "invented_tool",  # a call of a tool that was not offered
    "schema_violation",  # arguments that break the tool's schema
    "repeated_id",  # a call's id that is empty or was used before
    "unanswered_call",  # a call without exactly one answer before the next turn; an answer without a call
    "malformed_role",  # an illegal order of roles
    "empty_message",  # a turn that says and does nothing
    "early_stop",  # the end while the plan's last steps are open, or without a final answer
    "missing_call",  # a planned step that was never made
    "swapped_order",  # a step made before one that it depends on was answered
    "contradiction",  # a held fact stated with another value
    "leaked_plan",  # a text with matter that only the plan holds
    "ungrounded_value",  # an argument that neither user nor tools have given
    "code_without_data",  # code that does not hold what it is to work on
    "wrong_argument",  # a planned argument with a value that it should not have, though one from somewhere
    "failed_call",  # a planned step that the world, or the sandbox, and no fault answered with an error
    "wrong_result",  # code whose output is not what its work comes to
    "wrong_final_state",  # the world at the end is not as the plan asserts, or not as a write reported
    "wrong_observation",  # a read that returned what the world does not hold
    "unexpected_write",  # a state-changing call that the plan does not have
    "missing_observation",  # an observation without the value that the plan reads from it
    "answer_without_fact",  # the final answer does not report what it must
)


def verify(blueprint: Blueprint, messages: Sequence[dict[str, Any]], world: World | None = None) -> Verdict:
    """The verdict on an executed run; it passes when no rule is violated.

    ``messages`` are in OpenAI's format, as exported; a system message is optional. One closing user turn
    after the final answer is tolerated. Observations and the final state are checked against the world
    when the tools' role is simulated; with other tools the world is theirs, and only calls are checked.
    ``world`` is the run's, where one has been made already.
    """
    calls = executed(messages, code_tools(blueprint))
    alignment = align(blueprint, calls)
    findings = [
        *call_findings(blueprint, calls),
        *id_findings(messages),
        *pairing_findings(messages),
        *role_findings(messages),
        *_steps(blueprint, messages, calls, alignment),
        *contradictions(blueprint, messages),
        *leaks(blueprint, messages),
        *_values(blueprint, messages, calls, alignment),
        *_codes(blueprint, calls, alignment),
        *world_findings(
            blueprint, calls, alignment, world or World(simulated(blueprint.tools), blueprint.seed)
        ),
        *answer_findings(blueprint, messages, calls, alignment),
    ]
    return Verdict(passed=not findings, findings=_ranked(findings))


def unusable(blueprint: Blueprint, messages: Sequence[dict[str, Any]], since: int = 0) -> tuple[Finding, ...]:
    """What is wrong with calls in themselves, whatever comes after: a run that has any can never pass.

    Broken JSON, invented tools, arguments against the schema, ids that are empty or used before. Calls of
    messages before ``since`` were looked at before.
    """
    calls = executed(messages[since:], code_tools(blueprint))
    return _ranked([*call_findings(blueprint, calls), *id_findings(messages)])


def _ranked(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    rank = {code: place for place, code in enumerate(RULES)}
    return tuple(sorted(findings, key=lambda one: rank[one.code]))


def _steps(
    blueprint: Blueprint, messages: Sequence[dict[str, Any]], calls: Sequence[Call], alignment: Alignment
) -> Iterator[Finding]:
    """The plan's steps: all made, each after those that it depends on."""
    steps = {step.id: step for step in blueprint.steps}
    order = [step.id for step in in_order(blueprint.steps)]
    missing = set(alignment.missing)
    opened = [step for step in order if step in missing]
    last_made = max((place for place, step in enumerate(order) if step in alignment.made), default=-1)
    if not final_answer(messages):
        yield finding("early_stop", "assistant", "the run ends without a final answer")
    elif opened and all(order.index(step) > last_made for step in opened):
        whose = _withheld(blueprint, [steps[step] for step in opened], messages)
        yield finding("early_stop", whose, f"ended while {', '.join(opened)} were still to do")
    for step in opened:
        whose = _withheld(blueprint, [steps[step]], messages)
        yield finding("missing_call", whose, f"step {step} ({steps[step].tool}) was never made")
    for step, position in alignment.made.items():
        for need in needs(steps[step]):
            other = alignment.made.get(need)
            if other is None:
                continue
            if calls[other].message >= calls[position].message:
                detail = f"step {step} was made before step {need}, which it depends on, was answered"
                yield finding("swapped_order", "assistant", detail)


def _withheld(blueprint: Blueprint, open_: Sequence[Step], messages: Sequence[dict[str, Any]]) -> Attribution:
    """Whose fault open steps are: the user's where a fact that they need was asked for and never told."""
    held = (
        part for step in open_ for source in sources_in(step.arguments, step.work) for part in parts(source)
    )
    wanted = {part.fact for part in held if isinstance(part, FromFact)}
    said = [spoken(message) for message in messages if message.get("role") == "user"]
    questions = " ".join(spoken(m) for m in messages if m.get("role") == "assistant" and "?" in spoken(m))
    for fact in blueprint.facts:
        values = [leaf for _, leaf in leaves(fact.value) if isinstance(leaf, str) or is_number(leaf)]
        told = all(any(occurs(value, text) for text in said) for value in values)
        if fact.name in wanted and not told and fact.label.lower() in questions.lower():
            return "user"
    return "assistant"


def _values(
    blueprint: Blueprint, messages: Sequence[dict[str, Any]], calls: Sequence[Call], alignment: Alignment
) -> Iterator[Finding]:
    """Where each argument comes from, and whether it is the one that the plan resolves to."""
    schemas = {tool.name: tool.input_schema for tool in blueprint.tools}
    planned = {position: step for step, position in alignment.made.items()}
    codes = code_tools(blueprint)
    sources = Sources()
    by_message: dict[int, list[int]] = {}
    for position, call in enumerate(calls):
        by_message.setdefault(call.message, []).append(position)
    for index, message in enumerate(messages):
        if message.get("role") == "user":
            sources.hear(spoken(message))
        elif message.get("role") == "tool":
            observe(sources, message, codes)
        for position in by_message.get(index, ()):
            call = calls[position]
            free = (
                [((CODE,), value) for value in records(code_of(call.arguments))]
                if call.name in codes
                else free_leaves(schemas.get(call.name, {}), call.arguments or {})
            )
            loose = [(path, leaf) for path, leaf in free if not sources.grounded(leaf)]
            for path, leaf in loose:
                place = "/".join(map(str, path))
                detail = f"call {call.id} of {call.name}: {place} = {shown(leaf)} comes from nowhere"
                yield finding("ungrounded_value", "assistant", detail)
            yield from _differences(planned.get(position), call, [path for path, _ in loose], alignment)


def _codes(blueprint: Blueprint, calls: Sequence[Call], alignment: Alignment) -> Iterator[Finding]:
    """Steps of code: their code holds the data, it ran, and its output is right."""
    facts = {fact.name: fact.value for fact in blueprint.facts}
    observed = observations(alignment, calls)
    names = code_tools(blueprint)
    for step in blueprint.steps:
        position = alignment.made.get(step.id)
        if step.work is None or position is None:
            continue
        call = calls[position]
        codes = [code_of(other.arguments) for other in calls[: position + 1] if other.name in names]
        for value in islice(unheld(step, facts, observed, codes), SHOWN):
            detail = f"the code of step {step.id} does not hold {shown(value)}"
            yield finding("code_without_data", "assistant", detail)
        if call.error:
            yield finding("failed_call", "assistant", f"the code of step {step.id} ended in {call.error}")
            continue
        for difference in alignment.differences.get(step.id, ()):
            detail = f"step {step.id} wants {difference.wanted}; there is {shown(difference.actual)}"
            yield finding("wrong_result", "assistant", detail)


def _differences(
    step: str | None, call: Call, loose: Sequence[tuple[str | int, ...]], alignment: Alignment
) -> Iterator[Finding]:
    for difference in alignment.differences.get(step, ()) if step and step not in alignment.worked else ():
        path = difference.path
        if call.arguments is None or any(path == other[: len(path)] for other in loose):
            continue
        place = "/".join(map(str, path))
        detail = f"step {step}: {place} is {shown(difference.actual)}, not {shown(difference.wanted)}"
        yield finding("wrong_argument", "assistant", detail)
    for lack in alignment.lacks.get(step, ()) if step else ():
        where = "/".join(map(str, lack.path))
        yield finding("missing_observation", "tools", f"step {lack.step} returned nothing at {where}")
