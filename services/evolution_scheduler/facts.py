"""What evolution-scheduler knows: a fold of its topics, one small function an event.

The folds do not depend on the order between topics: an outcome may be read before the slot it belongs to
was opened, and a campaign's own events before the command that started it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from schemas.blueprint import BlueprintRejected, PlanBlueprint, Usage
from schemas.catalog import CatalogFormed, ClusterFormed
from schemas.diversity import (
    DiversityMeasured,
    Measurement,
    SteeringUpdated,
    TrajectoryAdmitted,
    TrajectoryRejected,
)
from schemas.envelope import Envelope, Message
from schemas.evolution import (
    CampaignFinished,
    CampaignPaused,
    CampaignResumed,
    CampaignSpec,
    CampaignStarted,
    ControlCampaign,
    GenerationOpened,
    SlotAbandoned,
    SlotPlan,
    StartCampaign,
)
from schemas.run import RunFailed, RunFinished
from schemas.sandbox import SandboxAnnounced
from services.evolution_scheduler.archive import Archive, Taken
from services.evolution_scheduler.targets import Cells, Offer, offer
from services.evolution_scheduler.terrain import Terrain


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    kind: Literal["passed", "content", "infrastructure"]
    unplanned: bool = False
    """There was no blueprint."""
    reason: str = ""
    usage: Usage = field(default_factory=Usage)


@dataclass(slots=True)
class Slot:
    """A slot that was opened."""

    plan: SlotPlan
    generation: int


@dataclass(slots=True)
class Campaign:
    """What is known of one campaign. Filled in any order; complete once its topics are folded."""

    name: str
    spec: CampaignSpec | None = None
    command: str = ""
    started: CampaignStarted | None = None
    generations: list[GenerationOpened] = field(default_factory=list)
    slots: dict[int, Slot] = field(default_factory=dict)
    spent: dict[int, Usage] = field(default_factory=dict)
    """What each slot has used, over all its attempts."""
    issued: set[str] = field(default_factory=set)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    terminal: set[int] = field(default_factory=set)
    """Slots that are admitted, rejected or abandoned."""
    admitted: int = 0
    unread: set[str] = field(default_factory=set)
    """Runs that the monitor has decided on and whose end was not read yet."""
    steering: dict[int, SteeringUpdated] = field(default_factory=dict)
    archive: Archive = field(default_factory=Archive)
    """What the next generation is planned from: those up to *lookahead* before it."""
    measured: dict[int, dict[str, Measurement]] = field(default_factory=dict)
    """By generation and run; a generation goes when the archive takes it in."""
    taken: dict[int, str] = field(default_factory=dict)
    """The admitted run of each slot of those generations."""
    due: set[int] = field(default_factory=set)
    """Slots that something may have to be done for."""
    controls: dict[str, ControlCampaign] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)
    pauses: set[str] = field(default_factory=set)
    resumes: int = 0
    paused: bool = False
    sequence: int = 0
    finished: CampaignFinished | None = None


@dataclass(slots=True)
class State:
    """All campaigns, and what they may draw from."""

    campaigns: dict[str, Campaign] = field(default_factory=dict)
    offers: dict[str, Offer] = field(default_factory=dict)
    """Clusters by hash."""
    catalogs: dict[str, CatalogFormed] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    """Cluster id → hash of its last forming."""
    members: dict[str, dict[str, str]] = field(default_factory=dict)
    """Of each catalog, cluster id → hash when the catalog was formed."""
    sandbox: SandboxAnnounced | None = None
    whole: dict[str, Cells] = field(default_factory=dict)
    """Cells of each catalog all of whose clusters are folded."""
    terrains: dict[str, Terrain] = field(default_factory=dict)


def initial() -> State:
    """No campaign yet."""
    return State()


def evolve(state: State, envelope: Envelope) -> State:
    """Fold one event. Owns ``state``."""
    fold = FOLDS.get(type(envelope.data))
    if fold is not None:
        fold(state, envelope, envelope.data)
    return state


def cells_of(state: State, catalog_hash: str) -> Cells | None:
    """The cells of a catalog, once all its clusters are folded; remembered, for they never change."""
    catalog = state.catalogs.get(catalog_hash)
    if catalog_hash not in state.whole and catalog is not None:
        members = state.members[catalog_hash]
        hashes = [members.get(cluster) or state.hashes.get(cluster, "") for cluster in catalog.clusters]
        offers = [state.offers[one] for one in hashes if one in state.offers]
        if len(offers) == len(catalog.clusters):
            state.whole[catalog_hash] = Cells(offers)
            state.terrains[catalog_hash] = Terrain(offers)
    return state.whole.get(catalog_hash)


def _campaign(state: State, name: str) -> Campaign:
    return state.campaigns.setdefault(name, Campaign(name))


def _cluster_formed(state: State, _envelope: Envelope, data: ClusterFormed) -> None:
    state.offers[data.cluster.hash] = offer(data.cluster)
    state.hashes[data.cluster.id] = data.cluster.hash


def _catalog_formed(state: State, _envelope: Envelope, data: CatalogFormed) -> None:
    if data.hash not in state.catalogs:
        state.catalogs[data.hash] = data
        state.members[data.hash] = {one: state.hashes[one] for one in data.clusters if one in state.hashes}


def _announced(state: State, _envelope: Envelope, data: SandboxAnnounced) -> None:
    if state.sandbox is None or (data.safe and not state.sandbox.safe):
        state.sandbox = data


def _asked_for(state: State, envelope: Envelope, data: StartCampaign) -> None:
    campaign = _campaign(state, data.spec.campaign)
    if campaign.spec is None:
        campaign.spec, campaign.command = data.spec, envelope.id


def _ordered(state: State, envelope: Envelope, data: ControlCampaign) -> None:
    _campaign(state, data.campaign).controls[envelope.id] = data


def _issued(state: State, _envelope: Envelope, data: PlanBlueprint) -> None:
    campaign = _campaign(state, data.campaign)
    campaign.issued.add(data.run)
    if data.run not in campaign.outcomes:
        campaign.due.discard(data.slot)


def _rejected(state: State, _envelope: Envelope, data: BlueprintRejected) -> None:
    codes = ", ".join(sorted({rejection.code for rejection in data.rejections})) or "no plan"
    _ended(state, data, Outcome(_kind(data.content), True, f"{data.attribution}: {codes}", data.usage))


def _failed(state: State, _envelope: Envelope, data: RunFailed) -> None:
    _ended(state, data, Outcome(_kind(data.content), False, f"{data.attribution}: {data.code}", data.usage))


def _finished_run(state: State, _envelope: Envelope, data: RunFinished) -> None:
    if data.verdict.passed:
        _ended(state, data, Outcome("passed", usage=data.usage))
    else:
        codes = [f"{finding.attribution}: {finding.code}" for finding in data.verdict.findings[:3]]
        _ended(state, data, Outcome("content", reason=", ".join(codes) or "judge", usage=data.usage))


def _kind(content: bool) -> Literal["content", "infrastructure"]:
    return "content" if content else "infrastructure"


def _ended(state: State, data: BlueprintRejected | RunFailed | RunFinished, outcome: Outcome) -> None:
    campaign = _campaign(state, data.campaign)
    if data.run not in campaign.outcomes:
        campaign.outcomes[data.run] = outcome
        campaign.unread.discard(data.run)
        campaign.spent[data.slot] = campaign.spent.get(data.slot, Usage()) + outcome.usage
        if outcome.kind != "passed":
            campaign.due.add(data.slot)


def _decided(
    state: State, _envelope: Envelope, data: TrajectoryAdmitted | TrajectoryRejected | SlotAbandoned
) -> None:
    campaign = _campaign(state, data.campaign)
    if data.slot in campaign.terminal:
        return
    campaign.terminal.add(data.slot)
    campaign.due.discard(data.slot)
    if isinstance(data, TrajectoryAdmitted):
        campaign.admitted += 1
        campaign.taken[data.slot] = data.run
    if not isinstance(data, SlotAbandoned) and data.run not in campaign.outcomes:
        campaign.unread.add(data.run)


def _steered(state: State, _envelope: Envelope, data: SteeringUpdated) -> None:
    campaign = _campaign(state, data.campaign)
    campaign.steering[data.generation] = data
    _archive(campaign)


def _measured(state: State, _envelope: Envelope, data: DiversityMeasured) -> None:
    campaign = _campaign(state, data.campaign)
    if data.generation >= campaign.archive.generations:
        campaign.measured.setdefault(data.generation, {}).setdefault(data.run, data.measurement)


def _archive(campaign: Campaign) -> None:
    """Take in the closed generations that the next one is planned from, and none after them.

    What the monitor has said of a generation stands before its close in the same partition, so a generation
    that is closed is known whole.
    """
    if campaign.started is None:
        return
    last = len(campaign.generations) - campaign.started.spec.lookahead
    while campaign.archive.generations <= last and campaign.archive.generations in campaign.steering:
        number = campaign.archive.generations
        generation, measured = campaign.generations[number], campaign.measured.pop(number, {})
        taken = {}
        for plan in generation.slots:
            run = campaign.taken.pop(plan.slot, "")
            if run in measured:
                taken[plan.slot] = Taken(run, int(run.split(".")[2]), measured[run])
        campaign.archive.close(generation, taken)


def _started(state: State, envelope: Envelope, data: CampaignStarted) -> None:
    campaign = _campaign(state, data.spec.campaign)
    campaign.started = data
    campaign.sequence = envelope.sequence
    _archive(campaign)


def _opened(state: State, envelope: Envelope, data: GenerationOpened) -> None:
    campaign = _campaign(state, data.campaign)
    campaign.generations.append(data)
    campaign.sequence = envelope.sequence
    for plan in data.slots:
        campaign.slots[plan.slot] = Slot(plan, data.generation)
        if plan.slot not in campaign.terminal:
            campaign.due.add(plan.slot)
    _archive(campaign)


def _paused(state: State, _envelope: Envelope, data: CampaignPaused) -> None:
    campaign = _campaign(state, data.campaign)
    if data.cause not in campaign.answered:
        campaign.pauses.add(data.cause)
        campaign.answered.add(data.cause)
        campaign.paused = True


def _resumed(state: State, _envelope: Envelope, data: CampaignResumed) -> None:
    campaign = _campaign(state, data.campaign)
    if data.cause not in campaign.answered:
        campaign.answered.add(data.cause)
        campaign.resumes += 1
        campaign.paused = False
        campaign.due.update(slot for slot in campaign.slots if slot not in campaign.terminal)


def _finished(state: State, _envelope: Envelope, data: CampaignFinished) -> None:
    campaign = _campaign(state, data.campaign)
    campaign.finished = data
    campaign.due.clear()


FOLDS: Final[Mapping[type[Message], Callable[[State, Envelope, Any], None]]] = {
    ClusterFormed: _cluster_formed,
    CatalogFormed: _catalog_formed,
    SandboxAnnounced: _announced,
    StartCampaign: _asked_for,
    ControlCampaign: _ordered,
    PlanBlueprint: _issued,
    BlueprintRejected: _rejected,
    RunFailed: _failed,
    RunFinished: _finished_run,
    DiversityMeasured: _measured,
    TrajectoryAdmitted: _decided,
    TrajectoryRejected: _decided,
    SlotAbandoned: _decided,
    SteeringUpdated: _steered,
    CampaignStarted: _started,
    GenerationOpened: _opened,
    CampaignPaused: _paused,
    CampaignResumed: _resumed,
    CampaignFinished: _finished,
}
