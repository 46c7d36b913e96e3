"""What code is to work out, worked out here: the plan's expectation, and the measure of what was printed.

Pure and without any sandbox. The code that an assistant writes is run in one, and what it prints is compared
with this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from schemas.blueprint import Aggregate, Check, Convert, Filter, FromFact, FromStep, Join, Source, Work
from services.sim.arguments import Unresolved, resolve_source

Json = dict[str, Any]

MAX_ROWS: Final = 60
SECONDS: Final = {"minutes": 60, "hours": 3600, "days": 86_400, "weeks": 604_800}
"""Seconds of the units that a time is told in."""
LENGTHS: Final = {"seconds": 1, "minutes": 60, "hours": 3600, "days": 86_400}
"""Seconds of the units that the name of a field may end in."""


class Unworkable(ValueError):  # noqa: N818  (said of the data)
    """The data cannot be worked on; the text says what is wrong with it."""


def sources_of(work: Work) -> Iterator[FromFact | FromStep]:
    """Where the work's data comes from, in the order in which an assistant comes to it."""
    yield from work.rows
    match work:
        case Join(others=others):
            yield from others
        case Filter(than=than):
            yield than
        case Check(claim=claim):
            yield claim


def sources_in(arguments: Mapping[str, Source], work: Work | None) -> Iterator[Source]:
    """Where a step's arguments and the data of its code, if it has any, come from."""
    yield from arguments.values()
    if work is not None:
        yield from sources_of(work)


def rows_of(
    sources: Sequence[FromStep], observations: Mapping[str, Any], columns: Sequence[str]
) -> list[Json]:
    """The records at these places, each cut down to the columns.

    Raises:
        Unworkable: there is none, there are too many, or one lacks a column.
    """
    found: list[Json] = []
    for source in sources:
        try:
            value = resolve_source(source, {}, observations)
        except Unresolved as error:
            raise Unworkable(f"there is no {error}") from None
        for record in value if isinstance(value, list) else [value]:
            if not isinstance(record, dict) or any(not _plain(record.get(name)) for name in columns):
                raise Unworkable(f"a record of {source.step} lacks one of {', '.join(columns)}")
            found.append({name: record[name] for name in columns})
    if not 0 < len(found) <= MAX_ROWS:
        raise Unworkable(f"{len(found)} records; from 1 to {MAX_ROWS}")
    return found


def columns_of(work: Work) -> tuple[str, ...]:
    """The fields of a record that the work needs, each once."""
    names: tuple[str, ...]
    match work:
        case Filter(field=field, show=show):
            names = (show, field)
        case Join(key=key, field=field):
            names = (key, field)
        case Aggregate(field=field, times=times, show=show):
            names = (show, field, times)
        case Convert(field=field, until=until):
            names = (field, until)
        case Check(field=field, times=times):
            names = (field, times)
    return tuple(dict.fromkeys(name for name in names if name))


def data_of(work: Work, facts: Mapping[str, Any], observations: Mapping[str, Any]) -> Json:
    """All that the work needs to know: ``rows``, of a join ``others``, and the one value it is given.

    Raises:
        Unworkable: some of it is not there.
    """
    data: Json = {"rows": rows_of(work.rows, observations, columns_of(work))}
    match work:
        case Join(others=others, other_key=key, show=show):
            data["others"] = rows_of(others, observations, tuple(dict.fromkeys((key, show))))
        case Filter(than=source) | Check(claim=source):
            try:
                data["value"] = resolve_source(source, facts, observations)
            except Unresolved as error:
                raise Unworkable(f"there is no {error}") from None
            if not _plain(data["value"]):
                raise Unworkable("the value to compare with is no text or number")
    return data


def result_of(work: Work, data: Mapping[str, Any]) -> Json:
    """What code that does the work prints.

    Raises:
        Unworkable: a number is no number, a time no time, or nothing is left to find.
    """
    rows: list[Json] = data["rows"]
    match work:
        case Filter(field=field, keep=keep, show=show):
            kept = [row[show] for row in rows if _passes(row[field], keep, data["value"])]
            return {"count": len(kept), "matches": kept}
        case Join(key=key, other_key=other_key, field=field, by=by, show=show):
            names = {other[other_key]: other[show] for other in data["others"]}
            matched = [row for row in rows if row[key] in names]
            if not matched:
                raise Unworkable("no record of one result belongs to one of the other")
            best = _extreme(matched, by, lambda row: row[field])
            return {"matched": len(matched), by: best[field], "of": names[best[key]]}
        case Aggregate(by="total"):
            return {"total": _total(rows, work.field, work.times)}
        case Aggregate(by="average"):
            return {"average": round(math.fsum(_values(rows, work.field, work.times)) / len(rows), 2)}
        case Aggregate(field=field, by=by, show=show):
            best = _extreme(rows, by, lambda row: row[field])
            return {by: best[field], **({"of": best[show]} if show else {})}
        case Convert(unit=unit):
            return {"value": _converted(work, rows), "unit": unit}
        case Check(field=field, times=times):
            actual, claim = _total(rows, field, times), _number(data["value"])
            verdict = "correct" if abs(actual - claim) < 0.005 else "incorrect"
            return {"verdict": verdict, "actual": actual, "difference": round(actual - claim, 2)}


def _plain(value: object) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _number(value: object) -> int | float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise Unworkable(f"{value!r} is no number")
    return value


def _values(rows: Sequence[Json], field: str, times: str) -> list[int | float]:
    return [_number(row[field]) * (_number(row[times]) if times else 1) for row in rows]


def _total(rows: Sequence[Json], field: str, times: str) -> int | float:
    return round(sum(_values(rows, field, times)), 2)


def _extreme(rows: Sequence[Json], by: str, key: Callable[[Json], Any]) -> Json:
    try:
        return max(rows, key=key) if by == "highest" else min(rows, key=key)
    except TypeError:
        raise Unworkable("numbers and texts cannot be put in order") from None


def _passes(value: Any, keep: str, than: Any) -> bool:
    if isinstance(value, str) != isinstance(than, str):
        raise Unworkable(f"{value!r} and {than!r} cannot be compared")
    return bool(value == than if keep == "is" else value > than if keep == "over" else value < than)


def _converted(work: Convert, rows: Sequence[Json]) -> float:
    if work.unit == "kilobytes":
        return round(sum(_values(rows, work.field, "")) / 1024, 2)
    if work.until:
        try:
            spans = [
                (datetime.fromisoformat(row[work.until]) - datetime.fromisoformat(row[work.field]))
                for row in rows
            ]
        except (TypeError, ValueError) as error:
            raise Unworkable(f"no two times: {error}") from None
        seconds = sum(span.total_seconds() for span in spans)
    else:
        seconds = sum(_values(rows, work.field, "")) * length_of(work.field)
    return round(seconds / SECONDS[work.unit], 2)


def length_of(field: str) -> int:
    """How many seconds the unit that a field's name ends in has.

    Raises:
        Unworkable: it names none.
    """
    word = field.lower().rpartition("_")[2]
    if word not in LENGTHS:
        raise Unworkable(f"{field} does not say its unit")
    return LENGTHS[word]
