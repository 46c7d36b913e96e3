"""A Kafka broker in a container, which a test may kill and start again at the same port."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")  # containers are removed here

import docker
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

KAFKA_IMAGE = "apache/kafka:4.3.0"
CONFIGURATION = Path(__file__).resolve().parents[2] / "infra" / "kafka"
STARTED = "Kafka Server started"
START_S = 90


def engine_missing() -> str:
    """Why no container can be started, or empty."""
    try:
        client = docker.from_env(timeout=10)
        try:
            client.ping()
        finally:
            client.close()
    except (docker.errors.DockerException, OSError) as error:
        return f"no container engine answers ({type(error).__name__})"
    return ""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class KafkaServer:
    """A running broker; ``bootstrap`` is where."""

    def __init__(self, container: Any, bootstrap: str) -> None:
        self._container = container
        self.bootstrap = bootstrap

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._container.kill()
        self._container.wait()

    def start(self) -> None:
        """Start it again, on the data that it had; returns when it answers."""
        already = self._said()
        self._container.start()
        deadline = time.monotonic() + START_S
        while self._said() == already:
            assert time.monotonic() < deadline, (
                f"no broker after {START_S} s: {self._container.logs()[-2000:]}"
            )
            time.sleep(0.1)

    def _said(self) -> int:
        return self._container.logs().count(STARTED.encode())


@contextmanager
def kafka_container(*settings: str, near: bool = False) -> Iterator[KafkaServer]:
    """Run a broker as the stack's is set up; ``settings`` are more lines of its server.properties.

    ``near``: on the network of this machine, as services in the stack's own network reach it: without the
    engine's port proxy between them. Only on Linux.
    """
    port = free_port()
    outside = f"EXTERNAL://127.0.0.1:{port}"
    lines = ("group.initial.rebalance.delay.ms=0", *settings)
    if near:
        inside, controller = f"INTERNAL://127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        lines += (
            f"listeners={inside},{outside},CONTROLLER://{controller}",
            f"advertised.listeners={inside},{outside}",
            f"controller.quorum.voters=1@{controller}",
        )
    else:
        lines += (f"advertised.listeners=INTERNAL://localhost:9092,{outside}",)
    command = ["sh", "/etc/tds-kafka/start.sh"]
    container = DockerContainer(KAFKA_IMAGE)
    container.with_command([*command, *(word for line in lines for word in ("--override", line))])
    container.with_volume_mapping(str(CONFIGURATION), "/etc/tds-kafka", "ro")
    if near:
        container.with_kwargs(network_mode="host")
    else:
        container.ports["19092/tcp"] = ("127.0.0.1", port)
    container.waiting_for(LogMessageWaitStrategy(STARTED).with_startup_timeout(timedelta(seconds=START_S)))
    with container:
        yield KafkaServer(container.get_wrapped_container(), f"127.0.0.1:{port}")
