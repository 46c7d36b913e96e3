"""A Redis in a container, which a test may kill, stop for a while, and start again at the same port."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from testcontainers.core.container import DockerContainer

from tests.support.brokers import free_port

IMAGE = "redis:8"
START_S = 30


class RedisServer:
    def __init__(self, container: Any, port: int, password: str) -> None:
        self._container = container
        self._password = password
        self.place = f"127.0.0.1:{port}"
        self.url = f"redis://{f':{password}@' if password else ''}{self.place}/0"

    def start(self) -> None:
        self._container.start()
        self.wait_until_up()

    def kill(self) -> None:
        self._container.kill()
        self._container.wait()

    def pause(self) -> None:
        self._container.pause()

    def unpause(self) -> None:
        self._container.unpause()

    def wait_until_up(self) -> None:
        deadline = time.monotonic() + START_S
        while True:
            try:
                with redis.Redis.from_url(self.url, socket_timeout=1) as client:
                    client.ping()
                return
            except redis.RedisError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)


@contextmanager
def redis_container(password: str = "", *, near: bool = False) -> Iterator[RedisServer]:
    """Run a Redis that keeps nothing on disk; ``near`` as in ``kafka_container``."""
    port = free_port()
    command = [
        "redis-server",
        "--port",
        str(port if near else 6379),
        "--bind",
        "127.0.0.1" if near else "0.0.0.0",
        "--protected-mode",
        "no",
        "--save",
        "",
        "--appendonly",
        "no",
    ]
    container = DockerContainer(IMAGE)
    container.with_command([*command, *(["--requirepass", password] if password else [])])
    if near:
        container.with_kwargs(network_mode="host")
    else:
        container.ports["6379/tcp"] = ("127.0.0.1", port)
    with container:
        server = RedisServer(container.get_wrapped_container(), port, password)
        server.wait_until_up()
        yield server
