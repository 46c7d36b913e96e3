"""``tds measure``: any dataset's figures, its bad rows, and a hand computation on 48 real trajectories."""

from __future__ import annotations

import gzip
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from schemas.run import Action
from services.console import api
from services.console.cli import main
from services.console.export import sharegpt
from services.console.measuring import measure_file, measure_row
from services.console.row_files import MAX_ROW_BYTES, BadRow, read_rows
from services.console.row_forms import observation
from tests.support import real_servers

Json = dict[str, Any]
REAL = real_servers.DATA / "livemcp_trajectories.jsonl.gz"


def call(name: str, arguments: Json | str, identity: str = "a") -> Json:
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": text}}


def row(*messages: Json, **more: Any) -> Json:
    return {"messages": list(messages), **more}


def user(text: str = "Find order A-1.") -> Json:
    return {"role": "user", "content": text}


def asks(*calls: Json) -> Json:
    return {"role": "assistant", "content": None, "tool_calls": list(calls)}


def says(text: str = "Done.") -> Json:
    return {"role": "assistant", "content": text}


def answer(text: str = "{}", identity: str = "a") -> Json:
    return {"role": "tool", "tool_call_id": identity, "content": text}


GOOD = row(user(), asks(call("get_order", {"order_id": "A-1"})), answer('{"state": "open"}'), says())


def written(folder: Path, *lines: Any) -> Path:
    path = folder / "rows.jsonl"
    path.write_text("".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in lines))
    return path


# by hand


def real_rows() -> list[Json]:
    if not REAL.exists():
        pytest.skip(f"{REAL} is not here: real trajectories cannot be measured")
    with gzip.open(REAL, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def entropy(counts: Counter[str]) -> float:
    total = sum(counts.values())
    return -sum(n / total * math.log2(n / total) for n in counts.values())


def naive_complexity(actions: list[Json]) -> float:
    """The formula of the docstring, read literally."""
    weights = {"read": 1, "write": 1.5, "code": 2, "clarify": 0.5, "confirm": 0.5, "refuse": 0, "answer": 0}
    total, last_domain = 0.0, ""
    waves: dict[int, list[Json]] = {}
    for action in actions:
        waves.setdefault(action["wave"], []).append(action)
    error_before = False
    for wave in sorted(waves):
        made = waves[wave]
        calls = [one for one in made if one["kind"] in ("read", "write", "code")]
        backtracks = error_before and bool(calls) and not any(one["retry"] for one in calls)
        for one in made:
            if one["repeat"]:
                continue
            if one["retry"] or backtracks:
                total, backtracks = total + 2, False
            else:
                total += weights[one["kind"]]
            total += math.log2(1 + one["arguments"]) + one["dependent"]
            total += math.log2(1 + one["candidates"]) / 4
            if calls and one["domain"]:
                total += 0.5 if last_domain not in ("", one["domain"]) else 0.0
                last_domain = one["domain"]
        if calls:
            error_before = any(one["error"] for one in calls)
    return total


def test_the_real_trajectories_measure_as_by_hand() -> None:
    rows = real_rows()
    found = measure_file(REAL).as_json()
    measured = [measure_row(one) for one in rows]
    domains = Counter(one["category"] for one in rows)
    assert found["rows"] == 48
    assert found["bad_rows"] == 0
    assert found["ceiling_bits"] == pytest.approx(math.log2(48), abs=1e-12)
    assert found["entropy"]["domain"]["bits"] == pytest.approx(entropy(domains), abs=1e-9)
    assert dict(found["domains"]) == pytest.approx(domains)
    signatures = Counter(one.measurement.signature for one in measured)
    assert found["entropy"]["mode_exact"]["bits"] == pytest.approx(entropy(signatures), abs=1e-9)
    modes = Counter(one.measurement.mode for one in measured)
    assert found["entropy"]["mode_coarse"]["bits"] == pytest.approx(entropy(modes), abs=1e-9)
    traces = [[action.model_dump() for action in one.actions] for one in measured]
    complexities = sorted(naive_complexity(trace) for trace in traces)
    cac = found["complexity"]
    assert cac["mean"] == pytest.approx(sum(complexities) / 48, abs=1e-9)
    assert cac["p50"] == pytest.approx(complexities[23], abs=0.0051)
    assert cac["p90"] == pytest.approx(complexities[43], abs=0.0051)
    assert cac["per_step"] == pytest.approx(sum(complexities) / sum(len(trace) for trace in traces), abs=1e-9)
    bins = Counter(min(int(value // 4), 11) for value in complexities)
    assert list(cac["histogram"]) == [bins[at] for at in range(12)]


def test_the_calls_of_the_real_trajectories_are_those_inside_execute_tool() -> None:
    for one in real_rows():
        expected = []
        for message in one["messages"]:
            for made in message.get("tool_calls") or ():
                arguments = json.loads(made["function"]["arguments"])
                inner = made["function"]["name"] == "execute-tool"
                expected.append(
                    f"{arguments['server_name']}/{arguments['tool_name']}"
                    if inner
                    else made["function"]["name"]
                )
        traced = [action.tool for action in measure_row(one).actions if action.tool]
        assert traced == expected


def read(tool: str, wave: int, arguments: int, domain: str, candidates: int, dependent: int = 0) -> Action:
    return Action(
        kind="read", tool=tool, domain=domain, wave=wave, arguments=arguments, dependent=dependent,
        candidates=candidates,
    )  # fmt: skip


BY_HAND = {
    # One lookup with a time and a gender, both in the user's words or made of them.
    "0b21b741-440b-460e-8bad-fa70f99dd01c": (
        (
            read("route", 0, 1, "entertainment", 2),
            read("Bazi/getBaziDetail", 1, 2, "entertainment", 2),
            Action(kind="answer", wave=2),
        ),
        "read*2>answer",
        2 + math.log2(2) + math.log2(3) + 2 * math.log2(3) / 4,
    ),
    # Three look-ups in one turn; each library stands in the question.
    "de75630e-b91e-4cc7-85b1-5d02c2455392": (
        (
            read("route", 0, 1, "work", 2),
            *(read("maven-deps-server/get_latest_release", 1, 1, "work", 2) for _ in range(3)),
            Action(kind="answer", wave=2),
        ),
        "read>{read*3-4}>answer",
        4 + 4 * math.log2(2) + 4 * math.log2(3) / 4,
    ),
    # Two searches; each of three objects is asked for by an id that a search gave.
    "00e13e2e-07fa-4d0b-9863-e966190cffd6": (
        (
            read("route", 0, 1, "entertainment", 3),
            read("met-museum/search-museum-objects", 1, 3, "entertainment", 3),
            read("met-museum/get-museum-object", 2, 2, "entertainment", 3, 1),
            read("met-museum/search-museum-objects", 3, 3, "entertainment", 3),
            read("met-museum/get-museum-object", 4, 2, "entertainment", 3, 1),
            read("met-museum/get-museum-object", 5, 2, "entertainment", 3, 1),
            Action(kind="answer", wave=6),
        ),
        "read*2>read.dep>read>read.dep*2>answer",
        6 + math.log2(2) + 2 * math.log2(4) + 3 * math.log2(3) + 3 + 6 * math.log2(4) / 4,
    ),
}


def test_three_real_trajectories_action_by_action() -> None:
    rows = {one["task_id"]: one for one in real_rows()}
    for task, (actions, signature, complexity) in BY_HAND.items():
        found = measure_row(rows[task])
        assert found.actions == actions
        assert found.measurement.signature == signature
        assert found.measurement.complexity == pytest.approx(complexity, abs=1e-12)


# our own rows, and others' forms


def test_our_own_rows_measure_as_the_monitor_measured_them(tmp_path: Path) -> None:
    campaign = api.run(trajectories=60, seed=5, out=tmp_path / "run")
    for one in campaign.rows():
        about = one["metadata"]
        for form in (one, sharegpt(one)):
            found = measure_row(form).measurement
            assert (found.signature, found.mode, found.band) == (
                about["signature"],
                about["mode"],
                about["band"],
            )
            assert found.complexity == pytest.approx(about["complexity"], abs=1e-6)
            assert sorted(found.domains) == about["domains"]
            assert sum(found.domains.values()) == pytest.approx(1.0)


def test_tool_call_blocks_are_calls() -> None:
    block = '<tool_call>\n{"name": "get_order", "arguments": {"order_id": "A-1"}}\n</tool_call>'
    tools = '<tools>\n{"type": "function", "function": {"name": "get_order", "parameters": {}}}\n</tools>'
    turns = [
        {"from": "system", "value": tools},
        {"from": "human", "value": "Find order A-1."},
        {"from": "gpt", "value": f"I look it up. {block}"},
        {"from": "tool", "value": '<tool_response>\n{"state": "open"}\n</tool_response>'},
        {"from": "gpt", "value": "It is open."},
    ]
    first, last = measure_row({"conversations": turns}).actions
    assert (first.kind, first.tool, first.arguments, first.candidates) == ("read", "get_order", 1, 1)
    assert last.kind == "answer"


def test_a_dataset_says_its_domains_or_its_tools_imply_them() -> None:
    assert measure_row({**GOOD, "category": "Shop & Co"}).measurement.domains == {"shop_co": 1.0}
    two = measure_row({**GOOD, "metadata": {"domains": ["b", "a"]}})
    assert two.measurement.domains == {"b": 0.5, "a": 0.5}
    tool = {"type": "function", "function": {"name": "get_order", "category": "sales"}}
    own = measure_row({**GOOD, "category": "other", "tools": [tool]})
    assert (own.measurement.domains, own.found) == ({"sales": 1.0}, "tool")
    assert measure_row(GOOD).found == "none"
    price = {
        "name": "get_price",
        "description": "Price of a stock on the exchange, with dividend and market cap",
    }
    calls = (asks(call("get_price", {"symbol": "X"})), answer())
    implied = measure_row(row(user(), *calls, says(), tools=[price]))
    assert implied.found == "words"
    assert "financ" in next(iter(implied.measurement.domains))


@pytest.mark.parametrize(
    "text",
    [
        '{"error": "no such order"}',
        '{"isError": true, "content": []}',
        '{"success": false}',
        "Error executing tool get_order: boom",
        "Tool call timed out.",
        "Traceback (most recent call last): ...",
    ],
)
def test_what_says_it_failed_is_an_error(text: str) -> None:
    assert json.loads(observation(text)).keys() == {"error"}
    failing = row(user(), asks(call("get_order", {})), answer(text), says())
    assert measure_row(failing).actions[0].error


def test_what_does_not_say_so_is_none() -> None:
    for text in ('{"error": null, "orders": []}', "No errors were found.", "[1, 2]", "12", ""):
        assert observation(text) == text


# bad rows


BAD = {
    "unpaired_call": row(user(), asks(call("get_order", {})), says()),
    "unpaired_answer": row(user(), says("Hm"), answer(), says()),
    "unknown_role": row(user(), {"role": "narrator", "content": "x"}, says()),
    "no_tools": row(user(), says()),
    "too_many_messages": row(*[user()] * 100_000),
    "not_finite": row(user(), asks(call("get_order", '{"limit": NaN}')), answer(), says()),
    "no_messages": {"text": "hello"},
    "not_a_row": [1, 2],
    "not_a_message": {"messages": [3]},
    "bad_call": row(user(), asks({"id": "a", "function": {}}), answer(), says()),
    "no_assistant": row(user(), tools=[{"name": "get_order"}]),
    "not_json": '{"messages": [',
}


def test_bad_rows_are_told_by_row_with_a_reason_and_the_rest_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = written(tmp_path, GOOD, *BAD.values(), '{"messages": [], "x": NaN}', GOOD)
    assert main(["measure", str(path), "--json"]) == 0
    output = capsys.readouterr()
    found = json.loads(output.out)
    assert found["rows"] == 2
    assert [(one["row"], one["code"]) for one in found["bad"]] == [
        *((number, code) for number, code in enumerate(BAD, start=2)),
        (len(BAD) + 2, "not_finite"),
    ]
    assert "row 4: message 1 has the unknown role 'narrator'" in output.err


def test_a_file_without_a_row_that_can_be_measured_is_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["measure", str(written(tmp_path, "nonsense"))]) == 1
    assert "no row in it can be measured" in capsys.readouterr().err
    assert main(["measure", str(tmp_path / "none.jsonl")]) == 2
    assert "is no file" in capsys.readouterr().err


def test_the_table_has_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["measure", str(written(tmp_path, GOOD, GOOD))]) == 0
    output = capsys.readouterr().out
    for words in ("2 rows measured", "log2 N", "call graphs", "per step", "single/1"):
        assert words in output


# files


@pytest.mark.parametrize("form", ["lines", "list", "laid out", "one", "gzip"])
def test_rows_are_read_however_they_are_written(tmp_path: Path, form: str) -> None:
    rows: list[Any] = [{"n": 1, "text": 'a "]" \\ {'}, {"n": 2, "more": [{"x": []}]}]
    path = tmp_path / "rows.json"
    text = {
        "lines": "\n".join(json.dumps(one) for one in rows),
        "list": json.dumps(rows),
        "laid out": json.dumps(rows, indent=2),
        "one": json.dumps(rows[0], indent=1),
        "gzip": json.dumps(rows, indent=2),
    }[form]
    path.write_bytes(gzip.compress(text.encode()) if form == "gzip" else text.encode())
    wanted = rows[:1] if form == "one" else rows
    assert list(read_rows(path)) == list(enumerate(wanted, start=1))


def test_a_large_or_broken_row_costs_only_itself(tmp_path: Path) -> None:
    for text in (
        '[{"n": 1}, {"n": "%s"}, {"n": oops}, {"n": 4}]',
        '{"n": 1}\n{"n": "%s"}\n{"n": oops}\n{"n": 4}\n',
    ):
        path = tmp_path / "rows.json"
        path.write_text(text % ("x" * 200_000))
        found = list(read_rows(path, max_row_bytes=100_000))
        assert [one.code if isinstance(one, BadRow) else one[1]["n"] for one in found] == [
            1,
            "too_large",
            "not_json",
            4,
        ]
    assert MAX_ROW_BYTES >= 1 << 20


def test_gzip_that_is_cut_short_keeps_what_came_before(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    lines = "".join(json.dumps({"n": n, "x": str(n) * 50}) + "\n" for n in range(5000))
    path.write_bytes(gzip.compress(lines.encode())[:-3000])
    *good, last = read_rows(path)
    assert len(good) > 100
    assert isinstance(last, BadRow)
    assert last.code == "damaged_gzip"
