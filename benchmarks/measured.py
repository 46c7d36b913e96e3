"""How soon the monitor has measured a run: RunFinished to DiversityMeasured on Kafka.

    python -m benchmarks.measured [--rate 200] [--seconds 30]

A campaign's run events, re-keyed so that there are as many runs as are wanted, are appended to a real broker
at the given rate of finished runs a second, all events of a run with it; the diversity-monitor runs as a
process of its own. A run's time begins before its RunFinished is handed to the producer and ends when its
DiversityMeasured has been read back here. Prints percentiles in milliseconds, the CPU of the monitor, and the
rate that was really had.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.stack_door import brokers
from schemas.codec import decode
from schemas.envelope import Message
from schemas.run import RunFinished
from schemas.topics import DIVERSITY_EVENTS, RUN_EVENTS
from services.console import api
from services.kit.chain import seal
from services.kit.kafka.log import KafkaLog
from services.kit.log import Outgoing
from services.kit.service import Draft
from services.kit.sqlite import read
from tests.support.stack import Stack, stack

WARM_S = 5.0
TIME = "2026-01-01T00:00:00.000Z"


def transcripts(folder: Path) -> list[list[Message]]:
    """The events of every finished run of a small campaign."""
    api.run(trajectories=50, seed=3, out=folder / "campaign")
    runs: dict[str, list[Message]] = {}
    for record in read(folder / "campaign" / "log.sqlite3", [RUN_EVENTS.name]):
        envelope = decode(RUN_EVENTS, record.key, record.headers, record.value)
        runs.setdefault(record.key, []).append(envelope.data)
    return [events for events in runs.values() if isinstance(events[-1], RunFinished)]


def made(events: Sequence[Message], slot: int) -> tuple[str, list[Outgoing]]:
    """The same events as run number ``slot`` of another campaign."""
    run = f"bench.{slot}.1"
    drafts = [
        Draft(
            run,
            one.model_copy(
                update={"run": run, "campaign": "bench", "slot": slot}
                if "campaign" in type(one).model_fields
                else {"run": run}
            ),
            "bench",
        )
        for one in events
    ]
    return run, [one.outgoing for one in seal(drafts, {}, "tds/bench", TIME)]


async def measure(
    running: Stack, runs: list[tuple[str, list[Outgoing]]], rate: float
) -> tuple[list[float], float]:
    """Seconds that each run took, those of the first seconds left out, and runs a second."""
    began: dict[str, float] = {}
    took: dict[str, float] = {}
    async with KafkaLog(running.settings) as log:
        consumer = log.consumer([DIVERSITY_EVENTS.name], {})
        await consumer.poll(1, 0.1)

        async def listen() -> None:
            while len(took) < len(runs):
                for record in await consumer.poll(500, 1.0):
                    now = time.perf_counter()
                    envelope = decode(DIVERSITY_EVENTS, record.key, record.headers, record.value)
                    run = getattr(envelope.data, "run", "")
                    if run in began:
                        took.setdefault(run, now - began[run])

        async def play(run: str, records: list[Outgoing]) -> None:
            await log.append(records[:-1])
            began[run] = time.perf_counter()
            await log.append(records[-1:])

        listening = asyncio.create_task(listen())
        start = time.perf_counter()
        playing = []
        for number, one in enumerate(runs):
            await asyncio.sleep(max(0.0, start + number / rate - time.perf_counter()))
            playing.append(asyncio.create_task(play(*one)))
        await asyncio.gather(*playing)
        really = len(runs) / (time.perf_counter() - start)
        await asyncio.wait_for(listening, 60)
    warm = [run for run, _ in runs[int(WARM_S * rate) :]]
    return [took[run] for run in warm], really


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--rate", type=float, default=200.0, help="finished runs a second")
    parser.add_argument("--seconds", type=float, default=30.0)
    given = parser.parse_args()
    with ExitStack() as opened:
        scratch = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        kinds = transcripts(scratch)
        count = int(given.rate * (given.seconds + WARM_S))
        runs = [made(kinds[slot % len(kinds)], slot) for slot in range(count)]
        broker = opened.enter_context(brokers())
        running = opened.enter_context(
            stack(broker.kafka, f"measured-{broker.token}.", scratch / "stack", redis=broker.redis)
        )
        monitor = running.start("diversity_monitor")
        running.wait_ready()
        cpu_s = monitor.cpu_s()
        found, rate = asyncio.run(measure(running, runs, given.rate))
        events = sum(len(records) for _, records in runs)
        shares = ", ".join(f"p{one:g} {1000 * np.percentile(found, one):.1f}" for one in (50, 90, 99, 100))
        print(f"RunFinished to DiversityMeasured, ms: {shares}")
        print(
            f"{len(found)} runs at {rate:.0f} a second ({events / count:.1f} events each); "
            f"monitor {1000 * (monitor.cpu_s() - cpu_s) / count:.2f} ms of CPU a run"
        )


if __name__ == "__main__":
    main()
