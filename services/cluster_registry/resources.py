"""What a tool is about, read off its name, route and schemas: verb, entity, what it needs, what it yields.

An *identity* is (entity, kind), for example ``("order", "id")``: what a value identifies, and how. Edges
join what one tool yields to what another needs when both are the same identity. All of this is ours;
the paper gives no rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from schemas.catalog import Json
from services.cluster_registry.text import singular, words
from services.cluster_registry.vocabulary import (
    ACTIONS,
    DISTINCTIVE,
    GROUPS,
    NOISE,
    PREFIX_VERBS,
    VERBS,
    WRAPPERS,
    Identity,
    entity,
    kind_of,
)
from services.cluster_registry.yields import Yield, properties, types_of, yielded

MAX_PARAMETERS: Final = 64
VERB_WORDS: Final = frozenset({(), *((verb,) for verb in VERBS)})

BY_ID: Final = re.compile(r"\b(unique |the )?(id|identifier|uuid|guid)\b( of|\b)", re.IGNORECASE)
VERSION: Final = re.compile(r"v?\d+([._]\d+)*([a-z]+\d*)?\Z|api\Z|rest\Z|\d{4}-\d{2}-\d{2}.*\Z")


@dataclass(frozen=True, slots=True)
class Need:
    """One input parameter that takes the identity of something, in the ways it may be read.

    ``identities`` come best first. ``prefix`` is the route before it, when it stands in the route.
    """

    parameter: str
    identities: tuple[Identity, ...]
    types: frozenset[str]
    required: bool
    many: bool
    prefix: str = ""


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


def resource(index: int, tool: Json) -> Resource:
    """The resource view of one tool, given as the JSON of a ToolSpec."""
    name, method = tool["name"], tool.get("method", "")
    route = _route(tool.get("path", ""))
    parts = _name_parts(name, route)
    output = tool.get("output_schema")
    verb = _verb(parts, method, route, output)
    entities = _entities(parts, route)
    needs = tuple(_needs(tool.get("input_schema", {}), route, entities))
    yields = tuple(yielded(output, entities)) if output else ()
    group = "/".join(part for part in route.split("/") if part and "{" not in part and part not in ACTIONS)
    return Resource(
        index=index,
        name=name,
        verb=verb,
        entities=entities,
        route=route,
        group=group if route else (entities[0] if entities else ""),
        needs=needs,
        yields=yields,
        schemaless=not output,
    )


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
    if method in ("DELETE", "PATCH", "PUT"):
        return "delete" if method == "DELETE" or named == "delete" else "update"
    segments = [part for part in route.split("/") if part]
    last = segments[-1] if segments else ""
    action = words(last)[0] if last and "{" not in last and words(last) else ""
    if method == "GET" or (not method and named in ("get", "list", "search")):
        if named == "search" or VERBS.get(action) == "search":
            return "search"
        if last.endswith("}"):
            return "get"
        if (
            named == "list"
            or _is_list(output)
            or _plural(last)
            or (not route and _plural(parts[-1] if parts else ""))
        ):
            return "list"
        return "get"
    if method == "POST" and route:
        if last.endswith("}"):
            return "update"
        if VERBS.get(action) in ("search", "delete", "update"):
            return VERBS[action]
        if action in ACTIONS or named in ("search", "list", "get", "delete", "update"):
            return "act" if action in ACTIONS or not named else named
        return "create"
    if named in ("get", "list") and parts and _plural(parts[-1]):
        return "list"
    return named or "act"


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
    for segment in reversed([part for part in route.split("/") if part]):
        tail = words(segment)
        if "{" in segment or "." in segment or not tail:
            continue
        if tail[0] in ACTIONS or (tail[0] in VERBS and len(tail) == 1) or VERSION.match(segment.lower()):
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
    return tuple(dict.fromkeys(name for name in found if name and name not in WRAPPERS))


def _needs(schema: Json, route: str, entities: tuple[str, ...]) -> Iterator[Need]:
    required = set(schema.get("required", []))
    holders = _route_holders(route)
    for number, (parameter, raw) in enumerate(properties(schema).items()):
        if number >= MAX_PARAMETERS:
            return
        if not isinstance(raw, dict) or "enum" in raw or "const" in raw:
            continue
        member, many = raw, False
        if raw.get("type") == "array":
            items = raw.get("items")
            if not isinstance(items, dict) or "enum" in items:
                continue
            member, many = items, True
        types = types_of(member)
        if types and not types & {"string", "integer", "number"}:
            continue
        if member.get("format") in ("date-time", "date", "time", "binary", "byte"):
            continue
        holder, prefix = holders.get(parameter, ("", ""))
        identities = tuple(_readings(parameter, member, holder, prefix, entities))
        if identities:
            yield Need(parameter, identities, types, parameter in required or bool(prefix), many, prefix)


def _route_holders(route: str) -> dict[str, tuple[str, str]]:
    """For each ``{parameter}`` of a route: the entity it stands under ("" if none), the route before it."""
    holders: dict[str, tuple[str, str]] = {}
    before: list[str] = []
    for segment in [part for part in route.split("/") if part]:
        inside = re.fullmatch(r"\{\+?([^{}]+)\}(:\w+)?", segment)
        if inside:
            last = next((part for part in reversed(before) if "{" not in part), "")
            static = "" if words(last)[:1] in VERB_WORDS else entity(last)
            holders[inside[1]] = (static, "/" + "/".join(before))
        before.append(segment)
    return holders


def _readings(
    parameter: str, member: Json, holder: str, prefix: str, entities: tuple[str, ...]
) -> Iterator[Identity]:
    """The identities that a parameter may stand for, best first, without repetition."""
    seen: set[Identity] = set()
    routed, first = bool(prefix), prefix == "/"
    description = member.get("description", "")
    named = kind_of(parameter)
    found: list[Identity] = []
    if named is not None:
        name, kind = named
        if name:
            found.append((name, kind))
            if holder:  # the route may say more: {task_id} under /metric_task/
                found.insert(0 if holder.endswith(f"_{name}") else 1, (holder, kind))
        elif holder:
            found.append((holder, kind))
        elif kind in DISTINCTIVE:
            found.append(("", kind))
        elif kind in ("id", "uuid", "slug", "number") and entities and not routed:
            found.extend((name, kind) for name in entities)
        elif kind in ("id", "name") and first and entities:
            found.append((entities[0], kind))
    elif routed and holder and (entity(parameter) == holder or holder.endswith("_" + entity(parameter))):
        # /repos/{repo}: the description or the type must say by what it is named.
        kinds = [kind for kind in ("slug", "name") if re.search(rf"\b{kind}\b", description, re.IGNORECASE)]
        if BY_ID.search(description) or types_of(member) == {"integer"}:
            kinds = ["id"]
        found.extend((holder, kind) for kind in kinds)
    elif not routed and BY_ID.search(description[:80]) and len(words(parameter)) <= 2:
        found.append((entity(parameter), "id"))
    for identity in found:
        if identity not in seen:
            seen.add(identity)
            yield identity
