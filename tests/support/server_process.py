"""A test server in a process of its own: it prints one JSON line when it listens, and ends on SIGTERM."""

from __future__ import annotations

import asyncio
import contextlib
import json
import select
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

from aiohttp import web

ROOT = Path(__file__).resolve().parents[2]


async def announce_and_serve(app: web.Application, port: int, **announced: Any) -> None:
    """Listen on loopback, print ``{"port", "base_url", …}`` as one line, serve until SIGTERM or SIGINT."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=2.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        stopped = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        bound = runner.addresses[0][1]
        print(
            json.dumps({"port": bound, "base_url": f"http://127.0.0.1:{bound}/v1", **announced}), flush=True
        )
        await stopped.wait()
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def listening(app: web.Application) -> AsyncIterator[str]:
    """Serve ``app`` on a free port of loopback for as long as the block runs; yields its base URL."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


@contextlib.contextmanager
def running(module: str, *arguments: str, ready_s: float = 30.0) -> Iterator[dict[str, Any]]:
    """``python -m module arguments`` for as long as the block runs; yields what it printed when ready."""
    with started([sys.executable, "-m", module, *arguments], ready_s) as ready:
        yield ready


@contextlib.contextmanager
def started(command: Sequence[str], ready_s: float) -> Iterator[dict[str, Any]]:
    """The command's first line of stdout, as JSON; the process is ended at the end of the block."""
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    try:
        yield _first_line(process, ready_s)
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdout is not None
        process.stdout.close()


def _first_line(process: subprocess.Popen[bytes], ready_s: float) -> dict[str, Any]:
    assert process.stdout is not None
    deadline = time.monotonic() + ready_s
    while time.monotonic() < deadline:
        if select.select([process.stdout], [], [], 0.1)[0]:
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"{process.args!r} ended with {process.wait()} before it was ready")
            if line.startswith(b"{"):  # libraries may print before
                return dict(json.loads(line))
    raise TimeoutError(f"{process.args!r} was not ready within {ready_s} s")
