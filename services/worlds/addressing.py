"""Which records a call names: the one it works on, those it belongs to, and others it refers to."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from schemas.catalog import Json
from services.worlds.machine import ToolError
from services.worlds.meaning import Reading
from services.worlds.records import Model
from services.worlds.words import norm


class Addressing:
    """Finds records by the arguments that name them. Unknown ones raise ``ToolError`` (not_found)."""

    def __init__(self, model: Model) -> None:
        self.model = model

    def missing(self, collection: str, tool_label: str, value: Any) -> ToolError:
        """The error of a value that names no record."""
        noun = self.model.collections[collection].noun
        return ToolError(
            "not_found", f"No {noun} with {tool_label} {json.dumps(value, ensure_ascii=False)} was found."
        )

    def parents(self, state: Json, reading: Reading, arguments: Json) -> dict[str, str]:
        """Ids of the records that the addressed one belongs to, by collection."""
        found: dict[str, str] = {}
        for parameter, collection in reading.parents:
            if arguments.get(parameter) is None:
                continue
            value = arguments[parameter]
            key = self.model.find(state, collection, value[0] if isinstance(value, list) and value else value)
            if key is None or not self.belongs(state, collection, key, found):
                raise self.missing(collection, reading.labels.get(parameter, parameter), arguments[parameter])
            found[collection] = key
        return found

    def references(self, state: Json, reading: Reading, arguments: Json) -> None:
        """Check that all other records which the arguments name exist."""
        for parameter, collection in reading.references:
            given = arguments.get(parameter)
            if given is None or collection not in self.model.collections:
                continue
            for value in given if isinstance(given, list) else [given]:
                if self.model.find(state, collection, value) is None:
                    raise self.missing(collection, reading.labels.get(parameter, parameter), value)

    def belongs(self, state: Json, collection: str, key: str, parents: Mapping[str, str]) -> bool:
        """Whether a record belongs to all of ``parents`` that its kind belongs to."""
        held = state["parents"].get(collection, {}).get(key, {})
        return all(held.get(parent, wanted) == wanted for parent, wanted in parents.items())

    def addressed(
        self, state: Json, reading: Reading, arguments: Json, parents: Mapping[str, str]
    ) -> list[str]:
        """Ids of the records that the key parameter names; all must exist and belong to the parents."""
        assert reading.key is not None
        given = arguments.get(reading.key)
        found: list[str] = []
        for value in given if isinstance(given, list) else [given]:
            key = self.model.find(state, reading.collection, value)
            if key is None or not self.belongs(state, reading.collection, key, parents):
                raise self.missing(reading.collection, reading.labels.get(reading.key, reading.key), value)
            found.append(key)
        return found

    def only(
        self, state: Json, reading: Reading, parents: Mapping[str, str], given: Mapping[str, Any]
    ) -> str | None:
        """The one record that is meant without being named by a key; None where there is none.

        ``given`` are arguments that are fields of records: a record must agree in those that its kind
        stores. An update's arguments need not agree, they are what is to change.
        """
        records = state["records"].get(reading.collection, {})
        keys = [str(key) for key in records if self.belongs(state, reading.collection, key, parents)]
        told = {norm(name): value for name, value in given.items() if isinstance(value, (str, int))}
        agreeing = keys
        for name, value in told.items():
            held = {key: _held(records[key], name) for key in agreeing}
            if all(one is None for one in held.values()):
                continue
            matching = [key for key in agreeing if held[key] == value]
            agreeing = matching or ([] if reading.verb != "update" else agreeing)
        return agreeing[0] if agreeing else None


def _held(fields: Json, name: str) -> Any:
    """The value of a stored field by its normalized name."""
    return next((value for spelt, value in fields.items() if norm(spelt) == name), None)
