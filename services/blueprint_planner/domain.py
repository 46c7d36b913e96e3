"""What the planner decides: when the facts of a command are all there, and that it is planned once.

A command waits, as state, until exactly the cluster that it names (by id and hash) has been folded. The
clusters are kept compressed: a catalog of thousands of them stays within tens of megabytes.
"""

from __future__ import annotations

import hashlib
import zlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from schemas.blueprint import BlueprintPlanned, BlueprintRejected, PlanBlueprint
from schemas.catalog import CatalogFormed, Cluster, ClusterFormed, ToolSpec
from schemas.envelope import Envelope, Message, Skimmed
from services.kit.service import Closed, Perform, Step, Wait

MIN_DISTRACTORS: Final = 2
MAX_DISTRACTORS: Final = 5
DRAWS: Final = 12
"""Other clusters looked into for distractors."""
UNPACKED: Final = 256
"""Clusters that are kept as they were last read, the least recently used dropped first."""
FOLDS: Final[frozenset[type[Message]]] = frozenset({PlanBlueprint, ClusterFormed, CatalogFormed})


@dataclass
class Run:
    """One run's planning: the command, its event's id, and whether it is answered."""

    run: str
    command: PlanBlueprint | None = None
    cause: str = ""
    answered: bool = False


@dataclass
class Clusters:
    """Clusters by (id, hash), each as compressed JSON, and the clusters of each catalog by its hash.

    A catalog that is formed anew adds what has changed; what earlier commands name stays. Unpacking takes
    longer than all other decisions here, and commands draw from the same clusters again and again.
    """

    packed: dict[tuple[str, str], bytes] = field(default_factory=dict)
    latest: dict[str, str] = field(default_factory=dict)
    catalogs: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    unpacked: OrderedDict[tuple[str, str], Cluster] = field(default_factory=OrderedDict)

    def cluster(self, cluster: str, cluster_hash: str) -> Cluster:
        """The cluster of this id and hash.

        Raises:
            KeyError: when there is none.
        """
        name = cluster, cluster_hash
        found = self.unpacked.get(name)
        if found is None:
            found = self.unpacked[name] = Cluster.model_validate_json(zlib.decompress(self.packed[name]))
            if len(self.unpacked) > UNPACKED:
                self.unpacked.popitem(last=False)
        self.unpacked.move_to_end(name)
        return found


@dataclass(frozen=True, slots=True)
class Plan:
    """Effect: plan this command from this cluster, with these tools as distractors.

    ``guests`` are tools from elsewhere that may be planned with as well, ``whole`` the cluster with them.
    ``domains`` are those of the guests and of the distractors, in order; ``cause`` is the id of the
    command's event.
    """

    command: PlanBlueprint
    cluster: Cluster
    distractors: tuple[ToolSpec, ...]
    domains: tuple[str, ...]
    cause: str
    guests: tuple[ToolSpec, ...] = ()
    whole: Cluster | None = None

    @property
    def planned_with(self) -> Cluster:
        """All tools that a step may call, and the edges between them."""
        return self.whole or self.cluster

    @property
    def others(self) -> tuple[ToolSpec, ...]:
        """The tools beside the cluster's own: guests, then distractors."""
        return (*self.guests, *self.distractors)


def initial(run: str) -> Run:
    """A run of which nothing is known yet."""
    return Run(run)


def evolve(state: Run, envelope: Envelope) -> Run:
    """The run after a command or an event of its own; the first command counts."""
    match envelope.data:
        case PlanBlueprint() as command if state.command is None:
            state.command, state.cause = command, envelope.id
        case BlueprintPlanned() | BlueprintRejected() | Skimmed():  # skimmed: that it was there says all
            state.answered = True
    return state


def refer(reference: Clusters, envelope: Envelope) -> Clusters:
    """The clusters after a catalog event."""
    match envelope.data:
        case ClusterFormed(cluster=cluster):
            packed = zlib.compress(cluster.model_dump_json(exclude_defaults=True).encode(), 6)
            reference.packed[cluster.id, cluster.hash] = packed
            reference.latest[cluster.id] = cluster.hash
        case CatalogFormed(hash=catalog_hash, clusters=clusters):
            reference.catalogs[catalog_hash] = tuple(
                (name, reference.latest[name]) for name in clusters if name in reference.latest
            )
    return reference


def next_step(state: Run, reference: Clusters) -> Step:
    """Wait for what is missing, then plan, then close."""
    if state.answered:
        return Closed()
    command = state.command
    if command is None:
        return Wait("no command yet")
    if command.catalog_hash not in reference.catalogs:
        return Wait(f"catalog {command.catalog_hash} is not formed yet")
    if (command.cluster, command.cluster_hash) not in reference.packed:
        return Wait(f"cluster {command.cluster} with hash {command.cluster_hash} is not there yet")
    if command.partner and (command.partner, command.partner_hash) not in reference.packed:
        return Wait(f"cluster {command.partner} with hash {command.partner_hash} is not there yet")
    cluster = reference.cluster(command.cluster, command.cluster_hash)
    if command.scatter:
        cluster, whole, guests = scattered(command, cluster, reference)
    elif command.partner:
        whole, guests = crossed(cluster, reference.cluster(command.partner, command.partner_hash))
    else:
        whole, guests = cluster, ()
    drawn = draw_distractors(command, whole, reference)
    tools = tuple(tool for tool, _ in drawn)
    domains = tuple(domain for _, domain in (*guests, *drawn))
    own = tuple(tool for tool, _ in guests)
    return Perform(Plan(command, cluster, tools, domains, state.cause, own, whole if guests else None))


def crossed(cluster: Cluster, partner: Cluster) -> tuple[Cluster, tuple[tuple[ToolSpec, str], ...]]:
    """Two clusters as one, and what the second adds: its tools, each with its domain.

    Of two tools of one name the first cluster's is kept.
    """
    names = {tool.name for tool in cluster.tools}
    guests = [tool for tool in partner.tools if tool.name not in names]
    servers = {f"{tool.server}/{tool.name}" for tool in (*cluster.tools, *guests)}
    whole = cluster.model_copy(
        update={
            "tools": (*cluster.tools, *guests),
            "domains": tuple(dict.fromkeys((*cluster.domains, *partner.domains))),
            "edges": tuple(
                edge
                for edge in (*cluster.edges, *(partner.edges if guests else ()))
                if edge.source in servers and edge.target in servers
            ),
        }
    )
    domain = partner.domains[0] if partner.domains else "general"
    return whole, tuple((tool, domain) for tool in guests)


def scattered(
    command: PlanBlueprint, cluster: Cluster, reference: Clusters
) -> tuple[Cluster, Cluster, tuple[tuple[ToolSpec, str], ...]]:
    """No cluster: its bare name, the same with tools drawn from all others, and these, each with its domain.

    Nothing is known of what flows from one to another.
    """
    bare = cluster.model_copy(update={"tools": (), "edges": (), "domains": ()})
    guests = _drawn(command, bare, reference, "scattered", command.scatter, 2 * command.scatter)
    whole = bare.model_copy(
        update={
            "tools": tuple(tool for tool, _ in guests),
            "domains": tuple(dict.fromkeys(domain for _, domain in guests)),
        }
    )
    return bare, whole, guests


def draw_distractors(
    command: PlanBlueprint, cluster: Cluster, reference: Clusters
) -> tuple[tuple[ToolSpec, str], ...]:
    """Two to five tools of the catalog's other clusters, each with its domain, drawn by the command's seed.

    None shares a name with another tool, and tools of the cluster's own servers are passed over: they
    would change what those servers hold. The catalog fixes what there is to draw from, so the draw is the
    same for every replica; fewer come of a catalog that has no more.
    """
    wanted = MIN_DISTRACTORS + pick(command.seed, "count", MAX_DISTRACTORS - MIN_DISTRACTORS + 1)
    return _drawn(command, cluster, reference, "", wanted, DRAWS)


def _drawn(
    command: PlanBlueprint, cluster: Cluster, reference: Clusters, name: str, wanted: int, draws: int
) -> tuple[tuple[ToolSpec, str], ...]:
    """Up to ``wanted`` tools, each of another cluster than this, with its domain."""
    own = {tool.name for tool in cluster.tools}
    servers = {tool.server for tool in cluster.tools}
    others = [one for one in reference.catalogs[command.catalog_hash] if one[0] != cluster.id]
    drawn: list[tuple[ToolSpec, str]] = []
    for number in range(draws if others else 0):
        if len(drawn) == wanted:
            break
        other = reference.cluster(*others[pick(command.seed, f"{name}cluster/{number}", len(others))])
        tools = [tool for tool in other.tools if tool.name not in own and tool.server not in servers]
        if tools:
            tool = tools[pick(command.seed, f"{name}tool/{number}", len(tools))]
            own.add(tool.name)
            drawn.append((tool, other.domains[0] if other.domains else "general"))
    return tuple(drawn)


def pick(seed: int, name: str, count: int) -> int:
    """A number below ``count``, from a seed and a name."""
    digest = hashlib.sha256(f"{seed}/distractor/{name}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % count
