"""A campaign as a page to look at: its figures over time, what was refused, and every trajectory."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from schemas.blueprint import Blueprint, Constant, FromFact, FromStep, ListOf, ObjectOf, Source
from schemas.diversity import BAND_EDGES, Measurement
from services.console.export import row as row_of
from services.console.export import write_atomically
from services.console.ledger import Ledger
from services.console.page import page
from services.console.show import facts, most_first, plain
from services.diversity_monitor.complexity import HISTOGRAM_WIDTH
from services.diversity_monitor.corpus import Corpus

Json = dict[str, Any]

POINTS: Final = 200
"""Points of a line, at most."""
GOAL_LENGTH: Final = 200
TOP: Final = 200
ELSEWHERE: Final = frozenset({"tools", "user knows", "faults"})
"""Of what there is to know of a row: what the page shows in another place."""


def write_report(ledger: Ledger, path: Path) -> int:
    """Write the page, whole or not at all; returns the number of trajectories in it.

    Raises:
        OSError: it cannot be written there.
    """
    report = Report(ledger)

    def rows() -> Iterator[Json]:
        for admitted in ledger.admitted:
            if report.whole(admitted.run):
                yield report.enter(admitted.run)

    write_atomically(path, page(lambda: {**report.figures(), "trajectories": report.index}, rows()))
    return len(report.index)


class Report:
    """What a page tells of a campaign. ``index`` holds a line for each trajectory that was entered."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.index: list[Json] = []
        self._entered: list[str] = []

    def whole(self, run: str) -> bool:
        """Whether all of a run is there: of the logs of a stack, some are read later than others."""
        entry = self.ledger.runs.get(run)
        return entry is not None and entry.verdict is not None and bool(entry.blueprint)

    def grow(self) -> None:
        """Enter what was admitted since, in the dataset's order; forget what the end does not count."""
        admitted = self.ledger.admitted
        del self.index[len(admitted) :], self._entered[len(admitted) :]
        for one in admitted[len(self.index) :]:
            if not self.whole(one.run):
                break
            self.enter(one.run)

    def rows(self, first: int, last: int) -> list[Json]:
        """Of the trajectories that were entered, those from ``first`` up to and without ``last``."""
        found = []
        for run in self._entered[first:last]:
            found.append(_row(row_of(self.ledger, run), self.ledger.blueprint(run)))
        return found

    def enter(self, run: str) -> Json:
        """Enter a trajectory into the index; returns it whole."""
        blueprint = self.ledger.blueprint(run)
        made = row_of(self.ledger, run)
        about = made["metadata"]
        distractors = set(blueprint.distractors)
        self._entered.append(run)
        self.index.append(
            {
                "id": made["id"],
                "goal": blueprint.goal[:GOAL_LENGTH],
                "domains": about["domains"],
                "mode": about["mode"],
                "band": about["band"],
                "complexity": about["complexity"],
                "operator": blueprint.operator,
                "tools": [tool.name for tool in blueprint.tools if tool.name not in distractors],
            }
        )
        return _row(made, blueprint)

    def figures(self) -> Json:
        """Everything but the trajectories."""
        ledger = self.ledger
        measured = [
            found for row in ledger.admitted if (found := ledger.runs[row.run].measurement) is not None
        ]
        corpus, series = _series(measured)
        figures = ledger.figures
        count, asked = ledger.admitted_count, ledger.asked
        entropies = {
            "domain": figures.domain,
            "mode_exact": figures.mode_exact,
            "mode_coarse": figures.mode_coarse,
        }
        tiles = [
            ["admitted", f"{count:,}", f"of {asked:,} asked for; {ledger.state}"],
            *[
                [
                    f"{name.replace('_', ', ')} entropy, bits",
                    f"{one.bits:.2f}",
                    f"log2 N is {figures.ceiling_bits:.2f}",
                ]
                for name, one in entropies.items()
            ],
            ["mean complexity", f"{figures.complexity.mean:.1f}", f"p90 {figures.complexity.p90:.1f}"],
            ["distinct tools called", f"{figures.tools:,}", ""],
            ["runs", f"{len(ledger.runs):,}", f"{len(ledger.failed):,} failed or refused"],
        ]
        models = sorted({one.model for one in ledger.spec.models.values()}) if ledger.spec else []
        about = [f"seed {ledger.spec.seed}" if ledger.spec else "", ", ".join(models), ledger.first_time[:10]]
        return {
            "title": f"Campaign {ledger.campaign}",
            "subtitle": " · ".join(part for part in about if part),
            "tiles": tiles,
            "ceiling_bits": figures.ceiling_bits,
            "entropy": {name: one.model_dump() for name, one in entropies.items()},
            "series": series,
            "archive": _archive(measured),
            "complexity": {**figures.complexity.model_dump(mode="json"), "bin_width": HISTOGRAM_WIDTH},
            "domains": most_first({name: corpus.domains.mass(name) for name in corpus.domains}),
            "modes": most_first(Counter(one.mode for one in measured)),
            "signatures": most_first(Counter(one.signature for one in measured))[:TOP],
            "rejections": _rejections(ledger),
            "operators": _operators(ledger),
        }


def _row(made: Json, blueprint: Blueprint) -> Json:
    """A trajectory as the reader of the page shows it, of the dataset's row and its blueprint."""
    return {
        "id": made["id"],
        "goal": blueprint.goal,
        "facts": [pair for pair in facts(made, blueprint) if pair[0] not in ELSEWHERE],
        "steps": [_step(blueprint, at) for at in range(len(blueprint.steps))],
        "holds": [
            f"{fact.label}: {plain(fact.value)}{' (told when asked)' if fact.asked else ''}"
            for fact in blueprint.facts
        ],
        "answers": [fact.label for fact in blueprint.answer_facts],
        "distractors": list(blueprint.distractors),
        "messages": [message for message in made["messages"] if message["role"] != "system"],
    }


def _series(measured: list[Measurement]) -> tuple[Corpus, Json]:
    """The entropies after each row, or after ``POINTS`` of them, as the monitor reckons them."""
    corpus = Corpus()
    stride = max(1, math.ceil(len(measured) / POINTS))
    found: Json = {"n": [], "domain": [], "mode_exact": [], "mode_coarse": [], "ceiling": []}
    for at, one in enumerate(measured, start=1):
        corpus.admit(one, at - 1)
        if at % stride and at != len(measured):
            continue
        found["n"].append(at)
        found["ceiling"].append(round(math.log2(at), 4))
        tallies = {"domain": corpus.domains, "mode_exact": corpus.signatures, "mode_coarse": corpus.modes}
        for name, tally in tallies.items():
            found[name].append(round(tally.bits, 4))
    return corpus, found


def _archive(measured: list[Measurement]) -> Json:
    """Trajectories per domain, coarse mode and band; one of several domains counts in each."""
    counts: Counter[tuple[str, str, int]] = Counter()
    for one in measured:
        for domain in one.domains:
            counts[domain, one.mode, one.band] += 1
    domains = sorted({domain for domain, _, _ in counts})
    modes = sorted({mode for _, mode, _ in counts})
    bands = range(len(BAND_EDGES) + 1)
    cells = sorted({(domain, mode) for domain, mode, _ in counts})
    return {
        "domains": domains,
        "modes": modes,
        "cells": [
            [domains.index(domain), modes.index(mode), [counts[domain, mode, band] for band in bands]]
            for domain, mode in cells
        ],
    }


def _rejections(ledger: Ledger) -> list[list[Any]]:
    """Stage, reason and count of every run that did not make it, most frequent first."""
    counts: Counter[tuple[str, str]] = Counter()
    for entry in ledger.failed:
        if entry.failure is not None:
            code = entry.failure.code
            reason = code if entry.failure.stage == "gate" else f"{code} ({entry.failure.attribution})"
            counts[entry.failure.stage, reason] += 1
    return [[*key, count] for key, count in most_first(counts)]


def _operators(ledger: Ledger) -> list[list[Any]]:
    """Per operator: runs that were planned, how many were admitted, and their share."""
    admitted = {row.run for row in ledger.admitted}
    planned: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    for run, entry in ledger.runs.items():
        if entry.operator:
            planned[entry.operator] += 1
            taken[entry.operator] += run in admitted
    return [
        [name, planned[name], taken[name], round(taken[name] / planned[name], 3)] for name in sorted(planned)
    ]


def _step(blueprint: Blueprint, at: int) -> Json:
    step = blueprint.steps[at]
    return {
        "id": step.id,
        "tool": step.tool,
        "wave": step.wave,
        "purpose": step.purpose,
        "fault": f"{step.fault.error}, {step.fault.times} ×" if step.fault else "",
        "arguments": [[name, _source(source)] for name, source in step.arguments.items()],
    }


def _source(source: Source) -> str:
    """Where an argument comes from, in words."""
    match source:
        case FromFact():
            return f"what the user knows as {source.fact}"
        case FromStep():
            return f"{source.step}.{'.'.join(str(key) for key in source.path)}"
        case Constant():
            return json.dumps(source.value, ensure_ascii=False)
        case ObjectOf():
            return "{" + ", ".join(f"{name}: {_source(one)}" for name, one in source.fields.items()) + "}"
        case ListOf():
            return "[" + ", ".join(_source(one) for one in source.items) + "]"
