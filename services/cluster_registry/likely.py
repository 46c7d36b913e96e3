"""The likeliest source of a parameter for which no rule finds one: likeness, not proof.

A parameter that refers to something that is there (a required id, key, code, name) must come from somewhere.
Where the rules find nothing, the tools of the server are scored by what they have in common with the
parameter, and the best are told, with a low confidence. For ``tds edges`` only: no cluster is formed from it.
Features and weights are ours, fitted on the labelled pairs of benchmarks/edges (half "tune") and on edges
judged one by one.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from schemas.catalog import Json
from services.cluster_registry.asked import Ask, Texts, asks, stem, texts_of
from services.cluster_registry.described import MADE, MANY_GIVEN, RELATED, STARTS
from services.cluster_registry.resources import Resource
from services.cluster_registry.routed import Link, of_another
from services.cluster_registry.text import singular, words
from services.cluster_registry.vocabulary import KINDS

MAX_TOOLS: Final = 128
"""Of a server with more tools, only so many sources are scored: inference stays near-linear."""
MANY: Final = 30
"""Tools of a server from which on a likeness is more often chance."""
MAX_LIKELY: Final = 2
"""Edges into one parameter."""
LEAST: Final = 0.5
"""Likeness from which on a source is told where the rules find none."""
LEAST_ROUTED: Final = 0.7
"""The same for tools of an API by routes, whose rules see more."""
LEAST_BESIDE: Final = 0.6
"""The same where the rules find one source, and this is a second."""
FLOOR: Final = 0.3
SPAN: Final = 0.28
"""Confidence: these two make it lie below that of the rules."""

WEIGHTS: Final[Mapping[str, float]] = {
    "bias": -1.2, "name": 0.8, "back": 1.1, "told": 0.4, "field": 0.3, "target": 0.9, "said": 0.8,
    "lists": 0.5, "creates": 0.0, "gets": -0.5, "free": 0.0, "kind": 0.4, "required": -0.2, "own": -0.6,
    "prefix": 1.2, "only": 0.3, "takes": -0.4, "related": 0.2, "schema": -0.6, "schema_field": 0.3,
    "many": -0.9,
}  # fmt: skip
"""What each feature counts, in the logarithm of odds."""


def _heads(view: Resource, texts: Texts) -> frozenset[str]:
    """What a tool's results are of: the last nouns of its entities and of what its description tells."""
    found = {stem(name.rpartition("_")[2]) for name in view.entities}
    found |= {stem(one.noun[-1]) for one in view.subjects if one.told != "owner"}
    last = [stem(word) for word in words(view.name) if stem(word) in texts.nouns]
    return frozenset({*found, *last[-1:]})


class Likeness:
    """What the tools of one server have in common."""

    def __init__(self, tools: Sequence[Json], views: Sequence[Resource]) -> None:
        self.tools, self.views = tools, views
        self.texts = [texts_of(tool, view) for tool, view in zip(tools, views, strict=True)]
        seen = Counter(word for one in self.texts for word in one.nouns | one.said)
        total = len(tools)
        self.weight = {word: math.log(1 + total / n) / math.log(1 + total) for word, n in seen.items()}
        self.listed = {
            word
            for view, one in zip(views, self.texts, strict=True)
            if view.verb in ("list", "search", "get") and not one.required
            for word in one.nouns
        }
        self.heads = [_heads(view, one) for view, one in zip(views, self.texts, strict=True)]
        self.sources = [view for view in views if view.verb not in ("delete", "update")][:MAX_TOOLS]
        self.listers = [view for view in self.sources if view.verb in ("list", "search")]

    def covered(self, wanted: Collection[str], having: Collection[str]) -> float:
        """How much of the wanted words' weight the others have, from 0 to 1."""
        whole = math.fsum(self.weight.get(word, 1.0) for word in sorted(wanted))
        common = math.fsum(self.weight.get(word, 1.0) for word in sorted(wanted) if word in having)
        return common / whole if whole else 0.0

    def features(self, target: Resource, ask: Ask, source: Resource) -> Mapping[str, float] | None:
        """What speaks for a source, each from 0 to 1; None if it cannot be one."""
        if source.index == target.index:
            return None
        one, other = self.texts[source.index], self.texts[target.index]
        name = "_".join(words(ask.parameter))
        if name in one.required or (name in one.inputs and source.verb not in ("list", "search")):
            return None
        prefix = ""
        if ask.routed and target.route:
            prefix = target.route.partition(f"/{{{ask.parameter}}}")[0]
            if of_another(source.route, prefix):
                return None
        if source.verb == "act" and not STARTS.intersection(words(source.name)):
            return None
        if not self.tools[source.index].get("path") and one.required and MANY_GIVEN.search(source.name):
            return None
        nouns = ask.nouns
        creates = source.verb in ("create", "act")
        if creates and ask.kind not in MADE:
            return None
        if source.verb == "get" and one.required:
            return None
        only = len(self.listers) == 1 and source is self.listers[0]
        paired = bool(prefix) and source.route == prefix
        if not (paired or only or self.heads[source.index] & {*nouns, ask.kind}):
            return None
        last = name.rpartition("_")[2]
        forms = {name, singular(last), name.removesuffix(f"_{last}")}
        field = 1.0 if name in one.fields else 0.5 if forms & one.fields else 0.0
        verb = source.verb
        return {
            "bias": 1.0,
            "name": self.covered(nouns, one.nouns),
            "back": self.covered(one.nouns, nouns | ask.said),
            "told": self.covered(nouns, one.said),
            "field": field,
            "target": self.covered(other.nouns, one.nouns),
            "said": self.covered(ask.said, one.nouns | one.said),
            "lists": float(verb in ("list", "search")),
            "creates": float(creates),
            "gets": float(verb == "get"),
            "free": float(not one.required),
            "kind": float(ask.kind in KINDS),
            "required": float(ask.required),
            "own": float(ask.own),
            "prefix": float(paired),
            "only": float(only),
            "takes": float(name in one.inputs),
            "related": float(bool(RELATED.search(source.name))),
            "schema": float(not source.schemaless),
            "schema_field": field * float(not source.schemaless),
            "many": float(len(self.tools) > MANY),
        }

    def likeness(self, target: Resource, ask: Ask, source: Resource) -> float:
        """How likely a source is, from 0 to 1; 0 for none."""
        found = self.features(target, ask, source)
        if found is None:
            return 0.0
        return 1 / (1 + math.exp(-math.fsum(WEIGHTS[name] * value for name, value in found.items())))


def likely(tools: Sequence[Json], views: Sequence[Resource], links: Sequence[Link]) -> Iterator[Link]:
    """Edges into parameters for which the rules found nothing (``links``), or one source only.

    ``tools`` are the JSON of ToolSpecs, ``views`` what is read off them.
    """
    sourced: dict[tuple[int, str], set[int]] = defaultdict(set)
    for link in links:
        sourced[link.target, link.parameter].add(link.source)
    all_of = Likeness(tools, views)
    for target in views:
        texts = all_of.texts[target.index]
        for ask in asks(tools[target.index], target, texts, all_of.weight, all_of.listed):
            has = sourced.get((target.index, ask.parameter), set())
            if len(has) >= MAX_LIKELY or (has and target.route):
                continue
            least = LEAST_BESIDE if has else LEAST_ROUTED if target.route else LEAST
            scored = [
                (all_of.likeness(target, ask, one), one) for one in all_of.sources if one.index not in has
            ]
            if has and not tools[target.index].get("path"):  # no other kind of package
                said = texts.nouns | ask.nouns | ask.said
                scored = [(score, one) for score, one in scored if all_of.texts[one.index].nouns <= said]
            ranked = sorted(scored, key=lambda one: (-one[0], one[1].index))
            for score, source in ranked[: MAX_LIKELY - len(has)]:
                if score >= least:
                    evidence = f"{source.name} ({source.verb}) is the likeliest source of {ask.parameter} of "
                    evidence += f"{target.name} by what names, descriptions and fields have in common"
                    yield Link(
                        source.index,
                        target.index,
                        ask.parameter,
                        (),
                        evidence,
                        round(FLOOR + SPAN * score, 3),
                    )
