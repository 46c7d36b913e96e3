"""A campaign's page while it runs: figures as they change, over server-sent events.

One task follows the log and makes the figures anew at most every ``EVERY_S``, and never for more than a tenth
of its time; every listener is told the latest, however many it has missed. Its lines of trajectories carry
their count as the event's id, so a browser that comes back goes on from those it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from aiohttp import web

from services.console.ledger import Ledger
from services.console.page import CHUNK, live_page
from services.console.report import Report
from services.console.source import Source
from services.kit.log import Record

EVERY_S: Final = 1.0
"""Figures are made anew at most this often."""
SHARE: Final = 10
"""And their making takes at most one part of this many of the time."""
LISTENERS: Final = 32
"""Pages that listen at once, at most."""
LINES: Final = 500
"""Lines of trajectories in one event."""
QUIET_S: Final = 15.0
"""After so long without news a comment is sent, that nobody takes the connection for dead."""
NEWER: Final = "the log has events of a newer version of this program; upgrade it to read them"
HERE: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
Handler = Callable[[web.Request], Any]


class Live:
    """The page of one campaign, served from ``open`` on.

    Args:
        source: where its log is.
        clock: seconds, from wherever.
    """

    def __init__(self, source: Source, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._ledger = Ledger(source.campaign)
        self._report = Report(self._ledger)
        self._figures = b""
        self._fresh = True
        self._version = 0
        self._news = asyncio.Condition()
        self._listeners = 0

    async def follow(self) -> None:
        """Fold the log as it grows, until this is cancelled.

        Raises:
            LogError: it cannot be read.
        """
        reading = asyncio.create_task(self._source.follow(self._take))
        try:
            while True:
                took = await self._look()
                wait = max(EVERY_S, SHARE * took)
                done, _ = await asyncio.wait([reading], timeout=wait)
                if done:
                    reading.result()
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading

    def _take(self, record: Record) -> None:
        self._ledger.fold(record)
        self._fresh = True

    async def _look(self) -> float:
        """Make the figures anew where there is anything new; returns the seconds that it took."""
        if not self._fresh:
            return 0.0
        self._fresh = False
        begun = self._clock()
        self._report.grow()
        told = {
            **self._report.figures(),
            "rows": len(self._report.index),
            "over": self._ledger.finished is not None,
            "note": NEWER if self._ledger.newer else "",
        }
        made = json.dumps(told, ensure_ascii=False).encode()
        if made != self._figures:
            async with self._news:
                self._figures = made
                self._version += 1
                self._news.notify_all()
        return self._clock() - begun

    @contextlib.asynccontextmanager
    async def open(self, host: str, port: int) -> AsyncIterator[str]:
        """Listen; gives the page's address. Port 0: a free one.

        Raises:
            OSError: the address cannot be used.
        """
        guard = [_only_here] if host in HERE or host == "::1" else []
        app = web.Application(middlewares=guard)
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/figures", self._stream),
                web.get("/rows/{chunk:[0-9]{1,6}}", self._rows),
            ]
        )
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            shown = f"[{host}]" if ":" in host else host
            yield f"http://{shown}:{runner.addresses[0][1]}/"
        finally:
            await runner.cleanup()

    async def _page(self, _request: web.Request) -> web.Response:
        return _answer(live_page(), "text/html")

    async def _rows(self, request: web.Request) -> web.Response:
        first = int(request.match_info["chunk"]) * CHUNK
        rows = self._report.rows(first, first + CHUNK)
        if not rows:
            raise web.HTTPNotFound(text=f"there are {len(self._report.index)} trajectories")
        text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        return web.Response(
            body=text.encode("utf-8", "replace"),
            content_type="text/plain",
            charset="utf-8",
            headers=_NO_STORE,
        )

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if self._listeners >= LISTENERS:
            raise web.HTTPServiceUnavailable(text=f"{LISTENERS} pages listen already")
        self._listeners += 1
        try:
            response = web.StreamResponse(headers={**_NO_STORE, "Content-Type": "text/event-stream"})
            await response.prepare(request)
            with contextlib.suppress(ConnectionError):
                await self._tell(response, request.headers.get("Last-Event-ID", ""))
            return response
        finally:
            self._listeners -= 1

    async def _tell(self, response: web.StreamResponse, last: str) -> None:
        """Tell one listener all that it has not heard, for as long as it listens."""
        had, version = self._had(last), 0
        await response.write(_event("begin", json.dumps({"had": had, "chunk": CHUNK}).encode()))
        while True:
            if self._version == version:
                await response.write(b": nothing new\n\n")
            else:
                version, figures = self._version, self._figures
                had = min(had, len(self._report.index))
                while lines := self._report.index[had : had + LINES]:
                    had += len(lines)
                    data = json.dumps(lines, ensure_ascii=False).encode("utf-8", "replace")
                    await response.write(_event("rows", data, f"{self._ledger.campaign}:{had}"))
                await response.write(_event("figures", figures))
            async with self._news:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(QUIET_S):
                        while self._version == version:
                            await self._news.wait()

    def _had(self, last: str) -> int:
        """How many lines a listener has, by the id of the last event that it heard."""
        campaign, _, count = last.rpartition(":")
        if campaign != self._ledger.campaign or not (count.isascii() and count.isdigit()) or len(count) > 9:
            return 0
        return min(int(count), len(self._report.index))


_NO_STORE: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def _answer(body: bytes, kind: str) -> web.Response:
    return web.Response(body=body, content_type=kind, charset="utf-8", headers=_NO_STORE)


def _event(name: str, data: bytes, identity: str = "") -> bytes:
    mark = f"id: {identity}\n".encode() if identity else b""
    return b"event: " + name.encode() + b"\n" + mark + b"data: " + data + b"\n\n"


@web.middleware
async def _only_here(request: web.Request, handler: Handler) -> web.StreamResponse:
    """What listens on loopback answers to no other name: else any page on the web could read it."""
    name = request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host
    if name not in HERE:
        raise web.HTTPForbidden(text="this address answers only as localhost")
    found: web.StreamResponse = await handler(request)
    return found
