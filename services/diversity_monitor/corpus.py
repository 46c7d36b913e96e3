"""The admitted trajectories of one campaign, as the figures see them: a fold in O(1) a trajectory."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from schemas.diversity import BAND_EDGES, Figures, Measurement, SteeringUpdated
from services.diversity_monitor.complexity import Spread
from services.diversity_monitor.entropy import Tally
from services.diversity_monitor.gain import gain_millibits
from services.diversity_monitor.steering import Commonest, inverse_weights

REMEMBERED: Final = 1 << 18
"""Rows whose content hashes are kept, the last ones: about 50 MB. A copy of an older row is not noticed."""


@dataclass(slots=True)
class Corpus:
    """All cumulative figures. Memory: the last ``REMEMBERED`` content hashes, and the distinct symbols."""

    rows: OrderedDict[str, int] = field(default_factory=OrderedDict)
    """Row of each admitted content hash, in the order of their admission."""
    admitted: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    domains: Tally = field(default_factory=Tally)
    signatures: Tally = field(default_factory=Tally)
    modes: Tally = field(default_factory=Tally)
    bands: list[int] = field(default_factory=lambda: [0] * (len(BAND_EDGES) + 1))
    spread: Spread = field(default_factory=Spread)
    tools: set[str] = field(default_factory=set)
    commonest: Commonest = field(default_factory=Commonest)
    gained: int = 0
    """Marginal gains of all that were admitted, each at its time, in thousandths of a bit."""

    def admit(self, measurement: Measurement, row: int) -> None:
        """Take in one admitted trajectory."""
        self.gained += self.gain(measurement)
        self.admitted += 1
        self.rows.setdefault(measurement.content_hash, row)
        if len(self.rows) > REMEMBERED:
            self.rows.popitem(last=False)
        for domain, mass in measurement.domains.items():
            self.domains.add(domain, mass)
        self.signatures.add(measurement.signature)
        self.commonest.grew(measurement.signature, int(self.signatures.mass(measurement.signature)))
        self.modes.add(measurement.mode)
        self.bands[measurement.band] += 1
        self.spread.add(measurement.complexity, measurement.steps)
        self.tools.update(measurement.tools)

    def gain(self, measurement: Measurement) -> int:
        """What this trajectory would add, in thousandths of a bit."""
        masses = (self.signatures.mass, self.modes.mass, self.domains.mass)
        return gain_millibits(measurement, self.admitted, *masses)

    def reject(self, gate: str) -> None:
        """Count one trajectory that ``gate`` refused."""
        self.rejected[gate] = self.rejected.get(gate, 0) + 1

    def figures(self, possible_domains: int) -> Figures:
        """The figures so far; ``possible_domains`` normalizes the domain entropy."""
        return Figures(
            admitted=self.admitted,
            rejected=dict(sorted(self.rejected.items())),
            domain=self.domains.entropy(possible_domains),
            mode_exact=self.signatures.entropy(),
            mode_coarse=self.modes.entropy(),
            ceiling_bits=math.log2(self.admitted) if self.admitted else 0.0,
            complexity=self.spread.summary(),
            tools=len(self.tools),
        )

    def steering(
        self, campaign: str, generation: int, domains: Sequence[str], modes: Sequence[str] = ()
    ) -> SteeringUpdated:
        """What to aim at after ``generation``; ``domains`` are those of the campaign, in its order.

        Modes are those of the campaign and those seen so far. A domain that is not among ``domains`` gets no
        weight.
        """
        known = sorted({*modes, *self.modes})
        return SteeringUpdated(
            campaign=campaign,
            generation=generation,
            version=generation + 1,
            figures=self.figures(len(domains)),
            domain_weights=inverse_weights({domain: self.domains.mass(domain) for domain in domains}),
            mode_weights=inverse_weights({mode: self.modes.mass(mode) for mode in known}),
            band_weights=inverse_weights({str(band): count for band, count in enumerate(self.bands)}),
            avoid=self.commonest.overrepresented(self.signatures.total, self.signatures.distinct),
        )
