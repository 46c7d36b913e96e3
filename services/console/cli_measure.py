"""``tds measure``: how diverse a dataset is, whoever made it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.console.cli_options import AsJson
from services.console.errors import DONE, FAILED, UserError, complain, print_json

if TYPE_CHECKING:
    from services.console.measuring import Dataset


def measure(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Rows as OpenAI messages or ShareGPT: JSON or JSONL, gzipped or not."
        ),
    ],
    html: Annotated[
        Path | None, typer.Option("--html", metavar="OUT", help="Write a page to look at, too.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Say how diverse a tool-use dataset is: entropies beside log2 N, coverage, complexity.

    Rows that cannot be measured are named with a reason; all others count.
    """
    from services.console.measuring import measure_file, write_page

    if html is not None and html.is_dir():
        raise UserError(f"--html {html} is a folder", "Give the name of a file")
    if html is not None and html.resolve() == file.resolve():
        raise UserError(f"--html {html} is the file itself", "Choose another file")
    dataset = measure_file(file)
    _warn(file, dataset)
    found = {"file": file.name, **dataset.as_json()}
    if html is not None:
        write_page(dataset, file.name, html)
    if as_json:
        print_json(found)
    elif dataset.rows:
        _print(found)
    if not dataset.rows:
        complain(f"{file}: no row in it can be measured")
    return DONE if dataset.rows else FAILED


def _warn(file: Path, dataset: Dataset) -> None:
    from services.console.measuring import SHOWN

    for bad in dataset.bad[:SHOWN]:
        complain(f"{file.name}: {bad}", "warning")
    more = dataset.bad_rows - SHOWN
    if more > 0:
        counted = ", ".join(f"{count} {code}" for code, count in sorted(dataset.reasons.items()))
        complain(f"{file.name}: {more} more bad rows ({counted} in all)", "warning")


def _print(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from services.console.measuring import WHERE, lines
    from services.console.show import visible

    console = Console(highlight=False)
    forms = ", ".join(f"{count} {form}" for form, count in found["forms"].items())
    domains = ", ".join(f"{count} {WHERE[source]}" for source, count in found["domain_found"].items())
    measured, bad = found["rows"], found["bad_rows"]
    console.print(f"{visible(found['file'])}: {measured} rows measured ({forms}), {bad} not",
                  markup=False)  # fmt: skip
    console.print(f"domains: {domains}", markup=False)
    for title, rows in lines(found):
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for number, heading in enumerate(title.split("|")):
            bar = title.startswith("CAC|") and number == 2
            table.add_column(heading, justify="left" if number == 0 or bar else "right", overflow="fold")
        for row in rows:
            table.add_row(*(visible(cell).replace("[", "\\[") for cell in row))
        console.print()
        console.print(table)
