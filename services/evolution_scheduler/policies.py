"""How the slots of a generation are chosen: five policies, each a step beyond the one before it. Ours.

- tools: tools drawn at random from the whole catalog, no clusters;
- random: a cluster, then one of the modes that it can give, uniformly;
- steering: the cell by the monitor's target weights, fewer where it is filled already or was missed, and a
  cluster whose tools were called least; a quota of slots goes to the domains with most tools uncalled;
- evolution: parents from the archive, uniformly, and operators by what they have brought; no weights;
- steered: both: the cell by weights, and the operator that leads there from a parent.

What is planned depends on the archive, the steering and the plans still under way, all of which follow from
closed generations and the scheduler's own events: not on who finished first.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, TypeVar

from schemas.diversity import SteeringUpdated
from schemas.evolution import Operator, Policy, Shape, SlotPlan, Spare, Target
from services.evolution_scheduler.archive import Archive, Elite, Niche
from services.evolution_scheduler.operators import OPERATORS, child, choose
from services.evolution_scheduler.targets import FLAG_SETS, PARALLEL, Offer, band, cells, derive
from services.evolution_scheduler.terrain import SPARES, Form, Terrain, aimed, forms, mode_of

Drawn = TypeVar("Drawn")

QUOTA: Final = 5
"""Every so many slots one is for the long tail: domains by how many of their tools are uncalled."""
FRESH_DRAWS: Final = 0.25
"""Share of the slots of an unweighted evolution that no parent is taken for."""
ROOMY: Final = 250
"""Uncalled tools from which on a domain has enough for whatever is planned in it."""
SCATTERED: Final = 6
PREFERRED: Final = 12
NEARLY: Final = 0.5
"""Share of the drawn cell's weight that a child's cell must have."""
PARENTS: Final = 12
"""Parents that are compared for one slot."""


@dataclass(slots=True)
class Outlook:
    """What the next slots are chosen by: the archive, and beyond it what is under way."""

    terrain: Terrain
    archive: Archive
    steering: SteeringUpdated | None
    seed: int
    expected: dict[Niche, int] = field(default_factory=dict)
    called: set[str] = field(default_factory=set)
    """Names of tools that were called."""
    claimed: set[str] = field(default_factory=set)
    """Names of tools that plans under way would rather call."""
    clusters: dict[str, int] = field(default_factory=dict)
    """How often each cluster was planned with, or is."""
    operators: tuple[Operator, ...] = OPERATORS
    """Those that there are parents for: crossing takes two, of different clusters."""

    def __post_init__(self) -> None:
        if len({elite.cluster for elite in self.archive.elites.values()}) < 2:
            self.operators = tuple(one for one in OPERATORS if one != "cross")

    def expect(self, plan: SlotPlan) -> None:
        """Reckon with a plan that is under way."""
        niche = plan.target.domain, mode_of(plan.target)
        self.expected[niche] = self.expected.get(niche, 0) + 1
        self.clusters[plan.cluster] = self.clusters.get(plan.cluster, 0) + 1
        names = self.names(plan.cluster, plan.partner)
        self.claimed.update(names[place] for place in plan.prefer if place < len(names))

    def names(self, cluster: str, partner: str = "") -> tuple[str, ...]:
        """Names of a cluster's tools, and behind them those that a partner adds."""
        own, more = (
            self.terrain.by_id[one].names if one in self.terrain.by_id else () for one in (cluster, partner)
        )
        return (*own, *(name for name in more if name not in own))

    def left(self, one: Offer) -> float:
        """How many of a cluster's tools were not called and are not claimed.

        Fewer for a cluster that was planned with before: what is left of it may be left for a reason.
        """
        free = sum(name not in self.called and name not in self.claimed for name in one.names)
        return free / (1 + self.clusters.get(one.id, 0))

    def prefer(self, cluster: str, partner: str = "") -> tuple[int, ...]:
        """The places of those tools, or where there are none of all that were not called."""
        names = self.names(cluster, partner)
        free = [place for place, name in enumerate(names) if name not in self.called]
        unclaimed = [place for place in free if names[place] not in self.claimed]
        return tuple((unclaimed or free)[:PREFERRED])

    def share(self, domain: str) -> float:
        """What a domain has left: which part of its tools is uncalled, less where these are few.

        And less where its last trajectories called the same tools again: not all tools can be planned with.
        """
        names = self.terrain.names[domain]
        left = 1 + len(names - self.called - self.claimed)
        fresh = self.archive.freshness.get(domain, 1.0)
        return (fresh * left / (1 + len(names))) ** 2 * min(1.0, left / ROOMY)


def plans(
    policy: Policy,
    seed: int,
    numbers: Sequence[int],
    terrain: Terrain,
    archive: Archive,
    under_way: Sequence[SlotPlan],
    steering: SteeringUpdated | None,
) -> tuple[SlotPlan, ...]:
    """The plans of these slots. ``under_way`` are those of generations that are not in ``archive`` yet."""
    if policy == "tools":
        return tuple(scattered(terrain, seed, slot) for slot in numbers)
    if policy == "random":
        return tuple(at_random(terrain, seed, slot) for slot in numbers)
    outlook = Outlook(
        terrain, archive, steering, seed, called=set(archive.tools), clusters=dict(archive.clusters)
    )
    for plan in under_way:
        outlook.expect(plan)
    if policy == "evolution":
        return tuple(evolved(outlook, slot) for slot in numbers)
    return Aim(outlook, operators=policy == "steered").slots(numbers)


def scattered(terrain: Terrain, seed: int, slot: int) -> SlotPlan:
    """Tools of the whole catalog, drawn by the planner; nothing is known of what flows between them."""
    rng = random.Random(f"{seed}/tools/{slot}")
    one = rng.choice(terrain.offers)
    shapes: list[tuple[Shape, int]] = [("single", 1)]
    shapes.extend(("parallel", width) for width in range(2, PARALLEL + 1))
    shape, depth = rng.choice(shapes)
    target = aimed(one.domain, shape, depth, rng.choice(FLAG_SETS))
    plan = planned(slot, seed, one, target, spares=rng.sample(terrain.offers, min(SPARES, len(terrain))))
    return plan.model_copy(update={"scatter": SCATTERED})


def at_random(terrain: Terrain, seed: int, slot: int) -> SlotPlan:
    """A cluster, then one of its modes, then a depth in it, each uniformly."""
    rng = random.Random(f"{seed}/random/{slot}")
    one = rng.choice(terrain.offers)
    form = rng.choice([form for _, form in sorted(forms(one).items())])
    depth = rng.choice(form.depths)
    others = terrain.anywhere(form.shape, depth)
    spares = rng.sample(others, min(SPARES, len(others)))
    return planned(slot, seed, one, aimed(one.domain, form.shape, depth, form.flags), spares=spares)


def evolved(outlook: Outlook, slot: int) -> SlotPlan:
    """A parent uniformly, and an operator that its cluster can follow; now and then a fresh draw."""
    rng = random.Random(f"{outlook.seed}/evolution/{slot}")
    elites = [elite for _, elite in sorted(outlook.archive.elites.items())]
    if not elites or rng.random() < FRESH_DRAWS:
        return at_random(outlook.terrain, outlook.seed, slot)
    parent = rng.choice(elites)
    one = outlook.terrain.by_id[parent.cluster]
    served = set(cells(one))
    possible: dict[Operator, Target] = {}
    for operator in outlook.operators:
        target = child(operator, parent.target)
        if target is not None and (target.shape, target.depth) in served:
            possible[operator] = target
    if not possible:
        return at_random(outlook.terrain, outlook.seed, slot)
    operator = choose(list(possible), outlook.archive.yields, rng)
    target = possible[operator]
    others = outlook.terrain.serving(target.domain, target.shape, target.depth)
    plan = planned(slot, outlook.seed, one, target, spares=rng.sample(others, min(SPARES, len(others))))
    return inherited(plan, operator, parent, mate_of(outlook, parent, rng) if operator == "cross" else None)


class Aim:
    """The slots of one generation, by target weights."""

    def __init__(self, outlook: Outlook, *, operators: bool) -> None:
        self._outlook = outlook
        self._operators = operators
        steering = outlook.steering
        terrain = outlook.terrain
        self._domains = weights(terrain.niches, steering.domain_weights if steering else {})
        self._modes = weights(terrain.modes, steering.mode_weights if steering else {})
        self._bands = steering.band_weights if steering else {}
        self._niches = [
            (domain, mode) for domain in sorted(terrain.niches) for mode in sorted(terrain.niches[domain])
        ]
        self._parents: dict[str, list[Elite]] = {}
        for (domain, _, _), elite in sorted(outlook.archive.elites.items()):
            self._parents.setdefault(domain, []).append(elite)

    def slots(self, numbers: Sequence[int]) -> tuple[SlotPlan, ...]:
        """The plans of these slots, each reckoning with those before it."""
        made = []
        for slot in numbers:
            rng = random.Random(f"{self._outlook.seed}/steered/{slot}")
            plan = self._plan(slot, self._niche(slot, rng), rng)
            self._outlook.expect(plan)
            made.append(plan)
        return tuple(made)

    def _niche(self, slot: int, rng: random.Random) -> Niche:
        outlook = self._outlook
        shares = {domain: outlook.share(domain) for domain in self._domains}
        if slot % QUOTA == QUOTA - 1:
            tail = [len(names - outlook.called) ** 0.5 for names in outlook.terrain.names.values()]
            domain = drawn(list(outlook.terrain.names), tail, rng)
            among = [(domain, mode) for mode in sorted(outlook.terrain.niches[domain])]
        else:
            among = self._niches
        return drawn(among, [self._weight(niche, shares[niche[0]]) for niche in among], rng)

    def _weight(self, niche: Niche, share: float) -> float:
        """Target weights, times how new the cell is, how often it was hit, and what the domain has left."""
        domain, mode = niche
        archive = self._outlook.archive
        filled, missed = archive.filled.get(niche, 0), archive.missed.get(niche, 0)
        there = filled + self._outlook.expected.get(niche, 0)
        chance = (filled + 1) / (filled + missed + 1)
        return self._domains[domain] * self._modes[mode] * share * chance / (1 + there) ** 2

    def _plan(self, slot: int, niche: Niche, rng: random.Random) -> SlotPlan:
        outlook = self._outlook
        domain, mode = niche
        form = outlook.terrain.niches[domain][mode]
        depth = self._depth(form, rng)
        if self._operators:
            bred = self._bred(slot, niche, rng)
            if bred is not None:
                return bred
        served = outlook.terrain.serving(domain, form.shape, depth)
        ranked = self._ranked(outlook.terrain.sample(served, rng), depth)
        target = aimed(domain, form.shape, depth, form.flags)
        return preferring(outlook, planned(slot, outlook.seed, ranked[0], target, ranked[1 : 1 + SPARES]))

    def _depth(self, form: Form, rng: random.Random) -> int:
        """One of the form's depths, by the weights of the bands that they lead to."""
        by_band = [self._bands.get(str(band(depth, form.flags)), 1.0) for depth in form.depths]
        return drawn(form.depths, by_band, rng)

    def _ranked(self, some: Sequence[Offer], depth: int) -> list[Offer]:
        """Clusters with most tools uncalled first, as far as a plan could use them."""
        room = depth + 2
        return sorted(some, key=lambda one: -min(room, self._outlook.left(one)))

    def _bred(self, slot: int, niche: Niche, rng: random.Random) -> SlotPlan | None:
        """A child of this domain that aims at a cell wanted nearly as much as this one.

        It is planned from its parent's cluster where as much is left of it as of others, else from the one
        with most left: what it inherits then is the structure. None where the bandit prefers a fresh draw,
        or no operator leads there.
        """
        outlook, domain = self._outlook, niche[0]
        share = outlook.share(domain)
        enough = NEARLY * self._weight(niche, share)
        elites = self._parents.get(domain, [])
        possible: dict[Operator, tuple[float, Target, Elite]] = {}
        for elite in rng.sample(elites, min(PARENTS, len(elites))):
            for operator in outlook.operators:
                target = child(operator, elite.target)
                if target is None or not outlook.terrain.serving(domain, target.shape, target.depth):
                    continue
                weight = self._weight((domain, mode_of(target)), share)
                if weight >= enough and weight > possible.get(operator, (0.0,))[0]:
                    possible[operator] = weight, target, elite
        if not possible:
            return None
        operator = choose(["draw", *possible], outlook.archive.yields, rng)
        if operator == "draw":
            return None
        _, target, elite = possible[operator]
        served = outlook.terrain.serving(domain, target.shape, target.depth)
        ranked = self._ranked(outlook.terrain.sample(served, rng), target.depth)
        one = outlook.terrain.by_id[elite.cluster]
        best = outlook.left(ranked[0])
        if (target.shape, target.depth) in cells(one) and outlook.left(one) >= min(best, target.depth + 2):
            ranked = [one, *(other for other in ranked if other.id != one.id)]
        plan = planned(slot, outlook.seed, ranked[0], target, ranked[1 : 1 + SPARES])
        mate = mate_of(outlook, elite, rng) if operator == "cross" else None
        plan = inherited(plan, operator, elite, mate)
        if mate is not None:
            partners = outlook.terrain.sample(outlook.terrain.serving(mate.target.domain, "single", 1), rng)
            others = (one.id for one in self._ranked(partners, 1) if one.id != plan.cluster)
            plan = plan.model_copy(update={"partner": next(others, plan.partner)})
        return preferring(outlook, plan)


def planned(slot: int, seed: int, one: Offer, target: Target, spares: Sequence[Offer] = ()) -> SlotPlan:
    """The plan of a slot on a cluster."""
    return SlotPlan(
        slot=slot,
        cluster=one.id,
        cluster_hash=one.hash,
        target=target,
        seed=derive(seed, f"slot/{slot}"),
        spares=tuple(Spare(cluster=other.id) for other in spares if other.id != one.id),
    )


def preferring(outlook: Outlook, plan: SlotPlan) -> SlotPlan:
    """The plan, with the tools that its clusters should rather be planned with."""
    spares = tuple(
        Spare(cluster=spare.cluster, prefer=outlook.prefer(spare.cluster)) for spare in plan.spares
    )
    return plan.model_copy(update={"prefer": outlook.prefer(plan.cluster, plan.partner), "spares": spares})


def inherited(plan: SlotPlan, operator: Operator, parent: Elite, mate: Elite | None) -> SlotPlan:
    """The plan as a child of its parents."""
    found: dict[str, str] = {"operator": operator, "parent": parent.run}
    if mate is not None:
        found |= {"mate": mate.run, "partner": mate.cluster}
    return plan.model_copy(update=found)


def mate_of(outlook: Outlook, parent: Elite, rng: random.Random) -> Elite | None:
    """Another elite, of another cluster, whose tools the child may call as well."""
    others = [
        elite
        for _, elite in sorted(outlook.archive.elites.items())
        if elite.cluster != parent.cluster and elite.cluster in outlook.terrain.by_id
    ]
    return rng.choice(others) if others else None


def weights(symbols: Sequence[str] | Mapping[str, object], given: Mapping[str, float]) -> dict[str, float]:
    """A weight for each symbol: as given, and the greatest of them where one was never seen."""
    unseen = max((given[one] for one in symbols if one in given), default=1.0)
    return {one: given.get(one, unseen) for one in symbols}


def drawn(among: Sequence[Drawn], by: Sequence[float], rng: random.Random) -> Drawn:
    """One of them, by weight; uniformly where no weight is above 0."""
    sums = list(accumulate(by))
    if not sums or sums[-1] <= 0.0:
        return rng.choice(among)
    return rng.choices(among, cum_weights=sums)[0]
