"""Tools of one REST resource, read together: what ``POST /orders`` makes, ``GET /orders/{id}`` fetches.

Each tool is read by itself first (``meaning``); names differ in how they call one thing ("startDeployment",
"getDeployment"), paths do not. A resource is a path with a creating POST, beside the same path with one more
parameter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from schemas.catalog import Json, ToolSpec
from services.worlds.draft import is_listing
from services.worlds.fitting import as_object, kind, resolved
from services.worlds.meaning import Reading
from services.worlds.naming import name_words, parameters
from services.worlds.verbs import VERBS, Verb
from services.worlds.words import listed, norm, singular, tokens

_PARAMETER: Final = re.compile(r"\{[^}]*\}")
_ASKING: Final = frozenset(listed("search query find lookup filter list get batch count export validate"))
_NO_KEY: Final = frozenset(
    listed("date day month year time type kind status state query q term lang language")
)


@dataclass(slots=True)
class _Resource:
    """The tools of one resource by their method: those of the collection, and those of one record."""

    whole: dict[str, list[ToolSpec]] = field(default_factory=dict)
    items: list[tuple[ToolSpec, str]] = field(default_factory=list)


def agreed(tools: Sequence[ToolSpec], readings: Mapping[str, Reading]) -> Mapping[str, Reading]:
    """The readings, those of one resource made to agree on what they work on and how they name it."""
    resources: dict[str, _Resource] = {}
    for spec in tools:
        if not spec.path or "#" in spec.path or readings[spec.name].lineage:
            continue
        path = plain(spec.path)
        if path.endswith("/{}"):
            last = _last(spec)
            if last:
                resources.setdefault(path[:-3], _Resource()).items.append((spec, last))
        elif path:
            own = resources.setdefault(path, _Resource())
            own.whole.setdefault(spec.method.upper(), []).append(spec)
    made = dict(readings)
    renamed: dict[str, str] = {}
    for path, resource in resources.items():
        creating = [spec for spec in resource.whole.get("POST", ()) if _creates(spec, path, readings)]
        items = [(spec, key) for spec, key in resource.items if _identified(spec, key, readings[spec.name])]
        if creating and items:
            renamed[path] = _settle(resource, creating, items, made)
    if renamed:
        _nest(tools, renamed, made)
    return made


def plain(path: str) -> str:
    """A path with its parameters unnamed and without a query."""
    return _PARAMETER.sub("{}", path.partition("?")[0]).rstrip("/")


def _last(spec: ToolSpec) -> str:
    """The parameter that ends the path, as the schema spells it; "" where the schema has none."""
    names = _PARAMETER.findall(spec.path.partition("?")[0])
    wanted, own = (names[-1][1:-1] if names else ""), parameters(spec)
    return wanted if wanted in own else next((name for name in own if norm(name) == norm(wanted)), "")


def _creates(spec: ToolSpec, path: str, readings: Mapping[str, Reading]) -> bool:
    """Whether a POST on a collection makes one of its records, rather than asking for some."""
    reading = readings[spec.name]
    segment = tokens(path.rpartition("/")[2])
    if segment[-1:] and segment[-1] in _ASKING:
        return False
    if reading.verb == "create":
        return True
    words = name_words(spec, ())
    if any(VERBS.get(word) == "create" for word in words):
        return True
    asks = bool(words) and (VERBS.get(words[0]) in {"list", "search", "get", "delete"} or words[0] in _ASKING)
    return not asks or words[:1] == segment[:1]


def _identified(spec: ToolSpec, key: str, reading: Reading) -> bool:
    """Whether a tool at ``/orders/{id}`` works on the one record that the last parameter names."""
    schema = parameters(spec)[key]
    if reading.verb not in {"get", "update", "delete"}:
        return False
    if reading.key == key:
        return True
    return (
        "enum" not in schema and tokens(key)[-1] not in _NO_KEY and kind(schema) in {"string", "integer", ""}
    )


def _settle(
    resource: _Resource, creating: list[ToolSpec], items: list[tuple[ToolSpec, str]], made: dict[str, Reading]
) -> str:
    """Make the readings of one resource agree; what its records are called."""
    first = made[items[0][0].name]
    maker = made[creating[0].name]
    calls = [first.collection, *([maker.collection] if maker.verb == "create" else [])]
    name = max(calls, key=lambda one: (one.count("_"), one == first.collection))
    parents = next(
        (made[spec.name].parents for spec, key in items if made[spec.name].key == key), maker.parents
    )
    for spec in creating:
        made[spec.name] = replace(
            made[spec.name], verb="create", collection=name, key=None, many=False, writes=True, single=False,
            parents=_shared(spec, parents, made[spec.name].parents),
            references=_others(made[spec.name], name),
        )  # fmt: skip
    for spec, key in items:
        made[spec.name] = replace(
            made[spec.name], collection=name, key=key, single=False,
            parents=made[spec.name].parents if made[spec.name].key == key else _own(spec, parents, key),
            references=tuple(one for one in made[spec.name].references if one[0] != key),
        )  # fmt: skip
    for spec in resource.whole.get("GET", ()):
        reading = made[spec.name]
        verb: Verb = "search" if reading.verb == "search" else "list"
        if reading.verb == "act" or (reading.verb == "get" and not _lists(spec, name)):
            continue
        own = _shared(spec, parents, reading.parents if reading.key is None else ())
        key_of_all = (
            reading.key if reading.key is not None and f"{{{reading.key}}}" not in spec.path else None
        )
        made[spec.name] = replace(
            reading, verb=verb, collection=name, single=False, parents=own, key=key_of_all
        )
    return name


def _lists(spec: ToolSpec, name: str) -> bool:
    """Whether a GET on a collection can show several records."""
    if spec.output_schema is None:
        return True
    words = tuple(name.split("_"))
    if is_listing(spec.output_schema, (*words[:-1], singular(words[-1]))):
        return True
    shape = resolved(spec.output_schema, spec.output_schema)
    parts = as_object(shape.get("properties"))
    arrays = sum(kind(resolved(part, spec.output_schema)) == "array" for part in parts.values())
    return arrays == 1 and not any(norm(one) in {"id", "uuid", f"{norm(name)}id"} for one in parts)


def _own(spec: ToolSpec, parents: tuple[tuple[str, str], ...], key: str) -> tuple[tuple[str, str], ...]:
    names: Mapping[str, Json] = parameters(spec)
    return tuple(one for one in parents if one[0] in names and one[0] != key)


def _shared(
    spec: ToolSpec, parents: tuple[tuple[str, str], ...], own: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, str], ...]:
    """The owners that the tools of one record name, and those that only this tool names."""
    theirs = _own(spec, parents, "")
    return (*theirs, *(one for one in own if one[0] not in dict(theirs)))


def _others(reading: Reading, name: str) -> tuple[tuple[str, str], ...]:
    """What a creating call refers to: not the very record that it makes."""
    return tuple(one for one in reading.references if one[1] != name)


def _nest(tools: Sequence[ToolSpec], renamed: Mapping[str, str], made: dict[str, Reading]) -> None:
    """Let what belongs to a record (``/orders/{id}/notes``) belong to it under its settled name."""
    for spec in tools:
        reading = made[spec.name]
        if not reading.parents:
            continue
        levels = {
            norm(match.group()): renamed[path]
            for match in _PARAMETER.finditer(spec.path)
            if (path := plain(spec.path[: match.start()])) in renamed
        }
        if levels:
            parents = tuple(
                (parameter, levels.get(norm(parameter), collection))
                for parameter, collection in reading.parents
            )
            if parents != reading.parents:
                made[spec.name] = replace(reading, parents=parents)
