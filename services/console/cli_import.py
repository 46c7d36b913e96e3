"""``tds import``: any API or MCP server as a catalog."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from services.console.cli_options import AsJson
from services.console.errors import DONE, FAILED, UserError, complain, print_json

CATALOG: Final = Path("catalog.jsonl")


def import_catalog(
    sources: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[SOURCE]...",
            help="MCP dumps (JSON, JSONL), OpenAPI and Swagger documents (JSON, YAML), gzipped or not; or a "
            "folder of them.",
        ),
    ] = None,
    mcp: Annotated[
        list[str] | None,
        typer.Option(metavar="COMMAND|URL", help='A running MCP server: "command argument ..." or a URL.'),
    ] = None,
    env: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A variable that a started server gets too.")
    ] = None,
    timeout: Annotated[
        float, typer.Option(metavar="S", min=1, max=600, help="Seconds for a server's start and each page.")
    ] = 30.0,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The catalog to write [catalog.jsonl].")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Make one cleaned catalog of dumps, documents and running servers, for --catalog; say what is usable."""
    from services.console import importing
    from services.console.mcp_transports import Limits

    files, live = list(sources or ()), list(mcp or ())
    if not files and not live:
        raise UserError("nothing to import", "Give files, folders, or --mcp; see `tds import --help`")
    target = _target(out, files)
    limits = Limits(start_s=timeout, page_s=timeout)
    reads = importing.read_sources(files, live, list(env or ()), os.environ, limits)
    imported = importing.clean(reads)
    for read in reads:
        for bad in read.bad[: importing.SHOWN]:
            complain(str(bad), "warning")
        if len(read.bad) > importing.SHOWN:
            complain(f"{read.source}: {len(read.bad) - importing.SHOWN} more problems", "warning")
    size_bytes = importing.write(imported, target)
    found = importing.as_json(imported, target, size_bytes)
    if as_json:
        print_json(found)
    else:
        typer.echo("\n".join(importing.text(found)))
        tools, servers = importing.many(found["tools"], "tool"), importing.many(found["servers"], "server")
        typer.echo(f"{target}: {tools} of {servers}, {size_bytes} bytes")
    empty = [one["source"] for one in found["sources"] if not one["usable_tools"]]
    for source in empty:
        complain(f"{source}: nothing in it can be used", "warning")
    return FAILED if empty else DONE


def _target(out: Path | None, files: list[Path]) -> Path:
    """Where the catalog goes: never over a source, and over a file only if it was named."""
    target = out or CATALOG
    if target.is_dir():
        raise UserError(f"--out {target} is a folder", "Give the name of a file")
    if out is None and target.exists():
        raise UserError(f"{target} exists", "Say where the catalog goes with --out; it may be this file")
    for file in files:
        inside = file.is_dir() and target.resolve().parent == file.resolve() and target.exists()
        if inside or target.resolve() == file.resolve():
            raise UserError(f"--out {target} is one of the sources", "Choose another file")
    return target
