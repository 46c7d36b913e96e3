"""How slots are chosen: the archive, operators, and the five policies."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import get_args

import pytest

from schemas.blueprint import PlanBlueprint
from schemas.diversity import Measurement, SteeringUpdated, TrajectoryAdmitted, coarse_mode
from schemas.envelope import payload
from schemas.evolution import (
    CampaignSpec,
    CampaignStarted,
    GenerationOpened,
    OperatorYield,
    Policy,
    SlotPlan,
    Spare,
    Target,
)
from schemas.topics import EVOLUTION_EVENTS
from services.evolution_scheduler import coding
from services.evolution_scheduler.archive import Archive, Taken, main_domain
from services.evolution_scheduler.operators import OPERATORS, child, choose
from services.evolution_scheduler.policies import QUOTA, plans
from services.evolution_scheduler.targets import cells, offer
from services.evolution_scheduler.terrain import SPARES, Terrain, aimed, forms
from tests.support.stage import (
    CLUSTERS,
    End,
    cluster,
    scripted,
    shuffled_run,
    spec,
    started_stage,
)

POLICIES: Sequence[Policy] = get_args(Policy)
BUSY = (
    *CLUSTERS,
    cluster("k5", "mnopqr", ("mn", "no", "op", "mq"), "banking"),
    cluster("k6", "stuv", ("st", "su", "tv"), "tickets"),
)


def terrain() -> Terrain:
    return Terrain([offer(one) for one in BUSY])


def chosen(policy: Policy, count: int, archive: Archive | None = None, **more: object) -> list[SlotPlan]:
    found = plans(policy, 7, range(count), terrain(), archive or Archive(), (), None)
    assert not more
    return list(found)


def taken(
    slot: int, target: Target, complexity: float = 5.0, attempt: int = 1, tools: Sequence[str] = ("t",)
) -> Taken:
    measurement = Measurement(
        signature=f"s{slot}",
        mode=coarse_mode(target.shape, target.depth, target.flags),
        domains={target.domain: 1.0},
        complexity=complexity,
        band=0,
        steps=2,
        tools=tuple(tools),
        content_hash=str(slot),
    )
    return Taken(f"c.{slot}.{attempt}", attempt, measurement)


def closed(*slots: tuple[Target, str, float | None]) -> Archive:
    """An archive after one generation: each slot's target, operator, and complexity, or None: abandoned."""
    archive = Archive()
    made = tuple(
        SlotPlan(
            slot=number,
            cluster=("k1", "k4")[number % 2],
            cluster_hash="",
            target=target,
            seed=1,
            operator=operator,
        )
        for number, (target, operator, _) in enumerate(slots)
    )
    opened = GenerationOpened(campaign="c", generation=0, steering_version=0, slots=made)
    found = {
        number: taken(number, target, complexity)
        for number, (target, _, complexity) in enumerate(slots)
        if complexity is not None
    }
    archive.close(opened, found)
    return archive


SINGLE = aimed("orders", "single", 1, ())
CHAIN = aimed("orders", "chain", 2, ())


# Feasibility


def test_what_can_be_filled_is_known_from_the_clusters() -> None:
    found = terrain()
    assert set(found.niches) == {"orders", "banking", "tickets"}
    assert "chain/3-4" in found.niches["orders"]
    assert "dag/3-4/clarifies" in found.niches["banking"]
    assert found.niches["banking"]["chain/3-4"].depths == (3, 4)
    assert not any(mode.startswith("chain/5-8") for modes in found.niches.values() for mode in modes)
    assert set(found.modes) == {mode for modes in found.niches.values() for mode in modes}


@pytest.mark.parametrize("policy", POLICIES)
def test_no_slot_aims_at_what_its_clusters_cannot_give(policy: Policy) -> None:
    archive = closed((SINGLE, "draw", 4.0), (CHAIN, "draw", 8.0))
    found = terrain()
    for plan in chosen(policy, 200, archive):
        target = plan.target
        if plan.scatter:
            assert target.shape in ("single", "parallel")
            continue
        assert len(plan.spares) <= SPARES
        for name in (plan.cluster, *(spare.cluster for spare in plan.spares)):
            assert (target.shape, target.depth) in cells(found.by_id[name])
        assert target.domain == found.by_id[plan.cluster].domain
        assert coarse_mode(target.shape, target.depth, target.flags) in found.niches[target.domain]


@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_seed_draws_the_same(policy: Policy) -> None:
    archive = closed((SINGLE, "draw", 4.0), (CHAIN, "draw", 8.0))
    once = plans(policy, 7, range(30), terrain(), archive, (), None)
    assert once == plans(policy, 7, range(30), terrain(), archive, (), None)
    assert once != plans(policy, 8, range(30), terrain(), archive, (), None)
    assert len({plan.seed for plan in once}) == 30


def test_random_draws_a_cluster_and_then_one_of_its_modes_uniformly() -> None:
    drawn = chosen("random", 6000)
    assert {plan.operator for plan in drawn} == {"draw"}
    by_cluster = Counter(plan.cluster for plan in drawn)
    assert max(by_cluster.values()) < 1.25 * min(by_cluster.values())
    modes = Counter(
        coarse_mode(plan.target.shape, plan.target.depth, plan.target.flags)
        for plan in drawn
        if plan.cluster == "k6"
    )
    assert modes.keys() == forms(offer(BUSY[-1])).keys()
    assert max(modes.values()) < 2 * min(modes.values())


# The archive


def test_a_cell_keeps_the_most_complex_and_what_was_missed_is_counted() -> None:
    archive = closed(
        (SINGLE, "draw", 4.0), (SINGLE, "draw", 5.5), (SINGLE, "draw", 4.5), (CHAIN, "draw", None)
    )
    assert {cell: elite.run for cell, elite in archive.elites.items()} == {("orders", "single/1", 0): "c.1.1"}
    assert archive.filled == {("orders", "single/1"): 3}
    assert archive.missed == {("orders", "chain/2"): 1}
    assert archive.clusters == {"k1": 2, "k4": 2}


def test_what_an_operator_brings_is_new_cells_signatures_and_tools() -> None:
    archive = closed((SINGLE, "draw", 4.0), (SINGLE, "deepen", 4.0), (CHAIN, "deepen", None))
    assert archive.evidence() == (
        OperatorYield(operator="deepen", slots=2, reward=round(1 / 3, 6)),  # a signature only
        OperatorYield(operator="draw", slots=1, reward=1.0),
    )


def test_a_row_of_a_later_attempt_brings_less_and_is_no_parent() -> None:
    archive = Archive()
    plan = SlotPlan(slot=0, cluster="a", cluster_hash="", target=SINGLE, seed=1, spares=(Spare(cluster="b"),))
    opened = GenerationOpened(campaign="c", generation=0, steering_version=0, slots=(plan,))
    archive.close(opened, {0: taken(0, SINGLE, attempt=2)})
    assert archive.yields == {"draw": (1, 0.5)}
    assert not archive.elites
    assert archive.clusters == {"a": 1, "b": 1}


def test_a_domain_whose_tools_come_again_is_aimed_at_less() -> None:
    stale, fresh = closed((CHAIN, "draw", 8.0)), closed((CHAIN, "draw", 8.0))
    assert stale.freshness == {"orders": 1.0}
    again = GenerationOpened(
        campaign="c",
        generation=1,
        steering_version=0,
        slots=tuple(SlotPlan(slot=n, cluster="k1", cluster_hash="", target=CHAIN, seed=1) for n in range(6)),
    )
    stale.close(again, {n: taken(n, CHAIN) for n in range(6)})
    assert stale.freshness["orders"] < 0.5
    stale.filled = dict(fresh.filled)
    found = [
        sum(plan.target.domain == "orders" for plan in chosen("steering", 100, archive))
        for archive in (stale, fresh)
    ]
    assert found[0] < 0.8 * found[1]


def test_the_main_domain_is_that_of_most_calls_and_the_first_of_equals() -> None:
    one = taken(0, SINGLE).measurement
    assert main_domain(one.model_copy(update={"domains": {"b": 0.5, "a": 0.5}})) == "a"
    assert main_domain(one.model_copy(update={"domains": {"b": 0.7, "a": 0.3}})) == "b"
    assert main_domain(one.model_copy(update={"domains": {}})) == ""


# Operators

CHILDREN = [
    ("deepen", SINGLE, ("chain", 2, ())),
    ("deepen", CHAIN, ("chain", 3, ())),
    ("deepen", aimed("d", "parallel", 2, ()), ("dag", 3, ())),
    ("widen", SINGLE, ("parallel", 2, ())),
    ("widen", CHAIN, ("dag", 3, ())),
    ("widen", aimed("d", "dag", 3, ()), None),
    ("inject_fault", aimed("d", "chain", 2, ("clarifies",)), ("chain", 2, ("clarifies", "recovers"))),
    ("inject_fault", aimed("d", "chain", 2, ("recovers",)), None),
    ("make_vague", aimed("d", "chain", 2, ("recovers",)), ("chain", 2, ("clarifies", "recovers"))),
    ("make_vague", aimed("d", "chain", 2, ("clarifies",)), None),
    ("cross", CHAIN, ("chain", 2, ())),
    ("cross", SINGLE, None),
]


@pytest.mark.parametrize(("operator", "parent", "expected"), CHILDREN)
def test_operators_change_the_structure(operator, parent, expected) -> None:
    made = child(operator, parent)
    found = None if made is None else (made.shape, made.depth, made.flags)
    assert found == expected
    if made is not None:
        assert made.domain == parent.domain
        assert made.band >= parent.band


def test_constraining_adds_conditions_up_to_two() -> None:
    once = child("constrain", CHAIN)
    assert once == CHAIN.model_copy(update={"conditions": 1})
    twice = child("constrain", once)
    assert twice is not None
    assert child("constrain", twice) is None


def test_the_bandit_prefers_what_has_paid_and_still_tries_the_others() -> None:
    rng = random.Random(1)
    yields = {"deepen": (40, 36.0), "widen": (40, 4.0)}
    found = Counter(choose(["deepen", "widen", "cross"], yields, rng) for _ in range(2000))
    assert found["deepen"] > 1500
    assert found["widen"] < 20
    assert found["cross"] > 20


# What steering does


def steering(**weights: dict[str, float]) -> SteeringUpdated:
    return SteeringUpdated.model_validate(
        {"campaign": "c", "generation": 0, "version": 1, "figures": {}, **weights}
    )


def test_slots_follow_the_target_weights() -> None:
    weighed = steering(domain_weights={"orders": 0.02, "banking": 0.96, "tickets": 0.02})
    drawn = plans("steering", 7, range(60), terrain(), Archive(), (), weighed)
    ordinary = [plan for plan in drawn if plan.slot % QUOTA != QUOTA - 1]
    found = Counter(plan.target.domain for plan in ordinary)
    even = Counter(
        plan.target.domain for plan in plans("steering", 7, range(60), terrain(), Archive(), (), None)
    )
    assert found["banking"] / len(ordinary) > 1.5 * even["banking"] / 60


def test_cells_that_are_filled_or_under_way_are_left_for_others() -> None:
    drawn = chosen("steering", 60)
    cell = Counter(
        (plan.target.domain, coarse_mode(plan.target.shape, plan.target.depth, plan.target.flags))
        for plan in drawn
    )
    random_cell = Counter(
        (plan.target.domain, coarse_mode(plan.target.shape, plan.target.depth, plan.target.flags))
        for plan in chosen("random", 60)
    )
    assert len(cell) > len(random_cell)
    assert max(cell.values()) < max(random_cell.values())


def test_tools_that_were_called_are_not_asked_for_again() -> None:
    archive = closed((CHAIN, "draw", 8.0))
    archive.tools = {"a", "b"}
    found = terrain()
    for plan in chosen("steered", 40, archive):
        names = found.by_id[plan.cluster].names
        partner = found.by_id[plan.partner].names if plan.partner else ()
        every = (*names, *(name for name in partner if name not in names))
        assert not {"a", "b"} & {every[place] for place in plan.prefer}


def test_steered_breeds_from_the_archive_and_evolution_does_without_weights() -> None:
    archive = closed(
        *((aimed(domain, "single", 1, ()), "draw", 4.0) for domain in ("orders", "banking", "tickets")),
        (CHAIN, "draw", 8.0),
    )
    for policy in ("steered", "evolution"):
        bred = [plan for plan in chosen(policy, 100, archive) if plan.operator != "draw"]
        assert len(bred) > 10, policy
        assert {plan.parent for plan in bred} <= {elite.run for elite in archive.elites.values()}
        assert {plan.operator for plan in bred} <= set(OPERATORS)
        assert all(plan.mate and plan.partner for plan in bred if plan.operator == "cross")
    assert {plan.operator for plan in chosen("steering", 100, archive)} == {"draw"}


# In the scheduler


@pytest.mark.parametrize("policy", POLICIES)
def test_what_a_policy_plans_does_not_depend_on_who_finished_first(policy: Policy) -> None:
    ends = scripted({"c.1.1": End("unplanned"), "c.4.1": End("failed"), "c.7.1": End("unplanned")})
    asked = spec(14, policy=policy, generation_size=4)
    expected = started_stage(asked, ends).run()
    assert expected.finished is not None
    assert expected.finished.complete
    wanted = expected.of(GenerationOpened)
    for seed in range(3):
        stage = shuffled_run(started_stage(asked, ends), random.Random(seed))
        assert stage.of(GenerationOpened) == wanted
        assert stage.commands == expected.commands


def test_a_campaign_records_its_policy_its_modes_and_the_evidence() -> None:
    stage = started_stage(spec(14, policy="steered", generation_size=4)).run()
    (started,) = stage.of(CampaignStarted)
    assert started.spec.policy == "steered"
    assert "dag/3-4/clarifies+recovers" in started.modes
    opened = stage.of(GenerationOpened)
    assert [sum(one.slots for one in generation.yields) for generation in opened[:4]] == [0, 0, 4, 8]
    assert any(plan.operator != "draw" for generation in opened for plan in generation.slots)
    rows = {one.run for one in stage.of(TrajectoryAdmitted)}
    parents = {plan.parent for generation in opened for plan in generation.slots if plan.parent}
    assert parents <= rows


def test_a_slot_without_a_plan_falls_back_on_its_spares() -> None:
    def first_fails(command: PlanBlueprint) -> End:
        return End("unplanned" if command.attempt < 3 else "passed")

    stage = started_stage(spec(12, policy="steered", generation_size=4), first_fails).run()
    plans_of = {plan.slot: plan for one in stage.of(GenerationOpened) for plan in one.slots}
    for command in stage.commands.values():
        plan = plans_of[command.slot]
        if command.attempt == 1:
            assert (command.cluster, command.prefer) == (plan.cluster, plan.prefer)
        elif plan.spares:
            spare = plan.spares[min(command.attempt - 1, len(plan.spares)) - 1]
            assert (command.cluster, command.prefer) == (spare.cluster, spare.prefer)
            assert (command.operator, command.parent, command.partner) == ("draw", "", "")


def test_the_largest_generation_fits_its_topic() -> None:
    letters = "abcdefghijkl"
    edges = [a + b for a, b in pairwise(letters)]
    many = [
        cluster(f"an-honest-server-name#{number:08x}", letters, edges, digest="0123456789abcdef")
        for number in range(40)
    ]
    ground = Terrain([offer(one) for one in many])
    archive = closed((CHAIN, "draw", 8.0))
    for cell, elite in list(archive.elites.items()):
        for number in (0, 1):
            longer = replace(elite, run="a-long-campaign-name.12345.1", cluster=many[number].id)
            archive.elites[*cell[:2], number] = longer
    slots = plans("steered", 7, range(2048), ground, archive, (), None)
    opened = GenerationOpened(
        campaign="c", generation=0, steering_version=0, slots=slots, yields=archive.evidence()
    )
    assert len(payload(opened)) <= EVOLUTION_EVENTS.max_bytes


@pytest.mark.parametrize(
    "target",
    [
        aimed("orders", "single", 1, ()),
        aimed("orders", "chain", 2, ("recovers",)),
        aimed("orders", "parallel", 2, ()),
        aimed("orders", "dag", 4, ("clarifies",)),
    ],
)
def test_what_held_code_is_a_parent_of_plans_that_hold_none_yet(target: Target) -> None:
    plan = SlotPlan(slot=0, cluster="c", cluster_hash="h", target=target, seed=1)
    spec = CampaignSpec(campaign="c", trajectories=9, seed=7, code="on", code_share=1.0)
    begun = CampaignStarted(spec=spec, catalog_hash="h", domains=("orders",), code=True)
    coded = coding.aimed(plan, begun).target
    assert "codes" in coded.flags
    assert coding.bare(coded) == target == coding.bare(target)
    archive = closed((coded, "draw", 9.0))
    assert [elite.target for elite in archive.elites.values()] == [target]
    assert all("codes" not in plan.target.flags for plan in chosen("steered", 40, archive))
