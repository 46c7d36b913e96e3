"""diversity-monitor's wiring: a pure fold of whole topics, without adapters to the world."""

from __future__ import annotations

from schemas.topics import DIVERSITY_EVENTS, EVOLUTION_EVENTS, RUN_EVENTS
from services.diversity_monitor import domain
from services.kit.kafka.hosting import on_kafka
from services.kit.service import Decider


def service() -> Decider:
    """The service. Rejected blueprints do not concern it: a slot without a run ends by SlotAbandoned."""
    return Decider(
        name="diversity-monitor",
        inputs=(RUN_EVENTS, EVOLUTION_EVENTS, DIVERSITY_EVENTS),
        initial=domain.initial,
        evolve=domain.evolve,
        decide=domain.decide,
        folds=frozenset(domain.FOLDS),
    )


__getattr__ = on_kafka(service)
