"""``tds console``: a campaign's page while it runs."""

from __future__ import annotations

import json
from typing import Annotated, Final

import typer

from services.console.cli_options import AsJson, OnStack, Where
from services.console.errors import DONE, FAILED, UserError

START_S: Final = 0.1
"""How long the log may take to show that it can be read at all."""


def console(
    where: Where = "",
    stack: OnStack = False,
    port: Annotated[int, typer.Option(metavar="PORT", min=0, max=65535, help="0: a free one.")] = 8700,
    host: Annotated[str, typer.Option(metavar="HOST", help="Who may see it: loopback only.")] = "127.0.0.1",
    as_json: AsJson = False,
) -> int:
    """Serve the report of a campaign as a page that follows it, until Ctrl-C."""
    try:
        from services.console.live import Live
    except ImportError as error:
        advice = 'Install it with `pip install "tdscaling[models]"`'
        raise UserError(f"no page can be served: {error}", advice, code=FAILED) from None
    import asyncio

    from services.console.source import source_of
    from services.console.stopping import run_to_end

    source = source_of(where, stack=stack)

    async def work(stop: asyncio.Event) -> None:
        live = Live(source)
        following = asyncio.create_task(live.follow())
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait([following], timeout=START_S)
            if not following.done():
                async with live.open(host, port) as url:
                    words = json.dumps({"url": url}) if as_json else f"{source.words}: {url} (Ctrl-C stops)"
                    typer.echo(words)
                    await asyncio.wait([following, stopped], return_when=asyncio.FIRST_COMPLETED)
            if following.done():
                following.result()
        finally:
            for task in (stopped, following):
                task.cancel()
            await asyncio.gather(stopped, following, return_exceptions=True)

    try:
        run_to_end(work)
    except OSError as error:
        what = f"cannot listen on {host}:{port}: {error.strerror or error}"
        raise UserError(what, "Choose another --port", code=FAILED) from None
    return DONE
