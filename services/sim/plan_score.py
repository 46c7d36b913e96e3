"""A plan being made, and how good it is to look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from schemas.blueprint import Fact
from schemas.evolution import Target
from services.sim.json_schema import plain
from services.sim.plan_steps import Planned
from services.sim.vocabulary import is_vague

Json = dict[str, Any]


@dataclass
class Sketch:
    """A plan being made: its steps so far, the facts that the user holds, and the world after them."""

    state: Json
    steps: list[Planned] = field(default_factory=list)
    facts: dict[str, Fact] = field(default_factory=dict)

    @property
    def used(self) -> set[str]:
        """Names of the tools that the steps call."""
        return {step.tool.name for step in self.steps}


def score(sketch: Sketch, target: Target) -> float:
    """How good a plan is to look at: data flows, something is achieved, and not too much has to be told."""
    steps = sketch.steps
    flowing = sum(bool(step.needs) for step in steps)
    possible = sum(step.wave > 0 for step in steps)
    value = 6.0 * flowing / possible if possible else 4.0
    value += 1.5 if any(step.meaning.writes for step in steps if step.wave == steps[-1].wave) else 0.0
    value -= 1.0 * sum(not step.values for step in steps)
    value -= 0.7 * max(0, len(sketch.facts) - 4)
    value -= 1.5 * any(step.meaning.writes and step.meaning.verb == "delete" for step in steps[:-1])
    names = [(step.tool.name, step.wave) for step in steps]
    value -= 3.0 * sum(
        len({wave for tool, wave in names if tool == name}) > 1 for name in sorted(sketch.used)
    )
    made = {step.id for step in steps if step.meaning.verb == "create"}
    value -= 2.5 * sum(step.meaning.verb == "delete" and bool(made & set(step.needs)) for step in steps)
    value -= 2.0 * sum(collides(one, other) for one in steps for other in steps)
    value -= 0.8 * sum(is_vague(fact) for fact in sketch.facts.values())
    if not sketch.facts:
        value -= 3.0 if "clarifies" in target.flags else 0.5
    return value


def collides(one: Planned, other: Planned) -> bool:
    """Whether ``one`` changes a record that ``other`` works on in the same wave: order would matter."""
    if one.id == other.id or one.wave != other.wave or one.meaning.verb not in ("update", "delete", "act"):
        return False
    mine, theirs = ({plain(value) for value in step.values.values()} for step in (one, other))
    return bool(mine & theirs)
