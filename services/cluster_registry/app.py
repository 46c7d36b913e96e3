"""cluster-registry, wired: a decider over the catalog's commands and its own events."""

from __future__ import annotations

from schemas.topics import CATALOG_COMMANDS, CATALOG_EVENTS
from services.cluster_registry.domain import decide, evolve, initial
from services.kit.kafka.hosting import on_kafka
from services.kit.service import Decider


def service() -> Decider:
    """The cluster registry."""
    return Decider(
        name="cluster-registry",
        inputs=(CATALOG_COMMANDS, CATALOG_EVENTS),
        initial=initial,
        evolve=evolve,
        decide=decide,
    )


__getattr__ = on_kafka(service)
