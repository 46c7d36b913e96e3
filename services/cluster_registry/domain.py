"""The registry's decisions: what becomes of each catalog command, and which clusters a catalog makes.

Commands are answered one after another, in the order of their topic. An answer names its command as
its cause, so it makes no difference whether a fold meets the answer or the command first. Servers are
kept as compressed JSON; clusters are planned one server at a time and handed out a few at a time.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.catalog import (
    CatalogFormed,
    Cluster,
    ClusterFormed,
    FormClusters,
    ImportServer,
    Json,
    RetireServer,
    ServerImported,
    ServerRejected,
    ServerRetired,
)
from schemas.envelope import Envelope
from services.cluster_registry.folding import folded, identities
from services.cluster_registry.formation import digest, server_clusters
from services.cluster_registry.labels import DomainClassifier, judge, server_text
from services.cluster_registry.normalize import code, normalize
from services.kit.service import Draft

BATCH: Final = 64
"""Messages that are decided at a time."""
CATALOG: Final = "catalog"
"""Key of CatalogFormed."""


@dataclass(frozen=True, slots=True)
class Command:
    """A catalog command as it waits for its answer; an import's server is kept as ``packed`` JSON."""

    id: str
    correlation: str
    data: RetireServer | FormClusters | None
    server_id: str = ""
    origin: str = ""
    packed: bytes = b""


@dataclass(frozen=True, slots=True)
class Standing:
    """An imported server: its ServerSpec as ``packed`` JSON, and what deciding on all servers needs."""

    packed: bytes
    domains: tuple[str, ...]
    text: str
    """Name, description and tool names, for the domain classifier; "" when the server is labelled."""
    dropped: tuple[str, ...]
    """Reason codes of its dropped tools."""
    identities: tuple[bytes, ...]
    """Of its tools; those that are the same in several servers are folded."""


@dataclass(frozen=True, slots=True)
class Refused:
    """An import that was rejected, by its reason code."""

    code: str


Answer = Standing | Refused | ServerRetired | CatalogFormed


@dataclass(slots=True)
class Plan:
    """How far the clusters of one FormClusters have been worked out.

    Nothing but a memory of what follows from the state: losing it costs time and changes no decision.
    """

    command: str
    standing: dict[str, Standing]
    refused: dict[str, str]
    servers: tuple[str, ...]
    classifier: DomainClassifier | None
    folded: dict[str, frozenset[int]]
    """Places of the tools of each server that are copies of others'."""
    next_server: int = 0
    due: deque[Cluster] = field(default_factory=deque)
    hashes: list[tuple[str, str]] = field(default_factory=list)
    tools: int = 0
    edges: int = 0
    tools_per_domain: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class State:
    """``servers`` and ``refused`` are as of the commands answered; ``queue`` holds those that are not.

    ``imports`` has what became of each import, by its command's id, for catalogs that name theirs.
    ``commands`` says of each command met whether it is answered and done with; ``answers`` holds own
    outputs whose command has not been reached. ``formed`` has the hash of the
    latest ClusterFormed of each cluster id.
    """

    commands: dict[str, bool] = field(default_factory=dict)
    queue: deque[Command] = field(default_factory=deque)
    answers: dict[str, Answer] = field(default_factory=dict)
    imports: dict[str, tuple[str, Standing | Refused]] = field(default_factory=dict)
    servers: dict[str, Standing] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    formed: dict[str, str] = field(default_factory=dict)
    plan: Plan | None = None


def initial() -> State:
    """The registry before any message."""
    return State()


def evolve(state: State, envelope: Envelope) -> State:
    """Fold a catalog command or event; messages of other topics are ignored. Changes ``state`` in place."""
    data, cause = envelope.data, envelope.causationid
    if isinstance(data, ImportServer | RetireServer | FormClusters):
        if envelope.id not in state.commands:
            state.commands[envelope.id] = False
            state.queue.append(_command(envelope.id, envelope.correlationid, data))
    elif isinstance(data, ClusterFormed):
        state.formed[data.cluster.id] = data.cluster.hash
    elif (
        isinstance(data, ServerImported | ServerRejected | ServerRetired | CatalogFormed)
        and not state.commands.get(cause, False)  # else a repetition of an answer that was taken
    ):
        state.answers[cause] = _reply(data)
    _settle(state)
    return state


def decide(state: State) -> tuple[Draft, ...]:
    """The next answers that are due, in order: at most ``BATCH``."""
    if not state.queue:
        return ()
    head = state.queue[0]
    if isinstance(head.data, FormClusters):
        return _form(state, head, head.data)
    drafts: list[Draft] = []
    size_bytes = 0
    for command in state.queue:
        # What comes after a FormClusters waits for it, so that clusters are formed of what came before.
        if isinstance(command.data, FormClusters) or len(drafts) >= BATCH or size_bytes > 1_000_000:
            break
        if command.id in state.answers:
            continue
        size_bytes += len(command.packed)
        drafts.append(_answer(command))
    return tuple(drafts)


def _command(identity: str, correlation: str, data: ImportServer | RetireServer | FormClusters) -> Command:
    if isinstance(data, ImportServer):
        return Command(identity, correlation, None, data.server_id, data.origin, _pack(data.server))
    server_id = data.server_id if isinstance(data, RetireServer) else ""
    return Command(identity, correlation, data, server_id)


def _answer(command: Command) -> Draft:
    assert not isinstance(command.data, FormClusters)
    message: ServerImported | ServerRejected | ServerRetired
    if command.data is None:
        raw = _unpack(command.packed)
        message = normalize(ImportServer(server_id=command.server_id, server=raw, origin=command.origin))
    else:
        message = ServerRetired(server_id=command.server_id, reason=command.data.reason)
    return Draft(key=command.server_id, data=message, correlation=command.correlation, cause=command.id)


def _settle(state: State) -> None:
    """Take answered commands off the head of the queue, with their effect on what stands."""
    while state.queue and state.queue[0].id in state.answers:
        command = state.queue.popleft()
        answer = state.answers.pop(command.id)
        state.commands[command.id] = True
        if isinstance(answer, Standing | Refused):
            state.imports[command.id] = (command.server_id, answer)
            _stand(state.servers, state.refused, command.server_id, answer)
        elif isinstance(answer, ServerRetired):
            state.servers.pop(command.server_id, None)
            state.refused.pop(command.server_id, None)
        state.plan = None


def _stand(
    servers: dict[str, Standing], refused: dict[str, str], server_id: str, answer: Standing | Refused
) -> None:
    """What stands after one more import."""
    if isinstance(answer, Standing):
        servers[server_id] = answer
        refused.pop(server_id, None)
    else:  # an earlier import of the same server stands: a bad update does not take a good one away
        refused[server_id] = answer.code


def _form(state: State, command: Command, order: FormClusters) -> tuple[Draft, ...]:
    """The next clusters that have not come back yet; when all have, the catalog."""
    plan = state.plan
    if plan is None or plan.command != command.id:
        plan = state.plan = _plan(state, command.id, order)
    while plan.due and state.formed.get(plan.due[0].id) == plan.due[0].hash:
        plan.due.popleft()
    while len(plan.due) < BATCH and plan.next_server < len(plan.servers):
        _plan_server(state, plan, order)
    due = [cluster for cluster in plan.due if state.formed.get(cluster.id) != cluster.hash][:BATCH]
    if due:
        return tuple(
            Draft(cluster.id, ClusterFormed(cluster=cluster), command.correlation, command.id)
            for cluster in due
        )
    return (Draft(CATALOG, _catalog(plan), command.correlation, command.id),)


def _plan(state: State, command: str, order: FormClusters) -> Plan:
    servers, refused = state.servers, state.refused
    if order.imports:
        servers, refused = {}, {}
        for one in order.imports:
            if one in state.imports:
                _stand(servers, refused, *state.imports[one])
    labelled = [servers[server] for server in sorted(servers)]
    unlabelled = any(not standing.domains for standing in labelled)
    classifier = None
    if unlabelled:
        classifier = judge((standing.domains, standing.text) for standing in labelled if standing.domains)
    copies = folded({server: standing.identities for server, standing in servers.items()})
    whole = {server for server, places in copies.items() if len(places) == len(servers[server].identities)}
    return Plan(command, servers, refused, tuple(sorted(servers.keys() - whole)), classifier, copies)


def _plan_server(state: State, plan: Plan, order: FormClusters) -> None:
    """Work out the clusters of the next server; those that are out already are not due again."""
    server_id = plan.servers[plan.next_server]
    plan.next_server += 1
    standing = plan.standing[server_id]
    domains = standing.domains
    if not domains:
        assert plan.classifier is not None
        domains = (plan.classifier.domain(standing.text),)
    spec = _unpack(standing.packed)
    copies = plan.folded.get(server_id, frozenset())
    spec["tools"] = [tool for place, tool in enumerate(spec["tools"]) if place not in copies]
    made, edges = server_clusters(spec, domains, order.min_tools, order.max_tools)
    plan.tools += len(spec["tools"])
    plan.edges += edges
    plan.tools_per_domain[domains[0]] += len(spec["tools"])
    for cluster in made:
        plan.hashes.append((cluster.id, cluster.hash))
        if state.formed.get(cluster.id) != cluster.hash:
            plan.due.append(cluster)


def _catalog(plan: Plan) -> CatalogFormed:
    rejected = Counter(plan.refused.values())
    for standing in plan.standing.values():
        rejected.update(standing.dropped)
    rejected["folded"] += sum(map(len, plan.folded.values()))
    return CatalogFormed(
        hash=digest([cluster_hash for _, cluster_hash in plan.hashes]),
        clusters=tuple(cluster_id for cluster_id, _ in plan.hashes),
        servers=len(plan.servers),
        tools=plan.tools,
        edges=plan.edges,
        tools_per_domain=dict(sorted(plan.tools_per_domain.items())),
        rejected={reason: count for reason, count in sorted(rejected.items()) if count},
    )


def _reply(data: ServerImported | ServerRejected | ServerRetired | CatalogFormed) -> Answer:
    if isinstance(data, ServerImported):
        return _standing(data)
    return Refused(code(data.reason)) if isinstance(data, ServerRejected) else data


def _standing(imported: ServerImported) -> Standing:
    server = imported.server
    return Standing(
        packed=zlib.compress(server.model_dump_json(exclude_defaults=True).encode(), 1),
        domains=server.domains,
        text=server_text(server.name, server.description, (tool.name for tool in server.tools)),
        dropped=tuple(code(dropped.reason) for dropped in imported.dropped),
        identities=identities(server.tools),
    )


def _pack(value: Json) -> bytes:
    return zlib.compress(json.dumps(value, separators=(",", ":")).encode(), 1)


def _unpack(packed: bytes) -> Json:
    value: Any = json.loads(zlib.decompress(packed))
    assert isinstance(value, dict)
    return value
