"""The six services on a log in memory, and campaigns that are asked of them as of a stack."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from schemas.catalog import ImportServer
from schemas.evolution import CampaignSpec
from services.console.embedded import CampaignEnd, RunPlan, services
from services.console.ledger import Ledger
from services.console.source import Take
from services.console.stack import begin, follow
from services.kit.host import Host, utc_now
from services.kit.log import EventLog, Record
from services.kit.memory import MemoryLog
from services.kit.models.router import ModelRouter
from services.sim.actors import SimModel
from services.worlds.machines import dump


class Held:
    """A log in memory as a source of one campaign."""

    def __init__(self, records: Sequence[Record], campaign: str) -> None:
        self.records = records
        self.campaign = campaign
        self.words = self.resume = campaign

    def config(self) -> dict:
        return {}

    def each(self, take: Take, topics: Sequence[str] | None = None) -> None:
        for record in self.records:
            if topics is None or record.topic in topics:
                take(record)

    def ledger(self) -> Ledger:
        return Ledger.open(self)


@asynccontextmanager
async def at_work(log: EventLog) -> AsyncIterator[Host]:
    """The services, working on ``log``."""
    router = ModelRouter(SimModel())
    host = Host(log, services(router), clock=utc_now, concurrency=16, grace_s=0)
    serving = asyncio.create_task(host.run())
    try:
        yield host
    finally:
        host.stop()
        await serving
        await router.close()


def servers(names: Sequence[str]) -> list[ImportServer]:
    """These servers of the built-in catalog."""
    found = {str(raw["id"]): raw for raw in dump()}
    return [ImportServer(server_id=name, server=found[name], origin="test") for name in names]


def plan(campaign: str, imports: Sequence[ImportServer], *, seed: int = 7, count: int = 3) -> RunPlan:
    """A small campaign on these servers."""
    spec = CampaignSpec(campaign=campaign, trajectories=count, seed=seed, generation_size=4, lookahead=1)
    return RunPlan(imports, spec)


async def carried_out(log: EventLog, wanted: RunPlan) -> CampaignEnd:
    """Ask for a campaign, and wait for its end."""
    stop = asyncio.Event()
    async with asyncio.timeout(120):
        ordered = await begin(log, wanted, stop, lambda _: None)
        return await follow(log, ordered, lambda _: None, stop, lambda _: None)


def made_by(*plans: RunPlan) -> list[Record]:
    """The records of these campaigns, carried out one after another on one log."""

    async def story() -> list[Record]:
        log = MemoryLog()
        async with at_work(log):
            for wanted in plans:
                await carried_out(log, wanted)
        return list(log.records)

    return asyncio.run(story())


def shuffled(records: Sequence[Record], seed: int) -> list[Record]:
    """The records in another order, in which each partition keeps its own: in lumps, as Kafka brings them."""
    rng = random.Random(f"shuffled/{seed}")
    partitions: dict[tuple[str, int], list[Record]] = {}
    for record in records:
        partitions.setdefault((record.topic, record.partition), []).append(record)
    left = [partitions[place] for place in sorted(partitions)]
    found: list[Record] = []
    while left:
        index = rng.randrange(len(left))
        lump = rng.choice((1, 3, 20, 500))
        found.extend(left[index][:lump])
        left[index] = left[index][lump:]
        if not left[index]:
            del left[index]
    return found
