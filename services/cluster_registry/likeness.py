"""What the tools of one server have in common with a parameter that some other tool may be the source of.

Some tools cannot be the source of a parameter at all (they were given it themselves, they come after it, they
make what the caller has named); the others are scored by what speaks for them. Features, gates and weights
are ours; the weights are fitted on the labelled pairs of benchmarks/edges (half "tune") and on edges judged
one by one.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.catalog import Json
from services.cluster_registry.asked import READ_CHARS, Ask, Texts, nouns_of, parts_of, stem, texts_of
from services.cluster_registry.described import MADE, MANY_GIVEN, QUALIFYING, RELATED, STARTS
from services.cluster_registry.resources import Resource
from services.cluster_registry.routed import of_another
from services.cluster_registry.text import singular, word_set, words
from services.cluster_registry.vocabulary import KINDS, VERBS

MAX_TOOLS: Final = 128
"""Of a server with more tools, only so many sources are scored: inference stays near-linear."""
MANY: Final = 30
"""Tools of a server from which on a likeness is more often chance."""
DIRECTORIES: Final = word_set("directory folder dir file tree path")
"""What a path leads to that holds others: its listing is given one path and tells more."""
A_LIST: Final = re.compile(
    r"^\W*(?:gets?|returns?|retrieves?|fetch(?:es)?|shows?|provides?)\s+(?:an?|the)?\s*(?:[a-z]+ )?"
    r"(?:list(?:ing)?|mapping|map|index|array|catalog(?:ue)?) of",
    re.IGNORECASE,
)
"""How descriptions of tools begin that give several, whatever their verb."""
MADE_TOO: Final = MADE | {"ids", "arn", "arns", "address", "handle"}
"""Kinds of identity that a tool may tell of what it makes."""
MADE_BY_ACTS: Final = word_set(
    "output job task session run request operation result execution process prediction"
)
"""What an act makes, whatever it is called: ``pack_codebase`` an output that is read by its id."""
ADDRESSES: Final = word_set("url uri path address type model")
"""Kinds that callers as often know themselves."""

WEIGHTS: Final[Mapping[str, float]] = {
    "bias": -3.4, "name": 1.3, "back": 1.2, "told": 0.8, "target": 0.4, "cosine": 1.7, "field": 1.2,
    "exact": 0.9, "head": 1.2, "lists": 0.6, "starts": 0.5, "acts": -0.5, "gets": 0.3, "reads": 0.2,
    "required": 0.5, "own": -0.3, "several": 0.6, "strange": -0.6, "written": -0.1, "bare": -0.3,
    "address": -0.4, "ambient": 0.5, "prefix": 2.4, "only": 0.5, "takes": -0.9, "schema": -0.9,
    "lacks": -0.4, "many": -1.9,
}  # fmt: skip
"""What each feature counts, in the logarithm of odds."""


def _heads(view: Resource, texts: Texts) -> frozenset[str]:
    """What a tool's results are of: the last nouns of its entities and of what its description tells."""
    found = {stem(name.rpartition("_")[2]) for name in view.entities}
    found |= {stem(one.noun[-1]) for one in view.subjects if one.told != "owner"}
    last = [stem(word) for word in words(view.name) if stem(word) in texts.nouns]
    return frozenset({*found, *last[-1:]})


def _given(texts: Texts, known: Collection[str]) -> list[tuple[frozenset[str], str]]:
    """What a tool has to be given, and so does not tell: of what, and by which kind of identity."""
    found: list[tuple[frozenset[str], str]] = []
    for name in sorted(texts.required):
        parts = parts_of(name, known)
        if parts and parts[-1] in KINDS:
            of = frozenset(stem(word) for word in parts[:-1] if word not in QUALIFYING)
            found.append((of or texts.nouns, KINDS[parts[-1]]))
    return found


def _lists(view: Resource) -> bool:
    """Its results are several of what there is, by its verb, its name or its description."""
    named = words(view.name)
    if view.verb in ("list", "search") or {"list", "search"}.intersection(named):
        return True
    return view.verb == "get" and bool(A_LIST.search(view.description[:READ_CHARS]))


@dataclass(frozen=True, slots=True)
class _Pair:
    """What is to be known of a parameter and a tool that may be its source.

    ``one``: the source's words; ``name``, ``called``: the parameter's name, as it is and in the singular;
    ``prefix``: the route before it, ``paired`` if it is the source's; ``lists``: the source gives several,
    ``reads``: one record; ``exact``: it has a field of that name; ``starts``, ``makes``: it is an act that
    makes something; ``deeper``: it tells what a path leads to; ``alike``: of what the target's results are.
    """

    one: Texts
    name: str
    called: str
    prefix: str
    paired: bool
    lists: bool
    reads: bool
    exact: bool
    starts: bool
    makes: bool
    deeper: bool
    alike: bool


class Likeness:
    """What the tools of one server have in common."""

    def __init__(self, tools: Sequence[Json], views: Sequence[Resource]) -> None:
        self.tools, self.views = tools, views
        nouns = nouns_of(tools)
        self.texts = [texts_of(tool, view, nouns) for tool, view in zip(tools, views, strict=True)]
        seen = Counter(word for one in self.texts for word in one.nouns | one.said)
        total = len(tools)
        self.weight = {word: math.log(1 + total / n) / math.log(1 + total) for word, n in seen.items()}
        self.told = Counter(name for one in self.texts for name in one.fields)
        self.asked = Counter(name for one in self.texts for name in one.inputs)
        self.listed = {
            word
            for view, one in zip(views, self.texts, strict=True)
            if view.verb in ("list", "search", "get") and not one.required
            for word in one.nouns
        }
        self.heads = [_heads(view, one) for view, one in zip(views, self.texts, strict=True)]
        self.given = [_given(one, self.weight) for one in self.texts]
        self.sources = [view for view in views if view.verb not in ("delete", "update")]
        self.lists = [_lists(view) for view in views]
        self.listers = [view for view in self.sources if self.lists[view.index]]
        self.about: dict[str, list[Resource]] = defaultdict(list)
        for view in sorted(self.sources, key=lambda one: (not self.lists[one.index], one.index)):
            for word in sorted(self.heads[view.index] | self.texts[view.index].nouns):
                self.about[word].append(view)
        self.listing = frozenset(word for view in self.listers for word in self.heads[view.index])

    def covered(self, wanted: Collection[str], having: Collection[str]) -> float:
        """How much of the wanted words' weight the others have, from 0 to 1."""
        whole = math.fsum(self.weight.get(word, 1.0) for word in sorted(wanted))
        common = math.fsum(self.weight.get(word, 1.0) for word in sorted(wanted) if word in having)
        return common / whole if whole else 0.0

    def cosine(self, one: Collection[str], other: Collection[str]) -> float:
        """How alike two tools' words are, the rarer the weightier."""

        def square(found: Iterable[str]) -> float:
            return math.fsum(self.weight.get(word, 1.0) ** 2 for word in sorted(found))

        length = math.sqrt(square(one) * square(other))
        return square(set(one) & set(other)) / length if length else 0.0

    def features(self, target: Resource, ask: Ask, source: Resource) -> Mapping[str, float] | None:
        """What speaks for a source, each from 0 to 1; None if it cannot be one."""
        pair = self._pair(target, ask, source)
        if source.index == target.index or self._was_given(ask, source, pair):
            return None
        if pair.prefix and of_another(source.route, pair.prefix):
            return None
        if self._comes_after(target, ask, source, pair) or not self._may_yield(ask, source, pair):
            return None
        one, other, nouns = pair.one, self.texts[target.index], ask.nouns
        head = bool(self.heads[source.index] & {*nouns, stem(ask.kind)})
        last = pair.called.rpartition("_")[2]
        forms = {last, pair.called.removesuffix(f"_{last}"), *(f"{noun}_{last}" for noun in nouns)}
        field = 1.0 if pair.called in one.fields else 0.5 if forms & one.fields else 0.0
        verb, total = source.verb, len(self.tools)
        return {
            "bias": 1.0,
            "name": self.covered(nouns, one.nouns),
            "back": self.covered(one.nouns, nouns | ask.said),
            "told": self.covered(nouns, one.said),
            "target": self.covered(other.nouns, one.nouns),
            "cosine": self.cosine(one.nouns | one.said, other.nouns | other.said | ask.said),
            "field": field,
            "exact": (1 - self.told[pair.called] / total) if pair.exact else 0.0,
            "head": float(head),
            "lists": float(pair.lists),
            "starts": float(verb == "act" and pair.starts),
            "acts": float(verb == "act" and not pair.starts),
            "gets": float(verb == "get" and not one.required),
            "reads": float(pair.reads),
            "required": float(ask.required),
            "own": float(ask.own),
            "several": float(ask.many),
            "strange": float(ask.strange),
            "written": float(ask.written),
            "bare": float(not ask.kind),
            "address": float(ask.kind in ADDRESSES),
            "ambient": (self.asked[pair.name] / total) * float(not head),
            "prefix": float(pair.paired),
            "only": float(len(self.listers) == 1 and source is self.listers[0]),
            "takes": float(pair.name in one.inputs),
            "schema": float(not source.schemaless),
            "lacks": float(not (source.opaque or field)),
            "many": float(total > MANY),
        }

    def _pair(self, target: Resource, ask: Ask, source: Resource) -> _Pair:
        one, parts = self.texts[source.index], words(ask.parameter)
        name, called = "_".join(parts), "_".join((*parts[:-1], singular(parts[-1])))
        lists = self.lists[source.index]
        prefix = target.route.partition(f"/{{{ask.parameter}}}")[0] if ask.routed and target.route else ""
        return _Pair(
            one=one,
            name=name,
            called=called,
            prefix=prefix,
            paired=bool(prefix) and source.route == prefix,
            lists=lists,
            reads=source.verb == "get" and bool(one.required) and not lists,
            exact=called in one.fields and "_" in called,
            starts=bool(STARTS.intersection(words(source.name))),
            makes=bool(ask.nouns & MADE_BY_ACTS) and not VERBS.keys() & set(words(source.name)),
            deeper=source.verb != "create" and name.endswith("path") and bool(DIRECTORIES & one.nouns),
            alike=bool(self.heads[source.index] & self.heads[target.index]),
        )

    def _was_given(self, ask: Ask, source: Resource, pair: _Pair) -> bool:
        """It was told the value, or the identity under another name, by its caller: an echo."""
        held = pair.lists and pair.name in KINDS and source.route and not source.route.endswith("}")
        if pair.deeper or held:  # /shows/{id}/comments lists comments, each with its id
            return False
        if pair.name in pair.one.required or (pair.name in pair.one.inputs and not pair.lists):
            return True
        if not self.tools[source.index].get("path") and pair.one.required and MANY_GIVEN.search(source.name):
            return True
        kind = KINDS.get(ask.kind, ask.kind)
        given = any(of == kind and ask.nouns <= what for what, of in self.given[source.index])
        return given and not RELATED.search(source.name)

    def _comes_after(self, target: Resource, ask: Ask, source: Resource, pair: _Pair) -> bool:
        """One record comes after the list that it is in, and is rarely read to make another like it."""
        if not pair.alike:
            return False
        if source.verb == "get" and target.verb in ("list", "search"):
            return True
        optional = source.verb == "create" and not ask.required
        return not self.heads[source.index] & ask.nouns and (target.verb == "create" or optional)

    def _may_yield(self, ask: Ask, source: Resource, pair: _Pair) -> bool:
        """Acts and creates yield what they make, one record what it refers to, and lists anything."""
        if source.verb in ("create", "act") and ask.kind and ask.kind not in MADE_TOO:
            return False
        if source.verb == "act":
            return pair.starts or pair.exact or pair.makes
        if not pair.reads or pair.paired or pair.exact or pair.makes or pair.deeper:
            return True
        return not pair.alike and KINDS.get(ask.kind, ask.kind) in MADE

    def sources_of(self, ask: Ask) -> Sequence[Resource]:
        """The tools to look at: all of a small server; of a large one those whose names speak of it."""
        if len(self.sources) <= MAX_TOOLS:
            return self.sources
        near = (view for noun in sorted(ask.nouns) for view in self.about.get(noun, ())[:MAX_TOOLS])
        return list({view.index: view for view in near}.values())[:MAX_TOOLS]

    def likeness(self, target: Resource, ask: Ask, source: Resource) -> float:
        """How likely a source is, from 0 to 1; 0 for none."""
        found = self.features(target, ask, source)
        if found is None:
            return 0.0
        return 1 / (1 + math.exp(-math.fsum(WEIGHTS[name] * value for name, value in found.items())))
