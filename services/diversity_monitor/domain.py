"""What diversity-monitor decides: measure on arrival, admit in slot order, steer at each close.

The state is a fold of facts. It may be folded in any interleaving of the topics: own output may come
before the input that it answers, and every event may come again. Figures change only by own events
(a trajectory counts when it is both measured and admitted), so they do too after a restart.

- A verified run is measured when it arrives, by its actions alone, outside the campaign's sequence.
- Slots are decided in (generation, slot) order: each whose run passed is admitted, at the next row, or
  refused by a gate; abandoned ones are skipped. A slot takes one run: the scheduler asks for another
  attempt only when the former has failed, so at most one passes; should two be there all the same when
  the slot is decided, the one of the lowest (attempt, run id) is taken.
- A generation closes when all its slots are decided and the generation before it is closed.
- Once the asked-for number is admitted nothing more is decided, but for the close of the generation
  whose last slot filled the number. What comes after it depends on when the scheduler stops.
- A campaign finished short of its number takes no row beyond those that its end has counted.
- A slot both abandoned and passed can only come of an abandonment by the clock. If both are known when
  its turn comes it is skipped; otherwise what was decided first stands. A run that passes after its
  generation was closed is not measured.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from schemas.diversity import (
    DiversityMeasured,
    Figures,
    Measurement,
    SteeringUpdated,
    TrajectoryAdmitted,
    TrajectoryRejected,
)
from schemas.envelope import Envelope, Message
from schemas.evolution import CampaignFinished, CampaignSpec, CampaignStarted, GenerationOpened, SlotAbandoned
from schemas.run import RunFinished
from services.diversity_monitor.admission import Prospect
from services.diversity_monitor.corpus import Corpus
from services.diversity_monitor.measurement import measure
from services.kit.service import Draft

BATCH: Final = 256
"""Messages decided at once, at most."""


@dataclass(slots=True)
class Slot:
    """What is known of one slot of an open generation."""

    passed: tuple[int, str, str] | None = None
    """(attempt, run, id of its RunFinished) of the run that the slot takes."""
    measured: dict[str, Measurement] = field(default_factory=dict)
    row: int | None = None
    """Its row, once admitted."""
    admitted: str = ""
    """The run admitted."""
    rejected: bool = False
    ended_by: str = ""
    """Id of the event that decided the slot, or abandoned it."""


@dataclass(slots=True)
class Generation:
    """An open generation; ``order`` is none until GenerationOpened is folded."""

    order: tuple[int, ...] | None = None
    opened_by: str = ""
    position: int = 0
    """Index into ``order`` of the first slot that is not terminal."""
    slots: dict[int, Slot] = field(default_factory=dict)

    def slot(self, number: int) -> Slot:
        """This slot, made if it was not heard of."""
        found = self.slots.get(number)
        if found is None:
            found = self.slots[number] = Slot()
        return found

    def advance(self) -> None:
        """Move ``position`` past the slots that are terminal."""
        order = self.order or ()
        while self.position < len(order) and self.slot(order[self.position]).ended_by:
            self.position += 1


@dataclass(slots=True)
class Campaign:
    """One campaign: the open generations, and the figures of what was decided in all."""

    spec: CampaignSpec | None = None
    domains: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    closed: int = 0
    """Generations closed, which are the first so many."""
    generations: dict[int, Generation] = field(default_factory=dict)
    rows: int = 0
    last: tuple[int, int] = (-1, -1)
    """(generation, slot) of the last row."""
    finished: int | None = None
    """Rows that CampaignFinished has counted."""
    corpus: Corpus = field(default_factory=Corpus)

    def generation(self, number: int) -> Generation | None:
        """This generation, made if it was not heard of; none if it is closed."""
        found = self.generations.get(number)
        if found is None and number >= self.closed:
            found = self.generations[number] = Generation()
        return found


@dataclass(slots=True)
class State:
    """All campaigns, and the verified runs that were not measured yet, in order of arrival."""

    campaigns: dict[str, Campaign] = field(default_factory=dict)
    unmeasured: dict[str, Envelope] = field(default_factory=dict)

    def campaign(self, name: str) -> Campaign:
        """This campaign, made if it was not heard of."""
        found = self.campaigns.get(name)
        if found is None:
            found = self.campaigns[name] = Campaign()
        return found


def initial() -> State:
    """Nothing known."""
    return State()


def figures(state: State, campaign: str) -> Figures:
    """The cumulative figures of what is admitted and rejected so far; all 0 for an unknown campaign."""
    known = state.campaigns.get(campaign, Campaign())
    return known.corpus.figures(len(known.domains))


def evolve(state: State, envelope: Envelope) -> State:
    """Fold one event, in place. Those of no concern are passed over."""
    fold = FOLDS.get(type(envelope.data))
    if fold is not None:
        fold(state, envelope, envelope.data)
    return state


def decide(state: State) -> tuple[Draft, ...]:
    """What is due now, at most ``BATCH`` messages; those that the scheduler waits for come first."""
    drafts: list[Draft] = []
    for name, campaign in state.campaigns.items():
        drafts.extend(islice(_decisions(name, campaign), BATCH - len(drafts)))
    drafts.extend(_measured(envelope) for envelope in islice(state.unmeasured.values(), BATCH - len(drafts)))
    return tuple(drafts)


def _measured(envelope: Envelope) -> Draft:
    run = envelope.data
    assert isinstance(run, RunFinished)
    data = DiversityMeasured(
        run=run.run,
        campaign=run.campaign,
        generation=run.generation,
        slot=run.slot,
        measurement=measure(run.actions, run.content_hash),
    )
    return Draft(run.campaign, data, run.campaign, envelope.id)


def _decisions(name: str, campaign: Campaign) -> Iterator[Draft]:
    """Decisions on the first open generation, as far as they can be made.

    Its close is decided only when its last slot's decision has come back, with the figures of the fold.
    """
    number = campaign.closed
    generation = campaign.generations.get(number)
    spec = campaign.spec
    if generation is None or generation.order is None or spec is None:
        return
    order = generation.order
    if generation.position == len(order):
        if campaign.rows < spec.trajectories or (order and campaign.last == (number, order[-1])):
            cause = generation.slots[order[-1]].ended_by if order else generation.opened_by
            update = campaign.corpus.steering(name, number, campaign.domains, campaign.modes)
            yield Draft(name, update, name, cause)
        return
    finished = campaign.finished
    limit = spec.trajectories if finished is None else min(spec.trajectories, finished)
    prospect = Prospect(campaign.corpus, campaign.rows)
    for index in range(generation.position, len(order)):
        slot = generation.slots.get(order[index])
        if prospect.row >= spec.trajectories or slot is None:
            return
        if slot.ended_by:
            continue
        if slot.passed is None or slot.passed[1] not in slot.measured:
            return
        _, run, cause = slot.passed
        measurement = slot.measured[run]
        refusal = prospect.refusal(measurement, spec.signature_cap, spec.min_gain)
        decision: Message
        if refusal is not None:
            decision = TrajectoryRejected(
                campaign=name,
                generation=number,
                slot=order[index],
                run=run,
                gate=refusal.gate,
                evidence=refusal.evidence,
            )
        elif prospect.row < limit:
            decision = TrajectoryAdmitted(
                campaign=name,
                generation=number,
                slot=order[index],
                run=run,
                row=prospect.admit(measurement),
            )
        else:
            return
        yield Draft(name, decision, name, cause)


def _started(state: State, _envelope: Envelope, event: CampaignStarted) -> None:
    campaign = state.campaign(event.spec.campaign)
    if campaign.spec is None:
        campaign.spec = event.spec
        campaign.domains = event.domains
        campaign.modes = event.modes


def _opened(state: State, envelope: Envelope, event: GenerationOpened) -> None:
    generation = state.campaign(event.campaign).generation(event.generation)
    if generation is not None and generation.order is None:
        generation.order = tuple(sorted(plan.slot for plan in event.slots))
        generation.opened_by = envelope.id
        generation.advance()


def _abandoned(state: State, envelope: Envelope, event: SlotAbandoned) -> None:
    generation = state.campaign(event.campaign).generation(event.generation)
    if generation is not None:
        _end(generation, event.slot, envelope)


def _finished(state: State, _envelope: Envelope, event: CampaignFinished) -> None:
    campaign = state.campaign(event.campaign)
    if campaign.finished is None:
        campaign.finished = event.admitted


def _run_finished(state: State, envelope: Envelope, event: RunFinished) -> None:
    if not event.verdict.passed:
        return
    generation = state.campaign(event.campaign).generation(event.generation)
    if generation is None:
        return
    slot = generation.slot(event.slot)
    candidate = (event.attempt, event.run, envelope.id)
    if slot.passed is None or candidate < slot.passed:
        slot.passed = candidate
    if event.run not in slot.measured:
        state.unmeasured.setdefault(event.run, envelope)


def _diversity_measured(state: State, _envelope: Envelope, event: DiversityMeasured) -> None:
    state.unmeasured.pop(event.run, None)
    campaign = state.campaign(event.campaign)
    generation = campaign.generation(event.generation)
    if generation is None:
        return
    slot = generation.slot(event.slot)
    if event.run not in slot.measured:
        slot.measured[event.run] = event.measurement
        _count(campaign, slot, event.run)


def _admitted(state: State, envelope: Envelope, event: TrajectoryAdmitted) -> None:
    campaign = state.campaign(event.campaign)
    generation = campaign.generation(event.generation)
    if generation is None:
        return
    slot = generation.slot(event.slot)
    if slot.row is None:
        slot.row = event.row
        slot.admitted = event.run
        campaign.rows += 1
        campaign.last = max(campaign.last, (event.generation, event.slot))
        _count(campaign, slot, event.run)
    _end(generation, event.slot, envelope)


def _count(campaign: Campaign, slot: Slot, run: str) -> None:
    """Put a trajectory into the figures, once it is both measured and admitted."""
    if slot.row is not None and slot.admitted == run and run in slot.measured:
        campaign.corpus.admit(slot.measured[run], slot.row)


def _rejected(state: State, envelope: Envelope, event: TrajectoryRejected) -> None:
    campaign = state.campaign(event.campaign)
    generation = campaign.generation(event.generation)
    if generation is None:
        return
    slot = generation.slot(event.slot)
    if not slot.rejected:
        slot.rejected = True
        campaign.corpus.reject(event.gate)
    _end(generation, event.slot, envelope)


def _steering_updated(state: State, _envelope: Envelope, event: SteeringUpdated) -> None:
    campaign = state.campaign(event.campaign)
    campaign.closed = max(campaign.closed, event.generation + 1)
    for number in [number for number in campaign.generations if number < campaign.closed]:
        for slot in campaign.generations.pop(number).slots.values():
            if slot.passed is not None:
                state.unmeasured.pop(slot.passed[1], None)


def _end(generation: Generation, number: int, envelope: Envelope) -> None:
    """The slot is terminal by this event, unless it was before."""
    slot = generation.slot(number)
    if not slot.ended_by:
        slot.ended_by = envelope.id
        generation.advance()


Fold = Callable[[State, Envelope, Any], None]
FOLDS: Final[dict[type[Message], Fold]] = {
    CampaignStarted: _started,
    GenerationOpened: _opened,
    SlotAbandoned: _abandoned,
    CampaignFinished: _finished,
    RunFinished: _run_finished,
    DiversityMeasured: _diversity_measured,
    TrajectoryAdmitted: _admitted,
    TrajectoryRejected: _rejected,
    SteeringUpdated: _steering_updated,
}
