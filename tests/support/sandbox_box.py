"""Backends of the sandbox for tests, and a run's calls on one of them."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from schemas.sandbox import CodeExecuted, ExecuteCode
from services.sandbox_exec.choice import choose
from services.sandbox_exec.domain import Past, answer_of
from services.sandbox_exec.keeper import Keeper
from services.sandbox_exec.limits import Limits
from tests.support.brokers import engine_missing

ROOT = Path(__file__).resolve().parents[2]
IMAGE = "tdscaling/code:tests"
BUILD_S = 600
LABEL = "tds.sandbox"
BACKENDS = ("bubblewrap", "docker-gvisor", "docker-runc")
LIMITS = Limits(wall_s=6.0, cpu_s=0.6, sessions=4)
SLOW = Limits(wall_s=8.0, cpu_s=4.0, sessions=4)
"""gVisor starts processes slowly, and counts their waiting for a processor, too."""
UNSAFE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@cache
def built() -> str:
    """The image of container sandboxes; built once."""
    subprocess.run(
        ["docker", "build", "--quiet", "-f", "infra/Dockerfile", "--target", "code", "-t", IMAGE, "."],
        cwd=ROOT, check=True, capture_output=True, timeout=BUILD_S,
    )  # fmt: skip
    return IMAGE


@contextmanager
def chosen(kind: str, **more: str):
    """The environment that chooses a backend."""
    named = {"TDS_SANDBOX": kind, **more}
    if kind.startswith("docker"):
        if why := engine_missing():
            pytest.skip(f"no container sandbox: {why}")
        named["TDS_SANDBOX_IMAGE"] = built()
    before = {name: os.environ.get(name) for name in named}
    os.environ.update(named)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def keeper(kind: str, limits: Limits, **more: str) -> Keeper:
    """A backend of this kind, else the test is skipped with what is missing."""
    with chosen(kind, **more):
        made = choose(limits)
    told = made.announcement()
    if told.backend != kind or not isinstance(made, Keeper):
        pytest.skip(f"no {kind} sandbox: {told.reason}")
    return made


class Box:
    """A backend and the loop that it lives on; keeps of every run the calls so far."""

    def __init__(self, kind: str, limits: Limits | None = None, **more: str) -> None:
        limits = limits or (SLOW if kind == "docker-gvisor" else LIMITS)
        self.kind, self.limits = kind, limits
        self.backend = keeper(kind, limits, **more)
        self.loop = asyncio.new_event_loop()
        self.past: dict[str, list[Past]] = {}

    def call(self, code: str, *, run: str, language: str = "python", name: str = "") -> CodeExecuted:
        return self.loop.run_until_complete(self.called(code, run=run, language=language, name=name))

    async def called(self, code: str, *, run: str, language: str = "python", name: str = "") -> CodeExecuted:
        past = self.past.setdefault(run, [])
        command = ExecuteCode(
            run=run, turn=1, call=name or f"{run}-{len(past)}", language=language, code=code
        )
        answer = await self.backend.execute(command, tuple(past))
        assert len(answer.model_dump_json()) < 1 << 20, "an answer fits a record"
        for text in (answer.stdout, answer.stderr, answer.reason, *(one.path for one in answer.files)):
            assert not UNSAFE.search(text), text
        past.append(Past(command, answer_of(answer)))
        return answer

    def over(self, run: str) -> None:
        """The run is over, and so is its session when this returns."""

        async def wait() -> None:
            before = set(self.backend._tasks)
            self.backend.let_go(run)
            await asyncio.gather(*(self.backend._tasks - before))

        self.loop.run_until_complete(wait())

    def close(self) -> None:
        self.loop.run_until_complete(self.backend.stop())
        self.loop.close()


def containers(mark: str = "") -> list[str]:
    """Names of the containers that sandboxes have, running or not, of one service or of all."""
    wanted = f"label={LABEL}={mark}" if mark else f"label={LABEL}"
    told = subprocess.run(
        ["docker", "ps", "--all", "--filter", wanted, "--format", "{{.Names}}"],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return sorted(told.stdout.split())


def marked(mark: str) -> list[int]:
    """Processes of this machine that have the mark among their arguments."""
    found = []
    for one in Path("/proc").iterdir():
        try:
            if one.name.isdigit() and mark.encode() in (one / "cmdline").read_bytes():
                found.append(int(one.name))
        except OSError:
            continue
    return found


def mark_of(backend: Any) -> str:
    """The mark that a backend's containers bear."""
    return str(backend.jailer.engine._mark)
