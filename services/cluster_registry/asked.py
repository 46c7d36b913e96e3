"""Which parameters look as if they refer to something that is there, and the words to find it by.

More parameters than ``needs`` takes for identities: for ``likely``, which guesses. The lists are ours.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
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
    "pid index indices ref handle path type model uri url hash address jid title titles"
)
"""Last words of parameters that may refer to something that is there."""
IDENTITIES: Final = word_set(
    "id ids uuid uid gid sid arn slug code codes sku key jid pid hash guid handle ref"
)
"""Of these, what a service makes up or keeps unlike in all records."""
TOLD_APART: Final = IDENTITIES - {"key"}
"""Of these, what nobody writes by."""
FREE: Final = word_set(
    "query q text content contents message comment prompt note description body reply value data "
    "input output format date time datetime timestamp keyword keywords term terms search filter "
    "filters question answer language lang locale sql script expression start end limit offset page "
    "size count sort order status state reason summary option options config configuration setting "
    "settings args arguments password token secret host port email phone width height x y lat lng "
    "lon latitude longitude amount price quantity radius timeout depth level interval period "
    "duration year month day max min callback fields alt units cursor currency version timezone mode "
    "color html css xml json file image style since until from to true false tags tag reasoning "
    "action operation method sortfield rationale subject"
)
"""Last words of parameters that the caller makes up or chooses."""
SOFT: Final = word_set(
    "filter tag language currency status type format action operation version model file image unit metric "
    "configuration template setting option"
)
"""Of these, what a tool without needs may list: ``get_available_filters``."""
READ: Final = word_set("page image comment message note tag")
"""Of these, what is there already where a tool reads, changes or deletes it, and others list it."""
WRITES: Final = word_set("set write save put store log record init initialize upsert")
"""Verbs of tools that name what they write, whether it is there or not."""
RESOLVES: Final = word_set("resolve search find lookup")
"""Verbs of tools that are told names to find what they are of."""
OFTEN_NEW: Final = word_set("name title titles type path model url code key number")
"""Last words that refer to something only where the parameter is required."""
JOINED: Final = re.compile(r"([a-z]{3,}?)(ids?|names?|path|keys?|codes?|no|num)")
"""Words written together: ``filename``, ``roomid``."""
NEW: Final = re.compile(r"\bnew\b", re.IGNORECASE)
DATED: Final = frozenset({"date-time", "date", "time", "binary", "byte", "email"})
SECRETS: Final = word_set(
    "api access auth oauth client secret private public idempotency session_token app_key"
)
UNSAID: Final = SECRETS | word_set(
    "new next exclusive after before since starting ending cursor continuation"
)
"""Words of parameters that nobody else tells: secrets, new names, and where a list goes on."""
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


def _stems(parts: Sequence[str], nouns: Collection[str] = ()) -> frozenset[str]:
    found: set[str] = set()
    for word in parts:
        for one in ALIASES.get(word, (word,)):
            noun = one not in VERBAL or one in nouns
            if one not in STOP and noun and not one.isdigit() and len(one) > 1:
                found.add(stem(one))
    return frozenset(found)


def _named(parts: Sequence[str], nouns: Collection[str]) -> frozenset[str]:
    """The nouns of a tool's name: its last word is one, too, where it might be a verb (``get_tags``)."""
    return _stems(parts, nouns) | (_stems(parts[-1:], parts[-1:]) if len(parts) > 1 else frozenset())


def nouns_of(tools: Iterable[Json]) -> frozenset[str]:
    """Words that may be verbs, but of which the parameters of these tools name ids: ``mapId``."""
    found: set[str] = set()
    for tool in tools:
        for parameter in list(properties(tool.get("input_schema", {})))[:MAX_PARAMETERS]:
            parts = words(parameter)
            if len(parts) > 1 and parts[-1] in KINDS:
                found.update(parts[-2:-1])
    return frozenset(found & VERBAL)


def parts_of(parameter: str, known: Collection[str]) -> tuple[str, ...]:
    """The words of a parameter's name, those written together taken apart where one is known.

    ``log_store`` is a logstore where tools are called so.
    """
    made: list[str] = []
    for word in words(parameter):
        match = JOINED.fullmatch(word) if stem(word) not in known else None
        made.extend(match.groups() if match and stem(match[1]) in known else (word,))
    for at in range(len(made) - 1):
        if stem(made[at] + made[at + 1]) in known:
            return (*made[:at], made[at] + made[at + 1], *made[at + 2 :])
    return tuple(made)


def texts_of(tool: Json, view: Resource, nouns: Collection[str] = ()) -> Texts:
    """The words of one tool, given as the JSON of a ToolSpec and what is read off it.

    ``nouns``: words that name things on this server, though they may be verbs.
    """
    schema = tool.get("input_schema", {})
    route = [part for part in view.route.split("/") if part]
    held = {"_".join(words(part)) for part in route if "{" in part}
    static = [word for part in route if "{" not in part for word in words(part)]
    named = () if "__" in view.name and route else words(view.name)
    needed = schema.get("required", [])
    return Texts(
        _named(named, nouns) | _stems(static[-4:], static),
        _stems(words(view.description[:READ_CHARS]), nouns),
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
            parts = words(key)
            yield "_".join((*parts[:-1], singular(parts[-1]))) if parts else ""
            if isinstance(member, dict):
                queue.append(member)


@dataclass(frozen=True, slots=True)
class Ask:
    """A parameter that may have to come from another tool.

    ``nouns``: of what; ``own``: of the target's; ``said``: what its description speaks of; ``many``: several
    at once; ``strange``: its name says nothing that the server speaks of; ``written``: it may as well be a
    value that the call writes.
    """

    parameter: str
    nouns: frozenset[str]
    own: bool
    said: frozenset[str]
    kind: str
    required: bool
    routed: bool
    many: bool
    strange: bool
    written: bool


def asks(
    tool: Json,
    view: Resource,
    texts: Texts,
    known: Collection[str],
    listed: Collection[str],
    told: frozenset[str] = frozenset(),
) -> Iterator[Ask]:
    """The parameters of a tool that look as if they refer to something.

    ``known``: words of the server; ``listed``: what tools without needs list, by their names; ``told``: what
    any tools list.
    """
    schema = tool.get("input_schema", {})
    required = set(schema.get("required", []))
    paths = tool.get("path", "")
    first = next((one for one in properties(schema) if one in required), "")
    for parameter, raw in list(properties(schema).items())[:MAX_PARAMETERS]:
        member = _value(raw)
        parts = parts_of(parameter, known)
        if (
            member is None
            or not parts
            or parameter[0] == "$"
            or BOUND.fullmatch(parameter)
            or _made_up(parts)
        ):
            continue
        soft = stem(singular(parts[-1])) in listed and singular(parts[-1]) in _there(view)
        if parts[-1] in FREE and not (soft and parameter in required):
            continue
        kind = parts[-1] if parts[-1] in REFERS else ""
        routed = f"{{{parameter}}}" in paths or f"{{+{parameter}}}" in paths
        needed = parameter in required or routed
        lone = kind == "name" and not required and view.verb not in ("create", "search")
        if not (needed or lone) and (not kind or kind in OFTEN_NEW):
            continue
        text = raw.get("description") or member.get("description") or ""
        said = _stems(words(text[:160]))
        spoken = [stem(word) for word in (parts[:-1] if kind else parts) if word not in QUALIFYING]
        own_words = frozenset(word for word in spoken if word in known)
        if not spoken and kind in IDENTITIES:  # the pid of the app
            own_words = (said & told) - texts.nouns
        nouns = own_words or texts.nouns
        ask = Ask(
            parameter=parameter,
            nouns=nouns,
            own=not own_words or own_words <= texts.nouns,
            said=said,
            kind=kind,
            required=needed,
            routed=routed,
            many=raw.get("type") == "array",
            strange=not own_words and any(len(word) > SHORT and word not in known for word in spoken),
            written=bool(view.route) and not routed and kind not in IDENTITIES,
        )
        again = parameter == first and not NEW.search(text)
        if nouns and not _callers_own(view, ask, paths, again=again):
            yield ask


def _value(raw: object) -> Json | None:
    """The schema of a value, or of each of several, that may refer to something; None for what cannot."""
    if not isinstance(raw, dict) or "const" in raw or raw.get("format") in DATED:
        return None
    items = raw.get("items")
    member = (items if isinstance(items, dict) else {}) if raw.get("type") == "array" else raw
    types = types_of(member)
    if any(len(one.get("enum", ())) > 1 for one in (raw, member)):  # an enum of one value is an example
        return None
    return member if not types or types & {"string", "integer", "number"} else None


def _made_up(parts: Sequence[str]) -> bool:
    """By its name a secret, a new value, or where something is put."""
    put = parts[0] == "output" and len(parts) > 1 and parts[-1] not in IDENTITIES
    return put or bool(UNSAID.intersection(parts))


def _there(view: Resource) -> frozenset[str]:
    """Last words that else are the caller's choice, but may refer to what others list."""
    return SOFT | READ if view.verb in ("get", "update", "delete") else SOFT


def _callers_own(view: Resource, ask: Ask, paths: str, *, again: bool) -> bool:
    """The caller makes the value up, means to write it, or looks for it.

    ``again``: it is the first that the tool needs, so what an update is of.
    """
    named = words(view.name)
    doing = {*named[:2], *named[-1:]}
    if ask.own and not ask.routed and (view.verb == "create" or VERBS.get("".join(named[-1:])) == "create"):
        return True
    if ask.own and ask.kind not in TOLD_APART and (doing & WRITES or (view.verb == "act" and not ask.kind)):
        return True
    if doing & RESOLVES and ask.kind in ("name", "title", "") and not ask.routed:
        return True
    if ask.own and not ask.required and (view.verb == "search" or "list" in named):
        return True
    beside = ask.written or (bool(view.route) and not ask.routed and ask.own and "{" in paths)
    if beside and (not ask.required or view.verb == "update"):
        return True
    return view.verb == "update" and ask.own and ask.kind not in IDENTITIES and not again
