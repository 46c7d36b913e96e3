"""Where argument values come from. A value is *grounded* when it stands in an earlier user turn or tool
result; a default, a const or an enum member of the tool's own schema needs no ground.

Strings occur as text, numbers as number tokens, neither ever as a part of a longer token.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from typing import Any

SIGNED = r"[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?"
# Not after a letter, "ORD-" or "1:"; not before a letter, ".5", "-05", ":30" or "-A".
NUMBER = re.compile(rf"(?<!\w)(?<!\w-)(?<!\d[.:/,]){SIGNED}(?!\w)(?![-.:/,]\d)(?!-\w)")
ANY_DEPTH = 16


def equal(one: Any, other: Any) -> bool:
    """Equality of JSON values: 1 and 1.0 are equal, 1 and true are not."""
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if numeric(one) and numeric(other):
        return bool(one == other)
    return type(one) is type(other) and bool(one == other)


def numeric(value: Any) -> bool:
    """Whether a JSON value is a number."""
    return type(value) in (int, float)


def parse(text: str) -> Any:
    """The JSON value of a text; raises ``ValueError`` where it is none, NaN and Infinity included."""
    return json.loads(text, parse_constant=_refuse)


def _refuse(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def number_tokens(text: str) -> set[float]:
    """The numbers that stand in a text as tokens of their own."""
    found: set[float] = set()
    for token in NUMBER.findall(text):
        bare = token.replace(",", "")
        try:
            found.add(int(bare))
        except ValueError:
            found.add(float(bare))
    return found


def stands_in(value: str, text: str) -> bool:
    """Whether ``value`` stands in ``text`` between token boundaries."""
    if not value:
        return False
    start = text.find(value)
    while start >= 0:
        before, after = text[max(0, start - 2) : start][::-1], text[start + len(value) :][:2]
        if not goes_on(before, value[0], value) and not goes_on(after, value[-1], value):
            return True
        start = text.find(value, start + 1)
    return False


def goes_on(outside: str, edge: str, value: str) -> bool:
    """Whether the token at this edge of ``value`` goes on in ``outside``, read away from the value."""
    if not outside or not is_word(edge):
        return False
    if is_word(outside[0]):
        return True
    if len(outside) < 2 or not any(map(str.isdigit, value)):
        return False
    return (outside[0] == "-" and is_word(outside[1])) or (outside[0] in ".:/," and outside[1].isdigit())


def is_word(character: str) -> bool:
    """Whether a character is a letter, a digit or an underscore."""
    return character.isalnum() or character == "_"


class Origin:
    """All user turns, or all tool results, up to some point of a row."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.strings: set[str] = set()
        self.numbers: set[float] = set()

    def add_text(self, text: str) -> None:
        """A user turn."""
        self.texts.append(text)
        self.numbers |= number_tokens(text)

    def add_result(self, raw: str) -> None:
        """A tool result: its raw text and the leaves and keys of the JSON in it."""
        self.texts.append(raw)
        try:
            value = parse(raw)
        except ValueError:
            self.numbers |= number_tokens(raw)
            return
        for part in scalars(value):
            if isinstance(part, str):
                self.strings.add(part)
                self.texts.append(part)
                self.numbers |= number_tokens(part)
            elif numeric(part):
                self.numbers.add(part)
                self.strings.add(json.dumps(part))

    def holds(self, value: Any) -> bool:
        """Whether a string or a number stands in it."""
        if numeric(value):
            return value in self.numbers
        return value in self.strings or any(stands_in(value, text) for text in self.texts)


def scalars(value: Any) -> Iterator[Any]:
    """The keys and leaves of a JSON value."""
    if isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from scalars(item)
    elif isinstance(value, list):
        for item in value:
            yield from scalars(item)
    else:
        yield value


def code_values(code: str) -> list[Any]:
    """Every string and number that Python code spells out, and those of JSON texts in it."""
    return [value for part in _parts_of(code, ast.Constant) for value in (part, *_in_json(part))]


def table_values(code: str) -> list[Any]:
    """Those that stand in tables: in lists of rows, and in JSON texts."""
    rows = [row for one in _parts_of(code, ast.List) for row in one if isinstance(row, dict | list | tuple)]
    cells = [cell for row in rows for cell in (row.values() if isinstance(row, dict) else row)]
    texts = [value for part in _parts_of(code, ast.Constant) for value in _in_json(part)]
    return [value for value in (*cells, *texts) if isinstance(value, str) or numeric(value)]


def _parts_of(code: str, kind: type[ast.expr]) -> Iterator[Any]:
    """The values of all expressions of this kind that are spelled out whole."""
    try:
        tree = ast.parse(code)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, kind):
            try:
                yield ast.literal_eval(node)
            except ValueError:
                continue


def _in_json(text: Any) -> list[Any]:
    if not isinstance(text, str) or text[:1] not in ("[", "{"):
        return []
    try:
        found = parse(text)
    except ValueError:
        return []
    return [value for value in _leaves(found) if isinstance(value, str) or numeric(value)]


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)
    else:
        yield value


def leaf_count(value: Any) -> int:
    """Leaves of a JSON value."""
    if isinstance(value, dict | list):
        return sum(map(leaf_count, value.values() if isinstance(value, dict) else value))
    return 1


def needs_ground(arguments: Any, schema: Any) -> Iterator[tuple[str, Any]]:
    """Strings and numbers in ``arguments`` that ``schema`` does not fix, each with its place."""
    yield from _walk(arguments, [schema], schema, "")


def _walk(value: Any, schemas: list[Any], root: Any, place: str) -> Iterator[tuple[str, Any]]:
    here = [part for schema in schemas for part in applicable(schema, root)]
    if any(fixed(value, part) for part in here):
        return
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _walk(
                item, [sub for part in here for sub in of_property(part, key)], root, f"{place}/{key}"
            )
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _walk(item, [of_item(part, index) for part in here], root, f"{place}/{index}")
    elif isinstance(value, str) or numeric(value):
        yield place, value


def applicable(schema: Any, root: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """A schema and those that it applies at the same place: local references and combinations."""
    if not isinstance(schema, dict) or depth > ANY_DEPTH:
        return
    yield schema
    for keyword in ("allOf", "anyOf", "oneOf"):
        for part in schema.get(keyword) or ():
            yield from applicable(part, root, depth + 1)
    for keyword in ("then", "else"):
        yield from applicable(schema.get(keyword), root, depth + 1)
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#"):
        target = root
        for name in reference[1:].split("/")[1:]:
            name = name.replace("~1", "/").replace("~0", "~")
            target = target.get(name) if isinstance(target, dict) else None
        yield from applicable(target, root, depth + 1)


def fixed(value: Any, schema: dict[str, Any]) -> bool:
    """Whether ``value`` is the schema's default, its const or one of its enum members."""
    members = schema.get("enum")
    allowed = [schema[keyword] for keyword in ("default", "const") if keyword in schema]
    allowed += members if isinstance(members, list) else []
    return any(equal(value, member) for member in allowed)


def of_property(schema: dict[str, Any], key: str) -> list[Any]:
    """The schemas that an object schema applies to its property ``key``."""
    named = schema.get("properties")
    if isinstance(named, dict) and key in named:
        return [named[key]]
    patterns = schema.get("patternProperties")
    matching = [part for pattern, part in (patterns or {}).items() if re.search(pattern, key)]
    return matching or [schema.get("additionalProperties")]


def of_item(schema: dict[str, Any], index: int) -> Any:
    """The schema that an array schema applies to its element ``index``."""
    prefix = schema.get("prefixItems")
    if isinstance(prefix, list) and index < len(prefix):
        return prefix[index]
    return schema.get("items")
