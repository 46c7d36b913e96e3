"""evolution-scheduler: opens generations of slots, gives each its attempts, and ends the campaign.

Everything is decided from facts that do not depend on which slot finished first: generation *g* opens
with the steering of generation *g − lookahead*, a slot's next attempt follows from its last one alone,
and money is settled by closed generations only.
"""

from __future__ import annotations

from typing import Final, Literal

from schemas.blueprint import PlanBlueprint, Usage
from schemas.evolution import (
    Allowance,
    CampaignFinished,
    CampaignPaused,
    CampaignResumed,
    CampaignSpec,
    CampaignStarted,
    ControlCampaign,
    GenerationOpened,
    SlotAbandoned,
    SlotPlan,
)
from schemas.run import run_id
from services.evolution_scheduler import coding
from services.evolution_scheduler.facts import Campaign, State, cells_of, evolve, initial
from services.evolution_scheduler.policies import plans
from services.evolution_scheduler.targets import Cells, derive
from services.evolution_scheduler.terrain import Terrain
from services.kit.service import Draft

__all__ = ["decide", "evolve", "initial"]

RETRIES: Final = 3
"""Failures of infrastructure in a row, at one attempt, before the campaign pauses."""
BATCH: Final = 256
EVOLVING: Final = ("evolution", "steered")
WEIGHED: Final = ("", "steering", "steered")


def decide(state: State) -> tuple[Draft, ...]:
    """What is due: at most ``BATCH`` messages, the rest when these have come back."""
    drafts: list[Draft] = []
    for name in sorted(state.campaigns):
        campaign = state.campaigns[name]
        if campaign.spec is not None and campaign.finished is None:
            drafts.extend(_decide(state, campaign, campaign.spec))
    return tuple(drafts[:BATCH])


def _decide(state: State, campaign: Campaign, spec: CampaignSpec) -> list[Draft]:
    """What a campaign needs now.

    What the campaign's own events are, and in which order, must not depend on how far each topic had
    been read: so a generation whose steering is there opens first, every slot gets what it is due, and
    only then does the campaign end. Where money is counted, the runs that the monitor has decided on must
    have been read before the next generation or the end.
    """
    if campaign.started is None:
        started = _start(state, spec)
        return [Draft(spec.campaign, started, spec.campaign, campaign.command)] if started else []
    if coding.missing(campaign.started):
        detail = f"code was asked for, and {campaign.started.sandbox}; --code auto goes on without"
        return [Draft(spec.campaign, _finished(campaign, "infeasible", detail), spec.campaign)]
    order = _order(campaign)
    if order is not None and order[1].action != "stop":
        return [_obeyed(campaign, *order)]
    settled = not (campaign.unread and _budgeted(spec))
    # A campaign that has what it wants ends with the same generations, paused or not.
    if not order and settled and not (campaign.paused and campaign.admitted < spec.trajectories):
        generation = _open(state, campaign, spec)
        if generation is not None:
            return [Draft(spec.campaign, generation, spec.campaign)]
    if not campaign.paused:
        catalog = campaign.started.catalog_hash
        cells = cells_of(state, catalog)
        attempts = _attempts(campaign, campaign.started, cells, state.terrains.get(catalog))
        if attempts:
            return attempts
    if order is not None:
        return [_obeyed(campaign, *order)]
    finished = _finish(state, campaign, spec) if settled else None
    return [Draft(spec.campaign, finished, spec.campaign)] if finished is not None else []


def _attempts(
    campaign: Campaign, started: CampaignStarted, cells: Cells | None, terrain: Terrain | None
) -> list[Draft]:
    """What the slots are due, in slot order; a pause stands alone."""
    drafts: list[Draft] = []
    for slot in sorted(campaign.due):
        draft = _next_attempt(campaign, started, cells, terrain, slot)
        if draft is not None and isinstance(draft.data, CampaignPaused):
            return [draft]
        if draft is not None:
            drafts.append(draft)
        if len(drafts) >= BATCH:
            break
    return drafts


def _start(state: State, spec: CampaignSpec) -> CampaignStarted | None:
    """The campaign's beginning, once its catalog is whole and a sandbox has announced itself."""
    if spec.catalog_hash:
        catalog = state.catalogs.get(spec.catalog_hash)
    else:
        catalog = next(iter(state.catalogs.values()), None)
    if catalog is None or state.sandbox is None:
        return None
    cells = cells_of(state, catalog.hash)
    if cells is None:
        return None
    sandbox = state.sandbox
    why = coding.forbids(spec, sandbox)
    infeasible = [f"codes: {why}"] if why else []
    infeasible.append("refuses: no policy draws it yet")
    return CampaignStarted(
        spec=spec,
        catalog_hash=catalog.hash,
        domains=cells.domains,
        code=not why,
        packages=() if why else sandbox.packages,
        sandbox=f"{sandbox.backend}: {sandbox.reason}" if sandbox.reason else sandbox.backend,
        infeasible=tuple(infeasible),
        modes=state.terrains[catalog.hash].modes if spec.policy else (),
    )


def _order(campaign: Campaign) -> tuple[str, ControlCampaign] | None:
    """The oldest control command that is due and not carried out, and its id."""
    for identity, command in campaign.controls.items():
        reached = command.at_sequence <= campaign.sequence
        if reached and (command.nonce or identity) not in campaign.answered:
            return identity, command
    return None


def _obeyed(campaign: Campaign, identity: str, command: ControlCampaign) -> Draft:
    """The event that carries a control command out."""
    name, cause = campaign.name, command.nonce or identity
    if command.action == "pause":
        return Draft(name, CampaignPaused(campaign=name, reason=command.reason, cause=cause), name, identity)
    if command.action == "resume":
        return Draft(name, CampaignResumed(campaign=name, cause=cause), name, identity)
    finished = _finished(campaign, "stopped", command.reason or "stopped by command", cause)
    if command.at_admitted is not None:
        finished = finished.model_copy(update={"admitted": command.at_admitted})
    return Draft(name, finished, name, identity)


def _finish(state: State, campaign: Campaign, spec: CampaignSpec) -> CampaignFinished | None:
    assert campaign.started is not None
    if campaign.admitted >= spec.trajectories:
        return _finished(campaign, "trajectories")
    cells = cells_of(state, campaign.started.catalog_hash)
    if cells is not None and not cells:
        return _finished(campaign, "infeasible", "the catalog has no cluster with a usable tool")
    if any(slot not in campaign.terminal for slot in campaign.slots):
        return None
    if not _closed(campaign):
        return None
    if len(campaign.slots) >= _max_slots(spec):
        detail = (
            f"{len(campaign.slots)} slots gave {campaign.admitted} of {spec.trajectories}; see --max-slots"
        )
        return _finished(campaign, "slots", detail)
    if _cut(campaign, spec) or not _affordable(campaign, spec, len(campaign.generations)):
        detail = f"the next slots' allowance is not left of {_budget_text(spec)}"
        return _finished(campaign, "budget", detail)
    return None


def _finished(
    campaign: Campaign,
    reason: Literal["trajectories", "slots", "budget", "infeasible", "stopped"],
    detail: str = "",
    cause: str = "",
) -> CampaignFinished:
    return CampaignFinished(
        campaign=campaign.name,
        reason=reason,
        complete=reason == "trajectories",
        admitted=campaign.admitted,
        slots=len(campaign.slots),
        detail=detail,
        cause=cause,
    )


def _next_attempt(
    campaign: Campaign,
    started: CampaignStarted,
    cells: Cells | None,
    terrain: Terrain | None,
    number: int,
) -> Draft | None:
    """What a slot needs now: its next attempt, its abandonment, a pause, or nothing.

    After a plan that failed the next attempt aims at the same cell from another cluster; after a run that
    failed, from the same one. Both with the next seed.
    """
    slot = campaign.slots.get(number)
    if slot is None or number in campaign.terminal:
        return None
    spec = started.spec
    reasons: list[str] = []
    left = campaign.generations[slot.generation].allowance
    attempt, retry, redraws = 1, 0, 0
    while attempt <= spec.attempts:
        run = run_id(spec.campaign, number, attempt, retry)
        outcome = campaign.outcomes.get(run)
        if outcome is None:
            if run in campaign.issued:
                return None
            plan = slot.plan
            if redraws or plan.partner:
                if cells is None or terrain is None:
                    return None
                old = not spec.policy
                plan = cells.draw(spec.seed, number, redraws) if old else terrain.fallback(plan, redraws)
                plan = coding.aimed(plan, started)
            partner = terrain.by_id.get(plan.partner) if terrain is not None else None
            command = _command(campaign, started, slot.generation, plan, run, attempt, retry, left)
            if partner is not None:
                command = command.model_copy(update={"partner": partner.id, "partner_hash": partner.hash})
            return Draft(run, command, spec.campaign)
        if outcome.kind == "passed":
            return None
        if outcome.kind == "infrastructure":
            retry += 1
            if retry >= RETRIES * (campaign.resumes + 1) and run not in campaign.pauses:
                pause = CampaignPaused(campaign=spec.campaign, reason=outcome.reason, cause=run)
                return Draft(spec.campaign, pause, spec.campaign)
            continue
        reasons.append(outcome.reason)
        redraws += outcome.unplanned
        attempt, retry = attempt + 1, 0
        remaining = _remaining(left, outcome.usage)
        if remaining is None:
            reasons.append("limit: the slot's allowance is spent")
            break
        left = remaining
    abandoned = SlotAbandoned(
        campaign=spec.campaign, generation=slot.generation, slot=number, reasons=tuple(reasons)
    )
    return Draft(spec.campaign, abandoned, spec.campaign)


def _remaining(allowance: Allowance, usage: Usage) -> Allowance | None:
    """What is left of a slot's allowance, or None when it is spent."""
    usd = allowance.usd - usage.usd
    tokens = allowance.tokens - usage.tokens
    if (allowance.usd and usd <= 0) or (allowance.tokens and tokens <= 0):
        return None
    return Allowance(usd=usd if allowance.usd else 0.0, tokens=tokens if allowance.tokens else 0)


def _command(
    campaign: Campaign,
    started: CampaignStarted,
    generation: int,
    plan: SlotPlan,
    run: str,
    attempt: int,
    retry: int,
    left: Allowance,
) -> PlanBlueprint:
    spec = started.spec
    opened = campaign.generations[generation]
    steering = campaign.steering.get(generation - spec.lookahead) if opened.steering_version else None
    return PlanBlueprint(
        run=run,
        campaign=spec.campaign,
        generation=generation,
        slot=plan.slot,
        attempt=attempt,
        retry=retry,
        seed=derive(plan.seed, f"attempt/{attempt}"),
        catalog_hash=started.catalog_hash,
        cluster=plan.cluster,
        cluster_hash=plan.cluster_hash,
        target=plan.target,
        operator=plan.operator,
        parent=plan.parent,
        mate=plan.mate,
        prefer=plan.prefer,
        scatter=plan.scatter,
        steering_version=opened.steering_version,
        avoid=steering.avoid if steering and spec.policy in WEIGHED else (),
        allowance=left,
        code=started.code,
        packages=started.packages,
        max_turns=spec.max_turns,
        models=spec.models,
    )


def _open(state: State, campaign: Campaign, spec: CampaignSpec) -> GenerationOpened | None:
    """The next generation, when its steering is there and its slots can be paid for."""
    assert campaign.started is not None
    number = len(campaign.generations)
    steering = number - spec.lookahead
    if steering >= 0 and steering not in campaign.steering:
        return None
    if steering >= 0 and campaign.steering[steering].figures.admitted >= spec.trajectories:
        return None
    first = len(campaign.slots)
    wanted = _wanted(spec, first)
    room = min(wanted, _affordable(campaign, spec, number))
    if room < wanted and (not _closed(campaign) or campaign.admitted >= spec.trajectories):
        return None  # what is left is known exactly only when all that was opened is settled
    cells = cells_of(state, campaign.started.catalog_hash)
    if room <= 0 or not cells or _cut(campaign, spec):
        return None
    return GenerationOpened(
        campaign=spec.campaign,
        generation=number,
        steering_version=max(0, steering + 1),
        slots=tuple(
            coding.aimed(plan, campaign.started)
            for plan in _slots(state, campaign, cells, range(first, first + room))
        ),
        allowance=_allowance(spec),
        yields=campaign.archive.evidence() if spec.policy in EVOLVING else (),
    )


def _slots(state: State, campaign: Campaign, cells: Cells, numbers: range) -> tuple[SlotPlan, ...]:
    """The next slots, by the campaign's policy; the archive ends where the steering does."""
    assert campaign.started is not None
    spec = campaign.started.spec
    if not spec.policy:
        return tuple(cells.draw(spec.seed, slot) for slot in numbers)
    archive = campaign.archive
    under_way = [plan for opened in campaign.generations[archive.generations :] for plan in opened.slots]
    steering = campaign.steering[archive.generations - 1] if archive.generations else None
    terrain = state.terrains[campaign.started.catalog_hash]
    return plans(spec.policy, spec.seed, numbers, terrain, archive, under_way, steering)


def _wanted(spec: CampaignSpec, first: int) -> int:
    """Slots of the generation that begins with slot ``first``, where money does not matter."""
    return min(spec.generation_size, _max_slots(spec) - first)


def _cut(campaign: Campaign, spec: CampaignSpec) -> bool:
    """Whether the last generation is smaller than it should be, for want of money: then it is the last.

    Another one after it would begin elsewhere than in the unlimited campaign, of which this one is a prefix.
    """
    if not campaign.generations:
        return False
    last = len(campaign.generations[-1].slots)
    return last < _wanted(spec, len(campaign.slots) - last)


def _closed(campaign: Campaign) -> bool:
    """Whether all generations are closed."""
    return len(campaign.steering) >= len(campaign.generations)


def _budgeted(spec: CampaignSpec) -> bool:
    return bool(spec.budget_usd or spec.budget_tokens)


def _max_slots(spec: CampaignSpec) -> int:
    return spec.max_slots or 4 * spec.trajectories


def _allowance(spec: CampaignSpec) -> Allowance:
    """What one slot may spend: as asked, or an equal share of the budget."""
    share = max(1, spec.trajectories)
    return Allowance(
        usd=spec.allowance.usd or spec.budget_usd / share,
        tokens=spec.allowance.tokens or (spec.budget_tokens and max(1, spec.budget_tokens // share)),
    )


def _affordable(campaign: Campaign, spec: CampaignSpec, number: int) -> int:
    """Slots of generation ``number`` whose allowance is left.

    Settled are the slots of generations up to ``number − lookahead``; those of later ones count at
    their full allowance. Only where that is not enough, and all are closed, all are settled.
    """
    if not _budgeted(spec):
        return spec.generation_size
    left = _left(campaign, spec, max(0, number - spec.lookahead + 1))
    if (
        left < _wanted(spec, len(campaign.slots))
        and _closed(campaign)
        and campaign.admitted < spec.trajectories
    ):
        left = _left(campaign, spec, number)
    return left


def _left(campaign: Campaign, spec: CampaignSpec, settled: int) -> int:
    """Slots that can be paid for when generations below ``settled`` count at what they used."""
    allowance = _allowance(spec)
    usd, tokens, reserved = 0.0, 0, 0
    for slot, entry in campaign.slots.items():
        if entry.generation < settled:
            usage = campaign.spent.get(slot, Usage())
            usd, tokens = usd + usage.usd, tokens + usage.tokens
        else:
            reserved += 1
    counts = [spec.generation_size]
    if spec.budget_usd:
        counts.append(int((spec.budget_usd - usd) / allowance.usd + 1e-9) - reserved)
    if spec.budget_tokens:
        counts.append((spec.budget_tokens - tokens) // max(1, allowance.tokens) - reserved)
    return max(0, min(counts))


def _budget_text(spec: CampaignSpec) -> str:
    parts = [f"{spec.budget_usd} USD"] if spec.budget_usd else []
    if spec.budget_tokens:
        parts.append(f"{spec.budget_tokens} tokens")
    return " and ".join(parts) or "the budget"
