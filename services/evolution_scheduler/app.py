"""Wiring of evolution-scheduler."""

from __future__ import annotations

from schemas.topics import (
    BLUEPRINT_COMMANDS,
    BLUEPRINT_EVENTS,
    CATALOG_EVENTS,
    DIVERSITY_EVENTS,
    EVOLUTION_COMMANDS,
    EVOLUTION_EVENTS,
    RUN_EVENTS,
    SANDBOX_STATUS,
)
from services.evolution_scheduler import domain, facts
from services.kit.kafka.hosting import on_kafka
from services.kit.service import Decider


def service() -> Decider:
    """The evolution-scheduler."""
    return Decider(
        name="evolution-scheduler",
        inputs=(
            CATALOG_EVENTS,
            SANDBOX_STATUS,
            EVOLUTION_COMMANDS,
            EVOLUTION_EVENTS,
            BLUEPRINT_COMMANDS,
            BLUEPRINT_EVENTS,
            RUN_EVENTS,
            DIVERSITY_EVENTS,
        ),
        initial=domain.initial,
        evolve=domain.evolve,
        decide=domain.decide,
        folds=frozenset(facts.FOLDS),
        gather_s=0.05,
    )


__getattr__ = on_kafka(service)
