"""Dependency edges: what one tool of a server yields is what another needs.

Precision comes before recall: a false edge makes a plan that no real service could carry out. Rules,
confidences and limits are ours.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from services.cluster_registry.resources import Need, Resource
from services.cluster_registry.vocabulary import Identity
from services.cluster_registry.yields import Path, Yield

MAX_PRODUCERS: Final = 24
"""Tools looked at per identity: keeps inference near-linear in the number of tools."""
MAX_SOURCES: Final = 3
"""Edges into one parameter."""
MIN_CONFIDENCE: Final = 0.6
AMBIENT_SHARE: Final = 0.6
"""A parameter that so large a share of a server's tools needs is context (an account, a tenant)."""
# What a service makes up when something is created; a name or an address was the caller's own input.
GENERATED: Final = frozenset(
    {"id", "uuid", "uid", "sid", "arn", "gid", "urn", "key", "number", "symbol", "sha"}
)

# How far a tool of this verb can be trusted to give a *new* identity of its own entity, or of another.
OWN: Final = {"list": 0.9, "search": 0.9, "create": 0.88, "get": 0.78, "act": 0.66, "update": 0.55}
FOREIGN: Final = {"list": 0.72, "search": 0.72, "get": 0.74, "create": 0.6, "act": 0.56, "update": 0.5}


@dataclass(frozen=True, slots=True)
class Link:
    """One edge between tools of one server, by their indices."""

    source: int
    target: int
    parameter: str
    path: Path
    evidence: str
    confidence: float


@dataclass(frozen=True, slots=True)
class _Producer:
    tool: Resource
    found: Yield
    strength: float


def infer(tools: Sequence[Resource]) -> list[Link]:
    """All edges between these tools, in the order of target, parameter, falling confidence, source."""
    producers = _producers(tools)
    ambient = _ambient(tools)
    links: list[Link] = []
    for target in tools:
        for need in target.needs:
            if _is_new_value(target, need):
                continue
            ranked = sorted(
                _candidates(target, need, producers, need.identities[0] in ambient),
                key=lambda link: (-link.confidence, link.source),
            )
            links.extend(_best_per_source(ranked))
    return links


def _producers(tools: Sequence[Resource]) -> dict[Identity, list[_Producer]]:
    """Tools that yield an identity, the most trustworthy first."""
    index: dict[Identity, list[_Producer]] = defaultdict(list)
    for tool in tools:
        if tool.verb == "delete":
            continue
        echoes = _echoes(tool)
        for found in _schemaless_yields(tool) if tool.schemaless else tool.yields:
            if found.identity in echoes:
                continue
            if tool.verb in ("create", "update") and found.identity[1] not in GENERATED:
                continue
            strength = (OWN if found.own else FOREIGN)[tool.verb] - 0.02 * max(0, len(found.path) - 2)
            if tool.schemaless:
                strength -= 0.27
            index[found.identity].append(_Producer(tool, found, strength))
    for found_producers in index.values():
        found_producers.sort(
            key=lambda producer: (-producer.strength, producer.tool.index, producer.found.path)
        )
    return index


def _echoes(tool: Resource) -> set[Identity]:
    """Identities that a tool was given, and so does not yield. A list's optional filters are not given."""
    given: set[Identity] = set()
    for need in tool.needs:
        if need.required or tool.verb not in ("list", "search"):
            given.update(need.identities)
    return given


def _schemaless_yields(tool: Resource) -> Iterator[Yield]:
    """A list, search or create without an output schema gives ids of its entity, one must assume."""
    if tool.verb in ("list", "search", "create"):
        for name in tool.entities:
            yield Yield((), (name, "id"), frozenset(), own=True, named=False)


def _ambient(tools: Sequence[Resource]) -> set[Identity]:
    counts = Counter(need.identities[0] for tool in tools for need in tool.needs if need.required)
    return {identity for identity, n in counts.items() if len(tools) >= 8 and n >= AMBIENT_SHARE * len(tools)}


def _is_new_value(target: Resource, need: Need) -> bool:
    """A value that the caller makes up or means to write, not one that is looked up first."""
    if need.prefix:
        return False
    entity, kind = need.identities[0]
    own = entity in target.entities or not entity
    if target.verb == "create":
        return own or kind != "id"
    if target.verb == "update":
        return kind != "id" or not need.required
    if target.verb in ("list", "search"):
        return (own and not need.required) or (kind not in ("id", "uuid") and not need.required)
    return not need.required and kind not in ("id", "uuid")


def _candidates(
    target: Resource, need: Need, producers: dict[Identity, list[_Producer]], ambient: bool
) -> Iterator[Link]:
    for rank, identity in enumerate(need.identities):
        special = need.identities[0][0].endswith(f"_{identity[0]}")
        for producer in producers.get(identity, ())[:MAX_PRODUCERS]:
            source, found = producer.tool, producer.found
            if special and source.route != need.prefix:  # a task, but not one of these tasks
                continue
            if source.index == target.index or not _types_fit(found.types, need.types):
                continue
            if ambient and not (found.own and source.verb in ("list", "search", "create")):
                continue
            confidence = producer.strength - 0.03 * rank
            paired = bool(need.prefix) and source.route == need.prefix and found.own
            if paired and source.verb in ("list", "search", "create"):
                confidence += 0.07
            if source.schemaless and source.route and not (paired or _nested_list(source.route)):
                continue
            if not need.required:
                confidence -= 0.1
            if need.many:
                confidence -= 0.05
            if found.named:
                confidence += 0.02
            if identity[1] not in ("id", "uuid") and not paired and not found.own:
                confidence -= 0.12
            if (
                not found.own
                and source.entities[:1] == target.entities[:1]
                and target.verb in ("create", "update")
            ):
                # Reading one record to copy what it refers to into another of its kind: rarely meant.
                confidence -= 0.2
            if confidence >= MIN_CONFIDENCE:
                yield Link(
                    source=source.index,
                    target=target.index,
                    parameter=need.parameter,
                    path=found.path,
                    evidence=_evidence(source, target, need, found, paired),
                    confidence=round(min(confidence, 0.99), 3),
                )


def _best_per_source(ranked: Sequence[Link]) -> list[Link]:
    kept: dict[int, Link] = {}
    for link in ranked:
        if link.source not in kept and len(kept) < MAX_SOURCES:
            kept[link.source] = link
    return list(kept.values())


def _nested_list(route: str) -> bool:
    """``/languages/{id}/lexemes``: lists lexemes, whatever stands before it."""
    return route.rpartition("/")[0].endswith("}")


def _types_fit(found: frozenset[str], needed: frozenset[str]) -> bool:
    """A value of the one type can stand as the other, unchanged."""
    return not found or not needed or bool(found & needed) or ("integer" in found and "number" in needed)


def _evidence(source: Resource, target: Resource, need: Need, found: Yield, paired: bool) -> str:
    entity, kind = found.identity
    what = f"{entity.replace('_', ' ')} {kind}".strip()
    where = ".".join(found.path) if found.path else ""
    if not where:
        return (
            f"{source.name} ({source.verb}) is about {entity.replace('_', ' ')}, {target.name} takes its "
            f"{kind} as {need.parameter}; {source.name} has no output schema: where it stands is not known"
        )
    text = f"{source.name} ({source.verb}) yields the {what} at {where}, "
    text += f"{target.name} takes it as {need.parameter}"
    if paired:
        text += f"; {source.route} holds what {need.prefix}/{{{need.parameter}}} names"
    return text
