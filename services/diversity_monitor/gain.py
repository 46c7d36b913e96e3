"""What one more trajectory would add to a corpus: its marginal gain in bits. Ours, not the paper's.

The mean surprisal, under what is admitted so far, of its exact signature, its coarse mode and its domains:
−log2((n + 1) / (N + 1)) for a symbol of mass n among N trajectories, which is 0 for what all of them are and
log2(N + 1) for what none is. Of several domains the surprisals are weighed by their shares; a trajectory
without any is judged by the other two.

A gate on it compares with the mean gain of the trajectories admitted so far. Gains are summed in whole
thousandths of a bit, so that the sum does not depend on the order of its terms.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log2
from typing import Final

from schemas.diversity import Measurement

Mass = Callable[[str], float]

THOUSANDTHS: Final = 1000
WARM: Final = 20
"""Rows before any is judged by its gain: before them nearly everything is new."""


def gain_millibits(
    measurement: Measurement, admitted: int, signatures: Mass, modes: Mass, domains: Mass
) -> int:
    """The marginal gain in thousandths of a bit, given the masses of what is admitted."""
    total = log2(admitted + 1)
    bits = 2 * total - log2(signatures(measurement.signature) + 1) - log2(modes(measurement.mode) + 1)
    if not measurement.domains:
        return round(THOUSANDTHS / 2 * max(0.0, bits))
    for domain, share in measurement.domains.items():
        bits += share * (total - log2(domains(domain) + 1))
    return round(THOUSANDTHS / 3 * max(0.0, bits))
