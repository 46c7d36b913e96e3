"""The monitor's figures, streamed event by event, against a naive computation over the whole batch."""

from __future__ import annotations

import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.diversity import DiversityMeasured, Measurement, TrajectoryAdmitted, TrajectoryRejected
from schemas.envelope import Envelope, Message
from services.diversity_monitor import corpus
from services.diversity_monitor.complexity import HISTOGRAM_BINS, HISTOGRAM_WIDTH
from services.diversity_monitor.domain import evolve, figures, initial

SHARES = (
    {"a": 1.0},
    {"b": 1.0},
    {"a": 0.5, "b": 0.5},
    {"a": 1 / 3, "b": 1 / 3, "c": 1 / 3},
    {"c": 0.9, "a": 0.1},
    {},
)

measurements = st.builds(
    Measurement,
    signature=st.sampled_from([f"read*{n}" for n in range(9)]),
    mode=st.sampled_from(["single/1", "chain/2", "dag/3-4"]),
    domains=st.sampled_from(SHARES),
    complexity=st.floats(0, 80),
    band=st.integers(0, 3),
    steps=st.integers(1, 30),
    tools=st.lists(st.sampled_from("pqrstu"), max_size=4, unique=True).map(tuple),
    content_hash=st.uuids().map(str),
)


def entropy(masses: Counter[str]) -> float:
    total = math.fsum(masses.values())
    return -math.fsum(n / total * math.log2(n / total) for n in masses.values() if n)


def events(batch: list[Measurement], refused: set[int]) -> list[Envelope]:
    """Of each slot what was measured and what became of it; refused slots take no row."""
    made: list[Message] = []
    row = 0
    for slot, measurement in enumerate(batch):
        run = f"c.{slot}.1"
        made.append(
            DiversityMeasured(run=run, campaign="c", generation=0, slot=slot, measurement=measurement)
        )
        where = {"campaign": "c", "generation": 0, "slot": slot, "run": run}
        if slot in refused:
            made.append(TrajectoryRejected.model_validate({**where, "gate": "g", "evidence": "e"}))
        else:
            made.append(TrajectoryAdmitted.model_validate({**where, "row": row}))
            row += 1
    return [Envelope(f"e{n}", "test", "", "c", data) for n, data in enumerate(made)]


@settings(deadline=None)
@given(
    st.lists(measurements, min_size=1, max_size=60),
    st.sets(st.integers(0, 59)),
    st.randoms(use_true_random=False),
)
def test_streamed_in_any_order_and_more_than_once_the_figures_are_those_of_the_batch(
    batch: list[Measurement], refused: set[int], rng: random.Random
) -> None:
    stream = events(batch, refused)
    taken = [one for slot, one in enumerate(batch) if slot not in refused]
    domains: Counter[str] = Counter()
    for one in taken:
        domains.update(one.domains)
    for _ in range(2):
        state = initial()
        for event in stream:
            state = evolve(state, event)
        found = figures(state, "c")
        assert found.admitted == len(taken)
        assert found.rejected == ({"g": len(batch) - len(taken)} if len(taken) < len(batch) else {})
        assert found.domain.bits == pytest.approx(entropy(domains) if domains else 0.0, abs=1e-9)
        signatures = Counter(one.signature for one in taken)
        modes = Counter(one.mode for one in taken)
        assert found.mode_exact.bits == pytest.approx(entropy(signatures) if taken else 0.0, abs=1e-9)
        assert found.mode_coarse.bits == pytest.approx(entropy(modes) if taken else 0.0, abs=1e-9)
        assert found.tools == len({tool for one in taken for tool in one.tools})
        if taken:
            total = math.fsum(one.complexity for one in taken)
            assert found.ceiling_bits == math.log2(len(taken))
            assert found.complexity.mean == pytest.approx(total / len(taken), abs=1e-9)
            assert found.complexity.per_step == pytest.approx(
                total / sum(one.steps for one in taken), abs=1e-9
            )
            bins = Counter(min(int(one.complexity / HISTOGRAM_WIDTH), HISTOGRAM_BINS - 1) for one in taken)
            assert list(found.complexity.histogram) == [bins[at] for at in range(HISTOGRAM_BINS)]
        stream = [*stream, *rng.choices(stream, k=len(stream))]
        rng.shuffle(stream)


@settings(deadline=None)
@given(st.lists(measurements, min_size=1, max_size=30), st.sets(st.integers(0, 29)))
def test_an_event_applied_twice_changes_nothing(batch: list[Measurement], refused: set[int]) -> None:
    state = initial()
    for event in events(batch, refused):
        state = evolve(state, event)
        before = figures(state, "c")
        state = evolve(state, event)
        assert figures(state, "c") == before


def test_the_hashes_of_the_last_rows_are_kept_and_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "REMEMBERED", 3)
    one = Measurement(
        signature="read",
        mode="single/1",
        domains={},
        complexity=1.0,
        band=0,
        steps=1,
        tools=(),
        content_hash="",
    )
    kept = corpus.Corpus()
    for row in range(10):
        kept.admit(one.model_copy(update={"content_hash": f"h{row}"}), row)
    assert kept.rows == {"h7": 7, "h8": 8, "h9": 9}
    assert kept.admitted == 10
