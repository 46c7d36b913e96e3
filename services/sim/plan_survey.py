"""What a cluster offers a planner: its usable tools, what they mean, and how far they lead."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.catalog import Cluster, Edge, ToolSpec
from services.sim.json_schema import plain, property_schema, resolve
from services.sim.plan_steps import required_of
from services.sim.vocabulary import snake
from services.worlds.clarity import CLEAR
from services.worlds.credentials import is_credential
from services.worlds.world import Meaning, Observation, World

Json = dict[str, Any]

MAX_REQUIRED: Final = 5
MAX_LEVELS: Final = 5
ENOUGH: Final = 4
"""Clear tools of a cluster from which on the others are passed over."""
UNCLEAR: Final = 0.42
"""Tools less clear than this are not planned with."""
SIGNING_IN: Final = re.compile(
    r"(^|_)(oauth\d?|access_tokens?|refresh_tokens?|token|login|logout|sign_?in|signin|sign_?out|credentials?|secrets?"
    r"|api_?keys?|passwords?|authenticate|authorize|authorization|ping|health|healthcheck)($|_)"
)
"""Tools that are about access or plumbing: nobody asks an assistant for these."""


@dataclass(frozen=True)
class Trail:
    """What the search knows of the cluster: its usable tools, what they mean, how far they lead."""

    tools: tuple[ToolSpec, ...]
    edges: tuple[Edge, ...]
    meanings: dict[str, Meaning]
    reach: dict[str, int]
    """Length in tools of the longest path of edges that starts at a tool."""
    clarity: dict[str, float]
    """How well a person could ask for each tool, by its name."""
    wanted: frozenset[str] = frozenset()
    """Names of the tools that the plan should rather call than others."""
    avoid: frozenset[str] = frozenset()
    """Signatures that the plan should rather not have."""
    tried: dict[tuple[int, str, str], tuple[Json, Json, Observation]] = field(default_factory=dict)
    """Calls already made: the same one is tried again and again while a plan is searched for."""

    def call(self, world: World, state: Json, tool: str, values: Json) -> tuple[Json, Observation]:
        """``world.call``, remembered by state, tool and values. States never change, so identity will do."""
        key = (id(state), tool, plain(values))
        found = self.tried.get(key)
        if found is None:
            after, observation = world.call(state, tool, values)
            # The state is kept beside the answer, so that its identity cannot pass to another one.
            found = self.tried[key] = (state, after, observation)
        return found[1], found[2]


def survey(cluster: Cluster, world: World, wanted: Sequence[int] = (), avoid: Sequence[str] = ()) -> Trail:
    """The cluster's usable tools: no secrets among the required parameters, few of those, and plain words.

    Where all tools have many parameters, the ones with the fewest are taken; where few can be asked for
    in plain words, those that nearly can, and none that cannot. ``wanted`` are places of tools to prefer,
    ``avoid`` signatures to keep away from.
    """
    burdens = {
        tool.name: float("inf") if SIGNING_IN.search(snake(tool.name)) else burden(tool)
        for tool in cluster.tools
    }
    clear = {tool.name: world.clarity(tool.name) for tool in cluster.tools}
    possible = [
        tool for tool in cluster.tools if burdens[tool.name] < float("inf") and clear[tool.name] >= UNCLEAR
    ]
    clearest = [tool for tool in possible if clear[tool.name] >= CLEAR]
    usable = clearest if len(clearest) >= ENOUGH else possible
    light = [tool for tool in usable if burdens[tool.name] <= MAX_REQUIRED]
    chosen = light if len(light) >= min(2, len(usable)) else usable
    names = {f"{tool.server}/{tool.name}" for tool in chosen}
    edges = tuple(
        edge
        for edge in cluster.edges
        if edge.source in names and edge.target in names and edge.source != edge.target
    )
    after: dict[str, list[str]] = {}
    for edge in edges:
        after.setdefault(edge.source, []).append(edge.target)
    reach = dict.fromkeys(sorted(names), 1)
    for _ in range(MAX_LEVELS - 1):
        reach = {name: max([1, *(1 + reach[other] for other in after.get(name, ()))]) for name in reach}
    meanings = {tool.name: world.meaning(tool.name) for tool in chosen}
    preferred = frozenset(tool.name for place, tool in enumerate(cluster.tools) if place in wanted)
    return Trail(tuple(chosen), edges, meanings, reach, clear, preferred, frozenset(avoid))


def burden(tool: ToolSpec) -> float:
    """How many required values a call needs, objects counted by their fields; infinite for secrets."""
    root = resolve(tool.input_schema)

    def count(schema: Json, depth: int) -> float:
        total = 0.0
        for name in required_of(schema):
            if is_credential(name):
                return float("inf")
            part = property_schema(schema, name, root)
            kind = part.get("type")
            if kind == "object":
                total += 1 + (count(part, depth + 1) if depth < 3 else float("inf"))
            elif part.get("format") in ("binary", "byte", "base64"):
                return float("inf")
            elif kind == "array" and property_schema(part, 0, root).get("type") == "object":
                total += 2 + (count(property_schema(part, 0, root), depth + 1) if depth < 3 else float("inf"))
            else:
                total += 1.5 if kind == "boolean" and "default" not in part else 1
        return total

    return count(root, 0)
