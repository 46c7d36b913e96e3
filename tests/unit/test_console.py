"""The console without a campaign: ledger, rows, card, configuration, display, exit codes."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from schemas.codec import Undecodable
from schemas.evolution import CampaignPaused, CampaignResumed
from schemas.run import UserSpoke
from schemas.topics import RUN_EVENTS
from services.console import api, card, export, show
from services.console.cli import main
from services.console.config import RunConfig, by_role, load
from services.console.errors import UserError
from services.console.ledger import LOG, Ledger
from services.console.preview import estimate
from services.console.progress import Lines, amount, clock_text
from services.kit.dead import bury
from services.kit.log import Outgoing, Record
from services.kit.sqlite import SqliteLog
from tests.support import small_log
from tests.support.small_log import CAMPAIGN, SPEC, SmallLog, whole


def folded(records: list[Record], **options: str) -> Ledger:
    ledger = Ledger(**options)  # type: ignore[arg-type]
    for record in records:
        ledger.fold(record)
    return ledger


def stored(folder: Path, records: list[Record]) -> Path:
    """A folder with these records in its log."""

    async def write() -> None:
        async with SqliteLog(folder / LOG) as log:
            await log.append(
                [Outgoing(one.topic, one.partition, one.key, one.headers, one.value) for one in records]
            )

    asyncio.run(write())
    return folder


# the ledger


def test_a_ledger_tells_how_the_campaign_went() -> None:
    ledger = folded(whole().records)
    assert (ledger.state, ledger.asked, ledger.admitted_count) == ("finished", 2, 2)
    assert [row.run for row in ledger.admitted] == ["c7.0.1", "c7.1.1"]
    assert ledger.rejections == {"duplicate": 1}
    assert [(one.slot, len(one.reasons)) for one in ledger.abandoned] == [(3, 3)]
    assert ledger.failures == {
        ("planner", "cyclic"): 1,
        ("assistant", "empty_reply"): 1,
        ("user", "leaked_plan"): 1,
    }
    assert [entry.run for entry in ledger.failed] == ["c7.2.1", "c7.3.1", "c7.3.2", "c7.3.3"]
    assert (ledger.generations, ledger.slots, ledger.in_flight) == (1, 4, 0)
    assert ledger.tools_dropped == {"bad_schema": 1}
    assert ledger.catalog is not None
    assert ledger.catalog.tools == 2


def test_usage_is_that_of_closed_runs_and_of_open_ones_so_far() -> None:
    log = SmallLog()
    log.begin()
    open_run = log.converse(0)
    assert folded(log.records).usage.calls == 3  # the plan, and two turns of the assistant
    log.fail(open_run)
    ledger = folded(log.records)
    assert ledger.usage.calls == 1  # the run's own account replaces what was counted on the way
    assert ledger.usage.usd == pytest.approx(0.25)


def test_duplicates_and_losers_of_races_change_nothing() -> None:
    log = whole()
    before = export.dataset_bytes(folded(log.records))
    rival = SmallLog()
    rival.heads[RUN_EVENTS.name, "c7.0.1"] = (1, "another predecessor")
    rival.put("c7.0.1", UserSpoke(run="c7.0.1", turn=0, content="I am a rival"))
    noisy = [copy for record in log.records for copy in (record, record)] + rival.records
    ledger = folded(noisy)
    assert export.dataset_bytes(ledger) == before
    assert ledger.dropped == len(log.records) + 1
    assert ledger.usage == folded(log.records).usage


def test_what_cannot_be_decoded_is_counted_and_passed_over() -> None:
    log = whole()
    before = export.dataset_bytes(folded(log.records))
    broken = replace(log.records[-1], value=b"{", offset=99)
    letter = bury(broken, Undecodable("not_json", "cut"), "agent-runner", "t")
    again = bury(broken, Undecodable("not_json", "cut"), "diversity-monitor", "t")
    log.log.put([Outgoing(broken.topic, 0, broken.key, broken.headers, broken.value), letter, again])
    ledger = folded(log.records)
    assert ledger.undecodable.total() == 1
    assert list(ledger.dead.values()) == ["not_json"]  # one message, however many services buried it
    assert export.dataset_bytes(ledger) == before


def test_a_message_of_a_newer_version_counts_unless_the_services_have_buried_it() -> None:
    log = whole()
    headers = {**log.records[-1].headers, "ce_type": "tds.evolution.CampaignFinished.v9"}
    newer = replace(log.records[-1], headers=headers, offset=99)
    letter = bury(newer, Undecodable("newer_version", "upgrade it"), "evolution-scheduler", "t")
    buried = Record(letter.topic, 0, 0, letter.key, letter.headers, letter.value)
    assert not folded(log.records).newer
    assert folded([*log.records, newer]).newer
    assert folded([*log.records, replace(newer, offset=98), buried]).newer  # it is another's letter
    assert not folded([*log.records, newer, buried]).newer
    assert not folded([buried, newer, *log.records]).newer


def test_a_stopped_campaign_takes_no_row_beyond_its_end() -> None:
    short = SmallLog()
    short.begin()
    for slot in (0, 1):
        run = short.converse(slot)
        short.finish(run)
        short.measure(run)
        short.admit(run, slot)
    short.end(1, complete=False)
    ledger = folded(short.records)
    assert [row.run for row in ledger.admitted] == ["c7.0.1"]
    assert ledger.figures.admitted == 1


def test_a_pause_is_told_until_it_is_over() -> None:
    log = SmallLog()
    log.begin()
    log.put(CAMPAIGN, CampaignPaused(campaign=CAMPAIGN, reason="infrastructure: unreachable", cause="r"))
    assert (folded(log.records).state, folded(log.records).paused) == (
        "paused",
        "infrastructure: unreachable",
    )
    log.put(CAMPAIGN, CampaignResumed(campaign=CAMPAIGN, cause="n"))
    assert folded(log.records).state == "unfinished"


def test_figures_are_those_of_the_rows() -> None:
    figures = folded(whole().records).figures
    assert (figures.admitted, figures.rejected) == (2, {"duplicate": 1})
    assert figures.mode_exact.bits == pytest.approx(1.0)  # two signatures, once each
    assert figures.domain.bits == 0.0
    assert figures.ceiling_bits == pytest.approx(1.0)


def test_transcripts_are_kept_only_where_they_are_needed() -> None:
    records = whole().records
    assert not any(entry.blueprint for entry in folded(records, keep="nothing").runs.values())
    kept = folded(records, keep="admitted")
    assert {run for run, entry in kept.runs.items() if entry.turns} == {"c7.0.1", "c7.1.1"}
    assert export.dataset_bytes(kept) == export.dataset_bytes(folded(records))


# rows


def test_an_openai_row_is_the_conversation_without_the_closing_turn() -> None:
    row = next(export.rows(folded(whole().records)))
    assert list(row) == ["id", "messages", "tools", "metadata"]
    assert row["id"] == "c7.0.1"
    assert [message["role"] for message in row["messages"]] == [
        "system", "user", "assistant", "tool", "tool", "assistant",
    ]  # fmt: skip
    assert row["messages"][2]["tool_calls"][0] == {
        "id": "call_1_0",
        "type": "function",
        "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'},
    }
    assert row["messages"][-1] == {"role": "assistant", "content": "It is clear."}
    assert [tool["function"]["name"] for tool in row["tools"]] == ["get_weather", "list_cities"]
    assert row["metadata"] == {
        "campaign": "c7",
        "generation": 0,
        "slot": 0,
        "attempt": 1,
        "domains": ["weather"],
        "mode": "parallel/2",
        "signature": "signature of c7.0.1",
        "complexity": 6.5,
        "band": 1,
        "seed": 100,
        "models": {"planner": "sim", "user": "sim", "assistant": "sim", "tools": "sim", "judge": "sim"},
        "verdict": {"passed": True, "findings": []},
        "operator": "draw",
        "cluster": "sky#1",
    }


def test_rows_do_not_depend_on_time_or_on_how_topics_interleave() -> None:
    log = whole()
    before = export.dataset_bytes(folded(log.records))
    later = [replace(one, headers={**one.headers, "ce_time": "2031-01-01T00:00:00Z"}) for one in log.records]
    by_topic: dict[str, list[Record]] = {}
    for record in later:
        by_topic.setdefault(record.topic, []).append(record)
    for seed in range(20):
        rng = random.Random(f"{seed}/interleaving")
        queues = [list(queue) for queue in by_topic.values()]
        mixed = []
        while queues := [queue for queue in queues if queue]:
            mixed.append(rng.choice(queues).pop(0))
        ledger = Ledger(CAMPAIGN)
        for record in mixed:
            ledger.fold(record)
        assert export.dataset_bytes(ledger) == before
        assert ledger.figures == folded(log.records).figures


def test_failed_rows_say_why_and_name_no_host() -> None:
    log = whole()
    log.fail(
        log.converse(5, retry=1),
        content=False,
        attribution="infrastructure",
        code="unreachable",
        detail="cannot connect to 10.0.0.7",
    )
    found = {row["id"]: row["metadata"] for row in export.rows(folded(log.records), failed=True)}
    assert list(found) == ["c7.2.1", "c7.3.2", "c7.3.3", "c7.5.1.1"]  # a refused plan is no run
    assert found["c7.2.1"]["failure"]["code"] == "duplicate"
    assert found["c7.3.2"]["failure"] == {
        "stage": "run",
        "attribution": "assistant",
        "code": "empty_reply",
        "detail": "",
    }
    assert found["c7.3.2"]["domains"] == ["travel", "weather"]  # of the tools that were called
    assert found["c7.3.3"]["verdict"] == {
        "passed": False,
        "findings": [{"code": "leaked_plan", "attribution": "user", "detail": "said s1"}],
    }
    assert found["c7.5.1.1"]["failure"]["detail"] == ""


def test_sharegpt_turns_alternate_and_lose_nothing() -> None:
    row = export.sharegpt(next(export.rows(folded(whole().records))))
    turns = row["conversations"]
    assert [turn["from"] for turn in turns] == ["system", "human", "function_call", "observation", "gpt"]
    assert json.loads(turns[2]["value"]) == [
        {"name": "get_weather", "arguments": {"city": "Oslo"}},
        {"name": "list_cities", "arguments": {}},
    ]
    assert turns[2]["text"] == "Let me look."
    assert json.loads(turns[3]["value"]) == [{"sky": "clear"}, ["Oslo"]]
    assert [tool["name"] for tool in json.loads(row["tools"])] == ["get_weather", "list_cities"]


def test_a_dataset_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "rows.jsonl"
    ledger = folded(whole().records)
    assert export.write_dataset(ledger, path) == 2
    before = path.read_bytes()
    assert before == export.dataset_bytes(ledger)

    def cut_off() -> Iterator[bytes]:
        yield b"half"
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        export.write_atomically(path, cut_off())
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


# the card


def test_a_card_holds_what_rows_may_not(tmp_path: Path) -> None:
    folder = stored(tmp_path, whole().records)
    made = card.write_card(Ledger.open(folder), folder)
    assert made == json.loads((folder / "card.json").read_text())
    assert (made["asked"], made["admitted"], made["complete"]) == (2, 2, True)
    assert made["rejected"] == {"duplicate": 1}
    assert made["abandoned_reasons"]["planner: cyclic"] == 1
    assert made["failures"]["user: leaked_plan"] == 1
    assert made["usage"]["calls"] == 3 * 3 + 1 + 1 + 3
    assert made["times"] == {"first_event": "2026-01-01T00:00:00Z", "last_event": "2026-01-01T00:00:00Z"}
    assert made["not_training_data"]
    assert "not training data" in (folder / "README.md").read_text().lower()


# configuration


def test_flags_go_before_environment_before_file(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("trajectories: 30\nseed: 3\nbudget-usd: 2.5\nmodel: {assistant: a/b, user: c/d}\n")
    environ = {"TDS_SEED": "4", "TDS_MODEL_USER": "e/f", "TDS_UNRELATED": "x"}
    config = load({"trajectories": 50, "concurrency": None}, file, environ)
    assert (config.trajectories, config.seed, config.budget_usd) == (50, 4, 2.5)
    assert config.model == {"assistant": "a/b", "user": "e/f"}
    assert (config.name, config.folder) == ("c4", Path("out/c4"))


@pytest.mark.parametrize(
    ("name", "text"),
    [("c.toml", 'seed = 5\n[model]\nall = "x/y"\n'), ("c.json", '{"seed": 5, "model": "x/y"}')],
)
def test_a_file_may_be_toml_or_json(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    config = load({}, tmp_path / name, {})
    assert config.seed == 5
    assert {model.model for model in config.models().values()} == {"x/y"}


def test_the_campaign_names_a_model_for_each_role() -> None:
    config = RunConfig(model={"assistant": "m"}, base_url={"all": "http://h:1/v1"}, seed=9, max_slots=7)
    spec = config.spec()
    assert {role: model.model for role, model in spec.models.items()} == {
        "planner": "sim", "user": "sim", "assistant": "m", "tools": "sim", "judge": "sim",
    }  # fmt: skip
    assert spec.models["assistant"].base_url == "http://h:1/v1"
    assert spec.models["user"].base_url == ""  # played in process: it is nowhere else
    assert (spec.campaign, spec.seed, spec.max_slots, spec.generation_size) == ("c9", 9, 7, 25)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"trajectories": 0}, "--trajectories: input should be greater than or equal to 1, not 0"),
        ({"policy": "wild"}, "--policy: input should be 'tools', 'random', 'steering', 'evolution'"),
        ({"lookahead": 0}, "--lookahead"),
        ({"campaign": "a.b"}, "--campaign: letters, digits, _ and - only"),
        ({"model": {"assistent": "m"}}, "no role 'assistent'; roles: planner, user, assistant, tools, judge"),
        ({"min_tools": 9, "max_tools": 4}, "min_tools (9) is more than max_tools (4)"),
        ({"budget_usd": float("nan")}, "--budget-usd"),
    ],
)
def test_a_bad_value_is_named_with_its_flag(flags: dict[str, object], says: str) -> None:
    with pytest.raises(UserError) as caught:
        load(flags, None, {})
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.yaml", "trajectorys: 3", "Did you mean 'trajectories'"),
        ("a.yaml", "seed: [", "is not valid"),
        ("a.yaml", "- 3", "holds no keys"),
        ("a.yaml", "seed: many", "seed in "),
        ("a.ini", "seed=3", "name it .yaml, .toml or .json"),
        ("a.toml", "seed = ", "is not valid"),
    ],
)
def test_a_bad_file_is_named_with_its_fault(tmp_path: Path, name: str, text: str, says: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError) as caught:
        load({}, tmp_path / name, {})
    assert says in str(caught.value)
    assert name in str(caught.value)


def test_a_role_is_given_once() -> None:
    assert by_role(["assistant=sim?malformed=0.1"], "--model") == {"assistant": "sim?malformed=0.1"}
    for given, says in ((["m"], "no role"), (["x=m"], "no role 'x'"), (["user=a", "user=b"], "twice")):
        with pytest.raises(UserError, match=says):
            by_role(given, "--model")


# showing


def test_markdown_shows_the_whole_trajectory() -> None:
    page = show.show_markdown(*show.find(folded(whole().records), "1"))
    for piece in (
        "# c7.1.1",
        "How is the weather in Rome?",
        "calls `get_weather`",
        '"sky": "clear"',
        "It is clear.",
    ):
        assert piece in page
    assert "- passed" in page


def test_no_text_can_break_out_of_the_page() -> None:
    row, blueprint = show.find(folded(whole().records), "0")
    row["messages"][3]["content"] = '{"x": "```\\n# fake heading\u202e\u001b[2J"}'
    page = show.show_markdown(row, blueprint)
    assert "\u202e" not in page
    assert "\x1b" not in page
    assert "````json" in page  # a longer fence than any in the text
    assert "\x1b" not in show.show_text(row, blueprint).plain


def test_a_row_that_is_not_there_is_named() -> None:
    ledger = folded(whole().records)
    for which, says in (
        ("2", "Rows go from 0 to 1"),
        ("c7.9.1", "no run 'c7.9.1'"),
        ("c7.3.1", "no blueprint"),
    ):
        with pytest.raises(UserError) as caught:
            show.find(ledger, which)
        assert says in str(caught.value)


def test_a_terminal_sees_long_results_cut() -> None:
    row, blueprint = show.find(folded(whole().records), "0")
    row["messages"][3]["content"] = json.dumps(list(range(100)))
    text = show.show_text(row, blueprint, 80).plain
    assert "lines more" in text
    assert max(len(line) for line in text.splitlines()) <= 80


# progress and estimate


def test_lines_come_with_every_tenth_and_every_few_seconds() -> None:
    now, said = [0.0], []
    lines = Lines(SPEC, said.append, lambda: now[0])
    with lines:
        for record in whole().records:
            now[0] += 0.3
            lines.fold(record)
        lines.tick()
    assert any("1/2 admitted" in line for line in said)
    assert "2/2 admitted · 1 rejected · 3 failed" in said[-1]
    assert len(said) == len(set(said))
    assert (amount(950), amount(12_345), amount(4_560_000)) == ("950", "12.3 k", "4.56 M")
    assert (clock_text(41), clock_text(3723)) == ("0:41", "1:02:03")


def test_an_estimate_scales_what_the_sample_took() -> None:
    ledger = folded(whole().records)
    found = estimate(ledger, SPEC.model_copy(update={"trajectories": 200}))
    assert found is not None
    assert (found.sample, found.calls, found.runs) == (2, 14 * 100, 6 * 100)
    assert found.usd == pytest.approx(14 * 0.25 * 100)
    assert found.priced
    empty = SmallLog()
    empty.begin()
    assert estimate(folded(empty.records), SPEC) is None


# the command line


def said(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(argv)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_help_is_fast_and_imports_nothing_heavy() -> None:
    program = [sys.executable, "-c", "from services.console.cli import main; import sys; sys.exit(main())"]
    times: dict[bool, list[float]] = {True: [], False: []}
    for ours in (True, False) * 5:
        command = [*program, "--help"] if ours else [sys.executable, "-c", "import typer"]
        began = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        times[ours].append(time.perf_counter() - began)
        if ours:
            assert all(name in done.stdout for name in ("run", "preview", "replay", "sim-server"))
    assert min(times[True]) < 3 * min(times[False])
    heavy = ("pydantic", "rich", "numpy", "asyncio", "sqlite3")
    probe = f"import services.console.cli, sys; print([m for m in {heavy} if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_a_campaign_is_read_by_every_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = str(stored(tmp_path / "c", whole().records))
    code, out, _ = said(capsys, "status", folder)
    assert (code, out.splitlines()[0]) == (0, "c7: 2 of 2 admitted; all that were asked for")
    code, out, _ = said(capsys, "status", folder, "--json")
    assert json.loads(out)["admitted"] == 2
    code, out, _ = said(capsys, "show", folder, "0")
    assert "How is the weather in Oslo?" in out
    code, out, _ = said(capsys, "show", folder, "c7.3.2", "--json")
    assert json.loads(out)["metadata"]["failure"]["code"] == "empty_reply"
    to = tmp_path / "rows.jsonl"
    code, out, _ = said(capsys, "export", folder, "--format", "sharegpt", "--to", str(to), "--json")
    assert (code, json.loads(out)["rows"]) == (0, 2)
    assert to.read_bytes() == export.dataset_bytes(folded(whole().records), "sharegpt")
    code, out, _ = said(capsys, "export", folder, "--failed", "--to", str(to))
    assert (code, len(to.read_text().splitlines())) == (0, 3)


@pytest.mark.parametrize(
    ("argv", "expected", "says"),
    [
        (["run", "--no-such-flag"], 2, "No such option"),
        (["run", "--seed", "many"], 2, "valid integer"),
        (["run", "--model", "pilot=sim"], 2, "there is no role 'pilot'"),
        (["run", "--model", "user=sim?oops=1", "--out", "NEW"], 2, "unknown option 'oops=1'"),
        (["run", "--base-url", "user=nowhere", "--model", "user=m", "--out", "NEW"], 2, "no base URL"),
        (["run", "--catalog", "missing.json", "--out", "NEW"], 2, "missing.json"),
        (["run", "--resume", "missing"], 2, "there is no campaign in missing"),
        (["run", "--resume", "OLD", "--seed", "3"], 2, "--seed cannot be given with --resume"),
        (["run", "--out", "OLD"], 2, "already holds campaign c7"),
        (["run", "--out", "FILE"], 2, "is no folder"),
        (["run", "--config", "missing.yaml"], 2, "cannot read missing.yaml"),
        (["status", "missing"], 1, "no event log at"),
        (["show", "OLD", "7"], 2, "there is no row 7"),
        (["export", "OLD", "--format", "csv", "--to", "x"], 2, "there is no format 'csv'"),
        (["export", "OLD", "--to", "OLD"], 2, "is a folder"),
        (["sim-server", "--latency-ms", "fast"], 2, "no range of milliseconds"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_mistakes_are_told_without_a_traceback(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    argv: list[str],
    expected: int,
    says: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    stored(tmp_path / "OLD", whole().records)
    (tmp_path / "FILE").write_text("")
    code, _, err = said(capsys, *argv)
    assert code == expected
    assert err.startswith("error: ")
    assert says in err
    assert "Traceback" not in err
    assert not (tmp_path / "NEW").exists()


@pytest.mark.parametrize("text", ["", "[]", "not json", '{"tools": 3}'])
def test_a_catalog_without_a_usable_server_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (tmp_path / "bad.json").write_text(text)
    out = tmp_path / "new"
    code, _, err = said(capsys, "run", "--catalog", str(tmp_path / "bad.json"), "--out", str(out))
    assert (code, err[:7]) == (2, "error: ")
    assert "bad.json" in err
    assert not out.exists()


def test_a_log_of_a_newer_version_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = whole()
    newer = replace(
        log.records[-1], headers={**log.records[-1].headers, "ce_type": "tds.evolution.CampaignFinished.v9"}
    )
    events = stored(tmp_path / "events", [*log.records[:-1], newer])
    for argv in (["status", str(events)], ["run", "--resume", str(events)], ["show", str(events), "0"]):
        code, _, err = said(capsys, *argv)
        assert code == 1
        assert "newer version" in err
    schema = stored(tmp_path / "schema", log.records)
    with sqlite3.connect(schema / LOG) as connection:
        connection.execute("PRAGMA user_version = 99")
    code, _, err = said(capsys, "status", str(schema))
    assert (code, "upgrade" in err) == (1, True)


def test_the_api_has_the_same_verbs(tmp_path: Path) -> None:
    folder = stored(tmp_path / "c", whole().records)
    campaign = api.Campaign(folder)
    assert [row["id"] for row in campaign.rows()] == ["c7.0.1", "c7.1.1"]
    assert campaign.blueprint("c7.1.1").persona == "a sailor"
    assert api.status(folder)["admitted"] == 2
    assert api.show(folder, 0).startswith("# c7.0.1")
    assert api.export(folder, tmp_path / "x.jsonl") == 2
    with pytest.raises(UserError, match="no setting 'trajectorys'"):
        api.run(trajectorys=3)
    assert small_log.CAMPAIGN in campaign.row("c7.0.1")["id"]


def test_the_api_works_where_a_loop_is_running(tmp_path: Path) -> None:
    folder = stored(tmp_path / "c", whole().records)
    row = api.Campaign(folder).row(0)

    async def notebook() -> bool:
        return api.Campaign(folder).verify(row["id"], row["messages"]).passed

    assert asyncio.run(notebook()) is api.Campaign(folder).verify(row["id"], row["messages"]).passed
