"""``tds report``: a campaign as one HTML page that needs nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from services.console.cli_options import AsJson, OnStack, Where
from services.console.errors import DONE, FAILED, UserError, complain, print_json


def report(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page to write.")],
    where: Where = "",
    stack: OnStack = False,
    as_json: AsJson = False,
) -> int:
    """Write a campaign as one HTML page: figures over time, archive, rejections, every trajectory.

    The page opens from a file, without a network.
    """
    from services.console.ledger import Ledger
    from services.console.report import write_report
    from services.console.source import source_of

    if out.is_dir():
        raise UserError(f"--out {out} is a folder", "Give the name of a file")
    ledger = Ledger.open(source_of(where, stack=stack))
    count = write_report(ledger, out)
    size_bytes = out.stat().st_size
    if as_json:
        print_json({"file": str(out), "trajectories": count, "bytes": size_bytes, "state": ledger.state})
    else:
        typer.echo(f"{out}: {count} trajectories, {size_bytes} bytes; open it in a browser")
    if not count:
        complain("no row is admitted yet: the page has no trajectories")
    return DONE if count else FAILED
