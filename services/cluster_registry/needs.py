"""What a tool needs: its parameters, and the identities that each may stand for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from typing import Final

from schemas.catalog import Json
from services.cluster_registry.subjects import TOKEN, objects
from services.cluster_registry.text import word_set, words
from services.cluster_registry.vocabulary import (
    ACTIONS,
    DISTINCTIVE,
    KINDS,
    ROLES,
    VERBS,
    Identity,
    entity,
    kind_of,
)
from services.cluster_registry.yields import properties, types_of

MAX_PARAMETERS: Final = 64
VERB_WORDS: Final = frozenset({(), *((verb,) for verb in VERBS)})
VERSION: Final = re.compile(r"v?\d+([._]\d+)*([a-z]+\d*)?\Z|api\Z|rest\Z|\d{4}-\d{2}-\d{2}.*\Z")
"""Parts of a route that say nothing of what stands there."""
FROM: Final = re.compile(
    r"\b(?:reference|ref|ids?|identifiers?|token|url|key|handle|value|result|obtained|returned|taken)\s+"
    r"(?:\w+\s+){0,2}?(?:from|by|in|of)\s+(?:the|an?|your)\s+([\w -]{3,40})",
    re.IGNORECASE,
)
"""How a description says what a value stands in: "element reference from the page snapshot"."""
NEXT: Final = re.compile(r"\s[`'\"]?\w+[`'\"]?\s*(?:\([^)]*\))?:")
"""Where the description of the next parameter begins."""
BY_ID: Final = re.compile(r"\b(unique |the )?(id|identifier|uuid|guid)\b( of|\b)", re.IGNORECASE)
TOOL_NAME: Final = re.compile(r"[A-Za-z]\w*[_A-Z-]\w*\w")
READ_CHARS: Final = 160

# How descriptions say whose identity a parameter takes: "ID of the chat", "the player's ID", "chapter ID".
KIND_NAMES: Final = (
    "id|ids|identifier|identifiers|uuid|guid|key|slug|handle|jid|code|number|name|names|username|symbol|title"
    "|address"
)
OF: Final = re.compile(rf"\b({KIND_NAMES})\b(?:\s*\([^)]*\))?\s+(?:of|for)\s+", re.IGNORECASE)
OWNED: Final = re.compile(rf"\b([A-Za-z]+)'s\s+(?:[\w-]+\s+){{0,2}}({KIND_NAMES})\b", re.IGNORECASE)
BEFORE: Final = re.compile(rf"((?:\b[A-Za-z]+\s+){{1,3}})({KIND_NAMES})\b", re.IGNORECASE)
ID_KINDS: Final = {"ids": "id", "identifier": "id", "identifiers": "id", "guid": "uuid", "names": "name"}
EMPTY: Final = word_set(
    "the a an of unique valid numeric optional required unified resource target specific internal its this "
    "your new existing exact full or and by as use using for to display user-friendly api integer "
    "string universal global short long array list comma separated multiple several"
)
# Parameters that are written, not looked up, however many tools list something of the name.
WRITTEN: Final = word_set(
    "query name text content message comment prompt note description title body reply value data input "
    "output format type url uri path date time keyword keywords search term terms filter question answer "
    "language lang code sql command script expression start end limit offset page size count number order "
    "sort status state reason subject summary option options config configuration setting parameter "
    "parameters args argument tag thought image email password token mode method option metadata action "
    "event result record entry item entity relation observation schema key file word phrase sentence html "
    "css selector step prompts header headers user_agent"
)


OF_ONE: Final = re.compile(
    r"\b(?:(?:of|for|about|from|to|in|on) (?:an?|the)|(?:get|delete|update|remove|read|fetch|"
    r"retrieve)s? an?) "
    r"(?:(?:specific|given|particular|single|existing) )?",
    re.IGNORECASE,
)
ALONE: Final = frozenset({"id", "name", "title", "key", "slug", "number", "address", "code", "symbol"})
"""Parameters that say how something is told, and not what."""
TOLD_BY: Final = frozenset({"name", "title", "address", "number", "code"})
"""Kinds that a description is believed only if the parameter's own name says them, too."""
BOUND: Final = re.compile(r"(?:since|until|max|min|before|after)_?id", re.IGNORECASE)
"""Where a page of results begins or ends."""
PARENT: Final = frozenset({"parent_id", "parentid", "parent_uuid", "parent-id"})
ONE_WORD: Final = frozenset({"udid", "uuid", "guid", "pid", "sid", "serial", "hash"})
"""Ids that are called by their format."""
FREE: Final = word_set(
    "version lang language format type date year month day lat lon latitude longitude locale ext"
)
"""Words of route parameters that are chosen, not looked up."""
NOT_BARE: Final = WRITTEN | VERBS.keys() | ACTIONS
GLUED: Final = re.compile(r"(?!(?:gr|pa|val|andro|uu|gu|inval|hybr|rap)ids?$)([a-z]{3,}?)_?ids?")
POSTAL: Final = word_set("email mail ip mac street billing shipping home work web site server host")


@dataclass(frozen=True, slots=True)
class Need:
    """One input parameter that takes the identity of something, in the ways it may be read.

    ``identities`` come best first; there is none where only the description may tell.
    ``prefix`` is the route before it, when it stands in the route.
    ``first``: it is the first that is required. ``said``: its description.
    """

    parameter: str
    identities: tuple[Identity, ...]
    types: frozenset[str]
    required: bool
    many: bool
    prefix: str = ""
    first: bool = False
    said: str = ""
    sure: int = 0
    """So many of the identities, the first, are read off its name and the route."""


def needs(tool: Json, route: str, entities: tuple[str, ...]) -> Iterator[Need]:
    """What a tool, given as the JSON of a ToolSpec, needs: at most one Need per parameter."""
    schema = tool.get("input_schema", {})
    required = set(schema.get("required", []))
    holders = _route_holders(route)
    first = next((name for name in properties(schema) if name in required), "")
    secret = any("secret" in name.lower() for name in properties(schema))
    for number, (parameter, raw) in enumerate(properties(schema).items()):
        if number >= MAX_PARAMETERS:
            return
        if not isinstance(raw, dict) or "enum" in raw or "const" in raw:
            continue
        if BOUND.fullmatch(parameter) or (secret and entity(parameter) == "client_id"):
            continue
        member, many = raw, False
        if raw.get("type") == "array":
            items = raw.get("items", {})
            if not isinstance(items, dict) or "enum" in items:
                continue
            member, many = items, True
        types = types_of(member)
        if types and not types & {"string", "integer", "number"}:
            continue
        if member.get("format") in ("date-time", "date", "time", "binary", "byte"):
            continue
        holder, prefix = holders.get(parameter, ("", ""))
        said = raw.get("description") or member.get("description") or ""
        if not said and not route:
            said = _documented(parameter, tool.get("description", ""))
        needed = parameter in required or bool(prefix)
        found = list(_readings(parameter, member, holder, prefix, entities))
        sure = len(found)
        if parameter.lower() in PARENT and entities:  # another of the kind
            found.append((entities[-1], "id"))
        if not prefix or parameter.lower() in ALONE:
            found.extend(_told(parameter, said))
        if route and not (found or prefix) and types <= {"string"} and len(words(parameter)) <= 2:
            found.extend(_bare(parameter, types))
        if not route:
            found = [*_address(parameter), *found]
            if parameter.lower() in ONE_WORD and entities:
                found.extend(
                    [(entities[-1], parameter.lower()), (entities[-1].rpartition("_")[2], parameter.lower())]
                )
            if parameter.lower() in ALONE and needed:
                found.extend((noun, parameter.lower()) for noun in _objects_of(tool.get("description", "")))
                found.extend((name.rpartition("_")[2], parameter.lower()) for name in entities[-1:])
            if not found and needed:
                found.extend(_bare(parameter, types))
        identities = tuple(dict.fromkeys(found))
        paired = prefix and prefix != "/" and not {*words(parameter)} & FREE
        if identities or paired or TOOL_NAME.search(said) or FROM.search(said):
            yield Need(parameter, identities, types, needed, many, prefix, parameter == first, said, sure)


def _documented(parameter: str, description: str) -> str:
    """What a tool's own description says of a parameter ("Args: account_id: The player's ID"), or ""."""
    if parameter not in description or len(parameter) < 2:
        return ""
    match = re.search(
        rf"(?<![\w-]){re.escape(parameter)}\b[`'\"]?\s*(?:\([^)]*\))?\s*(?::|-|–)\s*", description
    )
    if not match:
        return ""
    text = description[match.end() : match.end() + READ_CHARS]
    after = NEXT.search(text)
    return text[: after.start()] if after else text


def _bare(parameter: str, types: frozenset[str]) -> Iterator[Identity]:
    """``database`` takes the name of a database, where a tool lists databases."""
    name = entity(parameter)
    glued = GLUED.fullmatch(parameter)
    if glued or name.endswith("_id"):
        yield (glued[1] if glued else name.removesuffix("_id")), "id"
    elif name == "title":
        yield "", "title"
    elif name and not {name, name.rpartition("_")[2]} & NOT_BARE and (not types or "string" in types):
        yield name, ""


def _address(parameter: str) -> Iterator[Identity]:
    """``poolAddress`` takes the address of a pool: on a chain or in memory, not in a street."""
    name = entity(parameter)
    if name.endswith("_address") and not set(name.split("_")) & POSTAL:
        yield name.removesuffix("_address"), "address"


@lru_cache(maxsize=1 << 14)
def _objects_of(description: str) -> tuple[str, ...]:
    """What a tool works on by its description: "List all versions of a specific package" is the package."""
    found: list[str] = []
    for match in OF_ONE.finditer(description[:READ_CHARS]):
        nouns = list(objects(TOKEN.findall(description[match.end() : match.end() + 60])))
        found.extend("_".join(noun[-2:]) for noun, _ in nouns[:1])
        found.extend(noun[-1] for noun, _ in nouns[:1])
    return tuple(dict.fromkeys(found))[:4]


def _told(parameter: str, said: str) -> Iterator[Identity]:
    """Identities that a description names, where the parameter's own name may be such a thing."""
    text = said[:READ_CHARS]
    named = kind_of(parameter)
    own = words(parameter)
    if not own or (named is None and (len(own) > 3 or ("_".join(own) in WRITTEN and own[-1] not in TOLD_BY))):
        return
    for noun, kind in _phrases(text):
        if kind in TOLD_BY and own[-1] not in (kind, f"{kind}s"):
            continue
        if (
            named is not None
            and kind != named[1]
            and {kind, named[1]} - {"id", "uuid", "key", "slug", "uid", "sid", "gid"}
        ):
            continue
        yield noun, kind


@lru_cache(maxsize=1 << 14)
def _phrases(text: str) -> tuple[Identity, ...]:
    """The identities that a text names, in its order, the first three."""
    found: list[tuple[tuple[bool, int], str, str]] = []
    for match in OF.finditer(text):
        nouns = list(objects(TOKEN.findall(text[match.end() : match.end() + 60])))
        if nouns:
            found.append(((False, match.start()), "_".join(nouns[0][0][-2:]), match[1]))
            found.append(((False, match.start()), nouns[0][0][-1], match[1]))
    for match in OWNED.finditer(text):
        found.append(((False, match.start()), entity(match[1].lower()), match[2]))
    for match in BEFORE.finditer(text):
        nouns_before = [word for word in match[1].lower().split() if word not in EMPTY]
        if nouns_before and words(nouns_before[-1])[:1] not in VERB_WORDS:
            found.append(((True, match.start()), entity(" ".join(nouns_before[-2:])), match[2]))
            found.append(((True, match.start()), entity(nouns_before[-1]), match[2]))
    found.sort(key=lambda one: one[0])
    kinds = ((noun, ID_KINDS.get(kind.lower(), kind.lower())) for _, noun, kind in found if noun)
    return tuple(dict.fromkeys(kinds))[:4]


def _route_holders(route: str) -> dict[str, tuple[str, str]]:
    """For each ``{parameter}`` of a route: the entity it stands under ("" if none), the route before it."""
    holders: dict[str, tuple[str, str]] = {}
    before: list[str] = []
    for segment in [part for part in route.split("/") if part]:
        inside = re.fullmatch(r"\{\+?([^{}]+)\}(:\w+)?", segment)
        if inside:
            last = next(
                (part for part in reversed(before) if "{" not in part and not VERSION.match(part.lower())), ""
            )
            static = "" if words(last)[:1] in VERB_WORDS else entity(last)
            if before and "{" in before[-1] and static not in entity(inside[1]):
                static = ""  # /documents/{id}/{organization_id}: what stands under documents is told already
            holders[inside[1]] = (static, "/" + "/".join(before))
        before.append(segment)
    return holders


def _either(parameter: str, holder: str) -> Iterator[Identity]:
    """``issueIdOrKey`` takes an issue's id, or its key."""
    parts = words(parameter)
    if "or" in parts:
        kinds = [KINDS[word] for word in parts if word in KINDS]
        name = entity(" ".join(takewhile(lambda word: word not in KINDS and word != "or", parts)))
        yield from ((one, kind) for one in (name, holder) for kind in kinds if one)


def _readings(
    parameter: str, member: Json, holder: str, prefix: str, entities: tuple[str, ...]
) -> Iterator[Identity]:
    """The identities that a parameter may stand for, best first, without repetition."""
    parts = words(parameter)
    if len(parts) == 2 and parts[0] in ROLES and parts[1] in ("id", "ids", "uuid") and not prefix:
        found = [(parts[0], KINDS[parts[1]])]
    else:
        found = list(_either(parameter, holder))
    yield from dict.fromkeys(found or _by_name(parameter, member, holder, prefix, entities))


def _by_name(
    parameter: str, member: Json, holder: str, prefix: str, entities: tuple[str, ...]
) -> Iterator[Identity]:
    routed, first = bool(prefix), prefix == "/"
    description = member.get("description", "")
    named = kind_of(parameter)
    glued = GLUED.fullmatch(parameter.lower())  # /orgunits/{orgid}
    if named is not None:
        name, kind = named
        if name:
            own = (name, kind)
            if not holder:
                yield own
            else:  # the route may say more: {task_id} under /metric_task/
                held = (holder, kind)
                yield from (held, own) if holder.endswith(f"_{name}") else (own, held)
        elif holder:
            yield holder, kind
        elif kind in DISTINCTIVE:
            yield "", kind
        elif kind in ("id", "uuid", "slug", "number", "arn") and entities and not routed:
            yield from ((name, kind) for name in entities)
        elif kind in ("id", "name") and first and entities:
            yield entities[0], kind
    elif routed and holder and (entity(parameter) == holder or holder.endswith("_" + entity(parameter))):
        # /repos/{repo}: the description or the type must say by what it is named.
        kinds = [kind for kind in ("slug", "name") if re.search(rf"\b{kind}\b", description, re.IGNORECASE)]
        if BY_ID.search(description) or types_of(member) == {"integer"}:
            kinds = ["id"]
        yield from ((holder, kind) for kind in kinds or ["id"])
    elif routed and glued:
        yield from ((holder, "id"), (glued[1], "id")) if holder else ((glued[1], "id"),)
    elif routed and holder and words(parameter)[-1:] == ("no",):  # /accounts/{accountNo}
        yield from ((holder, "number"), (holder, "id"))
    elif not routed and BY_ID.search(description[:80]) and len(words(parameter)) <= 2:
        yield entity(parameter), "id"
        if entity(parameter).endswith("_id"):
            yield entity(parameter).removesuffix("_id"), "id"
