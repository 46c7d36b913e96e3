"""Shannon entropy of a growing distribution, kept up to date in O(1) per observation.

With masses n_s and total M, H = −Σ (n_s/M) log2 (n_s/M) = log2 M − (Σ n_s log2 n_s) / M, so it is
enough to keep M and Σ n log2 n. Every sum is kept as an unevaluated pair (value, rounding error), so
that the order of the observations does not show and the result equals the batch computation far
within 1e-9. Memory grows with the number of distinct symbols only.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from math import log2

from schemas.diversity import Entropy


class Tally:
    """Masses per symbol, and their entropy in bits."""

    __slots__ = ("_lows", "_masses", "_sum", "_sum_low", "_total", "_total_low")

    def __init__(self) -> None:
        self._masses: dict[str, float] = {}
        self._lows: dict[str, float] = {}
        self._total = self._total_low = 0.0
        self._sum = self._sum_low = 0.0

    def add(self, symbol: str, mass: float = 1.0) -> None:
        """Observe ``symbol`` with ``mass``.

        Raises:
            ValueError: unless ``mass`` is a positive finite number.
        """
        if not 0.0 < mass < math.inf:
            message = f"mass {mass!r} of {symbol!r}: only positive finite masses can be added"
            raise ValueError(message)
        old = self._masses.get(symbol, 0.0)
        new, rest = _add(old, mass + self._lows.get(symbol, 0.0))
        self._masses[symbol] = new
        if rest or symbol in self._lows:
            self._lows[symbol] = rest
        self._total, self._total_low = _add(self._total, mass + self._total_low)
        # Σ n log2 n: the terms cancel exactly, as each is taken off as it was put on.
        if old:
            self._sum, rest = _add(self._sum, -old * log2(old))
            self._sum_low += rest
        self._sum, rest = _add(self._sum, new * log2(new))
        self._sum_low += rest

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._masses

    def __iter__(self) -> Iterator[str]:
        return iter(self._masses)

    def mass(self, symbol: str) -> float:
        """The mass of ``symbol`` so far, 0 for one never seen."""
        return self._masses.get(symbol, 0.0)

    @property
    def total(self) -> float:
        """The sum of all masses."""
        return self._total

    @property
    def distinct(self) -> int:
        """How many different symbols were seen."""
        return len(self._masses)

    @property
    def bits(self) -> float:
        """The entropy in bits; 0 for fewer than two symbols."""
        if len(self._masses) < 2:
            return 0.0
        return max(0.0, log2(self._total) - (self._sum + self._sum_low) / self._total)

    def entropy(self, possible: int = 0) -> Entropy:
        """The entropy with its normalized form and perplexity.

        ``possible`` is the number of symbols that there could be; 0 where it is not known, and never
        taken for less than the number seen.
        """
        bits = self.bits
        symbols = max(possible, self.distinct)
        return Entropy(
            bits=bits,
            distinct=self.distinct,
            normalized=bits / log2(symbols) if symbols > 1 else 0.0,
            perplexity=2.0**bits,
        )


def _add(one: float, other: float) -> tuple[float, float]:
    """The rounded sum and its exact rounding error (Knuth's TwoSum)."""
    total = one + other
    virtual = total - one
    return total, (one - (total - virtual)) + (other - virtual)
