"""Real brokers for the tests here: named by the environment, else in containers, else tests are skipped."""

import os
from pathlib import Path

import pytest

from tests.support.brokers import engine_missing, kafka_container
from tests.support.redis_container import redis_container

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """All in one worker, so that all share one broker."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("connected"))


@pytest.fixture(scope="session")
def kafka():
    """Bootstrap server of a Kafka broker that makes no topic by itself."""
    if named := os.environ.get("TDS_TEST_KAFKA"):
        yield named
        return
    if why := engine_missing():
        pytest.skip(f"no Kafka: TDS_TEST_KAFKA names none, and {why}")
    with kafka_container() as server:
        yield server.bootstrap


@pytest.fixture(scope="session")
def redis_url():
    """URL of a Redis that any number of tests may write to."""
    if named := os.environ.get("TDS_TEST_REDIS"):
        yield named
        return
    if why := engine_missing():
        pytest.skip(f"no Redis: TDS_TEST_REDIS names none, and {why}")
    with redis_container() as server:
        yield server.url
