"""An OpenAI-compatible server that answers in a fixed time, and allows so many requests a second."""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from tests.support.server_process import listening


@dataclass(frozen=True)
class Arrival:
    time_s: float
    status: int
    text: str
    """Of the last message."""


@dataclass
class LimitedServer:
    """A bucket of ``burst`` requests that ``rate`` a second flow into; 429 where it is empty."""

    rate: float = math.inf
    burst: float = 1.0
    retry_after: str = "0.2"
    latency_s: float = 0.01
    statuses: list[int] = field(default_factory=list)
    """What the first requests are answered with, whatever the bucket holds."""
    base_url: str = ""
    arrivals: list[Arrival] = field(default_factory=list)
    _filled: float = math.inf
    _at_s: float = 0.0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        text = (await request.json())["messages"][-1]["content"]
        now_s = time.monotonic()
        status = self._status(now_s)
        self.arrivals.append(Arrival(now_s, status, text))
        if status != 200:
            return web.json_response({}, status=status, headers={"Retry-After": self.retry_after})
        await asyncio.sleep(self.latency_s)
        message = {"content": f"{len(self.arrivals)} {text}"}
        usage = {"prompt_tokens": 3, "completion_tokens": 2}
        return web.json_response({"choices": [{"message": message}], "usage": usage})

    def count(self, status: int, since_s: float = 0.0, text: str | None = None) -> int:
        return sum(
            one.status == status and one.time_s >= since_s and text in (None, one.text)
            for one in self.arrivals
        )

    def _status(self, now_s: float) -> int:
        if self.statuses:
            return self.statuses.pop(0)
        if math.isinf(self.rate):
            return 200
        self._filled = min(self.burst, self._filled + (now_s - self._at_s) * self.rate)
        self._at_s = now_s
        if self._filled < 1:
            return 429
        self._filled -= 1
        return 200


@asynccontextmanager
async def limited_server(**how) -> AsyncIterator[LimitedServer]:
    server = LimitedServer(**how)
    app = web.Application()
    app.router.add_post("/v1/chat/completions", server.answer)
    async with listening(app) as server.base_url:
        yield server
