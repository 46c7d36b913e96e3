"""A campaign on the stack, for the benchmarks: broker, Redis, service processes, and ``tds run --stack``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.brokers import engine_missing, kafka_container
from tests.support.redis_container import redis_container
from tests.support.stack import ROOT, Stack

if TYPE_CHECKING:
    from benchmarks.orchestration import Campaign


@dataclass(frozen=True)
class Broker:
    """Where Kafka and Redis are; ``token`` keeps one measurement's topics from another's."""

    kafka: str
    redis: str
    token: str


@contextmanager
def brokers() -> Iterator[Broker]:
    """Those that TDS_TEST_KAFKA and TDS_TEST_REDIS name, else containers for as long as the block runs."""
    kafka, redis = os.environ.get("TDS_TEST_KAFKA"), os.environ.get("TDS_TEST_REDIS")
    with ExitStack() as opened:
        if (not kafka or not redis) and (why := engine_missing()):
            raise SystemExit(f"error: {why}; start one, or set TDS_TEST_KAFKA and TDS_TEST_REDIS")
        if not kafka:
            kafka = opened.enter_context(kafka_container()).bootstrap
        if not redis:
            redis = opened.enter_context(redis_container()).url
        yield Broker(kafka, redis, uuid.uuid4().hex[:8])


@dataclass(frozen=True)
class CarriedOut:
    """What ``tds run --stack`` made, and the CPU seconds that it took itself."""

    dataset: bytes
    calls: int
    """Model calls whose replies are in the log."""
    cpu_s: float


def carried_out(running: Stack, campaign: Campaign, folder: Path) -> CarriedOut:
    """Run ``campaign`` on a stack to its end."""
    command = [sys.executable, "-m", "services.console.cli", "run", "--stack", "--out", str(folder), "--json"]
    arguments = campaign.arguments(on_stack=True)
    process = subprocess.Popen(
        [*command, *arguments], cwd=ROOT, env=running.variables(), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    card = json.loads(process.stdout.read())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"tds run --stack ended with {process.returncode}: {card}")
    dataset = (folder / "dataset.jsonl").read_bytes()
    return CarriedOut(dataset, card["usage"]["calls"], usage.ru_utime + usage.ru_stime)
