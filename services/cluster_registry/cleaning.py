"""A whole catalog, cleaned at once, as the registry would have it: for who writes it down.

Servers are normalized, copies folded, and those without a label given a domain, by the same functions that
the registry decides with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from schemas.catalog import ImportServer, ServerImported, ServerRejected, ServerSpec
from services.cluster_registry.folding import folded, identities
from services.cluster_registry.labels import judge, labelled_domains, server_text
from services.cluster_registry.normalize import cleaning, code

JUDGED: Final = "labels_judged"
"""Says of a written catalog's server that its labels are judged."""


@dataclass(slots=True)
class CleanCatalog:
    """What is usable of a catalog, and all that was done. ``servers`` are by id, each with its domains.

    ``judged`` are the ids of those whose domain is judged, not labelled. ``counts`` are of tools, by code,
    for each server id: see ``normalize.Cleaning``, and ``folded``; ``offered`` how many tools it had.
    ``domains`` has the usable tools of each domain that a server was labelled or judged to be of: 0 where
    none is left.
    """

    servers: list[ServerSpec] = field(default_factory=list)
    judged: set[str] = field(default_factory=set)
    rejected: list[ServerRejected] = field(default_factory=list)
    imported: dict[str, ServerImported] = field(default_factory=dict)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    offered: dict[str, int] = field(default_factory=dict)
    domains: Counter[str] = field(default_factory=Counter)


def clean_catalog(commands: Iterable[ImportServer]) -> CleanCatalog:
    """Clean the servers of a catalog; of two with one id, the later stands."""
    made = CleanCatalog()
    labels: dict[str, tuple[str, ...]] = {}
    refused: dict[str, ServerRejected] = {}
    for command in commands:
        server, done = command.server_id, cleaning(command)
        listed = command.server.get("tools")
        made.offered[server] = len(listed) if isinstance(listed, list) else 0
        made.counts[server] = done.counts
        labels[server] = labelled_domains(command.server)
        if command.server.get(JUDGED) is True:  # by an import before this one
            made.judged.add(server)
        if isinstance(done.event, ServerImported):
            made.imported[server] = done.event
        else:
            refused[server] = done.event
            made.counts[server][f"server_{code(done.event.reason)}"] += 1
    specs = {server: made.imported[server].server for server in sorted(made.imported)}
    texts = {
        server: server_text(spec.name, spec.description, (tool.name for tool in spec.tools))
        for server, spec in specs.items()
    }
    classifier = judge(
        (labels[server], texts[server]) for server in specs if labels[server] and server not in made.judged
    )
    copies = folded({server: identities(spec.tools) for server, spec in specs.items()})
    for server, spec in specs.items():
        domains = labels[server] or (classifier.domain(texts[server]),)
        if not labels[server]:
            made.judged.add(server)
        places = copies.get(server, frozenset())
        if places:
            made.counts[server]["folded"] = len(places)
        tools = tuple(tool for place, tool in enumerate(spec.tools) if place not in places)
        made.domains[domains[0]] += len(tools)
        if tools:
            made.servers.append(spec.model_copy(update={"tools": tools, "domains": domains}))
    for server in sorted(refused):
        made.rejected.append(refused[server])
        if labels[server]:
            made.domains[labels[server][0]] += 0
    return made
