"""The edges of a whole catalog, without a log: the door for ``tds edges`` and for measurement.

Clusters are formed from the same rules (``edges.infer``); here more sources of one parameter are told, the
likeliest where the rules know none (``likely``), the edges between servers too, and tools are called what the
catalog calls them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from schemas.catalog import ImportServer, Json, ServerImported, ServerRejected
from services.cluster_registry.across import Server, across
from services.cluster_registry.edges import infer
from services.cluster_registry.likely import likely
from services.cluster_registry.normalize import normalize
from services.cluster_registry.resources import resources
from services.cluster_registry.routed import held_by_another

MAX_SOURCES: Final = 8
"""Edges within a server into one parameter."""


@dataclass(frozen=True, slots=True)
class CatalogEdge:
    """One edge; servers by id, tools by the name that the catalog gives them."""

    server_a: str
    tool_a: str
    server_b: str
    tool_b: str
    parameter: str
    confidence: float
    evidence: str


def catalog_edges(
    imports: Iterable[ImportServer], *, within_only: bool = False
) -> tuple[list[CatalogEdge], list[ServerRejected]]:
    """The edges of these servers, and the servers that are not usable.

    In the order of the second server's id, its tools, their parameters, falling confidence; the order of
    ``imports`` makes no difference.
    """
    servers: list[Server] = []
    names: dict[str, list[str]] = {}
    specs: dict[str, list[Json]] = {}
    rejected: list[ServerRejected] = []
    for one in sorted(imports, key=lambda command: command.server_id):
        answer = normalize(one)
        if not isinstance(answer, ServerImported):
            rejected.append(answer)
            continue
        tools: list[Json] = [
            tool.model_dump(mode="json", exclude_defaults=True) for tool in answer.server.tools
        ]
        specs[one.server_id] = tools
        names[one.server_id] = [tool.original_name or tool.name for tool in answer.server.tools]
        servers.append(Server(one.server_id, resources(tools)))
    found = [*_within(servers, names, specs), *(() if within_only else _across(servers, names))]
    return [edge for _, edge in sorted(found, key=lambda one: one[0])], rejected


Place = tuple[str, int, str, float, str, int]
"""Where an edge stands in the order of all."""


def _within(
    servers: list[Server], names: dict[str, list[str]], specs: dict[str, list[Json]]
) -> Iterator[tuple[Place, CatalogEdge]]:
    for server in servers:
        called = names[server.id]
        prefixes = {(view.index, need.parameter): need.prefix for view in server.views for need in view.needs}
        links = [
            link
            for link in infer(server.views, MAX_SOURCES)
            if not held_by_another(
                server.views[link.source].route, prefixes.get((link.target, link.parameter), "")
            )
        ]
        for link in (*links, *likely(specs[server.id], server.views, links)):
            yield (
                (server.id, link.target, link.parameter, -link.confidence, server.id, link.source),
                CatalogEdge(
                    server.id, called[link.source], server.id, called[link.target],
                    link.parameter, link.confidence, link.evidence,
                ),
            )  # fmt: skip


def _across(servers: list[Server], names: dict[str, list[str]]) -> Iterator[tuple[Place, CatalogEdge]]:
    for link in across(servers):
        (server_a, source), (server_b, target) = link.source, link.target
        yield (
            (server_b, target, link.parameter, -link.confidence, server_a, source),
            CatalogEdge(
                server_a, names[server_a][source], server_b, names[server_b][target],
                link.parameter, link.confidence, link.evidence,
            ),
        )  # fmt: skip
