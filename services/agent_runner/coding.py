"""Steps of code: whether the code held what it works on, and whether what it printed is right. Ours.

What code should come to is worked out anew from the actual observations, so a step is as good as its result,
whatever the code looks like; and code that does not hold the data has worked on something else.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from schemas.blueprint import Blueprint, Constant, FromFact, FromStep, ListOf, ObjectOf, Source, Step
from services.agent_runner.grounding import MISSING, Path, at, is_number, leaves, numbers, occurs
from services.sim.code_tool import literals
from services.sim.code_work import Unworkable, data_of, result_of

Json = dict[str, Any]


def code_of(arguments: Mapping[str, Any] | None) -> str:
    """The source in a call of a code tool: all texts of its arguments."""
    return "\n".join(leaf for _, leaf in leaves(dict(arguments or {})) if isinstance(leaf, str))


def worked_out(step: Step, facts: Mapping[str, Any], observed: Mapping[str, Sequence[Any]]) -> Json | None:
    """What the step's code should print, of each step's first observation; ``None`` where nothing can."""
    assert step.work is not None
    try:
        return result_of(step.work, _data(step, facts, observed))
    except Unworkable:
        return None


def unheld(
    step: Step, facts: Mapping[str, Any], observed: Mapping[str, Sequence[Any]], codes: Sequence[str]
) -> Iterator[Any]:
    """The data of the step's work that stands in none of these codes."""
    try:
        data = _data(step, facts, observed)
    except Unworkable:
        return
    held = {value for code in codes for value in literals(code)}
    wanted = dict.fromkeys(leaf for _, leaf in leaves(data))
    yield from (
        value for value in wanted if value not in held and not any(occurs(value, code) for code in codes)
    )


def _data(step: Step, facts: Mapping[str, Any], observed: Mapping[str, Sequence[Any]]) -> Json:
    """What the step's work needs to know, of each step's first observation.

    Raises:
        Unworkable: some of it is not there.
    """
    assert step.work is not None
    return data_of(step.work, facts, {name: values[0] for name, values in observed.items() if values})


def unsaid(result: Json, paths: Sequence[Path], printed: Any, stdout: str) -> Iterator[Any]:
    """Of a result the values at these paths that the output does not hold, as JSON or as text."""
    for path in paths:
        wanted = at(result, path)
        if wanted is MISSING or at(printed, path) == wanted:
            continue
        if isinstance(wanted, str) and occurs(wanted, stdout):
            continue
        if is_number(wanted) and wanted in numbers(stdout):
            continue
        yield wanted


def used(blueprint: Blueprint) -> dict[str, list[Path]]:
    """Of each step the places of its observation that the answer or another step takes something from."""
    found: dict[str, list[Path]] = {}
    for answer in blueprint.answer_facts:
        found.setdefault(answer.step, []).append(answer.path)
    for step in blueprint.steps:
        for source in step.arguments.values():
            for part in parts(source):
                if isinstance(part, FromStep):
                    found.setdefault(part.step, []).append(part.path)
    return found


def parts(source: Source) -> Iterator[FromFact | FromStep | Constant]:
    """The sources that a source is made of, down to those that give one value."""
    if isinstance(source, ObjectOf):
        for inner in source.fields.values():
            yield from parts(inner)
    elif isinstance(source, ListOf):
        for inner in source.items:
            yield from parts(inner)
    else:
        yield source
