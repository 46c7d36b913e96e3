"""The labelled pairs, the judged sample, and where both stand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAIRS = HERE / "pairs.jsonl"
JUDGED = HERE / "judged.jsonl"
DATA = HERE.parents[2] / "shared" / "data"
CATALOGS = {"api_tools": "api_tools.jsonl.gz", "mcp_servers": "mcp_servers.jsonl.gz"}

Key = tuple[str, str, str, str, str]
"""server_a, tool_a, server_b, tool_b, parameter."""


@dataclass(frozen=True)
class Pair:
    """One labelled pair. ``complete``: every true edge of its server is labelled."""

    catalog: str
    server_a: str
    tool_a: str
    server_b: str
    tool_b: str
    parameter: str
    label: bool
    kind: str
    half: str
    complete: bool

    @property
    def key(self) -> Key:
        """What a prediction must have in common with it."""
        return self.server_a, self.tool_a, self.server_b, self.tool_b, self.parameter


def pairs(path: Path) -> list[Pair]:
    """The labelled pairs of a file, in its order."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip():
            raw = json.loads(line)
            found.append(
                Pair(
                    raw["catalog"],
                    raw["server_a"],
                    raw["tool_a"],
                    raw["server_b"],
                    raw["tool_b"],
                    raw["parameter"],
                    bool(raw["label"]),
                    raw.get("kind", ""),
                    raw["half"],
                    bool(raw.get("complete")),
                )
            )
    return found


def judged(path: Path) -> dict[Key, bool]:
    """What was said of each edge of the sample: whether it is right."""
    found: dict[Key, bool] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.strip():
            raw = json.loads(line)
            key = raw["server_a"], raw["tool_a"], raw["server_b"], raw["tool_b"], raw["parameter"]
            found[key] = bool(raw["right"])
    return found
