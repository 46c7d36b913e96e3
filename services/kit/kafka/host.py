"""Runs one service on Kafka, as a FastStream application: ``faststream run services.<name>.app:app``.

Starting: broker, topics and Redis are looked at first, with clear words and exit code 1 where they cannot
be used. Stopping (SIGTERM): nothing new is started, what is under way is finished and appended within
``TDS_GRACE_S``, offsets are committed, the group is left. Anything that the host cannot go on from ends the
process with exit code 1: whoever starts it anew goes on from the log.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import structlog
from faststream import FastStream
from faststream.kafka import KafkaBroker
from faststream.kafka.prometheus import KafkaPrometheusMiddleware
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from services.kit import settings as kit_settings
from services.kit.host import DeciderRunner, Host, PerformerRunner, first_failure, utc_now
from services.kit.kafka.log import KafkaLog
from services.kit.kafka.provision import verify_topics
from services.kit.kafka.share import REPLICA, Lead, Share
from services.kit.log import LogError, Offsets
from services.kit.models.chat import ChatModel
from services.kit.models.retry import FailedAttempt, note_failed
from services.kit.models.router import ModelRouter
from services.kit.service import Decider, Service
from services.kit.settings import KitSettings
from services.kit.shared.live import LiveStatus, announce
from services.kit.shared.sharing import SharedError, gate_on, sharing
from services.kit.tuning import tune
from services.kit.watched import telemetry
from services.kit.watched.health import HealthServer
from services.kit.watched.meter import Standing, Watched
from services.kit.watched.metrics import Metrics
from services.kit.watched.tracing import set_up

if TYPE_CHECKING:
    from services.kit.shared.redis import Shared

log = structlog.get_logger(__name__)

FAILED: Final = 1
LOOK_S: Final = 2.0
VERSION: Final = importlib.metadata.version("tdscaling")


class KafkaHost:
    """One service and the FastStream application around it.

    ``make`` makes the service; with ``sim`` it is handed a model, in which the scripted actors play the sim
    names and clients ask all others.
    """

    def __init__(
        self, make: Callable[..., Service], sim: Callable[[], ChatModel] | None, settings: KitSettings
    ) -> None:
        self.settings = settings
        self.log = KafkaLog(settings, client="tds-service")
        self.broker = KafkaBroker(
            client_id="tds-service",
            allow_auto_create_topics=False,
            apply_types=False,
            graceful_timeout=settings.grace_s,
            logger=None,
            bootstrap_servers=settings.kafka,
            security=security(settings),
            consumer_only=True,  # what is appended goes through the log's own producer
        )
        self.app = FastStream(
            self.broker,
            logger=None,
            lifespan=self._lifespan,
            on_startup=[self._start],
            on_shutdown=[self._stop],
        )
        self.host = Host(
            self.log, (), clock=utc_now, concurrency=settings.concurrency, grace_s=settings.grace_s
        )
        self.failure: Exception | None = None
        self._make = make
        self._sim = sim
        self._ends: Offsets = {}
        self._model: Watched | None = None
        self._service: Service | None = None
        self._share: Share | Lead | None = None
        self._serving: asyncio.Task[None] | None = None

    def fail(self, error: Exception) -> None:
        """End the process: this cannot be gone on from."""
        if self.failure is None:
            self.failure = error
            log.error("cannot go on", error=str(error), exc_info=error)
        self.app.exit()

    @asynccontextmanager
    async def _lifespan(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            try:
                await self._open(stack)
            except (LogError, SharedError, OSError) as error:
                log.error("cannot start", error=str(error))  # noqa: TRY400
                raise SystemExit(FAILED) from None
            yield
        if self.failure is not None:
            raise SystemExit(FAILED)

    async def _open(self, stack: AsyncExitStack) -> None:
        """Take up everything that the service stands on, or say what is wrong with it."""
        settings = self.settings
        await verify_topics(settings)
        await stack.enter_async_context(self.log)
        shared = await stack.enter_async_context(sharing(settings))
        service = self._service = await self._made(stack, shared)
        metrics, tracing = Metrics(service.name, self.standing), set_up(service.name)
        stack.callback(tracing.close)
        self.host.meter, self.host.tracing = metrics, tracing
        if self._model is not None:
            self._model.meter, self._model.tracing = metrics, tracing
        counting = KafkaPrometheusMiddleware(registry=metrics.registry, app_name=service.name)
        for middleware in (counting, *tracing.middlewares()):
            self.broker.add_middleware(middleware)
        topics = [topic.name for topic in service.reads]
        health = HealthServer(
            settings,
            service=service.name,
            standing=self.standing,
            ends=lambda: self.log.ends(topics),
            redis=None if shared is None else shared.probe,
            metrics=metrics,
        )
        await health.start()
        stack.push_async_callback(health.stop)
        if shared is not None:
            for work in (announce(shared, self._status), self._look_at_ends(topics)):
                stack.push_async_callback(ended, asyncio.create_task(work))

    async def _made(self, stack: AsyncExitStack, shared: Shared | None) -> Service:
        """The service, with a model where it wants one."""
        if self._sim is None:
            return self._make()
        router = ModelRouter(self._sim(), on_failed=self._note_failed, gate=gate_on(shared))
        stack.push_async_callback(router.close)
        self._model = Watched(router)
        return self._make(self._model)

    def _note_failed(self, failed: FailedAttempt) -> None:
        """An attempt at a model call failed."""
        if self._model is not None:
            self._model.meter.attempt_failed(failed)
        note_failed(failed)

    async def _start(self) -> None:
        service = self._service
        assert service is not None, "the lifespan comes first"
        if isinstance(service, Decider):
            self.log.gather_s = max(self.log.gather_s, service.gather_s)
            decider = DeciderRunner(self.host, service)
            self._share = lead = Lead(self.broker, self.log, decider, failed=self.fail)
            self.host.runners = [decider]
            work = lead.serve()
        else:
            self._share = share = Share(
                self.broker, self.log, service, concurrency=self.settings.concurrency, failed=self.fail
            )
            performer = PerformerRunner(self.host, service, share)
            self.host.runners = [performer]
            work = performer.serve()
        self._serving = asyncio.create_task(work, name=service.name)
        self._serving.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, ExceptionGroup):
            error = first_failure(error)
        if isinstance(error, Exception):
            self.fail(error)

    async def _stop(self) -> None:
        self.host.stop()
        if isinstance(self._share, Lead):
            self._share.wake()
        if self._serving is not None:
            await asyncio.wait({self._serving}, timeout=self.settings.grace_s + 10)

    def standing(self) -> Standing:
        """Where the service stands now."""
        if self._share is None:
            return Standing("starting")
        found = self._share.standing()
        return replace(found, in_flight=self.host.capacity.used, capacity=self.host.capacity.limit)

    async def _look_at_ends(self, topics: Sequence[str]) -> None:
        """Keep in mind where the topics end, for the lag in the live status."""
        while True:
            with suppress(LogError):
                self._ends = await self.log.ends(topics)
            await asyncio.sleep(LOOK_S)

    def _status(self) -> LiveStatus:
        now = self.standing()
        return LiveStatus(
            service=self._service.name if self._service else "",
            replica=REPLICA,
            host=socket.gethostname(),
            pid=os.getpid(),
            state="stopping" if self.host.stopping else now.state,
            open_runs=now.open_keys,
            effects=now.in_flight,
            capacity=now.capacity,
            lag=sum(now.lag(self._ends).values()),
            version=VERSION,
            time=utc_now(),
        )


async def ended(task: asyncio.Task[None]) -> None:
    """Cancel a task and wait until it is over."""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def security(settings: KitSettings) -> BaseSecurity:
    """How FastStream is told what ``connection`` tells aiokafka."""
    how = settings.kafka_security
    context = ssl.create_default_context() if how.endswith("ssl") else None
    if not how.startswith("sasl"):
        return BaseSecurity(ssl_context=context)
    kinds = {"PLAIN": SASLPlaintext, "SCRAM-SHA-256": SASLScram256, "SCRAM-SHA-512": SASLScram512}
    return kinds[settings.kafka_mechanism](
        username=settings.kafka_user,
        password=settings.kafka_password.get_secret_value(),
        ssl_context=context,
        use_ssl=context is not None,
    )


def hosted(make: Callable[..., Service], sim: Callable[[], ChatModel] | None = None) -> FastStream:
    """The application that runs the service that ``make`` makes, with the environment's settings.

    With ``sim``, ``make`` is handed a model: the scripted actors for sim names, clients for all others.
    """
    try:
        settings = kit_settings.load()
    except ValueError as error:
        raise SystemExit(f"error: {error}") from None
    telemetry.configure(level=settings.log_level, form=settings.log_format)
    telemetry.take_over("aiokafka", "asyncio", "faststream")
    tune()
    return KafkaHost(make, sim, settings).app
