"""Which tools yield and take values that mean the same on every server.

An id is known only where it was made; these are known everywhere, so that one server's results can be
another's input. What tools yield and take is told by names, descriptions and output fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from schemas.catalog import Json
from services.cluster_registry.text import words
from services.cluster_registry.value_kinds import KINDS, Kind
from services.cluster_registry.yields import Path, properties

READ_CHARS: Final = 240
MAX_FIELD_DEPTH: Final = 4
MAX_FIELDS: Final = 200


@dataclass(frozen=True, slots=True)
class Giver:
    """A tool that yields a kind of value, where it stands (if that is known), and how surely."""

    kind: str
    path: Path
    strength: float
    why: str


@dataclass(frozen=True, slots=True)
class Taker:
    """A parameter that takes a kind of value."""

    kind: str
    parameter: str
    required: bool


BY_PARAMETER: Final[dict[str, tuple[Kind, ...]]] = {
    name: tuple(kind for kind in KINDS if name in kind.parameters)
    for kind in KINDS
    for name in sorted(kind.parameters)
}
BY_FIELD: Final[dict[str, str]] = {field: kind.name for kind in KINDS for field in sorted(kind.fields)}


@lru_cache(maxsize=1 << 14)
def _named(name: str) -> str:
    return "_".join(words(name))


def takes(tool: Json, verb: str, routed: bool) -> Iterator[Taker]:
    """What a tool, given as the JSON of a ToolSpec, takes."""
    if verb in ("delete", "update") or (verb == "create" and routed):
        return
    schema = tool.get("input_schema", {})
    required = set(schema.get("required", []))
    for parameter, member in properties(schema).items():
        kinds = BY_PARAMETER.get(_named(parameter))
        if not kinds or not isinstance(member, dict) or "enum" in member or member.get("type") == "boolean":
            continue
        said = member.get("description") or ""
        text = f"{_text(tool)} {said[:READ_CHARS]}"
        for kind in kinds:
            if kind.about.search(text) and not (kind.unless and kind.unless.search(text)):
                yield Taker(kind.name, parameter, parameter in required)
                break


def gives(tool: Json, verb: str) -> Iterator[Giver]:
    """What a tool, given as the JSON of a ToolSpec, yields; each kind once."""
    if verb in ("update", "delete"):
        return
    schema = tool.get("input_schema", {})
    # What only narrows a list or search was not given.
    told = schema.get("required", []) if verb in ("list", "search") else properties(schema)
    inputs = {_named(name) for name in told}
    text = _text(tool)
    output = tool.get("output_schema")
    shown: dict[str, Path] = {}
    for field, path in _fields(output) if output else ():
        shown.setdefault(BY_FIELD.get(field, ""), path)
    for one in KINDS:
        if output and one.name not in shown:
            continue
        if verb not in one.by or inputs & one.given or not one.found.search(text):
            continue
        path = shown.get(one.name, ())
        yield Giver(one.name, path, one.strength, f"at {'.'.join(path)}" if path else "by its description")


def _text(tool: Json) -> str:
    return f"{' '.join(words(tool['name']))} . {tool.get('description', '')[:READ_CHARS]}"


def _fields(output: Json) -> Iterator[tuple[str, Path]]:
    queue: list[tuple[Json, Path]] = [(output, ())]
    seen = 0
    while queue and seen < MAX_FIELDS:
        node, path = queue.pop(0)
        while isinstance(node.get("items"), dict):
            node, path = node["items"], (*path, "*")
        for key, member in properties(node).items():
            if not isinstance(member, dict):
                continue
            seen += 1
            yield _named(key), (*path, key)
            if len(path) < MAX_FIELD_DEPTH:
                queue.append((member, (*path, key)))
