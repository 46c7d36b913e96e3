"""Arguments against a tool's input schema. Schemas found in the wild are often broken: those allow all."""

from __future__ import annotations

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


class Checker:
    """One compiled schema. What is invalid in it, or cannot be resolved, is permissive.

    The metaschema is not consulted (that costs more than all else): a broken part raises when a value
    meets it, and then every value passes. ``formats``: dates and times are checked too, which schemas
    found in the wild do not stand (a "date-time" there may be anything).
    """

    def __init__(self, schema: Any, *, formats: bool = False) -> None:
        checker = FORMATS if formats else None
        self.validator = Draft202012Validator(
            schema if isinstance(schema, dict) else {}, format_checker=checker
        )

    def problem(self, value: Any) -> str:
        """What is wrong with the value and where, or "" when it fits."""
        try:
            error = best_match(self.validator.iter_errors(value))
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
