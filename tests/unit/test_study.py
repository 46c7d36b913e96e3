"""The measures of the study, by hand."""

from __future__ import annotations

import math
from xml.etree import ElementTree as ET

import pytest

from benchmarks.diversity import Told, at_equal_steps, distinct_edges, filled, tail, touching, vendi
from benchmarks.study import LINES, compared, grown, table
from benchmarks.study_figures import bars, growth
from schemas.diversity import Measurement
from services.diversity_monitor.coverage import Graph

CHAIN: Graph = (("a",), ("b",))
OTHER: Graph = (("c",), ("d", "e"))


def row(
    graph: Graph, steps: int = 3, complexity: float = 6.0, domain: str = "x"
) -> tuple[Measurement, Graph]:
    tools = tuple(dict.fromkeys(tool for wave in graph for tool in wave))
    measurement = Measurement(
        signature=str(len(graph)),
        mode="chain/2",
        domains={domain: 1.0},
        complexity=complexity,
        band=1,
        steps=steps,
        tools=tools,
        content_hash="",
    )
    return measurement, graph


def test_the_vendi_score_counts_what_differs() -> None:
    assert vendi([CHAIN] * 4) == pytest.approx(1.0)
    assert vendi([CHAIN, OTHER]) == pytest.approx(2.0)
    assert vendi([CHAIN, CHAIN, OTHER, OTHER]) == pytest.approx(2.0)
    # Of their four features each two graphs share the tool a: the cosine is 1/4, the eigenvalues 5/8 and 3/8.
    half = vendi([(("a",), ("b",)), (("c",), ("a",))])
    expected = math.exp(-sum(share * math.log(share) for share in (5 / 8, 3 / 8)))
    assert half == pytest.approx(expected)
    assert vendi([]) == 0.0


def test_the_least_used_half_is_of_all_campaigns_together() -> None:
    one, other = Told(rows=[row(CHAIN), row(CHAIN), row(OTHER)]), Told(rows=[row(CHAIN)])
    rare = tail([one, other])
    assert len(rare) == 2
    assert rare < {"c", "d", "e"}
    assert touching(one, rare) == pytest.approx(1 / 3)
    assert touching(other, rare) == 0.0


def test_complexity_at_equal_steps_weighs_the_steps_of_all() -> None:
    short = Told(rows=[row(CHAIN, 2, 4.0), row(CHAIN, 2, 4.0), row(CHAIN, 3, 9.0)])
    long = Told(rows=[row(CHAIN, 2, 5.0), row(CHAIN, 3, 9.0), row(CHAIN, 9, 90.0)])
    assert at_equal_steps([short, long]) == [pytest.approx(6.0), pytest.approx((3 * 5 + 2 * 9) / 5)]


def test_cells_count_where_they_are_feasible_and_edges_once() -> None:
    made = Told(rows=[row(CHAIN), row(CHAIN), row(OTHER, domain="y")], feasible=frozenset({("x", "chain/2")}))
    assert filled(made) == {("x", "chain/2")}
    assert distinct_edges(made) == 3


def test_the_table_and_the_figures_name_every_line() -> None:
    campaigns = {
        ("random", 0): Told(rows=[row(CHAIN)] * 3, slots=4, finished=4, verified=3),
        ("steered", 0): Told(
            rows=[row(CHAIN), row(OTHER), row((("f",),), 2)], slots=4, finished=4, verified=3
        ),
    }
    found = compared(campaigns, [0])
    assert all({key for key, _, _ in LINES} == figures.keys() for figures in found.values())
    lines = table(found, ["random", "steered"])
    assert len(lines) == len(LINES) + 2
    assert any(line.startswith("| distinct call graphs | 1 (1–1) | 3 (3–3) | ahead") for line in lines)
    assert any(line.startswith("| H_dom") and line.endswith("not ahead |") for line in lines)
    panels = [(key, name, [(1.0, 0.5, 2.0), (3.0, 3.0, 3.0)]) for key, name, _ in LINES]
    curves = [("cells", [[grown(made, lambda one: len(one.rows))] for made in campaigns.values()])]
    for drawn in (bars("<N>", ["random", "steered"], panels), growth("t", ["random", "steered"], curves)):
        texts = [one.text for one in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
        assert "steered" in texts
