"""Where the values of a dialogue come from: what the user said, what tools returned, what schemas fix.

Ours, not the paper's. A value is *grounded* when it occurs in an earlier user turn or tool result, or
when the tool's own schema fixes it (a default, a const, an enum member). Strings occur as text and
numbers as number tokens, never as a part of a longer token: 1 does not occur in 10, nor ORD-1 in ORD-12.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from services.sim.json_schema import alike

Path = tuple[str | int, ...]

NUMBER: Final = re.compile(
    r"(?<!\w)(?<!\w-)(?<!\d[.:/,])"
    r"([-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?)"
    r"(?!\w)(?![-.:/,]\d)(?!-\w)"
)
MAX_DEPTH: Final = 12
MISSING: Final = object()
"""Stands for no value at all, where null is a value."""


def is_number(value: Any) -> bool:
    """Whether a JSON value is a number (booleans are not)."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """All leaves of a JSON value with their paths; empty objects and arrays have none."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))
    else:
        yield path, value


def at(value: Any, path: Sequence[str | int]) -> Any:
    """The value at a path of keys and indices, or ``MISSING``."""
    for key in path:
        if isinstance(value, dict) and key in value:  # noqa: SIM114  (mypy tells the two keys apart)
            value = value[key]
        elif isinstance(value, list) and isinstance(key, int) and -len(value) <= key < len(value):
            value = value[key]
        else:
            return MISSING
    return value


def texts(value: Any) -> Iterator[str]:
    """All strings of a JSON value: its string leaves and the keys of its objects."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts(item)
    elif isinstance(value, str):
        yield value


@lru_cache(maxsize=64)
def numbers(text: str) -> frozenset[float]:
    """The number tokens of a text; thousands separators are read, parts of dates and ids are not."""
    return frozenset(_number(match) for match in NUMBER.findall(text))


def _number(token: str) -> float:
    token = token.replace(",", "")
    return int(token) if token.lstrip("+-").isdigit() and len(token) < 300 else float(token)


def find(value: str, text: str, start: int = 0) -> int:
    """Position of ``value`` in ``text`` between token boundaries, from ``start`` on; -1 when absent."""
    position = text.find(value, start) if value else -1
    if position < 0:
        return -1
    digits = any(character.isdigit() for character in value)
    while position >= 0:
        if _bounded(value, text, position, digits=digits):
            return position
        position = text.find(value, position + 1)
    return -1


def _word(character: str) -> bool:
    return character.isalnum() or character == "_"


def _bounded(value: str, text: str, position: int, *, digits: bool) -> bool:
    before, after = text[max(0, position - 2) : position], text[position + len(value) :][:2]
    if _word(value[0]) and before and _word(before[-1]):
        return False
    if _word(value[-1]) and after and _word(after[0]):
        return False
    return not digits or not (_joined(before[::-1], value[0]) or _joined(after, value[-1]))


def _joined(outside: str, edge: str) -> bool:
    """Whether a value that holds digits goes on beyond a hyphen, or beyond a point between digits."""
    if len(outside) < 2 or not _word(edge):
        return False
    return (outside[0] == "-" and _word(outside[1])) or (outside[0] in ".:/," and outside[1].isdigit())


def occurs(value: Any, text: str) -> bool:
    """Whether a scalar occurs in a text: a string as text, a number as a number token."""
    if isinstance(value, str):
        return find(value, text) >= 0
    return is_number(value) and value in numbers(text)


class Sources:
    """What has been said and returned so far in a dialogue; grows turn by turn."""

    def __init__(self) -> None:
        self._user: list[str] = []
        self._user_numbers: set[float] = set()
        self._results: list[str] = []
        self._result_numbers: set[float] = set()
        self._result_leaves: set[str] = set()

    def hear(self, text: str) -> None:
        """Take in a user turn."""
        self._user.append(text)
        self._user_numbers |= numbers(text)

    def observe(self, raw: str, content: Any) -> None:
        """Take in a tool result: its raw text, and the JSON value it decodes to (or the text itself)."""
        strings = list(texts(content))
        self._results.append(raw)
        self._results.extend(strings)
        self._result_leaves.update(strings)
        for text in strings:
            self._result_numbers |= numbers(text)
        figures = [leaf for _, leaf in leaves(content) if is_number(leaf)]
        self._result_numbers.update(figures)
        self._result_leaves.update(json.dumps(figure) for figure in figures)

    def told(self, value: Any) -> bool:
        """Whether a user turn has held this scalar."""
        if isinstance(value, str):
            return any(find(value, text) >= 0 for text in self._user)
        return is_number(value) and value in self._user_numbers

    def observed(self, value: Any) -> bool:
        """Whether a tool result has held this scalar."""
        if isinstance(value, str):
            return value in self._result_leaves or any(find(value, text) >= 0 for text in self._results)
        return is_number(value) and value in self._result_numbers

    def grounded(self, value: Any) -> bool:
        """Whether a user turn or a tool result has held this scalar."""
        return self.told(value) or self.observed(value)


def free_leaves(schema: Mapping[str, Any], arguments: Any) -> list[tuple[Path, Any]]:
    """The string and number leaves of a call's arguments that the tool's schema does not fix."""
    found: list[tuple[Path, Any]] = []
    _free(arguments, (), [schema], schema, found)
    return found


def fixed_values(schema: Mapping[str, Any]) -> list[Any]:
    """All defaults, consts and enum members that stand anywhere in a tool's schema."""
    found: list[Any] = []
    pending: list[Any] = [schema]
    while pending:
        part = pending.pop()
        if isinstance(part, dict):
            found += [part[key] for key in ("default", "const") if key in part]
            found += part["enum"] if isinstance(part.get("enum"), list) else []
            pending += part.values()
        elif isinstance(part, list):
            pending += part
    return found


def _free(
    value: Any, path: Path, schemas: Sequence[Any], root: Mapping[str, Any], found: list[tuple[Path, Any]]
) -> None:
    parts = list(_parts(schemas, root, 0))
    if any(_fixes(part, value) for part in parts):
        return
    if isinstance(value, dict):
        for key, item in value.items():
            _free(item, (*path, key), _members(parts, key), root, found)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _free(item, (*path, index), _items(parts, index), root, found)
    elif isinstance(value, str) or is_number(value):
        found.append((path, value))


def _parts(schemas: Sequence[Any], root: Mapping[str, Any], depth: int) -> Iterator[Mapping[str, Any]]:
    """The schemas themselves and everything that applies at the same place by $ref and combination."""
    if depth > MAX_DEPTH:
        return
    for schema in schemas:
        if not isinstance(schema, dict):
            continue
        yield schema
        inner = [part for key in ("allOf", "anyOf", "oneOf") for part in schema.get(key) or ()]
        inner += [schema[key] for key in ("then", "else") if key in schema]
        if isinstance(schema.get("$ref"), str):
            inner.append(_resolve(schema["$ref"], root))
        yield from _parts(inner, root, depth + 1)


def _resolve(reference: str, root: Mapping[str, Any]) -> Any:
    place: Any = root if reference.startswith("#") else None
    for part in reference.removeprefix("#").strip("/").split("/") if reference.strip("#/") else ():
        key = part.replace("~1", "/").replace("~0", "~")
        place = place.get(key) if isinstance(place, dict) else None
    return place


def _fixes(schema: Mapping[str, Any], value: Any) -> bool:
    return (
        ("default" in schema and alike(schema["default"], value))
        or ("const" in schema and alike(schema["const"], value))
        or (isinstance(schema.get("enum"), list) and any(alike(member, value) for member in schema["enum"]))
    )


def _members(parts: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    found = []
    for part in parts:
        properties = part.get("properties")
        if isinstance(properties, dict) and key in properties:
            found.append(properties[key])
            continue
        patterns = part.get("patternProperties")
        matching = [sub for pattern, sub in (patterns or {}).items() if _matches(pattern, key)]
        found += matching or [part.get("additionalProperties")]
    return found


def _matches(pattern: str, key: str) -> bool:
    try:
        return re.search(pattern, key) is not None
    except re.error:
        return False


def _items(parts: Sequence[Mapping[str, Any]], index: int) -> list[Any]:
    found = []
    for part in parts:
        prefix = part.get("prefixItems")
        found.append(prefix[index] if isinstance(prefix, list) and index < len(prefix) else part.get("items"))
    return found
