"""evolution-scheduler: given these events, when it decides, then these events."""

from __future__ import annotations

import itertools
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.blueprint import PlanBlueprint
from schemas.catalog import ClusterFormed
from schemas.diversity import Figures, SteeringUpdated, TrajectoryAdmitted
from schemas.envelope import Envelope, Message, payload
from schemas.evolution import (
    Allowance,
    CampaignFinished,
    CampaignPaused,
    CampaignResumed,
    CampaignSpec,
    CampaignStarted,
    GenerationOpened,
    SlotAbandoned,
    StartCampaign,
)
from schemas.sandbox import SandboxAnnounced
from schemas.topics import EVOLUTION_EVENTS
from services.evolution_scheduler.app import service
from services.evolution_scheduler.domain import BATCH, RETRIES, decide, evolve, initial
from services.evolution_scheduler.targets import FLAG_SETS, Cells, band, cells, derive, offer
from services.kit.fold import Fold
from tests.support.stage import (
    CLUSTERS,
    End,
    Script,
    Stage,
    always,
    before,
    catalog,
    cluster,
    ending,
    sandbox,
    scripted,
    shuffled_run,
    spec,
    started_stage,
)

OUTAGE = End("infrastructure", "unreachable")


def brief(messages: list[Message]) -> list[str]:
    """Events and commands in a word or two."""
    words = []
    for one in messages:
        match one:
            case GenerationOpened():
                slots = [plan.slot for plan in one.slots]
                words.append(f"open {one.generation}: {slots[0]}-{slots[-1]} by {one.steering_version}")
            case PlanBlueprint():
                words.append(one.run.removeprefix("c."))
            case SlotAbandoned():
                words.append(f"abandon {one.slot}")
            case CampaignFinished():
                words.append(f"end by {one.reason}: {one.admitted} of {one.slots}")
            case _:
                words.append(type(one).__name__.removeprefix("Campaign").lower())
    return words


def steered(generation: int, admitted: int = 0) -> SteeringUpdated:
    figures = Figures(admitted=admitted)
    return SteeringUpdated(campaign="c", generation=generation, version=generation + 1, figures=figures)


def admitted(slot: int, run: str = "", generation: int = 0) -> TrajectoryAdmitted:
    run = run or f"c.{slot}.1"
    return TrajectoryAdmitted(campaign="c", generation=generation, slot=slot, run=run, row=slot)


# The beginning


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
def test_a_campaign_starts_once_catalog_clusters_and_sandbox_are_there(order: tuple[int, ...]) -> None:
    asked = spec()
    clusters = [ClusterFormed(cluster=one) for one in CLUSTERS]
    parts: list[list[Message]] = [clusters, [catalog()], [sandbox()], [StartCampaign(spec=asked)]]
    stage = Stage()
    for index in order[:-1]:
        stage.put(*parts[index])
        assert stage.settle() == []
    stage.put(*parts[order[-1]])
    started, *others = stage.settle()
    assert isinstance(started, CampaignStarted)
    assert (started.spec, started.catalog_hash, started.code) == (asked, "cat", False)
    assert started.domains == ("banking", "orders", "tickets")
    assert started.sandbox == "none: nothing safe"
    assert started.infeasible[0] == "codes: not asked for; see --code"
    assert brief(others)[0] == "open 0: 0-2 by 0"


def test_nothing_starts_on_a_catalog_that_lacks_a_cluster() -> None:
    stage = Stage()
    stage.put(*[ClusterFormed(cluster=one) for one in CLUSTERS[:-1]], catalog(), sandbox())
    stage.put(StartCampaign(spec=spec()))
    assert stage.settle() == []


def test_a_campaign_names_its_catalog_or_takes_the_first() -> None:
    other = cluster("k9", "xy")
    stage = Stage()
    stage.put(*before(spec(catalog_hash="second")))
    assert stage.settle() == []
    stage.put(ClusterFormed(cluster=other), catalog([other], "second"))
    (started, *_) = stage.settle()
    assert started.catalog_hash == "second"  # type: ignore[attr-defined]
    assert {command.cluster for command in stage.commands.values()} == {"k9"}
    stage.put(StartCampaign(spec=spec(campaign="d")))
    stage.settle()
    assert [one.catalog_hash for one in stage.of(CampaignStarted)] == ["second", "cat"]


def test_a_catalog_keeps_its_clusters_when_they_are_formed_anew() -> None:
    """After a restart the old catalog is still what it was, though the ids have new hashes."""
    stage = started_stage(spec(9, lookahead=1))
    stage.settle()
    anew = [one.model_copy(update={"hash": f"{one.hash}, anew"}) for one in CLUSTERS]
    stage.put(*[ClusterFormed(cluster=one) for one in anew], catalog(anew, "cat 2"))
    stage.crash()
    stage.run()
    assert stage.finished is not None
    hashes = {one.cluster_hash for one in stage.commands.values()}
    assert hashes <= {one.hash for one in CLUSTERS}
    assert {plan.cluster_hash for opened in stage.of(GenerationOpened) for plan in opened.slots} <= hashes


def begun(asked: CampaignSpec, box: SandboxAnnounced) -> tuple[CampaignStarted, Stage]:
    stage = Stage()
    stage.put(*[ClusterFormed(cluster=one) for one in CLUSTERS], catalog(), box, StartCampaign(spec=asked))
    (started, *_) = stage.settle()
    assert isinstance(started, CampaignStarted)
    return started, stage


def test_a_safe_sandbox_is_recorded_and_nothing_aims_at_code_that_was_not_asked_for() -> None:
    started, stage = begun(spec(), sandbox(safe=True))
    assert (started.code, started.sandbox, started.packages) == (False, "jail", ())
    assert "codes: not asked for; see --code" in started.infeasible
    assert not any(command.code for command in stage.commands.values())


@pytest.mark.parametrize("asked", ["on", "auto"])
def test_a_share_of_the_slots_aims_at_code_on_top_of_a_cell(asked: str) -> None:
    size = {"generation_size": 200, "trajectories": 200, "code_share": 0.45}
    _, plain = begun(spec(**size), sandbox(safe=True))
    started, stage = begun(spec(code=asked, **size), sandbox(safe=True))
    assert (started.code, started.packages) == (True, ("numpy 2.0",))
    assert not any(reason.startswith("codes") for reason in started.infeasible)
    assert all(one.code and one.packages == ("numpy 2.0",) for one in stage.commands.values())
    without, drawn = plain.of(GenerationOpened)[0].slots, stage.of(GenerationOpened)[0].slots
    grown = {"single": "chain", "chain": "chain", "parallel": "dag", "dag": "dag"}
    for one, base in zip(drawn, without, strict=True):
        if "codes" not in one.target.flags:
            assert one == base
            continue
        assert (one.cluster, one.target.depth) == (base.cluster, base.target.depth + 1)
        assert one.target.flags == (*base.target.flags, "codes")
        assert one.target.shape == grown[base.target.shape]
    for count in range(20, len(drawn)):
        share = sum("codes" in one.target.flags for one in drawn[:count]) / count
        assert abs(share - 0.45) < 0.1


@pytest.mark.parametrize("box", [sandbox(), sandbox(safe=True, languages=("bash",))])
def test_without_a_sandbox_auto_goes_on_without_code_and_on_ends(box: SandboxAnnounced) -> None:
    started, stage = begun(spec(code="auto"), box)
    why = "nothing safe" if not box.safe else "the sandbox does not run python"
    assert (started.code, started.packages, f"codes: {why}" in started.infeasible) == (False, (), True)
    assert stage.of(GenerationOpened)
    started, stage = begun(spec(code="on"), box)
    assert not started.code
    (end,) = stage.of(CampaignFinished)
    assert (end.reason, end.complete, end.slots) == ("infeasible", False, 0)
    assert "--code auto" in end.detail
    assert not stage.of(GenerationOpened)


def test_the_first_of_two_orders_to_start_counts() -> None:
    stage = started_stage(spec(4))
    stage.put(StartCampaign(spec=spec(99)))
    stage.settle()
    (started,) = stage.of(CampaignStarted)
    assert started.spec.trajectories == 4


def test_campaigns_do_not_mix() -> None:
    stage = started_stage(spec(2, generation_size=2, lookahead=1))
    stage.put(StartCampaign(spec=spec(1, campaign="d", generation_size=1)))
    stage.settle()
    runs = list(stage.commands)
    assert sorted(runs) == ["c.0.1", "c.1.1", "d.0.1", "d.1.1"]
    stage.put(admitted(0), admitted(1))
    assert brief(stage.settle()) == ["end by trajectories: 2 of 2"]
    assert stage.finished is not None
    assert stage.finished.campaign == "c"


def test_an_empty_catalog_is_infeasible() -> None:
    stage = started_stage(spec())
    stage = Stage()
    stage.put(*before(spec(), ()))
    assert brief(stage.settle()) == ["started", "end by infeasible: 0 of 0"]


def test_no_trajectories_are_none() -> None:
    assert brief(started_stage(spec(0)).settle()) == ["started", "end by trajectories: 0 of 0"]


# Generations


@pytest.mark.parametrize("lookahead", [1, 2, 3])
def test_generations_open_with_the_steering_of_lookahead_before(lookahead: int) -> None:
    stage = started_stage(spec(40, lookahead=lookahead))
    opened = [w for w in brief(stage.settle()) if w.startswith("open")]
    assert opened == [f"open {g}: {3 * g}-{3 * g + 2} by 0" for g in range(lookahead)]
    assert stage.settle() == []
    for generation in range(4):
        stage.put(steered(generation, 3 * generation))
        number = generation + lookahead
        expected = f"open {number}: {3 * number}-{3 * number + 2} by {generation + 1}"
        assert [w for w in brief(stage.settle()) if w.startswith("open")] == [expected]


def test_commands_carry_the_steering_that_their_generation_was_opened_with() -> None:
    stage = started_stage(spec(12)).run()
    avoids = {one.generation: one.avoid for one in stage.of(SteeringUpdated)}
    assert any(avoids.values())
    for command in stage.commands.values():
        assert command.steering_version == max(0, command.generation - 1)
        assert command.avoid == avoids.get(command.generation - 2, ())


def test_commands_name_what_they_are_planned_from() -> None:
    models = {"assistant": {"model": "m", "base_url": "http://here"}}
    stage = started_stage(CampaignSpec.model_validate(spec(max_turns=9).model_dump() | {"models": models}))
    stage.settle()
    plans = {plan.slot: plan for opened in stage.of(GenerationOpened) for plan in opened.slots}
    hashes = {one.id: one.hash for one in CLUSTERS}
    for run, command in stage.commands.items():
        plan = plans[command.slot]
        assert run == f"c.{command.slot}.1"
        assert (command.attempt, command.retry, command.max_turns) == (1, 0, 9)
        assert (command.cluster, command.target) == (plan.cluster, plan.target)
        assert command.cluster_hash == hashes[command.cluster] == plan.cluster_hash
        assert command.catalog_hash == "cat"
        assert command.models["assistant"].base_url == "http://here"
        assert (command.operator, command.parent, command.allowance) == ("draw", "", Allowance())


def test_the_last_generation_is_cut_at_max_slots() -> None:
    stage = started_stage(spec(40, max_slots=8), rejects=range(100)).run()
    assert [len(opened.slots) for opened in stage.of(GenerationOpened)] == [3, 3, 2]
    assert brief(stage.events)[-1] == "end by slots: 0 of 8"
    assert stage.finished is not None
    assert not stage.finished.complete
    assert "--max-slots" in stage.finished.detail


def test_by_default_four_slots_a_trajectory_are_the_end() -> None:
    stage = started_stage(spec(2), rejects=range(1, 100)).run()
    assert brief(stage.events)[-1] == "end by slots: 1 of 8"


def test_a_campaign_that_fell_short_ends_only_when_all_is_closed() -> None:
    stage = started_stage(spec(40, max_slots=3))
    stage.settle()
    stage.put(admitted(0), admitted(1), admitted(2))
    assert stage.settle() == []
    stage.put(steered(0, 3))
    assert brief(stage.settle()) == ["end by slots: 3 of 3"]


def test_a_large_generation_is_handed_out_in_batches() -> None:
    stage = started_stage(spec(600, generation_size=600, lookahead=1))
    stage.read_all()
    sizes = []
    while sealed := stage.decide():
        sizes.append(len(sealed))
        stage.read_all()
    assert sizes == [1, 1, BATCH, BATCH, 600 - 2 * BATCH]
    assert list(stage.commands) == [f"c.{slot}.1" for slot in range(600)]


@pytest.mark.parametrize("lookahead", [1, 2])
@pytest.mark.parametrize("together", [False, True])
def test_no_generation_follows_the_one_that_fills_the_number(lookahead: int, together: bool) -> None:
    """Whether its close is read with its last row or after it must not show."""
    stage = started_stage(spec(3, lookahead=lookahead))
    stage.settle()
    stage.put(admitted(0), admitted(1), admitted(2))
    if together:
        stage.put(steered(0, 3))
    assert brief(stage.settle()) == [f"end by trajectories: 3 of {3 * lookahead}"]


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("paused", [False, True])
def test_a_generation_that_is_due_opens_before_the_end(together: bool, paused: bool) -> None:
    """Not even a pause makes a campaign end with other generations."""
    stage = started_stage(spec(4, lookahead=1))
    stage.settle()
    if paused:
        stage.control("pause")
        stage.settle()
    stage.put(admitted(0), admitted(1), admitted(2), steered(0, 3))
    if not together and not paused:
        stage.settle()
    stage.put(admitted(3, generation=1))
    stage.settle()
    assert brief(stage.chain) == [
        "started",
        "open 0: 0-2 by 0",
        "open 1: 3-5 by 1",
        "end by trajectories: 4 of 6",
    ]


# Attempts


def test_a_failed_run_is_tried_again_with_the_next_seed_from_the_same_cluster() -> None:
    ends = {"c.0.1": End("failed"), "c.0.2": End("content")}
    stage = started_stage(spec(1, generation_size=1), scripted(ends)).run()
    first, second, third = (stage.commands[f"c.0.{attempt}"] for attempt in (1, 2, 3))
    assert len({first.seed, second.seed, third.seed}) == 3
    for number, command in enumerate((first, second, third), start=1):
        changed = {"run": f"c.0.{number}", "attempt": number, "seed": command.seed}
        assert command == first.model_copy(update=changed)
    assert brief(stage.events)[-1] == "end by trajectories: 1 of 2"


def test_a_failed_plan_is_tried_again_from_another_cluster_of_the_cell() -> None:
    clusters = [cluster(f"k{i}") for i in range(3)]
    stage = Stage(lambda command: End("unplanned" if command.slot < 20 else "passed"))
    stage.put(*before(spec(20, generation_size=20, lookahead=1), clusters))
    stage.run()
    for slot in range(20):
        made = [stage.commands[f"c.{slot}.{attempt}"] for attempt in (1, 2, 3)]
        assert len({one.cluster for one in made}) == 3, slot
        assert len({one.seed for one in made}) == 3
        for one in made:
            assert one.target == made[0].target
            assert one.cluster_hash == f"hash of {one.cluster}"


def test_another_cluster_lasts_and_the_only_one_is_taken_again() -> None:
    ends = {"c.0.1": End("unplanned"), "c.0.2": End("failed")}
    stage = started_stage(spec(1, generation_size=1, lookahead=1), scripted(ends)).run()
    assert stage.commands["c.0.2"].cluster == stage.commands["c.0.3"].cluster
    alone = Stage(scripted(ends))
    alone.put(*before(spec(1, generation_size=1, lookahead=1), [cluster("k", "a")]))
    alone.run()
    assert {one.cluster for one in alone.commands.values()} == {"k"}
    assert alone.finished is not None
    assert alone.finished.complete


def test_three_attempts_and_a_slot_is_abandoned_with_a_reason_each() -> None:
    ends = {
        "c.0.1": End("unplanned", "cyclic"),
        "c.0.2": End("failed", "wrong_state"),
        "c.0.3": End("content", "bad_json"),
    }
    stage = started_stage(spec(1, generation_size=1), scripted(ends)).run()
    (given_up,) = stage.of(SlotAbandoned)
    assert given_up.reasons == ("planner: cyclic", "assistant: wrong_state", "user: bad_json")
    assert (given_up.generation, given_up.slot) == (0, 0)
    assert [run for run in stage.commands if run.startswith("c.0.")] == ["c.0.1", "c.0.2", "c.0.3"]
    assert [one.slot for one in stage.of(TrajectoryAdmitted)] == [1]


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_attempts_are_as_many_as_asked_for(attempts: int) -> None:
    stage = started_stage(spec(1, attempts=attempts, max_slots=1), lambda _: End("failed")).run()
    assert len(stage.commands) == attempts
    assert len(stage.of(SlotAbandoned)[0].reasons) == attempts
    assert brief(stage.events)[-1] == "end by slots: 0 of 1"


def test_a_verdict_without_findings_failed_by_the_judge_has_a_reason() -> None:
    stage = started_stage(spec(1, attempts=1, max_slots=1))
    stage.settle()
    command = stage.commands["c.0.1"]
    event = ending(command, End("failed"))
    verdict = event.verdict.model_copy(update={"findings": ()})  # type: ignore[attr-defined]
    stage.put(event.model_copy(update={"verdict": verdict}))
    (given_up,) = stage.settle()
    assert isinstance(given_up, SlotAbandoned)
    assert given_up.reasons == ("judge",)


def test_a_passed_run_needs_nothing_and_is_not_tried_again() -> None:
    stage = started_stage(spec(9))
    stage.settle()
    stage.put(ending(stage.commands["c.0.1"], End()))
    assert stage.settle() == []
    stage.put(admitted(0))
    assert stage.settle() == []


def test_what_is_asked_for_is_asked_once() -> None:
    stage = started_stage(spec(9))
    stage.settle()
    assert stage.settle() == []
    stage.put(ending(stage.commands["c.1.1"], End("failed")))
    assert brief(stage.settle()) == ["1.2"]
    assert stage.settle() == []
    stage.crash()
    assert stage.settle() == []


# Infrastructure


def test_failures_of_infrastructure_repeat_the_attempt_with_its_seed() -> None:
    ends = {"c.0.1": OUTAGE, "c.0.1.1": End("unplannable")}
    stage = started_stage(spec(1, generation_size=1, lookahead=1), scripted(ends)).run()
    first = stage.commands["c.0.1"]
    for retry in (1, 2):
        changed = {"run": f"c.0.1.{retry}", "retry": retry}
        assert stage.commands[f"c.0.1.{retry}"] == first.model_copy(update=changed)
    assert brief(stage.events)[-1] == "end by trajectories: 1 of 1"


def test_three_failures_in_a_row_pause_the_campaign_and_decide_no_slot() -> None:
    stage = started_stage(spec(1, generation_size=1, lookahead=1), lambda _: OUTAGE).run()
    assert RETRIES == 3
    assert list(stage.commands) == ["c.0.1", "c.0.1.1", "c.0.1.2"]
    (pause,) = stage.of(CampaignPaused)
    assert (pause.reason, pause.cause) == ("infrastructure: unreachable", "c.0.1.2")
    assert stage.of(SlotAbandoned) == []
    assert stage.finished is None
    stage.crash()
    assert stage.settle() == []


def test_each_resume_gives_three_more_until_the_world_is_back() -> None:
    stage = started_stage(spec(1, generation_size=1, lookahead=1), lambda _: OUTAGE).run()
    for round_ in range(1, 4):
        stage.control("resume", f"nonce {round_}")
        stage.run()
        assert list(stage.commands)[-1] == f"c.0.1.{3 * round_ + 2}"
        assert len(stage.of(CampaignPaused)) == round_ + 1
    stage.script = always
    stage.control("resume", "nonce 4")
    stage.run()
    assert brief(stage.events)[-1] == "end by trajectories: 1 of 1"
    assert {command.attempt for command in stage.commands.values()} == {1}
    assert len({command.seed for command in stage.commands.values()}) == 1


def test_an_outage_that_meets_many_slots_pauses_once() -> None:
    stage = started_stage(spec(9, generation_size=6, lookahead=1), lambda _: OUTAGE).run()
    assert len(stage.of(CampaignPaused)) == 1
    stage.script = always
    stage.control("resume", "n")
    stage.run()
    assert len(stage.of(CampaignPaused)) == 1
    assert stage.finished is not None
    assert stage.finished.complete


def test_a_failure_of_content_between_outages_starts_the_count_anew() -> None:
    ends = {
        "c.0.1": OUTAGE,
        "c.0.1.1": OUTAGE,
        "c.0.1.2": End("failed"),
        "c.0.2": OUTAGE,
        "c.0.2.1": OUTAGE,
        "c.0.2.2": End("failed"),
        "c.0.3": OUTAGE,
        "c.0.3.1": OUTAGE,
        "c.0.3.2": End("failed", "last"),
    }
    stage = started_stage(spec(1, generation_size=1, max_slots=1), scripted(ends)).run()
    assert stage.of(CampaignPaused) == []
    (given_up,) = stage.of(SlotAbandoned)
    assert given_up.reasons == ("assistant: bad", "assistant: bad", "assistant: last")
    assert list(stage.commands) == list(ends)


# Money


def test_attempts_share_the_allowance_of_their_slot() -> None:
    ends = {"c.0.1": End("failed", tokens=40, usd=0.25), "c.0.2": End("content", tokens=50, usd=0.5)}
    asked = spec(1, generation_size=1, lookahead=1, allowance=Allowance(usd=1.0, tokens=100))
    stage = started_stage(asked, scripted(ends)).run()
    allowances = [stage.commands[f"c.0.{attempt}"].allowance for attempt in (1, 2, 3)]
    assert [one.tokens for one in allowances] == [100, 60, 10]
    assert [one.usd for one in allowances] == [1.0, 0.75, 0.25]


@pytest.mark.parametrize("end", [End("failed", tokens=100), End("failed", usd=1.0)])
def test_a_slot_whose_allowance_is_spent_is_abandoned(end: End) -> None:
    asked = spec(1, generation_size=1, lookahead=1, max_slots=1, allowance=Allowance(usd=1.0, tokens=100))
    stage = started_stage(asked, lambda _: end).run()
    (given_up,) = stage.of(SlotAbandoned)
    assert given_up.reasons == ("assistant: bad", "limit: the slot's allowance is spent")
    assert list(stage.commands) == ["c.0.1"]


def test_without_limits_nothing_is_counted() -> None:
    stage = started_stage(spec(4), lambda _: End(tokens=10**9, usd=1e6)).run()
    assert stage.finished is not None
    assert stage.finished.complete
    assert {command.allowance for command in stage.commands.values()} == {Allowance()}


def test_a_budget_gives_each_slot_an_equal_share() -> None:
    stage = started_stage(spec(4, budget_usd=2.0, budget_tokens=402))
    stage.settle()
    assert {command.allowance for command in stage.commands.values()} == {Allowance(usd=0.5, tokens=100)}
    assert {opened.allowance for opened in stage.of(GenerationOpened)} == {Allowance(usd=0.5, tokens=100)}


def test_a_budget_below_one_token_a_slot_is_no_leave_to_spend() -> None:
    stage = started_stage(spec(10, budget_tokens=5))
    stage.settle()
    assert {command.allowance.tokens for command in stage.commands.values()} == {1}
    assert len(stage.commands) == 3  # what is left for the next generation is known when this one is closed


@pytest.mark.parametrize("budget", [{"budget_usd": 1.0}, {"budget_tokens": 1000}])
def test_a_generation_opens_only_what_is_left_for(budget: dict[str, float]) -> None:
    asked = spec(40, allowance=Allowance(usd=0.25, tokens=250), **budget)
    stage = started_stage(asked, lambda _: End(usd=0.2, tokens=200))
    stage.run()
    assert [len(opened.slots) for opened in stage.of(GenerationOpened)][-1] < 3
    assert brief(stage.events)[-1].startswith("end by budget")


def test_what_slots_did_not_use_opens_more_until_a_generation_is_cut() -> None:
    asked = spec(40, budget_tokens=1000, allowance=Allowance(tokens=100), lookahead=1)
    stage = started_stage(asked, lambda _: End(tokens=60)).run()
    opened = [len(one.slots) for one in stage.of(GenerationOpened)]
    assert opened == [3, 3, 3, 3, 2]  # 1000 − 12·60 = 280: two allowances; a cut generation is the last
    assert brief(stage.events)[-1] == "end by budget: 14 of 14"
    assert stage.finished is not None
    assert "1000 tokens" in stage.finished.detail
    assert not stage.finished.complete


def test_the_budget_ends_no_campaign_that_has_what_it_wants() -> None:
    asked = spec(10, budget_usd=1.0, allowance=Allowance(usd=0.1), generation_size=10, lookahead=1)
    stage = started_stage(asked, lambda _: End(usd=0.1)).run()
    assert brief(stage.events)[-1] == "end by trajectories: 10 of 10"


def test_only_closed_generations_are_settled() -> None:
    """What a slot of an open generation has used so far depends on timing, so it must not show."""
    asked = spec(40, budget_tokens=650, allowance=Allowance(tokens=100))
    stage = started_stage(asked)
    stage.settle()
    for slot in range(6):
        stage.put(ending(stage.commands[f"c.{slot}.1"], End(tokens=10)))
    assert stage.settle() == []
    stage.put(*[admitted(slot) for slot in range(3)])
    assert stage.settle() == []
    stage.put(steered(0, 3))
    opened, *_ = stage.settle()
    assert isinstance(opened, GenerationOpened)
    assert len(opened.slots) == 3  # 650 − 3·10 − 3·100 = 320


def test_a_close_read_before_the_runs_that_it_settles_waits_for_them() -> None:
    asked = spec(40, budget_tokens=800, allowance=Allowance(tokens=100))
    stage = started_stage(asked)
    stage.settle()
    ends = [ending(stage.commands[f"c.{slot}.1"], End(tokens=60)) for slot in range(3)]
    stage.put(*[admitted(slot) for slot in range(3)], steered(0, 3))
    assert stage.settle() == []
    stage.put(*ends[:2])
    assert stage.settle() == []
    stage.put(ends[2])
    assert brief(stage.settle())[0] == "open 2: 6-8 by 1"  # 800 − 3·60 − 3·100 = 320


def test_the_usage_of_failed_attempts_and_retries_counts() -> None:
    ends = {"c.0.1": End("infrastructure", tokens=30), "c.0.1.1": End("failed", tokens=30)}
    asked = spec(40, budget_tokens=300, allowance=Allowance(tokens=100), generation_size=1, lookahead=1)
    stage = started_stage(asked, scripted(ends, End(tokens=90))).run()
    # 30 + 30 + 90, then 90: 60 are left, not another 100.
    assert brief(stage.events)[-1] == "end by budget: 2 of 2"


# Orders


def test_pause_holds_everything_and_resume_goes_on() -> None:
    stage = started_stage(spec(9, lookahead=1))
    stage.settle()
    stage.control("pause", "p", reason="lunch")
    assert [(one.reason, one.cause) for one in stage.settle()] == [("lunch", "p")]  # type: ignore[attr-defined]
    stage.put(ending(stage.commands["c.0.1"], End("failed")), admitted(1), admitted(2))
    assert stage.settle() == []
    stage.put(admitted(0), steered(0, 3))
    assert stage.settle() == []
    stage.control("resume", "r")
    assert brief(stage.settle()) == ["resumed", "open 1: 3-5 by 1", "3.1", "4.1", "5.1"]


def test_a_failed_slot_goes_on_after_the_resume() -> None:
    stage = started_stage(spec(9, lookahead=1))
    stage.settle()
    stage.control("pause", "p")
    stage.settle()
    stage.put(ending(stage.commands["c.0.1"], End("failed")))
    assert stage.settle() == []
    stage.control("resume", "r")
    assert brief(stage.settle()) == ["resumed", "0.2"]


@pytest.mark.parametrize("action", ["pause", "resume", "stop"])
def test_the_same_order_twice_is_carried_out_once(action: str) -> None:
    stage = started_stage(spec(9))
    stage.settle()
    if action == "resume":
        stage.control("pause", "p")
        stage.settle()
    stage.control(action, "n")
    stage.control(action, "n", reason="again")
    done = stage.settle()
    assert len(done) == 1
    assert done[0].cause == "n"  # type: ignore[attr-defined]
    stage.crash()
    stage.control(action, "n", reason="and again")
    assert stage.settle() == []


def test_orders_without_a_nonce_are_told_apart_by_their_ids() -> None:
    stage = started_stage(spec(9))
    stage.settle()
    stage.control("pause")
    stage.control("resume")
    stage.control("pause", reason="other")
    assert brief(stage.settle()) == ["paused", "resumed", "paused"]


def test_a_stop_ends_the_campaign_for_good() -> None:
    stage = started_stage(spec(9))
    stage.settle()
    stage.put(admitted(0))
    stage.control("stop", "n", reason="enough")
    (end,) = stage.settle()
    assert isinstance(end, CampaignFinished)
    assert (end.reason, end.detail, end.cause, end.complete) == ("stopped", "enough", "n", False)
    assert (end.admitted, end.slots) == (1, 6)
    stage.put(ending(stage.commands["c.1.1"], End("failed")), admitted(2), steered(0, 2))
    stage.control("resume", "r")
    stage.control("stop", "n2")
    assert stage.settle() == []


def test_a_paused_campaign_can_be_stopped() -> None:
    stage = started_stage(spec(9))
    stage.settle()
    stage.control("pause", "p")
    stage.control("stop", "s")
    assert brief(stage.settle()) == ["paused", "end by stopped: 0 of 6"]


def test_an_order_before_the_campaign_is_carried_out_when_it_has_started() -> None:
    stage = Stage()
    stage.control("stop", "n")
    assert stage.settle() == []
    stage.put(*before(spec()))
    assert brief(stage.settle()) == ["started", "end by stopped: 0 of 0"]


def test_a_stop_at_a_sequence_comes_when_the_campaign_stands_there_with_the_rows_of_then() -> None:
    stage = started_stage(spec(9, lookahead=1))
    stage.control("stop", "n", at_sequence=3, at_admitted=4)
    stage.run()
    assert brief(stage.chain) == [
        "started",
        "open 0: 0-2 by 0",
        "open 1: 3-5 by 1",
        "end by stopped: 4 of 6",
    ]
    assert [run for run in stage.commands if run.startswith(("c.3", "c.4", "c.5"))] == [
        "c.3.1",
        "c.4.1",
        "c.5.1",
    ]


def test_an_order_that_is_not_due_holds_up_none_that_is() -> None:
    stage = started_stage(spec(9))
    stage.settle()
    stage.control("stop", "late", at_sequence=99)
    stage.control("pause", "now")
    assert brief(stage.settle()) == ["paused"]


# Prefixes


def slots_of(stage: Stage) -> list[tuple[object, ...]]:
    """What was tried for each slot, in slot order; of slots still open when it ended, the plan alone."""
    plans = [plan for opened in stage.of(GenerationOpened) for plan in opened.slots]
    assert [plan.slot for plan in plans] == list(range(len(plans)))
    return list(plans)


def failing(command: PlanBlueprint) -> End:
    """A third of the runs fail, as their seeds say."""
    rng = random.Random(f"{command.seed}/{command.cluster}")
    return End("failed" if rng.random() < 0.3 else "passed", tokens=rng.randrange(20, 90))


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("lookahead", [1, 2, 3])
def test_a_smaller_campaign_is_a_prefix_of_a_larger_one(size: int, lookahead: int) -> None:
    asked = spec(30, generation_size=size, lookahead=lookahead)
    whole = started_stage(asked, failing).run()
    for number in (1, 3, 7, 10, 15, 29):
        part = started_stage(asked.model_copy(update={"trajectories": number}), failing).run()
        plans = slots_of(part)
        assert plans == slots_of(whole)[: len(plans)]
        rows = part.of(TrajectoryAdmitted)
        assert len(rows) == number
        assert rows == whole.of(TrajectoryAdmitted)[:number]
        last = rows[-1].slot
        for run, command in part.commands.items():
            if command.slot <= last:
                assert command == whole.commands[run]


@pytest.mark.parametrize("lookahead", [1, 2])
def test_a_smaller_budget_draws_a_prefix(lookahead: int) -> None:
    asked = spec(60, generation_size=5, lookahead=lookahead, allowance=Allowance(tokens=250))
    whole = started_stage(asked, failing).run()
    for budget in (100, 250, 900, 1700, 3000):
        part = started_stage(asked.model_copy(update={"budget_tokens": budget}), failing).run()
        plans, rows = slots_of(part), part.of(TrajectoryAdmitted)
        assert part.finished is not None
        assert part.finished.reason == "budget"
        assert plans == slots_of(whole)[: len(plans)]
        assert [one.run for one in rows] == [one.run for one in whole.of(TrajectoryAdmitted)[: len(rows)]]
        assert sum(
            one.usage.tokens for one in (ending(c, failing(c)) for c in part.commands.values())
        ) <= max(budget, 250)


def test_a_smaller_budget_plans_each_slot_with_the_same_steering() -> None:
    """The planner avoids what the steering says, so another steering is another plan for the same slot."""
    asked = spec(60, generation_size=5, lookahead=2, allowance=Allowance(tokens=250))
    whole = started_stage(asked, failing).run()
    part = started_stage(asked.model_copy(update={"budget_tokens": 1700}), failing).run()
    for run, command in part.commands.items():
        there = whole.commands[run]
        assert (command.steering_version, command.avoid) == (there.steering_version, there.avoid), run


# Order, crashes, repetition


KINDS = ("passed", "failed", "content", "unplanned", "infrastructure", "unplannable")


def mixed(seed: int, outages: int = 2) -> Script:
    """Ends that a run's id draws; ``outages`` retries at most."""

    def script(command: PlanBlueprint) -> End:
        rng = random.Random(f"{seed}/{command.run}")
        outage = int(command.retry < outages)
        (kind,) = rng.choices(KINDS, (6, 2, 1, 1, outage, outage))
        return End(kind, tokens=rng.randrange(10, 120))  # type: ignore[arg-type]

    return script


CAMPAIGNS = st.builds(
    spec,
    trajectories=st.integers(1, 9),
    generation_size=st.integers(1, 5),
    lookahead=st.integers(1, 3),
    max_slots=st.sampled_from([0, 7]),
    budget_tokens=st.sampled_from([0, 0, 500, 2000]),
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    CAMPAIGNS, st.integers(0, 999), st.sets(st.integers(0, 30), max_size=8), st.randoms(use_true_random=False)
)
def test_no_order_and_no_crash_changes_what_is_decided(
    asked: CampaignSpec, seed: int, rejects: set[int], rng: random.Random
) -> None:
    straight = started_stage(asked, mixed(seed), rejects).run()
    assert straight.finished is not None
    for twice in (False, True):
        stage = started_stage(asked, mixed(seed), rejects)
        stage.twice = twice
        shuffled_run(stage, rng)
        assert stage.chain == straight.chain
        for run in stage.commands.keys() & straight.commands.keys():
            assert stage.commands[run] == straight.commands[run]


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(CAMPAIGNS, st.integers(0, 999), st.randoms(use_true_random=False))
def test_pauses_do_not_change_what_is_decided(asked: CampaignSpec, seed: int, rng: random.Random) -> None:
    straight = started_stage(asked, mixed(seed)).run()
    stage = started_stage(asked, mixed(seed))
    for number in range(6):
        for _ in range(rng.randrange(40)):
            if places := stage.readable():
                stage.read(rng.choice(places))
            rng.choice((stage.decide, stage.play_monitor, stage.play_run))()
        stage.control("pause" if number % 2 == 0 else "resume", f"n{number}")
    shuffled_run(stage, rng)
    assert stage.chain == straight.chain


@settings(max_examples=30, deadline=None)
@given(CAMPAIGNS, st.integers(0, 999), st.randoms(use_true_random=False))
def test_outages_pause_until_someone_resumes_and_decide_nothing(
    asked: CampaignSpec, seed: int, rng: random.Random
) -> None:
    def script(command: PlanBlueprint) -> End:
        return OUTAGE if command.retry < 4 and command.seed % 3 == 0 else mixed(seed, 0)(command)

    def ended(play: Callable[[Stage], Stage]) -> Stage:
        stage = play(started_stage(asked, script))
        for number in range(60):
            if stage.finished is not None:
                return stage
            stage.control("resume", f"n{number}")
            play(stage)
        raise AssertionError("it never ends")

    assert ended(lambda stage: shuffled_run(stage, rng)).chain == ended(Stage.run).chain


def test_a_crash_at_every_event_changes_nothing() -> None:
    asked = spec(4, generation_size=2)
    straight = started_stage(asked, mixed(5)).run()
    for at in range(1, len(straight.order)):
        stage = started_stage(asked, mixed(5))
        while len(stage.order) < at:
            stage.read_all()
            if not (stage.decide() or stage.play_run() or stage.play_monitor()):
                break
        stage.crash()
        stage.run()
        assert stage.chain == straight.chain
        last = max(one.slot for one in straight.of(TrajectoryAdmitted))
        tried = [{r: c for r, c in one.commands.items() if c.slot <= last} for one in (stage, straight)]
        assert tried[0] == tried[1]


def test_a_slot_whose_failure_is_read_before_its_command_is_not_forgotten() -> None:
    """After a restart the topics are read in any order, the own ones too."""
    stage = started_stage(spec(1, generation_size=1, lookahead=1), scripted({"c.0.1": End("failed")}))
    stage.settle()
    stage.play_run()
    stage.crash()
    places = sorted(stage.readable(), key=lambda place: place[0] == "tds.blueprint.commands")
    for place in places:
        while place in stage.readable():
            stage.read(place)
    assert brief(stage.settle()) == ["0.2"]


@pytest.mark.parametrize("schedule", range(20))
def test_two_schedulers_on_one_log_make_one_campaign(schedule: int) -> None:
    rng = random.Random(schedule)
    asked = spec(5, generation_size=2, budget_tokens=1000)
    stage = started_stage(asked, mixed(schedule))
    rival = (Fold(service(), {}), dict[tuple[str, int], int]())
    for _ in range(3000):
        if rng.random() < 0.3:
            mine, (stage.fold, stage.position) = (stage.fold, stage.position), rival
            rival = mine
        if (places := stage.readable()) and rng.random() < 0.8:
            stage.read(rng.choice(places))
        else:
            rng.choice((stage.decide, stage.decide, stage.play_run, stage.play_monitor))()
    assert stage.run().chain == started_stage(asked, mixed(schedule)).run().chain


def test_every_unsequenced_event_twice_changes_nothing() -> None:
    """The chain drops repetitions of the latest messages; the folds of older ones must not mind."""
    stage = started_stage(spec(2, generation_size=2, lookahead=1, attempts=1), mixed(3))
    stage.control("pause", "p")
    stage.control("resume", "r")
    stage.run()
    once, twice = initial(), initial()
    chained = {CampaignStarted, GenerationOpened}
    for envelope in stage.order:
        once, twice = evolve(once, envelope), evolve(twice, envelope)
        if type(envelope.data) not in chained:
            twice = evolve(twice, envelope)
        assert decide(once) == decide(twice)
    assert once.campaigns == twice.campaigns
    assert stage.finished is not None


def test_a_resume_that_comes_again_late_leaves_a_later_pause_alone() -> None:
    state = initial()
    asked = spec(9)
    messages: list[Message] = [
        *before(asked),
        CampaignStarted(spec=asked, catalog_hash="cat", domains=(), code=False),
    ]
    paused, resumed = (
        CampaignPaused(campaign="c", reason="", cause="p"),
        CampaignResumed(campaign="c", cause="r"),
    )
    again = CampaignPaused(campaign="c", reason="", cause="p2")
    for number, data in enumerate([*messages, paused, resumed, again, resumed]):
        state = evolve(state, Envelope(id=str(number), source="", time="", subject="", data=data))
    assert decide(state) == ()


# Targets


SHAPES = [
    ("one tool", cluster("k", "a"), [("single", 1)]),
    ("two apart", cluster("k", "ab"), [("single", 1), ("parallel", 2)]),
    (
        "many apart are three at once",
        cluster("k", "abcdef"),
        [("single", 1), ("parallel", 2), ("parallel", 3)],
    ),
    ("a chain of two", cluster("k", "ab", ["ab"]), [("single", 1), ("chain", 2)]),
    (
        "a chain and one beside it",
        cluster("k", "abcd", ["ab", "bc"]),
        [("single", 1), ("chain", 2), ("chain", 3), ("parallel", 2)],
    ),
    (
        "one feeds two",
        cluster("k", "abc", ["ab", "ac"]),
        [("single", 1), ("chain", 2), ("dag", 3)],
    ),
    (
        "two feed one",
        cluster("k", "abcd", ["ac", "bc"]),
        [("single", 1), ("chain", 2), ("parallel", 2), ("parallel", 3), ("dag", 3), ("dag", 4)],
    ),
    ("a circle of two", cluster("k", "ab", ["ab", "ba"]), [("single", 1), ("chain", 2)]),
    (
        "a circle of three, entered anywhere",
        cluster("k", "abc", ["ab", "bc", "ca"]),
        [("single", 1), ("chain", 2), ("chain", 3)],
    ),
    ("a tool that feeds itself", cluster("k", "a", ["aa"]), [("single", 1)]),
    (
        "no deeper than five",
        cluster("k", "abcdefgh", ["ab", "bc", "cd", "de", "ef", "fg", "gh"]),
        [("single", 1), ("chain", 2), ("chain", 3), ("chain", 4), ("chain", 5)],
    ),
    (
        "the same edge twice joins nothing",
        cluster("k", "abc", ["ab", "ab", "bc"]),
        [("single", 1), ("chain", 2), ("chain", 3)],
    ),
    ("nothing", cluster("k", ""), []),
]


@pytest.mark.parametrize(("one", "expected"), [case[1:] for case in SHAPES], ids=[case[0] for case in SHAPES])
def test_the_cells_that_a_cluster_can_serve(one, expected) -> None:
    assert cells(offer(one)) == expected


def test_the_longest_chain_in_a_thicket() -> None:
    letters = "abcdefghijkl"
    every = [a + b for a in letters for b in letters if a != b]
    assert offer(cluster("k", letters, every)).depth == 5
    assert offer(cluster("k", letters, [e for e in every if e[0] < e[1]])).depth == 5
    assert offer(cluster("k", "abcd", [e for e in every if e[0] in "abcd" and e[1] in "abcd"])).depth == 4


def test_only_what_a_cluster_can_serve_is_drawn_and_every_cell_about_as_often() -> None:
    offers = {one.id: offer(one) for one in CLUSTERS}
    drawn = Cells(list(offers.values()))
    plans = [drawn.draw(3, slot) for slot in range(4000)]
    found = Counter((plan.target.shape, plan.target.depth) for plan in plans)
    every = {cell for one in offers.values() for cell in cells(one)}
    assert found.keys() == every
    assert len(drawn) == len(every)
    for count in found.values():
        assert count == pytest.approx(4000 / len(every), rel=0.2)
    for plan in plans:
        served = offers[plan.cluster]
        assert (plan.target.shape, plan.target.depth) in cells(served)
        assert (plan.cluster_hash, plan.target.domain) == (served.hash, served.domain)
        assert plan.target.flags in FLAG_SETS
        assert not (plan.target.shape == "single" and "recovers" in plan.target.flags)
        assert plan.target.band == band(plan.target.depth, plan.target.flags)
    chains = Counter(
        plan.cluster for plan in plans if plan.target.depth == 2 and plan.target.shape == "chain"
    )
    assert set(chains) == {"k1", "k2", "k4"}
    assert max(chains.values()) < 1.5 * min(chains.values())
    flags = Counter(plan.target.flags for plan in plans if plan.target.shape != "single")
    assert max(flags.values()) < 1.3 * min(flags.values())


def test_bands_grow_with_depth_and_recovery() -> None:
    assert [band(depth, ()) for depth in range(1, 6)] == sorted(band(depth, ()) for depth in range(1, 6))
    assert band(1, ()) == 0
    assert band(5, ("recovers",)) == 3
    assert band(1, ("recovers",)) >= band(1, ("clarifies",)) >= band(1, ())


def test_slots_are_drawn_apart() -> None:
    drawn = Cells([offer(one) for one in CLUSTERS])
    assert drawn.draw(3, 8) == drawn.draw(3, 8)
    assert len({drawn.draw(3, slot).seed for slot in range(500)}) == 500
    assert [drawn.draw(3, slot) for slot in range(9)] != [drawn.draw(4, slot) for slot in range(9)]
    assert derive(3, "a") == derive(3, "a") != derive(3, "b")
    assert 0 <= derive(3, "a") < 2**31


DRAWN_APART = """
from schemas.envelope import payload
from tests.support.stage import spec, started_stage
from tests.unit.test_evolution_scheduler import mixed
stage = started_stage(spec(5), mixed(2)).run()
print([payload(one.data) for one in stage.order])
"""


@pytest.mark.slow
def test_nothing_hangs_on_the_order_of_hashes() -> None:
    told = [
        subprocess.run(
            [sys.executable, "-c", DRAWN_APART],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert b"dag" in told[0]


def test_a_generation_of_the_largest_size_fits_its_topic() -> None:
    """Otherwise the append raises, and the scheduler with it, at every start."""
    long = [cluster("an-honest-server-name#12", "ab", ["ab"], digest="0123456789abcdef")]
    drawn = Cells([offer(one) for one in long])
    plans = tuple(drawn.draw(3, slot) for slot in range(2048))
    opened = GenerationOpened(campaign="c", generation=0, steering_version=0, slots=plans)
    assert len(payload(opened)) <= EVOLUTION_EVENTS.max_bytes
