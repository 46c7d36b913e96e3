"""Reading JSON Schemas: what type a value must have, whether it fits, local references resolved.

Cheaper than a validator where one value meets one small schema; ``checking`` is for whole arguments.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any, Final, TypeGuard

from services.worlds.patterns import compiled

Json = dict[str, Any]

SCALARS: Final = frozenset({str, int, float, bool, type(None)})


def kind(schema: Json) -> str:
    """The JSON type that a value of this schema should have; "" where the schema leaves it open."""
    declared = schema.get("type")
    if isinstance(declared, list):
        declared = next((item for item in declared if item != "null"), "null")
    if isinstance(declared, str) and declared in {
        "string",
        "integer",
        "number",
        "boolean",
        "array",
        "object",
        "null",
    }:
        return declared
    if isinstance(schema.get("properties"), dict):
        return "object"
    if isinstance(schema.get("items"), dict):
        return "array"
    return ""


def resolved(schema: Any, root: Json | None = None, depth: int = 0) -> Json:
    """The schema with local references, allOf and the first usable branch of oneOf/anyOf merged in."""
    if not isinstance(schema, dict):
        return {}
    if depth > 6:
        return {key: value for key, value in schema.items() if key not in {"$ref", "allOf", "anyOf", "oneOf"}}
    if isinstance(schema.get("$ref"), str):
        target: Any = root if root is not None else {}
        for part in schema["$ref"].lstrip("#/").split("/"):
            target = (
                target.get(part.replace("~1", "/").replace("~0", "~")) if isinstance(target, dict) else None
            )
        rest = {key: value for key, value in schema.items() if key != "$ref"}
        return {**resolved(target, root, depth + 1), **rest}
    for word in ("anyOf", "oneOf"):
        branches = schema.get(word)
        if isinstance(branches, list):
            usable = [b for b in branches if isinstance(b, dict) and b.get("type") != "null"]
            rest = {key: value for key, value in schema.items() if key != word}
            if usable:
                return resolved({**resolved(usable[0], root, depth + 1), **rest}, root, depth + 1)
    if isinstance(schema.get("allOf"), list):
        merged: Json = {key: value for key, value in schema.items() if key != "allOf"}
        for branch in schema["allOf"]:
            part = resolved(branch, root, depth + 1)
            properties = {**as_object(merged.get("properties")), **as_object(part.get("properties"))}
            required = [*as_list(merged.get("required")), *as_list(part.get("required"))]
            merged = {**part, **merged}
            if properties:
                merged["properties"] = properties
            if required:
                merged["required"] = list(dict.fromkeys(required))
        return merged
    return schema


def as_object(value: Any) -> Json:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """The value if it is an array, else an empty one."""
    return value if isinstance(value, list) else []


def bound(schema: Json, key: str, default: int) -> int:
    """A size of the schema (``minLength`` …), or the default where it has no usable one."""
    value = schema.get(key)
    return (
        int(value)
        if isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 0
        else default
    )


def limits(schema: Json) -> tuple[float | None, float | None]:
    """Lowest and highest allowed number, exclusive bounds moved inwards."""
    floor, ceiling = schema.get("minimum"), schema.get("maximum")
    low = float(floor) if _numeric(floor) else None
    high = float(ceiling) if _numeric(ceiling) else None
    for key, sign in (("exclusiveMinimum", 1), ("exclusiveMaximum", -1)):
        bound = schema.get(key)
        step = 1 if kind(schema) == "integer" else 0.01
        if _numeric(bound):
            moved = float(bound) + sign * step
            if sign > 0:
                low = moved if low is None else max(low, moved)
            else:
                high = moved if high is None else min(high, moved)
        elif bound is True:
            if sign > 0 and low is not None:
                low += step
            if sign < 0 and high is not None:
                high -= step
    return low, high


def _numeric(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def fits(value: Any, schema: Json) -> bool:
    """Whether a scalar keeps to type, enum, bounds, length and pattern; containers: type only."""
    which = kind(schema)
    if isinstance(value, bool):
        matches = which in {"boolean", ""}
    elif isinstance(value, int):
        matches = which in {"integer", "number", ""}
    elif isinstance(value, float):
        matches = which in {"number", ""} or (which == "integer" and value.is_integer())
    else:
        types: dict[str, type] = {"string": str, "array": list, "object": dict}
        matches = which == "" or (which in types and isinstance(value, types[which]))
    if not matches:
        return False
    options = schema.get("enum")
    if isinstance(options, list) and value not in options:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if isinstance(value, str):
        low, high = bound(schema, "minLength", 0), bound(schema, "maxLength", 1 << 30)
        pattern = schema.get("pattern")
        expression = compiled(pattern) if isinstance(pattern, str) else None
        return low <= len(value) <= high and (expression is None or expression.search(value) is not None)
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        floor, ceiling = limits(schema)
        return (floor is None or value >= floor) and (ceiling is None or value <= ceiling)
    return True


def satisfiable(schema: Json) -> bool:
    """Whether some member of the enum has the declared type; many definitions contradict themselves."""
    options = schema.get("enum")
    if not isinstance(options, list) or not options:
        return True
    return any(fits(option, schema) for option in options)


def cast(value: str, schema: Json) -> Any:
    """An identifier in the type that the schema wants; None where it cannot be."""
    which = kind(schema)
    made: Any = value
    if which in {"integer", "number"}:
        if not re.fullmatch(r"-?\d{1,18}", value):
            return None
        made = int(value)
    return made if fits(made, schema) else None


def copied(value: Any) -> Any:
    """A deep copy of a JSON value. Scalars, which most parts are, cost no call."""
    if isinstance(value, dict):
        return {key: part if type(part) in SCALARS else copied(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [part if type(part) in SCALARS else copied(part) for part in value]
    return value


def leaves(value: Any) -> Iterator[Any]:
    """All scalars of a JSON value."""
    if isinstance(value, dict):
        for part in value.values():
            yield from leaves(part)
    elif isinstance(value, list):
        for part in value:
            yield from leaves(part)
    else:
        yield value


def dice(*parts: Any) -> random.Random:
    """A generator that depends on these parts alone, in any process."""
    return random.Random("/".join(map(str, parts)))
