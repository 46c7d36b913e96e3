"""A look before the leap: a handful of trajectories, and what the whole would take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from schemas.evolution import CampaignSpec
from services.console.ledger import Ledger
from services.kit.models.openai_wire import is_sim_named

Json = dict[str, Any]
TRAJECTORIES: Final = 5


@dataclass(frozen=True, slots=True)
class Estimate:
    """What ``trajectories`` would take, failed attempts included, by the rate of the ``sample`` at hand.

    ``priced``: a cost was reported for at least one call, so that ``usd`` means something.
    """

    trajectories: int
    sample: int
    runs: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    usd: float
    priced: bool
    sim: bool

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens together."""
        return self.prompt_tokens + self.completion_tokens


def estimate(ledger: Ledger, spec: CampaignSpec) -> Estimate | None:
    """What ``spec`` would take, by what ``ledger`` has taken; None when nothing was admitted."""
    sample = ledger.admitted_count
    if not sample:
        return None
    usage, scale = ledger.usage, spec.trajectories / sample
    return Estimate(
        trajectories=spec.trajectories,
        sample=sample,
        runs=round(len(ledger.runs) * scale),
        calls=round(usage.calls * scale),
        prompt_tokens=round(usage.prompt_tokens * scale),
        completion_tokens=round(usage.completion_tokens * scale),
        usd=round(usage.usd * scale, 4),
        priced=usage.usd > 0,
        sim=all(is_sim_named(model.model) for model in spec.models.values()),
    )
