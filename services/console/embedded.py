"""All six services in one process, on one SQLite log: the door for a laptop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from schemas.catalog import FormClusters, ImportServer
from schemas.codec import Undecodable, decode
from schemas.evolution import (
    CampaignFinished,
    CampaignPaused,
    CampaignResumed,
    CampaignSpec,
    CampaignStarted,
    ControlCampaign,
    StartCampaign,
)
from schemas.topics import EVOLUTION_EVENTS, TOPICS
from services.agent_runner import app as agent_runner
from services.blueprint_planner import app as blueprint_planner
from services.cluster_registry import app as cluster_registry
from services.diversity_monitor import app as diversity_monitor
from services.evolution_scheduler import app as evolution_scheduler
from services.kit import settings
from services.kit.chain import seal
from services.kit.host import Host, utc_now
from services.kit.log import EventLog, LogError, Outgoing, Record
from services.kit.models.chat import ChatModel
from services.kit.service import Draft, Service
from services.kit.sqlite import SqliteLog
from services.sandbox_exec import app as sandbox_exec
from services.sandbox_exec.backend import Backend
from services.sandbox_exec.choice import choose

LOG: Final = "log.sqlite3"
SOURCE: Final = "tds/console"
STALL_S: Final = 5.0
"""How long nothing may be due or under way before a campaign that has not ended is given up."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a new campaign starts from: the servers to import, and what is asked for."""

    servers: Iterable[ImportServer]
    spec: CampaignSpec
    min_tools: int = 3
    max_tools: int = 12


@dataclass(frozen=True, slots=True)
class CampaignEnd:
    """How a run of the process ended. Both empty: it was stopped, and can be resumed."""

    finished: CampaignFinished | None = None
    paused: str = ""


class Stalled(RuntimeError):  # noqa: N818  (a state of the campaign; the text says what to do)
    """Nothing is due or under way, and yet the campaign has not ended."""


def services(model: ChatModel, sandbox: Backend | None = None) -> tuple[Service, ...]:
    """The six services, asking ``model`` for every role; without a ``sandbox``, code is refused."""
    return (
        cluster_registry.service(),
        blueprint_planner.service(model),
        agent_runner.service(model),
        sandbox_exec.service(sandbox),
        diversity_monitor.service(),
        evolution_scheduler.service(),
    )


async def run_campaign(
    folder: Path,
    plan: RunPlan | None,
    *,
    models: ChatModel,
    concurrency: int,
    on_record: Callable[[Record], None] | None = None,
    stop: asyncio.Event | None = None,
) -> CampaignEnd:
    """Start ``plan`` in an empty ``folder``, or with None go on with the campaign that is there.

    Returns when the campaign has finished, paused, or ``stop`` is set; then everything that was under
    way is finished and appended. ``on_record`` hears of every record, from the log's first on.

    Raises:
        LogError: the folder holds a campaign already (or none, to resume), cannot be used, or its campaign
            runs code, which cannot be had here.
        Stalled: see there.
    """
    async with SqliteLog(folder / LOG) as log:
        watch = Watch(log, on_record)
        await watch.catch_up()
        if plan is not None:
            if watch.count:
                message = f"{folder} already holds a campaign; go on with `tds run --resume {folder}`"
                raise LogError(message)
            await log.append(opening(plan))
        elif not watch.campaign and not watch.count:
            message = f"{folder} holds no campaign; start one with `tds run --out {folder}`"
            raise LogError(message)
        elif watch.finished is not None:
            return CampaignEnd(watch.finished)
        sandbox = choose()
        announced = sandbox.announcement()
        if watch.code and not announced.safe:
            advice = f"go on with it where code can be run: {announced.reason}"
            raise LogError(f"the campaign in {folder} was begun with code; {advice}")
        if watch.paused:
            await log.append(order(watch.campaign, "resume", nonce=utc_now()))
            watch.paused = ""
        host = Host(
            log,
            services(models, sandbox),
            clock=utc_now,
            concurrency=concurrency,
            grace_s=settings.load().grace_s,
        )
        await serve(host, watch, stop or asyncio.Event())
    return CampaignEnd(watch.finished, watch.paused)


async def serve(host: Host, watch: Watch, stop: asyncio.Event) -> None:
    """Run the host until the campaign ends or ``stop`` is set.

    Raises:
        Exception: what the host raised.
    """
    serving = asyncio.create_task(host.run())
    watching = asyncio.create_task(watch.until_end())
    stopping = asyncio.create_task(stop.wait())
    stalling = asyncio.create_task(stalled(host))
    tasks = (serving, watching, stopping, stalling)
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        host.stop()
        await serving
        await watch.catch_up()
        for task in done:
            if task is not serving and not watch.finished:
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def stalled(host: Host) -> None:
    """Returns never; raises when the host has had nothing to do for ``STALL_S``."""
    still = 0.0
    while still < STALL_S:
        await asyncio.sleep(0.5)
        still = still + 0.5 if await host.quiet() else 0.0
    message = (
        "nothing is left to do, but the campaign has not ended; please report this with the folder's log"
    )
    raise Stalled(message)


def opening(plan: RunPlan) -> list[Outgoing]:
    """The commands of a new campaign, appended in one go: all of them are in the log or none."""
    spec = plan.spec
    drafts = (
        *(Draft(server.server_id, server) for server in plan.servers),
        Draft("catalog", FormClusters(min_tools=plan.min_tools, max_tools=plan.max_tools)),
        Draft(spec.campaign, StartCampaign(spec=spec), spec.campaign),
    )
    return [one.outgoing for one in seal(drafts, {}, SOURCE, utc_now())]


def order(campaign: str, action: str, *, nonce: str, reason: str = "") -> list[Outgoing]:
    """A control command."""
    command = ControlCampaign.model_validate(
        {"campaign": campaign, "action": action, "nonce": nonce, "reason": reason}
    )
    return [one.outgoing for one in seal([Draft(campaign, command, campaign)], {}, SOURCE, utc_now())]


class Watch:
    """Follows a log to see how its campaign stands."""

    def __init__(self, log: EventLog, on_record: Callable[[Record], None] | None = None) -> None:
        self.count = 0
        self.campaign = ""
        self.finished: CampaignFinished | None = None
        self.paused = ""
        self.code = False
        self._on_record = on_record
        topics = [*TOPICS, *(topic.dead for topic in TOPICS.values())]
        self._consumer = log.consumer(topics, {})

    async def catch_up(self) -> None:
        """Read all there is."""
        while records := await self._consumer.poll(1000, 0):
            self._fold(records)

    async def until_end(self) -> None:
        """Read on until the campaign has finished or paused."""
        while self.finished is None and not self.paused:
            self._fold(await self._consumer.poll(1000, 1.0))

    def _fold(self, records: list[Record]) -> None:
        for record in records:
            self.count += 1
            if record.topic == EVOLUTION_EVENTS.name:
                self._follow(record)
            if self._on_record is not None:
                self._on_record(record)

    def _follow(self, record: Record) -> None:
        try:
            data = decode(EVOLUTION_EVENTS, record.key, record.headers, record.value).data
        except Undecodable:
            return
        self.campaign = record.key
        if isinstance(data, CampaignStarted):
            self.code = data.code
        elif isinstance(data, CampaignFinished):
            self.finished = data
        elif isinstance(data, CampaignPaused):
            self.paused = data.reason or "paused by command"
        elif isinstance(data, CampaignResumed):
            self.paused = ""
