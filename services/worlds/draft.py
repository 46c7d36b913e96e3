"""What is read off a definition before phrases and labels are made of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from schemas.catalog import Json
from services.worlds.fitting import kind, resolved
from services.worlds.naming import entity_words
from services.worlds.verbs import Verb
from services.worlds.words import listed, norm

WRAPPERS: Final = frozenset(
    listed(
        "data result results items value values response payload content contents list records rows entries "
        "elements objects entities collection hits docs documents body output resources embedded page member "
        "members matches"
    )
)


@dataclass(slots=True)
class Draft:
    """A reading in the making; the fields are those of ``Reading``, the entity still in words."""

    verb: Verb
    words: tuple[str, ...]
    writes: bool
    key: str | None = None
    parents: list[tuple[str, str]] = field(default_factory=list)
    action: tuple[str, ...] = ()
    single: bool = False
    upsert: bool = False
    lineage: tuple[str, ...] = ()


def is_listing(schema: Json | None, entity: tuple[str, ...]) -> bool:
    """Whether an output schema is that of a collection: an array, or a wrapper around one."""
    if not isinstance(schema, dict):
        return False
    shape = resolved(schema, schema)
    if kind(shape) == "array":
        return True
    properties = shape.get("properties")
    if kind(shape) != "object" or not isinstance(properties, dict):
        return False
    for name, part in properties.items():
        part = resolved(part, schema)
        if kind(part) == "array" and kind(resolved(part.get("items", {}), schema)) == "object":
            words = entity_words(name)
            if norm(name).lstrip("_") in WRAPPERS or (words and words[-1:] == entity[-1:]):
                return True
        if norm(name) in WRAPPERS and kind(part) == "object" and len(properties) <= 4:
            inner = part.get("properties")
            if isinstance(inner, dict) and len(inner) <= 3 and is_listing(part, entity):
                return True
    return False
