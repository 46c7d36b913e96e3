"""How quick a sandbox is: a call in a warm session that computes with numpy and writes a file.

    python -m benchmarks.sandbox [--backend docker-gvisor] [--calls 300] [--image python:3.13-slim]

Prints p50 and p95 of such a call, and of a run's first; calls a second, eight at once, each in a session
of its own; and what an idle session takes of memory. Where a container engine answers, ``docker run`` of
the same code is timed in between, with the same Python and packages, and with the same runtime where the
backend is one of containers: what a new container a call costs. All on one machine, so that only the
quotients carry over to others.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import subprocess
import time
from pathlib import Path

import docker
import numpy as np

from schemas.sandbox import CodeExecuted, ExecuteCode
from services.sandbox_exec.bubblewrap import Bubblewrap
from services.sandbox_exec.bwrap_jail import BwrapJail
from services.sandbox_exec.choice import choose
from services.sandbox_exec.container_jail import Containers
from services.sandbox_exec.domain import Past, answer_of
from services.sandbox_exec.engine import LABEL, RUNTIMES
from services.sandbox_exec.keeper import Keeper
from services.sandbox_exec.limits import Limits
from services.sandbox_exec.session import Session
from services.sandbox_exec.settings import load
from services.sandbox_exec.view import ENVIRONMENT

CODE = """
import numpy as np
table = np.arange(100_000, dtype=float).reshape(1000, 100)
means = table[table[:, 0] % 700 == 0].mean(axis=0)
np.savetxt("means.csv", means, delimiter=",")
print(round(float(means.sum()), 3))
"""
AT_ONCE = 8
CONTAINERS = 12
IDLE = 16


class Run:
    """One run's calls, as the service makes them."""

    def __init__(self, backend: Keeper, name: str) -> None:
        self.backend, self.name = backend, name
        self.past: list[Past] = []

    async def call(self, code: str = CODE) -> CodeExecuted:
        """Make one."""
        command = ExecuteCode(run=self.name, turn=1, call=str(len(self.past)), language="python", code=code)
        answer = await self.backend.execute(command, self.past)
        assert answer.outcome == "ok", answer
        self.past.append(Past(command, answer_of(answer)))
        return answer


def shown(seconds: list[float]) -> str:
    return ", ".join(f"p{one} {1000 * np.percentile(seconds, one):.1f}" for one in (50, 95)) + " ms"


async def first_and_warm(backend: Keeper, calls: int) -> tuple[list[float], list[float]]:
    """Seconds of runs' first calls, and of calls in a session that has computed before."""
    first, warm = [], []
    for number in range(max(1, calls // 100)):
        run = Run(backend, f"warm.{number}")
        began = time.perf_counter()
        await run.call()
        first.append(time.perf_counter() - began)
        for _ in range(min(100, calls)):
            began = time.perf_counter()
            await run.call()
            warm.append(time.perf_counter() - began)
        backend.let_go(run.name)
    return first, warm


async def together(backend: Keeper, calls: int) -> float:
    """Calls a second, eight at once."""
    runs = [Run(backend, f"together.{number}") for number in range(AT_ONCE)]
    await asyncio.gather(*(run.call() for run in runs))

    async def play(run: Run) -> None:
        for _ in range(calls // AT_ONCE):
            await run.call()

    began = time.perf_counter()
    await asyncio.gather(*(play(run) for run in runs))
    took = time.perf_counter() - began
    for run in runs:
        backend.let_go(run.name)
    return (calls // AT_ONCE) * AT_ONCE / took


def proportional(process: int) -> int:
    """Bytes of a process and all its children, of what is shared each its part."""
    total = 0
    waiting = [process]
    while waiting:
        one = waiting.pop()
        try:
            rollup = Path(f"/proc/{one}/smaps_rollup").read_text()
            children = Path(f"/proc/{one}/task/{one}/children").read_text().split()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
        waiting += [int(child) for child in children]
    return total


async def idle(backend: Keeper, code: str) -> float:
    """Megabytes that an idle session takes after this code."""
    runs = [Run(backend, f"idle.{len(code)}.{number}") for number in range(IDLE)]
    for run in runs:
        await run.call(code)
    if isinstance(backend.jailer, Containers):
        taken = contained(backend.jailer)
    else:
        sessions: list[Session] = [held.session for held in backend._held.values() if held.session]  # noqa: SLF001
        jails = [one.jail for one in sessions if isinstance(one.jail, BwrapJail)]
        taken = sum(proportional(jail.process.pid) for jail in jails) / len(jails)
    for run in runs:
        backend.let_go(run.name)
    return taken / 2**20


def contained(jailer: Containers) -> float:
    """Bytes that a container of this service takes, the median of all."""
    client = docker.APIClient(version="auto")
    mine = client.containers(filters={"label": [f"{LABEL}={jailer.engine._mark}"]})  # noqa: SLF001
    told = [client.stats(one["Id"], stream=False, one_shot=True)["memory_stats"]["usage"] for one in mine]
    client.close()
    return float(np.median(told))


def container(backend: Keeper, image: str) -> list[str]:
    """``docker run`` of the code."""
    words = ["docker", "run", "--rm", "--network", "none", "--tmpfs", "/work", "-w", "/work"]
    jailer = backend.jailer
    if isinstance(jailer, Bubblewrap):
        for here, there in jailer.view.binds:
            if there.startswith("/opt/"):
                words += ["-v", f"{here}:{there}:ro"]
        environment, python = jailer.view.environment, jailer.view.python
    else:
        words += ["--runtime", RUNTIMES[jailer.name]]
        environment, python, image = ENVIRONMENT, "python3", load().sandbox_image
    for name, value in environment:
        words += ["-e", f"{name}={value}"]
    return [*words, image, python, "-s", "-c", CODE]


def containers(backend: Keeper, image: str) -> list[float]:
    """Seconds of ``docker run``; none where no engine answers or the image is not there."""
    if shutil.which("docker") is None:
        return []
    found = []
    for _ in range(CONTAINERS):
        began = time.perf_counter()
        done = subprocess.run(container(backend, image), capture_output=True, text=True, check=False)
        found.append(time.perf_counter() - began)
        if done.returncode:
            print(f"docker run did not work: {done.stderr.strip()[-300:]}")
            return []
    return found[1:]


async def measure(calls: int, image: str) -> None:
    backend = choose(Limits(calls=AT_ONCE, session_calls=100_000, session_cpu_s=1e6, session_wall_s=1e6))
    if not isinstance(backend, Keeper):
        raise SystemExit(f"no sandbox: {backend.announcement().reason}")
    print(f"{backend.jailer.name}:")
    try:
        first, warm = await first_and_warm(backend, calls)
        new = containers(backend, image)
        again = (await first_and_warm(backend, calls))[1]
        print(f"a call in a warm session: {shown(warm)}; once more: {shown(again)}")
        print(f"a run's first call, numpy's import with it: {shown(first)}")
        if new:
            share = float(np.median(new) / np.median([*warm, *again]))
            print(f"docker run of the same code: {shown(new)}; a warm call is {share:.0f} times as fast")
        print(f"calls a second, {AT_ONCE} at once: {await together(backend, calls * 2):.0f}")
        bare, computed = await idle(backend, "1"), await idle(backend, CODE)
        print(f"memory of an idle session: {bare:.1f} MB, {computed:.1f} MB once it has numpy")
    finally:
        await backend.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--image", default="python:3.13-slim")
    given = parser.parse_args()
    os.environ["TDS_SANDBOX"] = given.backend
    asyncio.run(measure(given.calls, given.image))


if __name__ == "__main__":
    main()
