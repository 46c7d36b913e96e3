"""The console on a log that several campaigns share, whose partitions come in any order; and dead letters."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.codec import Undecodable
from schemas.codec import decode as decode_as_it_is
from schemas.topics import BLUEPRINT_EVENTS, TOPICS
from services.console.card import card
from services.console.cli import main
from services.console.dead_letters import chosen, letters, page, readable, retry, told
from services.console.embedded import run_campaign, services
from services.console.errors import UserError
from services.console.export import dataset_bytes
from services.console.ledger import Ledger
from services.console.replay import Forbidden, recorded_campaign, replay
from services.console.source import LOG, Stack
from services.console.stack import catalog_commands
from services.kit import dead
from services.kit.dead import bury, exhume, letter_of, rewinds, taken_up, usable
from services.kit.log import Outgoing, Record
from services.kit.memory import MemoryLog
from services.kit.models.router import ModelRouter
from services.kit.settings import KitSettings
from services.kit.sqlite import SqliteLog
from services.sim.actors import SimModel
from tests.support import small_log
from tests.support.memory_stack import Held, at_work, carried_out, made_by, plan, servers, shuffled
from tests.support.small_log import CAMPAIGN, SmallLog, whole

SHOP, BANK, CHAT = servers(("shop", "bank", "chat"))
BAD_TOOL = {"name": "bad", "inputSchema": "none"}
OTHER_TOOLS = [*SHOP.server["tools"][:5], BAD_TOOL]
OTHER_SHOP = SHOP.model_copy(update={"server": {**SHOP.server, "tools": OTHER_TOOLS}})
MINE = plan("mine", (SHOP, BANK))
OTHER = plan("other", (OTHER_SHOP, CHAT), seed=8)
"""It has another server of the same name."""


def stored(letter: Outgoing, offset: int = 0) -> Record:
    return Record(letter.topic, letter.partition, offset, letter.key, letter.headers, letter.value)


def buried(record: Record, service: str = "toy", reason: str = "why") -> Record:
    return stored(bury(record, Undecodable("odd", reason), service, "t"))


def summary_of(ledger: Ledger) -> tuple[bytes, bytes, str]:
    return dataset_bytes(ledger), dataset_bytes(ledger, failed=True), json.dumps(card(ledger))


@pytest.fixture(scope="module")
def shared() -> list[Record]:
    """The records of both campaigns on one log, the other one first, and its catalog once more at the end."""
    return made_by(OTHER, MINE, plan("again", (OTHER_SHOP, BANK)))


# one log, several campaigns, any order of partitions


def test_a_campaign_on_a_shared_log_is_as_if_it_were_alone(shared: list[Record], tmp_path: Path) -> None:
    alone = Held(made_by(MINE), "mine").ledger()
    among = Held(shared, "mine").ledger()
    assert dataset_bytes(among) == dataset_bytes(alone)
    assert among.admitted_count == 3
    assert not among.not_taken
    assert any("'bad'" in text for text in Held(shared, "other").ledger().not_taken)

    what_was_under_way = ("times", "log", "usage", "in_flight", "runs", "spec")
    told_of, expected = card(among), card(alone)
    assert all(told_of[name] == expected[name] for name in expected if name not in what_was_under_way)

    def mine(record: Record) -> bool:
        return record.topic.startswith("tds.catalog.") or record.key.partition(".")[0] == "mine"

    assert card(Held([one for one in shared if mine(one)], "mine").ledger()) == told_of

    async def embedded() -> bytes:
        models = ModelRouter(SimModel())
        await run_campaign(tmp_path, MINE, models=models, concurrency=4)
        return dataset_bytes(Ledger.open(tmp_path))

    assert asyncio.run(embedded()) == dataset_bytes(among)


@pytest.mark.parametrize("campaign", ["mine", "other"])
def test_a_ledger_is_the_same_however_partitions_interleave(shared: list[Record], campaign: str) -> None:
    expected = summary_of(Held(shared, campaign).ledger())
    for seed in range(8):
        assert summary_of(Held(shuffled(shared, seed), campaign).ledger()) == expected


def test_a_ledger_of_failures_and_costs_is_the_same_however_partitions_interleave() -> None:
    log = SmallLog()
    log.begin()
    usages = [0.1, 0.2, 0.3, 1e-9, 1e9, 0.7]
    for slot, usd in enumerate(usages):
        usage = small_log.USAGE.model_copy(update={"usd": usd})
        run = log.converse(slot)
        log.fail(run, usage=usage, code=f"code {slot % 3}", attribution=("user", "assistant")[slot % 2])
    records = [*log.records, *whole().records[-1:]]
    expected = summary_of(Held(records, CAMPAIGN).ledger())
    for seed in range(50):
        assert summary_of(Held(shuffled(records, seed), CAMPAIGN).ledger()) == expected


def test_a_ledger_keeps_no_transcript_that_it_does_not_need_whatever_comes_first() -> None:
    for seed in range(20):
        ledger = Ledger(CAMPAIGN, keep="admitted")
        for record in shuffled(whole().records, seed):
            ledger.fold(record)
        kept = {run for run, entry in ledger.runs.items() if entry.blueprint or entry.turns}
        assert kept == {"c7.0.1", "c7.1.1"}


@pytest.mark.parametrize("campaign", ["mine", "other"])
def test_one_of_several_campaigns_is_replayed(shared: list[Record], campaign: str) -> None:
    source = Held(shuffled(shared, 1), campaign)
    exported = dataset_bytes(source.ledger())
    report = asyncio.run(replay(recorded_campaign(source), exported))
    assert report.differences == ()
    assert report.identical
    assert report.compared == report.events > 90
    assert not asyncio.run(replay(recorded_campaign(source), exported + b" ")).identical


def test_a_catalog_names_its_imports_and_is_not_appended_twice(shared: list[Record]) -> None:
    commands = [one for one in shared if one.topic == "tds.catalog.commands"]
    ids = [one.headers["ce_id"] for one in commands]
    assert len(ids) == len(set(ids)) == 4 + 3  # four servers, of which one is used twice; three catalogs
    form = catalog_commands(MINE)[-1]
    assert form.id in ids
    assert json.loads(form.outgoing.value or b"")["imports"] == [
        one.id for one in catalog_commands(MINE)[:-1]
    ]


# dead letters, the pure part


RECORD = Record("tds.run.events", 3, 17, "c7.3.1", {"ce_type": "odd", "ce_id": "e"}, b"{\x1b]0;x\x07\xff")


def test_a_letter_is_offered_until_it_is_taken_up_and_again_when_it_is_buried_again() -> None:
    burials = [buried(RECORD, who) for who in ("agent-runner", "sandbox-exec")]
    (letter,) = exhume(burials)
    assert letter.services == ("agent-runner", "sandbox-exec")
    assert letter.headers == RECORD.headers
    note = stored(taken_up(letter, "t2"))
    assert exhume([*burials, note]) == []
    (again,) = exhume([*burials, note, burials[1]])
    assert (again.id, again.services) == (letter.id, ("sandbox-exec",))
    ledger = Ledger()
    for record in [*burials, note]:
        ledger.fold(record)
    assert not ledger.dead


def test_a_letter_hides_neither_behind_headers_of_its_own_nor_behind_nonsense() -> None:
    sly = replace(RECORD, headers={**RECORD.headers, "dead_retried": "t", "dead_id": "mine"})
    assert len(exhume([buried(sly)])) == 1
    real = buried(RECORD)
    for change in (
        {"dead_offset": "x"},
        {"dead_partition": ""},
        {"dead_topic": "tds.nothing"},
        {"dead_id": ""},
    ):
        assert letter_of(replace(real, headers={**real.headers, **change})) is None
    assert letter_of(replace(real, topic="tds.nothing.dead")) is None
    assert letter_of(RECORD) is None


def test_a_letter_is_shown_without_moving_the_cursor_and_cut() -> None:
    (letter,) = exhume([buried(RECORD, reason="\x1b[2J\nwhy")])
    shown = page(letter)
    assert r"{\x1b]0;x\x07\xff" in shown
    assert r"\x1b[2J\nwhy" in shown
    assert "\x1b" not in shown
    assert readable("abc", 2) == "ab…"
    long = replace(letter, value=b"x" * 100_000)
    assert len(page(long)) < 6000
    assert "96000 bytes more" in page(long)


def test_what_a_group_has_passed_it_reads_again_from_the_beginning_of_that_partition() -> None:
    (letter,) = exhume([buried(RECORD, "agent-runner"), buried(RECORD, "sandbox-exec")])
    committed = {
        "agent-runner": {("tds.run.events", 3): 18, ("tds.blueprint.events", 3): 2, ("tds.run.events", 4): 9},
        "sandbox-exec": {("tds.run.events", 3): 17, ("tds.sandbox.commands", 3): 5},
        "blueprint-planner": {("tds.blueprint.events", 3): 9},
    }
    again = {"agent-runner": {("tds.run.events", 3): 0, ("tds.blueprint.events", 3): 0}}
    assert rewinds([letter], services(Forbidden()), committed) == again
    # whoever did not refuse it has folded it
    assert rewinds([replace(letter, services=())], services(Forbidden()), committed) == {}


def test_letters_are_named_by_the_beginning_of_their_ids() -> None:
    found = exhume(buried(replace(RECORD, offset=offset)) for offset in range(20))
    assert chosen(found, [found[3].id[:12], found[3].id]) == [found[3]]
    with pytest.raises(UserError, match="no dead letter 'zzz'"):
        chosen(found, ["zzz"])
    with pytest.raises(UserError, match="20 dead letters begin with ''"):
        chosen(found, [""])


# dead letters, taken up again


async def nobody(groups) -> dict[str, int]:
    return dict.fromkeys(groups, 0)


async def until_quiet(at) -> None:
    async with asyncio.timeout(60):
        while not await at.quiet():
            await asyncio.sleep(0.02)


@pytest.mark.slow
def test_after_an_upgrade_events_are_folded_again_and_the_dataset_is_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The program did not know one blueprint; the runner passes it, and commits."""
    expected = dataset_bytes(Held(made_by(MINE), "mine").ledger())

    def older(topic, key, headers, value):
        if topic is BLUEPRINT_EVENTS and key == "mine.1.1":
            raise Undecodable("newer_version", "upgrade it")
        return decode_as_it_is(topic, key, headers, value)

    async def story() -> bytes:
        log = MemoryLog()
        monkeypatch.setattr(dead, "decode", older)
        async with at_work(log) as at:
            asking = asyncio.create_task(carried_out(log, MINE))
            while not any(record.topic.endswith(".dead") for record in log.records):
                await asyncio.sleep(0.02)
            await until_quiet(at)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        source = Held(log.records, "mine")
        (letter,) = letters(source)
        assert letter.services == ("agent-runner",)
        before = list(log.records)
        with pytest.raises(UserError, match="cannot be used by this program either"):
            await retry(log, [letter], nobody)
        monkeypatch.setattr(dead, "decode", decode_as_it_is)

        async def busy(groups):
            return dict.fromkeys(groups, 2)

        with pytest.raises(UserError, match=r"live members: .*agent-runner \(2\)"):
            await retry(log, [letter], busy)
        assert log.records == before

        done = await retry(log, [letter], nobody)
        assert (done.commands, done.events) == (0, 1)
        assert done.rewound == {"agent-runner": (1,)}
        assert done.restart == ("agent-runner",)
        assert "docker compose restart agent-runner" in " ".join(told(done, Stack(KitSettings())))
        assert letters(source) == []
        async with at_work(log):
            await carried_out(log, MINE)
        return dataset_bytes(source.ledger())

    assert asyncio.run(story()) == expected


@pytest.mark.slow
def test_after_an_upgrade_commands_are_sent_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """The program did not know how to read one import."""
    (imported, *_), key = catalog_commands(MINE), "shop"

    def older(topic, given, headers, value):
        if given == key:
            raise Undecodable("newer_version", "upgrade it")
        return decode_as_it_is(topic, given, headers, value)

    async def story() -> None:
        log = MemoryLog()
        monkeypatch.setattr(dead, "decode", older)
        await log.append([imported.outgoing])
        async with at_work(log) as at:
            while not any(record.topic.endswith(".dead") for record in log.records):
                await asyncio.sleep(0.02)
            await until_quiet(at)
        monkeypatch.setattr(dead, "decode", decode_as_it_is)
        source = Held(log.records, "mine")
        (letter,) = letters(source)
        done = await retry(log, [letter], nobody)
        assert (done.commands, done.events, done.rewound, done.restart) == (1, 0, {}, ())
        last = [record for record in log.records if record.topic == imported.outgoing.topic][-1]
        assert (last.key, last.headers, last.value) == (
            imported.outgoing.key, imported.outgoing.headers, imported.outgoing.value,
        )  # fmt: skip
        assert letters(source) == []
        async with at_work(log):
            await carried_out(log, MINE)
        assert source.ledger().catalog.servers == 2

    asyncio.run(story())


def test_a_command_on_the_wrong_partition_can_be_sent_to_the_right_one() -> None:
    (command,) = [one for one in whole().records if one.topic == "tds.blueprint.commands"][:1]
    astray = replace(command, partition=63, offset=4)
    (letter,) = exhume([buried(astray)])
    assert usable(letter).subject == command.key
    assert dead.again(letter).partition == TOPICS[command.topic].partition(command.key) != 63
    event = replace(next(one for one in whole().records if one.topic == "tds.run.events"), partition=63)
    (letter,) = exhume([buried(event)])
    with pytest.raises(Undecodable, match="belongs on partition"):
        usable(letter)


# the command line


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("run --stack --concurrency 3", "each replica has TDS_CONCURRENCY calls"),
        ("run --detach", "--detach can be given with --stack only"),
        ("run --stack --resume c1 --seed 4", "only --out may change"),
        ("stop c1", "tds stop is for campaigns on the stack"),
        ("pause c1", "tds pause is for campaigns on the stack"),
        ("status", "no campaign is named"),
        ("show c1", "which row is meant?"),
        ("replay c1 --out x", "--out can be given with --stack only"),
        ("dead list", "whose dead letters are meant?"),
        ("dead list c1 --stack", "a folder cannot be given with --stack"),
        ("dead show c1 x", "no event log at c1"),
    ],
)
def test_mistakes_are_told(
    command: str,
    says: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command.split()) in (1, 2)
    assert says in capsys.readouterr().err


def test_up_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docker-compose.yml").write_text("services: {agent-runner: {}}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["up"]) == 1
    assert "there is no docker on this machine" in capsys.readouterr().err
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\necho no such thing >&2\nexit 1\n")
    docker.chmod(0o755)
    assert main(["up"]) == 1
    assert "docker has no compose: no such thing" in capsys.readouterr().err


def test_up_and_down_ask_compose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "docker-compose.yml").write_text("services: {agent-runner: {}}")
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\necho "$@"\n')
    docker.chmod(0o755)
    inside = tmp_path / "deep" / "down"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    asked = f"compose --file {tmp_path}/docker-compose.yml"
    assert main(["up", "--runners", "4", "--build"]) == 0
    assert f"{asked} up --detach --wait --scale agent-runner=4 --build" in capfd.readouterr().out
    assert main(["down"]) == 0
    assert f"{asked} down\n" in capfd.readouterr().out
    assert main(["down", "--volumes"]) == 0
    assert f"{asked} down --volumes" in capfd.readouterr().out


def test_dead_letters_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = whole()
    log.log.put([bury(RECORD, Undecodable("odd", "why"), "toy", "t")])
    asyncio.run(write(tmp_path, log.records))
    assert main(["dead", "list", str(tmp_path), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["topic"], found["partition"], found["offset"], found["code"]) == (
        "tds.run.events",
        3,
        17,
        "odd",
    )
    assert main(["dead", "show", str(tmp_path), found["id"][:6]]) == 0
    assert "value, 8 bytes" in capsys.readouterr().out
    assert main(["dead", "retry", str(tmp_path)]) == 2
    assert main(["dead", "retry", str(tmp_path), "--all"]) == 1
    assert "cannot be used by this program either (unknown_type" in capsys.readouterr().err
    assert main(["dead", "retry", str(tmp_path), "--all", "--code", "other"]) == 0
    assert "there is no dead letter to take up" in capsys.readouterr().out


async def write(folder: Path, records: list[Record]) -> None:
    async with SqliteLog(folder / LOG) as log:
        await log.append(
            [Outgoing(one.topic, one.partition, one.key, one.headers, one.value) for one in records]
        )
