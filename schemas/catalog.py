"""Tools, servers, dependency edges and business clusters. Owner: cluster-registry."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from schemas.envelope import Message, Value

Json = dict[str, Any]


class ToolSpec(Value):
    """One tool as a model API can take it. ``name`` matches ``[a-zA-Z0-9_-]{1,64}``."""

    server: str
    name: str
    description: str = ""
    input_schema: Json = Field(default_factory=dict)
    output_schema: Json | None = None
    method: str = ""
    path: str = ""
    original_name: str = ""
    """The name as it stands in the catalog, where it had to be changed."""


class ServerSpec(Value):
    """One server (an API or MCP server) with its usable tools and the domains it is labelled with."""

    id: str
    name: str = ""
    description: str = ""
    domains: tuple[str, ...] = ()
    tools: tuple[ToolSpec, ...] = ()


class DroppedTool(Value):
    """A tool of an imported server that is not usable, and why."""

    name: str
    reason: str


class Edge(Value):
    """``target``'s ``parameter`` takes what ``source`` yields at ``path`` of its observation.

    Tools are named ``server/tool``. ``path`` is a list of object keys; ``"*"`` stands for any item of
    an array. ``confidence`` is in [0, 1]; ``evidence`` says in words what the edge was read from.
    """

    source: str
    target: str
    parameter: str
    path: tuple[str, ...] = ()
    evidence: str = ""
    confidence: float = 1.0


class Cluster(Value):
    """A business cluster: tools that work on one another's results. ``hash`` covers all of it."""

    id: str
    hash: str
    domains: tuple[str, ...]
    tools: tuple[ToolSpec, ...]
    edges: tuple[Edge, ...] = ()


class ImportServer(Message):
    """Command: take this server in, as it was found. ``origin`` is ``file:line`` or a URL."""

    FAMILY: ClassVar[str] = "catalog"
    server_id: str
    server: Json
    origin: str = ""


class RetireServer(Message):
    """Command: leave this server out of clusters formed from now on."""

    FAMILY: ClassVar[str] = "catalog"
    server_id: str
    reason: str = ""


class FormClusters(Message):
    """Command: form business clusters of the servers imported so far. Sizes are counted in tools."""

    FAMILY: ClassVar[str] = "catalog"
    min_tools: int = 3
    max_tools: int = 12
    imports: tuple[str, ...] = ()
    """Ids of the ImportServer commands whose servers are meant, in order; empty: all that stand.

    Named so, a catalog is the same whatever else was imported or retired before, after, or in between.
    """


class ServerImported(Message):
    """A server was taken in; ``dropped`` are its tools that are not usable."""

    FAMILY: ClassVar[str] = "catalog"
    server: ServerSpec
    dropped: tuple[DroppedTool, ...] = ()
    notes: tuple[str, ...] = ()
    origin: str = ""


class ServerRejected(Message):
    """A server was not taken in."""

    FAMILY: ClassVar[str] = "catalog"
    server_id: str
    reason: str
    origin: str = ""


class ServerRetired(Message):
    """A server is left out of clusters formed from now on."""

    FAMILY: ClassVar[str] = "catalog"
    server_id: str
    reason: str = ""


class ClusterFormed(Message):
    """One business cluster, whole: who plans from it needs nothing else."""

    FAMILY: ClassVar[str] = "catalog"
    cluster: Cluster


class CatalogFormed(Message):
    """All clusters of one FormClusters are out. ``hash`` covers the hashes of the clusters, in order."""

    FAMILY: ClassVar[str] = "catalog"
    hash: str
    clusters: tuple[str, ...]
    servers: int
    tools: int
    edges: int
    tools_per_domain: dict[str, int] = Field(default_factory=dict)
    rejected: dict[str, int] = Field(default_factory=dict)
    """Counts of rejected servers and dropped tools, per reason."""
