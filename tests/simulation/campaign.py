"""A small campaign under the simulation, with its effects remembered over all schedules of a seed."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

from schemas.catalog import ImportServer
from schemas.diversity import TrajectoryAdmitted, TrajectoryRejected
from schemas.evolution import CampaignSpec
from schemas.topics import CATALOG_EVENTS
from services.agent_runner.domain import AskAssistant, AskJudge, AskUser, CallTool
from services.blueprint_planner.domain import Plan
from services.console.embedded import RunPlan, opening, services
from services.console.export import dataset_bytes
from services.console.ledger import Ledger
from services.kit.chain import Head
from services.kit.fold import Fold
from services.kit.models.router import ModelRouter
from services.kit.service import Draft, Performer
from services.sandbox_exec.domain import Execute
from services.sim.actors import SimModel
from services.worlds.machines import dump
from tests.simulation.log import Log
from tests.simulation.memory import remembering
from tests.simulation.system import TIME, Faults, System, finish

SERVERS = ("bank", "calendar", "shop")
SPEC = CampaignSpec(campaign="sim", trajectories=5, seed=11, generation_size=3, lookahead=2, policy="steered")


@cache
def imported() -> Log:
    """The log of a campaign right after its import: what every schedule begins with."""
    servers = [ImportServer(server_id=one["id"], server=one) for one in dump() if one["id"] in SERVERS]
    log = Log()
    registry = services(ModelRouter(SimModel()))[0]
    fold = Fold(registry, {})
    position: dict[tuple[str, int], int] = {}
    due = opening(RunPlan(servers, SPEC))
    while due:
        for one in due:
            log.put(one)
        for place, stored in log.partitions.items():
            if place[0] in {topic.name for topic in registry.inputs}:
                for record, envelope in stored[position.get(place, 0) :]:
                    fold.receive(record, envelope)
                position[place] = len(stored)
        due = [one.outgoing for one in fold.due(TIME)]
    assert (CATALOG_EVENTS.name, 0) in log.partitions
    return log


def request_key(service: Performer, effect: Any) -> tuple[Any, ...]:
    """What an effect asks for, as one would count requests: service, run, turn, role."""
    match effect:
        case Plan():
            return (service.name, effect.command.run, 0, "planner")
        case AskAssistant() | AskUser() | AskJudge():
            return (service.name, effect.blueprint.id, effect.turn, type(effect).__name__)
        case CallTool():
            return (service.name, effect.blueprint.id, effect.turn, effect.call.id)
        case Execute():
            return (service.name, effect.command.run, effect.command.turn, effect.command.call)
        case _:
            raise AssertionError(f"an effect of an unknown kind: {effect!r}")


class Performers:
    """Performs effects with the scripted actors; a deterministic reply is computed once per request."""

    def __init__(self) -> None:
        self.services = remembering(services(ModelRouter(SimModel())))
        self.requests: Counter[tuple[Any, ...]] = Counter()
        self._known: dict[tuple[Any, ...], Sequence[Draft]] = {}

    def __call__(self, service: Performer, effect: Any) -> Sequence[Draft]:
        key = request_key(service, effect)
        self.requests[key] += 1
        if key not in self._known:
            self._known[key] = finish(service.perform(effect))
        return self._known[key]


def simulate(schedule: int, performers: Performers, faults: Faults | None = None) -> System:
    """The campaign under one schedule, run to its end."""
    rng = random.Random(f"schedule/{schedule}")
    system = System(performers.services, rng, faults or Faults(), performers, request_key, imported().copy())
    system.run()
    return system


def ledger(system: System) -> Ledger:
    """What the log says at the end."""
    found = Ledger()
    for record in system.log.records:
        found.fold(record)
    return found


def outcome(system: System) -> dict[tuple[str, str], Head]:
    """The last accepted event of every chain that decides something.

    An event's id covers its content and its predecessor, so equal heads are equal histories. Left out
    are the chains of runs that the campaign ended before.
    """
    kept = [SPEC.campaign]
    for _, _, envelope in system.log.events.values():
        data = envelope.data
        if isinstance(data, TrajectoryAdmitted | TrajectoryRejected):
            kept.append(data.run)
    chains = system.log.chains
    return {(topic, key): head for key in kept for topic, head in sorted(chains[key].heads.items())}


def dataset(system: System) -> bytes:
    """The export of the log."""
    return dataset_bytes(ledger(system))
