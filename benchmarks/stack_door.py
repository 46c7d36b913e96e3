"""Broker and Redis for the benchmarks of the stack."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.support.brokers import engine_missing, kafka_container
from tests.support.redis_container import redis_container


@dataclass(frozen=True)
class Broker:
    """Where Kafka and Redis are; ``token`` keeps one measurement's topics from another's."""

    kafka: str
    redis: str
    token: str


@contextmanager
def brokers() -> Iterator[Broker]:
    """Those that TDS_TEST_KAFKA and TDS_TEST_REDIS name, else containers for as long as the block runs.

    On Linux no port proxy stands before the containers, as none does inside the compose network.
    """
    near = sys.platform == "linux"
    kafka, redis = os.environ.get("TDS_TEST_KAFKA"), os.environ.get("TDS_TEST_REDIS")
    with ExitStack() as opened:
        if (not kafka or not redis) and (why := engine_missing()):
            raise SystemExit(f"error: {why}; start one, or set TDS_TEST_KAFKA and TDS_TEST_REDIS")
        if not kafka:
            kafka = opened.enter_context(kafka_container(near=near)).bootstrap
        if not redis:
            redis = opened.enter_context(redis_container(near=near)).url
        yield Broker(kafka, redis, uuid.uuid4().hex[:8])
