"""A plan being made, and how good it is to look at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.blueprint import Fact, FromFact
from schemas.evolution import Target
from services.sim.json_schema import plain, resolve
from services.sim.plan_answers import mute
from services.sim.plan_clauses import awkward
from services.sim.plan_references import unclear
from services.sim.plan_steps import Planned, required_of, scalars
from services.sim.vocabulary import is_vague

Json = dict[str, Any]

ENDING: Final = frozenset(
    ("cancel", "call", "discard", "delete", "remove", "archive", "revoke", "end", "trash", "throw", "close",
     "stop", "reject", "decline", "withdraw", "take", "turn", "disable", "deactivate", "destroy", "drop",
     "clear", "put")
)  # fmt: skip
"""First words of clauses that end something."""


@dataclass
class Sketch:
    """A plan being made: its steps so far, the facts that the user holds, and the world after them.

    ``opened`` is the world before the current wave.
    """

    state: Json
    opened: Json
    steps: list[Planned] = field(default_factory=list)
    facts: dict[str, Fact] = field(default_factory=dict)

    @property
    def used(self) -> set[str]:
        """Names of the tools that the steps call."""
        return {step.tool.name for step in self.steps}


def score(sketch: Sketch, target: Target) -> float:
    """How good a plan is to look at: data flows, something is achieved, and not too much has to be told.

    6 for a plan whose later steps all work on what earlier ones returned (or that has no later steps),
    up to 7.5 for one that ends with a change; penalties for what a person would not ask for.
    """
    steps = sketch.steps
    flowing = sum(bool(step.needs) for step in steps)
    possible = sum(step.wave > 0 for step in steps)
    value = 6.0 * flowing / possible if possible else 6.0
    value += 1.5 if any(step.meaning.writes for step in steps if step.wave == steps[-1].wave) else 0.0
    value -= sum(1.8 if step.meaning.writes else 1.0 for step in steps if not step.values)
    value -= 0.7 * max(0, len(sketch.facts) - 4)
    value -= 1.5 * any(step.meaning.writes and step.meaning.verb == "delete" for step in steps[:-1])
    value -= 1.2 * idle(steps)
    value -= 1.0 * unrelated(steps)
    names = [(step.tool.name, step.wave) for step in steps]
    value -= 3.0 * sum(
        len({wave for tool, wave in names if tool == name}) > 1 for name in sorted(sketch.used)
    )
    made = {step.id for step in steps if step.meaning.verb == "create"}
    value -= 2.5 * sum(step.meaning.verb == "delete" and bool(made & set(step.needs)) for step in steps)
    value -= 2.5 * undone(steps)
    creations = [(step.meaning.entity, step.tool.name) for step in steps if step.meaning.verb == "create"]
    value -= 1.5 * (len(dict.fromkeys(creations)) - len(dict.fromkeys(entity for entity, _ in creations)))
    value -= 1.5 * awkward(steps, sketch.facts)
    value -= 1.5 * mute(steps, sketch.facts)
    value -= 6.0 * len(unclear(steps, sketch.facts))
    value -= 0.8 * sum(is_vague(fact) for fact in sketch.facts.values())
    if not sketch.facts:
        value -= 3.0 if "clarifies" in target.flags else 0.5
    return value


def askable(sketch: Sketch) -> list[str]:
    """Names of the facts that the user may keep back: those that a required argument takes as they are."""
    needed = [
        source.fact
        for step in sketch.steps
        for name in required_of(resolve(step.tool.input_schema))
        if isinstance(source := step.sources.get(name), FromFact)
    ]
    return [
        name
        for name in dict.fromkeys(needed)
        if name in sketch.facts and not isinstance(sketch.facts[name].value, bool)
    ]


def idle(steps: Sequence[Planned]) -> int:
    """How many steps before the last wave only read, and nothing works on what they return."""
    needed = {name for step in steps for name in step.needs}
    last = max(step.wave for step in steps)
    return sum(not step.meaning.writes and step.wave < last and step.id not in needed for step in steps)


def unrelated(steps: Sequence[Planned]) -> int:
    """How many steps of the first wave have nothing to do with the rest of it.

    Steps belong together that call one tool, speak of one entity, or name the same thing.
    """
    first = [step for step in steps if step.wave == 0]
    return sum(
        len(first) > 1 and not any(akin(step, other) for other in first if other.id != step.id)
        for step in first
    )


def akin(one: Planned, other: Planned) -> bool:
    """Whether two steps share the tool, the entity, or a value that names something."""
    if one.tool.name == other.tool.name or one.meaning.entity == other.meaning.entity:
        return True
    mine = {plain(value) for value in one.values.values() if isinstance(value, str | list)}
    return any(plain(value) in mine for value in other.values.values())


def undone(steps: Sequence[Planned]) -> int:
    """How many steps take back, end or remove what an earlier step of the plan has made or changed."""
    return sum(
        step.meaning.verb in ("delete", "act")
        and step.meaning.phrases[0].partition(" ")[0] in ENDING
        and any(earlier.meaning.writes and meets(earlier, step) for earlier in steps[:index])
        for index, step in enumerate(steps)
    )


def meets(earlier: Planned, step: Planned) -> bool:
    """Whether a step works on the record that an earlier one was given or returned."""
    touched = {plain(value) for value in earlier.values.values()}
    touched |= {plain(value) for _, value in scalars(earlier.observation)}
    return any(isinstance(value, str) and plain(value) in touched for value in step.values.values())
