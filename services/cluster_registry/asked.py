"""Which parameters look as if they refer to something that is there, and the words to find it by.

More parameters than ``needs`` takes for identities: for ``likely``, which guesses. The lists are ours.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from schemas.catalog import Json
from services.cluster_registry.described import ALIASES, QUALIFYING
from services.cluster_registry.needs import BOUND, MAX_PARAMETERS
from services.cluster_registry.resources import Resource
from services.cluster_registry.subjects import ENDS, FILLERS, PREPOSITIONS, THIRD_PERSON
from services.cluster_registry.text import singular, word_set, words
from services.cluster_registry.vocabulary import ACTIONS, KINDS, NOISE, VERBS
from services.cluster_registry.yields import properties, types_of

READ_CHARS: Final = 300
MAX_FIELDS: Final = 120
SHORT: Final = 3
"""Letters of a word that may be a short form: ``ufId`` of a state."""
REFERS: Final = KINDS.keys() | word_set(
    "pid index indices ref handle path type model uri url hash address jid"
)
"""Last words of parameters that may refer to something that is there."""
IDENTITIES: Final = word_set(
    "id ids uuid uid gid sid arn slug code codes sku key jid pid hash guid handle ref"
)
"""Of these, what a service makes up or keeps unlike in all records."""
FREE: Final = word_set(
    "query q text content contents message comment prompt note description body reply value data "
    "input output format date time datetime timestamp keyword keywords term terms search filter "
    "filters question answer language lang locale sql script expression start end limit offset page "
    "size count sort order status state reason summary option options config configuration setting "
    "settings args arguments password token secret host port email phone width height x y lat lng "
    "lon latitude longitude amount price quantity radius timeout depth level interval period "
    "duration year month day max min callback fields alt units cursor currency version timezone mode "
    "color html css xml json file image style since until from to true false tags tag reasoning "
    "action operation method sortfield rationale"
)
"""Last words of parameters that the caller makes up or chooses."""
SOFT: Final = word_set(
    "filter tag language currency status type format action operation version model file image unit metric "
    "configuration template setting option"
)
"""Of these, what a tool without needs may list: ``get_available_filters``."""
OFTEN_NEW: Final = word_set("name type path model url code key number")
"""Last words that refer to something only where the parameter is required."""
NEW: Final = re.compile(r"\bnew\b", re.IGNORECASE)
DATED: Final = frozenset({"date-time", "date", "time", "binary", "byte", "email"})
SECRETS: Final = word_set(
    "api access auth oauth client secret private public idempotency session_token app_key"
)
EMPTY: Final = word_set(
    "tool tools api server use used using returns return must be not no e g i via args string optional "
    "required id ids name names identifier unique valid"
)
STOP: Final = FILLERS | PREPOSITIONS | ENDS | NOISE | EMPTY
"""Words that say nothing of what a text is about."""
VERBAL: Final = VERBS.keys() | ACTIONS | THIRD_PERSON.keys()


@dataclass(frozen=True, slots=True)
class Texts:
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


def texts_of(tool: Json, view: Resource) -> Texts:
    """The words of one tool, given as the JSON of a ToolSpec and what is read off it."""
    schema = tool.get("input_schema", {})
    route = [part for part in view.route.split("/") if part]
    held = {"_".join(words(part)) for part in route if "{" in part}
    static = [word for part in route if "{" not in part for word in words(part)]
    named = () if "__" in view.name and route else words(view.name)
    needed = schema.get("required", [])
    return Texts(
        _named(named) | _stems(static[-4:], ()),
        _stems(words(view.description[:READ_CHARS])),
        frozenset(_fields(tool.get("output_schema") or {})),
        frozenset({"_".join(words(one)) for one in needed} | held),
        frozenset("_".join(words(one)) for one in properties(schema)),
    )


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
    tool: Json, view: Resource, texts: Texts, known: Collection[str], listed: Collection[str]
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
        items = raw.get("items")
        member = (items if isinstance(items, dict) else {}) if raw.get("type") == "array" else raw
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
        if not (needed or lone) and (not kind or kind in OFTEN_NEW):
            continue
        of = [word for word in (parts[:-1] if kind else parts) if word not in QUALIFYING]
        spoken = [stem(one) for one in of]
        own_words = frozenset(word for word in spoken if word in known)
        if not own_words and any(len(word) > SHORT and word not in known for word in spoken):
            continue  # of something that the server does not speak of
        own = not own_words or own_words <= texts.nouns
        if view.route and not routed and (kind not in IDENTITIES or (own and "{" in paths)):
            continue
        renamed = parameter not in required or NEW.search(raw.get("description") or "")
        if view.verb == "update" and own and kind not in IDENTITIES and parameter != first and renamed:
            continue
        if own and view.verb == "create" and not routed:
            continue
        nouns = own_words or texts.nouns
        if nouns:
            said = _stems(words((raw.get("description") or member.get("description") or "")[:160]))
            yield Ask(parameter, nouns, own, said, kind, needed, routed)
