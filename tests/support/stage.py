"""A campaign's log, with the scheduler on it and everyone around it played by a few lines of script.

``Stage`` holds the topics as a log does. The scheduler reads them partition by partition through the
real ``Fold``; planner, runner and monitor are played: how each run ends is a function of its id, and the
monitor decides in (generation, slot) order, one decision at a time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from schemas.blueprint import BlueprintRejected, PlanBlueprint, Rejection, Usage
from schemas.catalog import CatalogFormed, Cluster, ClusterFormed, Edge, ToolSpec
from schemas.codec import decode
from schemas.diversity import (
    DiversityMeasured,
    Figures,
    Measurement,
    SteeringUpdated,
    TrajectoryAdmitted,
    TrajectoryRejected,
    coarse_mode,
)
from schemas.envelope import Envelope, Message
from schemas.evolution import (
    CampaignFinished,
    CampaignSpec,
    CampaignStarted,
    ControlCampaign,
    GenerationOpened,
    SlotAbandoned,
    StartCampaign,
)
from schemas.run import Finding, RunFailed, RunFinished, Verdict
from schemas.sandbox import SandboxAnnounced
from schemas.topics import EVOLUTION_EVENTS, TOPICS, sequenced
from services.evolution_scheduler.app import service
from services.kit.chain import Chain, Head, Sealed, seal
from services.kit.fold import Fold
from services.kit.log import Outgoing, Record
from services.kit.service import Draft

TIME = "2026-01-01T00:00:00Z"
CAMPAIGN = "c"


@dataclass(frozen=True)
class End:
    """How a run ends: passed, a verdict that failed, broken off by content or infrastructure, unplanned."""

    kind: Literal["passed", "failed", "content", "infrastructure", "unplanned", "unplannable"] = "passed"
    code: str = "bad"
    tokens: int = 0
    usd: float = 0.0


Script = Callable[[PlanBlueprint], End]


def always(_command: PlanBlueprint) -> End:
    return End()


def scripted(ends: Mapping[str, End], otherwise: End = End()) -> Script:
    return lambda command: ends.get(command.run, otherwise)


def ending(command: PlanBlueprint, end: End) -> Message:
    """The event that ends the run of ``command``."""
    place = {
        "run": command.run,
        "campaign": command.campaign,
        "generation": command.generation,
        "slot": command.slot,
        "attempt": command.attempt,
        "usage": Usage(calls=1, prompt_tokens=end.tokens, usd=end.usd),
    }
    if end.kind in ("unplanned", "unplannable"):
        content = end.kind == "unplanned"
        return BlueprintRejected(
            content=content,
            attribution="planner" if content else "infrastructure",
            rejections=(Rejection(code=end.code),),
            **place,
        )
    if end.kind in ("passed", "failed"):
        findings = () if end.kind == "passed" else (Finding(code=end.code, attribution="assistant"),)
        verdict = Verdict(passed=end.kind == "passed", findings=findings)
        return RunFinished(verdict=verdict, actions=(), content_hash=command.run, **place)
    content = end.kind == "content"
    return RunFailed(
        content=content, attribution="user" if content else "infrastructure", code=end.code, **place
    )


def measured(command: PlanBlueprint) -> DiversityMeasured:
    """What the monitor measures of a run that did what its command aimed at."""
    target = command.target
    return DiversityMeasured(
        run=command.run,
        campaign=command.campaign,
        generation=command.generation,
        slot=command.slot,
        measurement=Measurement(
            signature=f"{target.shape} of {target.depth}",
            mode=coarse_mode(target.shape, target.depth, target.flags),
            domains={target.domain: 1.0},
            complexity=4.0 * target.depth,
            band=target.band,
            steps=target.depth + 1,
            tools=tuple(f"{command.cluster}.{place}" for place in range(target.depth)),
            content_hash=command.run,
        ),
    )


def cluster(
    name: str,
    tools: str = "abc",
    edges: Iterable[str] = (),
    domain: str = "orders",
    digest: str = "",
) -> Cluster:
    """A cluster of tools named by letters; an edge ``ab`` leads from ``a`` to ``b``."""
    return Cluster(
        id=name,
        hash=digest or f"hash of {name}",
        domains=(domain,),
        tools=tuple(ToolSpec(server=name, name=letter) for letter in tools),
        edges=tuple(
            Edge(source=f"{name}/{edge[0]}", target=f"{name}/{edge[1]}", parameter="p") for edge in edges
        ),
    )


CLUSTERS = (
    cluster("k1", "abcd", ("ab", "bc")),
    cluster("k2", "abc", ("ab", "ac"), "banking"),
    cluster("k3", "ab", (), "tickets"),
    cluster("k4", "abc", ("ab", "bc", "ca")),
)


def catalog(clusters: Iterable[Cluster] = CLUSTERS, digest: str = "cat") -> CatalogFormed:
    ids = tuple(one.id for one in clusters)
    return CatalogFormed(hash=digest, clusters=ids, servers=len(ids), tools=0, edges=0)


def sandbox(
    *, safe: bool = False, reason: str = "nothing safe", languages: tuple[str, ...] = ("python",)
) -> SandboxAnnounced:
    if not safe:
        return SandboxAnnounced(backend="none", safe=False, reason=reason)
    return SandboxAnnounced(backend="jail", safe=True, languages=languages, packages=("numpy 2.0",))


def spec(trajectories: int = 4, **more: Any) -> CampaignSpec:
    fields = {"campaign": CAMPAIGN, "seed": 7, "generation_size": 3, "lookahead": 2} | more
    return CampaignSpec(trajectories=trajectories, **fields)


def before(asked: CampaignSpec, clusters: Iterable[Cluster] = CLUSTERS) -> list[Message]:
    """What a campaign waits for."""
    clusters = tuple(clusters)
    formed = [ClusterFormed(cluster=one) for one in clusters]
    return [*formed, catalog(clusters), sandbox(), StartCampaign(spec=asked)]


def key_of(message: Message) -> str:
    """The message's key, as its owner chooses it."""
    match message:
        case StartCampaign() | CampaignStarted():
            return message.spec.campaign
        case ClusterFormed():
            return message.cluster.id
        case CatalogFormed():
            return "catalog"
        case SandboxAnnounced():
            return message.backend
    return str(getattr(message, "run", getattr(message, "campaign", "")))


class Stage:
    """The log, the scheduler reading it, and the others.

    ``rejects`` are slots whose passed run the monitor refuses.
    """

    def __init__(self, script: Script = always, rejects: Iterable[int] = ()) -> None:
        self.script = script
        self.rejects = frozenset(rejects)
        self.partitions: dict[tuple[str, int], list[tuple[Record, Envelope]]] = {}
        self.order: list[Envelope] = []
        self.heads: dict[tuple[str, str], Head] = {}
        self.position: dict[tuple[str, int], int] = {}
        self.ended: set[str] = set()
        self.twice = False
        self.fold = Fold(service(), {})

    # The log

    def append(self, *outgoing: Outgoing) -> None:
        for one in outgoing:
            place = (one.topic, one.partition)
            stored = self.partitions.setdefault(place, [])
            record = Record(one.topic, one.partition, len(stored), one.key, one.headers, one.value)
            envelope = decode(TOPICS[one.topic], one.key, one.headers, one.value)
            stored.append((record, envelope))
            self.order.append(envelope)

    def put(self, *messages: Message) -> None:
        """Append in another service's name."""
        for message in messages:
            sealed = seal([Draft(key_of(message), message, CAMPAIGN)], self.heads, "test", TIME)
            self.append(*(one.outgoing for one in sealed))

    @property
    def events(self) -> list[Message]:
        """The campaign's own events, as readers take them: the chain and what stands beside it."""
        chain = Chain()
        return [
            envelope.data
            for record, envelope in self.partitions.get((EVOLUTION_EVENTS.name, 0), [])
            if chain.accept(record.topic, envelope)
        ]

    def of(self, *kinds: type[Message]) -> list[Any]:
        """All messages of these types, each once."""
        seen: dict[str, Message] = {}
        for envelope in self.order:
            if isinstance(envelope.data, kinds):
                seen.setdefault(envelope.id, envelope.data)
        return list(seen.values())

    @property
    def chain(self) -> list[Message]:
        return [event for event in self.events if sequenced(type(event))]

    @property
    def commands(self) -> dict[str, PlanBlueprint]:
        """PlanBlueprint by run; two different ones for one run are a fault."""
        found: dict[str, PlanBlueprint] = {}
        for one in self.of(PlanBlueprint):
            assert found.setdefault(one.run, one) == one
        return found

    @property
    def finished(self) -> CampaignFinished | None:
        return next(iter(self.of(CampaignFinished)), None)

    # The scheduler

    def readable(self) -> list[tuple[str, int]]:
        known = {topic.name for topic in self.fold.service.inputs}
        return [
            place
            for place, stored in self.partitions.items()
            if place[0] in known and self.position.get(place, 0) < len(stored)
        ]

    def read(self, place: tuple[str, int]) -> None:
        """The scheduler folds the next record of one partition."""
        record, envelope = self.partitions[place][self.position.get(place, 0)]
        self.position[place] = record.offset + 1
        self.fold.receive(record, envelope)
        if self.twice:
            self.fold.receive(record, envelope)

    def read_all(self) -> None:
        for place in self.readable():
            while self.position.get(place, 0) < len(self.partitions[place]):
                self.read(place)

    def decide(self) -> list[Sealed]:
        sealed = self.fold.due(TIME)
        self.append(*(one.outgoing for one in sealed))
        return sealed

    def crash(self) -> None:
        """The scheduler is gone; a new one reads everything again."""
        self.fold = Fold(service(), {place: len(stored) for place, stored in self.partitions.items()})
        self.position = {}

    def settle(self) -> list[Message]:
        """Read and decide until nothing is due; what was decided."""
        decided: list[Message] = []
        while True:
            self.read_all()
            before_ = len(self.order)
            if not self.decide():
                return decided
            decided += [envelope.data for envelope in self.order[before_:]]

    # The others

    def play_run(self, rng: random.Random | None = None) -> bool:
        """One run that was asked for ends; any of them when ``rng`` chooses."""
        left = [command for run, command in self.commands.items() if run not in self.ended]
        if not left:
            return False
        command = rng.choice(left) if rng else left[0]
        self.ended.add(command.run)
        self.put(ending(command, self.script(command)))
        return True

    def play_monitor(self) -> bool:
        """The monitor's next decision, if one is due."""
        decision = self._decision()
        if decision is not None:
            self.put(decision)
        return decision is not None

    def _decision(self) -> Message | None:
        started = next((e for e in self.chain if not isinstance(e, GenerationOpened)), None)
        asked: CampaignSpec | None = getattr(started, "spec", None)
        if asked is None or self.finished is not None:
            return None
        passed = {one.slot: one for one in self.of(RunFinished) if one.verdict.passed}
        done = {one.slot for one in self.of(TrajectoryAdmitted, TrajectoryRejected)}
        rows = len(self.of(TrajectoryAdmitted))
        last = max((one.slot for one in self.of(TrajectoryAdmitted)), default=-1)
        given_up = {one.slot for one in self.of(SlotAbandoned)}
        closed = len(self.of(SteeringUpdated))
        for opened in [e for e in self.chain if isinstance(e, GenerationOpened)][closed:]:
            place = {"campaign": CAMPAIGN, "generation": opened.generation}
            for slot in (plan.slot for plan in opened.slots):
                if slot in done or slot in given_up:
                    continue
                if slot not in passed or rows >= asked.trajectories:
                    return None
                run = passed[slot].run
                if slot in self.rejects:
                    return TrajectoryRejected(
                        slot=slot, run=run, gate="exact_duplicate", evidence="x", **place
                    )
                if asked.policy and run not in {one.run for one in self.of(DiversityMeasured)}:
                    return measured(self.commands[run])
                return TrajectoryAdmitted(slot=slot, run=run, row=rows, **place)
            if rows >= asked.trajectories and last != opened.slots[-1].slot:
                return None
            figures = Figures(admitted=rows)
            avoid = tuple(sorted(f"seen in {one.slot}" for one in passed.values() if one.slot in done))
            return SteeringUpdated(version=opened.generation + 1, figures=figures, avoid=avoid[-3:], **place)
        return None

    def run(self, limit: int = 20_000) -> Stage:
        """Everyone works in turn until nothing moves."""
        for _ in range(limit):
            moved = bool(self.settle())
            moved |= self.play_run()
            while self.play_monitor():
                moved = True
            if not moved:
                return self
        raise AssertionError("the campaign does not come to rest")

    def control(self, action: str, nonce: str = "", **more: Any) -> None:
        self.put(
            ControlCampaign.model_validate({"campaign": CAMPAIGN, "action": action, "nonce": nonce} | more)
        )


def started_stage(asked: CampaignSpec, script: Script = always, rejects: Iterable[int] = ()) -> Stage:
    """A stage on which everything that the campaign waits for has been put."""
    stage = Stage(script, rejects)
    stage.put(*before(asked))
    return stage


def shuffled_run(stage: Stage, rng: random.Random, crashes: int = 3, limit: int = 20_000) -> Stage:
    """Everyone works whenever ``rng`` says so; the scheduler loses its memory up to ``crashes`` times."""
    for _ in range(limit):
        choice = rng.randrange(12)
        if choice == 0 and crashes and rng.random() < 0.1:
            crashes -= 1
            stage.crash()
        elif choice == 1:
            stage.play_run(rng)
        elif choice == 2:
            stage.play_monitor()
        elif choice == 3:
            stage.decide()
        elif places := stage.readable():
            stage.read(rng.choice(places))
        elif not (stage.decide() or stage.play_run(rng) or stage.play_monitor()):
            return stage
    raise AssertionError("the campaign does not come to rest")
