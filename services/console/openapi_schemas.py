"""Schemas of an OpenAPI document as the plain JSON Schemas that tools carry.

Local references are resolved ``MAX_REFS`` deep, fewer where the result would be too large; a cycle ends in
a value of the type it would have. ``allOf`` is merged; of ``oneOf`` and ``anyOf`` the first choice is taken.
Only words that say something about values are kept. Nothing is ever fetched.
"""

from __future__ import annotations

from typing import Final, Literal

from schemas.catalog import Json
from services.cluster_registry.tool_schema import walked
from services.console.catalog_parts import size_bytes

MAX_REFS: Final = 3
MAX_DEPTH: Final = 12
MAX_NODES: Final = 800
"""Parts of one schema."""
MAX_DOCUMENT_NODES: Final = 4_000_000
"""Parts of all schemas of one document; once they are used up, references are no longer followed."""
MAX_PROPERTIES: Final = 40
"""Properties of one nested object; required ones first."""
MAX_BYTES: Final = 20_000
MAX_HOPS: Final = 8
DESCRIPTION_LENGTH: Final = 400
VALUE_LENGTH: Final = 200
MAX_ENUM: Final = 100
KEPT: Final = (
    "format", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf",
    "minLength", "maxLength", "minItems", "maxItems", "uniqueItems", "deprecated",
)  # fmt: skip

Side = Literal["input", "output"]


class Refused(Exception):  # noqa: N818  (it names the finding; its text says what and why)
    """An operation cannot be taken. ``code`` can be counted."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class _TooLarge(Exception):  # noqa: N818  (never leaves this module)
    """Resolved this deeply, the schema has too many parts."""


class Document:
    """An OpenAPI or Swagger document, and what of its budget is left."""

    def __init__(self, root: Json) -> None:
        self.root = root
        self.nodes_left = MAX_DOCUMENT_NODES

    def followed(self, node: object) -> Json:
        """``node``, or what it refers to: a parameter, a body, a response, a path.

        Raises:
            Refused: an external reference, one to nothing, or one that leads in a circle.
        """
        for _ in range(MAX_HOPS):
            if not isinstance(node, dict):
                return {}
            ref = node.get("$ref")
            if not isinstance(ref, str):
                return node
            node = self.pointed(ref)
            if node is None:
                raise Refused("unknown_reference", f"{ref[:120]!r} is nowhere in the document")
        raise Refused("reference_cycle", "its references lead in a circle")

    def pointed(self, ref: str) -> object:
        """What a local reference points to, or None.

        Raises:
            Refused: the reference leads out of the document.
        """
        if not ref.startswith("#"):
            text = f"{ref[:120]!r} is outside the document, and nothing is fetched; bundle it into one file"
            raise Refused("external_reference", text)
        return walked(self.root, ref[1:].split("/")[1:])

    def schema(self, node: object, side: Side) -> Json:
        """The plain schema of ``node``; ``{}`` where nothing is said, or where it is too large.

        Raises:
            Refused: it has an external reference.
        """
        for refs in (MAX_REFS, 2, 1, 0) if self.nodes_left > 0 else (0,):
            reader = _Reader(self, side, refs)
            try:
                made = reader.schema(node, (), 0)
            except _TooLarge:
                made = None
            self.nodes_left -= reader.nodes
            if made is not None and size_bytes(made) <= MAX_BYTES:
                return made
        return {}


class _Reader:
    """One reading of one schema, following references at most ``refs`` deep."""

    def __init__(self, document: Document, side: Side, refs: int) -> None:
        self.document = document
        self.hidden = "readOnly" if side == "input" else "writeOnly"
        self.refs = refs
        self.nodes = 0

    def schema(self, node: object, chain: tuple[str, ...], depth: int) -> Json:
        """``node`` as a plain schema; ``chain`` are the references that led here."""
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _TooLarge
        if not isinstance(node, dict) or depth > MAX_DEPTH:
            return {}
        ref = node.get("$ref")
        if isinstance(ref, str):
            found = self.referred(ref, chain, depth)
            text = _text(node.get("description"))
            return {**found, "description": text} if text else found
        out: Json = {}
        kind = _kind(node)
        if kind:
            out["type"] = kind
        if node.get("nullable") is True or _nullable(node):
            out["nullable"] = True
        self.say(out, node)
        if isinstance(node.get("properties"), dict):
            self.members(out, node, chain, depth)
        if kind == "array" or "items" in node:
            out.setdefault("type", "array")
            out["items"] = self.schema(node.get("items"), chain, depth + 1)
        more = node.get("additionalProperties")
        if isinstance(more, dict) and more and "properties" not in out:
            out["additionalProperties"] = self.schema(more, chain, depth + 1)
        for part in self.parts(node):
            merge(out, self.schema(part, chain, depth + 1))
        return out

    def referred(self, ref: str, chain: tuple[str, ...], depth: int) -> Json:
        """What ``ref`` points to; of a cycle, or of what lies too deep, only the type."""
        target = self.document.pointed(ref)
        if ref in chain or len(chain) >= self.refs:
            kind = _kind(target) if isinstance(target, dict) else ""
            return {"type": kind} if kind else {}
        return self.schema(target, (*chain, ref), depth)

    def say(self, out: Json, node: Json) -> None:
        """The keywords that stand for themselves."""
        text = _text(node.get("description")) or _text(node.get("title"))
        if text:
            out["description"] = text
        enum = [node["const"]] if "const" in node else node.get("enum")
        if isinstance(enum, list) and enum:
            values = [value for value in enum if not isinstance(value, dict | list)][:MAX_ENUM]
            if values:
                out["enum"] = values
        examples = node.get("examples")
        example = examples[0] if isinstance(examples, list) and examples else None
        for key, value in (("default", node.get("default")), ("example", node.get("example", example))):
            if value is not None and size_bytes(value) <= VALUE_LENGTH:
                out[key] = value
        for key in KEPT:
            if key in node:
                out[key] = node[key]

    def members(self, out: Json, node: Json, chain: tuple[str, ...], depth: int) -> None:
        """The properties of an object, and which are required."""
        properties: Json = node["properties"]
        named = node.get("required")
        required = [name for name in named if isinstance(name, str)] if isinstance(named, list) else []
        shown = [
            name
            for name, member in properties.items()
            if not (isinstance(member, dict) and member.get(self.hidden) is True)
        ]
        if len(shown) > MAX_PROPERTIES and depth:
            first = [name for name in shown if name in set(required)][:MAX_PROPERTIES]
            others = [name for name in shown if name not in set(first)]
            kept = {*first, *others[: MAX_PROPERTIES - len(first)]}
            shown = [name for name in shown if name in kept]
        out.setdefault("type", "object")
        out["properties"] = {name: self.schema(properties[name], chain, depth + 1) for name in shown}
        needed = [name for name in dict.fromkeys(required) if name in out["properties"]]
        if needed:
            out["required"] = needed

    def parts(self, node: Json) -> list[object]:
        """The schemas that ``node`` is made of: all of ``allOf``, the first choice of the others."""
        found: list[object] = []
        every = node.get("allOf")
        if isinstance(every, list):
            found += every
        for key in ("oneOf", "anyOf"):
            choices = node.get(key)
            if isinstance(choices, list):
                found += [one for one in choices if isinstance(one, dict) and one.get("type") != "null"][:1]
        return found


def merge(out: Json, part: Json) -> None:
    """Add to ``out`` what ``part`` says beyond it: properties and required names are united."""
    for key, value in part.items():
        if key == "properties":
            out["properties"] = {**value, **out.get("properties", {})}
        elif key == "required":
            out["required"] = list(dict.fromkeys([*out.get("required", []), *value]))
        else:
            out.setdefault(key, value)


def _kind(node: Json) -> str:
    """The one type of a schema, or ""."""
    kind = node.get("type")
    if isinstance(kind, list):  # OpenAPI 3.1
        kind = next((one for one in kind if one != "null"), "")
    if kind == "file":  # Swagger 2
        return "string"
    if isinstance(kind, str) and kind:
        return kind
    if isinstance(node.get("properties"), dict):
        return "object"
    return "array" if isinstance(node.get("items"), dict) else ""


def _nullable(node: Json) -> bool:
    kind, choices = node.get("type"), (node.get("anyOf"), node.get("oneOf"))
    return (isinstance(kind, list) and "null" in kind) or any(
        isinstance(one, dict) and one.get("type") == "null"
        for options in choices
        if isinstance(options, list)
        for one in options
    )


def _text(value: object) -> str:
    return (
        " ".join(value[: 4 * DESCRIPTION_LENGTH].split())[:DESCRIPTION_LENGTH]
        if isinstance(value, str)
        else ""
    )
