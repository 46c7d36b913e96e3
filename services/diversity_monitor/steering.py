"""What the next plans should aim at: target weights, and signatures to avoid. Ours, not the paper's."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Mapping
from typing import Final

SMOOTHING: Final = 0.25
"""In units of the mean mass: an unseen symbol weighs (1 + 0.25) / 0.25 = 5 times one at the mean."""
AVOIDED: Final = 20
OVERREPRESENTED: Final = 2.0
"""Times the mean count of a signature, above which it is over-represented."""


def inverse_weights(masses: Mapping[str, float]) -> dict[str, float]:
    """Target weights that fill up what is rare: w_s ∝ 1 / (n_s + ¼·mean of n); they sum to 1.

    Uniform where nothing was seen yet; empty for no symbols. In the order of ``masses``.
    """
    if not masses:
        return {}
    floor = SMOOTHING * math.fsum(masses.values()) / len(masses)
    if floor == 0.0:
        return dict.fromkeys(masses, 1.0 / len(masses))
    weights = {symbol: 1.0 / (mass + floor) for symbol, mass in masses.items()}
    total = math.fsum(weights.values())
    return {symbol: weight / total for symbol, weight in weights.items()}


class Commonest:
    """The most frequent signatures, at most ``AVOIDED`` of them, kept while counts grow.

    Counts never shrink, so one that has fallen off the list can only come back by its own growth:
    the list is exact, at a cost that does not depend on how many signatures there are.
    """

    __slots__ = ("_counts", "_ranked")

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._ranked: list[tuple[int, str]] = []

    def grew(self, signature: str, count: int) -> None:
        """``signature`` has now been counted ``count`` times."""
        entry = (-count, signature)
        known = self._counts.get(signature)
        if known is not None:
            del self._ranked[bisect_left(self._ranked, (-known, signature))]
        elif len(self._ranked) == AVOIDED:
            if entry >= self._ranked[-1]:
                return
            del self._counts[self._ranked.pop()[1]]
        insort(self._ranked, entry)
        self._counts[signature] = count

    def overrepresented(self, total: float, distinct: int) -> tuple[str, ...]:
        """Those whose share of ``total`` is above 2 / ``distinct``; most frequent first, then by name."""
        return tuple(
            signature for count, signature in self._ranked if -count * distinct > OVERREPRESENTED * total
        )
