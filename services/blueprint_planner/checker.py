"""The static checker: what a blueprint must not be. Reads the blueprint alone; every fault has a code."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import jsonschema

from schemas.blueprint import (
    Blueprint,
    Constant,
    FromFact,
    FromStep,
    ListOf,
    ObjectOf,
    Rejection,
    Source,
    Step,
)
from schemas.catalog import ToolSpec
from schemas.diversity import depth_bucket
from schemas.evolution import Shape
from services.blueprint_planner.completion import MAX_STEPS, Refused, needs, references, waves_of
from services.blueprint_planner.prompts import PlanStep
from services.sim.arguments import Unresolved, resolve_source
from services.sim.code_tool import is_code_tool
from services.sim.code_work import Unworkable, data_of, result_of, sources_in
from services.sim.json_schema import MISSING, alike, at, property_schema
from services.sim.script_maker import find_places, find_spans, fixed
from services.sim.spelling import readable, spell
from services.worlds.checking import plainly_fits

Json = dict[str, Any]

MAX_GOAL_CHARACTERS: Final = 4000


def check(blueprint: Blueprint) -> tuple[Rejection, ...]:
    """Everything that is wrong with a blueprint; empty for a good one."""
    try:
        waves = waves_of([as_plan_step(step) for step in blueprint.steps])
    except Refused as error:
        return error.rejections
    found = [
        *check_tools(blueprint),
        *check_steps(blueprint, waves),
        *check_code_used(blueprint),
        *check_target(blueprint),
        *check_facts(blueprint),
        *check_goal(blueprint),
        *check_answers(blueprint),
    ]
    return tuple(dict.fromkeys(found))


def as_plan_step(step: Step) -> PlanStep:
    """The step as the planner wrote it."""
    return PlanStep(
        id=step.id,
        tool=step.tool,
        arguments=step.arguments,
        after=step.after,
        fault=step.fault,
        purpose=step.purpose,
        work=step.work,
    )


def check_tools(blueprint: Blueprint) -> Iterator[Rejection]:
    """Tool names are unique, and distractors are offered but not used."""
    names = [tool.name for tool in blueprint.tools]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Rejection(code="duplicate_tool", detail=f"{name} is offered twice")
    used = {step.tool for step in blueprint.steps}
    for name in blueprint.distractors:
        if name in used:
            yield Rejection(code="distractor_used", detail=f"{name} is a distractor, and a step calls it")
        if name not in names:
            yield Rejection(code="unknown_tool", detail=f"distractor {name} is not offered")
    if len(blueprint.steps) > MAX_STEPS:
        yield Rejection(code="too_many_steps", detail=f"{len(blueprint.steps)}; at most {MAX_STEPS}")


def check_steps(blueprint: Blueprint, waves: Mapping[str, int]) -> Iterator[Rejection]:
    """Each step's tool exists, its sources resolve, and its arguments fit the tool's schema."""
    tools = {tool.name: tool for tool in blueprint.tools}
    facts = {fact.name: fact.value for fact in blueprint.facts}
    observations: dict[str, Any] = {}
    for step in sorted(blueprint.steps, key=lambda one: waves[one.id]):
        if step.wave != waves[step.id]:
            yield Rejection(
                code="wrong_wave", detail=f"step {step.id} stands in wave {step.wave}, not {waves[step.id]}"
            )
        tool = tools.get(step.tool)
        if tool is None:
            yield Rejection(code="unknown_tool", detail=f"step {step.id}: {step.tool}")
            continue
        earlier = {name: observations[name] for name in sorted(needs(step)) if name in observations}
        observations[step.id] = step.expected
        if step.work is not None or is_code_tool(tool):
            yield from check_code(step, tool, facts, earlier)
            continue
        try:
            arguments = {name: resolve_source(part, facts, earlier) for name, part in step.arguments.items()}
        except Unresolved as error:
            yield Rejection(code="refers_to_nothing", detail=f"step {step.id}: {error}")
            continue
        problem = schema_problem(tool.input_schema, arguments)
        if problem:
            yield Rejection(code="breaks_schema", detail=f"step {step.id}, {step.tool}: {problem}")
        for name, source in step.arguments.items():
            schema = property_schema(tool.input_schema, name, tool.input_schema)
            yield from check_source(f"step {step.id}, {name}", source, schema, tool.input_schema, facts)


def check_code(step: Step, tool: ToolSpec, facts: Json, earlier: Json) -> Iterator[Rejection]:
    """A step of code calls the code tool, works on earlier results, and comes to what is expected."""
    if step.work is None or not is_code_tool(tool):
        what = "code without work" if step.work is None else f"work for {tool.name}, which runs no code"
        yield Rejection(code="no_code", detail=f"step {step.id} has {what}")
        return
    if step.arguments or step.fault is not None:
        yield Rejection(code="planned_code", detail=f"step {step.id} has arguments or a fault")
    try:
        result = result_of(step.work, data_of(step.work, facts, earlier))
    except Unworkable as error:
        yield Rejection(code="unworkable", detail=f"step {step.id}: {error}"[:500])
        return
    if not alike(result, step.expected):
        yield Rejection(code="wrong_result", detail=f"step {step.id} comes to {result}"[:500])


def every_source(blueprint: Blueprint) -> Iterator[Source]:
    """Where the arguments of all steps, and the data of their code, come from."""
    return (part for step in blueprint.steps for part in sources_in(step.arguments, step.work))


def check_code_used(blueprint: Blueprint) -> Iterator[Rejection]:
    """What code works out is needed: the answer or another call takes something of it."""
    taken = {answer.step for answer in blueprint.answer_facts}
    taken |= {name for part in every_source(blueprint) for name in references(part)}
    for step in blueprint.steps:
        if step.work is not None and step.id not in taken:
            yield Rejection(code="idle_code", detail=f"nothing takes what step {step.id} works out")


def check_source(where: str, source: Source, schema: Json, root: Json, facts: Json) -> Iterator[Rejection]:
    """Constants are fixed by the schema; facts can be told in words and read back as this parameter."""
    match source:
        case Constant(value=value):
            try:
                fixed(value, schema, root)
            except ValueError as error:
                yield Rejection(code="free_constant", detail=f"{where}: {error}")
        case FromFact(fact=name):
            if name in facts and not readable(facts[name], schema, root):
                yield Rejection(code="untellable_fact", detail=f"{where}: {facts[name]!r} has no plain text")
        case ObjectOf(fields=fields):
            for key, part in fields.items():
                yield from check_source(
                    f"{where}.{key}", part, property_schema(schema, key, root), root, facts
                )
        case ListOf(items=items):
            for index, part in enumerate(items):
                yield from check_source(
                    f"{where}[{index}]", part, property_schema(schema, 0, root), root, facts
                )
        case FromStep():
            return


def schema_problem(schema: Json, arguments: Json) -> str:
    """What the arguments break in the input schema, with its place; empty where they fit."""
    try:
        if plainly_fits(arguments, schema):
            return ""
        validator = jsonschema.Draft202012Validator(schema)
        error = next(validator.iter_errors(arguments), None)
    except (jsonschema.exceptions.SchemaError, RecursionError, re.error) as broken:
        return f"the schema itself is broken: {broken}"
    if error is None:
        return ""
    place = ".".join(str(part) for part in error.absolute_path) or "the arguments"
    return f"{place}: {error.message[:200]}"


def shape_of(blueprint: Blueprint) -> Shape:
    """The shape that the plan's execution will have, read off its waves and references.

    single: one call; chain: one to a wave; parallel: several in a wave, and no argument that comes from
    an observation; dag: several in a wave, and such an argument.
    """
    waves = [step.wave for step in blueprint.steps]
    if len(waves) == 1:
        return "single"
    if len(set(waves)) == len(waves):
        return "chain"
    flows = any(True for part in every_source(blueprint) for _ in references(part))
    return "dag" if flows else "parallel"


def check_target(blueprint: Blueprint) -> Iterator[Rejection]:
    """The plan has the shape, the depth bucket and the flags of its target."""
    target = blueprint.target
    shape = shape_of(blueprint)
    if shape != target.shape:
        yield Rejection(code="wrong_shape", detail=f"the plan is a {shape}, its target a {target.shape}")
    if depth_bucket(len(blueprint.steps)) != depth_bucket(target.depth):
        detail = f"{len(blueprint.steps)} calls, target {target.depth}"
        yield Rejection(code="wrong_depth", detail=detail)
    has = {
        "clarifies": any(fact.asked for fact in blueprint.facts),
        "recovers": any(step.fault is not None for step in blueprint.steps),
        "codes": any(step.work is not None for step in blueprint.steps),
    }
    for flag, present in has.items():
        if present != (flag in target.flags):
            yield Rejection(
                code="wrong_flags", detail=f"{flag} is {present} in the plan, not so in its target"
            )
    for flag in target.flags:
        if flag not in has:
            yield Rejection(code="impossible_mode", detail=f"nothing here can give the flag {flag}")


def check_facts(blueprint: Blueprint) -> Iterator[Rejection]:
    """Facts have unique names and labels, and each is used."""
    names = [fact.name for fact in blueprint.facts]
    labels = [fact.label for fact in blueprint.facts]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield Rejection(code="duplicate_fact", detail=f"two facts are called {name}")
    for label in sorted({label for label in labels if labels.count(label) > 1}):
        yield Rejection(code="duplicate_fact", detail=f"two facts have the label {label!r}")
    used = {name for part in every_source(blueprint) for name in facts_of(part)}
    for fact in blueprint.facts:
        if fact.name not in used:
            yield Rejection(code="unused_fact", detail=f"no step takes {fact.name}")


def facts_of(source: Source) -> Iterator[str]:
    """Names of the facts that an argument takes."""
    match source:
        case FromFact(fact=name):
            yield name
        case ObjectOf(fields=fields):
            for part in fields.values():
                yield from facts_of(part)
        case ListOf(items=items):
            for part in items:
                yield from facts_of(part)
        case _:
            return


def check_goal(blueprint: Blueprint) -> Iterator[Rejection]:
    """The goal tells each opening fact readably and once, and gives nothing else away."""
    goal = blueprint.goal
    if not goal.strip() or len(goal) > MAX_GOAL_CHARACTERS:
        yield Rejection(code="no_goal", detail=f"{len(goal)} characters")
        return
    for tool in blueprint.tools:
        plain_word = tool.name.isalpha() and tool.name.islower()
        if not plain_word and re.search(rf"(?<![\w-]){re.escape(tool.name)}(?![\w-])", goal):
            yield Rejection(code="goal_names_tool", detail=f"the goal names {tool.name}")
    try:
        spans = [span.fact for span in find_spans(blueprint.facts, goal)]
        places = find_places(blueprint.facts, [{"role": "user", "content": goal}])
    except ValueError as error:
        yield Rejection(code="untellable_fact", detail=str(error))
        return
    for fact in blueprint.facts:
        count = spans.count(fact.name)
        if fact.asked and count:
            yield Rejection(
                code="goal_leaks_fact", detail=f"{fact.name} is to be asked for, and the goal tells it"
            )
        elif not fact.asked and count != 1:
            yield Rejection(
                code="goal_lacks_fact", detail=f"{fact.name} ({spell(fact.value)}) stands {count} times"
            )
        elif not fact.asked and places[fact.name].kind != "user":
            yield Rejection(code="goal_unreadable", detail=f"{fact.name} cannot be read back from the goal")


def check_answers(blueprint: Blueprint) -> Iterator[Rejection]:
    """What is to be reported exists, is a plain value, and was not said by the user."""
    expected = {step.id: step.expected for step in blueprint.steps}
    said = {told_text(fact.value) for fact in blueprint.facts}
    for answer in blueprint.answer_facts:
        value = at(expected[answer.step], answer.path) if answer.step in expected else MISSING
        if value is MISSING:
            detail = f"{answer.label}: nothing at {list(answer.path)} of step {answer.step}"
            yield Rejection(code="answer_missing", detail=detail)
        elif value is None or isinstance(value, dict | list | bool):
            yield Rejection(code="answer_not_plain", detail=f"{answer.label} is no text or number")
        elif str(value) in said:
            yield Rejection(code="answer_already_said", detail=f"the user said the {answer.label} themselves")


def told_text(value: Any) -> str:
    """The value's told text, or an empty one for a value that has none."""
    try:
        return spell(value)
    except ValueError:
        return ""
