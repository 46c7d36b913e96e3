"""Hypothesis strategies for JSON values that fit the JSON Schemas pydantic makes of our messages."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

DEEPEST = 4
"""Nesting of references after which lists and maps are empty and the first alternative is taken."""

anything = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def instances(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """JSON values that fit ``schema``; its own ``$defs`` are followed."""
    return _fitting(schema, schema.get("$defs", {}), 0)


def _fitting(node: dict[str, Any], defs: dict[str, Any], depth: int) -> st.SearchStrategy[Any]:
    if "$ref" in node:
        return _fitting(defs[node["$ref"].removeprefix("#/$defs/")], defs, depth + 1)
    for name in ("anyOf", "oneOf"):
        if name in node:
            options = node[name][:1] if depth > DEEPEST else node[name]
            return st.one_of([_fitting(option, defs, depth) for option in options])
    if "const" in node:
        return st.just(node["const"])
    if "enum" in node:
        return st.sampled_from(node["enum"])
    longest = 0 if depth > DEEPEST else 2
    match node.get("type"):
        case "object" if "properties" in node:
            # A constant is what alternatives are told apart by, so it is written though it is the default.
            constant = {name for name, part in node["properties"].items() if "const" in part}
            needed = constant | set(node.get("required", ()))
            fields = {name: _fitting(part, defs, depth) for name, part in node["properties"].items()}
            return st.fixed_dictionaries(
                {name: one for name, one in fields.items() if name in needed},
                optional={name: one for name, one in fields.items() if name not in needed},
            )
        case "object":
            inner = node.get("additionalProperties")
            values = _fitting(inner, defs, depth) if isinstance(inner, dict) else anything
            keys = node.get("propertyNames")
            names = _fitting(keys, defs, depth) if keys else st.text(max_size=8)
            return st.dictionaries(names, values, max_size=longest)
        case "array":
            return st.lists(_fitting(node.get("items", {}), defs, depth), max_size=longest)
        case "string":
            return st.text(max_size=12)
        case "integer":
            return st.integers(node.get("minimum", -(2**53)), node.get("maximum", 2**53))
        case "number":
            return st.floats(allow_nan=False, allow_infinity=False)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case None:
            return anything
    raise AssertionError(f"no strategy for {node}")
