"""Records in a machine's state: finding them, numbering them, filtering them, and people to fill them."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from services.worlds.machine import State, ToolError

Record = dict[str, Any]

FIRST: Final = (
    "Amara", "Bjorn", "Camille", "Dario", "Elif", "Farid", "Greta", "Hiro", "Ines", "Jonas", "Kavya", "Liam",
    "Mei", "Nadia", "Oskar", "Priya", "Quentin", "Rosa", "Samir", "Tess", "Umar", "Vera", "Wanda", "Yusuf",
)  # fmt: skip
LAST: Final = (
    "Abara", "Bergstrom", "Castillo", "Delgado", "Eriksen", "Fontaine", "Gupta", "Hartmann", "Ibarra",
    "Jansen", "Kowalski", "Lindqvist", "Moreau", "Nakamura", "Okafor", "Petrov", "Quiroga", "Rossi",
    "Sandoval", "Tanaka", "Ulrich", "Vasquez", "Whitaker", "Yilmaz",
)  # fmt: skip
STREETS: Final = (
    "Alder Lane", "Birchwood Avenue", "Canal Street", "Dockside Road", "Elm Terrace", "Foundry Row",
    "Garden Crescent", "Harbour Street", "Ivy Close", "Juniper Way", "Kingfisher Drive", "Linden Street",
)  # fmt: skip
TOWNS: Final = (
    "Ashford", "Brookhaven", "Clearwater", "Dunmore", "Eastport", "Fairview", "Glenwood", "Hillcrest",
)  # fmt: skip


def require(holds: bool, code: str, message: str) -> None:
    """Fail as the service would unless ``holds``.

    Raises:
        ToolError: with this code and message.
    """
    if not holds:
        raise ToolError(code, message)


def lookup(records: dict[str, Any], key: str, noun: str) -> Any:
    """The record of this id.

    Raises:
        ToolError: ``not_found`` when there is none.
    """
    require(key in records, "not_found", f"{noun} {key} was not found.")
    return records[key]


def find(records: dict[str, Any], field: str, value: Any, noun: str) -> Any:
    """The first record whose ``field`` is ``value``; texts are compared without regard to case.

    Raises:
        ToolError: ``not_found`` when there is none.
    """
    for record in records.values():
        if str(record[field]).casefold() == str(value).casefold():
            return record
    raise ToolError("not_found", f"No {noun} with {field.replace('_', ' ')} {value} was found.")


def having(records: dict[str, Any], **fields: Any) -> list[Any]:
    """The records that have all these values, in order; a wanted value of None does not filter."""
    found = list(records.values())
    for name, value in fields.items():
        if value is not None:
            found = [record for record in found if record.get(name) == value]
    return found


def mentioning(records: Iterable[Any], query: str, *fields: str) -> list[Any]:
    """The records in whose ``fields`` every word of ``query`` occurs."""
    words = query.casefold().split()
    return [r for r in records if all(w in " ".join(str(r[f]) for f in fields).casefold() for w in words)]


def page(key: str, records: list[Any], limit: int, fields: str) -> Record:
    """A list tool's answer: the named fields of the first ``limit`` records, and how many there are."""
    return {key: [only(record, fields) for record in records[:limit]], "total_found": len(records)}


def only(record: Record, fields: str) -> Record:
    """The named fields of a record, those it lacks left out; a trailing ``?`` is ignored."""
    names = [name.removesuffix("?") for name in fields.split()]
    return {name: record[name] for name in names if name in record}


def new_id(state: State, prefix: str) -> str:
    """The next id of this prefix; they count up in the state."""
    state["last_number"][prefix] += 1
    return f"{prefix}-{state['last_number'][prefix]}"


def ids(rng: random.Random, state: State, prefix: str, count: int, low: int = 10_000) -> list[str]:
    """``count`` ascending ids between ``low`` and ten times that; the state counts on from the last."""
    numbers = sorted(rng.sample(range(low + 1, 9 * low), count))
    state["last_number"][prefix] = numbers[-1]
    return [f"{prefix}-{number}" for number in numbers]


def cycle(rng: random.Random, values: Iterable[Any], count: int) -> list[Any]:
    """``count`` values with each of ``values`` about equally often, in random order."""
    values = list(values)
    cycled = [values[index % len(values)] for index in range(count)]
    rng.shuffle(cycled)
    return cycled


def people(rng: random.Random, count: int) -> list[str]:
    """Distinct full names, at most 24."""
    return [f"{a} {b}" for a, b in zip(rng.sample(FIRST, count), rng.sample(LAST, count), strict=True)]


def email(name: str, host: str) -> str:
    """A person's address at ``host``."""
    return f"{name.lower().replace(' ', '.')}@{host}"


def phone(rng: random.Random) -> str:
    """A telephone number out of the range kept for fiction."""
    return f"+1-{rng.choice((202, 312, 415, 503, 617, 720))}-555-{rng.randrange(100, 200):04d}"


def address(rng: random.Random) -> str:
    """A postal address."""
    return (
        f"{rng.randrange(2, 240)} {rng.choice(STREETS)}, {rng.choice(TOWNS)} {rng.randrange(10_000, 99_000)}"
    )


def cents(amount: float) -> float:
    """Money, rounded to two decimals."""
    return round(amount + 0.0, 2)


def some_day(rng: random.Random) -> str:
    """A Monday of 2026, to be "today"."""
    return (date(2026, 1, 5) + timedelta(weeks=rng.randrange(44))).isoformat()


@lru_cache(maxsize=4096)
def day(today: str, days: int) -> str:
    """The date ``days`` after ``today``, as YYYY-MM-DD.

    Raises:
        ToolError: ``today`` is no date, as what an assistant passes may be.
    """
    try:
        return (date.fromisoformat(today) + timedelta(days=days)).isoformat()
    except (ValueError, OverflowError):
        raise ToolError("invalid_arguments", f"{today!r} is no date, YYYY-MM-DD.") from None


def minutes_later(time: str, minutes: int) -> str:
    """The local time ``minutes`` after ``time``, both as YYYY-MM-DDTHH:MM.

    Raises:
        ToolError: ``time`` is no time, as what an assistant passes may be.
    """
    try:
        return (datetime.fromisoformat(time) + timedelta(minutes=minutes)).isoformat(timespec="minutes")
    except (ValueError, OverflowError):
        raise ToolError("invalid_arguments", f"{time!r} is no date and time, YYYY-MM-DDTHH:MM.") from None
