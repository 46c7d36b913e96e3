"""The six services as processes on a real broker: started, killed and looked after by a test.

Each stack has topics and groups of its own, by their prefix, so that many may share one broker.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.kit.kafka.provision import provision
from services.kit.settings import KitSettings

ROOT = Path(__file__).resolve().parents[2]
DECIDERS = ("cluster_registry", "diversity_monitor", "evolution_scheduler")
PERFORMERS = ("blueprint_planner", "agent_runner", "sandbox_exec")
SERVICES = (*DECIDERS, *PERFORMERS)
READY_S = 60.0
STOP_S = 20.0


@dataclass
class Replica:
    """One process of one service; what it says goes to ``log``."""

    service: str
    number: int
    process: subprocess.Popen[bytes]
    log: Path

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def said(self, text: str) -> bool:
        return text.encode() in self.log.read_bytes()

    def lines(self, event: str) -> list[dict[str, Any]]:
        """What it said of this event, a whole line each."""
        text = self.log.read_bytes()
        lines = text[: text.rfind(b"\n") + 1].splitlines()
        return [json.loads(line) for line in lines if f'"event": "{event}"'.encode() in line]

    def owned(self) -> set[int]:
        """The partitions that a performer was given last."""
        return set(numbers(self.lines("assigned")[-1]["own"]))

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self, timeout_s: float = STOP_S) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def cpu_s(self) -> float:
        """CPU seconds used so far, user and system."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Stack:
    """Replicas by service. ``environment`` is added to each one's, and to that of ``tds``."""

    kafka: str
    prefix: str
    folder: Path
    redis: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    each: dict[str, dict[str, str]] = field(default_factory=dict)
    """More environment, by service."""
    replicas: list[Replica] = field(default_factory=list)
    _count: int = 0

    @property
    def settings(self) -> KitSettings:
        return KitSettings(kafka=self.kafka, kafka_prefix=self.prefix, redis=self.redis)

    def variables(self) -> dict[str, str]:
        """The environment in which ``tds`` and services speak to this stack."""
        given = {
            "TDS_KAFKA": self.kafka,
            "TDS_KAFKA_PREFIX": self.prefix,
            "TDS_REDIS": self.redis,
            "TDS_GRACE_S": "5",
            "PYTHONUNBUFFERED": "1",
        }
        return {**os.environ, **given, **self.environment}

    def provision(self) -> None:
        """Make the topics."""
        asyncio.run(provision(self.settings))

    def start(self, service: str, **environment: str) -> Replica:
        """One more replica of a service; it need not be ready when this returns."""
        self._count += 1
        log = self.folder / f"{service}-{self._count}.log"
        command = [Path(sys.executable).with_name("faststream"), "run", f"services.{service}.app:app"]
        with log.open("wb") as out:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**self.variables(), **self.each.get(service, {}), **environment},
                stdout=out,
                stderr=out,
            )
        replica = Replica(service, self._count, process, log)
        self.replicas.append(replica)
        return replica

    def start_all(self, runners: int = 1, *, deciders: int = 1) -> None:
        """Every service once, and as many runners as said; returns when all are at work or stand by."""
        for service in SERVICES:
            copies = runners if service == "agent_runner" else deciders if service in DECIDERS else 1
            for _ in range(copies):
                self.start(service)
        self.wait_ready()

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        """Until every living replica has an assignment, and every decider a leader."""
        self.until(self._ready, "all to be ready", timeout_s)

    def until(self, holds: Callable[[], bool], what: str, timeout_s: float = READY_S) -> None:
        """Wait until something holds, while nobody dies."""
        deadline = time.monotonic() + timeout_s
        alive = [one for one in self.replicas if one.alive]
        while not holds():
            for one in alive:
                assert one.alive, f"{one.log.name} ended: {one.log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"waited {timeout_s} s for {what}: {self._words()}"
            time.sleep(0.05)

    def of(self, service: str) -> list[Replica]:
        """The living replicas of a service."""
        return [one for one in self.replicas if one.service == service and one.alive]

    def forget_dead(self) -> None:
        self.replicas = [one for one in self.replicas if one.alive]

    def close(self) -> None:
        """End all of them, in good order where they let us."""
        for one in self.replicas:
            if one.alive:
                one.process.send_signal(signal.SIGTERM)
        for one in self.replicas:
            try:
                one.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                one.kill()

    def _ready(self) -> bool:
        performers = (one for one in self.replicas if one.service in PERFORMERS)
        led = all(
            any(one.said('"leads"') for one in self.of(service)) for service in DECIDERS if self.of(service)
        )
        return led and all(one.said('"assigned"') for one in performers)

    def _words(self) -> str:
        return "; ".join(f"{one.log.name}: {one.log.read_text()[-300:]}" for one in self.replicas)


def numbers(spans: str) -> Iterator[int]:
    """The numbers that are written as ``0-20,63``."""
    for span in filter(None, spans.split(",")):
        first, _, last = span.partition("-")
        yield from range(int(first), int(last or first) + 1)


@contextlib.contextmanager
def stack(
    kafka: str, prefix: str, folder: Path, *, redis: str = "", environment: Mapping[str, str] | None = None
) -> Iterator[Stack]:
    """A provisioned stack without replicas; whatever was started is ended at the end of the block."""
    folder.mkdir(parents=True, exist_ok=True)
    made = Stack(kafka, prefix, folder, redis, environment or {})
    made.provision()
    try:
        yield made
    finally:
        made.close()
