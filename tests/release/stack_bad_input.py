"""Bad input on the stack: 1,000 malformed messages while a campaign runs, and starts that cannot succeed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aiokafka import AIOKafkaProducer

from schemas.run import run_id
from schemas.topics import RUN_EVENTS, TOPICS
from services.console.ledger import LOG
from services.console.source import Stack as Source
from services.kit.dead import letter_of
from services.kit.kafka.log import PRODUCER, connection
from services.kit.log import Record
from services.kit.settings import KitSettings
from services.kit.sqlite import read
from tests.release.bench import Bench, Findings, Made, Skipped
from tests.support.brokers import engine_missing, free_port, kafka_container
from tests.support.malformed import Bad, code_messages, malformed, raw_names
from tests.support.redis_container import redis_container
from tests.support.stack import Replica, Stack, stack
from tests.support.topics import make_topics

NUMBER = 1000
PORTION = 100
"""Sent at a time, the first before the campaign is asked for."""
PAUSE_S = 1.0
CAMPAIGN = ("--trajectories", "40", "--generation-size", "10", "--seed", "5", "--campaign", "c5")
SLOWED = ("--model", "all=sim?latency=0.1:0.4")
"""Long enough for all to be sent meanwhile; rows do not depend on it."""
BURIED_S = 60.0
RUN_S = 600.0
REFUSED_S = 120.0
"""In which a start that cannot succeed must have been given up."""
JAAS = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_tds="correct horse";'
GUARDED = (
    "listener.security.protocol.map=INTERNAL:PLAINTEXT,EXTERNAL:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT",
    "listener.name.external.sasl.enabled.mechanisms=PLAIN",
    f"listener.name.external.plain.sasl.jaas.config={JAAS}",
)
"""A broker that wants a login."""

Place = tuple[str, int, int]
"""Topic, partition, offset."""


def check(bench: Bench, found: Findings) -> None:
    folder = bench.place("stack_bad_input")
    alone = bench.make(folder / "alone", *CAMPAIGN)
    if alone.done.code != 0:
        raise RuntimeError(f"the campaign alone ended with {alone.done.code}: {alone.done.tail()}")
    with servers() as (kafka, redis):
        with stack(kafka, unique(), folder / "services", redis=redis) as made:
            made.start_all(runners=2)
            bad_messages(bench, made, alone, folder / "campaign", found)
        refused_starts(kafka, redis, folder / "starts", found)


@contextlib.contextmanager
def servers() -> Iterator[tuple[str, str]]:
    """A broker and a Redis: those that TDS_TEST_KAFKA and TDS_TEST_REDIS name, else in containers."""
    kafka, redis = os.environ.get("TDS_TEST_KAFKA", ""), os.environ.get("TDS_TEST_REDIS", "")
    if kafka and redis:
        yield kafka, redis
        return
    if why := engine_missing():
        raise Skipped(f"TDS_TEST_KAFKA and TDS_TEST_REDIS name no servers, and {why}")
    with kafka_container() as broker, redis_container() as shared:
        yield broker.bootstrap, shared.url


def unique() -> str:
    return f"bad-{uuid.uuid4().hex[:8]}."


def bad_messages(bench: Bench, made: Stack, alone: Made, out: Path, found: Findings) -> None:
    messages = malformed(real(alone.folder), NUMBER, "stack_bad_input/1")
    portions = [messages[first : first + PORTION] for first in range(0, NUMBER, PORTION)]
    arguments = ("run", "--stack", "--out", out, "--json", *CAMPAIGN, *SLOWED)
    sent = send(made.settings, portions[0])
    with bench.started(*arguments, environ=made.variables()) as process:
        for portion in portions[1:]:
            time.sleep(PAUSE_S)
            sent |= send(made.settings, portion)
        found.expect(process.poll() is None, "the campaign had ended before all were sent")
        done = process.wait(RUN_S)
    check_letters(made, sent, found)
    kinds = Counter(one.kind for one in messages)
    found.say(f"{len(sent)} malformed messages in {len(TOPICS)} topics, {len(kinds)} kinds")
    dead = [one for one in made.replicas if not one.alive]
    found.expect(not dead, f"ended: {[one.log.read_text()[-500:] for one in dead]}")
    if done.code != 0:
        found.wrong.append(f"the campaign ended with {done.code}: {done.tail()}")
        return
    same = (out / "dataset.jsonl").read_bytes() == alone.dataset.read_bytes()
    found.expect(same, "other rows than without malformed messages")
    replay = bench.tds(
        "replay", "--stack", "c5", "--out", out, "--verify", "--json", environ=made.variables()
    )
    found.expect(replay.code == 0 and replay.json()["identical"], f"replay differs: {replay.out[-500:]}")
    listed = bench.tds("dead", "list", "--stack", "--json", environ=made.variables())
    told = listed.code == 0 and len(listed.json()) == len(sent)
    found.expect(told, f"tds dead list: {listed.code}, {listed.out[:300]} {listed.tail()}")


def real(folder: Path) -> dict[str, list[Record]]:
    """Messages of each topic."""
    made: dict[str, list[Record]] = defaultdict(list)
    for record in [*read(folder / LOG, list(TOPICS)), *code_messages(run_id("c5", 3, 1))]:
        made[record.topic].append(record)
    return made


def send(settings: KitSettings, messages: Sequence[Bad]) -> dict[Place, Bad]:
    """Append them; returns where they stand."""

    async def sending() -> dict[Place, Bad]:
        producer = AIOKafkaProducer(**connection(settings), **{**PRODUCER, "max_request_size": 8 << 20})
        await producer.start()
        try:
            waiting = [
                await producer.send(
                    settings.kafka_prefix + one.topic.name,
                    key=one.key,
                    value=one.value,
                    partition=one.partition,
                    headers=list(one.headers),
                )
                for one in messages
            ]
            placed = await asyncio.gather(*waiting)
        finally:
            await producer.stop()
        return {
            (one.topic.name, one.partition, at.offset): one for one, at in zip(messages, placed, strict=True)
        }

    with raw_names():
        return asyncio.run(sending())


def check_letters(made: Stack, sent: dict[Place, Bad], found: Findings) -> None:
    """Each is buried for its reason, with its bytes, and nothing else is."""
    deadline = time.monotonic() + BURIED_S
    while set(letters := buried(made)) != set(sent) and time.monotonic() < deadline:
        time.sleep(0.5)
    missing = [(place, sent[place].kind) for place in sent if place not in letters]
    found.expect(not missing, f"{len(missing)} not buried: {missing[:5]}")
    others = [(place, *letters[place][0]) for place in letters if place not in sent]
    found.expect(not others, f"{len(others)} buried that were not sent as malformed: {others[:3]}")
    for place, one in sent.items():
        said = letters.get(place, [])
        # Who passes over a type's content sees only that the id is not that of the content.
        codes = {code for code, _ in said}
        if said and not {one.code} <= codes <= {one.code, "bad_id"}:
            found.wrong.append(f"{place} ({one.kind}): {sorted(codes)}, not {one.code}")
        found.expect(all(value == one.value for _, value in said), f"{place}: buried with other bytes")


def buried(made: Stack) -> dict[Place, list[tuple[str, bytes | None]]]:
    """Reason and bytes of every dead letter, by the place of the message."""
    found: dict[Place, list[tuple[str, bytes | None]]] = defaultdict(list)

    def take(record: Record) -> None:
        letter = letter_of(record)
        if letter is not None:
            found[letter.topic, letter.partition, letter.offset].append((letter.code, letter.value))

    Source(made.settings).each(take, [topic.dead for topic in TOPICS.values()])
    return found


@dataclass(frozen=True)
class Start:
    """A start that cannot succeed: what is wrong, in which environment, and what must be said of it."""

    what: str
    service: str
    environment: dict[str, str]
    says: tuple[str, ...]


def refused_starts(kafka: str, redis: str, folder: Path, found: Findings) -> None:
    """Each ends by itself with exit code 1 and a reason, and tells no password."""
    nobody, few = f"127.0.0.1:{free_port()}", unique()
    asyncio.run(make_topics(KitSettings(kafka=kafka, kafka_prefix=few), {RUN_EVENTS.name: 3}))
    starts = [
        Start("no broker", "agent_runner", {"TDS_KAFKA": nobody}, (nobody, "Is it running", "TDS_KAFKA")),
        Start(
            "no Redis", "diversity_monitor", {"TDS_REDIS": f"redis://{nobody}/0"}, (f"no Redis at {nobody}",)
        ),
        Start("no topics", "sandbox_exec", {"TDS_KAFKA_PREFIX": unique()}, ("missing", "kafka.provision")),
        Start(
            "few partitions", "evolution_scheduler", {"TDS_KAFKA_PREFIX": few}, ("has 3 and should have 64",)
        ),
        Start("nonsense", "cluster_registry", {"TDS_CONCURRENCY": "none"}, ("TDS_CONCURRENCY=none",)),
    ]
    with contextlib.ExitStack() as opened, stack(kafka, unique(), folder, redis=redis) as made:
        if why := engine_missing():
            found.say(f"no wrong logins tried: {why}")
        else:
            guarded = opened.enter_context(kafka_container(*GUARDED)).bootstrap
            locked = opened.enter_context(redis_container("right-horse")).url
            login = {
                "TDS_KAFKA": guarded,
                "TDS_KAFKA_SECURITY": "sasl_plaintext",
                "TDS_KAFKA_USER": "tds",
                "TDS_KAFKA_PASSWORD": "wrong horse",
            }
            open_door = {**login, "TDS_KAFKA_SECURITY": "plaintext"}
            wrong = {"TDS_REDIS": locked.replace("right", "wrong")}
            starts += [
                Start(
                    "wrong Kafka login",
                    "blueprint_planner",
                    login,
                    ("refuses user 'tds'", "TDS_KAFKA_PASSWORD"),
                ),
                Start("no Kafka login", "agent_runner", open_door, ("wants something else",)),
                Start("wrong Redis login", "agent_runner", wrong, ("refuses user or password",)),
            ]
        begun = time.monotonic()
        replicas = [made.start(one.service, **one.environment) for one in starts]
        for start, replica in zip(starts, replicas, strict=True):
            refused(start, replica, begun + REFUSED_S, found)
        made.forget_dead()
        found.say(f"{len(starts)} starts refused in {time.monotonic() - begun:.0f} s at most")


def refused(start: Start, replica: Replica, until: float, found: Findings) -> None:
    while replica.alive and time.monotonic() < until:
        time.sleep(0.05)
    said = replica.log.read_text()
    code = replica.process.poll()
    found.expect(code == 1, f"{start.what}: exit code {code}, not 1: {said[-300:]}")
    missing = [word for word in start.says if word not in said]
    found.expect(not missing, f"{start.what}: does not say {missing}: {said[-500:]}")
    found.expect("Traceback" not in said, f"{start.what}: a traceback: {said[-500:]}")
    found.expect("horse" not in said, f"{start.what}: tells a password")
