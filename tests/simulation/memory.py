"""Pure functions, computed once for all schedules of one campaign. What they return is never changed.

A run of the agent-runner is an immutable value, so a state that is reached again is the same object, and
what follows from it is known. The scripted planner never plans code, so some calls of simulated tools are
sent to the sandbox here as if they were: its answer is awaited, and the tool's observation taken for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any
from zlib import crc32

from schemas.envelope import Envelope
from schemas.sandbox import ExecuteCode
from services.agent_runner.domain import CallTool, Run
from services.blueprint_planner.domain import Clusters
from services.kit.service import Append, Draft, Perform, Performer, Service, Step, Wait
from tests.simulation.system import finish


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
            step = service.next_step(state, reference)
            if isinstance(step, Perform) and isinstance(step.effect, CallTool):
                step = by_sandbox(service, state, step.effect) or step
            known = steps[id(state)] = (state, step)
        return known[1]

    return replace(service, initial=initial, evolve=evolve, next_step=next_step)


def by_sandbox(service: Performer, run: Run, effect: CallTool) -> Step | None:
    """The step of a call that goes to the sandbox first; None for one that does not."""
    call = effect.call
    if crc32(f"{run.key}/{len(run.messages)}".encode()) % 2:
        return None
    campaign = effect.blueprint.campaign
    if any(one.call == call.id for one in run.executed):
        return Append(tuple(finish(service.perform(effect))))
    if call.id in run.sent:
        return Wait("the sandbox")
    command = ExecuteCode(run=run.key, turn=run.turn, call=call.id, language="", code="")
    return Append((Draft(run.key, command, campaign),))


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
