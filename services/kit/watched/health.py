"""Whether a service process lives and is ready, and its metrics, over HTTP.

``/live`` asks whether the service gets on: position moving toward the end of what it reads. ``/ready`` asks
whether it could be given work now. Both answer 200 or 503 with a JSON object that says what and why.
``/metrics`` is for Prometheus. An event loop that stalls answers nothing, which is an answer too.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from services.kit.log import Offsets
from services.kit.settings import KitSettings
from services.kit.watched.meter import Standing

if TYPE_CHECKING:
    from aiohttp import web

    from services.kit.watched.metrics import Metrics

STALL_S: Final = 60.0
"""How long a position may stand still though there is something to read."""
BOUND_S: Final = 3.0
"""How long a broker or Redis may take to answer."""
FRESH_S: Final = 5.0
"""How long an answer of theirs is good for: they are asked no more often, however often we are."""
TEXT_FORMAT: Final = "text/plain; version=0.0.4; charset=utf-8"
"""What Prometheus calls its text format."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Yes or no, and why."""

    ok: bool
    why: str


@dataclass(slots=True)
class Liveness:
    """Remembers since when nothing has moved that should have.

    Lag that the service's own bound causes is not its fault, and neither is a broker that does not answer:
    no restart would cure it.
    """

    stall_s: float = STALL_S
    _positions: Offsets = field(default_factory=dict)
    _moved_s: float | None = None

    def judge(self, standing: Standing, ends: Offsets, now_s: float, *, broker: str = "") -> Verdict:
        """Whether the service gets on, at ``now_s``. ``broker``: why it cannot be reached."""
        lag = sum(standing.lag(ends).values())
        excuse = ""
        if broker:
            excuse = f"the broker does not answer: {broker}"
        elif not lag:
            excuse = "nothing is left to read"
        elif standing.bounded:
            excuse = f"{lag} records behind, and has as much in hand as it may have"
        if excuse or self._moved_s is None or standing.positions != self._positions:
            self._moved_s, self._positions = now_s, dict(standing.positions)
        still_s = now_s - self._moved_s
        if still_s > self.stall_s:
            return Verdict(False, f"{lag} records behind, and no progress for {still_s:.0f} s")
        return Verdict(True, excuse or f"{lag} records behind; last seen to move {still_s:.0f} s ago")


def readiness(standing: Standing, *, broker: str = "", redis: str = "") -> Verdict:
    """Whether work may be given to it. ``broker`` and ``redis``: why they cannot be reached.

    What Redis holds may be lost, so a service without it is degraded, not unready.
    """
    if broker:
        return Verdict(False, f"the broker does not answer: {broker}")
    degraded = f"; degraded: Redis does not answer: {redis}" if redis else ""
    if standing.state == "starting":
        return Verdict(False, "no partitions are assigned yet" + degraded)
    if standing.state == "standby":
        return Verdict(True, "stands by: another replica works" + degraded)
    if not standing.caught_up:
        return Verdict(False, "is still folding what was in the log when it began" + degraded)
    return Verdict(True, "works" + degraded)


class Asked:
    """Asks something outside, at most every ``FRESH_S`` and for at most ``bound_s``."""

    def __init__(self, ask: Callable[[], Awaitable[Any]], clock: Callable[[], float], bound_s: float) -> None:
        self.answer: Any = None
        """The latest answer that came."""
        self._ask = ask
        self._clock = clock
        self._bound_s = bound_s
        self._error = ""
        self._asked_s: float | None = None
        self._asking = asyncio.Lock()

    async def error(self) -> str:
        """Why it gave no answer, the last time it was asked; empty: it did."""
        async with self._asking:
            if self._asked_s is None or self._clock() - self._asked_s >= FRESH_S:
                try:
                    async with asyncio.timeout(self._bound_s):
                        self.answer = await self._ask()
                    self._error = ""
                except TimeoutError:
                    self._error = f"nothing within {self._bound_s:g} s"
                except Exception as error:  # noqa: BLE001  (whatever it is, it is what there is to say)
                    self._error = f"{type(error).__name__}: {error}"
                self._asked_s = self._clock()
            return self._error


class HealthServer:
    """Answers ``/live``, ``/ready`` and ``/metrics`` where ``settings`` say, from ``start`` to ``stop``.

    Args:
        settings: host and port; port 0 means that nothing is served.
        service: the service's name.
        standing: where it stands; called when somebody asks.
        ends: where the partitions of its topics end, asked of the broker.
        redis: asks Redis for an answer; None where the service has none.
        metrics: what ``/metrics`` shows; None: there is no such page.
        clock: seconds, from wherever.
        bound_s: how long broker and Redis may take to answer.
    """

    def __init__(
        self,
        settings: KitSettings,
        *,
        service: str,
        standing: Callable[[], Standing],
        ends: Callable[[], Awaitable[Offsets]],
        redis: Callable[[], Awaitable[object]] | None = None,
        metrics: Metrics | None = None,
        clock: Callable[[], float] = time.monotonic,
        bound_s: float = BOUND_S,
    ) -> None:
        self.settings = settings
        self._service = service
        self._standing = standing
        self._broker = Asked(ends, clock, bound_s)
        self._redis = None if redis is None else Asked(redis, clock, bound_s)
        self._metrics = metrics
        self._clock = clock
        self._liveness = Liveness()
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be used; the text says which variables name it.
        """
        if not self.settings.http_port:
            return
        from aiohttp import web

        app = web.Application()
        app.add_routes([web.get("/live", self._live), web.get("/ready", self._ready)])
        if self._metrics is not None:
            app.add_routes([web.get("/metrics", self._exposition)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        host, port = self.settings.http_host, self.settings.http_port
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            await self.stop()
            raise OSError(
                error.errno, f"TDS_HTTP_HOST={host}, TDS_HTTP_PORT={port} cannot be listened on: {error}"
            ) from None

    async def stop(self) -> None:
        """Listen no longer."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def _live(self, _request: web.Request) -> web.Response:
        broker = await self._broker.error()
        standing = self._standing()
        verdict = self._liveness.judge(standing, self._broker.answer or {}, self._clock(), broker=broker)
        return self._response(verdict, standing, broker=broker or "ok")

    async def _ready(self, _request: web.Request) -> web.Response:
        broker = await self._broker.error()
        redis = "" if self._redis is None else await self._redis.error()
        standing = self._standing()
        verdict = readiness(standing, broker=broker, redis=redis)
        shown = "none" if self._redis is None else redis or "ok"
        return self._response(verdict, standing, broker=broker or "ok", redis=shown)

    async def _exposition(self, _request: web.Request) -> web.Response:
        from aiohttp import web

        assert self._metrics is not None
        await self._broker.error()
        body = self._metrics.exposition(self._broker.answer or {})
        return web.Response(body=body, headers={"Content-Type": TEXT_FORMAT})

    def _response(self, verdict: Verdict, standing: Standing, **more: str) -> web.Response:
        from aiohttp import web

        body = {
            "service": self._service,
            "ok": verdict.ok,
            "why": verdict.why,
            "state": standing.state,
            "caught_up": standing.caught_up,
            "bounded": standing.bounded,
            "open_keys": standing.open_keys,
            "in_flight": standing.in_flight,
            "capacity": standing.capacity,
            "lag": {
                topic: lag for topic, lag in sorted(standing.lag(self._broker.answer or {}).items()) if lag
            },
            **more,
        }
        return web.json_response(body, status=200 if verdict.ok else 503)
