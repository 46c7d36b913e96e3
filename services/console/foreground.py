"""A campaign carried out in the foreground: display, log file, closing words, exit code."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import typer

from services.console import launch
from services.console.card import CARD, DATASET, SIM_WARNING
from services.console.embedded import CampaignEnd
from services.console.errors import DONE, FAILED, INTERRUPTED, UserError, complain, print_json
from services.console.launch import Prepared
from services.console.progress import TICK_S, Progress, progress
from services.console.source import Folder, Source, Stack
from services.console.stopping import run_to_end
from services.kit import settings, tuning
from services.kit.watched import telemetry

Json = dict[str, Any]
WARNINGS: Final = 5
"""Bad entries of a catalog that are named, at most."""


def carry_out(prepared: Prepared, *, as_json: bool) -> int:
    """Run the campaign to its end, showing how it goes; returns the exit code.

    Raises:
        ModelFailed: a model is not there. Nothing was started.
        LogError: the log cannot be used. Everything appended so far stands.
    """
    folder = prepared.folder
    _warn_of_unread(prepared)
    _log_to(folder)
    tuning.tune()

    async def work(stop: asyncio.Event, shown: Progress) -> CampaignEnd:
        return await launch.carry_out(prepared, shown.fold, stop, shown.ledger)

    stopping = "stopping: finishing what is under way (Ctrl-C again: at once)"
    end = _shown(work, progress(prepared.spec, quiet=as_json, keep="admitted"), stopping)
    return _conclude(Folder(folder), folder, end, as_json=as_json)


def carry_out_on_stack(stack: Stack, prepared: Prepared, *, detach: bool, as_json: bool) -> int:
    """Have the stack carry the campaign out; follow it, and write its folder when it has ended or paused.

    Raises:
        UserError: the stack does not answer. Nothing was started.
        LogError: the log cannot be used.
    """
    from services.console.stack import begin, follow, go_on, write_folder

    _warn_of_unread(prepared)

    async def work(stop: asyncio.Event, shown: Progress) -> CampaignEnd:
        async with stack.log() as log:
            if prepared.plan is not None:
                ordered = await begin(log, prepared.plan, stop, shown.note)
            else:
                ordered = await go_on(log, stack.campaign)
            return CampaignEnd() if detach else await follow(log, ordered, shown.fold, stop, shown.note)

    shown = progress(prepared.spec, quiet=as_json or detach)
    end = _shown(work, shown, "no longer following (the campaign goes on)")
    if end.finished is None and not end.paused:
        began = detach and prepared.plan is not None
        return _left_running(stack, began=began, detached=detach, as_json=as_json)
    write_folder(stack, prepared)
    return _conclude(stack, prepared.folder, end, as_json=as_json)


def _warn_of_unread(prepared: Prepared) -> None:
    for text in prepared.unread[:WARNINGS]:
        complain(text, "warning")
    if len(prepared.unread) > WARNINGS:
        complain(
            f"{len(prepared.unread) - WARNINGS} more entries could not be read; "
            f"see {prepared.folder}/config.json",
            "warning",
        )


def _shown(
    work: Callable[[asyncio.Event, Progress], Awaitable[CampaignEnd]], shown: Progress, stopping: str
) -> CampaignEnd:
    """Carry out ``work`` while its progress is shown; ``stopping`` is said when it is interrupted."""

    async def ticked(stop: asyncio.Event) -> CampaignEnd:
        ticking = asyncio.create_task(tick())
        try:
            return await work(stop, shown)
        finally:
            ticking.cancel()

    async def tick() -> None:
        while True:
            await asyncio.sleep(TICK_S)
            shown.tick()

    with shown:
        return run_to_end(ticked, lambda: shown.note(stopping))


def _left_running(stack: Stack, *, began: bool, detached: bool, as_json: bool) -> int:
    name = stack.campaign
    if as_json:
        print_json({"campaign": name, "state": "left running", "interrupted": not detached})
    else:
        typer.echo(f"campaign {name} {'was started on the stack' if began else 'goes on'}")
        typer.echo(f"  look     tds status --stack {name}")
        typer.echo(f"  follow   {stack.resume}    (and write its dataset)")
        typer.echo(f"  hold     tds pause --stack {name}")
        typer.echo(f"  end      tds stop --stack {name}")
    return DONE if detached else INTERRUPTED


def _conclude(source: Source, folder: Path, end: CampaignEnd, *, as_json: bool) -> int:
    found = json.loads((folder / CARD).read_text(encoding="utf-8"))
    code = INTERRUPTED if end.finished is None else DONE if end.finished.complete else FAILED
    code = FAILED if end.paused else code
    catalog = found["catalog"]
    for text in catalog["not_taken"][:WARNINGS]:
        complain(f"not taken from the catalog: {text}. Mend or remove it", "warning")
    if (more := sum(catalog["rejected"].values()) - WARNINGS) > 0:
        complain(f"{more} more tools were not taken; see {folder / CARD}", "warning")
    if as_json:
        print_json({**found, "folder": str(folder), "interrupted": code == INTERRUPTED})
    elif end.finished is not None:
        if code == DONE:
            typer.echo(f"{found['admitted']} of {found['asked']} admitted: {found['detail']}")
        if found["admitted"]:
            typer.echo(f"  dataset  {folder / DATASET}")
            typer.echo(f"  look     tds show {source.words} 0")
            typer.echo(f"  check    tds replay {source.words} --verify")
        if found["warning"]:
            typer.echo(f"  note     {SIM_WARNING}")
    if end.paused:
        advice = f"Mend that, then go on: `{source.resume}`. Nothing is lost"
        complain(f"the campaign paused: {end.paused}. {advice}")
    elif code == INTERRUPTED:
        stands = f"{found['admitted']} of {found['asked']} admitted, nothing is lost"
        complain(f"stopped: {stands}. Go on with `{source.resume}`", "note")
    elif code == FAILED:
        advice = _short_advice(found, source)
        complain(f"{found['admitted']} of {found['asked']} admitted: {found['detail']}. {advice}")
    return code


def _short_advice(found: Json, source: Source) -> str:
    """What to do about a campaign that fell short."""
    if found["ended"] == "budget":
        return "Start anew with a larger --budget-usd or --budget-tokens"
    if found["ended"] == "stopped":
        return "Start another for more"
    if found["ended"] == "infeasible" and found["code"]["asked"] == "on" and not found["code"]["used"]:
        return "Mend that, or start anew with --code auto"
    if found["ended"] == "infeasible":
        return "Give a catalog whose tools have names, descriptions and input schemas"
    worst = next(iter(found["failures"]), "")
    hint = f" ({worst} is the most frequent)" if worst else ""
    command = f"tds export {source.words} --failed --to FILE"
    return f"See why runs failed{hint}: `{command}`; or raise --max-slots"


def _log_to(folder: Path) -> None:
    """Send the services' own log lines to a file in the folder, so that they do not mix with the display."""

    class LogFile:
        """Opened at the first line; what cannot be written is let go: the event log has what matters."""

        def write(self, text: str) -> None:
            try:
                with (folder / "run.log").open("a", encoding="utf-8") as file:
                    file.write(text)
            except OSError:
                pass

        def flush(self) -> None:
            pass

    try:
        kit = settings.load()
    except ValueError as error:
        raise UserError(str(error), "mend or unset that environment variable") from None
    telemetry.configure(level=kit.log_level, form=kit.log_format, sink=LogFile())
