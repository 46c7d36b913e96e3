"""What a campaign's log says of its diversity, in measures of which steering sees only some.

A *call graph* is a trajectory's waves of tools. Two are compared by a Weisfeiler-Lehman kernel: each call
stands by its tool, and by its tool with those of the wave before and after it; the cosine of the counts of
both. The Vendi score of all of them is exp of the entropy of the eigenvalues of K / n: how many trajectories
there are as far as their call graphs differ.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from schemas.catalog import ClusterFormed
from schemas.codec import decode
from schemas.diversity import DiversityMeasured, Measurement, TrajectoryAdmitted
from schemas.evolution import GenerationOpened, SlotAbandoned
from schemas.run import Action, RunFailed, RunFinished
from schemas.topics import CATALOG_EVENTS, DIVERSITY_EVENTS, EVOLUTION_EVENTS, RUN_EVENTS
from services.diversity_monitor.corpus import Corpus
from services.diversity_monitor.coverage import Graph, call_graph, edges
from services.diversity_monitor.trace import moves
from services.evolution_scheduler.archive import main_domain
from services.evolution_scheduler.targets import offer
from services.evolution_scheduler.terrain import Terrain
from services.kit.sqlite import read

Cell = tuple[str, str]


@dataclass
class Told:
    """A campaign's admitted trajectories in the order of their rows, and what it took to get them."""

    rows: list[tuple[Measurement, Graph]] = field(default_factory=list)
    feasible: frozenset[Cell] = frozenset()
    slots: int = 0
    abandoned: int = 0
    finished: int = 0
    verified: int = 0


def told(log: Path) -> Told:
    """Read a campaign's log."""
    found = Told()
    offers, actions, measured, rows = [], dict[str, Sequence[Action]](), dict[str, Measurement](), {}
    for topic in (CATALOG_EVENTS, EVOLUTION_EVENTS, RUN_EVENTS, DIVERSITY_EVENTS):
        for record in read(log, [topic.name]):
            match decode(topic, record.key, record.headers, record.value).data:
                case ClusterFormed(cluster=cluster):
                    offers.append(offer(cluster))
                case GenerationOpened(slots=slots):
                    found.slots += len(slots)
                case SlotAbandoned():
                    found.abandoned += 1
                case RunFinished() as run:
                    found.finished += 1
                    found.verified += run.verdict.passed
                    actions.setdefault(run.run, run.actions)
                case RunFailed():
                    found.finished += 1
                case DiversityMeasured(run=name, measurement=measurement):
                    measured.setdefault(name, measurement)
                case TrajectoryAdmitted(run=name, row=row):
                    rows.setdefault(row, name)
    found.rows = [(measured[rows[row]], call_graph(moves(actions[rows[row]]))) for row in sorted(rows)]
    terrain = Terrain(offers)
    found.feasible = frozenset((domain, mode) for domain, modes in terrain.niches.items() for mode in modes)
    return found


def corpus_of(rows: Iterable[tuple[Measurement, Graph]]) -> Corpus:
    """The monitor's figures of these rows."""
    corpus = Corpus()
    for number, (measurement, _) in enumerate(rows):
        corpus.admit(measurement, number)
    return corpus


def filled(made: Told) -> set[Cell]:
    """Feasible cells of domain and coarse mode that a row falls into, by the domain of most of its calls."""
    return {(main_domain(one), one.mode) for one, _ in made.rows} & made.feasible


def features(graph: Graph) -> Counter[tuple[object, ...]]:
    """What the kernel counts of a call graph."""
    found: Counter[tuple[object, ...]] = Counter()
    for at, wave in enumerate(graph):
        before = graph[at - 1] if at else ()
        after = graph[at + 1] if at + 1 < len(graph) else ()
        for tool in wave:
            found[(tool,)] += 1
            found[(tool, len(wave), before, after)] += 1
    return found


def vendi(graphs: Sequence[Graph]) -> float:
    """The Vendi score of call graphs; 0 of none."""
    if not graphs:
        return 0.0
    counted = [features(graph) for graph in graphs]
    places: dict[tuple[object, ...], int] = {}
    for one in counted:
        for name in one:
            places.setdefault(name, len(places))
    matrix = np.zeros((len(counted), max(1, len(places))))
    for number, one in enumerate(counted):
        for name, count in one.items():
            matrix[number, places[name]] = count
    lengths = np.linalg.norm(matrix, axis=1, keepdims=True)
    matrix /= np.where(lengths > 0, lengths, 1.0)
    shares = np.linalg.eigvalsh(matrix @ matrix.T / len(counted))
    shares = shares[shares > 1e-12]
    return math.exp(-float(np.sum(shares * np.log(shares))))


def tail(campaigns: Iterable[Told]) -> frozenset[str]:
    """The least-used half of all tools that any of these campaigns called.

    Used is counted in trajectories, over all of them together; equals stand in the order of a digest.
    """
    used: Counter[str] = Counter()
    for one in campaigns:
        for _, graph in one.rows:
            used.update({tool for wave in graph for tool in wave})
    ranked = sorted(used, key=lambda tool: (used[tool], hashlib.sha256(tool.encode()).digest()))
    return frozenset(ranked[: len(ranked) // 2])


def touching(made: Told, tools: frozenset[str]) -> float:
    """The share of a campaign's trajectories that call one of these tools."""
    touched = sum(any(tool in tools for wave in graph for tool in wave) for _, graph in made.rows)
    return touched / max(1, len(made.rows))


def at_equal_steps(campaigns: Sequence[Told]) -> list[float]:
    """Mean complexity of each campaign as if all had the steps of all together.

    Over the numbers of steps that every one of them has; 0 where there is none.
    """
    means: list[dict[int, float]] = []
    counts: Counter[int] = Counter()
    for one in campaigns:
        by_steps: dict[int, list[float]] = {}
        for measurement, _ in one.rows:
            by_steps.setdefault(measurement.steps, []).append(measurement.complexity)
        counts.update({steps: len(found) for steps, found in by_steps.items()})
        means.append({steps: sum(found) / len(found) for steps, found in by_steps.items()})
    common = [steps for steps in sorted(counts) if all(steps in one for one in means)]
    total = sum(counts[steps] for steps in common)
    return [sum(counts[steps] * one[steps] for steps in common) / max(1, total) for one in means]


def distinct_edges(made: Told) -> int:
    """Pairs of tools of which one was called in the wave after the other."""
    return len({edge for _, graph in made.rows for edge in edges(graph)})
