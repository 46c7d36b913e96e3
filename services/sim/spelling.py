"""How a value stands in a sentence, and how it is read back: one canonical form, both ways.

Strings stand as they are, but that words joined by underscores stand apart ("in_transit": in transit);
numbers as JSON prints them, booleans as yes and no, lists of those joined by commas. Whoever writes a
value into a user's text writes it like this, so that it can be found again.
"""

from __future__ import annotations

import json
import re
from typing import Any

from services.sim.json_schema import options, plain, property_schema

Json = dict[str, Any]

SEPARATOR = ", "
JOINED_WORDS = re.compile(r"[A-Za-z]+(_[A-Za-z]+)+")
YES = frozenset({"yes", "true"})
NO = frozenset({"no", "false"})


def spell(value: Any) -> str:
    """The text of ``value`` in a sentence.

    Raises:
        ValueError: for null, objects, nested or empty lists, and text that could not be read back
            (empty, padded with blanks, or with a comma inside a list).
    """
    if isinstance(value, list):
        if not value:
            raise ValueError("an empty list has no text")
        parts = [spell_scalar(item) for item in value]
        if any("," in part for part in parts):
            raise ValueError("a list item with a comma in it could not be read back")
        return SEPARATOR.join(parts)
    return spell_scalar(value)


def spell_scalar(value: Any) -> str:
    """The text of a string, number or boolean; raises ``ValueError`` for anything else."""
    if isinstance(value, str) and JOINED_WORDS.fullmatch(value):
        return value.replace("_", " ").lower()
    return literal(value)


def literal(value: Any) -> str:
    """The text of a string, number or boolean exactly as the JSON holds it, for reporting it.

    Raises:
        ValueError: for null, objects, lists and text that is empty or padded with blanks.
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return json.dumps(value)
    if isinstance(value, str) and value.strip() == value and value:
        return value
    raise ValueError(f"no plain text for {value!r}")


def unspell(text: str, schema: Any, root: Json | None = None) -> Any:
    """The value that ``text`` stands for where ``schema`` (a JSON Schema, ``root`` around it) is expected.

    Raises:
        ValueError: when the text fits none of the schema's types.
    """
    for option in options(schema, root):
        try:
            return unspell_one(text, option, root)
        except ValueError:
            continue
    raise ValueError(f"{text!r} does not fit the parameter's type")


def unspell_one(text: str, schema: Json, root: Json | None) -> Any:
    """``unspell`` for one alternative of a schema."""
    kind = schema.get("type")
    members = schema.get("enum")
    if isinstance(members, list) and kind not in ("array", "boolean"):
        for member in members:
            if not isinstance(member, dict | list) and member is not None and spell_scalar_or(member) == text:
                return member
        raise ValueError(f"{text!r} is no member")
    if kind == "array":
        items = property_schema(schema, 0, root)
        return [unspell(part, items, root) for part in text.split(SEPARATOR)]
    if kind == "boolean":
        if text.lower() in YES:
            return True
        if text.lower() in NO:
            return False
        raise ValueError(f"{text!r} is neither yes nor no")
    if kind in ("integer", "number"):
        return unspell_number(text, kind)
    if kind in ("object", "null"):
        raise ValueError(f"a text is no {kind}")
    return text


def unspell_number(text: str, kind: str) -> int | float:
    """A JSON number from its text; raises ``ValueError`` for anything else."""
    value = json.loads(text)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{text!r} is no number")  # noqa: TRY004  (the text is at fault)
    if kind == "integer" and not isinstance(value, int):
        raise ValueError(f"{text!r} is no integer")
    return value


def spell_scalar_or(value: Any) -> str:
    """``spell_scalar``, or an empty text for what has none."""
    try:
        return spell_scalar(value)
    except ValueError:
        return ""


def readable(value: Any, schema: Any, root: Json | None = None) -> bool:
    """Whether ``value`` can be written into a sentence and read back as exactly itself."""
    try:
        text = spell(value)
        return "\n" not in text and plain(unspell(text, schema, root)) == plain(value)
    except ValueError:
        return False
