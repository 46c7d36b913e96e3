"""Nothing is left over: not by many runs, not by kills, not by a service that dies."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
import uuid

import pytest

from services.sandbox_exec import slots
from services.sandbox_exec.cgroups import Groups
from services.sandbox_exec.limits import Limits
from tests.support.sandbox_box import BACKENDS, LABEL, Box, chosen, containers, marked


def test_idle_sessions_end_and_nothing_is_left_when_it_stops() -> None:
    box = Box("bubblewrap", Limits(idle_s=0.4))
    try:
        box.call("x = 1", run="idle")
        assert box.backend.sessions == 1
        box.loop.run_until_complete(asyncio.sleep(1.2))
        assert box.backend.sessions == 0
        assert box.call("print(x)", run="idle").stdout == "1\n"
        users = box.backend.jailer.users
    finally:
        box.close()
    assert slots.processes(users) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives sandboxes user ids of their own")
def test_what_a_dead_service_left_is_reaped_at_the_next_start() -> None:
    Box("bubblewrap").close()
    last = slots.FIRST + slots.BLOCK * slots.BLOCKS - 1
    alone = subprocess.Popen(
        ["setpriv", "--reuid", str(last), "--regid", str(last), "--clear-groups", "sleep", "300"]
    )
    groups = Groups.here()
    group = None
    try:
        until = time.monotonic() + 5
        while alone.pid not in slots.processes(range(last, last + 1)) and time.monotonic() < until:
            time.sleep(0.01)
        if groups is not None:
            group = groups.make(str(last), memory_bytes=1 << 26, processes=5)
            group.add(alone.pid)
        Box("bubblewrap").close()
        assert alone.wait(5) == -9
        assert group is None or not any(folder.exists() for folder in group.folders.values())
    finally:
        alone.kill()
        alone.wait()


SERVICE = """
import asyncio
from schemas.sandbox import ExecuteCode
from services.sandbox_exec.choice import choose
async def main():
    code = 'import os; os.fork() or (os.setsid(), os.execv("/usr/bin/sleep", ["{mark}", "300"])); os.wait()'
    await choose().execute(ExecuteCode(run="r", turn=1, call="a", language="python", code=code), ())
asyncio.run(main())
"""


@pytest.mark.parametrize("kind", BACKENDS)
def test_a_service_that_is_killed_leaves_nothing(kind: str) -> None:
    Box(kind).close()
    mark = f"orphan-{uuid.uuid4().hex}"

    def there(*services: int) -> bool:
        if kind == "bubblewrap":
            return any(one not in services for one in marked(mark))
        return bool(containers())

    with chosen(kind):
        service = subprocess.Popen([sys.executable, "-c", SERVICE.format(mark=mark)])
    until = time.monotonic() + 20
    while not there(service.pid) and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(0.5 if kind == "bubblewrap" else 2.0)  # its spares, too
    inside = there(service.pid)
    service.kill()
    service.wait()
    assert inside
    until = time.monotonic() + 10
    while running(kind, mark) and time.monotonic() < until:
        time.sleep(0.1)
    assert running(kind, mark) == []
    Box(kind).close()  # what is no more than a name is reaped at the next start
    assert kind == "bubblewrap" or containers() == []


def running(kind: str, mark: str) -> list[str]:
    """What still runs of a dead service."""
    if kind == "bubblewrap":
        return [str(one) for one in marked(mark)]
    wanted = ["--filter", f"label={LABEL}", "--filter", "status=running", "--format", "{{.Names}}"]
    told = subprocess.run(["docker", "ps", *wanted], check=True, capture_output=True, text=True)
    return told.stdout.split()
