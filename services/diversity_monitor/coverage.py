"""What a corpus covers, read off executed traces: tools, edges between them, call graphs. Ours.

A call counts unless it is an identical repeat. An *edge* leads from each tool of one wave of calls to each of
the next one that has any. The *call graph* of a trace is the sequence of its waves, each the sorted names of
the tools called in it, as calls of one wave have no order.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from services.diversity_monitor.trace import Move

Graph = tuple[tuple[str, ...], ...]


def call_graph(trace: Sequence[Move]) -> Graph:
    """The waves of tools that a trace calls; empty where it calls none."""
    waves = (
        tuple(sorted(action.tool for action in move.actions if not action.repeat))
        for move in trace
        if move.calls
    )
    return tuple(wave for wave in waves if wave)


def edges(graph: Graph) -> Iterator[tuple[str, str]]:
    """The edges of a call graph, as often as they are walked."""
    for before, after in pairwise(graph):
        for source in before:
            for target in after:
                yield source, target
