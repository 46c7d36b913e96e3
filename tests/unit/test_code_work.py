"""Work that code is to do: what it comes to, and code that is written for it and comes to the same."""

from __future__ import annotations

import contextlib
import io
import json
import random

import pytest

from schemas.blueprint import Aggregate, Check, Convert, Filter, FromFact, FromStep, Join
from services.sim.code_text import write_code
from services.sim.code_tool import code_tool, is_code_tool, literals, printed, records
from services.sim.code_work import Unworkable, data_of, result_of, sources_of

ORDERS = (FromStep(step="s1", path=("orders",)),)
SHOPS = (FromStep(step="s2", path=("shops",)),)
OBSERVED = {
    "s1": {
        "orders": [
            {"id": "O-1", "shop": "S-1", "price": 10.1, "count": 2, "on": "2026-01-05", "state": "open",
             "from": "2026-01-05T09:00", "to": "2026-01-05T10:30", "took_minutes": 30, "size_bytes": 2048},
            {"id": "O-2", "shop": "S-2", "price": 0.2, "count": 5, "on": "2026-02-01", "state": "open",
             "from": "2026-01-05T09:00", "to": "2026-01-05T09:15", "took_minutes": 45, "size_bytes": 512},
            {"id": "O-3", "shop": "S-9", "price": 7, "count": 1, "on": "2025-12-31", "state": "shut",
             "from": "2026-01-05T09:00", "to": "2026-01-06T09:00", "took_minutes": 15, "size_bytes": 0},
        ]
    },
    "s2": {"shops": [{"shop": "S-1", "name": 'Ann "A" O\'Neil'}, {"shop": "S-2", "name": "Bé"}]},
    "s3": {"limit": 5, "sums": 28.2},
}  # fmt: skip
FACTS = {"limit": 7, "day": "2026-01-01", "state": "open", "claim": 28.2, "wrong": 30}


def over(value: str, field: str, keep: str = "over", show: str = "id") -> Filter:
    than = FromFact(fact=value)
    return Filter.model_validate({"rows": ORDERS, "field": field, "keep": keep, "than": than, "show": show})


def made_of(field: str, by: str, **more: str) -> Aggregate:
    return Aggregate.model_validate({"rows": ORDERS, "field": field, "by": by, **more})


def joined(by: str, field: str = "price") -> Join:
    return Join.model_validate(
        {
            "rows": ORDERS,
            "others": SHOPS,
            "key": "shop",
            "other_key": "shop",
            "field": field,
            "by": by,
            "show": "name",
        }
    )


WORKS = [
    (over("limit", "price"), {"count": 1, "matches": ["O-1"]}),
    (over("limit", "price", "under"), {"count": 1, "matches": ["O-2"]}),
    (over("day", "on"), {"count": 2, "matches": ["O-1", "O-2"]}),
    (over("state", "state", "is"), {"count": 2, "matches": ["O-1", "O-2"]}),
    (
        Filter(rows=ORDERS, field="price", keep="over", than=FromStep(step="s3", path=("limit",)), show="id"),
        {"count": 2, "matches": ["O-1", "O-3"]},
    ),
    (joined("highest"), {"matched": 2, "highest": 10.1, "of": 'Ann "A" O\'Neil'}),
    (joined("lowest", "on"), {"matched": 2, "lowest": "2026-01-05", "of": 'Ann "A" O\'Neil'}),
    (made_of("price", "total"), {"total": 17.3}),
    (made_of("price", "total", times="count"), {"total": 28.2}),
    (made_of("price", "average"), {"average": 5.77}),
    (made_of("on", "highest", show="id"), {"highest": "2026-02-01", "of": "O-2"}),
    (made_of("count", "lowest"), {"lowest": 1}),
    (Convert(rows=ORDERS, field="took_minutes", unit="hours"), {"value": 1.5, "unit": "hours"}),
    (Convert(rows=ORDERS, field="size_bytes", unit="kilobytes"), {"value": 2.5, "unit": "kilobytes"}),
    (Convert(rows=ORDERS, field="from", until="to", unit="minutes"), {"value": 1545.0, "unit": "minutes"}),
    (
        Check(rows=ORDERS, field="price", times="count", claim=FromFact(fact="claim")),
        {"verdict": "correct", "actual": 28.2, "difference": 0.0},
    ),
    (
        Check(rows=ORDERS, field="price", times="count", claim=FromFact(fact="wrong")),
        {"verdict": "incorrect", "actual": 28.2, "difference": -1.8},
    ),
    (
        Aggregate(rows=(FromStep(step="s1", path=("orders", 0)), FromStep(step="s1", path=("orders", 2))),
                  field="price", by="total"),
        {"total": 17.1},
    ),
]  # fmt: skip
NAMES = [f"{work.kind}-{place}" for place, (work, _) in enumerate(WORKS)]


def output(code: str) -> str:
    """What Python code prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(code, "<code>", "exec"), {"__name__": "__main__"})
    return out.getvalue()


@pytest.mark.parametrize(("work", "result"), WORKS, ids=NAMES)
def test_work_comes_to_what_its_kind_says(work, result) -> None:
    assert result_of(work, data_of(work, FACTS, OBSERVED)) == result


@pytest.mark.parametrize(("work", "result"), WORKS, ids=NAMES)
def test_written_code_prints_the_same_however_it_is_put(work, result) -> None:
    data = data_of(work, FACTS, OBSERVED)
    codes = {write_code(work, data, random.Random(seed), "numpy") for seed in range(40)}
    assert len(codes) > 1
    for code in codes:
        assert json.loads(output(code)) == result, code
        assert printed({"outcome": "ok", "stdout": output(code)}) == result
        held = set(literals(code))
        assert {value for row in data["rows"] for value in row.values()} <= held, code
        assert "value" not in data or data["value"] in held, code
    adds = getattr(work, "by", "") in ("total", "average") or (work.kind == "convert" and not work.until)
    assert any("import numpy" in code for code in codes) == adds
    assert not any("numpy" in write_code(work, data, random.Random(seed)) for seed in range(40))


def test_a_list_that_is_called_like_the_codes_own_things_gets_another_name() -> None:
    for name in ("names", "values", "matches", "import", "list", "np", "others", "no name"):
        rows = (FromStep(step="s1", path=(name,)),)
        work = joined("highest").model_copy(update={"rows": rows})
        data = data_of(work, FACTS, {**OBSERVED, "s1": {name: OBSERVED["s1"]["orders"]}})
        for seed in range(20):
            code = write_code(work, data, random.Random(seed))
            assert json.loads(output(code))["matched"] == 2, code


@pytest.mark.parametrize(
    ("work", "why"),
    [
        (made_of("nothing", "total"), "lacks one of nothing"),
        (made_of("state", "total"), "no number"),
        (Aggregate(rows=(FromStep(step="s9", path=()),), field="price", by="total"), "there is no step 's9'"),
        (Aggregate(rows=(), field="price", by="total"), "0 records"),
        (over("nobody", "price"), "there is no fact 'nobody'"),
        (over("state", "price"), "cannot be compared"),
        (Convert(rows=ORDERS, field="price", unit="hours"), "does not say its unit"),
        (Convert(rows=ORDERS, field="id", until="shop", unit="hours"), "no two times"),
        (joined("highest").model_copy(update={"key": "id"}), "belongs to one of the other"),
    ],
)  # fmt: skip
def test_what_cannot_be_worked_out_is_said(work, why: str) -> None:
    with pytest.raises(Unworkable, match=why):
        result_of(work, data_of(work, FACTS, OBSERVED))


def test_a_work_names_all_that_it_takes() -> None:
    assert list(sources_of(joined("highest"))) == [*ORDERS, *SHOPS]
    assert list(sources_of(over("limit", "price"))) == [*ORDERS, FromFact(fact="limit")]


def test_tables_are_what_code_says_of_the_world() -> None:
    code = """
rows = [{"id": "A-1", "price": -2.5}, {"id": "A-2", "price": 3}]
pairs = [("B-1", 7)]
rates = {"km": 1.609}
found = json.loads('[{"id": "C-1", "deep": [4, true]}]')
print(len(rows), 99)
"""
    assert set(records(code)) == {"A-1", -2.5, "A-2", 3, "B-1", 7, "C-1", 4}
    assert {"A-1", -2.5, 1.609, "C-1", 99} <= set(literals(code))
    assert records("for (") == literals("for (") == ()


def test_the_code_tool_names_the_packages_that_are_allowed() -> None:
    tool = code_tool(("numpy 2.1", "pandas 2.2.1"))
    assert is_code_tool(tool)
    assert "Allowed imports: the standard library and numpy, pandas." in tool.description
    assert "the standard library, nothing else" in code_tool(()).description


@pytest.mark.parametrize("observation", [{"outcome": "timeout"}, None, "text", {"stdout": 3}])
def test_an_observation_without_output_has_no_value(observation) -> None:
    assert printed(observation) is None


def test_output_that_is_no_json_is_text() -> None:
    assert printed({"stdout": "Total: 4\n"}) == "Total: 4\n"
