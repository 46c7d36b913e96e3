"""Arguments against a tool's input schema. Schemas found in the wild are often broken: those allow all."""

from __future__ import annotations

import math
import re
from datetime import date, datetime
from typing import Any, Final

from jsonschema import Draft202012Validator, FormatChecker
from jsonschema.exceptions import best_match

from schemas.catalog import Json
from services.worlds.fitting import copied, resolved

MAX_DEPTH: Final = 6
FORMATS: Final = FormatChecker(formats=())
"""The formats that are checked where a schema can be trusted: ``date`` and ``date-time``."""


@FORMATS.checks("date", raises=ValueError)
def _is_date(value: object) -> bool:
    """Whether a string is a date as YYYY-MM-DD; other types have no format."""
    if not isinstance(value, str):
        return True
    return re.fullmatch(r"\d{4}-\d\d-\d\d", value) is not None and date.fromisoformat(value) is not None


@FORMATS.checks("date-time", raises=ValueError)
def _is_date_time(value: object) -> bool:
    """Whether a string is a date and a time in ISO 8601; other types have no format."""
    if not isinstance(value, str):
        return True
    return re.match(r"\d{4}-\d\d-\d\d[Tt ]", value) is not None and datetime.fromisoformat(value) is not None


PLAIN: Final = frozenset(
    {"type", "properties", "required", "additionalProperties", "items", "enum", "minimum", "maximum"}
    | {"minLength", "maxLength", "description", "title", "default", "examples"}
)
"""Keywords that ``plainly_fits`` knows."""
TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,),
    "object": (dict,), "array": (list,), "null": (type(None),),
}  # fmt: skip


def plainly_fits(value: Any, schema: Any) -> bool:
    """Whether a value fits a schema beyond doubt: of known keywords alone, in their usual form.

    False says nothing: then a validator is to be asked. Nearly every call is as its tool's schema wants it,
    and this costs a tenth of a validator.
    """
    try:
        return isinstance(schema, dict) and _plainly_fits(value, schema)
    except (TypeError, AttributeError):  # a keyword with a value that it should not have
        return False


def _plainly_fits(value: Any, schema: Json) -> bool:
    if not schema.keys() <= PLAIN:
        return False
    kind = schema.get("type")
    if not isinstance(kind, str) or type(value) not in TYPES.get(kind, ()):
        return False
    options = schema.get("enum", [value])
    if not (isinstance(options, list) and value in options) or ("enum" in schema and kind != "string"):
        return False
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        if not (isinstance(properties, dict) and all(name in value for name in schema.get("required", ()))):
            return False
        if schema.get("additionalProperties", True) is not True and not value.keys() <= properties.keys():
            return False
        return all(
            _plainly_fits(part, properties[name]) for name, part in value.items() if name in properties
        )
    if isinstance(value, list):
        return "items" not in schema or all(_plainly_fits(part, schema["items"]) for part in value)
    if isinstance(value, str):
        return bool(schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", math.inf))
    if isinstance(value, bool) or value is None:
        return True
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    return isinstance(value, int | float) and bool(low <= value <= high)


class Checker:
    """One compiled schema. What is invalid in it, or cannot be resolved, is permissive.

    The metaschema is not consulted (that costs more than all else): a broken part raises when a value
    meets it, and then every value passes. ``formats``: dates and times are checked too, which schemas
    found in the wild do not stand (a "date-time" there may be anything).
    """

    def __init__(self, schema: Any, *, formats: bool = False) -> None:
        self._schema = schema if isinstance(schema, dict) else {}
        self._formats = FORMATS if formats else None
        self._validator: Draft202012Validator | None = None

    def problem(self, value: Any) -> str:
        """What is wrong with the value and where, or "" when it fits."""
        try:
            if plainly_fits(value, self._schema):
                return ""
            if self._validator is None:
                self._validator = Draft202012Validator(self._schema, format_checker=self._formats)
            error = best_match(self._validator.iter_errors(value))
        except Exception:  # noqa: BLE001  unresolvable references, unknown types, patterns Python cannot read
            return ""
        if error is None:
            return ""
        where = "/".join(str(part) for part in error.absolute_path)
        return f"{where or 'arguments'}: {error.message[:300]}"


def with_defaults(schema: Any, arguments: Json, root: Json | None = None, depth: int = 0) -> Json:
    """A copy of the arguments with the schema's defaults in the places of absent properties."""
    root = root if root is not None else schema
    filled = copied(arguments) if depth == 0 else arguments
    properties = resolved(schema, root).get("properties")
    if not isinstance(properties, dict) or depth > MAX_DEPTH:
        return filled
    for name, part in properties.items():
        shape = resolved(part, root)
        if name not in filled and "default" in shape:
            filled[name] = copied(shape["default"])
        elif isinstance(filled.get(name), dict):
            filled[name] = with_defaults(shape, filled[name], root, depth + 1)
    return filled
