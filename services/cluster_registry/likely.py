"""The likeliest source of a parameter for which no rule finds one: likeness, not proof.

A parameter that refers to something that is there (a required id, key, code, name) must come from somewhere.
Where the rules find nothing, or little, the tools of the server are scored by what they have in common with
the parameter, and the best are told, with a low confidence. For ``tds edges`` only: no cluster is formed from
it. The bars are ours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from schemas.catalog import Json
from services.cluster_registry.asked import asks
from services.cluster_registry.likeness import Likeness
from services.cluster_registry.resources import Resource
from services.cluster_registry.routed import Link

MAX_LIKELY: Final = 2
"""Edges into one parameter."""
MAX_WITH_RULES: Final = 4
"""Edges into one parameter, with those that the rules find: where they find so many, nothing is added."""
LEAST: Final = 0.25
"""Likeness from which on a source is told where the rules find none."""
LEAST_ROUTED: Final = 0.35
"""The same for tools of an API by routes, whose rules see more."""
LEAST_BESIDE: Final = 0.6
"""The same where the rules find some, and this is one more."""
FLOOR: Final = 0.3
SPAN: Final = 0.28
"""Confidence: these two make it lie below that of the rules."""


def likely(tools: Sequence[Json], views: Sequence[Resource], links: Sequence[Link]) -> Iterator[Link]:
    """Edges into parameters for which the rules found nothing (``links``), or little.

    ``tools`` are the JSON of ToolSpecs, ``views`` what is read off them.
    """
    sourced: dict[tuple[int, str], set[int]] = defaultdict(set)
    for link in links:
        sourced[link.target, link.parameter].add(link.source)
    all_of = Likeness(tools, views)
    for target in views:
        texts = all_of.texts[target.index]
        for ask in asks(tools[target.index], target, texts, all_of.weight, all_of.listed, all_of.listing):
            has = sourced.get((target.index, ask.parameter), set())
            room = min(MAX_LIKELY, MAX_WITH_RULES - len(has))
            if room <= 0:
                continue
            near = [one for one in all_of.sources_of(ask) if one.index not in has]
            if has and not tools[target.index].get("path"):  # no other kind of package
                said = texts.nouns | ask.nouns | ask.said
                near = [one for one in near if all_of.texts[one.index].nouns <= said]
            least = LEAST_BESIDE if has else LEAST_ROUTED if target.route else LEAST
            scored = [(all_of.likeness(target, ask, one), one) for one in near]
            scored.sort(key=lambda one: (-one[0], one[1].index))
            for score, source in scored[:room]:
                if score >= least:
                    evidence = f"{source.name} ({source.verb}) is the likeliest source of {ask.parameter} of "
                    evidence += f"{target.name} by what names, descriptions and fields have in common"
                    confidence = round(FLOOR + SPAN * score, 3)
                    yield Link(source.index, target.index, ask.parameter, (), evidence, confidence)
