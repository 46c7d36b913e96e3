"""Where the records stand in a result: through wrappers like ``{"data": [...], "total": 3}``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from schemas.catalog import Json
from services.worlds.draft import WRAPPERS
from services.worlds.fitting import kind, resolved
from services.worlds.meaning import Reading
from services.worlds.naming import stem_of
from services.worlds.words import listed, norm, singular, tokens

NAMESPACES: Final = frozenset(listed("attributes properties fields"))
_ASIDE: Final = frozenset(
    listed("errors error warnings links link meta metadata included pagination paging facets aggregations")
)
MAX_BESIDE: Final = 4
"""Plain fields beside an array of one record; more of them are the record themselves."""
_IDS: Final = frozenset(listed("id uuid guid gid sid key arn slug"))


@dataclass(frozen=True, slots=True)
class Slot:
    """The place of the records in an output schema: object keys from the root, and whether it is a list.

    ``record`` is the schema of one record, references resolved.
    """

    path: tuple[str, ...]
    many: bool
    record: Json


def slot(schema: Json, reading: Reading) -> Slot:
    """The place of the records that a tool with this reading returns."""
    words = tuple(reading.collection.split("_"))
    lists = reading.verb in {"list", "search"}
    return _find(schema, schema, words, lists, (), 0)


def _is(name: str, words: tuple[str, ...]) -> bool:
    own = tokens(name)
    if not own:
        return False
    one = (*own[:-1], singular(own[-1]))
    return one == words or one[-1:] == words[-1:]


def _identified(shape: Json, words: tuple[str, ...]) -> bool:
    """Whether an object shows the entity's own id ("functionId" of a function)."""
    names = shape.get("properties")
    return isinstance(names, dict) and any(
        tokens(name) == words
        or (tokens(name)[-1:] == ("id",) and tokens(name) != ("id",) and _is(name[:-2], words))
        for name in names
    )


def _find(
    schema: Json, root: Json, words: tuple[str, ...], lists: bool, path: tuple[str, ...], depth: int
) -> Slot:
    shape = resolved(schema, root)
    if kind(shape) == "array":
        return Slot(path, True, resolved(shape.get("items", {}), root))
    properties = shape.get("properties")
    if kind(shape) != "object" or not isinstance(properties, dict) or depth >= 3:
        return Slot(path, False, shape)
    parts = {name: resolved(part, root) for name, part in properties.items()}
    arrays = [
        name
        for name, part in parts.items()
        if kind(part) == "array"
        and norm(name) not in _ASIDE
        and kind(resolved(part.get("items", {}), root)) in {"object", ""}
    ]
    objects = [
        name
        for name, part in parts.items()
        if kind(part) == "object" and norm(name) not in _ASIDE | NAMESPACES
    ]
    own_id = any(
        norm(name) in _IDS
        or (tokens(name)[-1:] == ("id",) and _is(name[:-2], words))
        or (tokens(name)[-1:] in {("key",), ("uuid",), ("arn",), ("number",)} and stem_of(name) == words)
        for name in parts
    )
    choices: list[str] = []
    if lists or not own_id:
        choices += [name for name in arrays if _is(name, words)] if lists else []
        choices += [name for name in objects if _is(name, words)]
        choices += (
            [name for name in arrays if norm(name).lstrip("_") in WRAPPERS] if lists or not own_id else []
        )
        choices += [name for name in objects if norm(name).lstrip("_") in WRAPPERS]
        if not lists:
            plain = sum(kind(part) not in {"array", "object"} for part in parts.values())
            choices += [name for name in arrays if _is(name, words) and plain <= MAX_BESIDE]
        elif not own_id:
            choices += arrays
            scalars = [
                name for name, part in parts.items() if kind(part) == "array" and norm(name) not in _ASIDE
            ]
            choices += [
                name
                for name in scalars
                if _is(name, words)
                or norm(name) in WRAPPERS
                or (stem_of(name) and stem_of(name) == words[-len(stem_of(name)) :])
            ]
    if not choices and not lists and not own_id:
        choices = [name for name in objects if _identified(parts[name], words)]
        beside = [name for name in parts if norm(name) not in _ASIDE and name not in objects]
        choices = choices or (objects if len(objects) == 1 and not beside else [])
    if not choices:
        return Slot(path, False, shape)
    chosen = choices[0]
    return _find(parts[chosen], root, words, lists, (*path, chosen), depth + 1)


def fields_of(record: Json, root: Json) -> dict[str, Json]:
    """The fields of a record schema by name, those of its attribute namespaces included."""
    found: dict[str, Json] = {}
    properties: Any = record.get("properties")
    if not isinstance(properties, dict):
        return found
    for name, part in properties.items():
        shape = resolved(part, root)
        if norm(name) in NAMESPACES and isinstance(shape.get("properties"), dict):
            for inner, inside in shape["properties"].items():
                found.setdefault(inner, resolved(inside, root))
        else:
            found.setdefault(name, shape)
    return found
