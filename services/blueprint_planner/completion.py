"""From a draft to a blueprint: everything that follows from the plan is computed, not asked for.

A dry run on the world gives what each step is expected to return; the difference of the states before
and after gives the assertions; dependencies give the waves; the formula gives the complexity.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from typing import Any, Final

from schemas.blueprint import (
    Assertion,
    Blueprint,
    FromStep,
    ListOf,
    ObjectOf,
    PlanBlueprint,
    Rejection,
    Source,
    Step,
    Work,
)
from schemas.catalog import Cluster, ToolSpec
from services.blueprint_planner.prompts import PlanDraft, PlanStep
from services.sim.arguments import Unresolved, resolve_source
from services.sim.code_tool import CODE_TOOL, code_tool, simulated
from services.sim.code_work import Unworkable, data_of, result_of, sources_in
from services.sim.json_schema import MISSING, alike, at, plain
from services.worlds.fitting import leaves
from services.worlds.world import World

Json = dict[str, Any]
Path = tuple[str | int, ...]

MAX_STEPS: Final = 12
MAX_ASSERTIONS: Final = 6
MAX_DIFF_DEPTH: Final = 6
READ_WEIGHT: Final = 1.0
WRITE_WEIGHT: Final = 1.5
CODE_WEIGHT: Final = 2.0
CLARIFY_WEIGHT: Final = 0.5
RECOVERY_WEIGHT: Final = 2.0
SWITCH_WEIGHT: Final = 0.5
CANDIDATES_WEIGHT: Final = 0.25


class Refused(ValueError):  # noqa: N818  (said of a draft)
    """A draft that no blueprint can be made of, with the reasons."""

    def __init__(self, *rejections: Rejection) -> None:
        super().__init__("; ".join(f"{one.code}: {one.detail}" for one in rejections))
        self.rejections = rejections


def complete(
    command: PlanBlueprint,
    cluster: Cluster,
    distractors: Sequence[ToolSpec],
    draft: PlanDraft,
    domains: Sequence[str] = (),
) -> Blueprint:
    """The blueprint of a draft. ``domains`` are those of the distractors, in order.

    Raises:
        Refused: no steps or too many, equal ids, a cycle, an unknown tool, a source that refers to
            nothing, or a call that the world answers with an error.
    """
    waves = waves_of(draft.steps)
    tools = offered(command, cluster, distractors)
    world = World(simulated(tools), command.seed)
    state = initial = world.initial()
    facts = {fact.name: fact.value for fact in draft.facts}
    known = {tool.name for tool in tools}
    observations: dict[str, Any] = {}
    arguments: dict[str, Json] = {}
    for step in sorted(draft.steps, key=lambda one: waves[one.id]):
        if step.tool not in known:
            raise Refused(Rejection(code="unknown_tool", detail=f"step {step.id}: {step.tool}"))
        if step.work is not None:
            observations[step.id] = worked(step.id, step.work, facts, observations)
            continue
        try:
            arguments[step.id] = {
                name: resolve_source(source, facts, observations) for name, source in step.arguments.items()
            }
        except Unresolved as error:
            raise Refused(Rejection(code="refers_to_nothing", detail=f"step {step.id}: {error}")) from None
        state, observation = world.call(state, step.tool, arguments[step.id])
        if observation.error:
            detail = f"step {step.id}: {step.tool} answers {observation.error}: {observation.content}"
            raise Refused(Rejection(code="call_fails", detail=detail[:500]))
        observations[step.id] = observation.content
    steps = tuple(
        Step(
            **{
                name: getattr(step, name)
                for name in ("id", "tool", "arguments", "after", "fault", "purpose", "work")
            },
            wave=waves[step.id],
            expected=observations[step.id],
        )
        for step in sorted(draft.steps, key=lambda one: waves[one.id])
    )
    domain_of = {tool.name: cluster.domains[0] if cluster.domains else "general" for tool in cluster.tools}
    domain_of |= {tool.name: domain for tool, domain in zip(distractors, domains, strict=False)}
    return Blueprint(
        id=command.run,
        campaign=command.campaign,
        generation=command.generation,
        slot=command.slot,
        attempt=command.attempt,
        seed=command.seed,
        catalog_hash=command.catalog_hash,
        cluster=cluster.id,
        cluster_hash=cluster.hash,
        domains=cluster.domains or tuple(dict.fromkeys(domains)),
        tool_domains={tool.name: domain_of.get(tool.name, "general") for tool in simulated(tools)},
        persona=draft.persona,
        goal=draft.goal,
        facts=draft.facts,
        initial_state=initial,
        steps=steps,
        tools=tools,
        distractors=tuple(tool.name for tool in tools if all(tool.name != step.tool for step in steps)),
        assertions=assertions_between(initial, state, list(arguments.values())),
        answer_facts=draft.answer_facts,
        target=command.target,
        complexity=complexity(steps, draft, world, len(tools)),
        code=command.code,
        operator=command.operator,
        parent=command.parent,
        mate=command.mate,
        steering_version=command.steering_version,
        models=command.models,
        allowance=command.allowance,
        max_turns=command.max_turns,
    )


def worked(step: str, work: Work, facts: Json, observations: Json) -> Json:
    """What the code of a step is expected to print.

    Raises:
        Refused: it cannot be worked out of what the steps before it return.
    """
    try:
        return result_of(work, data_of(work, facts, observations))
    except Unworkable as error:
        raise Refused(Rejection(code="unworkable", detail=f"step {step}: {error}"[:500])) from None


def offered(
    command: PlanBlueprint, cluster: Cluster, distractors: Sequence[ToolSpec]
) -> tuple[ToolSpec, ...]:
    """All tools that the assistant is offered, in seeded order, so that the order gives nothing away.

    Where a tool of the catalog is called like the code tool, that one is not offered.
    """
    given = [*cluster.tools, *distractors]
    if command.code and all(tool.name != CODE_TOOL for tool in given):
        given.append(code_tool(command.packages))
    tools = sorted(given, key=lambda tool: (tool.server, tool.name))
    random.Random(f"{command.seed}/offer").shuffle(tools)
    return tuple(tools)


def references(source: Source) -> Iterator[str]:
    """Ids of the steps that an argument is read from."""
    match source:
        case FromStep(step=step):
            yield step
        case ObjectOf(fields=fields):
            for part in fields.values():
                yield from references(part)
        case ListOf(items=items):
            for part in items:
                yield from references(part)
        case _:
            return


def needs(step: PlanStep | Step) -> set[str]:
    """Ids of all steps that have to be answered before this one."""
    sources = sources_in(step.arguments, step.work)
    return {*step.after, *(name for source in sources for name in references(source))}


def waves_of(steps: Sequence[PlanStep]) -> dict[str, int]:
    """The wave of each step: the length of the longest way of dependencies that leads to it.

    Raises:
        Refused: no steps, too many, equal ids, an unknown id, or a cycle.
    """
    ids = [step.id for step in steps]
    if not steps:
        raise Refused(Rejection(code="no_steps", detail="the plan has no steps"))
    if len(steps) > MAX_STEPS:
        raise Refused(Rejection(code="too_many_steps", detail=f"{len(steps)}; at most {MAX_STEPS}"))
    if len(set(ids)) < len(ids):
        raise Refused(Rejection(code="duplicate_step", detail="two steps have one id"))
    waiting = {step.id: needs(step) for step in steps}
    unknown = sorted({name for names in waiting.values() for name in names} - set(ids))
    if unknown:
        raise Refused(Rejection(code="refers_to_nothing", detail=f"steps {', '.join(unknown)} do not exist"))
    waves: dict[str, int] = {}
    while len(waves) < len(ids):
        ready = [name for name in ids if name not in waves and all(other in waves for other in waiting[name])]
        if not ready:
            cycle = ", ".join(name for name in ids if name not in waves)
            raise Refused(Rejection(code="cyclic", detail=f"steps {cycle} wait for one another"))
        for name in ready:
            waves[name] = 1 + max((waves[other] for other in sorted(waiting[name])), default=-1)
    return waves


def assertions_between(before: Json, after: Json, arguments: Sequence[Json]) -> tuple[Assertion, ...]:
    """What must hold in the end, read off the difference of two states; at most six.

    Created records are asserted by the fields that the calls' arguments determine: what else a service
    fills in is its own affair.
    """
    passed = {plain(leaf) for values in arguments for leaf in leaves(values)}
    found = list(differences(before, after, (), passed))
    found.sort(key=lambda one: {"contains": 0, "absent": 1, "equals": 2}[one.op])
    return tuple(found[:MAX_ASSERTIONS])


def differences(before: Any, after: Any, path: Path, passed: set[str]) -> Iterator[Assertion]:
    """Assertions for every difference between two JSON values, in order of their paths."""
    if before == after and isinstance(before, bool) == isinstance(after, bool):
        return
    if isinstance(before, dict) and isinstance(after, dict) and len(path) < MAX_DIFF_DEPTH:
        for key in sorted({*before, *after}):
            if key not in after:
                yield Assertion(path=(*path, key), op="absent")
            elif key not in before:
                yield from created(after[key], path, key, passed)
            else:
                yield from differences(before[key], after[key], (*path, key), passed)
    elif isinstance(before, list) and isinstance(after, list):
        known = {plain(item) for item in before}
        for item in after:
            if plain(item) not in known and isinstance(item, dict):
                fields = determined(item, passed)
                if fields:
                    yield Assertion(path=path, op="contains", value=fields)
            elif plain(item) not in known:
                yield Assertion(path=path, op="contains", value=item)
    elif not isinstance(after, dict | list):
        yield Assertion(path=path, op="equals", value=after)


def created(value: Any, path: Path, key: str, passed: set[str]) -> Iterator[Assertion]:
    """The assertion for something that is new at ``path`` under ``key``."""
    if isinstance(value, dict):
        fields = determined(value, passed)
        if fields:
            yield Assertion(path=path, op="contains", value=fields)
    elif not isinstance(value, list):
        yield Assertion(path=(*path, key), op="equals", value=value)


def determined(record: Json, passed: set[str]) -> Json:
    """The scalar fields of a new record whose values the arguments of the calls hold."""
    return {
        name: value
        for name, value in record.items()
        if not isinstance(value, dict | list) and value is not None and plain(value) in passed
    }


def complexity(steps: Sequence[Step], draft: PlanDraft, world: World, candidates: int) -> float:
    """Planned cumulative action complexity.

    CAC = Σ over actions of w_kind + log2(1 + args) + dependent args + ½·[domain switch]
    + ¼·log2(1 + candidate tools). The paper names the measure; the formula is this project's. All tools
    of a cluster count as one domain here.
    """
    offer = CANDIDATES_WEIGHT * math.log2(1 + candidates)
    total = 0.0
    for step in steps:
        values = [resolve_or(source, draft, steps) for source in step.arguments.values()]
        count = sum(1 for _ in leaves(values))
        dependent = sum(1 for source in step.arguments.values() for _ in references(source))
        if step.work is not None:
            total += CODE_WEIGHT + math.log2(2) + 1 + offer  # one argument, which holds what was observed
            continue
        weight = WRITE_WEIGHT if world.writes(step.tool) else READ_WEIGHT
        cost = math.log2(1 + count) + dependent + offer
        total += weight + cost
        if step.fault is not None:
            total += step.fault.times * (RECOVERY_WEIGHT + cost)
    if any(fact.asked for fact in draft.facts):
        total += CLARIFY_WEIGHT + offer
    return round(total, 4)


def resolve_or(source: Source, draft: PlanDraft, steps: Sequence[Step]) -> Any:
    """The value of a source that is known to resolve."""
    return resolve_source(
        source, {fact.name: fact.value for fact in draft.facts}, {step.id: step.expected for step in steps}
    )


def holds(assertion: Assertion, state: Json) -> bool:
    """Whether an assertion holds for a state."""
    value = at(state, assertion.path)
    if assertion.op == "absent":
        return value is MISSING
    if assertion.op == "equals":
        return value is not MISSING and alike(value, assertion.value)
    items = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    wanted = assertion.value
    if not isinstance(wanted, dict):
        return any(alike(item, wanted) for item in items)
    return any(
        isinstance(item, dict)
        and all(name in item and alike(item[name], part) for name, part in wanted.items())
        for item in items
    )
