"""The likeliest source of a parameter for which no rule finds one: likeness, not proof.

A parameter that refers to something that is there (a required id, key, code, name) must come from somewhere.
Where the rules find nothing, the tools of the server are scored by what they have in common with the
parameter, and the best are told, with a low confidence. For ``tds edges`` only: no cluster is formed from it.
The features and their weights are ours, fitted on the labelled pairs of benchmarks/edges (half "tune").
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from schemas.catalog import Json
from services.cluster_registry.described import ALIASES, MADE, QUALIFYING, RELATED, STARTS
from services.cluster_registry.needs import BOUND, MAX_PARAMETERS
from services.cluster_registry.resources import Resource
from services.cluster_registry.routed import Link, of_another
from services.cluster_registry.subjects import ENDS, FILLERS, PLAIN, PREPOSITIONS, THIRD_PERSON
from services.cluster_registry.text import singular, word_set, words
from services.cluster_registry.vocabulary import ACTIONS, KINDS, NOISE, VERBS
from services.cluster_registry.yields import properties, types_of

READ_CHARS: Final = 300
MAX_FIELDS: Final = 120
MAX_TOOLS: Final = 128
"""Of a server with more tools, only so many sources are scored: inference stays near-linear."""
MAX_LIKELY: Final = 2
"""Edges into one parameter."""
LEAST: Final = 0.5
"""Likeness from which on a source is told where the rules find none."""
LEAST_ROUTED: Final = 0.7
"""The same for tools of an API by routes, whose rules see more."""
LEAST_BESIDE: Final = 0.6
"""The same where the rules find one source, and this is a second."""
SHORT: Final = 3
"""Letters of a word that may be a short form: ``ufId`` of a state."""
FLOOR: Final = 0.3
SPAN: Final = 0.28
"""Confidence: these two make it lie below that of the rules."""

REFERS: Final = KINDS.keys() | word_set("pid index indices ref handle path type model uri url hash address jid")
"""Last words of parameters that may refer to something that is there."""
IDENTITIES: Final = word_set("id ids uuid uid gid sid arn slug code codes sku key jid pid hash guid handle ref")
"""Of these, what a service makes up or keeps unlike in all records."""
FREE: Final = word_set(
    "query q text content contents message comment prompt note description body reply value data input output "
    "format date time datetime timestamp keyword keywords term terms search filter filters question answer "
    "language lang locale sql script expression start end limit offset page size count sort order status state "
    "reason summary option options config configuration setting settings args arguments password token secret "
    "host port email phone width height x y lat lng lon latitude longitude amount price quantity radius "
    "timeout depth level interval period duration year month day max min callback fields alt key_type units "
    "cursor currency version timezone mode color html css xml json file image width style title_text since "
    "until from to true false tags tag reasoning action operation method code_verifier sortfield rationale"
)
"""Last words of parameters that the caller makes up or chooses."""
SOFT: Final = word_set(
    "filter tag language currency status type format action operation version model file image unit metric "
    "configuration template setting option"
)
"""Of these, what a tool without needs may list: ``get_available_filters``."""
NEW: Final = re.compile(r"\bnew\b", re.IGNORECASE)
DATED: Final = frozenset({"date-time", "date", "time", "binary", "byte", "email"})
SECRETS: Final = word_set("api access auth oauth client secret private public idempotency session_token app_key")
STOP: Final = FILLERS | PREPOSITIONS | ENDS | NOISE | word_set(
    "tool tools api server use used using returns return must be not no e g i via args string optional required "
    "id ids name names identifier unique valid"
)
VERBAL: Final = VERBS.keys() | ACTIONS | THIRD_PERSON.keys()

WEIGHTS: Final[Mapping[str, float]] = {
    "bias": -1.2, "name": 0.8, "back": 1.1, "told": 0.4, "field": 0.3, "target": 0.9, "said": 0.8,
    "lists": 0.5, "creates": 0.0, "gets": -0.5, "free": 0.0, "kind": 0.4, "required": -0.2, "own": -0.6,
    "prefix": 1.2, "only": 0.3, "takes": -0.4, "related": 0.2, "schema": -0.6, "schema_field": 0.3,
    "many": -0.9,
}  # fmt: skip
"""What each feature counts, in the logarithm of odds."""


@dataclass(frozen=True, slots=True)
class _Texts:
    """The words of one tool: of its name or route, its description, its output's fields."""

    nouns: frozenset[str]
    said: frozenset[str]
    fields: frozenset[str]
    required: frozenset[str]
    inputs: frozenset[str]


@lru_cache(maxsize=1 << 15)
def stem(word: str) -> str:
    """A word without the endings that make another form of it."""
    word = singular(word)
    for ending in ("ing", "ed"):
        if len(word) > len(ending) + 4 and word.endswith(ending):
            return word.removesuffix(ending)
    return word


def _stems(parts: Sequence[str], verbal: Collection[str] = VERBAL) -> frozenset[str]:
    found: set[str] = set()
    for word in parts:
        for one in ALIASES.get(word, (word,)):
            if one not in STOP and one not in verbal and not one.isdigit() and len(one) > 1:
                found.add(stem(one))
    return frozenset(found)


def _named(parts: Sequence[str]) -> frozenset[str]:
    """The nouns of a tool's name: its last word is one, too, where it might be a verb (``get_tags``)."""
    return _stems(parts) | (_stems(parts[-1:], ()) if len(parts) > 1 else frozenset())


def _texts(tool: Json, view: Resource) -> _Texts:
    schema = tool.get("input_schema", {})
    route = [part for part in view.route.split("/") if part]
    held = {"_".join(words(part)) for part in route if "{" in part}
    static = [word for part in route if "{" not in part for word in words(part)]
    named = () if "__" in view.name and route else words(view.name)
    needed = schema.get("required", [])
    return _Texts(
        _named(named) | _stems(static[-4:], ()),
        _stems(words(view.description[:READ_CHARS])),
        frozenset(_fields(tool.get("output_schema") or {})),
        frozenset({"_".join(words(one)) for one in needed} | held),
        frozenset("_".join(words(one)) for one in properties(schema)),
    )


def _heads(view: Resource, texts: _Texts) -> frozenset[str]:
    """What a tool's results are of: the last nouns of its entities and of what its description tells."""
    found = {stem(name.rpartition("_")[2]) for name in view.entities}
    found |= {stem(one.noun[-1]) for one in view.subjects if one.told != "owner"}
    last = [stem(word) for word in words(view.name) if stem(word) in texts.nouns]
    return frozenset({*found, *last[-1:]})


def _fields(output: Json) -> Iterator[str]:
    queue, seen = [output], 0
    while queue and seen < MAX_FIELDS:
        node = queue.pop(0)
        while isinstance(node.get("items"), dict):
            node = node["items"]
        for key, member in properties(node).items():
            seen += 1
            yield "_".join(words(key))
            if isinstance(member, dict):
                queue.append(member)


@dataclass(frozen=True, slots=True)
class Ask:
    """A parameter that may have to come from another tool. ``nouns``: of what; ``own``: of the target's."""

    parameter: str
    nouns: frozenset[str]
    own: bool
    said: frozenset[str]
    kind: str
    required: bool
    routed: bool


def asks(
    tool: Json, view: Resource, texts: _Texts, known: Collection[str], listed: Collection[str]
) -> Iterator[Ask]:
    """The parameters of a tool that look as if they refer to something.

    ``known``: words of the server; ``listed``: what tools without needs list, by their names.
    """
    schema = tool.get("input_schema", {})
    required = set(schema.get("required", []))
    paths = tool.get("path", "")
    first = next((one for one in properties(schema) if one in required), "")
    for parameter, raw in list(properties(schema).items())[:MAX_PARAMETERS]:
        if not isinstance(raw, dict) or "const" in raw or len(raw.get("enum", ())) > 1:
            continue  # an enum of one value is an example
        if raw.get("format") in DATED:
            continue
        member = raw
        if raw.get("type") == "array":
            items = raw.get("items")
            member = items if isinstance(items, dict) else {}
        types = types_of(member)
        if len(member.get("enum", ())) > 1 or (types and not types & {"string", "integer", "number"}):
            continue
        parts = words(parameter)
        if not parts or SECRETS.intersection(parts) or BOUND.fullmatch(parameter) or parameter[0] == "$":
            continue
        soft = singular(parts[-1]) in SOFT and stem(parts[-1]) in listed
        if parts[-1] in FREE and not (soft and parameter in required):
            continue
        kind = parts[-1] if parts[-1] in REFERS else ""
        routed = f"{{{parameter}}}" in paths or f"{{+{parameter}}}" in paths
        needed = parameter in required or routed
        lone = kind == "name" and not required and view.verb not in ("create", "search")
        if not needed and not lone and kind in ("", "name", "type", "path", "model", "url", "code", "key", "number"):
            continue
        of = [word for word in (parts[:-1] if kind else parts) if word not in QUALIFYING]
        spoken = [stem(one) for one in of]
        own_words = frozenset(word for word in spoken if word in known)
        if not own_words and any(len(word) > SHORT and word not in known for word in spoken):
            continue  # of something that the server does not speak of
        own = not own_words or own_words <= texts.nouns
        if view.route and not routed and (kind not in IDENTITIES or (own and "{" in paths)):
            continue
        if view.verb == "update" and own and kind not in IDENTITIES and parameter != first:
            if parameter not in required or NEW.search(raw.get("description") or ""):
                continue
        if own and view.verb == "create" and not routed:
            continue
        nouns = own_words or texts.nouns
        if nouns:
            said = _stems(words((raw.get("description") or member.get("description") or "")[:160]))
            yield Ask(parameter, nouns, own, said, kind, needed, routed)


class Likeness:
    """What the tools of one server have in common."""

    def __init__(self, tools: Sequence[Json], views: Sequence[Resource]) -> None:
        self.tools, self.views = tools, views
        self.texts = [_texts(tool, view) for tool, view in zip(tools, views, strict=True)]
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
        return math.fsum(self.weight.get(w, 1.0) for w in sorted(wanted) if w in having) / whole if whole else 0.0

    def features(self, target: Resource, ask: Ask, source: Resource) -> dict[str, float] | None:
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
        forms = {name, f"{singular(last)}", name.removesuffix(f"_{last}")}
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
            "many": float(len(self.tools) > 30),
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
            scored = [(all_of.likeness(target, ask, one), one) for one in all_of.sources if one.index not in has]
            ranked = sorted(scored, key=lambda one: (-one[0], one[1].index))
            for score, source in ranked[: MAX_LIKELY - len(has)]:
                if score >= least:
                    evidence = f"{source.name} ({source.verb}) is the likeliest source of {ask.parameter} of "
                    evidence += f"{target.name} by what names, descriptions and fields have in common"
                    yield Link(
                        source.index, target.index, ask.parameter, (), evidence, round(FLOOR + SPAN * score, 3)
                    )
