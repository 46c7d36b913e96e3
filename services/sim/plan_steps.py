"""Steps of a plan in the making, and what can be read from their observations."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.blueprint import Fact, Source
from schemas.catalog import ToolSpec
from services.worlds.world import Meaning

Json = dict[str, Any]
Path = tuple[str | int, ...]

MAX_OBSERVED: Final = 200
MAX_OBSERVED_DEPTH: Final = 5
MAX_ITEMS: Final = 4


@dataclass(frozen=True, slots=True)
class Item:
    """Which element of which list an argument was read from: ``index`` of ``length`` at ``path``."""

    step: str
    path: Path
    index: int
    length: int


@dataclass(frozen=True, slots=True)
class Planned:
    """A step of the plan being made, already called: its observation is a real one."""

    id: str
    tool: ToolSpec
    meaning: Meaning
    sources: dict[str, Source]
    values: Json
    observation: Any
    wave: int
    needs: tuple[str, ...]
    items: tuple[Item, ...]
    after: tuple[str, ...] = ()
    told: tuple[str, ...] = ()
    """Names of the facts that were first used here."""


@dataclass
class Filling:
    """Arguments of one step while they are being filled."""

    sources: dict[str, Source] = field(default_factory=dict)
    values: Json = field(default_factory=dict)
    facts: dict[str, Fact] = field(default_factory=dict)
    needs: list[str] = field(default_factory=list)
    items: list[Item] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)


class Unfillable(ValueError):  # noqa: N818  (said of an argument; caught within the planner)
    """No value that a person could tell or a tool could give."""


def scalars(observation: Any) -> Iterable[tuple[Path, Any]]:
    """Paths and values of an observation's strings and numbers, level by level; a few items of each list."""
    level: list[tuple[Path, Any]] = [((), observation)]
    count = 0
    for _ in range(MAX_OBSERVED_DEPTH):
        below: list[tuple[Path, Any]] = []
        for path, value in level:
            if isinstance(value, dict):
                below.extend(((*path, key), part) for key, part in value.items())
            elif isinstance(value, list):
                below.extend(((*path, index), part) for index, part in enumerate(value[:MAX_ITEMS]))
            elif isinstance(value, str | int | float) and not isinstance(value, bool) and path:
                yield path, value
                count += 1
                if count >= MAX_OBSERVED:
                    return
        level = below


def required_of(schema: Json) -> list[str]:
    """Names of the required properties."""
    required = schema.get("required")
    return [name for name in required if isinstance(name, str)] if isinstance(required, list) else []


def property_exists(schema: Json, name: str) -> bool:
    """Whether the object schema has a property of this name."""
    properties = schema.get("properties")
    return isinstance(properties, dict) and name in properties
