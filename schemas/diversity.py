"""Measured diversity, admission and steering. Owner: diversity-monitor."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import ClassVar, Final, get_args

from pydantic import Field

from schemas.envelope import Message, Value
from schemas.evolution import Flag, Shape

BAND_EDGES: Final = (6.0, 11.0, 20.0)
"""Lower edges of the complexity bands 1, 2 and 3, in units of cumulative action complexity.

Ours, not the paper's: with about ten tools on offer a call counts 3 to 4.5, so the bands come to about
one call, two, three or four, and five or more.
"""

DEPTH_EDGES: Final = (1, 2, 3, 5, 9)
DEPTH_BUCKETS: Final = ("0", "1", "2", "3-4", "5-8", "9+")


def depth_bucket(depth: int) -> str:
    """The bucket of a count of tool calls: 0, 1, 2, 3-4, 5-8 or 9+."""
    return DEPTH_BUCKETS[bisect_right(DEPTH_EDGES, depth)]


def coarse_mode(shape: Shape, depth: int, flags: Iterable[Flag] = ()) -> str:
    """Name of a coarse reasoning mode: ``chain/3-4``, ``single/1/clarifies+recovers``.

    ``depth`` counts tool calls; flags stand in the order of ``Flag``, whatever order they come in.
    """
    given = set(flags)
    names = "+".join(flag for flag in get_args(Flag) if flag in given)
    return f"{shape}/{depth_bucket(depth)}" + (f"/{names}" if names else "")


class Entropy(Value):
    """Shannon entropy of a distribution over ``distinct`` symbols, in bits.

    ``normalized`` is bits / log2(possible) where the number of possible symbols is known, else
    bits / log2(distinct), 0 for fewer than two symbols; ``perplexity`` is 2^bits.
    """

    bits: float = 0.0
    distinct: int = 0
    normalized: float = 0.0
    perplexity: float = 1.0


class Complexity(Value):
    """Cumulative action complexity over the admitted trajectories."""

    mean: float = 0.0
    p50: float = 0.0
    p90: float = 0.0
    per_step: float = 0.0
    histogram: tuple[int, ...] = ()
    """Counts per bin of width 4, the last bin open."""


class Figures(Value):
    """All cumulative figures of a campaign.

    ``ceiling_bits`` is log2 of ``admitted``: no plug-in entropy over one symbol a trajectory can be
    above it.
    """

    admitted: int = 0
    rejected: dict[str, int] = Field(default_factory=dict)
    domain: Entropy = Entropy()
    mode_exact: Entropy = Entropy()
    mode_coarse: Entropy = Entropy()
    ceiling_bits: float = 0.0
    complexity: Complexity = Complexity()
    tools: int = 0
    """Distinct tools that admitted trajectories really called."""


class Measurement(Value):
    """What one executed trajectory is, read off its actions.

    ``domains`` spreads one unit of mass over the domains of the tools it really called.
    """

    signature: str
    """Exact reasoning mode: the run-length-bucketed sequence of step kinds."""
    mode: str
    """Coarse reasoning mode: shape × depth bucket × flags."""
    domains: dict[str, float]
    complexity: float
    band: int
    steps: int
    tools: tuple[str, ...]
    content_hash: str


class DiversityMeasured(Message):
    """One verified trajectory, measured on arrival. Outside the campaign's sequence."""

    FAMILY: ClassVar[str] = "diversity"
    run: str
    campaign: str
    generation: int
    slot: int
    measurement: Measurement


class TrajectoryAdmitted(Message):
    """A trajectory is in the dataset, at ``row`` (from 0). Decided in (generation, slot) order."""

    FAMILY: ClassVar[str] = "diversity"
    campaign: str
    generation: int
    slot: int
    run: str
    row: int


class TrajectoryRejected(Message):
    """A verified trajectory that the corpus does not take, the gate that refused it, and the evidence."""

    FAMILY: ClassVar[str] = "diversity"
    campaign: str
    generation: int
    slot: int
    run: str
    gate: str
    evidence: str


class SteeringUpdated(Message):
    """A generation is closed: the figures so far, and what the planner should aim at next.

    ``weights`` are target weights per domain, mode and band (each sums to 1); ``avoid`` lists the
    over-represented exact signatures. ``version`` is generation + 1.
    """

    FAMILY: ClassVar[str] = "diversity"
    campaign: str
    generation: int
    version: int
    figures: Figures
    domain_weights: dict[str, float] = Field(default_factory=dict)
    mode_weights: dict[str, float] = Field(default_factory=dict)
    band_weights: dict[str, float] = Field(default_factory=dict)
    avoid: tuple[str, ...] = ()
