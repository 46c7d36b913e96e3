"""Campaigns whose trajectories hold code, on a real sandbox, from ``tds run`` to ``tds replay --verify``."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from schemas.codec import decode
from schemas.evolution import CampaignStarted
from schemas.topics import EVOLUTION_EVENTS
from services.console import api
from services.kit.log import LogError
from services.kit.sqlite import read
from tests.release.bench import Process, rows_of
from tests.support.code_runs import code_calls, executed_in, mismatches, no_sandbox
from tests.validator.report import validate

COUNT = 24
GIVEN = ("--trajectories", str(COUNT), "--generation-size", "8", "--seed", "7")
RUN_S = 240.0


def tds(folder: Path, *arguments: str, environ: dict[str, str] | None = None, code: int = 0) -> str:
    done = Process(arguments, folder / "output", environ).wait(RUN_S)
    assert done.code == code, done.err
    assert "Traceback" not in done.err
    return done.out + done.err


@pytest.fixture(scope="module")
def sandbox() -> None:
    if why := no_sandbox():
        pytest.skip(f"no code can be run here: {why}")


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which neither bubblewrap nor a container engine is found."""
    empty = tmp_path_factory.mktemp("empty")
    return {"PATH": str(empty), "DOCKER_HOST": f"unix://{empty}/none.sock"}


@pytest.fixture(scope="module")
def finished(sandbox: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("code") / "on"
    tds(folder.parent, "run", *GIVEN, "--code", "on", "--out", str(folder))
    return folder


def test_two_of_five_runs_hold_code_and_show_what_the_sandbox_returned(finished: Path) -> None:
    rows = rows_of(finished / "dataset.jsonl")
    assert len(rows) == COUNT
    coding = [row for row in rows if list(code_calls(row))]
    assert len(coding) >= 0.4 * COUNT
    assert all("codes" in row["metadata"]["mode"] for row in coding)
    assert all("sandbox" not in row["metadata"]["domains"] for row in coding)
    executed = executed_in(read(finished / "log.sqlite3"))
    assert mismatches(rows, executed) == []
    assert all(one.outcome == "ok" and one.wall_s > 0 for one in executed.values())
    for row in rows:
        (tool,) = [one for one in row["tools"] if one["function"]["name"] == "run_code"]
        assert "Allowed imports: the standard library" in tool["function"]["description"]
    report = validate(finished / "dataset.jsonl")
    assert (report.rows, report.violations) == (COUNT, {})
    card = json.loads((finished / "card.json").read_text())
    assert (card["code"]["asked"], card["code"]["used"], card["code"]["share"]) == ("on", True, 0.6)
    assert not any(reason.startswith("codes") for reason in card["infeasible"])


def test_the_same_seed_gives_the_same_bytes_and_replay_runs_no_code(
    finished: Path, bare: dict[str, str], tmp_path: Path
) -> None:
    again = tmp_path / "again"
    other = {"PYTHONHASHSEED": "4711"}
    tds(tmp_path, "run", *GIVEN, "--code", "auto", "--concurrency", "3", "--out", str(again), environ=other)
    assert (again / "dataset.jsonl").read_bytes() == (finished / "dataset.jsonl").read_bytes()
    told = tds(tmp_path, "replay", str(finished), "--verify", "--json", environ=bare)
    assert json.loads(told)["identical"] is True


def test_a_row_is_shown_with_its_code_line_by_line(finished: Path) -> None:
    rows = rows_of(finished / "dataset.jsonl")
    number = next(place for place, row in enumerate(rows) if list(code_calls(row)))
    (call, *_) = code_calls(rows[number])
    last = call.code.splitlines()[-1][:40]  # a terminal breaks long lines
    assert last in tds(finished.parent, "show", str(finished), str(number))
    told = tds(finished.parent, "show", str(finished), str(number), "--markdown")
    assert f"```python\n{call.code}\n```" in told


def test_a_row_is_verified_again_with_its_code(finished: Path) -> None:
    campaign = api.Campaign(finished)
    row = next(row for row in campaign.rows() if list(code_calls(row)))
    assert campaign.verify(row["id"], row["messages"]).passed
    changed = json.loads(json.dumps(row["messages"]).replace("stdout", "stdoot"))
    assert not campaign.verify(row["id"], changed).passed


def test_without_a_sandbox_auto_makes_what_off_makes_and_says_so(
    bare: dict[str, str], tmp_path: Path
) -> None:
    few = ("--trajectories", "6", "--generation-size", "3", "--seed", "7")
    tds(tmp_path, "run", *few, "--code", "auto", "--out", str(tmp_path / "auto"), environ=bare)
    tds(tmp_path, "run", *few, "--out", str(tmp_path / "off"))
    made = [(tmp_path / name / "dataset.jsonl").read_bytes() for name in ("auto", "off")]
    assert made[0] == made[1]
    card = json.loads((tmp_path / "auto" / "card.json").read_text())
    assert (card["code"]["asked"], card["code"]["used"]) == ("auto", False)
    assert any("bubblewrap is missing; install it" in reason for reason in card["infeasible"])
    assert "none (asked for: auto)" in (tmp_path / "auto" / "README.md").read_text()


def test_without_a_sandbox_on_says_what_to_install_and_ends(bare: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "on"
    told = tds(tmp_path, "run", *GIVEN, "--code", "on", "--out", str(out), environ=bare, code=1)
    assert "bubblewrap is missing; install it" in told
    assert "--code auto" in told
    assert not (out / "dataset.jsonl").exists()


def test_a_campaign_with_code_is_not_gone_on_with_where_none_can_be_run(
    sandbox: None, bare: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "cut"
    slow = ("--model", "all=sim?latency=0.2:0.4")
    process = Process(["run", *GIVEN, *slow, "--code", "on", "--out", str(out)], tmp_path / "output", None)
    deadline = time.monotonic() + RUN_S
    while not begun(out) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send(9)
    told = tds(tmp_path, "run", "--resume", str(out), environ=bare, code=1)
    assert "was begun with code" in told
    assert "bubblewrap is missing" in told


def begun(folder: Path) -> bool:
    """Whether the campaign of a folder has started."""
    try:
        found = [
            decode(EVOLUTION_EVENTS, one.key, one.headers, one.value).data
            for one in read(folder / "log.sqlite3", [EVOLUTION_EVENTS.name])
        ]
    except LogError:
        return False
    return any(isinstance(one, CampaignStarted) and one.code for one in found)
