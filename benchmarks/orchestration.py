"""What a model call costs in orchestration: CPU a call, and how near a campaign comes to the ideal rate.

    python -m benchmarks.orchestration [--trajectories 1000] [--small 10] [--concurrency 64] [--latency 0.2]

A whole campaign, all roles over HTTP, asks a server in a process of its own that answers after a fixed
time. Scripted plans take longer to make than to orchestrate, so the replies are made first: a campaign that
is one generation longer is run once, without latency, against the scripted actors, and every reply is kept
under the digest of its request. On the stack that warms the broker, whose JVM compiles for its first minute.
The measured campaigns get their replies from there, at next to no CPU; a request that is not there is
answered by the actors all the same, and counted as a *miss*.

Ideal is ``concurrency / latency`` calls a second: every run has one call under way, always. Embedded, plans
and runs share the ``concurrency``; on the stack the one replica of agent-runner plays so many runs at once,
and blueprint-planner, a service of its own, makes 8 plans beside them. The share of what all of these could
do is printed, too. The rate is that of the steady part: the middle 80 % of all calls, by the time of their
answers; the whole rate, from the first request to the last answer, is printed beside it. CPU is that of the
campaign's processes; the server's is apart. Marginal CPU is the difference of the two campaigns' CPU over the
difference of their calls: what starting up costs is not in it. A call is *journaled* when the campaign's log
has its reply. *Held* is how long the server had a request on average; it stands for another machine, so it
goes before everything else here, where it may (as root).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from benchmarks.campaign import ROOT, Campaign, Ended, tds_run
from benchmarks.stack_door import Broker, brokers
from services.kit.tuning import new_event_loop
from services.sim.actors import SimModel
from services.sim.server import MAX_BODY_BYTES, completion, parse_request
from tests.support.stack import stack

Json = dict[str, Any]


Door = Callable[[Campaign, Path], Ended]
"""Runs a campaign to its end, its files in the folder, and says what the processes that count took."""


def embedded(campaign: Campaign, folder: Path) -> Ended:
    """One ``tds run``; it counts with all its children."""
    return tds_run(campaign.arguments(), folder)


PLANNING: Final = 8
"""Plans that are under way at once on the stack, beside the runs."""


def on_stack(broker: Broker) -> Door:
    """``tds run --stack`` on six service processes; they and it count, broker and Redis do not."""

    def door(campaign: Campaign, folder: Path) -> Ended:
        prefix = f"orchestration-{campaign.trajectories}-{broker.token}."
        at_once = {"agent_runner": campaign.concurrency, "blueprint_planner": PLANNING}
        with stack(broker.kafka, prefix, folder / "stack", redis=broker.redis) as running:
            for service, count in at_once.items():
                running.each[service] = {"TDS_CONCURRENCY": str(count)}
            running.start_all(1)
            done = tds_run(campaign.arguments(on_stack=True), folder / "out", running.variables())
            cpu = {one.service: one.cpu_s() for one in running.replicas}
        print("  ".join(f"{name} {seconds:.1f}" for name, seconds in cpu.items()), f" tds {done.cpu_s:.1f}")
        return Ended(sum(cpu.values()) + done.cpu_s, done.journaled, done.dataset)

    return door


class Replies:
    """The server: replies by the digest of their requests, and when each was given."""

    def __init__(self, kept: Path) -> None:
        self.latency_s = 0.0
        self.answered: list[float] = []
        self.began = self.cpu_s = self.held_s = 0.0
        self.misses = 0
        self._model = SimModel()
        self._bodies: dict[bytes, bytes] = {}
        if kept.exists():
            for line in kept.read_bytes().splitlines():
                digest, _, body = line.partition(b" ")
                self._bodies[bytes.fromhex(digest.decode())] = body
        self._kept = kept.open("ab")
        self._address = b""

    async def complete(self, http: web.Request) -> web.Response:
        """One chat completion, ``latency_s`` after it was asked for."""
        arrived = time.perf_counter()
        self.began = self.began or arrived
        asked = await http.read()
        # A plan's request names the models that are to play it, and so this server, which moves.
        digest = hashlib.sha256(asked.replace(self._address, b"")).digest()
        body = self._bodies.get(digest)
        if body is None:
            self.misses += 1
            body = self._bodies[digest] = await self._made(asked)
            self._kept.write(digest.hex().encode() + b" " + body + b"\n")
        await asyncio.sleep(self.latency_s - (time.perf_counter() - arrived))
        self.answered.append(time.perf_counter())
        self.held_s += self.answered[-1] - arrived
        return web.Response(body=body, content_type="application/json")

    async def _made(self, asked: bytes) -> bytes:
        request = parse_request(json.loads(asked))
        return json.dumps(completion(request, await self._model.complete(request))).encode()

    async def measure(self, http: web.Request) -> web.Response:
        """Begin to count anew, with this latency."""
        self.latency_s = float(http.query["latency"])
        self.answered, self.began, self.held_s, self.misses = [], 0.0, 0.0, 0
        self.cpu_s = time.process_time()
        return web.json_response({})

    async def measured(self, _http: web.Request) -> web.Response:
        """What was counted."""
        self._kept.flush()
        return web.json_response(
            {
                "began": self.began,
                "answered": self.answered,
                "misses": self.misses,
                "held_s": self.held_s,
                "cpu_s": time.process_time() - self.cpu_s,
            }
        )

    async def models(self, _http: web.Request) -> web.Response:
        """The list of models, which a campaign asks for before it starts."""
        return web.json_response({"object": "list", "data": [{"id": "sim", "object": "model"}]})

    async def serve(self) -> None:
        """Serve for ever; the address is the first line of stdout."""
        with contextlib.suppress(PermissionError):
            os.nice(-10)
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_post("/v1/chat/completions", self.complete)
        app.router.add_get("/v1/models", self.models)
        app.router.add_get("/measure", self.measure)
        app.router.add_get("/measured", self.measured)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
        address = f"http://127.0.0.1:{runner.addresses[0][1]}"
        self._address = address.encode()
        print(address, flush=True)
        await asyncio.Event().wait()


@contextlib.contextmanager
def server(kept: Path) -> Iterator[str]:
    """The server's address, for as long as the block runs."""
    command = [sys.executable, "-m", "benchmarks.orchestration", "--serve", "--replies", str(kept)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def said(url: str) -> Json:
    with urllib.request.urlopen(url) as answer:
        return dict(json.loads(answer.read()))


@dataclass(frozen=True)
class Measured:
    """One campaign, from both sides."""

    ended: Ended
    calls: int
    misses: int
    steady: float
    """Calls a second."""
    whole: float
    server_cpu_s: float
    held_s: float
    """Of one request."""


def measure(door: Door, campaign: Campaign, folder: Path, latency_s: float) -> Measured:
    address = campaign.base_url.removesuffix("/v1")
    said(f"{address}/measure?latency={latency_s}")
    ended = door(campaign, folder)
    found = said(f"{address}/measured")
    times = sorted(found["answered"])
    middle = times[len(times) // 10 : len(times) - len(times) // 10]
    steady = (len(middle) - 1) / (middle[-1] - middle[0])
    whole = len(times) / (times[-1] - found["began"])
    held_s = found["held_s"] / len(times)
    return Measured(ended, len(times), found["misses"], steady, whole, found["cpu_s"], held_s)


def row(campaign: Campaign, found: Measured, ideal: float) -> str:
    return (
        f"{campaign.trajectories:>7}{found.calls:>7}{found.ended.journaled:>10}{found.misses:>8}"
        f"{found.steady:>9.1f}{found.steady / ideal:>10.2f}{found.whole:>9.1f}"
        f"{found.ended.cpu_s:>8.2f}{1000 * found.ended.cpu_s / found.calls:>9.2f}"
        f"{1000 * found.server_cpu_s / found.calls:>11.2f}{1000 * found.held_s:>9.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--trajectories", type=int, default=1000)
    parser.add_argument("--small", type=int, default=10, help="trajectories of the smaller campaign")
    parser.add_argument("--generation-size", type=int, default=256)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--stack", action="store_true", help="on Kafka, with one replica of each service")
    parser.add_argument("--replies", type=Path, help="keep the replies in this file, for the next time")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(Replies(given.replies).serve())
        return
    with ExitStack() as opened:
        scratch = opened.enter_context(tempfile.TemporaryDirectory())
        address = opened.enter_context(server(given.replies or Path(scratch) / "replies"))
        door = on_stack(opened.enter_context(brokers())) if given.stack else embedded
        base_url = f"{address}/v1"
        small, large, longer = (
            Campaign(base_url, size, given.generation_size, given.concurrency, given.seed)
            for size in (given.small, given.trajectories, given.trajectories + given.generation_size)
        )
        made = measure(door, longer, Path(scratch) / "longer", 0.0)
        ideal = given.concurrency / given.latency
        where = "on Kafka" if given.stack else "embedded"
        print(f"{where}: {given.concurrency} at once, {1000 * given.latency:g} ms each, so at best")
        print(f"{ideal:.1f} calls/s; generations of {given.generation_size}. CPU in s, or ms a call.")
        print(
            "  rows  calls journaled  misses  calls/s  of ideal    whole     CPU  ms/call  server ms  held ms"
        )
        found = []
        for campaign in (small, large):
            folder = Path(scratch) / f"measured-{campaign.trajectories}"
            found.append(measure(door, campaign, folder, given.latency))
            print(row(campaign, found[-1], ideal), flush=True)
        first, second = found
        marginal_s = (second.ended.cpu_s - first.ended.cpu_s) / (second.calls - first.calls)
        if given.stack:
            most = (given.concurrency + PLANNING) / given.latency
            print(
                f"with the planner's {PLANNING} at best {most:.1f} calls/s: {second.steady / most:.2f} of it"
            )
        print(f"marginal CPU: {1000 * marginal_s:.2f} ms a call")
        begins = all(made.ended.dataset.startswith(one.ended.dataset) for one in found)
        print(f"datasets: {'as' if begins else 'NOT AS'} the longer campaign's begins")


if __name__ == "__main__":
    main()
