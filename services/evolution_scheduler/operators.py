"""Operators: what a child aims at that its parent did not, and which of them to try next.

Each changes the structure of what happens, not the words: one more step after the others or beside them, a
condition more on every call, an error to recover from, a fact that has to be asked for, the tools of two
blueprints. Which one is tried is drawn by Thompson sampling: a Beta distribution over each operator's mean
reward, so that one that brings little is still tried now and then. Rewards: see ``archive``. Ours.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Final

from schemas.evolution import Flag, Operator, Shape, Target
from services.evolution_scheduler.terrain import aimed

MAX_CONDITIONS: Final = 2
OPERATORS: Final[tuple[Operator, ...]] = (
    "deepen",
    "widen",
    "constrain",
    "inject_fault",
    "make_vague",
    "cross",
)
FLAG_ORDER: Final[tuple[Flag, ...]] = ("clarifies", "recovers", "codes", "refuses")


def child(operator: Operator, parent: Target) -> Target | None:
    """What ``operator`` makes of a target; None where it changes nothing.

    - deepen: one call more that waits for another; a single call becomes a chain, parallel ones a dag.
    - widen: one call more beside another; a single call becomes parallel ones, a chain a dag.
    - constrain: one optional argument more on every call.
    - inject_fault, make_vague: the run has to recover, the assistant has to ask.
    - cross: the tools of two clusters; nothing else changes, and one call alone cannot be crossed.
    """
    shape, depth, flags = parent.shape, parent.depth, parent.flags
    match operator:
        case "deepen":
            deeper: Shape = "chain" if shape in ("single", "chain") else "dag"
            return aimed(parent.domain, deeper, depth + 1, flags, parent.conditions)
        case "widen" if shape != "dag":
            wider: Shape = "dag" if shape == "chain" else "parallel"
            return aimed(parent.domain, wider, depth + 1, flags, parent.conditions)
        case "constrain" if parent.conditions < MAX_CONDITIONS:
            return aimed(parent.domain, shape, depth, flags, parent.conditions + 1)
        case "inject_fault" if "recovers" not in flags:
            return aimed(parent.domain, shape, depth, _with(flags, "recovers"), parent.conditions)
        case "make_vague" if "clarifies" not in flags:
            return aimed(parent.domain, shape, depth, _with(flags, "clarifies"), parent.conditions)
        case "cross" if shape != "single":
            return parent
    return None


def choose(
    operators: Sequence[Operator], yields: Mapping[str, tuple[int, float]], rng: random.Random
) -> Operator:
    """One of them, by Thompson sampling over what each has brought."""

    def promise(operator: Operator) -> float:
        slots, reward = yields.get(operator, (0, 0.0))
        return rng.betavariate(1.0 + reward, 1.0 + max(0.0, slots - reward))

    return max([(promise(one), one) for one in operators])[1]


def _with(flags: Sequence[Flag], flag: Flag) -> tuple[Flag, ...]:
    return tuple(one for one in FLAG_ORDER if one in flags or one == flag)
