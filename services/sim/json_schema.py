"""Reading JSON Schemas and JSON values by path: what the scripted actors need of both, and no more."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

Json = dict[str, Any]

MAX_DEPTH = 8
MISSING = object()
"""What ``at`` returns where there is nothing; distinct from null."""


def resolve(schema: Any, root: Json | None = None) -> Json:
    """``schema`` with its local reference followed and its ``allOf`` merged; ``{}`` for what is none."""
    for _ in range(MAX_DEPTH):
        if not isinstance(schema, dict):
            return {}
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference.startswith("#/") and root is not None:
            parts = [part.replace("~1", "/").replace("~0", "~") for part in reference[2:].split("/")]
            found = at(root, parts)
            schema = {} if found is MISSING else found
            continue
        members = schema.get("allOf")
        if isinstance(members, list) and members:
            merged: Json = {}
            for member in members:
                part = member if isinstance(member, dict) else {}
                properties = {**merged.get("properties", {}), **part.get("properties", {})}
                merged = {**merged, **part}
                if properties:
                    merged["properties"] = properties
            schema = {**merged, **{key: value for key, value in schema.items() if key != "allOf"}}
            continue
        return schema
    return {}


def options(schema: Any, root: Json | None = None, depth: int = 0) -> Iterator[Json]:
    """The alternatives of a schema (``anyOf``, ``oneOf``, a list of types), null left out."""
    schema = resolve(schema, root)
    alternatives = schema.get("anyOf") or schema.get("oneOf")
    kind = schema.get("type")
    if isinstance(alternatives, list) and alternatives and depth < MAX_DEPTH:
        for alternative in alternatives:
            yield from options(alternative, root, depth + 1)
    elif isinstance(kind, list):
        for one in kind:
            if one != "null":
                yield {**schema, "type": one}
    elif kind != "null":
        yield schema


def property_schema(schema: Any, key: str | int, root: Json | None = None) -> Json:
    """The schema of property ``key`` (text) or of the items (a number) of ``schema``; ``{}`` if unknown."""
    for option in options(schema, root):
        if isinstance(key, int):
            if isinstance(option.get("items"), dict):
                return resolve(option["items"], root)
            continue
        properties = option.get("properties")
        if isinstance(properties, dict) and key in properties:
            return resolve(properties[key], root)
    return {}


def at(value: Any, path: Sequence[str | int]) -> Any:
    """The value at ``path`` (keys and indices) of a JSON value, or ``MISSING``."""
    for part in path:
        # Two branches, not one: each narrows the type of value and part together.
        if isinstance(value, dict) and isinstance(part, str) and part in value:  # noqa: SIM114
            value = value[part]
        elif isinstance(value, list) and isinstance(part, int) and 0 <= part < len(value):
            value = value[part]
        else:
            return MISSING
    return value


_WRITER: Final = json.JSONEncoder(sort_keys=True, ensure_ascii=False)


def plain(value: Any) -> str:
    """A text that is equal for equal JSON values and no others (true is not 1; 1 is 1.0)."""
    if isinstance(value, str):
        return _WRITER.encode(value)
    return _WRITER.encode(same_numbers(value))


def alike(left: Any, right: Any) -> bool:
    """Equality of JSON values, as ``plain`` sees it: 1 equals 1.0, but neither equals true."""
    if left is right:
        return True
    if isinstance(left, bool) or isinstance(right, bool):
        return False
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(alike(item, right[key]) for key, item in left.items())
    if isinstance(left, list | tuple) and isinstance(right, list | tuple):
        return len(left) == len(right) and all(map(alike, left, right))
    return bool(left == right)


def same_numbers(value: Any) -> Any:
    """The value with floats that are whole numbers as integers, as JSON Schema sees them."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: same_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [same_numbers(item) for item in value]
    return value
