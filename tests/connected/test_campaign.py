"""Campaigns on six service processes and a real broker: the embedded run's bytes, whatever comes and goes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid

import pytest

from schemas.topics import RUN_EVENTS, SANDBOX_EVENTS
from services.console.source import Stack as Source
from services.kit.kafka.log import KafkaLog
from tests.release.bench import Findings, Process
from tests.release.crashes import check_slots
from tests.support.code_runs import code_calls, executed_in, mismatches, no_sandbox
from tests.support.stack import stack

SEED = 7
SMALL = ("--trajectories", "40", "--generation-size", "10", "--seed", str(SEED))
SLOWED = ("--model", "all=sim?latency=0.05:0.2")
"""Long enough for something to happen in the middle; rows do not depend on it."""
RUN_S = 120.0
CODE_RUN_S = 400.0


@pytest.fixture(scope="module")
def running(kafka, redis_url, tmp_path_factory):
    """Six services, three of them replicas of the runner."""
    folder = tmp_path_factory.mktemp("campaign")
    with stack(kafka, f"campaign-{uuid.uuid4().hex[:8]}.", folder, redis=redis_url) as made:
        made.start_all(runners=3)
        yield made


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    """The rows of the small campaign, made by one process."""
    out = tmp_path_factory.mktemp("embedded") / "small"
    return rows(Process(["run", "--out", str(out), "--campaign", "small", *SMALL], out.parent, None), out)


def rows(process, out, within_s=RUN_S):
    done = process.wait(within_s)
    assert done.code == 0, done.err
    return (out / "dataset.jsonl").read_bytes()


@contextlib.contextmanager
def following(running, campaign, *arguments):
    """``tds run --stack``, under way, and where it writes its rows."""
    out = running.folder / campaign
    given = ["run", "--stack", "--campaign", campaign, "--out", str(out), *arguments]
    process = Process(given, running.folder / "tds", running.variables())
    try:
        yield process, out
    finally:
        process.send(9)


def reached(running, campaign, finished, process):
    """Wait until so many runs of a campaign have finished, while it is not over."""

    async def reading():
        count = 0
        async with KafkaLog(running.settings) as log, asyncio.timeout(RUN_S):
            consumer = log.consumer([RUN_EVENTS.name], {})
            while count < finished:
                for record in await consumer.poll(500, 0.5):
                    ended = record.headers["ce_type"].startswith("tds.run.RunFinished.")
                    count += ended and record.key.startswith(f"{campaign}.")
                assert process.poll() is None, "it ended before anything happened"

    asyncio.run(reading())


def whole(running, campaign, trajectories):
    """Every slot ended once, and replay derives the same again."""
    found = Findings()
    check_slots(Source(running.settings, campaign), trajectories, found)
    assert found.wrong == []
    arguments = ["replay", "--stack", campaign, "--out", str(running.folder / campaign), "--verify", "--json"]
    done = Process(arguments, running.folder / "tds", running.variables()).wait(RUN_S)
    assert (done.code, done.json()["identical"]) == (0, True), done.out


def test_a_campaign_of_200_has_the_bytes_of_the_embedded_run(running, tmp_path):
    arguments = ("--trajectories", "200", "--seed", str(SEED))
    with following(running, "c7", *arguments) as (process, out):
        made = rows(process, out)
    alone = Process(["run", "--out", str(tmp_path / "c7"), *arguments], tmp_path, None)
    assert made == rows(alone, tmp_path / "c7")
    assert made.count(b"\n") == 200
    whole(running, "c7", 200)
    owned = [one.owned() for one in running.of("agent_runner")]
    assert sorted(len(one) for one in owned) == [21, 21, 22]
    assert set.union(*owned) == set(range(RUN_EVENTS.partitions))


def test_a_campaign_of_200_with_code_has_the_bytes_of_the_embedded_run(running, tmp_path):
    if why := no_sandbox():
        pytest.skip(f"no code can be run here: {why}")
    arguments = ("--trajectories", "200", "--seed", str(SEED), "--code", "on")
    with following(running, "coded", *arguments) as (process, out):
        made = rows(process, out, CODE_RUN_S)
    alone = Process(["run", "--out", str(tmp_path / "c"), "--campaign", "coded", *arguments], tmp_path, None)
    assert made == rows(alone, tmp_path / "c", CODE_RUN_S)
    exported = [json.loads(line) for line in made.splitlines()]
    assert len(exported) == 200
    assert sum(bool(list(code_calls(row))) for row in exported) >= 0.4 * 200
    executed = executed_in(recorded(running, SANDBOX_EVENTS.name))
    assert mismatches(exported, executed) == []
    whole(running, "coded", 200)


def recorded(running, topic):
    """All records of a topic."""

    async def reading():
        found = []
        async with KafkaLog(running.settings) as log, asyncio.timeout(RUN_S):
            consumer = log.consumer([topic], {})
            while records := await consumer.poll(1000, 2.0):
                found.extend(records)
        return found

    return asyncio.run(reading())


def test_runners_come_and_go_in_the_middle(running, embedded):
    first, second, third = running.of("agent_runner")
    with following(running, "small", *SMALL, *SLOWED) as (process, out):
        reached(running, "small", 2, process)
        first.kill()
        running.start("agent_runner")
        reached(running, "small", 6, process)
        assert second.stop() == 0
        running.start("agent_runner")
        running.start("agent_runner")
        reached(running, "small", 12, process)
        assert third.stop() == 0
        made = rows(process, out)
    assert made == embedded
    whole(running, "small", 40)


def test_a_second_decider_stands_by_and_takes_over_when_the_first_is_killed(running, embedded):
    services = ("evolution_scheduler", "diversity_monitor")
    firsts = [running.of(service)[0] for service in services]
    seconds = [running.start(service) for service in services]
    for one in seconds:
        running.until(lambda one=one: one.said('"stands by"'), f"{one.log.name} to stand by")
    with following(running, "taken-over", *SMALL, *SLOWED) as (process, out):
        reached(running, "taken-over", 4, process)
        assert not any(one.said('"leads"') for one in seconds)
        for one in firsts:
            one.kill()
        made = rows(process, out)
    assert all(one.said('"leads"') for one in seconds)
    assert made == embedded.replace(b"small.", b"taken-over.").replace(b'"small"', b'"taken-over"')
    whole(running, "taken-over", 40)
