"""Cumulative action complexity of a trajectory, and its distribution over a corpus.

CAC = Σ over actions of w_kind + log2(1 + args) + dependent args + ½·[domain switch]
+ ¼·log2(1 + candidate tools). The paper names the measure; this formula is ours (DESIGN §6).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable
from typing import Final

from schemas.diversity import BAND_EDGES, Complexity
from schemas.run import Action, ActionKind
from services.diversity_monitor.trace import Move, moves

WEIGHTS: Final[dict[ActionKind, float]] = {
    "read": 1.0,
    "write": 1.5,
    "code": 2.0,
    "clarify": 0.5,
    "confirm": 0.5,
    "refuse": 0.0,
    "answer": 0.0,
}
RECOVERY: Final = 2.0
"""Weight, instead of its kind's, of a retry and of the first call that takes another way."""
SWITCH: Final = 0.5
CANDIDATES: Final = 0.25

RESOLUTION: Final = 100
"""Bins per unit of complexity: quantiles are off by at most half a bin, 0.005."""
CEILING: Final = 1000.0
"""Quantiles see anything above as this, which bounds the bins at 100,001."""
HISTOGRAM_WIDTH: Final = 4.0
HISTOGRAM_BINS: Final = 12


def complexity(actions: Iterable[Action]) -> float:
    """Cumulative action complexity of a trace; 0 for an empty one.

    An identical repeat counts 0 and is passed over: it makes no domain switch either. A switch is a
    call whose domain is not that of the call with a domain before it.
    """
    return cumulative(moves(actions))


def cumulative(trace: Iterable[Move]) -> float:
    """``complexity`` of a trace already read."""
    total = 0.0
    domain = ""
    for move in trace:
        recovers = move.backtracks
        for action in move.actions:
            if action.repeat:
                continue
            if action.retry or recovers:
                total += RECOVERY
                recovers = False
            else:
                total += WEIGHTS[action.kind]
            total += math.log2(1 + action.arguments) + action.dependent
            total += CANDIDATES * math.log2(1 + action.candidates)
            if move.calls and action.domain and action.domain != domain:
                if domain:
                    total += SWITCH
                domain = action.domain
    return total


def band(value: float) -> int:
    """The complexity band, 0 to 3, of a cumulative action complexity; edges belong to the band above."""
    return bisect_right(BAND_EDGES, value)


class Spread:
    """The distribution of complexity over trajectories, in bounded memory."""

    __slots__ = ("_bins", "_count", "_histogram", "_rest", "_steps", "_sum")

    def __init__(self) -> None:
        self._count = self._steps = 0
        self._sum = self._rest = 0.0
        self._bins: dict[int, int] = {}
        self._histogram = [0] * HISTOGRAM_BINS

    def add(self, value: float, steps: int) -> None:
        """Take in a trajectory of ``steps`` actions and complexity ``value``."""
        self._count += 1
        self._steps += steps
        total = self._sum + value
        self._rest += (self._sum - total) + value if self._sum >= value else (value - total) + self._sum
        self._sum = total
        index = round(min(value, CEILING) * RESOLUTION)
        self._bins[index] = self._bins.get(index, 0) + 1
        self._histogram[min(int(value / HISTOGRAM_WIDTH), HISTOGRAM_BINS - 1)] += 1

    def summary(self) -> Complexity:
        """Mean (exact to rounding), quantiles (off by at most 0.005), histogram, complexity per step.

        Quantiles are nearest-rank: the least value that at least that share of trajectories does not
        exceed. ``per_step`` is the sum of all complexity over the sum of all steps.
        """
        if not self._count:
            return Complexity(histogram=tuple(self._histogram))
        total = self._sum + self._rest
        p50, p90 = self._quantiles(0.5, 0.9)
        return Complexity(
            mean=total / self._count,
            p50=p50,
            p90=p90,
            per_step=total / self._steps if self._steps else 0.0,
            histogram=tuple(self._histogram),
        )

    def _quantiles(self, *shares: float) -> list[float]:
        """Nearest-rank quantiles of ascending ``shares``."""
        result: list[float] = []
        seen = 0
        for index in sorted(self._bins):
            seen += self._bins[index]
            while len(result) < len(shares) and seen >= math.ceil(shares[len(result)] * self._count):
                result.append(index / RESOLUTION)
        return result
