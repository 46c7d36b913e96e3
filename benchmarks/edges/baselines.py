"""What the rules are held against: equal names, and likeness of texts (TF-IDF)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

from benchmarks.edges.pairs import Pair
from schemas.catalog import ImportServer
from services.cluster_registry.labels import tokens
from services.cluster_registry.text import words

Tool = tuple[str, str]
"""A server's id and a tool's name, as the catalog has them."""


class Texts:
    """The tools of one catalog, for both baselines."""

    def __init__(self, imports: Iterable[ImportServer]) -> None:
        self.names: dict[Tool, set[str]] = {}
        self.weights: dict[Tool, dict[str, float]] = {}
        counts: dict[Tool, Counter[str]] = {}
        seen: Counter[str] = Counter()
        for one in imports:
            for raw in one.server.get("tools", []):
                if not isinstance(raw, dict) or not isinstance(raw.get("name"), str):
                    continue
                tool = one.server_id, raw["name"]
                output = raw.get("outputSchema")
                self.names[tool] = set(_fields(output or raw.get("inputSchema")))
                counts[tool] = Counter(tokens(f"{raw['name']} {str(raw.get('description') or '')[:1000]}"))
                seen.update(counts[tool].keys())
        for tool, found in counts.items():
            weighted = {
                word: (1 + math.log(n)) * math.log(len(counts) / seen[word]) for word, n in found.items()
            }
            length = math.sqrt(math.fsum(value * value for value in weighted.values())) or 1.0
            self.weights[tool] = {word: value / length for word, value in weighted.items()}

    def equal_names(self, pair: Pair) -> bool:
        """A field of the first tool's result (without output schema: of its input) is called so."""
        name = "_".join(words(pair.parameter))
        return name in self.names.get((pair.server_a, pair.tool_a), set())

    def likeness(self, pair: Pair) -> float:
        """The cosine of the TF-IDF weights of both tools' names and descriptions."""
        one = self.weights.get((pair.server_a, pair.tool_a), {})
        other = self.weights.get((pair.server_b, pair.tool_b), {})
        return math.fsum(value * other.get(word, 0.0) for word, value in sorted(one.items()))


def best_threshold(scored: Iterable[tuple[float, bool]]) -> float:
    """The likeness from which on calling a pair an edge gives the best F1.

    At most half of the false pairs may be called one: where half of all pairs are true, calling every pair
    an edge has an F1 that hardly anything beats, and says nothing.
    """
    pairs = sorted(scored, reverse=True)
    wanted = sum(label for _, label in pairs)
    best, at, hits = 0.0, 1.0, 0
    for number, (score, label) in enumerate(pairs, start=1):
        hits += label
        if number < len(pairs) and pairs[number][0] == score:
            continue
        if 2 * (number - hits) > len(pairs) - wanted:
            break
        f1 = 2 * hits / (number + wanted)
        if f1 > best:
            best, at = f1, score
    return at


def _fields(schema: Any, depth: int = 0) -> Iterable[str]:
    if not isinstance(schema, dict) or depth > 6:
        return
    yield from _fields(schema.get("items"), depth + 1)
    members = schema.get("properties")
    for name, member in members.items() if isinstance(members, dict) else ():
        yield "_".join(words(name))
        yield from _fields(member, depth + 1)
