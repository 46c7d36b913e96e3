"""What more replicas of agent-runner bring: one campaign on Kafka with 1, 2, 4 and 8 of them.

    python -m benchmarks.scale [--replicas 1 2 4 8] [--trajectories 2048] [--latency 1]

All six services run as processes on a real broker (TDS_TEST_KAFKA, else in a container) and a real Redis
(TDS_TEST_REDIS, else in a container). All models are played over HTTP by a server that answers after a fixed
time, from a table that a campaign without latency has filled before (see benchmarks/orchestration.py). Wall
time is from CampaignStarted to CampaignFinished, by their times in the log. A *wave* is as many runs as the
largest number of replicas has in flight. CPU is that of all services' processes together, that of the busiest
service apart; *spread* is the fewest and the most runs that one replica finished.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from benchmarks.campaign import Campaign, tds_run
from benchmarks.orchestration import embedded, measure, said, server
from benchmarks.stack_door import Broker, brokers
from schemas.topics import EVOLUTION_EVENTS, RUN_EVENTS
from services.console.source import read_to_ends
from services.kit.kafka.log import KafkaLog
from services.kit.log import Record
from services.kit.settings import KitSettings
from tests.support.stack import Stack, stack

HEAD = "replicas  rows  calls   wall s  speed-up  of ideal   CPU s  ms/call  busiest               spread"


@dataclass(frozen=True)
class Told:
    """What the log says of a campaign."""

    wall_s: float
    runs: Counter[str]
    """Runs finished, by replica."""


def told(settings: KitSettings) -> Told:
    times: dict[str, datetime] = {}
    runs: Counter[str] = Counter()

    def take(record: Record) -> None:
        kind = record.headers.get("ce_type", "").split(".")[2]
        if kind in ("CampaignStarted", "CampaignFinished"):
            times.setdefault(kind, datetime.fromisoformat(record.headers["ce_time"]))
        elif kind in ("RunFinished", "RunFailed"):
            runs[record.headers["ce_source"]] += 1

    async def reading() -> None:
        async with KafkaLog(settings) as log:
            await read_to_ends(log, take, [EVOLUTION_EVENTS.name, RUN_EVENTS.name])

    asyncio.run(reading())
    return Told((times["CampaignFinished"] - times["CampaignStarted"]).total_seconds(), runs)


def run(
    running: Stack, campaign: Campaign, replicas: int, folder: Path
) -> tuple[Told, bytes, dict[str, float]]:
    """One campaign with so many runners; what was told, the dataset, and CPU seconds by service."""
    running.start_all(replicas)
    before = {one.number: one.cpu_s() for one in running.replicas}
    dataset = tds_run(campaign.arguments(on_stack=True), folder, running.variables()).dataset
    cpu: Counter[str] = Counter()
    for one in running.replicas:
        cpu[one.service] += one.cpu_s() - before[one.number]
    return told(running.settings), dataset, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--trajectories", type=int, default=2048)
    parser.add_argument("--generation-size", type=int, default=512)
    parser.add_argument("--in-flight", type=int, default=16, help="effects under way in one replica")
    parser.add_argument("--latency", type=float, default=1.0, help="seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--replies", type=Path, help="keep the replies in this file, for the next time")
    given = parser.parse_args()
    with ExitStack() as opened:
        scratch = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        broker: Broker = opened.enter_context(brokers())
        address = opened.enter_context(server(given.replies or scratch / "replies"))
        campaign = Campaign(
            f"{address}/v1", given.trajectories, given.generation_size, given.in_flight, given.seed
        )
        made = measure(embedded, campaign, scratch / "filling", 0.0)
        waves = given.trajectories / (max(given.replicas) * given.in_flight)
        print(
            f"{given.trajectories} trajectories, generations of {given.generation_size}, "
            f"{given.latency:g} s a call, {given.in_flight} in flight a replica: {waves:.1f} waves"
        )
        print(HEAD, flush=True)
        first = 0.0
        for replicas in given.replicas:
            said(f"{address}/measure?latency={given.latency}")
            environment = {"TDS_CONCURRENCY": str(given.in_flight)}
            prefix = f"scale-{replicas}-{broker.token}."
            folder = scratch / f"stack-{replicas}"
            with stack(broker.kafka, prefix, folder, redis=broker.redis, environment=environment) as running:
                running.each["blueprint_planner"] = {"TDS_CONCURRENCY": str(max(64, 8 * given.in_flight))}
                found, dataset, cpu = run(running, campaign, replicas, folder / "out")
            calls = len(said(f"{address}/measured")["answered"])
            first = first or found.wall_s * given.replicas[0]
            busiest = max(cpu, key=lambda one: cpu[one])
            print(
                f"{replicas:>8}{given.trajectories:>6}{calls:>7}{found.wall_s:>9.1f}"
                f"{first / found.wall_s:>10.2f}{first / found.wall_s / replicas:>10.2f}"
                f"{sum(cpu.values()):>8.1f}{1000 * sum(cpu.values()) / calls:>9.2f}"
                f"  {busiest} {cpu[busiest] / found.wall_s:.2f} cores"
                f"  {min(found.runs.values())}–{max(found.runs.values())}"
                f"{'' if dataset == made.ended.dataset else '  NOT THE SAME DATASET'}",
                flush=True,
            )


if __name__ == "__main__":
    main()
