"""The independent validator: a good row passes, and each rule fails on its planted violation."""

from __future__ import annotations

import copy
import json

import pytest

from tests.validator import Thresholds, check_row, validate
from tests.validator.__main__ import main
from tests.validator.origin import needs_ground, number_tokens, stands_in


def call(identity, name, **arguments):
    return {
        "id": identity,
        "type": "function",
        "function": {"name": name, "arguments": json.dumps(arguments)},
    }


def calls(*made, content=None):
    return {"role": "assistant", "content": content, "tool_calls": list(made)}


def result(identity, name, content):
    return {"role": "tool", "tool_call_id": identity, "name": name, "content": json.dumps(content)}


def tool(name, required=(), **properties):
    parameters = {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }
    return {
        "type": "function",
        "function": {"name": name, "description": f"{name}.", "parameters": parameters},
    }


TOOLS = [
    tool("find_orders", ["email"], email={"type": "string"}, limit={"type": "integer", "default": 20}),
    tool(
        "refund_order",
        ["order_id", "amount", "reason"],
        order_id={"type": "string"},
        amount={"type": "number"},
        reason={"enum": ["damaged", "late"]},
        notify={"type": "boolean"},
        tags={"type": "array", "items": {"type": "string"}},
    ),
]


@pytest.fixture
def row():
    return {
        "id": "c.0.0",
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "Refund 12.50 of my last order. My e-mail is ann@example.com."},
            calls(call("a", "find_orders", email="ann@example.com", limit=20), content="One moment."),
            result("a", "find_orders", [{"id": "ORD-17", "total": 40}]),
            calls(call("b", "refund_order", order_id="ORD-17", amount=12.5, reason="damaged", notify=True)),
            result("b", "refund_order", {"refunded": 12.5}),
            {"role": "assistant", "content": "I refunded 12.50 of order ORD-17."},
        ],
        "tools": copy.deepcopy(TOOLS),
        "metadata": {
            "domains": ["shopping"], "mode": "chain/2", "signature": "read>write.dep>answer",
            "complexity": 6.2, "seed": 7, "models": {"assistant": "sim"},
            "verdict": {"passed": True, "findings": []}, "campaign": "c", "generation": 0,
            "slot": 0, "attempt": 0,
        },
    }  # fmt: skip


def codes(row, **options):
    return [violation.code for violation in check_row(row, **options).violations]


def set_arguments(row, message, text):
    row["messages"][message]["tool_calls"][0]["function"]["arguments"] = text


def change(row, message, **arguments):
    function = row["messages"][message]["tool_calls"][0]["function"]
    function["arguments"] = json.dumps(json.loads(function["arguments"]) | arguments)


def test_good_row_passes_and_is_counted(row):
    found = check_row(row)
    assert found.violations == []
    assert (found.calls, found.bare, found.dependent) == (2, 0, True)


SPOILED = {
    "columns": lambda row: row.update(extra=1),
    "id": lambda row: row.update(id=""),
    "metadata": lambda row: row["metadata"].pop("seed"),
    "verdict": lambda row: row["metadata"].update(verdict={"passed": False}),
    "volatile": lambda row: row["metadata"].update(usage={"calls": 3}),
    "tools": lambda row: row["tools"].append({"type": "function", "function": {"name": "x"}}),
    "tool_name": lambda row: row["tools"].append(copy.deepcopy(row["tools"][0])),
    "tool_schema": lambda row: row["tools"].append(tool("odd", odd={"type": "nothing"})),
    "messages": lambda row: row.update(messages="none"),
    "role": lambda row: row["messages"][0].update(role="developer"),
    "order": lambda row: row["messages"].insert(1, {"role": "assistant", "content": "Hello."}),
    "end": lambda row: row["messages"].append({"role": "user", "content": "Thanks."}),
    "empty": lambda row: row["messages"][-1].update(content="  "),
    "message": lambda row: row["messages"][1].update(name="Ann"),
    "result": lambda row: row["messages"][3].update(content="{ORD-17, 40"),
    "call": lambda row: row["messages"][2]["tool_calls"][0].pop("type"),
    "call_id": lambda row: row["messages"][4]["tool_calls"][0].update(id=""),
    "arguments": lambda row: set_arguments(row, 4, '{"order_id": "ORD-17"'),
    "tool": lambda row: row["messages"][4]["tool_calls"][0]["function"].update(name="refund"),
    "schema": lambda row: change(row, 4, reason="ORD-17"),
    "grounding": lambda row: change(row, 4, order_id="ORD-18"),
}


@pytest.mark.parametrize("code", SPOILED)
def test_each_rule_fails_on_its_planted_violation(row, code):
    SPOILED[code](row)
    assert code in codes(row)


def test_a_call_without_an_answer(row):
    del row["messages"][3]
    assert "pairing" in codes(row)


def test_an_answer_too_late(row):
    late = row["messages"].pop(3)
    row["messages"].insert(4, late)
    assert codes(row).count("pairing") >= 2


def test_an_answer_given_twice(row):
    row["messages"].insert(4, copy.deepcopy(row["messages"][3]))
    assert "pairing" in codes(row)


def test_an_answer_under_another_name(row):
    row["messages"][3]["name"] = "refund_order"
    assert codes(row) == ["pairing"]


def test_an_id_used_twice(row):
    row["messages"][4]["tool_calls"][0]["id"] = "a"
    row["messages"][5]["tool_call_id"] = "a"
    assert "call_id" in codes(row)


def test_parallel_calls_may_be_answered_in_any_order(row):
    row["messages"][2]["tool_calls"].append(call("c", "find_orders", email="ann@example.com"))
    row["messages"].insert(3, result("c", "find_orders", []))
    assert codes(row) == []


def test_not_a_number_is_no_json(row):
    set_arguments(row, 4, '{"order_id": "ORD-17", "amount": NaN, "reason": "late"}')
    assert "arguments" in codes(row)


def test_arguments_that_are_no_object(row):
    set_arguments(row, 4, '["ORD-17"]')
    assert "arguments" in codes(row)


def test_failed_rows_need_no_passing_verdict(row):
    row["metadata"]["verdict"] = {"passed": False}
    assert codes(row, failed=True) == []


@pytest.mark.parametrize(
    ("said", "amount", "grounded"),
    [
        ("Refund 1 of it", 1, True),
        ("Refund 10 of it", 1, False),
        ("Refund 1.5 of it", 1, False),
        ("Refund $1, please", 1, True),
        ("Refund 1,250.00 of it", 1250, True),
        ("Refund 1,250.00 of it", 250, False),
        ("Refund it on 2024-05-01", 5, False),
        ("Refund it at 10:30", 30, False),
        ("Refund ORD-5", 5, False),
        ("Refund -3", -3, True),
        ("Refund 7.", 7, True),
        ("Refund true", True, None),
    ],
)
def test_numbers_are_grounded_as_tokens(row, said, amount, grounded):
    row["messages"][1]["content"] = f"{said}. My e-mail is ann@example.com."
    row["messages"][3]["content"] = json.dumps([{"id": "ORD-17"}])
    change(row, 4, amount=amount)
    assert ("grounding" in codes(row)) is (grounded is False)


@pytest.mark.parametrize(
    ("value", "text", "stands"),
    [
        ("ORD-1", "about ORD-1.", True),
        ("ORD-1", "about ORD-12", False),
        ("ORD-1", "about ORD-1-A", False),
        ("ORD-1", "about XORD-1", False),
        ("Paris", "a Paris-based firm", True),
        ("ris", "Paris", False),
        ("2024-05-01", "on 2024-05-01T10:00", False),
        ("1", "1.5", False),
        ("ann@example.com", "<ann@example.com>", True),
        ("#12", "issue #12", True),
        ("", "anything", False),
    ],
)
def test_strings_stand_between_token_boundaries(value, text, stands):
    assert stands_in(value, text) is stands


def test_a_value_from_a_later_turn_is_no_ground(row):
    row["messages"][3]["content"], row["messages"][5]["content"] = "[]", json.dumps({"id": "ORD-17"})
    assert "grounding" in codes(row)


def test_the_system_message_and_the_assistant_are_no_ground(row):
    row["messages"][0]["content"] += " ORD-99"
    row["messages"][2]["content"] += " ORD-99"
    change(row, 4, order_id="ORD-99")
    assert "grounding" in codes(row)


def test_strings_behind_json_escapes_are_found(row):
    row["messages"][3]["content"] = '[{"id": "ORD-\\u0031\\u0037", "total": 40}]'
    assert codes(row) == []


def test_what_the_schema_fixes_needs_no_ground():
    schema = {
        "$defs": {"unit": {"enum": ["kg", "lb"]}},
        "properties": {
            "unit": {"$ref": "#/$defs/unit"},
            "page": {"anyOf": [{"type": "integer", "default": 1}, {"type": "null"}]},
            "kind": {"const": "box"},
            "sort": {"type": "object", "default": {"by": "date"}, "properties": {"by": {"type": "string"}}},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}},
            "note": {"type": "string", "examples": ["hello"]},
        },
    }
    fixed = {
        "unit": "kg",
        "page": 1,
        "kind": "box",
        "sort": {"by": "date"},
        "tags": ["b"],
        "yes": True,
        "no": None,
    }
    assert list(needs_ground(fixed, schema)) == []
    loose = {"unit": "g", "page": True, "kind": "bag", "sort": {"by": "name"}, "tags": ["c"], "note": "hello"}
    places = [place for place, _ in needs_ground(loose, schema)]
    assert places == ["/unit", "/kind", "/sort/by", "/tags/0", "/note"]


def test_recursive_schemas_end():
    schema = {"$ref": "#/$defs/node", "$defs": {"node": {"$ref": "#/$defs/node"}}}
    assert [value for _, value in needs_ground({"name": "x"}, schema)] == ["x"]


def test_number_tokens_of_prose():
    assert number_tokens("3 boxes at $4.50, 1,200 pieces (50%), v2, 5kg, 1.2.3") == {3, 4.5, 1200, 50}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def single(identity, number):
    return {
        "id": identity,
        "messages": [
            {"role": "user", "content": f"Orders of user{number}@example.com?"},
            calls(call("a", "find_orders", email=f"user{number}@example.com")),
            result("a", "find_orders", []),
            {"role": "assistant", "content": "There are none."},
        ],
        "tools": TOOLS,
    }


def test_report_of_a_good_file(row, tmp_path):
    report = validate(write(tmp_path / "rows.jsonl", [row]))
    assert report.passed
    assert (report.share_multi, report.share_dependent, report.share_no_args) == (1.0, 1.0, 0.0)


def test_shares_are_held_to_their_thresholds(row, tmp_path):
    rows = [row, *(single(f"c.{n}.0", n) | {"metadata": row["metadata"]} for n in (1, 2))]
    path = write(tmp_path / "rows.jsonl", rows)
    report = validate(path)
    assert not report.violations
    assert report.share_multi == pytest.approx(1 / 3)
    assert len(report.missed) == 1
    assert not report.passed
    assert validate(path, Thresholds(min_multi=0.3)).passed


def test_an_argument_that_the_user_said_too_is_not_dependent(row, tmp_path):
    row["messages"][1]["content"] += " It is ORD-17."
    report = validate(write(tmp_path / "rows.jsonl", [row]))
    assert report.share_dependent == 0
    assert any("from" in what or "of a result" in what for what in report.missed)


def test_calls_without_arguments_are_counted(row, tmp_path):
    row["tools"].append(tool("list_shops"))
    row["messages"][2]["tool_calls"].append(call("c", "list_shops"))
    row["messages"].insert(3, result("c", "list_shops", []))
    report = validate(write(tmp_path / "rows.jsonl", [row]))
    assert report.share_no_args == pytest.approx(1 / 3)
    assert len(report.missed) == 1


def test_repeated_ids_and_conversations(row, tmp_path):
    again = json.loads(json.dumps(row).replace('"a"', '"z"'))
    report = validate(write(tmp_path / "rows.jsonl", [row, again]))
    assert report.violations == {"repeated_id": 1, "repeated_row": 1}


def test_broken_lines_and_empty_files(row, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(json.dumps(row).encode() + b"\n{broken\n\xff\xfe\n")
    assert validate(path).violations == {"not_json": 2}
    path.write_text("")
    assert not validate(path).passed


def test_command(row, tmp_path, capsys):
    path = write(tmp_path / "rows.jsonl", [row])
    assert main([str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 1
    change(row, 4, order_id="ORD-18")
    write(path, [row])
    assert main([str(path)]) == 1
    assert "ORD-18" in capsys.readouterr().out
    assert main([str(tmp_path / "none.jsonl")]) == 1
    assert "cannot read" in capsys.readouterr().err
