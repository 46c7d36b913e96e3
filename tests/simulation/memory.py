"""Pure functions, computed once for all schedules of one campaign. What they return is never changed.

A run of the agent-runner is an immutable value, so a state that is reached again is the same object, and
what follows from it is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from schemas.envelope import Envelope
from services.blueprint_planner.domain import Clusters
from services.kit.service import Performer, Service, Step


def remembering(services: tuple[Service, ...]) -> tuple[Service, ...]:
    """The services, with the runner's folds and steps and the planner's unpacking computed once."""
    return tuple(
        WRAPPED[service.name](service) if service.name in WRAPPED else service for service in services
    )


def runner(service: Any) -> Performer:
    """The agent-runner with ``initial``, ``evolve`` and ``next_step`` computed once for each state."""
    assert isinstance(service, Performer)
    starts: dict[str, Any] = {}
    folds: dict[tuple[int, str, str], tuple[Any, Any]] = {}
    steps: dict[int, tuple[Any, Step]] = {}

    def initial(key: str) -> Any:
        if key not in starts:
            starts[key] = service.initial(key)
        return starts[key]

    def evolve(state: Any, event: Envelope) -> Any:
        known = folds.get((id(state), event.id, event.type))
        if known is None:  # the state is kept too: its identity is not given to another
            known = folds[id(state), event.id, event.type] = (state, service.evolve(state, event))
        return known[1]

    def next_step(state: Any, reference: Any) -> Step:
        known = steps.get(id(state))
        if known is None:
            known = steps[id(state)] = (state, service.next_step(state, reference))
        return known[1]

    return replace(service, initial=initial, evolve=evolve, next_step=next_step)


def planner(service: Any) -> Performer:
    """The blueprint-planner, unpacking each cluster once."""
    assert isinstance(service, Performer)
    unpacked: dict[bytes, Any] = {}

    class Remembering(Clusters):
        def cluster(self, identity: str, digest: str) -> Any:
            packed = self.packed[identity, digest]
            if packed not in unpacked:
                unpacked[packed] = super().cluster(identity, digest)
            return unpacked[packed]

    return replace(service, initial_reference=Remembering)


WRAPPED: dict[str, Callable[[Any], Service]] = {"agent-runner": runner, "blueprint-planner": planner}
