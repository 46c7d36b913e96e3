"""``tds console``: the page of a campaign while it runs, in a browser and over plain HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from services.console import api
from services.console.live import LISTENERS, Live
from services.console.source import Folder
from tests.support.chromium import browser, chromium
from tests.support.server_sent import events
from tests.support.small_log import whole
from tests.unit.test_console import stored

SLOW = "sim?latency=0.02:0.1"


@contextlib.asynccontextmanager
async def served(folder: Path) -> AsyncIterator[str]:
    """The page of what is in this folder, as ``tds console`` serves it."""
    live = Live(Folder(folder))
    following = asyncio.create_task(live.follow())
    try:
        async with live.open("127.0.0.1", 0) as url:
            yield url
    finally:
        following.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await following


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> api.Campaign:
    return api.run(trajectories=20, seed=3, out=tmp_path_factory.mktemp("live") / "run")


def test_the_page_follows_a_campaign_to_its_end(tmp_path: Path) -> None:
    if chromium() is None:
        pytest.skip("no Chromium is installed: the page cannot be opened")
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "services.console.cli", "run", "--trajectories", "60", "--seed", "3"]
    command += ["--out", str(folder), "--model", f"all={SLOW}", "--concurrency", "2"]
    shown = "Number(document.querySelector('.tile b').textContent)"

    async def look(running: subprocess.Popen[bytes]) -> None:
        async with asyncio.timeout(60):
            while not (folder / "log.sqlite3").exists():
                await asyncio.sleep(0.1)
        async with served(folder) as url, browser() as tab:
            await tab.open(url)
            await tab.until(f"{shown} >= 1")
            assert running.poll() is None, "the campaign was over before anybody looked"
            first = await tab.ask(shown)
            assert await tab.ask("document.getElementById('live').textContent") == "live"
            await tab.until(f"{shown} > {first}")
            await tab.ask("document.querySelector('#list button').click()")
            read = await tab.ask("document.querySelector('#detail h3').textContent")
            await tab.until("document.getElementById('live').textContent === 'the campaign has ended'")
            assert await tab.ask(shown) == 60
            assert await tab.ask("document.getElementById('count').textContent") == "60 of 60"
            assert await tab.ask("document.querySelector('#detail h3').textContent") == read
            assert await tab.ask("document.querySelectorAll('[data-chart] path').length") == 6
            assert tab.errors == []
            assert [one for one in tab.asked if not one.startswith(url)] == []

    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        try:
            asyncio.run(look(running))
        finally:
            running.kill()


def test_who_comes_back_goes_on_where_it_was(campaign: api.Campaign) -> None:
    async def look() -> None:
        async with served(campaign.folder) as url, aiohttp.ClientSession(read_bufsize=2**22) as session:
            async with session.get(f"{url}figures") as stream:
                assert stream.content_type == "text/event-stream"
                told = await events(stream, "rows")
                told += await events(stream, "figures")
            lines = [line for name, _, data in told if name == "rows" for line in data]
            assert [line["id"] for line in lines] == [row["id"] for row in campaign.rows()]
            assert told[-1][2]["rows"] == 20
            last = next(identity for name, identity, _ in told if name == "rows")
            for known, had in ((last, 20), ("other:12", 0), (last.replace(":20", ":7"), 7), ("nonsense", 0)):
                async with session.get(f"{url}figures", headers={"Last-Event-ID": known}) as stream:
                    told = await events(stream, "figures")
                    assert told[0] == ("begin", "", {"had": had, "chunk": 50})
                    again = [line for name, _, data in told if name == "rows" for line in data]
                    assert again == lines[had:]
            async with session.get(f"{url}rows/0") as reply:
                read = [json.loads(line) for line in (await reply.text()).split("\n")]
            for row, one in zip(campaign.rows(), read, strict=True):
                assert one["id"] == row["id"]
                assert one["messages"] == row["messages"][1:]
            async with session.get(f"{url}rows/1") as reply:
                assert reply.status == 404

    asyncio.run(look())


def test_it_answers_to_no_other_name_and_not_to_too_many(campaign: api.Campaign) -> None:
    async def look() -> None:
        connector = aiohttp.TCPConnector(limit=0)
        async with served(campaign.folder) as url, aiohttp.ClientSession(connector=connector) as session:
            async with session.get(url, headers={"Host": "somewhere.example:8700"}) as reply:
                assert reply.status == 403
            async with session.get(url, headers={"Host": "localhost:8700"}) as reply:
                assert reply.status == 200
            async with contextlib.AsyncExitStack() as listening:
                for _ in range(LISTENERS):
                    reply = await listening.enter_async_context(session.get(f"{url}figures"))
                    assert reply.status == 200
                async with session.get(f"{url}figures") as reply:
                    assert reply.status == 503
                    assert str(LISTENERS) in await reply.text()

    asyncio.run(look())


def test_a_log_that_is_not_there_is_said_and_nothing_is_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from services.console.cli import main

    assert main(["console", str(tmp_path / "none"), "--port", "0"]) == 1
    assert "no event log at" in capsys.readouterr().err


def test_events_of_a_newer_version_are_said(tmp_path: Path) -> None:
    log = whole()
    headers = {**log.records[-1].headers, "ce_type": "tds.evolution.CampaignFinished.v9"}
    folder = stored(tmp_path / "run", [*log.records[:-1], replace(log.records[-1], headers=headers)])

    async def look() -> None:
        async with (
            served(folder) as url,
            aiohttp.ClientSession(read_bufsize=2**22) as session,
            session.get(f"{url}figures") as stream,
        ):
            told = await events(stream, "figures")
            while not told[-1][2]["note"]:
                told += await events(stream, "figures")
            assert "newer version" in told[-1][2]["note"]

    asyncio.run(look())
