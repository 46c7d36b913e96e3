"""Values that a planner may use as arguments: of records that exist, or made up."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from schemas.catalog import Json, ToolSpec
from services.worlds.addressing import Addressing
from services.worlds.fitting import fits, kind
from services.worlds.meaning import Reading
from services.worlds.naming import is_control, required
from services.worlds.records import Model
from services.worlds.values import plausible
from services.worlds.words import norm


class Suggestions:
    """Argument values for one server's tools; ``parameters`` are their schemas by tool and name."""

    def __init__(
        self,
        model: Model,
        tools: Mapping[str, ToolSpec],
        readings: Mapping[str, Reading],
        parameters: Mapping[str, Mapping[str, Json]],
    ) -> None:
        self.model = model
        self.tools = tools
        self.readings = readings
        self.parameters = parameters
        self.address = Addressing(model)

    def known(self, state: Json, tool: str, parameter: str, chosen: Json) -> list[Any]:
        """Valid values of a parameter; ``chosen`` are arguments already fixed, which they must go with."""
        reading = self.readings[tool]
        schema = self.parameters[tool].get(parameter)
        if schema is None:
            return []
        collection = self._refers(reading, parameter)
        if collection is None:
            return self._field_values(state, tool, parameter, schema)
        others = [
            (owner, key)
            for name, owner in (*reading.parents, (reading.key, reading.collection))
            if name in chosen
            and name != parameter
            and (key := self.model.find(state, owner, _first(chosen[name]))) is not None
        ]
        parents = dict(others)
        nested = [state["parents"].get(owner, {}).get(key, {}).get(collection) for owner, key in others]
        shape = schema.get("items", {}) if kind(schema) == "array" else schema
        values: list[Any] = []
        for key in state["records"].get(collection, {}):
            if self.address.belongs(state, collection, key, parents) and all(
                held in {None, key} for held in nested
            ):
                value = self.model.handle(
                    state, collection, key, parameter, shape if isinstance(shape, dict) else {}
                )
                if value is not None and value not in values:
                    values.append(value)
        return [[value] for value in values] if kind(schema) == "array" else values

    def referred(self, tool: str) -> frozenset[str]:
        """The tool's parameters that name records which this server holds."""
        reading = self.readings[tool]
        return frozenset(name for name in self.parameters[tool] if self._refers(reading, name) is not None)

    def _refers(self, reading: Reading, parameter: str) -> str | None:
        if parameter == reading.key:
            return reading.collection
        for name, collection in (*reading.parents, *reading.references):
            if name == parameter and collection in self.model.collections:
                return collection
        return None

    def _field_values(self, state: Json, tool: str, parameter: str, schema: Json) -> list[Any]:
        """Values of a filter: what existing records hold in the field of that name."""
        reading = self.readings[tool]
        needed = required(self.tools[tool])
        if (
            reading.verb in {"create", "act"}
            or (reading.verb == "update" and (reading.key is not None or parameter not in needed))
            or is_control(parameter)
            or kind(schema) in {"array", "object"}
        ):
            return []
        key = norm(parameter)
        values: list[Any] = []
        for fields in state["records"].get(reading.collection, {}).values():
            for name, value in fields.items():
                if norm(name) == key and value not in values and fits(value, schema):
                    values.append(value)
        return values

    def invent(self, tool: str, parameter: str, rng: random.Random) -> Any:
        """A plausible value that a user would make up; ids inside objects name records of the start."""
        schema = self.parameters[tool].get(parameter, {})
        reading = self.readings[tool]

        own = reading.collection if reading.verb == "create" else ""

        def linked(name: str, shape: Json) -> Any:
            target = self.model.entities.target(name, own)
            if target is None or "enum" in shape:
                return None
            options = list(self.model.starting["records"].get(target, {}))
            if not options:
                return None
            return self.model.handle(self.model.starting, target, rng.choice(options), name, shape)

        root = self.tools[tool].input_schema
        return plausible(parameter, schema, rng, root=root, linked=linked, context=reading.collection)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value
