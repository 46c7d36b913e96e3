"""What stands under a route: /accounts lists and makes what /accounts/{no} names.

Rules and confidences are ours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from services.cluster_registry.needs import Need
from services.cluster_registry.resources import Resource
from services.cluster_registry.text import singular, words
from services.cluster_registry.yields import Path, Yield

MAX_PRODUCERS: Final = 24
"""Tools looked at per identity: keeps inference near-linear in the number of tools."""
# What a service makes up when something is created; a name or an address was the caller's own input.
GENERATED: Final = frozenset(
    {"id", "uuid", "uid", "sid", "arn", "gid", "urn", "key", "number", "symbol", "sha"}
)
HELD: Final = {"list": 0.8, "search": 0.8, "get": 0.74}
STARTED: Final = frozenset({("create",), ("add",), ("post",), ("start",), ("submit",), ("new",)})
ANYONES: Final = frozenset({"me", "self", "current", "user", "users", "account", "accounts", "search"})
"""Routes under which what others hold is told, too."""
KEYS: Final = ("id", "uuid", "uid", "gid", "sid", "key", "slug", "number", "code", "arn", "name")
"""What tells records of one route apart, the likeliest first."""


@dataclass(frozen=True, slots=True)
class Link:
    """One edge between tools of one server, by their indices."""

    source: int
    target: int
    parameter: str
    path: Path
    evidence: str
    confidence: float
    as_text: bool = False
    """A number that has to be written as a text, or the other way: the value does not fit as it is."""


def holding(tools: Sequence[Resource]) -> dict[str, list[Resource]]:
    """By route, the tools that list or make what stands under it: /accounts for /accounts/{no}."""
    found: dict[str, list[Resource]] = defaultdict(list)
    for tool in tools:
        last = tool.route.rpartition("/")[2]
        started = tool.verb == "act" and words(tool.name)[:1] in STARTED
        if (tool.verb in ("list", "search", "create", "get") or started) and last and "{" not in last:
            found[tool.route].append(tool)
    return found


def held(target: Resource, need: Need, holding: dict[str, list[Resource]]) -> Iterator[Link]:
    """Edges by the route alone, whatever the parameter is called."""
    for source in holding.get(need.prefix, ())[:MAX_PRODUCERS] if need.prefix else ():
        if source.index == target.index:
            continue
        kind = need.identities[0][1] if need.identities else "id"
        one = _key(source, kind)
        made = source.verb in ("create", "act")
        if kind not in GENERATED and (made or (one is None and source.yields)):
            continue
        confidence = HELD.get(source.verb, 0.72) - (0.12 if one is None else 0.0)
        # What a route holds is what it names, though the one is called a number and the other a text.
        as_text = one is not None and not types_fit(one.types, need.types)
        if one is None and not source.opaque and not (source.verb == "create" and not source.yields):
            continue
        yield Link(
            source=source.index,
            target=target.index,
            parameter=need.parameter,
            path=one.path if one else (),
            evidence=f"{source.route} ({source.name}, {source.verb}) holds what "
            f"{need.prefix}/{{{need.parameter}}} ({target.name}) names",
            confidence=round(confidence, 3),
            as_text=as_text,
        )


def _key(source: Resource, kind: str) -> Yield | None:
    """By what a tool tells its own entity apart: by this kind, or an id by any."""
    own = [one for one in source.yields if one.own and one.identity[1] in KEYS]
    own = [one for one in own if one.identity[1] == kind] or (own if kind == "id" else [])
    if source.verb in ("create", "act"):
        own = [one for one in own if one.identity[1] in GENERATED]
    return min(own, key=lambda one: (KEYS.index(one.identity[1]), one.path), default=None)


def of_another(route: str, prefix: str) -> bool:
    """/videos/collections holds others than /images/collections/{id} names, and so does what is under it."""
    if "{" in prefix or not route or (route + "/").startswith(prefix + "/"):
        return False
    above, _, named = prefix.rpartition("/")
    before, found, _ = (route + "/").partition(f"/{named}/")
    return bool(above and found and before) and "{" not in before and before != above


def held_by_another(route: str, prefix: str) -> bool:
    """/artists/{id}/comments holds other comments than /albums/{id}/comments/{commentId} names."""
    one = [part for part in route.split("/") if part and "{" not in part]
    other = [part for part in prefix.split("/") if part and "{" not in part]
    if len(one) < 2 or len(other) < 2 or one[-1] != other[-1] or "{" not in route:
        return False
    return one[0] != other[0] and not {one[0].lower(), other[0].lower()} & ANYONES


def plainly_lists(source: Resource) -> bool:
    """``/languages/{id}/lexemes`` lists lexemes, whatever stands before it; so does one whose name agrees."""
    if source.route.rpartition("/")[0].endswith("}"):
        return True
    if source.verb not in ("list", "search"):
        return False
    if source.verb == "list" and source.route.count("/") == 1:  # /dictionaries lists dictionaries
        return True
    if len(source.entities) != 1 or "__" in source.name:
        return False
    return source.entities[0].rpartition("_")[2] in {singular(word) for word in words(source.name)}


def types_fit(found: frozenset[str], needed: frozenset[str]) -> bool:
    """A value of the one type can stand as the other, unchanged."""
    numbers = {"integer", "number"}
    return not found or not needed or bool(found & needed) or bool(found & numbers and needed & numbers)
