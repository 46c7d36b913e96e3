"""Which executed call is which planned step, and where the two differ. Ours, not the paper's.

Steps are taken in an order in which each comes after those it depends on. A step claims a call of its
tool, best one whose arguments are what the plan resolves to, read against the *actual* observations of
the calls already claimed. A call that was answered by an
injected fault is never claimed: its retry is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.blueprint import Blueprint, Constant, FromFact, FromStep, ListOf, ObjectOf, Source, Step
from services.agent_runner.coding import parts, unsaid, used, worked_out
from services.agent_runner.grounding import MISSING, Path, at
from services.agent_runner.trace import FAULT_CODES, Call
from services.sim.code_work import sources_in
from services.sim.json_schema import alike


@dataclass(frozen=True, slots=True)
class Difference:
    """One planned argument that was not passed as planned.

    ``actual`` is ``MISSING`` when it was left out; ``fact`` is the fact it was to come from, if one.
    """

    path: Path
    wanted: str
    actual: Any
    fact: str = ""


@dataclass(frozen=True, slots=True)
class Lack:
    """A planned reference that the actual observation does not hold."""

    step: str
    path: Path


@dataclass(slots=True)
class Alignment:
    """``made`` maps step ids to the positions of their calls; ``faulted`` are calls answered by faults."""

    made: dict[str, int] = field(default_factory=dict)
    differences: dict[str, list[Difference]] = field(default_factory=dict)
    lacks: dict[str, list[Lack]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    faulted: frozenset[int] = frozenset()
    worked: dict[str, Any] = field(default_factory=dict)
    """What the code of each made step should have printed, where that can be worked out."""

    @property
    def claimed(self) -> frozenset[int]:
        """Positions of the calls that are planned steps."""
        return frozenset(self.made.values())


def needs(step: Step) -> tuple[str, ...]:
    """Ids of the steps that must have been answered before this one, without repetition."""
    found = [*step.after]
    for source in sources_in(step.arguments, step.work):
        found += [part.step for part in parts(source) if isinstance(part, FromStep)]
    return tuple(dict.fromkeys(found))


def in_order(steps: Sequence[Step]) -> list[Step]:
    """The steps by (wave, place in the plan), moved back where needed behind what they depend on."""
    known = {step.id for step in steps}
    pending = [step for _, step in sorted(enumerate(steps), key=lambda item: (item[1].wave, item[0]))]
    placed: list[Step] = []
    done: set[str] = set()
    while pending:
        ready = next(
            (step for step in pending if all(need in done or need not in known for need in needs(step))),
            pending[0],
        )
        pending.remove(ready)
        placed.append(ready)
        done.add(ready.id)
    return placed


def faulted(blueprint: Blueprint, calls: Sequence[Call]) -> frozenset[int]:
    """Positions of the calls that were answered by planned faults: the first ones of a step's tool."""
    left: dict[tuple[str, str], int] = {}
    for step in blueprint.steps:
        if step.fault is not None:
            key = (step.tool, step.fault.error)
            left[key] = left.get(key, 0) + step.fault.times
    found = []
    for position, call in enumerate(calls):
        if call.error in FAULT_CODES and left.get((call.name, call.error), 0) > 0:
            left[call.name, call.error] -= 1
            found.append(position)
    return frozenset(found)


def align(blueprint: Blueprint, calls: Sequence[Call]) -> Alignment:
    """The alignment of the executed calls with the plan's steps.

    Two ways are tried: each step claims what fits it best, or the steps of a tool claim its calls one
    after another. The one that explains the calls with fewer faults is taken.
    """
    steps = {step.id: step for step in blueprint.steps}

    def faults(alignment: Alignment) -> int:
        made = alignment.made
        swapped = sum(
            need in made and calls[made[need]].message >= calls[made[step]].message
            for step in made
            for need in needs(steps[step])
        )
        return 4 * len(alignment.missing) + sum(map(len, alignment.differences.values())) + swapped

    return min((_aligned(blueprint, calls, choose) for choose in (_best, _next)), key=faults)


@dataclass(frozen=True, slots=True)
class _Fit:
    """How far a call is from a step; ``extras`` counts arguments that the plan does not have."""

    differences: list[Difference]
    lacks: list[Lack]
    extras: int = 0

    @property
    def exact(self) -> bool:
        return not self.differences and not self.lacks and not self.extras


Compare = Callable[[Step, int], _Fit]
Choose = Callable[[Step, Sequence[int], Sequence[Step], Sequence[Call], Compare], int | None]


def _aligned(blueprint: Blueprint, calls: Sequence[Call], choose: Choose) -> Alignment:
    alignment = Alignment(faulted=faulted(blueprint, calls))
    facts = {fact.name: fact.value for fact in blueprint.facts}
    schemas = {tool.name: tool.input_schema for tool in blueprint.tools}
    order = in_order(blueprint.steps)
    taken_from = used(blueprint)

    def compare(step: Step, position: int) -> _Fit:
        observed = observations(alignment, calls)
        if step.work is not None:
            return _compare_code(step, calls[position], facts, observed, taken_from.get(step.id, ()))
        return _compare(step, calls[position], facts, observed, schemas)

    for index, step in enumerate(order):
        taken = alignment.claimed | alignment.faulted
        candidates = [p for p, call in enumerate(calls) if call.name == step.tool and p not in taken]
        siblings = [other for other in order[index + 1 :] if other.tool == step.tool]
        position = choose(step, candidates, siblings, calls, compare)
        if position is None:
            alignment.missing.append(step.id)
            continue
        fit = compare(step, position)
        if step.work is not None:
            alignment.worked[step.id] = worked_out(step, facts, observations(alignment, calls))
        alignment.made[step.id] = position
        if fit.differences:
            alignment.differences[step.id] = fit.differences
        if fit.lacks:
            alignment.lacks[step.id] = fit.lacks
    return alignment


def _best(
    step: Step, candidates: Sequence[int], siblings: Sequence[Step], calls: Sequence[Call], compare: Compare
) -> int | None:
    """An exact call, else the nearest that no later step of the tool claims exactly."""
    exact = [position for position in candidates if compare(step, position).exact]
    if exact:
        return next((position for position in exact if not calls[position].error), exact[-1])
    free = [
        position
        for position in candidates
        if not any(compare(sibling, position).exact for sibling in siblings)
    ]
    free = free if free or len(candidates) <= len(siblings) else list(candidates)

    def distance(position: int) -> tuple[int, int, int, int]:
        fit = compare(step, position)
        return bool(calls[position].error), len(fit.differences), fit.extras, position

    return min(free, key=distance, default=None)


def _next(
    _step: Step, candidates: Sequence[int], _siblings: Sequence[Step], calls: Sequence[Call], _fit: Compare
) -> int | None:
    """The first call of the tool that is left, one without an error if there is."""
    good = (position for position in candidates if not calls[position].error)
    return next(good, min(candidates, default=None))


def _compare_code(
    step: Step,
    call: Call,
    facts: Mapping[str, Any],
    observed: Mapping[str, list[Any]],
    paths: Sequence[Path],
) -> _Fit:
    """Code is the step's where it has printed what the work comes to, as far as that is needed."""
    result = worked_out(step, facts, observed)
    if result is None:
        return _Fit([], [Lack(source.step, source.path) for source in step.work.rows] if step.work else [])
    lacking = unsaid(result, paths, call.value, str(at(call.content, ("stdout",))))
    return _Fit([Difference(("code",), f"code that prints {wanted!r}", call.value) for wanted in lacking], [])


def observations(alignment: Alignment, calls: Sequence[Call]) -> dict[str, list[Any]]:
    """Per made step its observation, and those of identical calls (a repeated read may differ).

    Of code it is what should have been printed, and what was.
    """
    found: dict[str, list[Any]] = {}
    for step, position in alignment.made.items():
        claimed = calls[position]
        found[step] = [alignment.worked[step]] if alignment.worked.get(step) is not None else []
        found[step] += [claimed.value] if claimed.answer >= 0 else []
        found[step] += [
            call.value
            for other, call in enumerate(calls)
            if other != position
            and call.answer >= 0
            and not call.error
            and call.name == claimed.name
            and claimed.arguments is not None
            and call.arguments == claimed.arguments
        ]
    return found


def _compare(
    step: Step,
    call: Call,
    facts: Mapping[str, Any],
    observed: Mapping[str, list[Any]],
    schemas: Mapping[str, Mapping[str, Any]],
) -> _Fit:
    differences: list[Difference] = []
    lacks: list[Lack] = []
    if call.arguments is None:
        return _Fit([Difference((), "a JSON object", call.text)], lacks)
    properties = schemas.get(step.tool, {}).get("properties") or {}
    for name, source in step.arguments.items():
        actual = call.arguments.get(name, MISSING)
        if actual is MISSING and _default(properties.get(name), source):
            continue
        _differ(source, actual, (name,), facts, observed, differences, lacks)
    return _Fit(differences, lacks, len(call.arguments.keys() - step.arguments.keys()))


def _default(schema: Any, source: Source) -> bool:
    """Whether leaving the argument out means the same."""
    return (
        isinstance(source, Constant)
        and isinstance(schema, Mapping)
        and "default" in schema
        and alike(schema["default"], source.value)
    )


def _differ(
    source: Source,
    actual: Any,
    path: Path,
    facts: Mapping[str, Any],
    observed: Mapping[str, list[Any]],
    differences: list[Difference],
    lacks: list[Lack],
) -> None:
    if isinstance(source, ObjectOf):
        given = actual if isinstance(actual, dict) else {}
        for key, inner in source.fields.items():
            _differ(inner, given.get(key, MISSING), (*path, key), facts, observed, differences, lacks)
    elif isinstance(source, ListOf):
        items = actual if isinstance(actual, list) else []
        for index, inner in enumerate(source.items):
            item = items[index] if index < len(items) else MISSING
            _differ(inner, item, (*path, index), facts, observed, differences, lacks)
        differences += [
            Difference((*path, index), "nothing", item)
            for index, item in enumerate(items)
            if index >= len(source.items)
        ]
    elif isinstance(source, FromStep):
        values = [at(content, source.path) for content in observed.get(source.step, [])]
        known = [value for value in values if value is not MISSING]
        if values and not known:
            lacks.append(Lack(source.step, source.path))
        if known and not any(alike(value, actual) for value in known):
            differences.append(Difference(path, f"{known[0]!r} of step {source.step}", actual))
    else:
        fact = source.fact if isinstance(source, FromFact) else ""
        wanted = facts.get(fact, MISSING) if isinstance(source, FromFact) else source.value
        if wanted is not MISSING and (actual is MISSING or not alike(wanted, actual)):
            name = f" of fact {fact}" if fact else ""
            differences.append(Difference(path, f"{wanted!r}{name}", actual, fact))
