"""What a tool is about, read off its name, route and schemas: verb, entity, what it needs, what it yields.

An *identity* is (entity, kind), for example ``("order", "id")``: what a value identifies, and how. Edges
join what one tool yields to what another needs when both are the same identity. All of this is ours;
the paper gives no rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.catalog import Json
from services.cluster_registry.needs import VERSION, WRITTEN, Need, needs
from services.cluster_registry.subjects import Subject, common_words, named, subjects, told
from services.cluster_registry.text import singular, words
from services.cluster_registry.typed import Giver, Taker, gives, takes
from services.cluster_registry.vocabulary import (
    ACTIONS,
    GROUPS,
    NOISE,
    PREFIX_VERBS,
    VERBS,
    WRAPPERS,
    entity,
    kind_of,
)
from services.cluster_registry.yields import Yield, properties, yielded

MANY: Final = 20
"""Catalogs cut objects off about here."""
BARE: Final = re.compile(r"/([A-Za-z_-]{3,})/\{([A-Za-z_-]{3,})\}")
STATES: Final = frozenset(
    {"status", "details", "settings", "stats", "statistics", "preferences", "credentials", "news"}
)
"""Plurals that name one thing."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One tool, as far as edges care. ``route`` is its path without version and closing slash."""

    index: int
    name: str
    verb: str
    entities: tuple[str, ...]
    route: str
    group: str
    """What tools of the same resource have in common: the route's static parts, or the entity."""
    needs: tuple[Need, ...]
    yields: tuple[Yield, ...]
    schemaless: bool
    """No output schema: what it yields is not known."""
    opaque: bool = False
    """Without output schema, or with one that leaves open what stands in part of the result."""
    subjects: tuple[Subject, ...] = ()
    """Without an output schema and a route: what name and description say that the results hold."""
    description: str = ""
    takes: tuple[Taker, ...] = ()
    gives: tuple[Giver, ...] = ()
    """Values that mean the same on every server, taken and yielded."""


def resources(tools: Sequence[Json]) -> list[Resource]:
    """The resource views of the tools of one server, each given as the JSON of a ToolSpec."""
    common = common_words([tool["name"] for tool in tools])
    base = _base([_route(tool.get("path", "")) for tool in tools])
    bare = _bare(tool.get("path", "") for tool in tools)
    return [resource(index, tool, common, base, bare) for index, tool in enumerate(tools)]


def _bare(paths: Iterable[str]) -> frozenset[str]:
    """What the routes of a server call by its name alone: ``/cardholders/{cardholder}``."""
    return frozenset(
        entity(match[1])
        for path in paths
        for match in BARE.finditer(path)
        if entity(match[1]) == entity(match[2]) and kind_of(match[2]) is None and match[2] not in WRITTEN
    )


def _base(routes: Sequence[str]) -> str:
    """What all routes of a server begin with, before the first that names an entity: ``/discovery/v2``."""
    split = [route.split("/")[1:] for route in routes if route]
    if len(split) < 3:
        return ""
    shared: list[str] = []
    for segments in zip(*split, strict=False):
        if len(set(segments)) > 1 or "{" in segments[0]:
            break
        shared.append(segments[0])
    while shared and any(len(route) <= len(shared) or "{" in route[len(shared)] for route in split):
        shared.pop()
    return "".join(f"/{segment}" for segment in shared)


def resource(
    index: int,
    tool: Json,
    common: frozenset[str] = frozenset(),
    base: str = "",
    bare: frozenset[str] = frozenset(),
) -> Resource:
    """The resource view of one tool, of whose server all names have ``common`` words, all routes ``base``.

    ``bare``: see ``yielded``.
    """
    name, method = tool["name"], tool.get("method", "")
    route = _route(tool.get("path", "")).removeprefix(base)
    parts = _name_parts(name, route)
    output = tool.get("output_schema")
    verb = _verb(parts, method, route, output)
    entities = _entities(parts, route)
    description = tool.get("description", "")
    found: tuple[Subject, ...] = ()
    if not output and not route:
        found = subjects(parts, description, common)
        verb = _told_verb(verb, method, parts, description, found)
        entities = _with_told(entities, named(parts, common), found)
    yields = tuple(yielded(output, entities, bare)) if output else ()
    group = "/".join(part for part in route.split("/") if part and "{" not in part and part not in ACTIONS)
    return Resource(
        index=index,
        name=name,
        verb=verb,
        entities=entities,
        route=route,
        group=group if route else (entities[0] if entities else ""),
        needs=tuple(needs(tool, route, entities)),
        yields=yields,
        schemaless=not output,
        opaque=not output or _opaque(output),
        subjects=found,
        description=description,
        takes=tuple(takes(tool, verb, bool(route))),
        gives=tuple(gives(tool, verb)),
    )


def _opaque(node: Json, depth: int = 0) -> bool:
    """Some object of this schema has no properties: it was cut off, or never written down."""
    while isinstance(node.get("items"), dict):
        node = node["items"]
    members = properties(node)
    if not members:
        return node.get("type") in ("object", "array", None)
    return len(members) >= MANY or (
        depth < 3
        and any(
            _opaque(member, depth + 1)
            for member in members.values()
            if isinstance(member, dict)
            and member.get("type", "object") in ("object", "array")
            and "enum" not in member
        )
    )


def _told_verb(
    verb: str, method: str, parts: Sequence[str], description: str, found: tuple[Subject, ...]
) -> str:
    """The verb of a tool without route and output schema, by its description where the name says little."""
    if verb == "act" and not method and not any(word in ACTIONS for word in parts[:3]):
        verb = told(description)[0] or verb
    if verb == "act" and not description and parts and _plural(parts[-1]):
        return "list"
    if verb == "get" and any(one.many and one.told in ("both", "text") for one in found[:2]):
        return "list"
    return verb


def _with_told(
    entities: tuple[str, ...], noun: tuple[str, ...], found: tuple[Subject, ...]
) -> tuple[str, ...]:
    """The entities, also without the service's own name; where a name has none, by the description."""
    more = ["_".join(noun)] if noun else []
    if not entities and not more:
        more = ["_".join(one.noun) for one in found[:1] if one.told != "part"]
    return tuple(dict.fromkeys([*entities, *more]))


def _route(path: str) -> str:
    """A REST route with its leading version parts removed; "" for a path that is none (RPC)."""
    if not path or "#" in path or path == "/":
        return ""
    parts = [part for part in path.partition("?")[0].split("/") if part]
    while parts and VERSION.match(parts[0].lower()):
        parts = parts[1:]
    return "/" + "/".join(part.removesuffix(".json").removesuffix(".xml") for part in parts) if parts else ""


def _name_parts(name: str, route: str) -> list[str]:
    """The words of a name; when it was made from the route, they say nothing that the route does not."""
    parts = list(words(name))
    if "__" in name and route:
        return parts[:1]
    return parts


def _verb(parts: list[str], method: str, route: str, output: Json | None) -> str:
    named = next((VERBS[word] for word in parts[:4] if word in VERBS), "")
    if not (named or route or method) and parts:
        named = VERBS.get(parts[-1], "")
    if method in ("DELETE", "PATCH", "PUT"):
        return "delete" if method == "DELETE" or named == "delete" else "update"
    segments = [part for part in route.split("/") if part]
    last = segments[-1] if segments else ""
    action = words(last)[0] if last and "{" not in last and words(last) else ""
    if method == "GET" or (not method and named in ("get", "list", "search")):
        if named == "search" or VERBS.get(action) == "search":
            return "search"
        if method and len(segments) > 1 and last.lower() in ("create", "list"):  # RPC by GET
            return last.lower()
        if last.endswith("}") and not (route and parts[:1] == ["list"] and _plural(parts[-1])):
            return "get"
        if (
            named == "list"
            or _is_list(output)
            or _plural(last)
            or (parts and _plural(parts[-1]) and (not route or parts[-1] not in STATES))
        ):
            return "list"
        return "get"
    if method == "POST" and route:
        if last.endswith("}") and not _of_another(segments):
            return "update"
        if VERBS.get(action) in ("search", "delete", "update"):
            return VERBS[action]
        if action in ("get", "list", "fetch", "retrieve", "describe"):  # RPC by POST
            return "list" if _plural(last) else VERBS[action]
        if action in ACTIONS or named in ("search", "list", "get", "delete", "update"):
            return "act" if action in ACTIONS or not named else named
        return "create"
    if named in ("get", "list") and parts and _plural(parts[-1]):
        return "list"
    return named or "act"


def _of_another(segments: list[str]) -> bool:
    """/render/{templateId}: a POST that makes something of another thing, whose id it takes."""
    named = words(segments[-1].strip("{}"))
    holder = next((entity(part) for part in reversed(segments) if "{" not in part), "")
    return (
        len(named) > 1 and named[-1] in ("id", "uuid") and bool(holder) and singular(named[-2]) not in holder
    )


def _plural(word: str) -> bool:
    tail = words(word)
    return bool(tail) and singular(tail[-1]) != tail[-1]


def _is_list(output: Json | None) -> bool:
    """Whether the result is an array, or an object whose only array of objects stands in a wrapper."""
    if not output:
        return False
    if output.get("type") == "array":
        return True
    for key, member in properties(output).items():
        if isinstance(member, dict) and member.get("type") == "array" and key.lower() in WRAPPERS:
            return True
    return False


def _entities(parts: list[str], route: str) -> tuple[str, ...]:
    """The entities that a tool is about: by its route, then by its name."""
    found: list[str] = []
    segments = [part for part in route.split("/") if part]
    for segment in reversed(segments):
        tail = words(segment)
        if "{" in segment or "." in segment or not tail:
            continue
        if tail[0] in ACTIONS or (tail[0] in VERBS and len(tail) == 1) or VERSION.match(segment.lower()):
            continue
        if (
            segment.lower() in ("info", "details", "detail", "list", "all")
            and len(found) == 0
            and segment is not segments[0]
        ):
            continue
        if segment.lower() == "children":  # /blocks/{id}/children are blocks
            continue
        nouns = [word for word in tail if word not in NOISE] if tail[0] in PREFIX_VERBS else []
        if len(nouns) > 1:  # /listAllPads, /createGroup: RPC in REST's clothes
            found.append("_".join([*nouns[1:-1], singular(nouns[-1])]))
        else:
            found.append("user" if segment.lower() in GROUPS else entity(segment))
        break
    nouns = []
    for word in parts:
        if word == "by" and nouns:
            break
        if word in VERBS or word in ACTIONS or word in NOISE or word.isdigit():
            continue
        nouns.append(word)
    if nouns and route.startswith("/{"):  # /{name}: the last noun of projects_locations_..._get says of what
        found.append(singular(nouns[-1]))
    if nouns:
        found.append("_".join([*nouns[:-1], singular(nouns[-1])]))
    # /lists and /collections are of lists and collections, though such words mostly only wrap something.
    plural = {entity(segment) for segment in segments if _plural(segment)}
    return tuple(dict.fromkeys(name for name in found if name and (name not in WRAPPERS or name in plural)))
