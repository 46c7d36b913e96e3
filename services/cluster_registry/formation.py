"""The clusters of one server, as they stand in ClusterFormed events."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final

from schemas.catalog import Cluster, Edge, Json, ToolSpec
from services.cluster_registry.coverage import clusters
from services.cluster_registry.edges import infer
from services.cluster_registry.normalize import canonical
from services.cluster_registry.resources import resources
from services.cluster_registry.routed import Link

MAX_CLUSTER_TOOLS: Final = 64


def server_clusters(
    spec: Json, domains: tuple[str, ...], min_tools: int, max_tools: int
) -> tuple[list[Cluster], int]:
    """The clusters of one server, given as the JSON of a ServerSpec, and the number of its edges.

    ``max_tools`` is at most 64 whatever is asked for; ``min_tools`` at most that.
    """
    high = max(1, min(max_tools, MAX_CLUSTER_TOOLS))
    low = max(1, min(min_tools, high))
    tools: list[Json] = spec["tools"]
    views = resources(tools)
    # A reference hands a value on as it is: what would have to be rewritten joins nothing here.
    links = [link for link in infer(views) if not link.as_text]
    outgoing: dict[int, list[Link]] = {}
    for link in links:
        outgoing.setdefault(link.source, []).append(link)
    specs = [ToolSpec.model_validate(tool) for tool in tools]
    texts = [canonical(tool) for tool in tools]
    made = []
    for group in clusters(views, links, low, high):
        members = set(group)
        edges = tuple(
            Edge(
                source=f"{specs[link.source].server}/{specs[link.source].name}",
                target=f"{specs[link.target].server}/{specs[link.target].name}",
                parameter=link.parameter,
                path=link.path,
                evidence=link.evidence,
                confidence=link.confidence,
            )
            for index in group
            for link in outgoing.get(index, ())
            if link.target in members
        )
        names = digest([specs[index].name for index in group])[:8]
        content = [
            domains,
            [texts[index] for index in group],
            [edge.model_dump(mode="json") for edge in edges],
        ]
        made.append(
            Cluster(
                id=f"{spec['id']}#{names}",
                hash=digest(content),
                domains=domains,
                tools=tuple(specs[index] for index in group),
                edges=edges,
            )
        )
    return made, len(links)


def digest(parts: Iterable[Any]) -> str:
    """16 hexadecimal digits of the SHA-256 over the canonical JSON of ``parts``."""
    return hashlib.sha256(canonical(list(parts)).encode()).hexdigest()[:16]
