"""Measured diversity, admission and steering. Owner: diversity-monitor."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from schemas.envelope import Message, Value


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
