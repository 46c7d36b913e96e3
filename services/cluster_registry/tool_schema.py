"""JSON Schemas as strangers write them, made into schemas that a validator and a model API can take.

Local references are resolved (at most ``MAX_REFS`` deep; cycles end in the empty schema), habits of
OpenAPI and of older drafts are put into the words of draft 2020-12, what cannot be understood is
refused. Written by hand because validating against the metaschema costs milliseconds a tool; whatever
passes here also passes ``Draft202012Validator.check_schema`` (a test holds the two together).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import unquote

from schemas.catalog import Json
from services.cluster_registry.text import UNWANTED, clean

MAX_REFS: Final = 4
MAX_DEPTH: Final = 32
MAX_NODES: Final = 2_000
MAX_BYTES: Final = 24 * 1024
MAX_RAW_BYTES: Final = 1024 * 1024
DESCRIPTION_LENGTH: Final = 400
PATTERN_LENGTH: Final = 500

TYPES: Final = frozenset({"string", "number", "integer", "boolean", "object", "array", "null"})
TYPE_ALIASES: Final = {
    "file": "string", "str": "string", "text": "string", "date": "string", "uuid": "string",
    "int": "integer", "long": "integer", "float": "number", "double": "number", "decimal": "number",
    "bool": "boolean", "dict": "object", "map": "object", "list": "array", "any": "",
}  # fmt: skip
SCHEMA: Final = frozenset({
    "items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else",
    "unevaluatedItems", "unevaluatedProperties", "contentSchema",
})  # fmt: skip
SCHEMA_LIST: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
SCHEMA_MAP: Final = frozenset({"properties", "patternProperties", "dependentSchemas"})
NUMBERS: Final = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"})
COUNTS: Final = frozenset({
    "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties",
    "minContains", "maxContains",
})  # fmt: skip
FLAGS: Final = frozenset({"uniqueItems", "deprecated", "readOnly", "writeOnly"})
LEFT_OUT: Final = frozenset({
    "$ref", "$schema", "$id", "id", "$comment", "$defs", "definitions", "components", "$anchor",
    "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor", "$vocabulary", "xml",
    "externalDocs", "additionalItems", "dependencies", "dependentRequired",
})  # fmt: skip


class InvalidSchema(ValueError):  # noqa: N818  (it names the finding, as DroppedTool.reason shows it)
    """A schema that nothing sensible can be made of; the text says where and why."""


class _TooLarge(Exception):  # noqa: N818  (never leaves this module)
    """Resolved this deeply, the schema has too many nodes."""


def input_schema(raw: object) -> tuple[Json, tuple[str, ...]]:
    """The schema of a tool's arguments as an object schema, and notes on what was changed.

    Raises:
        InvalidSchema: it is no schema, or one of something else than an object, or too large.
    """
    if raw is None or raw == {} or raw is True:
        return {"type": "object", "properties": {}}, ()
    inner, unwrapped = _unwrapped(raw)
    schema, notes = _resolved(inner)
    schema, merged = _without_top_combinators(schema)
    kind = schema.get("type")
    if isinstance(kind, list) and "object" in kind:
        kind = "object"
    if kind not in (None, "object"):
        raise InvalidSchema(f"the input schema is of type {kind!r}; a tool's arguments are an object")
    return {**schema, "type": "object", "properties": schema.get("properties", {})}, (
        *unwrapped,
        *notes,
        *merged,
    )


def output_schema(raw: object) -> tuple[Json, tuple[str, ...]]:
    """The schema of a tool's result, and notes on what was changed.

    Raises:
        InvalidSchema: it is no schema, or too large.
    """
    return _resolved(raw)


def _unwrapped(raw: object) -> tuple[object, tuple[str, ...]]:
    """A schema whose ``properties`` are the whole schema once more, taken from there."""
    inner = raw.get("properties") if isinstance(raw, dict) else None
    if (
        isinstance(inner, dict)
        and inner.get("type") == "object"
        and isinstance(inner.get("properties"), dict)
    ):
        return inner, ("the properties held the whole schema once more; it is taken from there",)
    return raw, ()


def _resolved(raw: object) -> tuple[Json, tuple[str, ...]]:
    if not isinstance(raw, dict):
        raise InvalidSchema(f"a schema is a JSON object; here stands {_named(raw)}")
    try:
        size_bytes = len(json.dumps(raw, allow_nan=False))
    except (ValueError, TypeError, RecursionError) as error:
        raise InvalidSchema(f"not JSON: {error}") from None
    if size_bytes > MAX_RAW_BYTES:
        raise InvalidSchema(f"{size_bytes} bytes; at most {MAX_RAW_BYTES} are read")
    for refs in (MAX_REFS, 2, 1, 0):
        reader = _Reader(raw, refs)
        try:
            schema = reader.schema(raw, "", (), 0)
        except _TooLarge:
            continue
        assert isinstance(schema, dict)
        if size_bytes <= MAX_BYTES // 2 and not reader.refs:
            return schema, tuple(dict.fromkeys(reader.notes))
        if len(json.dumps(schema, ensure_ascii=False).encode()) <= MAX_BYTES:
            return schema, tuple(dict.fromkeys(reader.notes))
        if not reader.refs:
            break
    raise InvalidSchema(f"larger than {MAX_BYTES} bytes or {MAX_NODES} parts, even with references left out")


class _Reader:
    """One pass over one schema document; collects notes, counts nodes."""

    def __init__(self, root: Json, max_refs: int) -> None:
        self.root = root
        self.max_refs = max_refs
        self.notes: list[str] = []
        self.nodes = 0
        self.refs = 0

    def schema(self, node: object, where: str, chain: tuple[str, ...], depth: int) -> Json | bool:
        """``node`` cleaned. ``chain`` are the references being resolved, outermost first."""
        if isinstance(node, bool):
            return node
        if not isinstance(node, dict):
            raise InvalidSchema(f"at {where or 'the top'}: a schema should stand here, not {_named(node)}")
        if depth > MAX_DEPTH:
            raise InvalidSchema(f"at {where}: nested more than {MAX_DEPTH} deep")
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _TooLarge
        out: Json = {}
        ref = node.get("$ref")
        if isinstance(ref, str):
            self.refs += 1
            out = self.referred(ref, where, chain, depth)
        for key, value in node.items():
            if key not in LEFT_OUT and not key.startswith("x-"):
                self.keyword(out, node, key, value, where, chain, depth)
        if isinstance(out.get("required"), list):
            self.prune_required(out, where)
        return out

    def referred(self, ref: str, where: str, chain: tuple[str, ...], depth: int) -> Json:
        """What ``ref`` points to, cleaned; the empty schema where that cannot be told."""
        if ref in chain:
            self.notes.append(f"reference cycle at {where or 'the top'} ({ref}) cut to any value")
            return {}
        if len(chain) >= self.max_refs:
            self.notes.append(f"references at {where or 'the top'} cut after {self.max_refs} levels")
            return {}
        target = _pointed(self.root, ref)
        if target is None:
            self.notes.append(f"reference at {where or 'the top'} ({ref[:80]}) not found; any value is taken")
            return {}
        found = self.schema(target, where, (*chain, ref), depth + 1)
        return dict(found) if isinstance(found, dict) else {}

    def keyword(
        self, out: Json, node: Json, key: str, value: Any, where: str, chain: tuple[str, ...], depth: int
    ) -> None:
        """One keyword of ``node``, cleaned into ``out``."""
        at = f"{where}/{key}"
        if key in SCHEMA_MAP:
            out[key] = self.members(key, value, at, chain, depth)
        elif key == "items" and isinstance(value, list):
            if value:
                out["prefixItems"] = [self.schema(item, at, chain, depth + 1) for item in value]
        elif key in SCHEMA:
            out[key] = self.schema(value, at, chain, depth + 1)
        elif key in SCHEMA_LIST:
            if not isinstance(value, list):
                raise InvalidSchema(f"at {at}: a list of schemas should stand here, not {_named(value)}")
            if value:
                out[key] = [self.schema(item, at, chain, depth + 1) for item in value]
        elif key == "type":
            self.type(out, value, at)
        elif key == "required":
            # Draft 3 and many hands write `required: true` on the property itself; it says nothing here.
            if not isinstance(value, bool):
                if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
                    raise InvalidSchema(f"at {at}: a list of names should stand here, not {_named(value)}")
                out[key] = list(dict.fromkeys(value))
        elif key == "enum":
            if not isinstance(value, list):
                raise InvalidSchema(f"at {at}: a list of values should stand here, not {_named(value)}")
            if value:
                out[key] = value
        elif not self.annotation(out, node, key, value):
            self.notes.append(f"{key} at {where or 'the top'} left out: {_named(value)} is not what it takes")

    def annotation(self, out: Json, node: Json, key: str, value: Any) -> bool:
        """A keyword that can be left out if it is wrong. Whether it was right."""
        if key in NUMBERS:
            bound = node.get("minimum" if key == "exclusiveMinimum" else "maximum")
            if isinstance(value, bool) and key.startswith("exclusive"):  # draft 4
                if value and isinstance(bound, int | float) and not isinstance(bound, bool):
                    out[key] = bound
                return True
            good = isinstance(value, int | float) and not isinstance(value, bool)
        elif key in COUNTS:
            good = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        elif key in FLAGS:
            good = isinstance(value, bool)
        elif key == "multipleOf":
            good = isinstance(value, int | float) and not isinstance(value, bool) and value > 0
        elif key in ("description", "title"):
            good = isinstance(value, str)
            value = clean(value, DESCRIPTION_LENGTH)
            if not value:
                return good
        elif key == "pattern":
            good = isinstance(value, str) and len(value) <= PATTERN_LENGTH and _compiles(value)
        elif key in ("format", "contentEncoding", "contentMediaType"):
            good = isinstance(value, str)
        elif key == "examples":
            good = isinstance(value, list)
        else:
            good = not key.startswith("$") and not UNWANTED.search(key)
        if good:
            out[key] = value
        return good

    def members(self, key: str, value: Any, at: str, chain: tuple[str, ...], depth: int) -> Json:
        """The schemas of a map such as ``properties``."""
        if not isinstance(value, dict):
            raise InvalidSchema(f"at {at}: an object should stand here, not {_named(value)}")
        members: Json = {}
        for name, member in value.items():
            if not name or len(name) > 128 or UNWANTED.search(name):
                self.notes.append(
                    f"a property at {at} left out: its name is empty, too long or not printable"
                )
            elif key == "patternProperties" and not _compiles(name):
                self.notes.append(f"a pattern at {at} left out: it is no regular expression")
            else:
                members[name] = self.schema(member, f"{at}/{name}", chain, depth + 1)
        return members

    def type(self, out: Json, value: Any, at: str) -> None:
        """The keyword ``type``; common aliases are translated."""
        kinds = value if isinstance(value, list) else [value]
        known: list[str] = []
        for kind in kinds:
            alias = TYPE_ALIASES.get(kind.lower(), kind.lower()) if isinstance(kind, str) else "null"
            if alias and alias not in TYPES:
                raise InvalidSchema(f"at {at}: {str(value)[:60]!r} is no type of JSON Schema")
            if not alias:
                return
            known.append(alias)
        if known:
            kinds = list(dict.fromkeys(known))
            out["type"] = kinds[0] if len(kinds) == 1 else kinds

    def prune_required(self, out: Json, where: str) -> None:
        """Names in ``required`` without a property can be given no value: they are left out."""
        properties = out.get("properties")
        if not isinstance(properties, dict):
            if "allOf" not in out:
                del out["required"]
            return
        kept = [name for name in out["required"] if name in properties]
        if len(kept) < len(out["required"]):
            missing = [name for name in out["required"] if name not in properties]
            self.notes.append(
                f"required at {where or 'the top'} names unknown {clean(missing[0], 60)!r}: left out"
            )
        out["required"] = kept


def _without_top_combinators(schema: Json) -> tuple[Json, tuple[str, ...]]:
    """Model APIs take no combinators at the top: ``allOf`` is merged, of ``anyOf`` all are optional."""
    notes: list[str] = []
    for key in ("allOf", "anyOf", "oneOf"):
        options = schema.get(key)
        if not isinstance(options, list):
            continue
        schema = {name: value for name, value in schema.items() if name != key}
        members = [option for option in options if isinstance(option, dict)]
        properties = dict(schema.get("properties", {}))
        required = list(schema.get("required", []))
        for member in members:
            member, _ = _without_top_combinators(member)
            properties.update(member.get("properties", {}))
            if key == "allOf":
                required += member.get("required", [])
                schema.setdefault("type", member.get("type", "object"))
        shared = [name for name in dict.fromkeys(required) if name in properties]
        schema = {**schema, "properties": properties}
        if shared:
            schema["required"] = shared
        notes.append(f"{key} at the top merged into one object")
    for key in ("not", "if", "then", "else", "enum", "const"):
        if key in schema:
            schema = {name: value for name, value in schema.items() if name != key}
            notes.append(f"{key} at the top left out")
    return schema, tuple(notes)


def _pointed(root: Json, ref: str) -> object:
    """What the local reference ``#/a/b`` points to in ``root``, or None."""
    if ref == "#":
        return root
    if not ref.startswith("#/"):
        return None
    node = walked(root, ref[2:].split("/"))
    return node if isinstance(node, dict | bool) else None


def walked(node: Any, steps: Iterable[str]) -> Any:
    """What the steps of a JSON pointer, as they stand in a reference, lead to from ``node``, or None."""
    for part in steps:
        step = unquote(part).replace("~1", "/").replace("~0", "~")
        if isinstance(node, Mapping) and step in node:
            node = node[step]
        elif isinstance(node, list) and step.isdigit() and int(step) < len(node):
            node = node[int(step)]
        else:
            return None
    return node


def _compiles(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def _named(value: object) -> str:
    """What kind of JSON value this is, in JSON's words."""
    names: dict[type, str] = {str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    names |= {list: "an array", dict: "an object", type(None): "null"}
    return names.get(type(value), "something that is not JSON")
