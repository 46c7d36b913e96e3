"""The world of one run: one consistent state behind all tools that are offered in it.

Pure: a world is made from tool definitions and a seed, its state is a JSON object per server, and a
call maps (state, tool, arguments) to (state, observation). Servers with a hand-written machine behave
by it; every other tool is simulated from its definition alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Observation:
    """What a tool returned. ``error`` is empty on success, else a code; ``content`` is a JSON value.

    On an error, ``content`` is ``{"error": {"code": …, "message": …}}``.
    """

    content: Any
    error: str = ""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a tool does, read off its definition (or said by its machine).

    ``entity`` is a singular noun phrase ("purchase order"); ``phrases`` are imperative clauses in a
    user's words, best first; ``labels`` says how a user calls each parameter.
    """

    verb: Literal["list", "search", "get", "create", "update", "delete", "act"]
    entity: str
    writes: bool
    phrases: tuple[str, ...]
    labels: dict[str, str]
