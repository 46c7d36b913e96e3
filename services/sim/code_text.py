"""The code that a scripted assistant writes: the data as it read it, and the work on it.

How it is put is drawn by the seed: tables of dicts or of tuples, or the JSON as it came; loops or
comprehensions, or numpy where that is allowed.
"""

from __future__ import annotations

import builtins
import json
import keyword
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from schemas.blueprint import Aggregate, Check, Convert, Filter, FromStep, Join, Work
from services.sim.code_work import SECONDS, columns_of, length_of
from services.sim.vocabulary import snake
from services.worlds.words import singular

Json = dict[str, Any]
Form = Literal["dicts", "tuples", "json"]
FORMS: Final[tuple[Form, ...]] = ("dicts", "dicts", "tuples", "json")
OWN: Final = """
    actual best by_id claim claimed datetime difference end expected json kept known limit lookup matched
    matches names np other others row seconds selected start total values verdict wanted
""".split()  # noqa: SIM905
"""Names that the code gives to things of its own."""
TAKEN: Final = frozenset((*keyword.kwlist, *keyword.softkwlist, *dir(builtins), *OWN))


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the code: how it is called, and how its rows are written and read."""

    name: str
    columns: tuple[str, ...]
    rows: Sequence[Json]
    form: Form
    one: str = "row"

    def lines(self) -> list[str]:
        """The lines that define it."""
        if self.form == "json":
            text = json.dumps(self.rows, ensure_ascii=False)
            return [f"{self.name} = json.loads({text!r})"]
        head = [f"# {', '.join(self.columns)}"] if self.form == "tuples" else []
        return [*head, f"{self.name} = [", *(f"    {self._row(row)}," for row in self.rows), "]"]

    def _row(self, row: Json) -> str:
        if self.form == "tuples":
            return f"({', '.join(literal(row[column]) for column in self.columns)})"
        return "{" + ", ".join(f"{literal(column)}: {literal(row[column])}" for column in self.columns) + "}"

    def get(self, column: str, row: str = "") -> str:
        """The value of a column of the row at hand."""
        at = self.columns.index(column) if self.form == "tuples" else literal(column)
        return f"{row or self.one}[{at}]"

    @property
    def each(self) -> str:
        """``for row in rows``."""
        return f"for {self.one} in {self.name}"


def write_code(work: Work, data: Json, rng: random.Random, packages: str = "") -> str:
    """Python source that does the work on the data, and prints its result as JSON.

    ``packages``: what the code tool says of packages; numpy is used only where it is named.
    """
    form = rng.choice(FORMS)
    if len(columns_of(work)) == 1 and form == "tuples":
        form = "dicts"
    array = "numpy" in packages and rng.random() < 0.3
    name = table_name(work.rows, "records")
    table = Table(name, columns_of(work), data["rows"], form, one_of(name))
    match work:
        case Join():
            lines = _join(work, table, data["others"], rng)
        case Filter():
            lines = _filter(work, table, data["value"], rng)
        case Aggregate():
            lines = _aggregate(work, table, rng, array=array)
        case Convert():
            lines = _convert(work, table, rng, array=array)
        case Check():
            lines = _check(work, table, data["value"], rng)
    text = "\n".join(lines)
    head = ["import json"]
    head += ["from datetime import datetime"] if isinstance(work, Convert) and work.until else []
    head += ["", "import numpy as np"] if array and "np.array" in text else []
    return "\n".join([*head, "", text])


def literal(value: object) -> str:
    """A string or number as Python source has it, strings in double quotes where that can be."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if value.isprintable() else repr(value)
    return repr(value)


def table_name(sources: Sequence[FromStep], otherwise: str) -> str:
    """How the code calls what was read there: by the last key of its path."""
    keys = [part for part in sources[0].path if isinstance(part, str)]
    name = snake(keys[-1]) if keys else otherwise
    return name if name.isidentifier() and name not in TAKEN else otherwise


def one_of(name: str) -> str:
    """The loop's variable for a table."""
    word = singular(name)
    fits = word != name and word.isidentifier() and word not in TAKEN
    return word if fits and "_" not in word else "row"


def _printed(fields: Sequence[tuple[str, str]]) -> str:
    inner = ", ".join(f"{literal(key)}: {expression}" for key, expression in fields)
    return f"print(json.dumps({{{inner}}}, ensure_ascii=False))"


def _product(table: Table, field: str, times: str) -> str:
    return f"{table.get(field)} * {table.get(times)}" if times else table.get(field)


def _filter(work: Filter, table: Table, than: object, rng: random.Random) -> list[str]:
    sign = {"over": ">", "under": "<", "is": "=="}[work.keep]
    limit = "wanted" if work.keep == "is" else "limit"
    test = f"{table.get(work.field)} {sign} {limit}"
    kept = rng.choice(("matches", "kept", "selected"))
    lines = [*table.lines(), f"{limit} = {literal(than)}", ""]
    if rng.random() < 0.5:
        lines.append(f"{kept} = [{table.get(work.show)} {table.each} if {test}]")
    else:
        lines += [
            f"{kept} = []",
            f"{table.each}:",
            f"    if {test}:",
            f"        {kept}.append({table.get(work.show)})",
        ]
    return [*lines, _printed([("count", f"len({kept})"), ("matches", kept)])]


def _join(work: Join, table: Table, others: Sequence[Json], rng: random.Random) -> list[str]:
    name = table_name(work.others, "others")
    name = f"other_{name}" if name == table.name else name
    columns = tuple(dict.fromkeys((work.other_key, work.show)))
    other = Table(name, columns, others, table.form, "other")
    key, value = other.get(work.other_key), other.get(work.show)
    known = rng.choice(("by_id", "names", "lookup"))
    pick = "max" if work.by == "highest" else "min"
    lines = [*table.lines(), *other.lines(), ""]
    if rng.random() < 0.6:
        lines.append(f"{known} = {{{key}: {value} {other.each}}}")
    else:
        lines += [f"{known} = {{}}", f"{other.each}:", f"    {known}[{key}] = {value}"]
    own = table.get(work.key)
    lines += [
        f"matched = [{table.one} {table.each} if {own} in {known}]",
        f"best = {pick}(matched, key=lambda {table.one}: {table.get(work.field)})",
    ]
    fields = [
        ("matched", "len(matched)"),
        (work.by, table.get(work.field, "best")),
        ("of", f"{known}[{table.get(work.key, 'best')}]"),
    ]
    return [*lines, _printed(fields)]


def _aggregate(work: Aggregate, table: Table, rng: random.Random, *, array: bool) -> list[str]:
    value = _product(table, work.field, work.times)
    lines = [*table.lines(), ""]
    if work.by in ("highest", "lowest"):
        pick = "max" if work.by == "highest" else "min"
        lines.append(f"best = {pick}({table.name}, key=lambda {table.one}: {table.get(work.field)})")
        fields: list[tuple[str, str]] = [(work.by, table.get(work.field, "best"))]
        fields += [("of", table.get(work.show, "best"))] if work.show else []
        return [*lines, _printed(fields)]
    if array:
        lines.append(f"values = np.array([{value} {table.each}])")
        made = f"values.{'sum' if work.by == 'total' else 'mean'}().item()"
    elif rng.random() < 0.5:
        lines.append(f"values = [{value} {table.each}]")
        made = "sum(values)" if work.by == "total" else "sum(values) / len(values)"
    else:
        lines += ["total = 0", f"{table.each}:", f"    total += {value}"]
        made = "total" if work.by == "total" else f"total / len({table.name})"
    return [*lines, _printed([(work.by, f"round({made}, 2)")])]


def _convert(work: Convert, table: Table, rng: random.Random, *, array: bool) -> list[str]:
    lines = [*table.lines(), ""]
    if work.until:
        first, last = (f"datetime.fromisoformat({table.get(name)})" for name in (work.field, work.until))
        unit = f"{SECONDS[work.unit]}"
        if rng.random() < 0.5:
            lines.append(f"seconds = sum(({last} - {first}).total_seconds() {table.each})")
        else:
            lines += [
                "seconds = 0",
                f"{table.each}:",
                f"    start = {first}",
                f"    end = {last}",
                "    seconds += (end - start).total_seconds()",
            ]
        made = f"seconds / {unit}"
    else:
        values = f"[{table.get(work.field)} {table.each}]"
        total = f"np.array({values}).sum().item()" if array else f"sum({values})"
        lines.append(f"total = {total}")
        made = f"total / {1024}" if work.unit == "kilobytes" else _ratio(work)
    return [*lines, _printed([("value", f"round({made}, 2)"), ("unit", literal(work.unit))])]


def _ratio(work: Convert) -> str:
    mine, wanted = length_of(work.field), SECONDS[work.unit]
    common = math.gcd(mine, wanted)
    times, over = mine // common, wanted // common
    return " ".join(part for part in ("total", f"* {times}" * (times > 1), f"/ {over}") if part)


def _check(work: Check, table: Table, claim: object, rng: random.Random) -> list[str]:
    value = _product(table, work.field, work.times)
    said = rng.choice(("claimed", "expected", "claim"))
    lines = [*table.lines(), f"{said} = {literal(claim)}", ""]
    if rng.random() < 0.5:
        lines.append(f"actual = round(sum({value} {table.each}), 2)")
    else:
        lines += ["actual = 0", f"{table.each}:", f"    actual += {value}", "actual = round(actual, 2)"]
    lines += [
        f"difference = round(actual - {said}, 2)",
        'verdict = "correct" if abs(difference) < 0.005 else "incorrect"',
    ]
    return [*lines, _printed([("verdict", "verdict"), ("actual", "actual"), ("difference", "difference")])]
