"""Dependency edges: what one tool of a server yields is what another needs.

Precision comes before recall: a false edge makes a plan that no real service could carry out. Rules,
confidences and limits are ours.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from services.cluster_registry.described import QUALIFYING, Source, offers, sources
from services.cluster_registry.mentions import mentions
from services.cluster_registry.needs import Need
from services.cluster_registry.resources import Resource
from services.cluster_registry.routed import (
    GENERATED,
    KEYS,
    MAX_PRODUCERS,
    Link,
    held,
    holding,
    of_another,
    plainly_lists,
    types_fit,
)
from services.cluster_registry.text import words
from services.cluster_registry.typed import Giver, Taker
from services.cluster_registry.vocabulary import PEOPLE, ROLES, Identity
from services.cluster_registry.yields import Yield

MAX_SOURCES: Final = 3
"""Edges into one parameter."""
MIN_CONFIDENCE: Final = 0.6
MENTIONED: Final = 0.93
"""Confidence where a parameter's description names the tool that its value comes from."""
FEW: Final = 3
AMBIENT_SHARE: Final = 0.6
"""A parameter that so large a share of a server's tools needs is context (an account, a tenant)."""

IDS: Final = frozenset({"id", "uuid", "sid", "gid", "uid", ""})
FILTER: Final = re.compile(r"\bfilter|\bbelong|\bwithin\b|\bonly\b", re.IGNORECASE)
REFERENCES: Final = frozenset(
    {"id", "uuid", "uid", "gid", "sid", "key", "slug", "number", "sku", "jid", "arn", ""}
)
"""Kinds by which a call refers to something that is there."""

BARE: Final = 0.11
QUALIFIED: Final = 0.13
ASSUMED: Final = 0.27
ASSUMED_THERE: Final = 0.18
"""What is lost where no schema shows the id; /dictionaries is surer to list dictionaries than others."""
# How far a tool of this verb can be trusted to give a *new* identity of its own entity, or of another.
OWN: Final = {"list": 0.9, "search": 0.9, "create": 0.88, "get": 0.78, "act": 0.66, "update": 0.55}
FOREIGN: Final = {"list": 0.72, "search": 0.72, "get": 0.74, "create": 0.6, "act": 0.56, "update": 0.5}


@dataclass(frozen=True, slots=True)
class _Producer:
    tool: Resource
    found: Yield
    strength: float


def infer(tools: Sequence[Resource], max_sources: int = MAX_SOURCES) -> list[Link]:
    """The edges between these tools, in the order of target, parameter, falling confidence, source.

    ``max_sources``: edges into one parameter, the surest.
    """
    producers = _producers(tools)
    described = sources(tools)
    routes = holding(tools)
    ambient = _ambient(tools)
    named = mentions(tools)
    givers = _givers(tools)
    links: list[Link] = []
    for target in tools:
        known = {need.parameter for need in target.needs}
        taken = {one.parameter: one for one in target.takes} if not target.route else {}
        for need in (*target.needs, *(_plain(one) for one in taken.values() if one.parameter not in known)):
            found: list[Link] = []
            if need.identities and not _is_new_value(target, need):
                ambiently = need.identities[0] in ambient
                found.extend(_candidates(target, need, producers, ambiently))
                found.extend(_described(target, need, described, ambiently))
            found.extend(held(target, need, routes))
            if need.parameter in taken:
                found.extend(_typed(target, taken[need.parameter], givers))
            found.extend(_mentioned(target, need, tools, named.get((target.index, need.parameter), ())))
            ranked = sorted(found, key=lambda link: (link.as_text, -link.confidence, link.source))
            links.extend(_best_per_source(ranked, max_sources))
    return links


def _producers(tools: Sequence[Resource]) -> dict[Identity, list[_Producer]]:
    """Tools that yield an identity, the most trustworthy first."""
    index: dict[Identity, list[_Producer]] = defaultdict(list)
    for tool in tools:
        if tool.verb == "delete":
            continue
        echoes = _echoes(tool)
        if tool.schemaless and not tool.route:
            continue
        assumed = [] if _tells_own(tool) else list(_schemaless_yields(tool))
        for found in (*tool.yields, *assumed):
            if found.identity in echoes:
                continue
            if tool.verb in ("create", "update") and found.identity[1] not in GENERATED:
                continue
            strength = (OWN if found.own else FOREIGN)[tool.verb] - 0.02 * max(0, len(found.path) - 2)
            if not found.path:
                strength -= ASSUMED_THERE if tool.route.count("/") == 1 else ASSUMED
            index[found.identity].append(_Producer(tool, found, strength))
            name, kind = found.identity
            modifier, _, short = name.partition("_")
            qualified = found.named and not found.own and kind in IDS and modifier in QUALIFYING
            if short and qualified and (short, kind) not in echoes:  # a source account is an account
                index[short, kind].append(_Producer(tool, found, strength - 0.04))
    for found_producers in index.values():
        found_producers.sort(
            key=lambda producer: (-producer.strength, producer.tool.index, producer.found.path)
        )
    return index


def _echoes(tool: Resource) -> set[Identity]:
    """Identities that a tool was given, and so does not yield. A list's optional filters are not given."""
    given: set[Identity] = set()
    for need in tool.needs:
        if need.required or tool.verb not in ("list", "search", "create") or _only(tool, need):
            sure = 1 if tool.verb == "create" and need.prefix else max(1, need.sure)
            given.update(need.identities if need.parameter.lower() == "id" else need.identities[:sure])
    if tool.route.endswith("/children"):  # others of the kind that was given
        given -= {(name, kind) for name, kind in given if name in tool.entities}
    return given


def _only(tool: Resource, need: Need) -> bool:
    """The id of something that is added to something else: it has to be given, whatever the schema says.

    A create with many parameters often has its result's id among them only because one schema serves both.
    """
    return tool.verb == "create" and bool(need.identities) and len(tool.needs) <= FEW


def _tells_own(tool: Resource) -> bool:
    """Its schema is whole, or says by what its own entity is told apart."""
    return not tool.opaque or any(found.own and found.identity[1] in KEYS for found in tool.yields)


def _schemaless_yields(tool: Resource) -> Iterator[Yield]:
    """A list, search or create without an output schema gives ids of its entity, one must assume."""
    if tool.verb in ("list", "search", "create"):
        for name in tool.entities:
            yield Yield((), (name, "id"), frozenset(), own=True, named=False)


def _ambient(tools: Sequence[Resource]) -> set[Identity]:
    counts = Counter(
        need.identities[0] for tool in tools for need in tool.needs if need.required and need.identities
    )
    return {identity for identity, n in counts.items() if len(tools) >= 8 and n >= AMBIENT_SHARE * len(tools)}


def _is_new_value(target: Resource, need: Need) -> bool:
    """A value that the caller makes up or means to write, not one that is looked up first."""
    if need.prefix:
        return False
    name, kind = need.identities[0]
    if words(need.parameter)[:1] == ("parent",):
        return False
    own = not name or _own(target, name, kind)
    spoken = not target.route and not own and need.required  # names are how such tools are told of others
    if target.verb == "create":
        return own or not (kind in IDS or (need.required and kind in REFERENCES) or spoken)
    if target.verb == "update":
        if own and target.subjects and (need.first or (need.required and not kind)):
            return False
        if not need.required:
            return own or kind not in IDS - {""}
        return kind not in REFERENCES if not own and not spoken else kind != "id" and own
    if target.verb in ("list", "search"):
        if target.verb == "search" and target.subjects and need.parameter.lower() in ("name", "title"):
            return True
        if not own and kind in ("key", "slug") and target.subjects:
            return False
        if not own and kind == "name" and target.subjects and FILTER.search(need.said):
            return False
        return (own and not need.required) or (kind not in IDS and not need.required)
    if target.subjects and not own and kind in ("name", "key", "slug", "code", "symbol"):
        return not (need.required or FILTER.search(need.said))
    return not need.required and kind not in IDS


def _own(target: Resource, name: str, kind: str) -> bool:
    """The tool is about this entity, or (for what it may be called) its description begins with it."""
    if name in target.entities and not (target.subjects and target.verb == "create"):
        return True
    if not target.subjects:
        return False
    about = set(target.entities)
    if target.verb == "create":  # add_tasks_to_project is about tasks
        about = {"_".join(one.noun) for one in target.subjects if one.told in ("both", "name")} or about
    if kind in ("name", "title"):
        about.update("_".join(one.noun) for one in target.subjects if one.told in ("both", "text"))
    return any(
        entity == name or entity.endswith(f"_{name}") or name.endswith(f"_{entity}") for entity in about
    )


def _readings(need: Need, producers: dict[Identity, list[_Producer]]) -> Iterator[tuple[Identity, float]]:
    """The identities that may serve a need, each with what its confidence loses."""
    for rank, (name, kind) in enumerate(need.identities):
        if kind:
            yield (name, kind), 0.03 * rank
        else:  # `customer` takes a customer's id, or by what else it is told
            other = next((one for one in KEYS if (name, one) in producers), "")
            if other:
                yield (name, other), BARE
    name, kind = need.identities[0] if need.identities else ("", "")
    if name in ROLES and kind in IDS and not any(one in producers for one in need.identities):
        yield from (((person, kind), QUALIFIED) for person in PEOPLE)
    short = name.partition("_")[2]
    if (
        short
        and kind in IDS - {""}
        and not need.prefix
        and not any(one.found.own for identity in need.identities for one in producers.get(identity, ()))
    ):
        yield (short, kind), QUALIFIED  # an APN credential is a credential


def _candidates(
    target: Resource, need: Need, producers: dict[Identity, list[_Producer]], ambient: bool
) -> Iterator[Link]:
    for identity, loss in _readings(need, producers):
        special = loss < QUALIFIED and need.identities[0][0].endswith(f"_{identity[0]}")
        for producer in producers.get(identity, ())[:MAX_PRODUCERS]:
            source, found = producer.tool, producer.found
            if loss in (BARE, QUALIFIED) and not (found.own and source.verb in ("list", "search", "create")):
                continue
            if special and source.route != need.prefix:  # a task, but not one of these tasks
                continue
            as_text = found.types == {"integer"} and need.types == {"string"} and bool(need.prefix)
            if source.index == target.index or not (as_text or types_fit(found.types, need.types)):
                continue
            if ambient and not _tells(source, found):
                continue
            if of_another(source.route, need.prefix):
                continue
            if need.parameter.lower().startswith("parent") and not found.own:
                continue
            if target.verb == "update" and not need.required and not found.own:
                continue
            confidence = producer.strength - loss
            paired = bool(need.prefix) and source.route == need.prefix and found.own
            if paired and source.verb in ("list", "search", "create"):
                confidence += 0.07
            if not found.path and source.route and not (paired or plainly_lists(source)):
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
                    as_text=as_text,
                )


def _described(target: Resource, need: Need, index: dict[str, list[Source]], ambient: bool) -> Iterator[Link]:
    """Edges from tools without an output schema."""
    for one, (entity, kind), confidence in offers(target, need, index, ambient):
        if confidence >= MIN_CONFIDENCE:
            about = one.noun.replace("_", " ")
            what = f"the {entity.replace('_', ' ')}'s {kind}" if kind else f"a {entity.replace('_', ' ')}"
            how = "by its description" if one.told in ("text", "part") else "by its name"
            yield Link(
                source=one.tool.index,
                target=target.index,
                parameter=need.parameter,
                path=(),
                evidence=f"{one.tool.name} ({one.tool.verb}) yields {about} {how}, {target.name} takes "
                f"{what} as {need.parameter}; {one.tool.name} has no output schema: where it stands is not "
                "known",
                confidence=round(confidence, 3),
            )


def _givers(tools: Sequence[Resource]) -> dict[str, list[tuple[Resource, Giver]]]:
    """By kind of value, the tools without route and output schema that yield it."""
    found: dict[str, list[tuple[Resource, Giver]]] = defaultdict(list)
    for tool in tools:
        for one in tool.gives if tool.schemaless and not tool.route else ():
            found[one.kind].append((tool, one))
    return found


def _plain(taken: Taker) -> Need:
    return Need(taken.parameter, (), frozenset(), taken.required, many=False)


def _typed(target: Resource, taken: Taker, givers: dict[str, list[tuple[Resource, Giver]]]) -> Iterator[Link]:
    """Edges by values that mean the same everywhere, so also within one server."""
    for source, given in givers.get(taken.kind, ())[:MAX_PRODUCERS]:
        if source.index != target.index:
            evidence = f"{source.name} yields a {taken.kind} ({given.why}), "
            evidence += f"{target.name} takes one as {taken.parameter}"
            confidence = round(given.strength - (0.0 if taken.required else 0.08), 3)
            yield Link(source.index, target.index, taken.parameter, given.path, evidence, confidence)


def _mentioned(
    target: Resource, need: Need, tools: Sequence[Resource], named: Sequence[int]
) -> Iterator[Link]:
    """Edges from the tools that the parameter's own description names."""
    for index in named:
        evidence = (
            f"the description of {need.parameter} of {target.name} names {tools[index].name} as its source"
        )
        yield Link(index, target.index, need.parameter, (), evidence, MENTIONED)


def _tells(source: Resource, found: Yield) -> bool:
    """What a whole server works on is told by tools whose purpose it is."""
    if found.own and source.verb in ("list", "search", "create"):
        return True
    return any(f"_{found.identity[0]}_id" in f"_{name}" for name in source.entities)


def _best_per_source(ranked: Sequence[Link], max_sources: int) -> list[Link]:
    kept: dict[int, Link] = {}
    for link in ranked:
        if link.source not in kept and len(kept) < max_sources:
            kept[link.source] = link
    return list(kept.values())


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
