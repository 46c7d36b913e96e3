"""Edges across servers: what one server's tool yields and another server's tool takes.

Only values that mean the same everywhere join servers (see ``typed``). Each parameter keeps its few best
partners, so that edges grow with the number of tools and not with its square. Rules and numbers are ours.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from services.cluster_registry.labels import tokens
from services.cluster_registry.resources import Resource
from services.cluster_registry.value_kinds import KINDS
from services.cluster_registry.yields import Path

LOCAL: Final = frozenset(kind.name for kind in KINDS if kind.local)
MAX_GIVERS: Final = 64
"""Tools of the whole catalog that are looked at per kind of value."""
MAX_PARTNERS: Final = 12
"""Edges from other servers into one parameter, one per server."""
OPTIONAL: Final = 0.06
KIN: Final = 0.02
"""For each word (at most four) that the texts of both tools have."""
TEXT_CHARS: Final = 300


@dataclass(frozen=True, slots=True)
class Server:
    """One server as this module sees it: its id, and the resource views of its tools."""

    id: str
    views: Sequence[Resource]


@dataclass(frozen=True, slots=True)
class CrossLink:
    """One edge between tools of two servers: (server's id, tool's index) each."""

    source: tuple[str, int]
    target: tuple[str, int]
    parameter: str
    path: Path
    evidence: str
    confidence: float


@dataclass(frozen=True, slots=True)
class _End:
    server: str
    index: int
    name: str
    words: frozenset[str]
    strength: float = 0.0
    path: Path = ()
    why: str = ""
    parameter: str = ""
    required: bool = True


def across(servers: Iterable[Server]) -> Iterator[CrossLink]:
    """The edges between servers, by target's server and tool. ``servers`` come in the order of their ids."""
    givers: dict[str, list[_End]] = defaultdict(list)
    takers: list[tuple[str, _End]] = []
    for server in servers:
        for view in server.views:
            if not view.takes and not view.gives:
                continue
            said = frozenset(tokens(f"{view.name} {view.description[:TEXT_CHARS]}"))
            for taken in (one for one in view.takes if one.kind not in LOCAL):
                end = _End(
                    server.id, view.index, view.name, said, parameter=taken.parameter, required=taken.required
                )
                takers.append((taken.kind, end))
            for one in (one for one in view.gives if one.kind not in LOCAL):
                end = _End(server.id, view.index, view.name, said, one.strength, one.path, one.why)
                givers[one.kind].append(end)
    for kind, ends in givers.items():
        givers[kind] = _spread(ends)
    for kind, taker in takers:
        yield from _partners(kind, taker, givers.get(kind, ()))


def _spread(ends: Sequence[_End]) -> list[_End]:
    """The ``MAX_GIVERS`` surest, of many servers rather than of few."""
    seen: dict[str, int] = defaultdict(int)
    ranked: list[tuple[int, float, str, int, _End]] = []
    for end in sorted(ends, key=lambda end: (-end.strength, end.server, end.index)):
        ranked.append((seen[end.server], -end.strength, end.server, end.index, end))
        seen[end.server] += 1
    return [end for *_, end in sorted(ranked, key=lambda one: one[:4])[:MAX_GIVERS]]


def _partners(kind: str, taker: _End, ends: Sequence[_End]) -> Iterator[CrossLink]:
    ranked: list[tuple[float, str, int, _End]] = []
    for end in ends:
        if end.server != taker.server:
            shared = min(4, len(end.words & taker.words))
            ranked.append((-(end.strength + KIN * shared), end.server, end.index, end))
    ranked.sort(key=lambda one: one[:3])
    kept: set[str] = set()
    for negative, _, _, end in ranked:
        if end.server in kept:
            continue
        if len(kept) == MAX_PARTNERS:
            return
        kept.add(end.server)
        confidence = -negative - (0.0 if taker.required else OPTIONAL)
        yield CrossLink(
            source=(end.server, end.index),
            target=(taker.server, taker.index),
            parameter=taker.parameter,
            path=end.path,
            evidence=f"{end.name} yields a {kind} ({end.why}), {taker.name} takes one as {taker.parameter}",
            confidence=round(min(confidence, 0.9), 3),
        )
