"""``tds edges``: what one tool of a catalog yields that another takes, one edge a line."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from services.console.errors import DONE, FAILED, UserError, complain, print_json


def edges(
    catalog: Annotated[
        Path | None,
        typer.Argument(
            metavar="[CATALOG]", help="MCP tools/list dump, as `tds run --catalog` takes [built-in]."
        ),
    ] = None,
    server: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", help="Only edges that this server has a part in; may be repeated."),
    ] = None,
    min_confidence: Annotated[
        float, typer.Option(metavar="C", min=0.0, max=1.0, help="Only edges at least this sure.")
    ] = 0.0,
    across: Annotated[bool, typer.Option("--across", help="Only edges between two servers.")] = False,
    within_only: Annotated[
        bool,
        typer.Option("--within-only", help="Only edges within one server; the others are not looked for."),
    ] = False,
) -> int:
    """Print the dependency edges of a catalog as JSON lines, with confidence and evidence.

    Servers and tools are called what the catalog calls them. What cannot be read of it is told on stderr.
    """
    from services.cluster_registry.catalog_edges import catalog_edges
    from services.console.launch import read_catalog

    if across and within_only:
        raise UserError("--across and --within-only leave nothing", "Give one of them, or neither")
    imports, unread = read_catalog(catalog)
    for text in unread:
        complain(text, "warning")
    wanted = frozenset(server or ())
    unknown = sorted(wanted - {one.server_id for one in imports})
    if unknown:
        raise UserError(
            f"--server {unknown[0]}: the catalog has no server of this id", "Look into the catalog"
        )
    if within_only and wanted:
        imports = [one for one in imports if one.server_id in wanted]
    found, rejected = catalog_edges(imports, within_only=within_only)
    for refused in rejected:
        complain(f"{refused.origin or refused.server_id}: {refused.reason}", "warning")
    for edge in found:
        if (
            edge.confidence >= min_confidence
            and not (across and edge.server_a == edge.server_b)
            and (not wanted or wanted & {edge.server_a, edge.server_b})
        ):
            print_json(dataclasses.asdict(edge))
    return FAILED if rejected and len(rejected) == len(imports) else DONE
