"""The console on a real broker: campaigns asked for, followed, read, held, ended; dead letters taken up.

The services run in a thread, all in one host on the same log: how they share their work is not looked at.
"""

import asyncio
import json
import os
import threading
import time
from contextlib import contextmanager
from dataclasses import replace

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer

from schemas.codec import Undecodable
from services.console.cli import main
from services.console.live import Live
from services.console.source import Stack
from services.kit.chain import seal
from services.kit.dead import bury
from services.kit.host import utc_now
from services.kit.kafka.log import KafkaLog, connection
from services.kit.kafka.provision import provision
from services.kit.log import Record
from services.kit.service import Draft
from services.kit.settings import KitSettings
from tests.support.memory_stack import at_work, servers
from tests.support.server_sent import events


@pytest.fixture(scope="module")
def stack(kafka):
    """Topics of this module's own."""
    settings = KitSettings(kafka=kafka, kafka_prefix=f"console-{os.getpid()}.")
    asyncio.run(provision(settings))
    return Stack(settings)


@pytest.fixture(autouse=True)
def place(stack, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TDS_KAFKA", stack.settings.kafka)
    monkeypatch.setenv("TDS_KAFKA_PREFIX", stack.settings.kafka_prefix)
    return tmp_path


@contextmanager
def working(stack):
    """The services at work, in a thread."""
    loop = asyncio.new_event_loop()
    stop, failures = asyncio.Event(), []

    async def serve():
        async with KafkaLog(stack.settings) as log, at_work(log):
            await stop.wait()

    def body():
        try:
            loop.run_until_complete(serve())
        except BaseException as error:
            failures.append(error)
        finally:
            loop.close()

    thread = threading.Thread(target=body)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
    assert not failures


def catalog(path, *, tools):
    """A catalog file with two servers; the first has so many tools."""
    shop, bank = (one.server for one in servers(("shop", "bank")))
    lines = [{**shop, "tools": shop["tools"][:tools]}, bank]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


async def lines_of_the_page(stack):
    """The trajectories that ``tds console`` tells of, once the campaign is over."""
    live, told = Live(stack), []
    following = asyncio.create_task(live.follow())
    async with (
        live.open("127.0.0.1", 0) as url,
        aiohttp.ClientSession(read_bufsize=2**22) as session,
        asyncio.timeout(30),
        session.get(f"{url}figures") as stream,
    ):
        while not (told and told[-1][2]["over"]):
            told += await events(stream, "figures")
    following.cancel()
    return [line["id"] for name, _, data in told if name == "rows" for line in data]


def said(capsys, *command, code=0):
    assert main(list(command)) == code, capsys.readouterr()
    return capsys.readouterr()


def as_json(capsys, *command, code=0):
    return json.loads(said(capsys, *command, "--json", code=code).out)


def test_a_campaign_on_the_stack_gives_the_bytes_of_one_machine(stack, place, capsys):
    """Also after another campaign whose catalog has another server of the same name."""
    other, mine = catalog(place / "other.jsonl", tools=5), catalog(place / "mine.jsonl", tools=12)
    asked = ("-n", "4", "--seed", "7", "--generation-size", "4", "--catalog")
    with working(stack):
        said(capsys, "run", "--stack", *asked, other, "--campaign", "first")
        card = as_json(capsys, "run", "--stack", *asked, mine, "--campaign", "second")
        assert (card["state"], card["admitted"], card["catalog"]["servers"]) == ("finished", 4, 2)
        # what is there is not taken twice
        again = said(capsys, "run", "--stack", *asked, mine, "--campaign", "second", code=2)
        assert "already has a campaign second" in again.err
        assert "`tds run --stack --resume second`" in again.err
        # the same catalog again: its commands are in the log
        said(capsys, "run", "--stack", *asked, other, "--campaign", "third")

    for campaign, file in (("first", other), ("second", mine), ("third", other)):
        said(capsys, "run", *asked, file, "--campaign", campaign, "--out", f"alone/{campaign}")
        expected = (place / "alone" / campaign / "dataset.jsonl").read_bytes()
        assert (place / "out" / campaign / "dataset.jsonl").read_bytes() == expected
        assert expected.count(b"\n") == 4
    assert sorted(one.name for one in (place / "out" / "second").iterdir()) == [
        "README.md",
        "card.json",
        "config.json",
        "dataset.jsonl",
    ]
    config = json.loads((place / "out" / "second" / "config.json").read_text())
    assert config["log"] == {"kafka": stack.settings.kafka, "prefix": stack.settings.kafka_prefix}

    # and it is read like one in a folder
    said(capsys, "export", "--stack", "second", "--to", "rows.jsonl")
    expected = (place / "out" / "second" / "dataset.jsonl").read_bytes()
    assert (place / "rows.jsonl").read_bytes() == expected
    row = as_json(capsys, "show", "--stack", "second", "1")
    assert row == json.loads(expected.splitlines()[1])
    report = as_json(capsys, "replay", "--stack", "second", "--verify")
    assert report["identical"]
    (place / "out" / "second" / "dataset.jsonl").unlink()
    said(capsys, "replay", "--stack", "second")
    assert (place / "out" / "second" / "dataset.jsonl").read_bytes() == expected
    assert as_json(capsys, "status", "--stack", "second")["admitted"] == 4
    assert asyncio.run(lines_of_the_page(replace(stack, campaign="second"))) == [
        json.loads(line)["id"] for line in expected.splitlines()
    ]
    assert "say --stack second" in said(capsys, "show", "out/second", "0", code=2).err
    ambiguous = said(capsys, "show", "--stack", "0", code=2)
    assert "On the stack there are first, second, third" in ambiguous.err
    standing = as_json(capsys, "status", "--stack")
    assert [(one["campaign"], one["state"], one["admitted"]) for one in standing["campaigns"]] == [
        ("first", "finished", 4),
        ("second", "finished", 4),
        ("third", "finished", 4),
    ]
    assert [one["service"] for one in standing["services"]][2] == "agent-runner"
    assert standing["replicas"] is None
    assert "dead letters: none" in said(capsys, "status", "--stack").out


def test_a_campaign_is_left_held_resumed_and_ended(stack, place, capsys):
    asked = ("--seed", "3", "--generation-size", "4", "--catalog", catalog(place / "c.jsonl", tools=12))

    def until(state):
        deadline = time.monotonic() + 60
        while (card := as_json(capsys, "status", "--stack", "long"))["state"] != state:
            assert time.monotonic() < deadline
        return card

    with working(stack):
        out = said(capsys, "run", "--stack", "-n", "4000", *asked, "--campaign", "long", "--detach").out
        assert "tds stop --stack long" in out
        said(capsys, "pause", "--stack", "long")
        assert until("paused")["detail"] == "paused: paused by command"
        assert "tds run --stack --resume long" in said(capsys, "status", "--stack", "long").out
        said(capsys, "run", "--stack", "--resume", "long", "--detach")
        until("unfinished")
        said(capsys, "stop", "--stack", "long")
        card = as_json(capsys, "run", "--stack", "--resume", "long", code=1)
    assert (card["state"], card["ended"]) == ("finished", "stopped")
    rows = (place / "out" / "long" / "dataset.jsonl").read_bytes().count(b"\n") if card["admitted"] else 0
    assert rows == card["admitted"]


def test_dead_letters_are_listed_shown_and_taken_up(stack, capsys):
    (sealed,) = seal([Draft("music", servers(("music",))[0])], {}, "test", utc_now())
    command = Record("tds.catalog.commands", 0, 999, "music", sealed.outgoing.headers, sealed.outgoing.value)
    event = Record("tds.run.events", 5, 2, "x.5.1", {"ce_type": "tds.run.Nothing.v1"}, b"\x1b[2J")

    async def buried():
        async with KafkaLog(stack.settings) as log:
            reason = Undecodable("newer_version", "upgrade it")
            await log.append([bury(command, reason, "cluster-registry", utc_now())])
            await log.append([bury(event, reason, "agent-runner", utc_now())])

    asyncio.run(buried())
    found = {one["topic"]: one for one in as_json(capsys, "dead", "list", "--stack")}
    assert set(found) == {"tds.catalog.commands", "tds.run.events"}
    letter = found["tds.run.events"]
    assert r"\x1b[2J" in said(capsys, "dead", "show", "--stack", letter["id"][:13]).out
    refused = said(capsys, "dead", "retry", "--stack", "--all", code=1)
    assert "cannot be used by this program either (unknown_type" in refused.err
    done = as_json(capsys, "dead", "retry", "--stack", found["tds.catalog.commands"]["id"])
    assert (done["commands"], done["events"]) == (1, 0)
    commands = []
    stack.each(commands.append, ["tds.catalog.commands"])
    last = commands[-1]
    assert (last.key, last.headers, last.value) == (command.key, command.headers, command.value)
    left = as_json(capsys, "status", "--stack")["dead_letters"]
    assert left == {"tds.run.events": {"newer_version": 1}}


def test_a_group_at_work_is_not_rewound(stack, place, capsys, monkeypatch):
    """The letter is one that this program can read; the group that has passed it has a live member."""
    few = (
        "-n",
        "2",
        "--seed",
        "5",
        "--generation-size",
        "4",
        "--catalog",
        catalog(place / "c.jsonl", tools=12),
    )
    with working(stack):
        said(capsys, "run", "--stack", *few, "--campaign", "rewound")
    records = []
    stack.each(records.append, ["tds.run.events"])
    event = records[0]
    at = (event.topic, event.partition)

    async def story(action):
        async with KafkaLog(stack.settings) as log:
            if action == "bury":
                letter = bury(event, Undecodable("newer_version", "old"), "agent-runner", utc_now())
                await log.append([letter])
            return (await log.committed("agent-runner")).get(at)

    assert asyncio.run(story("bury")) > event.offset
    (letter,) = [one for one in as_json(capsys, "dead", "list", "--stack") if one["offset"] == event.offset]

    async def joined(then):
        consumer = AIOKafkaConsumer(
            stack.settings.kafka_prefix + event.topic,
            group_id=stack.settings.kafka_prefix + "agent-runner",
            enable_auto_commit=False,
            **connection(stack.settings),
        )
        await consumer.start()
        try:
            while not consumer.assignment():
                await asyncio.sleep(0.05)
            return await asyncio.to_thread(then)
        finally:
            await consumer.stop()

    refused = asyncio.run(joined(lambda: said(capsys, "dead", "retry", "--stack", letter["id"], code=1)))
    assert "live members: agent-runner (1). Nothing was changed" in refused.err
    done = as_json(capsys, "dead", "retry", "--stack", letter["id"])
    assert done["rewound"] == {"agent-runner": [event.partition]}
    assert asyncio.run(story("look")) == 0
