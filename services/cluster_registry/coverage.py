"""Business clusters of one server: lazy greedy maximum coverage over its tools and edges.

From the paper: clusters are chosen as a maximum-coverage problem, greedily. Ours: the candidates
(connected neighbourhoods of the edge graph), the price of a cluster, and what happens to tools that no
edge touches.
"""

from __future__ import annotations

import heapq
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from services.cluster_registry.resources import Resource
from services.cluster_registry.routed import Link

Group = tuple[int, ...]
"""Indices of the tools of one cluster, rising."""

SIZES: Final = (3, 4, 5, 6, 8, 12)
"""Sizes at which a growing neighbourhood becomes a candidate."""
PRICE: Final = 1.1
"""Gain is weighed against size ** PRICE: above 1, small clusters win unless large ones are dense."""
MIN_EDGE_GAIN: Final = 2.0
"""A cluster without a tool that no other has must bring edges of this much confidence in sum."""
SIBLING: Final = 0.3
"""Weight of the tie between two tools of one resource, far below that of any edge."""
MAX_TIES: Final = 24
"""Neighbours that growth looks at per tool, the strongest first."""
LEFTOVER_SIZE: Final = 5
"""Size aimed at where tools are grouped by resource alone."""


def clusters(tools: Sequence[Resource], links: Sequence[Link], min_tools: int, max_tools: int) -> list[Group]:
    """Groups of ``min_tools`` to ``max_tools`` tools that together hold every tool, in order of choice.

    A server with fewer than ``min_tools`` tools makes one smaller group. Time is near-linear in the
    number of tools and edges.
    """
    if len(tools) <= min_tools:
        return [tuple(range(len(tools)))] if tools else []
    worth: dict[tuple[int, int], float] = {}
    for link in links:
        pair = link.source, link.target
        worth[pair] = max(worth.get(pair, 0.0), link.confidence)
    linked = {index for pair in worth for index in pair}
    chosen = _greedy(_candidates(tools, worth, min_tools, max_tools), worth, linked)
    covered = {index for group in chosen for index in group}
    left = [tool for tool in tools if tool.index not in covered]
    return chosen + list(_leftovers(left, tools, min_tools, max_tools))


def _candidates(
    tools: Sequence[Resource], worth: dict[tuple[int, int], float], min_tools: int, max_tools: int
) -> list[Group]:
    """Connected neighbourhoods around each tool that has an edge, and around pairs of siblings."""
    ties = _ties(tools, worth)
    sizes = sorted({size for size in (*SIZES, min_tools, max_tools) if min_tools <= size <= max_tools})
    found: dict[Group, None] = {}
    linked = sorted({index for pair in worth for index in pair})
    seeds: list[Group] = [(index,) for index in linked]
    has_edge = set(linked)
    for one, other in _siblings(tools):
        if one in has_edge and other in has_edge:
            seeds.append((one, other))
    for seed in seeds:
        for group in _grown(seed, ties, sizes):
            found[group] = None
    return list(found)


def _ties(
    tools: Sequence[Resource], worth: dict[tuple[int, int], float]
) -> dict[int, list[tuple[float, int]]]:
    """Each tool's neighbours, both ways, strongest first; siblings are tied weakly."""
    weights: dict[int, dict[int, float]] = defaultdict(dict)
    for (source, target), confidence in worth.items():
        for one, other in ((source, target), (target, source)):
            weights[one][other] = max(weights[one].get(other, 0.0), confidence)
    for one, other in _siblings(tools):
        weights[one].setdefault(other, SIBLING)
        weights[other].setdefault(one, SIBLING)
    return {
        index: sorted(((weight, other) for other, weight in near.items()), key=lambda t: (-t[0], t[1]))[
            :MAX_TIES
        ]
        for index, near in weights.items()
    }


def _siblings(tools: Sequence[Resource]) -> Iterator[tuple[int, int]]:
    """Neighbouring pairs within each resource, in catalog order: as many as there are tools, at most."""
    last: dict[str, int] = {}
    for tool in tools:
        if tool.group:
            if tool.group in last:
                yield last[tool.group], tool.index
            last[tool.group] = tool.index


def _grown(seed: Group, ties: dict[int, list[tuple[float, int]]], sizes: Sequence[int]) -> Iterator[Group]:
    """The neighbourhoods of ``seed`` at each of ``sizes``, taking the strongest tie out each time."""
    members = set(seed)
    heap: list[tuple[float, int]] = []
    for index in seed:
        for weight, other in ties.get(index, ()):
            heapq.heappush(heap, (-weight, other))
    while heap and len(members) < sizes[-1]:
        _, index = heapq.heappop(heap)
        if index in members:
            continue
        members.add(index)
        if len(members) in sizes:
            yield tuple(sorted(members))
        for weight, other in ties.get(index, ()):
            if other not in members:
                # Ties of tools taken later count a little less: neighbourhoods stay round their seed.
                heapq.heappush(heap, (-weight * 0.98 ** len(members), other))


def _greedy(candidates: list[Group], worth: dict[tuple[int, int], float], linked: set[int]) -> list[Group]:
    """Lazy greedy: a candidate's gain only falls as others are chosen, so a stale one is an upper bound."""
    inside: list[list[tuple[int, int]]] = []
    outgoing: dict[int, list[int]] = defaultdict(list)
    for source, target in sorted(worth):
        outgoing[source].append(target)
    for group in candidates:
        members = set(group)
        inside.append([(one, other) for one in group for other in outgoing.get(one, ()) if other in members])
    tools_left, pairs_left = set(linked), set(worth)

    def ratio(number: int) -> float:
        new_tools = sum(index in tools_left for index in candidates[number])
        new_pairs = sum(worth[pair] for pair in inside[number] if pair in pairs_left)
        if not new_tools and new_pairs < MIN_EDGE_GAIN:
            return 0.0
        return (new_tools + new_pairs) / math.pow(len(candidates[number]), PRICE)

    heap = [(-ratio(number), candidates[number], number) for number in range(len(candidates))]
    heapq.heapify(heap)
    chosen: list[Group] = []
    while heap:
        stale, group, number = heapq.heappop(heap)
        current = ratio(number)
        if current <= 0.0:
            continue
        if current < -stale:
            heapq.heappush(heap, (-current, group, number))
            continue
        chosen.append(group)
        tools_left.difference_update(group)
        pairs_left.difference_update(inside[number])
    return chosen


def _leftovers(
    left: Sequence[Resource], tools: Sequence[Resource], min_tools: int, max_tools: int
) -> Iterator[Group]:
    """Tools that no cluster holds, with others of their resource; the rest with others of their server."""
    by_resource: dict[str, list[int]] = defaultdict(list)
    for tool in left:
        by_resource[tool.group].append(tool.index)
    size = max(min_tools, min(LEFTOVER_SIZE, max_tools))
    rest: list[int] = []
    for _, indices in sorted(by_resource.items(), key=lambda item: item[1][0]):
        if len(indices) < min_tools:
            rest.extend(indices)
            continue
        yield from _chunks(indices, size, min_tools, max_tools)
    rest.sort(key=lambda index: (tools[index].group, index))
    if len(rest) >= min_tools:
        yield from _chunks(rest, size, min_tools, max_tools)
    elif rest:
        near = sorted(
            (tool.index for tool in tools if tool.index not in rest),
            key=lambda index: (
                tools[index].group not in {tools[r].group for r in rest},
                abs(index - rest[0]),
                index,
            ),
        )
        yield tuple(sorted([*rest, *near[: min_tools - len(rest)]]))


def _chunks(indices: Sequence[int], size: int, min_tools: int, max_tools: int) -> Iterator[Group]:
    """Consecutive groups of nearly equal size, about ``size`` and within the limits."""
    parts = max(-(-len(indices) // max_tools), min(round(len(indices) / size), len(indices) // min_tools), 1)
    for part in range(parts):
        begin, end = part * len(indices) // parts, (part + 1) * len(indices) // parts
        # Four tools in groups of exactly three: neighbours share a tool rather than fall short.
        begin = min(begin, len(indices) - min_tools)
        yield tuple(sorted(indices[begin : max(end, begin + min_tools)]))
