"""The gates of the corpus: what is refused although its run was verified, and on what evidence."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.diversity import Measurement
from services.diversity_monitor.corpus import Corpus


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
    signatures: dict[str, int] = field(default_factory=dict)

    def refusal(self, measurement: Measurement, signature_cap: int) -> Refusal | None:
        """The first gate that refuses this trajectory, or none. ``signature_cap`` 0 means no cap."""
        content = measurement.content_hash
        twin = self.corpus.rows.get(content, self.rows.get(content))
        if twin is not None:
            return Refusal("exact_duplicate", f"same content as row {twin} (hash {content})")
        signature = measurement.signature
        sharing = int(self.corpus.signatures.mass(signature)) + self.signatures.get(signature, 0)
        if 0 < signature_cap <= sharing:
            return Refusal(
                "signature_cap",
                f"{sharing} admitted trajectories have the signature {signature} already; "
                f"the cap is {signature_cap}",
            )
        return None

    def admit(self, measurement: Measurement) -> int:
        """Reckon with this trajectory as admitted; its row."""
        row = self.row
        self.row += 1
        self.rows[measurement.content_hash] = row
        self.signatures[measurement.signature] = self.signatures.get(measurement.signature, 0) + 1
        return row
