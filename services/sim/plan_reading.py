"""Reading a step's arguments from earlier observations, along the catalog's edges."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.blueprint import Fact, FromStep, ListOf, Source
from schemas.catalog import Edge, ToolSpec
from services.sim.json_schema import MISSING, at, options, plain, property_schema
from services.sim.plan_steps import Filling, Item, Json, Path, Planned, property_exists, scalars
from services.worlds.world import World


@dataclass
class Reader:
    """Reads arguments of one tool in one state of the world. See ``Filler`` for the fields."""

    world: World
    state: Json
    tool: ToolSpec
    facts: dict[str, Fact]
    rng: random.Random
    fresh: bool = False
    indices: dict[tuple[str, Path], int] = field(default_factory=dict)
    """Which item of which list was chosen: other arguments are read from the same one."""

    def read_observations(
        self,
        filling: Filling,
        root: Json,
        earlier: Sequence[Planned],
        edges: Sequence[Edge],
        required: Sequence[str],
    ) -> None:
        """Arguments that the catalog's edges take from an earlier observation; of one list item where it can.

        Required parameters are read wherever an edge allows; an optional one only where nothing required
        can be.
        """
        name = f"{self.tool.server}/{self.tool.name}"
        optional_read = False
        for step in earlier:
            source = f"{step.tool.server}/{step.tool.name}"
            found = [edge for edge in edges if edge.source == source and edge.target == name]
            found.sort(
                key=lambda edge: (edge.parameter not in required, -edge.confidence, len(edge.path), edge.path)
            )
            for edge in found:
                parameter = edge.parameter
                wanted = parameter in required or (not filling.needs and not optional_read)
                if parameter in filling.sources or not wanted or not property_exists(root, parameter):
                    continue
                for path, items in self.concrete(step, edge.path):
                    read = self.read_value(step, path, property_schema(root, parameter, root), root)
                    if read is None:
                        continue
                    filling.sources[parameter], filling.values[parameter] = read
                    filling.needs.append(step.id)
                    filling.items.extend(item for item in items if item not in filling.items)
                    self.indices.update({(item.step, item.path): item.index for item in items})
                    optional_read = optional_read or parameter not in required
                    break
        for parameter in required:
            if parameter not in filling.sources:
                self.read_known(filling, root, parameter, earlier, edges)

    def read_known(
        self,
        filling: Filling,
        root: Json,
        parameter: str,
        earlier: Sequence[Planned],
        edges: Sequence[Edge],
    ) -> None:
        """A parameter whose valid values an earlier observation shows, although no edge says where.

        Only of steps that an edge connects with this tool, or that show the value under its own name.
        """
        known = {
            plain(value) for value in self.world.known(self.state, self.tool.name, parameter, filling.values)
        }
        if not known:
            return
        schema = property_schema(root, parameter, root)
        target = f"{self.tool.server}/{self.tool.name}"
        for step in earlier:
            source = f"{step.tool.server}/{step.tool.name}"
            joined = any(edge.source == source and edge.target == target for edge in edges)
            places = [
                (path, value)
                for path, value in scalars(step.observation)
                if plain(value) in known and (joined or path[-1] == parameter)
            ]
            kept = [
                path
                for path, _ in places
                if all(
                    self.indices.get((step.id, path[:at_]), part) == part
                    for at_, part in enumerate(path)
                    if isinstance(part, int)
                )
            ]
            first = [path for path in kept if path[-1] == kept[0][-1]]
            self.rng.shuffle(first)
            for path in first:
                read = self.read_value(step, path, schema, root)
                if read is None:
                    continue
                filling.sources[parameter], filling.values[parameter] = read
                filling.needs.append(step.id)
                for place, index in enumerate(path):
                    if isinstance(index, int):
                        length = len(at(step.observation, path[:place]))
                        filling.items.append(Item(step.id, path[:place], index, length))
                        self.indices[step.id, path[:place]] = index
                return

    def concrete(self, step: Planned, path: Sequence[str]) -> Iterable[tuple[Path, list[Item]]]:
        """Concrete paths for one with ``*`` in it; an index already chosen for the same list is kept."""
        for _ in range(3 if "*" in path else 1):
            concrete: list[str | int] = []
            items: list[Item] = []
            for part in path:
                here = at(step.observation, concrete)
                if isinstance(here, list):
                    if not here:
                        return
                    place = (step.id, tuple(concrete))
                    index = self.indices.get(place)
                    if index is None:
                        index = (
                            0
                            if self.rng.random() < 0.75 and not self.fresh
                            else self.rng.randrange(min(len(here), 3))
                        )
                    if index >= len(here):
                        return
                    items.append(Item(step.id, tuple(concrete), index, len(here)))
                    concrete.append(index)
                    if part != "*":
                        concrete.append(part)
                elif part != "*":
                    concrete.append(part)
            yield tuple(concrete), items

    def read_value(self, step: Planned, path: Path, schema: Json, root: Json) -> tuple[Source, Any] | None:
        """The value at a path as an argument; as a list of one where the parameter takes a list."""
        value = at(step.observation, path)
        source = FromStep(step=step.id, path=path)
        if self.fits(value, schema, root):
            return source, value
        listed = any(option.get("type") == "array" for option in options(schema, root))
        if (
            listed
            and not isinstance(value, list)
            and self.fits(value, property_schema(schema, 0, root), root)
        ):
            return ListOf(items=(source,)), [value]
        return None

    def fits(self, value: Any, schema: Json, root: Json) -> bool:
        """Whether an observed value can be this argument, and was not said by the user before."""
        if value is MISSING or value is None or isinstance(value, bool | dict) or value in ("", []):
            return False
        kinds = {option.get("type") for option in options(schema, root)}
        for kind, types in (("string", str), ("integer", int), ("number", int | float), ("array", list)):
            if kind in kinds and isinstance(value, types):
                break
        else:
            if kinds and None not in kinds:
                return False
        if isinstance(value, list):
            return all(isinstance(item, str | int | float) for item in value)
        return all(
            not isinstance(fact.value, list) and plain(fact.value) != plain(value)
            for fact in self.facts.values()
        )
