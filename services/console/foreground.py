"""A campaign carried out in the foreground: display, log file, closing words, exit code."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final

import typer

from services.console import launch
from services.console.card import CARD, DATASET, SIM_WARNING
from services.console.embedded import CampaignEnd
from services.console.errors import DONE, FAILED, INTERRUPTED, UserError, complain, print_json
from services.console.launch import Prepared
from services.console.progress import TICK_S, progress
from services.console.stopping import run_to_end
from services.kit import settings, telemetry

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
    for text in prepared.unread[:WARNINGS]:
        complain(text, "warning")
    if len(prepared.unread) > WARNINGS:
        complain(
            f"{len(prepared.unread) - WARNINGS} more entries could not be read; see {folder}/config.json",
            "warning",
        )
    shown = progress(prepared.spec, quiet=as_json)

    async def work(stop: asyncio.Event) -> CampaignEnd:
        ticking = asyncio.create_task(tick())
        try:
            return await launch.carry_out(prepared, shown.fold, stop)
        finally:
            ticking.cancel()

    async def tick() -> None:
        while True:
            await asyncio.sleep(TICK_S)
            shown.tick()

    _log_to(folder)
    with shown:
        end = run_to_end(
            work, lambda: shown.note("stopping: finishing what is under way (Ctrl-C again: at once)")
        )
    return _conclude(folder, end, as_json=as_json)


def _conclude(folder: Path, end: CampaignEnd, *, as_json: bool) -> int:
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
            typer.echo(f"  look     tds show {folder} 0")
            typer.echo(f"  check    tds replay {folder} --verify")
        if found["warning"]:
            typer.echo(f"  note     {SIM_WARNING}")
    if end.paused:
        advice = f"Mend that, then go on: `tds run --resume {folder}`. Nothing is lost"
        complain(f"the campaign paused: {end.paused}. {advice}")
    elif code == INTERRUPTED:
        stands = f"{found['admitted']} of {found['asked']} admitted, nothing is lost"
        complain(f"stopped: {stands}. Go on with `tds run --resume {folder}`", "note")
    elif code == FAILED:
        complain(
            f"{found['admitted']} of {found['asked']} admitted: {found['detail']}. {_short_advice(found)}"
        )
    return code


def _short_advice(found: Json) -> str:
    """What to do about a campaign that fell short."""
    if found["ended"] == "budget":
        return "Start anew with a larger --budget-usd or --budget-tokens"
    if found["ended"] == "infeasible":
        return "Give a catalog whose tools have names, descriptions and input schemas"
    worst = next(iter(found["failures"]), "")
    hint = f" ({worst} is the most frequent)" if worst else ""
    return f"See why runs failed{hint}: `tds export DIR --failed --to FILE`; or raise --max-slots"


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
