"""The MAP-Elites archive: domain × coarse mode × complexity band, a fold of closed generations. Ours.

A cell holds the most complex trajectory that fell into it, which is what operators work on. Beside it stand
what steering counts: how often a cell was filled and missed, which tools were called, which signatures were
seen; and what each operator has brought.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final

from schemas.diversity import Measurement
from schemas.evolution import GenerationOpened, OperatorYield, SlotPlan, Target
from services.evolution_scheduler.coding import bare
from services.evolution_scheduler.terrain import mode_of

RECENT: Final = 0.2
"""Weight of a domain's last trajectory in what is said of its last ones."""
Niche = tuple[str, str]
"""A domain and a coarse mode."""


@dataclass(frozen=True, slots=True)
class Elite:
    """The best of a cell: its run, where it was planned from, and what was aimed at and hit."""

    run: str
    cluster: str
    target: Target
    complexity: float


@dataclass(frozen=True, slots=True)
class Taken:
    """A slot's admitted run: on which attempt it came, and what it measures."""

    run: str
    attempt: int
    measurement: Measurement


@dataclass(slots=True)
class Archive:
    """The archive after so many closed generations. Memory: cells, tools and signatures, each once."""

    generations: int = 0
    elites: dict[tuple[str, str, int], Elite] = field(default_factory=dict)
    filled: dict[Niche, int] = field(default_factory=dict)
    missed: dict[Niche, int] = field(default_factory=dict)
    """Slots that aimed at a cell and gave no trajectory, or one of another cell."""
    tools: set[str] = field(default_factory=set)
    signatures: set[str] = field(default_factory=set)
    freshness: dict[str, float] = field(default_factory=dict)
    """Of each domain, which share of the tools of its last trajectories was new; see ``RECENT``."""
    clusters: dict[str, int] = field(default_factory=dict)
    """How often a cluster was planned with, or gave no plan: what is left of it is worth the less."""
    yields: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Slots and rewards by operator."""

    def close(self, generation: GenerationOpened, taken: Mapping[int, Taken]) -> None:
        """Take in a generation, in slot order; ``taken`` has its admitted trajectories by slot."""
        for plan in generation.slots:
            self._decided(plan, taken.get(plan.slot))
        self.generations += 1

    def evidence(self) -> tuple[OperatorYield, ...]:
        """What each operator has brought, by name."""
        return tuple(
            OperatorYield(operator=name, slots=slots, reward=round(reward, 6))
            for name, (slots, reward) in sorted(self.yields.items())
        )

    def _decided(self, plan: SlotPlan, taken: Taken | None) -> None:
        aim = plan.target
        wanted = aim.domain, mode_of(aim)
        reward = self._reward(taken) if taken is not None else 0.0
        slots, rewards = self.yields.get(plan.operator, (0, 0.0))
        self.yields[plan.operator] = slots + 1, rewards + reward
        tried = [plan.cluster, *(spare.cluster for spare in plan.spares)]
        for cluster in tried[: taken.attempt if taken is not None else None]:
            self.clusters[cluster] = self.clusters.get(cluster, 0) + 1
        if taken is None:
            self.missed[wanted] = self.missed.get(wanted, 0) + 1
            return
        measured = taken.measurement
        niche = main_domain(measured), measured.mode
        self.filled[niche] = self.filled.get(niche, 0) + 1
        old = self.freshness.get(niche[0], 1.0)
        self.freshness[niche[0]] = old + RECENT * (self._new_tools(measured) - old)
        self.tools.update(measured.tools)
        self.signatures.add(measured.signature)
        if niche != wanted:
            self.missed[wanted] = self.missed.get(wanted, 0) + 1
            return
        cell = *niche, measured.band
        best = self.elites.get(cell)
        if taken.attempt == 1 and (best is None or measured.complexity > best.complexity):
            self.elites[cell] = Elite(taken.run, plan.cluster, bare(aim), measured.complexity)

    def _reward(self, taken: Taken) -> float:
        """0 to 1: is the cell new, is the signature, and which share of the tools; less at later attempts."""
        measured = taken.measurement
        new_cell = (main_domain(measured), measured.mode) not in self.filled
        new_signature = measured.signature not in self.signatures
        return (new_cell + new_signature + self._new_tools(measured)) / 3 / taken.attempt

    def _new_tools(self, measured: Measurement) -> float:
        """Which share of a trajectory's tools none before it called."""
        return sum(tool not in self.tools for tool in measured.tools) / max(1, len(measured.tools))


def main_domain(measured: Measurement) -> str:
    """The domain of most of a trajectory's calls, the first by name of equals; empty where none has one."""
    if not measured.domains:
        return ""
    return max(sorted(measured.domains.items()), key=itemgetter(1))[0]
