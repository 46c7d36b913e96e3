"""What a slot aims at: the cells that a cluster can serve, drawn uniformly.

A cell is (shape, depth, flags). Which cells a cluster can serve is read off its edges, so that no slot
is spent on one that cannot exist. Drawing uniformly is this project's starting point, not the paper's.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.catalog import Cluster
from schemas.diversity import BAND_EDGES
from schemas.evolution import Flag, Shape, SlotPlan, Target

MAX_DEPTH: Final = 5
PARALLEL: Final = 3
FLAG_SETS: Final[tuple[tuple[Flag, ...], ...]] = (
    (),
    ("clarifies",),
    ("recovers",),
    ("clarifies", "recovers"),
)


@dataclass(frozen=True, slots=True)
class Offer:
    """What the scheduler keeps of a cluster.

    ``depth`` is the number of tools on its longest dependency chain, ``width`` the number of tools that
    need nothing from another; ``joins`` says whether some tool feeds two others or is fed by two.
    """

    id: str
    hash: str
    domain: str
    tools: int
    depth: int
    width: int
    joins: bool
    names: tuple[str, ...] = ()
    """Names of its tools, in its order."""


def offer(cluster: Cluster) -> Offer:
    """The offer of a cluster."""
    after: dict[str, set[str]] = {}
    sources: dict[str, set[str]] = {}
    for edge in cluster.edges:
        if edge.source != edge.target:
            after.setdefault(edge.source, set()).add(edge.target)
            sources.setdefault(edge.target, set()).add(edge.source)
    tools = [f"{tool.server}/{tool.name}" for tool in cluster.tools]
    longest = max((_longest(tool, after, frozenset()) for tool in tools), default=1)
    joins = any(len(others) > 1 for others in [*after.values(), *sources.values()])
    return Offer(
        id=cluster.id,
        hash=cluster.hash,
        domain=cluster.domains[0] if cluster.domains else "general",
        tools=len(cluster.tools),
        depth=longest,
        width=sum(tool not in sources for tool in tools),
        joins=joins and len(cluster.tools) >= 3,
        names=tuple(tool.name for tool in cluster.tools),
    )


def _longest(tool: str, after: Mapping[str, set[str]], visited: frozenset[str]) -> int:
    """Tools on the longest path from ``tool`` that visits none twice, at most ``MAX_DEPTH``."""
    if len(visited) == MAX_DEPTH - 1:
        return 1
    visited |= {tool}
    return 1 + max(
        (_longest(other, after, visited) for other in after.get(tool, ()) if other not in visited), default=0
    )


def cells(one: Offer) -> list[tuple[Shape, int]]:
    """The (shape, depth) pairs that a cluster can serve, each once."""
    found: list[tuple[Shape, int]] = [("single", 1)] if one.tools else []
    found.extend(("chain", depth) for depth in range(2, one.depth + 1))
    found.extend(("parallel", width) for width in range(2, min(PARALLEL, one.width) + 1))
    if one.joins:
        found.extend(("dag", depth) for depth in range(3, min(one.tools, MAX_DEPTH) + 1))
    return found


class Cells:
    """The cells that a catalog can serve, and the clusters that can serve each."""

    def __init__(self, offers: Sequence[Offer]) -> None:
        self._servers: dict[tuple[Shape, int], list[Offer]] = {}
        for one in offers:
            for cell in cells(one):
                self._servers.setdefault(cell, []).append(one)
        parallel = sorted(cell for cell in self._servers if cell[0] == "parallel")
        self._draws = [[cell] for cell in sorted(self._servers) if cell not in parallel]
        if parallel:
            self._draws.append(parallel)
        self.domains = tuple(sorted({one.domain for one in offers}))

    def __len__(self) -> int:
        return len(self._servers)

    def draw(self, seed: int, slot: int, redraw: int = 0) -> SlotPlan:
        """One slot's plan: a cell, flags, and a cluster that can serve them, each uniformly.

        The widths of parallel plans count as one cell together: nothing flows between their calls, and
        clusters are there for what flows.

        ``redraw`` > 0 keeps the cell and draws another cluster: for a slot whose cluster turned out to
        give no plan.
        """
        rng = random.Random(f"{seed}/slot/{slot}")
        shape, depth = cell = rng.choice(rng.choice(self._draws))
        flags = rng.choice(FLAG_SETS)
        if shape == "single":
            flags = tuple(flag for flag in flags if flag != "recovers")
        one = self._server(cell, f"{seed}/slot/{slot}/cluster", redraw)
        return SlotPlan(
            slot=slot,
            cluster=one.id,
            cluster_hash=one.hash,
            target=Target(domain=one.domain, shape=shape, depth=depth, flags=flags, band=band(depth, flags)),
            seed=derive(seed, f"slot/{slot}"),
        )

    def _server(self, cell: tuple[Shape, int], seed: str, redraw: int) -> Offer:
        """One of the clusters that can serve ``cell``: none twice before all of them were drawn."""
        drawn: list[Offer] = []
        for number in range(redraw + 1):
            left = [one for one in self._servers[cell] if one not in drawn] if drawn else self._servers[cell]
            drawn.append(random.Random(f"{seed}/{number}").choice(left or self._servers[cell]))
        return drawn[-1]


def band(depth: int, flags: Sequence[Flag]) -> int:
    """The complexity band that a plan of this depth is expected in.

    A step counts as a read with two arguments, one of them dependent, among eight tools: about 4.4
    (the formula of DESIGN §6 on a typical step; ours).
    """
    step = 1.0 + math.log2(3) + 1.0 + math.log2(9) / 4
    expected = depth * step - 1.0 + 0.5 * ("clarifies" in flags) + 2.0 * ("recovers" in flags)
    return sum(expected >= edge for edge in BAND_EDGES)


def derive(seed: int, name: str) -> int:
    """A seed of 31 bits for ``name``, from a seed."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:4], "big") >> 1
