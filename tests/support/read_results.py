"""Results of tools of which only schemas and names are known, read: whose id, which record, what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

from schemas.catalog import ToolSpec
from services.worlds.fitting import kind, resolved
from services.worlds.naming import is_control
from services.worlds.words import norm, singular, tokens
from tests.support.real_servers import properties

Json = dict[str, Any]

ENVELOPES: Final = {"body", "data", "attributes", "fields", "properties", "payload", "request", "resource"}
ASIDE: Final = {"links", "meta", "metadata", "included", "errors", "warnings", "pagination"}


def said(given: Json, spec: ToolSpec, noun: tuple[str, ...]) -> Json:
    """The arguments that are fields of the thing; envelopes are opened, and a sole one of its own name."""
    beside = [name for name in properties(spec) if f"{{{name}}}" not in spec.path and not is_control(name)]
    whole = {"".join(noun), noun[-1]} if len(beside) <= (1 if spec.path else 2) else set()
    fields: Json = {}
    for name, value in given.items():
        if norm(name) in ENVELOPES | whole and isinstance(value, dict):
            fields.update(said(value, spec, noun))
        elif not is_control(name) and value is not None:
            fields[name] = value
    return fields


def objects(value: Any, depth: int = 4) -> Iterator[Json]:
    """The objects of a result, outer ones first."""
    level = [value]
    for _ in range(depth):
        yield from (one for one in level if isinstance(one, dict))
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
        ]


def entries(content: Any, depth: int = 0) -> list[Any]:
    """The array of a result that is at its root or, where there is but one, near it; else the longest."""
    if isinstance(content, list):
        return content
    if not isinstance(content, dict) or depth > 2:
        return []
    inner = [entries(part, depth + 1) for name, part in content.items() if norm(name) not in ASIDE]
    return max(inner, key=len, default=[])


def record_of(content: Any, key: Any, path: tuple[str, ...] = ()) -> tuple[Json, tuple[str, ...]]:
    """The outermost object that holds the key as a value, with its place; else the whole result."""
    todo: list[tuple[Any, tuple[str, ...]]] = [(content, path)]
    for value, at in todo:
        if isinstance(value, dict):
            if any(not isinstance(one, (dict, list)) and str(one) == str(key) for one in value.values()):
                return value, at
            todo += [(part, (*at, name)) for name, part in value.items()]
        elif isinstance(value, list):
            todo += [(part, (*at, "")) for part in value]
    return (content if isinstance(content, dict) else {}), ()


def place(spec: ToolSpec, path: tuple[str, ...], name: str) -> Any:
    """The schema of the field of this name in the record at ``path``; None where it has none."""
    shape: Any = spec.output_schema
    for part in path:
        shape = resolved(shape, spec.output_schema)
        shape = shape.get("items") if part == "" else (shape.get("properties") or {}).get(part)
    shape = resolved(shape, spec.output_schema)
    parts = shape.get("properties") if isinstance(shape, dict) else None
    if not isinstance(parts, dict):
        return None
    return next((part for key, part in parts.items() if norm(key) == norm(name)), None)


def unfit(spec: ToolSpec, path: tuple[str, ...], name: str, value: Any) -> bool:
    """Whether the result's own schema does not take what was said."""
    shape = place(spec, path, name)
    return shape is not None and bool(complaint(shape, value))


def as_type(value: Any, schema: Json) -> Any:
    """A scalar in the type that the parameter takes; None where there is none."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    if not complaint(schema, value):
        return value
    if isinstance(value, str) and value.lstrip("-").isdigit() and not complaint(schema, int(value)):
        return int(value)
    return str(value) if not isinstance(value, str) and not complaint(schema, str(value)) else None


def strangers(key: Any) -> list[Any]:
    """Ids like this one that nothing has."""
    if isinstance(key, (int, float)):
        return [987_654_321, 99_999, 977, 93]
    turned = str(key)[::-1]
    return [
        f"{key}0",
        turned if turned != key else f"0{turned}",
        f"{str(key)[:-1]}{'0' if str(key)[-1] != '0' else '1'}",
    ]


def same(one: Any, other: Any) -> bool:
    """Whether two values say the same; an object may say more than what was told."""
    if isinstance(one, dict) and isinstance(other, dict):
        return all(same(one.get(name), value) for name, value in other.items())
    return bool(one == other) or (not isinstance(one, (dict, list)) and str(one) == str(other))


def differences(
    one: Any, other: Any, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Any, Any]]:
    """(path, value, other value) of the places where two results differ; fields that one lacks do not."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in one.keys() & other.keys():
            yield from differences(one[name], other[name], (*path, name))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for at, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from differences(left, right, (*path, str(at)))
    elif one != other:
        yield path, one, other


def echoes(content: Any, given: Json) -> bool:
    """Whether a result says nothing but what it was given."""
    told = list(scalars(content))
    held = {str(value) for value in scalars(given)}
    return bool(told) and all(str(value) in held for value in told)


def open_object(schema: Any) -> bool:
    """Whether a result may be an object with a field more than it has."""
    shape = resolved(schema, schema) if isinstance(schema, dict) else {}
    return schema is None or (kind(shape) == "object" and shape.get("additionalProperties") is not False)


def wrapped(content: Any, noun: tuple[str, ...], depth: int = 0) -> Iterator[Json]:
    """The record that a result is about: the result itself, and what it wraps, outermost first."""
    if isinstance(content, list) and content and depth < 4:
        yield from wrapped(content[0], noun, depth + 1)
    if not isinstance(content, dict) or depth > 4:
        return
    yield content
    for name, part in content.items():
        words = tokens(name)
        about = bool(words) and singular(words[-1]) == noun[-1]
        if (
            about
            or len(content) == 1
            or norm(name) in {"data", "result", "results", "response", "items", "attributes"}
        ):
            yield from wrapped(part, noun, depth + 1)


def blank(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """Something in the shape of a schema, to see what it has a place for."""
    root = schema if root is None else root
    shape = resolved(schema, root)
    if kind(shape) == "array" and depth < 8:
        return [blank(shape.get("items"), root, depth + 1)]
    parts = shape.get("properties")
    if isinstance(parts, dict) and depth < 8:
        return {name: blank(part, root, depth + 1) for name, part in parts.items()}
    return None


def scalars(value: Any) -> Iterator[Any]:
    """The leaves of a JSON value."""
    if isinstance(value, (dict, list)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from scalars(part)
    else:
        yield value


def complaint(schema: Any, value: Any) -> str:
    """What is wrong with a value; "" where nothing is, or where the schema is broken or none can fit."""
    checker = validator(json.dumps(schema, sort_keys=True)) if isinstance(schema, dict) else None
    if checker is None:
        return ""
    try:
        error = best_match(checker.iter_errors(value))
    except Exception:
        return ""
    return "" if error is None else f"{error.message[:200]} at {list(error.absolute_path)}"


@lru_cache(maxsize=8192)
def validator(schema: str) -> Any:
    """A validator; None for a schema that no value can fit or that is none."""
    parsed = json.loads(schema)
    try:
        Draft202012Validator.check_schema(parsed)
    except (SchemaError, Unresolvable):
        return None
    return None if contradicts(parsed) else Draft202012Validator(parsed, registry=Registry())


def contradicts(schema: Any) -> bool:
    """Whether no value can fit: some enum has no member of the declared type, or a pattern has slashes."""
    if isinstance(schema, list):
        return any(map(contradicts, schema))
    if not isinstance(schema, dict):
        return False
    options = schema.get("enum")
    if isinstance(options, list) and options:
        rest = {key: value for key, value in schema.items() if key not in {"enum", "description"}}
        if not any(Draft202012Validator(rest).is_valid(option) for option in options):
            return True
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and pattern.startswith("/"):
        return True
    return any(map(contradicts, schema.values()))


def shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:160]
