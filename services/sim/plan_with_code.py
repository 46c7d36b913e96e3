"""Plans with code in them: a plan of tool calls first, then work on what they return, then what needs it.

Code comes last, and the answer reports its result; or it picks one of many records, and a last call works on
that one. For a join, one more list is read where the plan has no two that belong together.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from schemas.blueprint import Aggregate
from schemas.catalog import Edge
from schemas.diversity import depth_bucket
from schemas.evolution import Shape, Target
from services.sim.code_tool import CODE_SERVER, CODE_TOOL, code_tool
from services.sim.plan_code import Coded, joins, superlative, tied, tried, works
from services.sim.plan_references import LISTING
from services.sim.plan_score import Sketch
from services.sim.plan_search import confusing, parameter_names, search, take, try_tool
from services.sim.plan_steps import Planned
from services.sim.plan_survey import Trail
from services.sim.plan_tables import NUMBERS, Table, tables
from services.sim.vocabulary import snake
from services.worlds.world import Meaning, World

Json = dict[str, Any]

Way = Literal["last", "join", "pick"]
"""How code stands in a plan: after the last call; after one more list, for a join; before one more call."""
WAYS: Final[Mapping[Way, float]] = {"last": 0.5, "pick": 0.3, "join": 1.2}
"""How likely each is tried before the others, where it is possible at all."""
TRIES: Final = 2
"""Searches of each way."""


@dataclass(frozen=True, slots=True)
class CodedSketch:
    """A plan of tool calls and the works that can be asked for in it.

    ``step`` is the step of code among the sketch's, where a call comes after it; else it comes last.
    """

    sketch: Sketch
    works: tuple[Coded, ...]
    step: Planned | None = None

    @property
    def calls(self) -> list[Planned]:
        """The steps that call tools of the world."""
        return [one for one in self.sketch.steps if one is not self.step]


def ways(trail: Trail, rng: random.Random) -> list[Way]:
    """The ways in the order in which they are tried; no join where no two lists can belong together."""
    possible = [way for way in WAYS if way != "join" or joinable(trail)]
    order = sorted(possible, key=lambda way: rng.random() ** (1.0 / WAYS[way]), reverse=True)
    return order * TRIES


def joinable(trail: Trail) -> bool:
    """Whether the records of two lists hold an identifier of the same name, as far as the schemas say."""
    seen: set[str] = set()
    for tool in trail.tools:
        meaning = trail.meanings[tool.name]
        if meaning.writes or meaning.verb not in LISTING:
            continue
        names = {name for name in parameter_names(tool.output_schema) if NUMBERS.search(snake(name))}
        if names & seen:
            return True
        seen |= names
    return False


def coded_sketch(
    way: Way, target: Target, trail: Trail, world: World, state: Json, rng: random.Random
) -> CodedSketch | None:
    """A plan for the target with code in it this way; ``None`` where none was found."""
    more = way != "last"
    bases = without_code(target, 1 + more)
    if not bases:
        return None
    base, seed = bases[rng.randrange(len(bases))], rng.random()

    def grown(sketch: Sketch) -> CodedSketch | None:
        if way == "pick":
            return picked(sketch, target, trail, world, seed)
        return ended(sketch, seed) if way == "last" else joined(sketch, target, trail, world, seed)

    def wanted(sketch: Sketch) -> bool:
        deep = depth_bucket(len(sketch.steps) + 1 + more) == depth_bucket(target.depth)
        return deep and grown(sketch) is not None

    sketch = search(base, trail, world, state, rng, wanted)
    return grown(sketch) if sketch is not None else None


def without_code(target: Target, fewer: int) -> list[Target]:
    """The targets that are this one when so many steps come after them, one by one."""
    depth = target.depth - fewer
    shapes: list[Shape] = []
    if target.shape == "chain" and depth > 0:
        shapes.append("single" if depth == 1 else "chain")
    elif target.shape == "dag" and depth > 1:
        shapes.append("parallel")
        if depth > 2:
            shapes.append("dag")
    return [target.model_copy(update={"shape": shape, "depth": depth}) for shape in shapes]


def ended(sketch: Sketch, seed: float) -> CodedSketch | None:
    """Code after the last call."""
    found = works(sketch.steps, sketch.facts, random.Random(f"{seed}/works"))
    return CodedSketch(sketch, tuple(found)) if found else None


def joined(sketch: Sketch, target: Target, trail: Trail, world: World, seed: float) -> CodedSketch | None:
    """One more list, and code that puts it together with one that the plan has."""
    wave = sketch.steps[-1].wave + 1
    earlier = sorted(sketch.steps, key=lambda step: -step.wave)
    rng = random.Random(f"{seed}/joined")
    for tool in rng.sample(trail.tools, len(trail.tools)):
        meaning = trail.meanings[tool.name]
        if meaning.writes or meaning.verb not in LISTING or tool.name in sketch.used:
            continue
        longer = replace(sketch, steps=list(sketch.steps), facts=dict(sketch.facts))
        made = try_tool(tool, longer, earlier, target, trail, world, rng)
        if made is None or confusing(longer, tool, made[0], made[2], wave, trail):
            continue
        take(longer, tool, *made, sketch.steps, wave, 0, trail)
        found = [tried(one, longer.steps, longer.facts) for one in joins(longer.steps, rng)]
        good = tuple(one for one in found if one is not None)
        if good:
            return CodedSketch(longer, good)
    return None


def picked(sketch: Sketch, target: Target, trail: Trail, world: World, seed: float) -> CodedSketch | None:
    """Code that picks a record of a list by its extreme, and one more call that works on that one."""
    rng = random.Random(f"{seed}/picked")
    wave = sketch.steps[-1].wave + 1
    every = list(picks(sketch.steps, trail, rng))
    rng.shuffle(every)
    for table, coded, edge in every:
        tool = next(one for one in trail.tools if f"{one.server}/{one.name}" == edge.target)
        if tool.name in sketch.used:
            continue
        code = Planned(
            id=f"s{len(sketch.steps) + 1}",
            tool=code_tool(()),
            meaning=Meaning("get", table.noun, False, (coded.text,), {}),
            sources={},
            values={},
            observation=coded.result,
            wave=wave,
            needs=(table.step.id,),
            items=(),
            after=tuple(step.id for step in sketch.steps if step.wave == wave - 1),
        )
        longer = replace(sketch, steps=[*sketch.steps, code], facts=dict(sketch.facts))
        led = replace(trail, edges=(edge,))
        made = try_tool(tool, longer, [code], target, led, world, rng)
        if made is None or code.id not in made[0].needs:
            continue
        if confusing(longer, tool, made[0], made[2], wave + 1, trail):
            continue
        take(longer, tool, *made, list(longer.steps), wave + 1, 0, trail)
        return CodedSketch(longer, (coded,), code)
    return None


def picks(steps: Sequence[Planned], trail: Trail, rng: random.Random) -> Iterator[tuple[Table, Coded, Edge]]:
    """Extremes of lists whose records other tools work on, each with the edge from code to such a tool."""
    for table in tables(steps):
        place = (*(part for part in table.sources[0].path if isinstance(part, str)), "*")
        source = f"{table.step.tool.server}/{table.step.tool.name}"
        for edge in trail.edges:
            if edge.source != source or edge.path[:-1] != place or edge.path[-1] not in table.rows[0]:
                continue
            key = edge.path[-1]
            if len(set(map(str, (row.get(key) for row in table.rows)))) < len(table.rows):
                continue
            for field in (*table.measures(), *table.dates()):
                by = rng.choice(("highest", "lowest"))
                if tied(table.column(field), by):
                    continue
                extreme = superlative(table, field, by)
                work = Aggregate.model_validate(
                    {"rows": table.sources, "field": field, "by": by, "show": key}
                )
                coded = Coded(work, f"find the {table.noun} with the {extreme}", ((extreme, (by,)),))
                good = tried(coded, steps, {})
                if good is not None:
                    code = f"{CODE_SERVER}/{CODE_TOOL}"
                    yield table, good, edge.model_copy(update={"source": code, "path": ("of",)})
