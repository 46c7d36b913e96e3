"""A campaign through the command line, from ``tds run`` to ``tds replay --verify``."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.console import api
from services.console.ledger import Ledger
from services.kit.log import LogError
from tests.validator.report import validate

TDS = [sys.executable, "-m", "services.console.cli"]
LIMIT_S = 120
SLOW = ["--model", "all=sim?latency=0.1:0.3"]
"""Sim models that take their time, so that there is a middle to interrupt."""


def tds(*argv: object, expect: int = 0) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*TDS, *map(str, argv)], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert done.returncode == expect, done.stderr
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a campaign of 8 that has finished."""
    folder = tmp_path_factory.mktemp("finished") / "c7"
    done = tds("run", "--trajectories", 8, "--seed", 7, "--out", folder)
    assert "8 of 8 admitted" in done.stdout
    assert "8/8 admitted" in done.stderr
    return folder


def test_a_run_leaves_a_dataset_and_a_card(finished: Path) -> None:
    report = validate(finished / "dataset.jsonl")
    assert report.rows == 8
    assert not report.violations, report.examples
    card = json.loads((finished / "card.json").read_text())
    assert (card["admitted"], card["complete"], card["ended"]) == (8, True, "trajectories")
    assert card["usage"]["calls"] > 8 * 3
    assert card["figures"]["admitted"] == 8
    assert card["log"]["dead_letters"] == {}
    assert json.loads((finished / "config.json").read_text())["concurrency"] == 16


def test_both_formats_are_exported(finished: Path, tmp_path: Path) -> None:
    tds("export", finished, "--format", "openai", "--to", tmp_path / "o.jsonl")
    assert (tmp_path / "o.jsonl").read_bytes() == (finished / "dataset.jsonl").read_bytes()
    tds("export", finished, "--format", "sharegpt", "--to", tmp_path / "s.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "s.jsonl").read_text().splitlines()]
    assert len(rows) == 8
    for row in rows:
        speakers = [turn["from"] for turn in row["conversations"]]
        assert speakers[:2] == ["system", "human"]
        assert speakers[-1] == "gpt"
        assert all(one in ("human", "observation") for one in speakers[1::2])
        assert all(one in ("gpt", "function_call") for one in speakers[2::2])


def test_it_is_shown(finished: Path) -> None:
    row = json.loads(tds("show", finished, 3, "--json").stdout)
    text = tds("show", finished, 3).stdout
    assert row["messages"][-1]["content"].split()[0] in text
    assert "passed" in text
    assert tds("show", finished, row["id"], "--markdown").stdout.startswith(f"# {row['id']}")
    status = json.loads(tds("status", finished, "--json").stdout)
    assert (status["state"], status["admitted"]) == ("finished", 8)


def test_a_replay_derives_everything_again(finished: Path) -> None:
    report = json.loads(tds("replay", finished, "--verify", "--json").stdout)
    assert report["identical"]
    assert report["export_identical"]
    assert report["compared"] == report["events"] > 8 * 10


def test_a_finished_campaign_can_be_resumed_and_stays_as_it_is(finished: Path) -> None:
    before = (finished / "dataset.jsonl").read_bytes(), Ledger.open(finished).records
    assert "8 of 8 admitted" in tds("run", "--resume", finished).stdout
    assert ((finished / "dataset.jsonl").read_bytes(), Ledger.open(finished).records) == before


def test_a_second_run_in_the_folder_is_refused(finished: Path) -> None:
    before = Ledger.open(finished).records
    done = tds("run", "--seed", 8, "--out", finished, expect=2)
    assert done.stderr.startswith("error: ")
    assert "already holds campaign c7" in done.stderr
    assert Ledger.open(finished).records == before


def test_the_seed_decides_the_bytes_and_concurrency_does_not(finished: Path, tmp_path: Path) -> None:
    tds("run", "--trajectories", 8, "--seed", 7, "--out", tmp_path / "one", "--concurrency", 1, "--json")
    tds("run", "--trajectories", 8, "--seed", 8, "--out", tmp_path / "other", "--json")
    dataset = (finished / "dataset.jsonl").read_bytes()
    assert (tmp_path / "one" / "dataset.jsonl").read_bytes() == dataset
    assert (tmp_path / "other" / "dataset.jsonl").read_bytes() != dataset


def test_json_is_all_that_is_printed(tmp_path: Path) -> None:
    done = tds("run", "--trajectories", 2, "--out", tmp_path / "c", "--json")
    assert done.stderr == ""
    assert json.loads(done.stdout)["admitted"] == 2


def test_ctrl_c_stops_in_good_order_and_resume_gives_the_same_bytes(tmp_path: Path) -> None:
    asked = ["--trajectories", "10", "--generation-size", "6", "--seed", "5", *SLOW]
    tds("run", *asked, "--out", tmp_path / "whole", "--json")
    folder = tmp_path / "cut"
    process = subprocess.Popen(
        [*TDS, "run", *asked, "--out", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until_under_way(folder, process)
    second = tds("run", "--resume", folder, expect=1)
    assert "another process" in second.stderr
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130
    assert f"tds run --resume {folder}" in err
    status = json.loads(tds("status", folder, "--json").stdout)
    assert status["state"] == "unfinished"
    assert status["runs"] > 0
    assert not (folder / "dataset.jsonl").exists()
    tds("run", "--resume", folder, "--json")
    assert (folder / "dataset.jsonl").read_bytes() == (tmp_path / "whole" / "dataset.jsonl").read_bytes()
    assert json.loads(tds("replay", folder, "--verify", "--json").stdout)["identical"]


def wait_until_under_way(folder: Path, process: subprocess.Popen[str]) -> None:
    """Until runs have turns, and before the campaign is over."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        try:
            ledger = Ledger.open(folder)
        except (LogError, sqlite3.OperationalError):  # it is only just being made
            ledger = Ledger()
        if any(len(entry.turns) >= 2 for entry in ledger.runs.values()):
            assert ledger.finished is None
            return
        time.sleep(0.05)
    pytest.fail("no run has begun")


def test_falling_short_is_a_failure_that_says_why(tmp_path: Path) -> None:
    broken = ["--model", "assistant=sim?malformed=1", "--max-slots", 2]
    done = tds("run", "--trajectories", 2, "--out", tmp_path / "c", *broken, expect=1)
    assert done.stderr.splitlines()[-1].startswith("error: 0 of 2 admitted")
    assert "broken_json" in done.stderr
    tds("export", tmp_path / "c", "--failed", "--to", tmp_path / "failed.jsonl")
    failed = [json.loads(line) for line in (tmp_path / "failed.jsonl").read_text().splitlines()]
    assert len(failed) == 6  # two slots, three attempts each
    assert {row["metadata"]["failure"]["attribution"] for row in failed} == {"assistant"}
    tds("export", tmp_path / "c", "--to", tmp_path / "none.jsonl", expect=1)


def test_an_unreachable_model_is_told_before_anything_starts(tmp_path: Path) -> None:
    flags = ["--model", "assistant=m", "--base-url", "assistant=http://127.0.0.1:9/v1"]
    done = tds("run", "--trajectories", 2, "--out", tmp_path / "c", *flags, expect=1)
    assert done.stderr.startswith("error: the model cannot be used")
    assert "for assistant" in done.stderr
    assert not (tmp_path / "c" / "log.sqlite3").exists()


def test_a_bad_line_of_a_catalog_costs_only_itself(tmp_path: Path) -> None:
    from services.worlds.machines import dump

    lines = [json.dumps(server) for server in dump()[:4]]
    catalog = tmp_path / "tools.jsonl"
    catalog.write_text("\n".join([lines[0], "{broken", *lines[1:]]))
    done = tds("run", "--trajectories", 2, "--catalog", catalog, "--out", tmp_path / "c")
    assert "warning: tools.jsonl:2" in done.stderr
    card = json.loads((tmp_path / "c" / "card.json").read_text())
    assert (card["catalog"]["servers"], card["catalog"]["unread_count"]) == (4, 1)
    assert card["catalog"]["name"] == "tools.jsonl"


def test_a_preview_shows_the_beginning_of_the_whole(finished: Path, tmp_path: Path) -> None:
    found = json.loads(tds("preview", "--trajectories", 8, "--seed", 7, "--json").stdout)
    rows = [json.loads(line) for line in (finished / "dataset.jsonl").read_text().splitlines()]
    assert [row["messages"] for row in found["rows"]] == [row["messages"] for row in rows[:5]]
    assert found["estimate"]["trajectories"] == 8
    assert found["estimate"]["calls"] > 8 * 3
    assert "8 trajectories would take about" in tds("preview", "-n", 8, "--seed", 7).stdout


def test_the_api_asks_again_and_verifies(finished: Path) -> None:
    campaign = api.Campaign(finished)
    asked = 0
    for row in campaign.rows():
        messages = row["messages"]
        for index, message in enumerate(messages):
            if message["role"] == "assistant":
                asked += 1
                assert campaign.ask(row["id"], index, messages) == message
        assert campaign.verify(row["id"], messages).passed
        spoilt = [*messages[:-1], {"role": "assistant", "content": "Done."}]
        assert campaign.blueprint(row["id"]).id == row["id"]
        if campaign.blueprint(row["id"]).answer_facts:
            assert not campaign.verify(row["id"], spoilt).passed
    assert asked > 8


def test_the_sim_server_says_where_it_is() -> None:
    process = subprocess.Popen([*TDS, "sim-server", "--json"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = json.loads(process.stdout.readline())["base_url"]
    assert url.startswith("http://127.0.0.1:")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0
