"""Every backend of the sandbox that this machine has."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.sandbox_box import BACKENDS, Box

HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In a worker of their own, beside the tests that share brokers."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("sandbox"))


@pytest.fixture(scope="module", params=BACKENDS)
def box(request: pytest.FixtureRequest) -> Iterator[Box]:
    made = Box(request.param, getattr(request.module, "WIDE", None))
    yield made
    made.close()


@pytest.fixture(scope="module")
def bubblewrap() -> Iterator[Box]:
    """For what is the same whatever the jails are."""
    made = Box("bubblewrap")
    yield made
    made.close()


@pytest.fixture
def run() -> str:
    return f"test.{uuid.uuid4().hex[:8]}"
