"""Planning by forward simulation: every step of a plan is tried on the world before it is taken.

Tools are chosen along the cluster's dependency edges, so that later steps work on what earlier ones
returned. A handful of seeded attempts are made and scored; the best one is kept.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from schemas.blueprint import FromStep
from schemas.catalog import ToolSpec
from schemas.diversity import depth_bucket
from schemas.evolution import Shape, Target
from services.sim.json_schema import alike, plain, resolve
from services.sim.plan_arguments import Filler
from services.sim.plan_clauses import several
from services.sim.plan_references import unclear
from services.sim.plan_score import Sketch, askable, score
from services.sim.plan_signature import signature
from services.sim.plan_steps import Filling, Planned, Unfillable, required_of
from services.sim.plan_survey import Trail
from services.sim.plan_waves import Made, fits_beside
from services.sim.vocabulary import name_words, snake
from services.worlds.world import Meaning, World

Json = dict[str, Any]

ATTEMPTS: Final = 6
GOOD_ENOUGH: Final = (6.7, 6.2, 5.5, 5.0, 4.5, 4.0)
"""Scores at which no further attempt is made, by the number of the attempt."""
CANDIDATES: Final = 6
BOUNDS: Final = (("start", "end"), ("from", "to"), ("since", "until"), ("after", "before"), ("begin", "end"))
DATED: Final = re.compile(r"\d{4}-\d\d-\d\d")
IDENTIFIER: Final = re.compile(r"(?=.*(_|[a-z][A-Z]|\d))[A-Za-z_][A-Za-z0-9_]*")
"""Names as programs have them: with an underscore, an inner capital or a digit."""
MAX_NESTED: Final = 6
WANTED: Final = 60.0
"""How much likelier a tool is that the command asks for."""
UNWANTED: Final = 3.0
"""Points off a plan that calls none of the tools asked for."""
AVOIDED: Final = 1.0
"""Points off a plan whose signature there are too many of."""
REFILLS: Final = 2
FIRST: Final = {
    "list": 3.0,
    "search": 4.0,
    "get": 2.0,
    "create": 1.5,
    "act": 0.5,
    "update": 0.3,
    "delete": 0.05,
}
MIDDLE: Final = {
    "list": 1.5,
    "search": 1.0,
    "get": 3.0,
    "create": 2.0,
    "act": 1.0,
    "update": 1.2,
    "delete": 0.1,
}
LAST: Final = {
    "list": 1.0,
    "search": 0.6,
    "get": 1.5,
    "create": 3.0,
    "act": 2.5,
    "update": 3.5,
    "delete": 2.0,
}
ALONE: Final = {
    "list": 0.6,
    "search": 2.0,
    "get": 2.0,
    "create": 2.5,
    "act": 2.0,
    "update": 2.5,
    "delete": 1.0,
}


def search(
    target: Target,
    trail: Trail,
    world: World,
    state: Json,
    rng: random.Random,
    wanted: Callable[[Sketch], bool] = lambda _: True,
) -> Sketch | None:
    """The best plan of several attempts that has the target's shape; ``None`` where all of them failed.

    ``wanted``: what a plan must be good for besides.
    """
    if not trail.tools:
        return None
    best: Sketch | None = None
    best_score = float("-inf")
    for attempt in range(ATTEMPTS):
        depth = shallower(target.depth) if attempt >= ATTEMPTS // 2 else target.depth
        sizes = wave_sizes(target.shape, depth, rng)
        again = 0.8 if attempt >= ATTEMPTS // 2 else 0.35
        sketch = attempt_plan(
            sizes, target, trail, world, state, random.Random(f"{rng.random()}/{attempt}"), again
        )
        if sketch is None:
            continue
        if target.shape in ("chain", "dag") and not any(step.needs for step in sketch.steps):
            # A dag without a flow of data is a parallel; a chain without one is an order for its own sake.
            continue
        if "clarifies" in target.flags and not askable(sketch):
            continue
        if 2 * sum(takes_nothing(step.tool) for step in sketch.steps) > len(sketch.steps):
            continue  # calls that nothing can be told: a user has next to nothing to ask for
        if speaks_names(sketch, world):
            continue
        if not wanted(sketch):
            continue
        value = score(sketch, target) - UNWANTED * unwanted(sketch, trail)
        value -= AVOIDED * (bool(trail.avoid) and signature(sketch.steps, target) in trail.avoid)
        if value > best_score:
            best, best_score = sketch, value
        if best_score >= GOOD_ENOUGH[attempt]:
            break
    return best


def unwanted(sketch: Sketch, trail: Trail) -> float:
    """Which share of the calls is of tools that are not asked for; 0 where none is asked for."""
    if not trail.wanted:
        return 0.0
    return sum(step.tool.name not in trail.wanted for step in sketch.steps) / len(sketch.steps)


def takes_nothing(tool: ToolSpec) -> bool:
    """Whether a tool has no parameters at all."""
    return not resolve(tool.input_schema).get("properties")


def speaks_names(sketch: Sketch, world: World) -> bool:
    """Whether a value that the user would say is the name of a tool or a parameter: "sort by created_at"."""
    said = {
        value
        for fact in sketch.facts.values()
        for value in (fact.value if isinstance(fact.value, list) else [fact.value])
        if isinstance(value, str) and IDENTIFIER.fullmatch(value)
    }
    return bool(said) and any(
        name == tool.name or name in parameter_names(tool.input_schema)
        for tool in world.tools.values()
        for name in said
    )


def parameter_names(schema: Any, depth: int = 0) -> set[str]:
    """The names of all properties of a schema, those of what it holds included."""
    if not isinstance(schema, dict) or depth > MAX_NESTED:
        return set()
    properties = schema.get("properties")
    found = set(properties) if isinstance(properties, dict) else set()
    for part in (*(properties.values() if isinstance(properties, dict) else ()), schema.get("items")):
        found |= parameter_names(part, depth + 1)
    return found


def shallower(depth: int) -> int:
    """One call less, where that is still in the same bucket of depths."""
    return depth - 1 if depth > 2 and depth_bucket(depth - 1) == depth_bucket(depth) else depth


def wave_sizes(shape: Shape, depth: int, rng: random.Random) -> list[int]:
    """Sizes of the waves for a shape and depth, in calls."""
    match shape:
        case "single":
            return [1]
        case "chain":
            return [1] * max(2, depth)
        case "parallel":
            return [max(2, depth)]
        case "dag":
            depth = max(3, depth)
            cuts = [
                sizes
                for sizes in compositions(depth)
                if len(sizes) >= 2 and max(sizes) >= 2 and max(sizes) <= 3 and (sizes[0] == 1 or depth == 3)
            ]
            return list(rng.choice(cuts))


def compositions(total: int) -> list[tuple[int, ...]]:
    """All ways to write ``total`` as an ordered sum, in order."""
    if total == 0:
        return [()]
    return [(first, *rest) for first in range(1, total + 1) for rest in compositions(total - first)]


def attempt_plan(
    sizes: Sequence[int],
    target: Target,
    trail: Trail,
    world: World,
    state: Json,
    rng: random.Random,
    again_chance: float,
) -> Sketch | None:
    """One seeded attempt at a plan with waves of these sizes.

    ``again_chance``: how likely a tool is called again beside itself, for another record.
    """
    sketch = Sketch(state=state, opened=state)
    for wave, size in enumerate(sizes):
        before = list(sketch.steps)
        sketch.opened = sketch.state
        again = ""
        for slot in range(size):
            step = next_step(sketch, before, wave, slot, again, sizes, target, trail, world, rng)
            if step is None:
                return None
            chance = 0.65 if target.shape == "dag" and wave else again_chance
            if size > 1 and rng.random() < chance and repeatable(step):
                again = step.tool.name
    return sketch


def repeatable(step: Planned) -> bool:
    """Whether the user can speak of two such steps at once: of two results, or of "two orders"."""
    if step.needs:
        return True
    return any(several(phrase, [step, step], labels_of_step(step)) for phrase in step.meaning.phrases)


def labels_of_step(step: Planned) -> list[str]:
    """Labels of the parameters that the user tells in a step."""
    return [step.meaning.labels.get(name) or name_words(name) for name in step.sources]


def next_step(
    sketch: Sketch,
    before: Sequence[Planned],
    wave: int,
    slot: int,
    again: str,
    sizes: Sequence[int],
    target: Target,
    trail: Trail,
    world: World,
    rng: random.Random,
) -> Planned | None:
    """The next step, called and taken into the sketch; ``None`` where no tool would do.

    ``again``: a tool of this wave to call once more, for another record.
    """
    remaining = len(sizes) - wave
    earlier = sorted(before, key=lambda step: (-step.wave, rng.random()))
    ranked = ranking(sketch, earlier, again, remaining, len(sizes), target, trail, rng)
    fallback: tuple[ToolSpec, Filling, Json, Any] | None = None
    for tool in ranked[:CANDIDATES]:
        for _ in range(REFILLS):
            found = try_tool(tool, sketch, earlier, target, trail, world, rng)
            if found is None:
                continue
            filling, state, observation = found
            if not beside(sketch, wave, tool, filling, observation, trail, world):
                continue
            if confusing(sketch, tool, filling, observation, wave, trail):
                continue
            if wave and not filling.needs:
                fallback = fallback or (tool, filling, state, observation)
                break
            if remaining > 1 and not leads_on(tool, observation, trail):
                fallback = fallback or (tool, filling, state, observation)
                break
            return take(sketch, tool, filling, state, observation, before, wave, slot, trail)
    if fallback is None:
        return None
    tool, filling, state, observation = fallback
    return take(sketch, tool, filling, state, observation, before, wave, slot, trail)


def confusing(
    sketch: Sketch, tool: ToolSpec, filling: Filling, observation: Any, wave: int, trail: Trail
) -> bool:
    """Whether the user's words for what the step works on could mean another record, too."""
    step = planned(f"s{len(sketch.steps) + 1}", tool, filling, observation, wave, (), trail)
    return step.id in unclear([*sketch.steps, step], sketch.facts | filling.facts)


def planned(
    identity: str,
    tool: ToolSpec,
    filling: Filling,
    observation: Any,
    wave: int,
    after: tuple[str, ...],
    trail: Trail,
) -> Planned:
    """The step of a call that was tried."""
    return Planned(
        id=identity,
        tool=tool,
        meaning=trail.meanings[tool.name],
        sources=filling.sources,
        values=filling.values,
        observation=observation,
        wave=wave,
        needs=tuple(dict.fromkeys(filling.needs)),
        items=tuple(filling.items),
        after=after,
        told=tuple(filling.facts),
    )


def beside(
    sketch: Sketch,
    wave: int,
    tool: ToolSpec,
    filling: Filling,
    observation: Any,
    trail: Trail,
    world: World,
) -> bool:
    """Whether a call fits into its wave, and shows or does something that no earlier step did."""
    meaning = trail.meanings[tool.name]
    seen = plain(observation)
    asked = plain(filling.values)
    if not meaning.writes and any(
        plain(step.observation) == seen
        or (plain(step.values) == asked and step.meaning.entity == meaning.entity and asked != "{}")
        for step in sketch.steps
    ):
        return False
    new = Made(tool.server, tool.name, filling.values, observation, meaning.writes, meaning.verb == "create")
    return fits_beside(world, sketch.opened, [step for step in sketch.steps if step.wave == wave], new)


def ranking(
    sketch: Sketch,
    earlier: Sequence[Planned],
    again: str,
    remaining: int,
    waves: int,
    target: Target,
    trail: Trail,
    rng: random.Random,
) -> list[ToolSpec]:
    """The tools in a seeded order, the likelier the better they fit here."""
    ready: dict[str, float] = {}
    for rank, step in enumerate(earlier):
        for edge in trail.edges:
            if edge.source == f"{step.tool.server}/{step.tool.name}":
                ready[edge.target] = max(
                    ready.get(edge.target, 0.0), edge.confidence * (1.0 if rank == 0 else 0.6)
                )
    weighted = []
    first = not earlier
    alone = waves == 1
    table = ALONE if alone else FIRST if first else LAST if remaining == 1 else MIDDLE
    for tool in trail.tools:
        name = f"{tool.server}/{tool.name}"
        meaning = trail.meanings[tool.name]
        weight = table[meaning.verb] * trail.clarity[tool.name] ** 2
        if tool.name in trail.wanted:
            weight *= WANTED
        if tool.name == again:
            weight *= 40.0
        elif any(
            step.tool.name == tool.name and step.id not in {one.id for one in earlier}
            for step in sketch.steps
        ):
            continue
        elif tool.name in sketch.used:
            weight *= 0.02
        if not first:
            weight *= 1.0 + 30.0 * ready.get(name, 0.0)
        if remaining > 1:
            weight *= 8.0 if trail.reach[name] >= remaining else 1.0 if trail.reach[name] > 1 else 0.1
        no_arguments = not required_of(resolve(tool.input_schema))
        if no_arguments and (alone or not first):
            weight *= 0.3
        if no_arguments and (target.shape == "parallel" or "clarifies" in target.flags):
            weight *= 0.4
        if any(
            step.meaning.verb == "create" and step.meaning.entity == meaning.entity for step in earlier
        ) and (meaning.verb in ("get", "list", "search", "delete")):
            weight *= 0.25
        weighted.append((rng.random() ** (1.0 / max(weight, 1e-6)), tool.name, tool))
    return [tool for _, _, tool in sorted(weighted, key=lambda entry: (-entry[0], entry[1]))]


def try_tool(
    tool: ToolSpec,
    sketch: Sketch,
    earlier: Sequence[Planned],
    target: Target,
    trail: Trail,
    world: World,
    rng: random.Random,
) -> tuple[Filling, Json, Any] | None:
    """Arguments for the tool, the state after the call and its observation; ``None`` if it cannot be.

    Nobody reschedules a meeting to the time that it has: a write that would leave the world as it was is
    tried once more with everything said anew.
    """
    for anew in (False, True):
        tried = try_once(tool, sketch, earlier, target, trail, world, rng, anew=anew)
        idle = tried is not None and trail.meanings[tool.name].writes and alike(tried[1], sketch.state)
        if not idle:
            return tried
    return None


def try_once(
    tool: ToolSpec,
    sketch: Sketch,
    earlier: Sequence[Planned],
    target: Target,
    trail: Trail,
    world: World,
    rng: random.Random,
    *,
    anew: bool,
) -> tuple[Filling, Json, Any] | None:
    """See ``try_tool``; ``anew``: no value that the plan has already is used again but for context."""
    meaning = trail.meanings[tool.name]
    same = [step for step in sketch.steps if step.tool.name == tool.name]
    fresh, creates = anew or bool(same), anew or meaning.verb == "create"
    filler = Filler(world, sketch.state, tool, meaning.labels, sketch.facts, rng, fresh, creates)
    bare = not required_of(resolve(tool.input_schema))
    chance = 0.85 if bare else 0.3 if meaning.verb in ("list", "search", "create", "update") else 0.1
    optional = (1 if rng.random() < 0.7 else 2) if rng.random() < chance else 0
    optional = max(optional, target.conditions)
    if meaning.verb == "update" and len(required_of(resolve(tool.input_schema))) < 2:
        optional = max(optional, 1)
    readable = () if target.shape == "parallel" else earlier
    try:
        filling = filler.fill(readable, trail.edges, optional)
    except Unfillable:
        return None
    if any(step.values == filling.values or same_thing(step, filling) for step in same):
        return None
    beside_it = [step for step in same if step.wave > max((one.wave for one in earlier), default=-1)]
    if any(step.values.keys() != filling.values.keys() for step in beside_it):
        # The user speaks of both at once ("the meetings of the first two calendars"): no condition on one.
        return None
    if backwards(filling.values) or changes_nothing(meaning, filling):
        return None
    filling.renamed = filler.renamed
    state, observation = trail.call(world, sketch.state, tool.name, filling.values)
    if observation.error:
        return None
    return filling, state, observation.content


def changes_nothing(meaning: Meaning, filling: Filling) -> bool:
    """Whether a call that updates a record says nothing of what is to change."""
    plain_update = meaning.phrases[0].startswith(("update", "change", "edit", "modify", "make a change"))
    return plain_update and not any(
        not isinstance(source, FromStep) and not name_words(name).endswith((" ID", "ID"))
        for name, source in filling.sources.items()
    )


def backwards(values: Json) -> bool:
    """Whether a period ends before it begins."""
    texts = {snake(name): value for name, value in values.items() if isinstance(value, str)}
    for first, last in BOUNDS:
        starts = [text for name, text in texts.items() if first in name.split("_")]
        ends = [text for name, text in texts.items() if last in name.split("_")]
        if starts and ends and DATED.match(starts[0]) and DATED.match(ends[0]) and ends[0] <= starts[0]:
            return True
    return False


def same_thing(step: Planned, filling: Filling) -> bool:
    """Whether two calls of one tool work on the same element of an earlier result."""
    read = {plain(source.model_dump()) for source in step.sources.values() if source.kind in ("step", "list")}
    return bool(read) and any(plain(source.model_dump()) in read for source in filling.sources.values())


def leads_on(tool: ToolSpec, observation: Any, trail: Trail) -> bool:
    """Whether something of the observation can be an argument of another tool."""
    name = f"{tool.server}/{tool.name}"
    return any(edge.source == name and holds(observation, edge.path) for edge in trail.edges)


def holds(value: Any, path: Sequence[str]) -> bool:
    """Whether there is anything at a path with ``*`` in it."""
    for index, part in enumerate(path):
        if isinstance(value, list):
            rest = path[index + 1 :] if part == "*" else path[index:]
            return any(holds(item, rest) for item in value[:8])
        if part == "*":
            continue
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return value is not None and value not in ("", [])


def take(
    sketch: Sketch,
    tool: ToolSpec,
    filling: Filling,
    state: Json,
    observation: Any,
    before: Sequence[Planned],
    wave: int,
    slot: int,
    trail: Trail,
) -> Planned:
    """Adds the step to the sketch. What it waits for beside its data: all of the wave before it."""
    needs = tuple(dict.fromkeys(filling.needs))
    previous = [step for step in before if step.wave == wave - 1]
    reaches = any(step.id in needs for step in previous)
    single_file = len(previous) > 1 and slot == 0
    after = tuple(step.id for step in previous if step.id not in needs) if not reaches or single_file else ()
    step = planned(f"s{len(sketch.steps) + 1}", tool, filling, observation, wave, after, trail)
    sketch.steps.append(step)
    sketch.facts |= filling.facts
    for name, label in filling.renamed.items():
        sketch.facts[name] = sketch.facts[name].model_copy(update={"label": label})
    sketch.state = state
    return step
