"""The gates of the corpus: what is refused although its run was verified, and on what evidence."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from schemas.diversity import Measurement
from services.diversity_monitor.corpus import Corpus
from services.diversity_monitor.gain import THOUSANDTHS, WARM, gain_millibits


@dataclass(frozen=True, slots=True)
class Refusal:
    """The gate that refused, by a name that can be counted, and why, in words."""

    gate: str
    evidence: str


@dataclass(slots=True)
class Prospect:
    """A corpus, and beyond it what the batch being decided would add."""

    corpus: Corpus
    row: int
    """The next row."""
    rows: dict[str, int] = field(default_factory=dict)
    signatures: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    domains: dict[str, float] = field(default_factory=dict)
    gained: int = 0

    def refusal(self, measurement: Measurement, signature_cap: int, min_gain: float = 0.0) -> Refusal | None:
        """The first gate that refuses this trajectory, or none.

        ``signature_cap`` 0 means no cap; ``min_gain`` is a share of the mean gain so far, 0 for no such gate.
        """
        content = measurement.content_hash
        twin = self.corpus.rows.get(content, self.rows.get(content))
        if twin is not None:
            return Refusal("exact_duplicate", f"same content as row {twin} (hash {content})")
        signature = measurement.signature
        sharing = int(self._signature(signature))
        if 0 < signature_cap <= sharing:
            return Refusal(
                "signature_cap",
                f"{sharing} admitted trajectories have the signature {signature} already; "
                f"the cap is {signature_cap}",
            )
        admitted = self._admitted
        if min_gain > 0 and admitted >= WARM:
            gain = self._gain(measurement)
            mean = (self.corpus.gained + self.gained) / admitted
            if gain < min_gain * mean:
                return Refusal(
                    "marginal_gain",
                    f"it would add {gain / THOUSANDTHS:.3f} bits; the {admitted} admitted trajectories have "
                    f"added {mean / THOUSANDTHS:.3f} each, and at least {min_gain:g} times that is asked for",
                )
        return None

    def admit(self, measurement: Measurement) -> int:
        """Reckon with this trajectory as admitted; its row."""
        self.gained += self._gain(measurement)
        row = self.row
        self.row += 1
        self.rows[measurement.content_hash] = row
        self.signatures[measurement.signature] += 1
        self.modes[measurement.mode] += 1
        for domain, mass in measurement.domains.items():
            self.domains[domain] = self.domains.get(domain, 0.0) + mass
        return row

    @property
    def _admitted(self) -> int:
        return self.corpus.admitted + len(self.rows)

    def _gain(self, measurement: Measurement) -> int:
        return gain_millibits(measurement, self._admitted, self._signature, self._mode, self._domain)

    def _signature(self, signature: str) -> float:
        return self.corpus.signatures.mass(signature) + self.signatures[signature]

    def _mode(self, mode: str) -> float:
        return self.corpus.modes.mass(mode) + self.modes[mode]

    def _domain(self, domain: str) -> float:
        return self.corpus.domains.mass(domain) + self.domains.get(domain, 0.0)
