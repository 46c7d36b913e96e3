"""``tds dead list|show|retry``: what nobody could use, in a folder or on the stack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.console.cli_options import AsJson, OnStack
from services.console.errors import UserError, print_json

if TYPE_CHECKING:
    from services.console.source import Folder, Stack
    from services.kit.dead import DeadLetter

app = typer.Typer(
    help="Messages that nobody could use: look at them, and take them up again.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Code = Annotated[str, typer.Option(metavar="CODE", help="Only those refused for this reason.")]


@app.command("list")
def dead_list(
    folder: Annotated[str, typer.Argument(metavar="[DIR]", help="The campaign's folder.")] = "",
    stack: OnStack = False,
    code: Code = "",
    as_json: AsJson = False,
) -> int:
    """List what was refused, where it stands, why, and by whom."""
    from services.console import dead_letters

    _, found = _dead(folder, stack=stack, code=code)
    if as_json:
        print_json([dead_letters.as_json(one) for one in found])
        return 0
    for one in found:
        typer.echo(dead_letters.line(one))
    typer.echo(f"dead letters: {dead_letters.summary_text(found)}")
    return 0


@app.command("show")
def dead_show(
    which: Annotated[list[str], typer.Argument(metavar="[DIR] ID", help="Whose; its id, or the beginning.")],
    stack: OnStack = False,
    as_json: AsJson = False,
) -> int:
    """Print one whole, as text."""
    from services.console import dead_letters

    folder, ids = _split(which, stack=stack)
    _, found = _dead(folder, stack=stack)
    if len(ids) != 1:
        raise UserError("which dead letter is meant?", "Give one id; `tds dead list` names them")
    (one,) = dead_letters.chosen(found, ids)
    if as_json:
        print_json(dead_letters.as_json(one, whole=True))
    else:
        typer.echo(dead_letters.page(one))
    return 0


@app.command("retry")
def dead_retry(
    which: Annotated[
        list[str] | None, typer.Argument(metavar="[DIR] [ID]...", help="Whose, and which.")
    ] = None,
    stack: OnStack = False,
    everything: Annotated[bool, typer.Option("--all", help="All that are there.")] = False,
    code: Code = "",
    as_json: AsJson = False,
) -> int:
    """Take up again what this program can use now: commands are sent anew, events folded again."""
    import dataclasses

    from services.console import dead_letters
    from services.console.stopping import run_through

    folder, ids = _split(which or [], stack=stack)
    source, found = _dead(folder, stack=stack, code=code)
    if bool(ids) == everything:
        raise UserError("which dead letters are meant?", "Give their ids, or --all, perhaps with --code CODE")
    wanted = dead_letters.chosen(found, ids) if ids else found
    done = run_through(lambda: dead_letters.retry_at(source, wanted))
    if as_json:
        print_json(dataclasses.asdict(done))
        return 0
    for text in dead_letters.told(done, source) or ["there is no dead letter to take up"]:
        typer.echo(text)
    return 0


def _split(given: list[str], *, stack: bool) -> tuple[str, list[str]]:
    """The folder, where there is one, and what else was given."""
    return ("", given) if stack or not given else (given[0], given[1:])


def _dead(folder: str, *, stack: bool, code: str = "") -> tuple[Folder | Stack, list[DeadLetter]]:
    """Where dead letters are, and those that are there."""
    from services.console import dead_letters
    from services.console.source import Folder, Stack, kit_settings

    if stack and folder:
        raise UserError("a folder cannot be given with --stack", "Dead letters on the stack are in no folder")
    if not stack and not folder:
        raise UserError("whose dead letters are meant?", "Give a campaign's folder, or --stack")
    source = Stack(kit_settings()) if stack else Folder(Path(folder))
    return source, [one for one in dead_letters.letters(source) if code in ("", one.code)]
