"""Does steering reach what random synthesis does not: policies compared on real tools.

    python -m benchmarks.study [--trajectories 500] [--seeds 0 1 2] [--policies random steered]
    python -m benchmarks.ablation

Every policy runs on the same catalog with each seed: the same planner, gates, attempts and number of slots
at most; no novelty gate, so that the first trajectories that pass quality count. Each campaign is one
``tds run``; what is said of it is read off its log. Prints a table of mean and range over the seeds, and with
``--to`` writes it there with its figures (``study.md``, ``.svg``, ``-growth.svg``, ``.json``; ``ablation…``
for all five).
``--keep`` keeps the campaigns' folders, and takes those that are there already.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import get_args

from benchmarks import diversity
from benchmarks.campaign import tds_run
from benchmarks.diversity import Told, told
from benchmarks.edges.pairs import DATA
from benchmarks.study_figures import bars, growth
from schemas.evolution import Policy

LINES: tuple[tuple[str, str, bool], ...] = (
    ("h_dom", "H_dom, bits", True),
    ("h_mode", "H_mode coarse, bits", True),
    ("cells", "cells filled (domain × coarse mode)", True),
    ("tools", "distinct tools called", True),
    ("edges", "distinct edges", True),
    ("cac", "CAC, mean", True),
    ("vendi", "Vendi score of call graphs", True),
    ("graphs", "distinct call graphs", True),
    ("tail", "rows that touch the least-used half of the tools", True),
    ("h_exact", "H_mode exact, bits", False),
    ("log2n", "log2 N, bits", False),
    ("feasible", "feasible cells", False),
    ("verified", "share of runs verified", False),
    ("cac_even", "CAC at equal steps", False),
    ("steps", "steps, mean", False),
    ("candidates", "slots decided", False),
    ("abandoned", "slots abandoned", False),
)
"""Key, name, and whether steering has to be ahead."""
Figures = dict[str, float]


def campaign(catalog: Path, policy: str, seed: int, trajectories: int, max_slots: int, folder: Path) -> Told:
    """One campaign, made unless it is there already."""
    log = folder / "log.sqlite3"
    if not (folder / "card.json").exists():
        asked = {
            "--catalog": catalog,
            "--policy": policy,
            "--trajectories": trajectories,
            "--seed": seed,
            "--max-slots": max_slots,
        }
        ended = tds_run([str(part) for pair in asked.items() for part in pair], folder)
        print(f"# {policy}, seed {seed}: {ended.cpu_s:.0f} s of CPU", file=sys.stderr, flush=True)
    return told(log)


def figures(made: Told) -> Figures:
    """What is said of one campaign by itself."""
    found = diversity.corpus_of(made.rows).figures(0)
    graphs = [graph for _, graph in made.rows]
    return {
        "h_dom": found.domain.bits,
        "h_mode": found.mode_coarse.bits,
        "h_exact": found.mode_exact.bits,
        "log2n": found.ceiling_bits,
        "cells": len(diversity.filled(made)),
        "feasible": len(made.feasible),
        "tools": found.tools,
        "edges": diversity.distinct_edges(made),
        "cac": found.complexity.mean,
        "vendi": diversity.vendi(graphs),
        "graphs": len(set(graphs)),
        "verified": made.verified / max(1, made.finished),
        "steps": sum(one.steps for one, _ in made.rows) / max(1, len(made.rows)),
        "candidates": made.slots,
        "abandoned": made.abandoned,
    }


def compared(campaigns: dict[tuple[str, int], Told], seeds: Sequence[int]) -> dict[tuple[str, int], Figures]:
    """The figures of all campaigns, with those that follow only from all of them together."""
    found = {name: figures(made) for name, made in campaigns.items()}
    rare = diversity.tail(campaigns.values())
    for name, made in campaigns.items():
        found[name]["tail"] = diversity.touching(made, rare)
    for seed in seeds:
        names = [name for name in campaigns if name[1] == seed]
        for name, value in zip(names, diversity.at_equal_steps([campaigns[n] for n in names]), strict=True):
            found[name]["cac_even"] = value
    return found


def summary(found: dict[tuple[str, int], Figures], policy: str, key: str) -> tuple[float, float, float]:
    """Mean, least and greatest over the seeds."""
    values = [one[key] for (name, _), one in found.items() if name == policy]
    return sum(values) / len(values), min(values), max(values)


def table(found: dict[tuple[str, int], Figures], policies: Sequence[str]) -> list[str]:
    """The table in Markdown: mean and range, and whether the last policy's mean is ahead of the first's."""
    lines = [f"| | {' | '.join(policies)} | |", f"|---|{'---:|' * len(policies)}---|"]
    for key, name, scored in LINES:
        cells = []
        for policy in policies:
            mean, least, most = summary(found, policy, key)
            cells.append(f"{spelled(mean)} ({spelled(least)}–{spelled(most)})")
        ahead = summary(found, policies[-1], key)[0] > summary(found, policies[0], key)[0]
        mark = ("ahead" if ahead else "not ahead") if scored and len(policies) > 1 else "shown"
        lines.append(f"| {name} | {' | '.join(cells)} | {mark} |")
    return lines


def spelled(value: float) -> str:
    """A number with as many digits as one reads."""
    return f"{value:.1f}".removesuffix(".0") if value >= 20 else f"{value:.3f}".removesuffix(".000")


def grown(made: Told, of: Callable[[Told], float], points: int = 25) -> list[tuple[int, float]]:
    """A measure of the first rows, at so many numbers of them."""
    total = len(made.rows)
    steps = sorted({max(1, round(total * at / points)) for at in range(1, points + 1)})
    return [(n, of(Told(rows=made.rows[:n], feasible=made.feasible))) for n in steps]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--catalog", type=Path, default=DATA / "api_tools.jsonl.gz")
    parser.add_argument("--trajectories", type=int, default=500)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--policies", nargs="+", choices=get_args(Policy), default=["random", "steered"])
    parser.add_argument("--ablation", action="store_true", help="all five policies")
    parser.add_argument("--max-slots", type=int, default=0, help="candidates at most [twice the rows]")
    parser.add_argument("--to", type=Path, help="write the table and its figures into this folder")
    parser.add_argument("--keep", type=Path, help="the campaigns' folders")
    given = parser.parse_args(arguments)
    policies = list(get_args(Policy)) if given.ablation else given.policies
    campaigns: dict[tuple[str, int], Told] = {}
    with ExitStack() as opened:
        folder = given.keep or Path(opened.enter_context(tempfile.TemporaryDirectory()))
        for seed in given.seeds:
            for policy in policies:
                where = folder / f"{policy}-{seed}-{given.trajectories}"
                slots = given.max_slots or 2 * given.trajectories
                made = campaign(given.catalog, policy, seed, given.trajectories, slots, where)
                campaigns[policy, seed] = made
    found = compared(campaigns, given.seeds)
    head = (
        f"{given.trajectories} trajectories of {given.catalog.name}, seeds "
        f"{', '.join(map(str, given.seeds))}; mean and range"
    )
    lines = [head, "", *table(found, policies)]
    print("\n".join(lines))
    if given.to is not None:
        name = "study" if len(policies) == 2 else "ablation"
        given.to.mkdir(parents=True, exist_ok=True)
        (given.to / f"{name}.md").write_text("\n".join(lines) + "\n")
        panels = [(key, text, [summary(found, one, key) for one in policies]) for key, text, _ in LINES[:9]]
        (given.to / f"{name}.svg").write_text(bars(head, policies, panels))
        curves = []
        for text, of in (
            ("H_dom, bits", lambda one: diversity.corpus_of(one.rows).domains.bits),
            ("H_mode coarse, bits", lambda one: diversity.corpus_of(one.rows).modes.bits),
            ("cells filled", lambda one: len(diversity.filled(one))),
        ):
            curves.append((text, [[grown(campaigns[one, s], of) for s in given.seeds] for one in policies]))
        (given.to / f"{name}-growth.svg").write_text(growth(head, policies, curves))
        told_all = {f"{policy}/{seed}": one for (policy, seed), one in found.items()}
        (given.to / f"{name}.json").write_text(json.dumps(told_all, indent=1) + "\n")


if __name__ == "__main__":
    main()
