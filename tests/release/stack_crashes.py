"""SIGKILL at random moments on the stack: any service, any replica, Redis or the broker, in one campaign.

The model never says the same thing twice, and its log says what was asked when. A *tenure* is the time that
one replica of the runner owned a partition: from the assignment that gave it until one that took it away, or
until the replica's death. Only kills, and the rebalances that follow from them, end tenures. So a request may
be sent once in each tenure of its run's partition, and not at all outside of them.
"""

from __future__ import annotations

import json
import random
import time
import urllib.request
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from schemas.run import slot_of
from schemas.topics import RUN_EVENTS, TOPICS
from services.console.source import Stack as Source
from services.kit.log import Record
from tests.release.bench import Bench, Findings, Process, Skipped
from tests.release.crashes import Key, check_slots, key_of, requests
from tests.release.sent_messages import check_messages
from tests.support.brokers import KafkaServer, engine_missing, kafka_container
from tests.support.json_log import read
from tests.support.redis_container import RedisServer, redis_container
from tests.support.server_process import running
from tests.support.stack import Replica, Stack, numbers, stack

RUNNERS = 3
RUNNER = "agent_runner"
FEW = (RUNNER, "broker", "evolution_scheduler", "redis", "blueprint_planner")
ALL = (*FEW, RUNNER, RUNNER, "diversity_monitor", "cluster_registry", "sandbox_exec")
SLOW_S, QUICK_S = (0.5, 4.0), (0.01, 0.05)
"""Latency of the model while there are kills, so that they meet calls, and after them."""
GAP_S, DOWN_S = (0.5, 8.0), (0.1, 3.0)
BROKER_DOWN_S = (0.5, 10.0)
RESTART_S = 1.0
"""After which one that ended by itself is started again."""
ON_ITS_WAY_S = 1.0
"""So long after its sender's death a request may still reach the server."""
END_S = 900.0


Spans = dict[str, tuple[float, float]]
"""From when to when something was so, in Unix seconds, by its name."""


@dataclass(frozen=True)
class Kill:
    """What was killed, and when (Unix time)."""

    what: str
    time_s: float


@dataclass
class Chaos:
    """Kills things and starts them again; whoever ends by itself meanwhile is started again, too."""

    stack: Stack
    broker: KafkaServer
    redis: RedisServer
    rng: random.Random
    kills: list[Kill] = field(default_factory=list)
    deaths: dict[int, float] = field(default_factory=dict)
    """When a replica died, by its number."""
    ended: list[Replica] = field(default_factory=list)
    """Those that ended by themselves."""

    def kill(self, what: str) -> None:
        """Kill it, wait a little, and start it again."""
        if what in ("broker", "redis"):
            server = self.broker if what == "broker" else self.redis
            self.kills.append(Kill(what, time.time()))
            server.kill()
            self.wait(self.rng.uniform(*(BROKER_DOWN_S if what == "broker" else DOWN_S)))
            server.start()  # returns when it answers
            return
        while not (alive := self.stack.of(what)):
            self.wait(0.1)
        victim = self.rng.choice(alive)
        self.kills.append(Kill(what, time.time()))
        victim.kill()
        self.deaths[victim.number] = time.time()
        self.wait(self.rng.uniform(*DOWN_S))
        self.stack.start(what)

    def wait(self, seconds: float, process: Process | None = None) -> None:
        """Let time pass, or wait until a process has ended; meanwhile, who has ended is started again."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and (process is None or process.poll() is None):
            for one in self.stack.replicas:
                if not one.alive and one.number not in self.deaths:
                    self.deaths[one.number] = time.time()
                    self.ended.append(one)
            for one in self.ended:
                due = self.deaths[one.number] + RESTART_S
                if one in self.stack.replicas and time.time() >= due:
                    self.stack.replicas.remove(one)
                    self.stack.start(one.service)
            time.sleep(0.02)


def check(bench: Bench, found: Findings) -> None:
    if why := engine_missing():
        raise Skipped(why)
    folder = bench.place("stack_crashes")
    nonces, out = folder / "nonces.jsonl", folder / "campaign"
    rng = random.Random("stack_crashes/1")
    victims = list(ALL * 3 if bench.full else FEW)
    rng.shuffle(victims)
    latency = ("--latency-min", str(SLOW_S[0]), "--latency-max", str(SLOW_S[1]))
    with (
        running("tests.support.nonce_server", "--log", str(nonces), *latency) as server,
        redis_container() as redis,
        kafka_container() as broker,
        stack(
            broker.bootstrap,
            f"crashes-{uuid.uuid4().hex[:8]}.",
            folder / "services",
            redis=redis.url,
            environment={"TDS_CONCURRENCY": "4"},
        ) as made,
    ):
        made.start_all(RUNNERS)
        chaos = Chaos(made, broker, redis, rng)
        trajectories = bench.size(250, 50)
        begun = bench.tds(*begin(server["base_url"], trajectories, out), environ=made.variables())
        if begun.code != 0:
            raise RuntimeError(f"the campaign did not begin: {begun.tail()}")
        for what in victims:
            chaos.wait(rng.uniform(*GAP_S))
            chaos.kill(what)
        put(server["port"], QUICK_S)
        again = ("run", "--stack", "--resume", "c11", "--out", out, "--json")
        with bench.started(*again, environ=made.variables()) as process:
            chaos.wait(END_S, process)
            done = process.wait(1.0)
        source = Source(made.settings, "c11")
        report_kills(chaos, opened(source), under_way(nonces), found)
        if done.code != 0:
            found.wrong.append(f"the campaign ended with {done.code}: {done.tail()}")
            return
        check_slots(source, trajectories, found)
        check_messages(out / "dataset.jsonl", nonces, found)
        check_requests(nonces, tenures(chaos.deaths, folder / "services"), found)
        check_replay(bench, made, out, found)
        buried: list[Record] = []
        source.each(buried.append, [topic.dead for topic in TOPICS.values()])
        found.expect(not buried, f"{len(buried)} dead letters")


def begin(base_url: str, trajectories: int, out: Path) -> list[object]:
    """The command that starts the campaign and does not wait for it."""
    given: list[object] = ["run", "--stack", "--detach", "--out", out, "--trajectories", trajectories]
    given += ["--seed", 11]
    for role in ("user", "assistant"):
        given += ["--model", f"{role}=openai/sim", "--base-url", f"{role}={base_url}"]
    return given


def put(port: int, latency_s: tuple[float, float]) -> None:
    url, body = f"http://127.0.0.1:{port}/latency", json.dumps(latency_s).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body, method="PUT"), timeout=10):
        pass


def opened(source: Source) -> Spans:
    """When each run was open."""
    times: dict[str, list[float]] = defaultdict(list)

    def take(record: Record) -> None:
        name = record.headers["ce_type"].split(".")[2]
        if name in ("RunStarted", "RunFinished", "RunFailed"):
            times[record.key].append(unix_s(record.headers["ce_time"]))

    source.each(take, [RUN_EVENTS.name])
    return {run: (min(found), max(found)) for run, found in times.items()}


def report_kills(chaos: Chaos, runs: Spans, calls: Spans, found: Findings) -> None:
    """What each kill met: how many runs were open, and how many calls under way."""
    met = [
        (
            kill.what,
            *(sum(first <= kill.time_s <= last for first, last in spans.values()) for spans in (runs, calls)),
        )
        for kill in chaos.kills
    ]
    hit = sum(open_runs > 0 for _, open_runs, _ in met)
    found.say(f"{len(met)} kills, {hit} with runs open")
    found.say(
        "runs open and calls under way: " + ", ".join(f"{what} {runs}/{calls}" for what, runs, calls in met)
    )
    found.expect(hit * 2 >= len(met), f"only {hit} kills with open runs")
    by_itself = [f"{one.service} ({one.process.returncode})" for one in chaos.ended]
    found.say(f"{len(by_itself)} ended by themselves" + (f": {', '.join(by_itself)}" if by_itself else ""))


def under_way(nonces: Path) -> Spans:
    """When each request was with the server."""
    ended = {one["n"]: one["time_s"] for one in read(nonces) if one["kind"] in ("reply", "refused")}
    return {str(one["n"]): (one["time_s"], ended.get(one["n"], one["time_s"])) for one in requests(nonces)}


@dataclass(frozen=True)
class Tenure:
    """When a replica owned a partition."""

    replica: int
    first_s: float
    last_s: float

    def has(self, time_s: float) -> bool:
        return self.first_s <= time_s <= self.last_s


def tenures(deaths: Mapping[int, float], folder: Path) -> dict[int, list[Tenure]]:
    """Of each partition, as the runners' own logs and the times of their deaths say."""
    found: dict[int, list[Tenure]] = defaultdict(list)
    for log in sorted(folder.glob(f"{RUNNER}-*.log")):
        number = int(log.stem.rpartition("-")[2])
        death_s = deaths.get(number, float("inf")) + ON_ITS_WAY_S
        since: dict[int, float] = {}
        for line in lines(log, "assigned"):
            now_s, own = unix_s(line["timestamp"]), set(numbers(line["own"]))
            for partition in [one for one in since if one not in own]:
                found[partition].append(Tenure(number, since.pop(partition), now_s))
            for partition in own:
                since.setdefault(partition, now_s)
        for partition, first_s in since.items():
            found[partition].append(Tenure(number, first_s, death_s))
    return found


def lines(log: Path, event: str) -> Iterator[dict[str, Any]]:
    for line in log.read_bytes().splitlines():
        if f'"event": "{event}"'.encode() in line and line.endswith(b"}"):
            yield json.loads(line)


def unix_s(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def check_requests(nonces: Path, held: dict[int, list[Tenure]], found: Findings) -> None:
    """Each request was sent at most once in each tenure of its run's partition, and never outside of them."""
    sent: dict[Key, list[float]] = defaultdict(list)
    for one in requests(nonces):
        sent[key_of(one)].append(one["time_s"])
    again = {key: times for key, times in sent.items() if len(times) > 1}
    most = max((len(times) for times in sent.values()), default=0)
    found.say(
        f"{len(sent)} requests, {sum(map(len, again.values())) - len(again)} sent again (one {most} times)"
    )
    wrong = [
        key
        for key, times in sent.items()
        if not fits(times, held.get(slot_of(key[0]) % RUN_EVENTS.partitions, ()))
    ]
    first = [(key, sent[key]) for key in wrong[:3]]
    found.expect(not wrong, f"{len(wrong)} sent too often, such as {first}")
    found.say(f"{sum(map(len, held.values()))} tenures of {len(held)} partitions")


def fits(times: Sequence[float], held: Sequence[Tenure]) -> bool:
    """Whether each of ``times`` lies in a tenure of its own."""
    free = sorted(held, key=lambda one: one.last_s)
    for time_s in sorted(times):
        tenure = next((one for one in free if one.has(time_s)), None)
        if tenure is None:
            return False
        free.remove(tenure)
    return True


def check_replay(bench: Bench, made: Stack, out: Path, found: Findings) -> None:
    replay = bench.tds(
        "replay", "--stack", "c11", "--out", out, "--verify", "--json", environ=made.variables()
    )
    if replay.code not in (0, 1) or not replay.out:
        found.wrong.append(f"replay ended with {replay.code}: {replay.tail()}")
        return
    report = replay.json()
    found.say(f"replay: {report['compared']} events identical")
    found.expect(replay.code == 0 and report["identical"], f"replay differs: {report['differences'][:2]}")
