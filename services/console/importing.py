"""``tds import``: files and running servers made into one cleaned catalog, and what became of each.

The cleaning is the registry's; here sources are read, and the outcome is written and told. The catalog is
JSONL, one server a line by id, in the form that catalog files have: imported again, it is the same.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from schemas.catalog import ImportServer, Json, ServerSpec, ToolSpec
from services.cluster_registry.cleaning import JUDGED, CleanCatalog, clean_catalog
from services.console.catalog_entries import BadEntry, Ids
from services.console.catalog_files import read_servers
from services.console.errors import FAILED, USAGE, UserError
from services.console.export import write_atomically
from services.console.mcp_live import read_server
from services.console.mcp_transports import Limits

ENDINGS: Final = (".json", ".jsonl", ".ndjson", ".yaml", ".yml")
MAX_FILES: Final = 10_000
SHOWN: Final = 5
"""Problems of one source that are told one by one."""
CLEANED: Final = ("boilerplate", "mended")
CHANGED: Final = (*CLEANED, "recovered", "renamed", "folded", "listed_twice")
"""Codes of what was done to tools; all others are reasons why they were rejected."""


@dataclass(slots=True)
class Read:
    """What one source gave: import commands, and what could not be read."""

    source: str
    commands: list[ImportServer] = field(default_factory=list)
    bad: list[BadEntry] = field(default_factory=list)
    live: bool = False


@dataclass(frozen=True, slots=True)
class Imported:
    """A whole import."""

    reads: tuple[Read, ...]
    catalog: CleanCatalog

    @property
    def tools(self) -> int:
        """How many tools are usable."""
        return sum(len(server.tools) for server in self.catalog.servers)

    @property
    def infeasible(self) -> list[str]:
        """Domains that no usable tool is left of."""
        return sorted(domain for domain, count in self.catalog.domains.items() if not count)


def read_sources(
    files: Sequence[Path],
    live: Sequence[str],
    pass_on: Sequence[str],
    environ: Mapping[str, str],
    limits: Limits,
) -> tuple[Read, ...]:
    """All sources, in order: files and the files of folders, then running servers.

    Raises:
        UserError: a source makes no sense.
    """
    ids = Ids()
    reads = []
    for path in _files(files):
        read = Read(str(path))
        for one in read_servers(path, ids=ids):
            _put(read, one)
        reads.append(read)
    for source in live:
        read = Read(source, live=True)
        for one in read_server(source, ids=ids, pass_on=pass_on, environ=environ, limits=limits):
            _put(read, one)
            read.source = read.commands[0].origin if read.commands else read.bad[0].origin
        reads.append(read)
    return tuple(reads)


def clean(reads: tuple[Read, ...]) -> Imported:
    """The cleaned catalog of all that was read.

    Raises:
        UserError: nothing in it can be used.
    """
    made = Imported(reads, clean_catalog(command for read in reads for command in read.commands))
    if not made.catalog.servers:
        rejected = [f"{one.server_id}: {one.reason}" for one in made.catalog.rejected]
        problems = [str(bad) for read in reads for bad in read.bad] + rejected
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        code = FAILED if any(read.live for read in reads) else USAGE
        raise UserError(f"nothing in it can be used{more}: {problems[0]}", code=code)
    return made


def write(imported: Imported, path: Path) -> int:
    """Write the catalog; gzipped if its name ends so. Returns its bytes.

    Raises:
        OSError: it cannot be written.
    """
    text = b"".join(lines(imported.catalog.servers, imported.catalog.judged))
    data = gzip.compress(text, mtime=0) if path.suffix == ".gz" else text
    write_atomically(path, iter([data]))
    return len(data)


def lines(servers: Sequence[ServerSpec], judged: Collection[str] = ()) -> Iterator[bytes]:
    """The servers as lines of a catalog."""
    for server in servers:
        raw: Json = {"id": server.id, "name": server.name, "description": server.description}
        raw["labels"] = list(server.domains)
        if server.id in judged:
            raw[JUDGED] = True
        raw["tools"] = [_tool(tool) for tool in server.tools]
        yield json.dumps(raw, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def report(imported: Imported) -> Json:
    """What became of the sources, for machines."""
    catalog = imported.catalog
    usable = {server.id: len(server.tools) for server in catalog.servers}
    sources = []
    for read in imported.reads:
        names = [command.server_id for command in read.commands]
        counts: Counter[str] = Counter()
        for name in names:
            counts.update(catalog.counts[name])
        unread: Counter[str] = Counter()
        for bad in read.bad:
            unread[bad.code] += bad.count
        sources.append({
            "source": read.source,
            "servers": len(names),
            "usable_servers": sum(name in usable for name in names),
            "tools": sum(catalog.offered[name] for name in names),
            "usable_tools": sum(usable.get(name, 0) for name in names),
            **_grouped(counts),
            "unread": dict(sorted(unread.items())),
            "problems": [str(bad) for bad in read.bad[:SHOWN]],
        })  # fmt: skip
    total: Counter[str] = Counter()
    for counts in catalog.counts.values():
        total.update(counts)
    return {
        "sources": sources,
        "servers": len(catalog.servers),
        "tools": imported.tools,
        **_grouped(total),
        "domains": {domain: count for domain, count in sorted(catalog.domains.items()) if count},
        "infeasible": imported.infeasible,
        "judged_servers": sum(server.id in catalog.judged for server in catalog.servers),
    }


def text(found: Json) -> Iterator[str]:
    """The report, for a reader."""
    for one in found["sources"]:
        yield (
            f"{one['source']}: {many(one['tools'], 'tool')} of {many(one['servers'], 'server')}; "
            f"{one['usable_tools']} usable, of {many(one['usable_servers'], 'server')}"
        )
        yield from _details(one)
        if one["unread"]:
            yield f"  {'not read':<10} {_counts(one['unread'])}"
    if len(found["sources"]) > 1:
        yield f"all: {many(found['tools'], 'usable tool')} of {many(found['servers'], 'server')}"
        yield from _details(found)
    yield "usable tools per domain:"
    for domain, count in sorted(found["domains"].items(), key=lambda pair: (-pair[1], pair[0])):
        yield f"  {count:>6}  {domain}"
    if found["judged_servers"]:
        judged = many(found["judged_servers"], "server")
        yield f"  ({judged} without a label: the domain is judged by the words)"
    if found["infeasible"]:
        yield f"infeasible, for want of a usable tool: {', '.join(found['infeasible'])}"


def _details(found: Json) -> Iterator[str]:
    for key in ("rejected", "cleaned"):
        if found[key]:
            yield f"  {key:<10} {_counts(found[key])}"
    for key in ("recovered", "renamed", "folded", "listed_twice"):
        if found[key]:
            yield f"  {key.replace('_', ' '):<10} {found[key]}"


def many(count: int, what: str) -> str:
    """``1 tool``, ``2 tools``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _counts(counts: Mapping[str, int]) -> str:
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{reason.replace('_', ' ')} {count}" for reason, count in ordered)


def _grouped(counts: Mapping[str, int]) -> Json:
    """Counts by what was done: those rejected and cleaned per reason, the others as they are."""
    return {
        "rejected": {code: n for code, n in sorted(counts.items()) if code not in CHANGED and n},
        "cleaned": {code: counts[code] for code in CLEANED if counts.get(code)},
        **{code: counts.get(code, 0) for code in CHANGED if code not in CLEANED},
    }


def _tool(tool: ToolSpec) -> Json:
    made: Json = {"name": tool.name, "description": tool.description, "inputSchema": tool.input_schema}
    if tool.output_schema is not None:
        made["outputSchema"] = tool.output_schema
    route = {"method": tool.method, "path": tool.path}
    notes = {key: value for key, value in route.items() if value}
    return {**made, "annotations": notes} if notes else made


def _put(read: Read, one: ImportServer | BadEntry) -> None:
    if isinstance(one, ImportServer):
        read.commands.append(one)
    else:
        read.bad.append(one)


def _files(paths: Sequence[Path]) -> list[Path]:
    """The files that are meant: of a folder, those whose names end as catalogs do."""
    found: list[Path] = []
    for path in paths:
        if str(path).lower().startswith(("http:", "https:")):
            advice = "Download it first; a running MCP server is given with --mcp"
            raise UserError(f"{path}: documents are not fetched", advice)
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(
            one for one in path.iterdir() if one.is_file() and one.name.removesuffix(".gz").endswith(ENDINGS)
        )
        if not inside:
            raise UserError(
                f"{path}: no catalog file is in this folder", f"Their names end in {', '.join(ENDINGS)}"
            )
        found += inside
    if len(found) > MAX_FILES:
        raise UserError(f"{len(found)} files; at most {MAX_FILES} are read at once", "Import them in parts")
    return found


def as_json(imported: Imported, out: Path, size_bytes: int) -> dict[str, Any]:
    """The report, and where the catalog is."""
    return {"file": str(out), "bytes": size_bytes, **report(imported)}
