"""Which cells a catalog can fill, known before any slot is spent: domain × coarse mode, and who serves each.

A *form* is a coarse mode with the depths that a cluster can give it. It follows from the cluster's tools and
edges alone (``targets.cells``); whether a plan is found in the end only trying tells.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from schemas.diversity import coarse_mode
from schemas.evolution import Flag, Shape, SlotPlan, Target
from services.evolution_scheduler.targets import FLAG_SETS, Offer, band, cells

SPARES: Final = 2
"""Other clusters that a slot may fall back on."""
LOOKED_AT: Final = 48
"""Clusters of a cell that are compared when one is chosen."""


@dataclass(frozen=True, slots=True)
class Form:
    """A coarse mode, and the depths of its bucket that can be had."""

    shape: Shape
    depths: tuple[int, ...]
    flags: tuple[Flag, ...]


def forms(one: Offer) -> dict[str, Form]:
    """What a cluster can give, by the name of its coarse mode."""
    found: dict[str, Form] = {}
    for shape, depth in cells(one):
        for flags in FLAG_SETS:
            mode = coarse_mode(shape, depth, flags)
            known = found.get(mode)
            found[mode] = Form(shape, (*(known.depths if known else ()), depth), flags)
    return found


class Terrain:
    """The clusters of a catalog, and the cells that they can fill.

    ``niches`` has, by domain and coarse mode, the form that some cluster of the domain can give; ``names``
    the names of a domain's tools.
    """

    def __init__(self, offers: Sequence[Offer]) -> None:
        self.offers = tuple(sorted((one for one in offers if cells(one)), key=lambda one: one.id))
        self.by_id = {one.id: one for one in self.offers}
        self.niches: dict[str, dict[str, Form]] = {}
        self.names: dict[str, frozenset[str]] = {}
        self._serving: dict[tuple[str, Shape, int], list[Offer]] = {}
        self._anywhere: dict[tuple[Shape, int], list[Offer]] = {}
        named: dict[str, set[str]] = {}
        for one in self.offers:
            named.setdefault(one.domain, set()).update(one.names)
            for cell in cells(one):
                self._anywhere.setdefault(cell, []).append(one)
                self._serving.setdefault((one.domain, *cell), []).append(one)
        for domain in sorted(named):
            self.names[domain] = frozenset(named[domain])
        depths: dict[tuple[str, str], list[int]] = {}
        for domain, shape, depth in sorted(self._serving):
            for flags in FLAG_SETS:
                mode = coarse_mode(shape, depth, flags)
                depths.setdefault((domain, mode), []).append(depth)
                form = Form(shape, tuple(depths[domain, mode]), flags)
                self.niches.setdefault(domain, {})[mode] = form
        self.modes = tuple(sorted({mode for found in self.niches.values() for mode in found}))

    def __len__(self) -> int:
        return len(self.offers)

    def serving(self, domain: str, shape: Shape, depth: int) -> Sequence[Offer]:
        """The clusters of a domain that can give this shape at this depth, by id."""
        return self._serving.get((domain, shape, depth), ())

    def anywhere(self, shape: Shape, depth: int) -> Sequence[Offer]:
        """The clusters of all domains that can, by id."""
        return self._anywhere.get((shape, depth), ())

    def sample(self, served: Sequence[Offer], rng: random.Random) -> list[Offer]:
        """Some of these clusters, in a seeded order."""
        return rng.sample(served, min(LOOKED_AT, len(served)))

    def fallback(self, plan: SlotPlan, number: int) -> SlotPlan:
        """The plan on its spare cluster ``number`` (from 1): a fresh draw, whatever the first one was.

        Where there are fewer spares the last one is taken again. Scattered tools come of the attempt's seed.
        """
        spares = [one for one in plan.spares if one.cluster in self.by_id]
        if not spares or not number or plan.scatter:
            return plan
        spare = spares[min(number, len(spares)) - 1]
        one = self.by_id[spare.cluster]
        return SlotPlan(
            slot=plan.slot,
            cluster=one.id,
            cluster_hash=one.hash,
            target=plan.target.model_copy(update={"domain": one.domain}),
            seed=plan.seed,
            prefer=spare.prefer,
        )


def mode_of(target: Target) -> str:
    """The coarse mode that a target aims at."""
    return coarse_mode(target.shape, target.depth, target.flags)


def aimed(domain: str, shape: Shape, depth: int, flags: Sequence[Flag], conditions: int = 0) -> Target:
    """A target in the band that its depth and flags lead to."""
    return Target(
        domain=domain,
        shape=shape,
        depth=depth,
        flags=tuple(flags),
        band=band(depth, flags),
        conditions=conditions,
    )
