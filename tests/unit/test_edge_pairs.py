"""The labelled pairs of benchmarks/edges: the file's form, its balance, and that all it names is real."""

from __future__ import annotations

import functools
import gzip
import json
import re
from collections import Counter
from typing import Any

import pytest

from benchmarks.edges.pairs import DATA, PAIRS

TEXTS = ("catalog", "server_a", "tool_a", "server_b", "tool_b", "parameter", "kind", "reason", "half")
WHERE = TEXTS[:6]
CATALOGS = {"mcp_servers", "api_tools"}
HALVES = {"tune", "report"}

Pair = dict[str, Any]


@functools.cache
def pairs() -> tuple[Pair, ...]:
    return tuple(json.loads(line) for line in PAIRS.read_text("utf-8").splitlines())


@functools.cache
def servers(catalog: str) -> dict[str, dict[str, Any]]:
    """The tools of each server by their names as they stand in the catalog, by the server's id."""
    path = DATA / f"{catalog}.jsonl.gz"
    if not path.exists():
        pytest.skip(f"no catalog {path.name} beside the checkout, so the names in it are not looked up")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        found = [json.loads(line) for line in lines]
    return {one["id"]: {tool["name"]: tool for tool in one["tools"]} for one in found}


def parameters(tool: dict[str, Any]) -> set[str]:
    return set((tool.get("inputSchema") or {}).get("properties") or {})


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text))


def test_every_line_has_the_same_form() -> None:
    for number, pair in enumerate(pairs(), 1):
        where = f"line {number}"
        assert set(pair) - {"complete"} == {*TEXTS, "label"}, where
        assert all(isinstance(pair[key], str) and pair[key].strip() for key in TEXTS), where
        assert isinstance(pair["label"], bool), where
        assert pair["catalog"] in CATALOGS, where
        assert pair["half"] in HALVES, where
        assert re.fullmatch(r"[a-z][a-z_]*", pair["kind"]), where
        assert re.fullmatch(r"[^\n]{15,160}\.", pair["reason"]), where
        assert pair.get("complete", True) is True, where


def test_no_pair_stands_twice_and_no_tool_feeds_itself() -> None:
    counts = Counter(tuple(pair[key] for key in WHERE) for pair in pairs())
    assert [where for where, count in counts.items() if count > 1] == []
    for pair in pairs():
        assert (pair["server_a"], pair["tool_a"]) != (pair["server_b"], pair["tool_b"]), pair


def test_a_kind_belongs_to_one_label() -> None:
    labels: dict[str, set[bool]] = {}
    for pair in pairs():
        labels.setdefault(pair["kind"], set()).add(pair["label"])
    assert {kind for kind, both in labels.items() if len(both) > 1} == set()


def test_a_server_is_in_one_half() -> None:
    halves: dict[tuple[str, str], set[str]] = {}
    for pair in pairs():
        for end in ("server_a", "server_b"):
            halves.setdefault((pair["catalog"], pair[end]), set()).add(pair["half"])
    assert {where for where, half in halves.items() if len(half) > 1} == set()
    within = {(pair["catalog"], pair["server_a"]) for pair in pairs() if pair["server_a"] == pair["server_b"]}
    assert len(within) >= 48
    for catalog in CATALOGS:
        assert len([one for one, _ in within if one == catalog]) >= 0.4 * len(within), catalog


def test_each_half_holds_about_as_many_true_pairs_as_false() -> None:
    assert len(pairs()) >= 240
    for catalog in CATALOGS:
        sizes = Counter((pair["half"], pair["label"]) for pair in pairs() if pair["catalog"] == catalog)
        assert len(sizes) == 4, catalog
        report = [sizes["report", True], sizes["report", False]]
        assert max(report) <= 1.3 * min(report), (catalog, sizes)
        tune = [sizes["tune", True], sizes["tune", False]]
        assert min(report) <= max(tune) <= 1.7 * min(tune), (catalog, sizes)


def test_the_false_pairs_tempt_in_every_way() -> None:
    false = Counter(pair["kind"] for pair in pairs() if not pair["label"])
    for kind in ("echo", "reversed", "other_entity", "shared_free"):
        assert false[kind] >= 15, (kind, false)


def test_pairs_across_servers_are_of_the_mcp_catalog() -> None:
    across = [pair for pair in pairs() if pair["server_a"] != pair["server_b"]]
    assert {pair["catalog"] for pair in across} == {"mcp_servers"}
    assert len(across) >= 24
    assert len([pair for pair in across if pair["label"]]) >= 12
    assert {pair["half"] for pair in across} == HALVES


def test_a_completely_read_server_marks_all_its_true_pairs() -> None:
    marks: dict[tuple[str, str], set[bool]] = {}
    for pair in pairs():
        if pair["label"] and pair["server_a"] == pair["server_b"]:
            marks.setdefault((pair["catalog"], pair["server_a"]), set()).add("complete" in pair)
        else:
            assert "complete" not in pair, pair
    assert {where for where, both in marks.items() if len(both) > 1} == set()
    assert len([where for where, both in marks.items() if True in both]) >= 12


@pytest.mark.slow
@pytest.mark.parametrize("catalog", sorted(CATALOGS))
def test_all_that_is_named_stands_in_the_catalog(catalog: str) -> None:
    real = servers(catalog)
    for pair in pairs():
        if pair["catalog"] != catalog:
            continue
        assert pair["tool_a"] in real[pair["server_a"]], pair
        tool = real[pair["server_b"]][pair["tool_b"]]
        told = parameters(tool) or words(tool.get("description") or "")
        assert pair["parameter"] in told, pair
