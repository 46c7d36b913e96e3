"""What code can be asked for once the tools have answered: works that the results' shapes allow.

Lists of records with numbers, dates and states can be filtered and summed up, two results that share an
identifier joined, durations and sizes told in other units, a claim of the user checked.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final, Literal

from schemas.blueprint import (
    Aggregate,
    AnswerFact,
    Check,
    Convert,
    Fact,
    Filter,
    FromFact,
    Join,
    Work,
)
from services.sim.code_work import LENGTHS, Unworkable, data_of, result_of
from services.sim.plan_steps import Path, Planned
from services.sim.plan_tables import NAMES, NUMBERS, Table, is_plain, records, sayable, tables, twins
from services.sim.spelling import spell
from services.sim.vocabulary import clash, same, snake
from services.sim.wording import plural

Json = dict[str, Any]
Kind = Literal["filter", "join", "aggregate", "convert", "check"]

KINDS: Final[tuple[Kind, ...]] = ("filter", "aggregate", "convert", "check")
MAX_CHARACTERS: Final = 3000
"""Of the data that code is to hold."""
ADDITIVE: Final = frozenset(
    """
    amount amounts total totals cost costs fee fees tax quantity count counts units size bytes
    duration seconds minutes hours days balance pay paid refund portions weight distance points
    tickets seats price salary budget spent revenue sales views likes downloads stars visits
    listeners calories steps stock capacity spots
    """.split()  # noqa: SIM905
)
TIMES: Final = frozenset(("quantity", "portions", "units", "qty"))
PRICES: Final = frozenset(("price", "cost", "fare", "rate"))
STATES: Final = re.compile(
    r"(^|_)(status|state|type|category|priority|kind|role|topic|genre|diet|specialty|group)$"
)
SPANS: Final = (
    ("start", "end"), ("starts", "ends"), ("departs", "arrives"), ("departure", "arrival"), ("from", "to"),
    ("ordered", "expected"), ("opened", "closed"), ("started", "finished"), ("begin", "end"),
    ("check_in", "check_out"), ("pickup", "return"), ("created", "updated"),
)  # fmt: skip
"""First words of two fields between which time passes."""


@dataclass(frozen=True, slots=True)
class Coded:
    """A step of code that a plan can end with: what it works out, and how the user asks for it.

    ``fact`` is what the user holds for it, ``answers`` are (label, path in its result).
    """

    work: Work
    text: str
    answers: tuple[tuple[str, Path], ...]
    fact: Fact | None = None
    result: Json | None = None

    def answer_facts(self, step: str) -> list[AnswerFact]:
        """What the final answer must report of it, as this step's."""
        return [AnswerFact(label=label, step=step, path=path) for label, path in self.answers]


def works(steps: Sequence[Planned], facts: Mapping[str, Fact], rng: random.Random) -> list[Coded]:
    """Works of one kind that can be asked for after these steps, in an order of the seed, each tried out.

    Kinds are gone through in an order of the seed, too, until one has any: joins, which seldom can be had,
    before all others.
    """
    for kind in ("join", *rng.sample(KINDS, len(KINDS))):
        found = list(MAKERS[kind](steps, rng))
        rng.shuffle(found)
        good = [checked for one in found if (checked := tried(one, steps, facts)) is not None]
        if good:
            return good
    return []


def tried(coded: Coded, steps: Sequence[Planned], facts: Mapping[str, Fact]) -> Coded | None:
    """The work with its result; ``None`` where it cannot be had, or tells nothing that was not known.

    The answer must not stand in what the user said, nor be a value of the very table in the first place.
    """
    observations = {step.id: step.observation for step in steps}
    own = {coded.fact.name: coded.fact.value} if coded.fact else {}
    try:
        data = data_of(coded.work, own, observations)
        result = result_of(coded.work, data)
    except Unworkable:
        return None
    if len(str(data)) > MAX_CHARACTERS or not _steady(coded.work, data):
        return None
    said = [spell(fact.value) for fact in facts.values()]
    if coded.fact is not None:
        if coded.fact.name in facts or any(fact.label == coded.fact.label for fact in facts.values()):
            return None
        if any(clash(spell(coded.fact.value), text) for text in said):
            return None
        said.append(spell(coded.fact.value))
    labels = [label for label, _ in coded.answers]
    if len(set(labels)) < len(labels):
        return None
    for _, path in coded.answers:
        value = _at(result, path)
        if (
            not is_plain(value)
            or str(value) in said
            or value == 0
            or (isinstance(value, str) and not sayable(value))
        ):
            return None
    return Coded(coded.work, coded.text, coded.answers, coded.fact, result)


def filters(steps: Sequence[Planned], rng: random.Random) -> Iterator[Coded]:
    """Records over or under a number, before or after a day, or of a state."""
    for table in tables(steps):
        show = table.show()
        if not show or len(table.rows) < 3:
            continue
        for field in table.measures():
            limit = between(table.column(field), rng)
            if limit is not None:
                keep = rng.choice(("over", "under"))
                verb = "are" if plural(table.words(field)) else "is"
                text = f"whose {table.words(field)} {verb} {keep} {{}}"
                yield _filter(table, field, keep, limit, "limit", text, show)
        for field in table.dates():
            day = day_between(table.column(field), rng)
            if day:
                keep, word = rng.choice((("over", "after"), ("under", "before")))
                text = f"whose {table.words(field)} is {word} {{}}"
                yield _filter(table, field, keep, day, "day in question", text, show)
        for field in table.fields:
            values = table.column(field)
            several = [value for value in dict.fromkeys(values) if values.count(value) < len(values)]
            spoken = [v for v in several if isinstance(v, str) and v.isalpha() and spell(v) == v]
            if STATES.search(snake(field)) and spoken:
                value = rng.choice(spoken)
                text = f"whose {table.words(field)} is {{}}"
                yield _filter(table, field, "is", value, f"{table.words(field)} in question", text, show)


def _filter(table: Table, field: str, keep: str, value: Any, label: str, text: str, show: str) -> Coded:
    fact = Fact(name="work_limit", label=label, value=value)
    work = Filter.model_validate(
        {
            "rows": table.sources,
            "field": field,
            "keep": keep,
            "than": FromFact(fact=fact.name),
            "show": show,
        }
    )
    told = f"{table.many} {text.format(spell(value))}"
    matches = [row for row in table.rows if _kept(row[field], keep, value)]
    answers: list[tuple[str, Path]] = [(f"number of such {table.many}", ("count",))]
    if len(matches) == 1:
        answers.append((f"{table.words(show)} of that {table.noun}", ("matches", 0)))
    return Coded(work, f"count the {told}", tuple(answers), fact)


def joins(steps: Sequence[Planned], rng: random.Random) -> Iterator[Coded]:
    """Two results of different steps, one of which holds identifiers of the other's records."""
    every = (*tables(steps), *twins(steps))
    for table in every:
        for other in every:
            show = told_by(other, table)
            if other.step.id == table.step.id or same(other.noun, table.noun) or not show:
                continue
            for key in shared_keys(table, other):
                for field in (*table.measures(), *table.dates()):
                    by = rng.choice(("highest", "lowest"))
                    work = Join.model_validate(
                        {
                            "rows": table.sources, "others": other.sources, "key": key, "other_key": key,
                            "field": field, "by": by, "show": show,
                        }
                    )  # fmt: skip
                    rows = [row for row in table.rows if row[key] in other.column(key)]
                    matched = [row[field] for row in rows]
                    if len({row[key] for row in rows}) < 2 or tied(matched, by):
                        continue
                    extreme = superlative(table, field, by)
                    text = (
                        f"match the {table.many} with the {other.many} and find the {other.noun} of the "
                        f"{table.noun} with the {extreme}"
                    )
                    answers = (
                        (f"{other.words(show)} of that {other.noun}", ("of",)),
                        (extreme, (by,)),
                    )
                    yield Coded(work, text, answers)


def told_by(other: Table, table: Table) -> str:
    """A text that only the other table has: a name where there is one; empty where there is none."""
    own = [
        name
        for name in other.fields
        if name not in table.rows[0]
        and all(isinstance(value, str) and sayable(value) for value in other.column(name))
        and not NUMBERS.search(snake(name))
        and name not in other.dates()
        and len(set(other.column(name))) > 1
    ]
    return next((name for name in own if NAMES.search(snake(name))), own[0] if own else "")


def shared_keys(table: Table, other: Table) -> list[str]:
    """Fields that hold the same identifiers in both tables, each once in the other."""
    found = []
    for name in table.rows[0]:
        if not NUMBERS.search(snake(name)) or name not in other.rows[0]:
            continue
        if not all(is_plain(row.get(name)) for row in (*table.rows, *other.rows)):
            continue
        known = other.column(name)
        if len(set(known)) == len(known) and set(table.column(name)) & set(known):
            found.append(name)
    return found


def aggregates(steps: Sequence[Planned], rng: random.Random) -> Iterator[Coded]:
    """Totals, averages and extremes of a column."""
    for table in tables(steps):
        for field, times in _priced(table):
            if times or ADDITIVE & set(snake(field).split("_")):
                text = f"add up {table.product(field, times)} of the {table.many}"
                yield _aggregate(table, field, times, "total", text)
            if not times:
                text = f"work out the average {table.words(field)} of the {table.many} to the second decimal"
                yield _aggregate(table, field, "", "average", text)
        for field in (*table.measures(), *table.dates()):
            by = rng.choice(("highest", "lowest"))
            show = table.show()
            if show and show != field and not tied(table.column(field), by):
                extreme = superlative(table, field, by)
                yield _aggregate(table, field, "", by, f"find the {table.noun} with the {extreme}", show)


def _aggregate(table: Table, field: str, times: str, by: str, text: str, show: str = "") -> Coded:
    work = Aggregate.model_validate(
        {"rows": table.sources, "field": field, "by": by, "times": times, "show": show}
    )
    if show:
        own = (f"{table.words(show)} of that {table.noun}", ("of",))
        return Coded(work, text, (own, (superlative(table, field, by), (by,))))
    label = f"sum of {table.product(field, times)}" if by == "total" else f"average {table.words(field)}"
    return Coded(work, text, ((label, (by,)),))


def converts(steps: Sequence[Planned], _rng: random.Random) -> Iterator[Coded]:
    """Durations, times between two moments, and sizes, told in another unit."""
    for table in (*tables(steps), *records(steps)):
        whole = len(table.rows) > 1
        thing = f"the {table.many} together" if whole else f"that {table.noun}"
        for field in table.measures():
            unit = snake(field).rpartition("_")[2]
            if unit in LENGTHS:
                other = {"seconds": "minutes", "minutes": "hours", "hours": "days", "days": "weeks"}[unit]
                words = re.sub(rf" in {unit}$", "", table.words(field))
            elif unit == "bytes":
                other, words = "kilobytes", re.sub(r" in bytes$", "", table.words(field))
            else:
                continue
            yield _convert(
                table, field, other, "", f"work out the {words} of {thing} in {other}", f"{words} in {other}"
            )
        for first, last in spans(table):
            seconds = _seconds(table.rows[0], first, last)
            other = "days" if seconds >= 2 * 86_400 else "minutes" if seconds < 5400 else "hours"
            label = f"time in {other}"
            text = f"work out how many {other} pass from the {table.words(first)} to the {table.words(last)}"
            yield _convert(table, first, other, last, f"{text} of {thing}", label)


def _convert(table: Table, field: str, unit: str, until: str, text: str, label: str) -> Coded:
    work = Convert.model_validate({"rows": table.sources, "field": field, "unit": unit, "until": until})
    return Coded(work, text, ((label, ("value",)),))


def checks(steps: Sequence[Planned], rng: random.Random) -> Iterator[Coded]:
    """What the user believes a total to be, right or wrong."""
    for table in tables(steps):
        for field, times in _priced(table):
            if not (times or ADDITIVE & set(snake(field).split("_"))):
                continue
            try:
                values = [row[field] * (row[times] if times else 1) for row in table.rows]
                actual = round(sum(values), 2)
            except (TypeError, OverflowError):
                continue
            right = rng.random() < 0.4
            digits = 0 if all(isinstance(value, int) for value in values) else 1
            off = round(actual * rng.choice((0.9, 1.1, 1.2)) + rng.choice((1, 5, 10)), digits)
            claim = actual if right else off
            claim = int(claim) if float(claim).is_integer() else claim
            fact = Fact(name="work_claim", label="sum in question", value=claim)
            work = Check(rows=table.sources, field=field, claim=FromFact(fact=fact.name), times=times)
            add = "adds" if times else "add"
            text = (
                f"check whether {table.product(field, times)} of the {table.many} {add} up to {spell(claim)}"
            )
            answers: list[tuple[str, Path]] = [("verdict on that sum", ("verdict",))]
            if claim != actual:
                answers.append(("actual sum", ("actual",)))
            yield Coded(work, text, tuple(answers), fact)


MAKERS: Final[Mapping[Kind, Callable[[Sequence[Planned], random.Random], Iterator[Coded]]]] = {
    "filter": filters,
    "join": joins,
    "aggregate": aggregates,
    "convert": converts,
    "check": checks,
}


def between(values: Sequence[Any], rng: random.Random) -> int | float | None:
    """A round number that some of the values are over and some under, and none is; else ``None``."""
    ordered = sorted(set(values))
    if len(ordered) < 2:
        return None
    place = rng.randrange(len(ordered) - 1)
    low, high = ordered[place], ordered[place + 1]
    if not (math.isfinite(low) and math.isfinite(high)) or abs(high) >= 1e12:
        return None
    for power in range(9, -3, -1):
        unit = 10.0**power
        for step in (5 * unit, unit):
            found = math.floor(low / step + 1) * step
            if low < found < high:
                return int(found) if step >= 1 else round(float(found), 2)
    return None


def day_between(values: Sequence[str], rng: random.Random) -> str:
    """A day that some of the moments are before and some after, and none is on; else an empty text."""
    days = sorted({value[:10] for value in values})
    if len(days) < 2:
        return ""
    place = rng.randrange(len(days) - 1)
    try:
        first, last = date.fromisoformat(days[place]), date.fromisoformat(days[place + 1])
    except ValueError:
        return ""
    gap = (last - first).days
    return (first + timedelta(days=rng.randrange(1, gap))).isoformat() if gap > 1 else ""


def spans(table: Table) -> list[tuple[str, str]]:
    """Pairs of moments of the records between which time passes."""
    dates = table.dates()
    found = []
    for first, last in SPANS:
        starts = [name for name in dates if snake(name).startswith(first)]
        ends = [name for name in dates if snake(name).startswith(last)]
        for start in starts:
            for end in ends:
                if start != end and all(_seconds(row, start, end) > 0 for row in table.rows):
                    found.append((start, end))
    return found


def superlative(table: Table, field: str, by: str) -> str:
    """How the user calls the extreme of a field: "highest price", "earliest due date"."""
    if field in table.dates():
        return f"{'latest' if by == 'highest' else 'earliest'} {table.words(field)}"
    return f"{by} {table.words(field)}"


def _priced(table: Table) -> Iterator[tuple[str, str]]:
    """Measures, those that are prices with the measure that says how many."""
    measures = table.measures()
    counts = [name for name in measures if TIMES & set(snake(name).split("_"))]
    for field in measures:
        words = set(snake(field).split("_"))
        price = bool(PRICES & words) and not words & {"total", "paid"}
        yield field, counts[0] if price and counts and counts[0] != field else ""


def _kept(value: Any, keep: str, than: Any) -> bool:
    return bool(value == than if keep == "is" else value > than if keep == "over" else value < than)


def tied(values: Sequence[Any], by: str) -> bool:
    """Whether more than one record has the extreme, or there is but one."""
    extreme = max(values) if by == "highest" else min(values)
    return len(values) < 2 or list(values).count(extreme) > 1


def _steady(work: Work, data: Json) -> bool:
    """Whether rounding cannot go either way: no average in the middle between two hundredths."""
    if not isinstance(work, Aggregate | Convert) or getattr(work, "by", "") in ("highest", "lowest", "total"):
        return True
    try:
        if isinstance(work, Aggregate):
            exact = 100 * math.fsum(row[work.field] for row in data["rows"]) / len(data["rows"])
        else:
            exact = 100 * float(result_of(work, data)["value"])
            return not math.isclose(exact, 0)
    except TypeError:
        return False
    return abs(exact - math.floor(exact) - 0.5) > 1e-6


def _seconds(row: Json, first: str, last: str) -> float:
    try:
        return (datetime.fromisoformat(row[last]) - datetime.fromisoformat(row[first])).total_seconds()
    except (TypeError, ValueError):
        return 0.0


def _at(result: Json, path: Path) -> Any:
    value: Any = result
    for part in path:
        value = value[part]
    return value
