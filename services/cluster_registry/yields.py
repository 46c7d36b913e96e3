"""What a tool yields: the identities that its output schema holds, and where."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from schemas.catalog import Json
from services.cluster_registry.text import singular, word_set, words
from services.cluster_registry.vocabulary import DISTINCTIVE, MANY, WRAPPERS, Identity, entity, kind_of

Path = tuple[str, ...]
"""Object keys; ``"*"`` stands for any item of an array."""

MAX_DEPTH: Final = 4
MAX_LEAVES: Final = 300
PEOPLE: Final = word_set(
    "created_by updated_by modified_by last_edited_by author owner assignee creator reporter"
)
"""Fields that hold a user, whatever they are called."""
OF_WHAT: Final = re.compile(
    r"\b(?:id|identifier|uuid) (?:of|for) (?:(?:the|this|an?|created|new|requested) )*([A-Za-z]{3,})\b",
    re.IGNORECASE,
)
WHOSE: Final = re.compile(
    r"(?:[Tt]he |[Aa]n? |[Uu]nique )*((?<![a-z] )[A-Z]?[a-z]{2,}) (?:id|ID|Id|identifier)\b"
)
"""A capital further on is a brand's: the Spotify ID is a track's."""
SAYS_NOTHING: Final = word_set(
    "the this that unique object resource internal record item entity numeric string integer database given "
    "external global universal which row current its primary system public custom"
)
RESOURCE_PATH: Final = re.compile(
    r"fully qualified|resource id|resource identifier|\barm\b|self link", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Yield:
    """One value of a tool's output: where it stands and what it identifies.

    ``own``: it identifies the entity that the tool is about, not one that is only mentioned.
    """

    path: Path
    identity: Identity
    types: frozenset[str]
    own: bool
    named: bool
    """The field's own name says the entity (``order_id``), not only its surroundings (``id``)."""


def yielded(output: Json, entities: tuple[str, ...], bare: frozenset[str] = frozenset()) -> Iterator[Yield]:
    """Identities in the output, breadth first: at most ``MAX_DEPTH`` objects deep.

    ``bare`` are entities whose ids this server calls by their name alone: ``/cardholders/{cardholder}``.
    """
    best: set[tuple[Identity, bool]] = set()
    queue: list[tuple[Json, Path, tuple[str, ...], int, bool]] = [(output, (), entities, 0, True)]
    leaves = 0
    while queue:
        node, path, owners, depth, own = queue.pop(0)
        node, path = _unwrapped(node, path)
        if path == ("*",) and types_of(node) & {"string", "integer", "number"}:
            for owner in entities:  # a list of plain ids
                for kind in ("id", "name"):
                    yield Yield(path, (owner, kind), types_of(node), own=True, named=False)
            return
        for key, raw in properties(node).items():
            if not isinstance(raw, dict) or key in ("*", "__typename"):
                continue
            inner, inner_path = _unwrapped(raw, (*path, key))
            types = types_of(inner)
            if properties(inner) and depth + 1 < MAX_DEPTH:
                lowered = "_".join(words(key))
                name = entity(key)
                kept = lowered in WRAPPERS or name in owners or any(_akin(name, one) for one in owners)
                inner_owners = owners if kept else (name, "user") if name in PEOPLE else (name,)
                queue.append((inner, inner_path, inner_owners, depth + 1, own and kept))
                continue
            if (types and not types & {"string", "integer", "number"}) or "enum" in inner:
                continue
            leaves += 1
            if leaves > MAX_LEAVES:
                return
            if inner.get("format") in ("date-time", "date", "time", "binary", "byte"):
                continue
            leaf = _leaf(key, inner, inner_path, types, owners, own)
            for found in (
                *leaf,
                *_said(key, inner, inner_path, types, entities),
                *_bare(key, inner_path, types, owners, bare),
            ):
                mark = (found.identity, found.own)
                if mark not in best:
                    best.add(mark)
                    yield found


def _akin(name: str, owner: str) -> bool:
    """An ``actions_cache`` is a cache, and an ``org_unit`` an orgunit."""
    return name.endswith(f"_{owner}") or name.replace("_", "") == owner.replace("_", "")


def _leaf(
    key: str, member: Json, path: Path, types: frozenset[str], owners: tuple[str, ...], own: bool
) -> Iterator[Yield]:
    named = kind_of(key)
    if named is None and path[-1] == "*" and own and types == {"string"} and entity(key) in owners:
        for kind in ("name", "id"):  # a list of plain texts, by which the records are told
            yield Yield(path, (entity(key), kind), types, own, named=True)
        return
    description = member.get("description", "")
    if named is None:
        if len(words(key)) <= 2 and re.match(
            r"(the |unique )*(id|identifier)\b( of|$)", description, re.IGNORECASE
        ):
            name = entity(key).removesuffix("_id")
            yield Yield(path, (name, "id"), types, name in owners and own, named=True)
        return
    name, kind = named
    if path[-1] != "*" and words(key)[-1] in MANY:
        return  # several in one text, separated somehow
    if name:
        yield Yield(path, (name, kind), types, own and name in owners, named=True)
    elif kind in DISTINCTIVE:
        yield Yield(path, ("", kind), types, own, named=True)
    elif kind != "id" or not RESOURCE_PATH.search(description):
        for owner in owners:
            yield Yield(path, (owner, kind), types, own, named=False)


def _said(
    key: str, member: Json, path: Path, types: frozenset[str], entities: tuple[str, ...]
) -> Iterator[Yield]:
    """Whose a plain ``id`` is, where its description says so: "batch ID", "ID of the instance"."""
    if key.lower() not in ("id", "uuid"):
        return
    text = member.get("description", "")
    match = OF_WHAT.search(text[:80]) or WHOSE.match(text)
    name = singular(match[1].lower()) if match else ""
    if name and name not in SAYS_NOTHING:
        yield Yield(path, (name, "id"), types, own=name in entities, named=True)


def _bare(
    key: str, path: Path, types: frozenset[str], owners: tuple[str, ...], bare: frozenset[str]
) -> Iterator[Yield]:
    """Another record, by its id under its name alone: ``cardholder`` of a card."""
    name = entity(key)
    if name in bare and types == {"string"} and name not in owners and kind_of(key) is None:
        yield Yield(path, (name, "id"), types, own=False, named=True)


def _unwrapped(node: Json, path: Path) -> tuple[Json, Path]:
    """The items of an array (of arrays), with ``*`` on the path."""
    while node.get("type") == "array" or ("items" in node and "properties" not in node):
        items = node.get("items")
        path = (*path, "*")
        if not isinstance(items, dict):
            return {"type": "null"}, path
        node = items
    return node, path


def properties(node: Json) -> Mapping[str, Any]:
    """The properties of an object schema, those of its ``allOf`` included."""
    own = node.get("properties")
    merged: dict[str, Any] = dict(own) if isinstance(own, dict) else {}
    for key in ("allOf", "anyOf", "oneOf"):
        options = node.get(key)
        if isinstance(options, list):
            for option in options if key == "allOf" else options[:1]:
                if isinstance(option, dict) and isinstance(option.get("properties"), dict):
                    merged = {**option["properties"], **merged}
    return merged


def types_of(node: Json) -> frozenset[str]:
    """The JSON types that a schema allows, without null; empty when it does not say."""
    kind = node.get("type")
    if isinstance(kind, str):
        return frozenset({kind})
    return frozenset(kind) - {"null"} if isinstance(kind, list) else frozenset()
