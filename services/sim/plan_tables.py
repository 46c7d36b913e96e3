"""Tables in what tools have returned: lists of records, records, and what a user can say of their fields."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas.blueprint import FromStep
from services.sim.plan_references import LISTING, holder_noun
from services.sim.plan_steps import Path, Planned
from services.sim.vocabulary import is_technical, is_wordy, name_words, same, snake
from services.sim.wording import plural
from services.worlds.credentials import is_credential
from services.worlds.words import countable
from services.worlds.words import plural as plural_noun

Json = dict[str, Any]

MAX_ROWS: Final = 30
MAX_DEPTH: Final = 3
DATED: Final = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d.*)?")
NO_MEASURE: Final = re.compile(
    r"(^|_)(ids?|code|number|no|year|month|day|page|index|position|rank|order|status|state|lat|lng?|lon\w*|latitude"
    r"|version|zip|postal|phone|timestamp|at|on|date|time|key|port|priority|level|offset|limit|type|uid|pid|x|y|z)$"
)
"""Ends of fields whose numbers are no measure of anything."""
PARTICIPLE: Final = re.compile(r" (paid|left|due|spent|used|owed|logged|sold|worked|booked)$")
NAMES: Final = re.compile(r"(^|_)(name|title|subject|counterparty|medicine|city|label)$")
NUMBERS: Final = re.compile(r"(^|_)(id|number|code|reference)$")


@dataclass(frozen=True, slots=True)
class Table:
    """Records of one place of a step's observation; ``noun`` is what the user calls one of them."""

    step: Planned
    sources: tuple[FromStep, ...]
    rows: list[Json]
    noun: str

    @property
    def many(self) -> str:
        """The noun of several."""
        return plural_noun(self.noun)

    def words(self, field: str) -> str:
        """A field as the user says it."""
        words = self.step.meaning.labels.get(field) or name_words(field)
        words = words.removeprefix(f"{self.noun} ") if words != self.noun else words
        return re.sub(r"(?<=\w) (minutes|hours|days|seconds|bytes)$", r" in \1", words)

    def plural(self, field: str) -> str:
        """The values of a field as the user says them: "prices", "durations in seconds"."""
        head, unit, rest = self.words(field).partition(" in ")
        head, space, behind = head.rpartition(" ") if PARTICIPLE.search(head) else (head, "", "")
        return f"{head if plural(head) else plural_noun(head)}{space}{behind}{unit}{rest}"

    def product(self, field: str, times: str) -> str:
        """What is added up: "the prices", "price times quantity"."""
        return f"{self.words(field)} times {self.words(times)}" if times else f"the {self.plural(field)}"

    def column(self, field: str) -> list[Any]:
        """The values of a field."""
        return [row[field] for row in self.rows]

    @property
    def fields(self) -> list[str]:
        """Fields that every record has, and that a user can speak of."""
        return [
            name
            for name in self.rows[0]
            if all(is_plain(row.get(name)) for row in self.rows)
            and not is_technical(name)
            and not is_credential(name)
            and is_wordy(self.words(name))
        ]

    def measures(self) -> list[str]:
        """Fields with numbers that measure something."""
        return [
            name
            for name in self.fields
            if not NO_MEASURE.search(snake(name)) and all(map(is_measure, self.column(name)))
        ]

    def dates(self) -> list[str]:
        """Fields with days or moments."""
        return [
            name
            for name in self.fields
            if all(isinstance(value, str) and DATED.fullmatch(value) for value in self.column(name))
        ]

    def show(self) -> str:
        """The field that tells the records apart: a name, else a number; empty where none does."""
        for pattern in (NAMES, NUMBERS):
            for name in self.fields:
                values = self.column(name)
                unique = len(set(values)) == len(values)
                if pattern.search(snake(name)) and unique and all(map(sayable, values)):
                    return name
        return ""


def tables(steps: Sequence[Planned]) -> list[Table]:
    """Lists of two or more records in the observations of reads, each the only one that its noun can mean.

    What a later step has changed is left out: the list is no longer what the user would get.
    """
    found = [
        Table(step, (FromStep(step=step.id, path=path),), rows, holder_noun((*path, 0), step))
        for step in steps
        for path, rows in lists_in(step.observation, (), 0)
    ]
    nouns = [table.noun for table in found]
    return [
        table
        for table in found
        if len(table.rows) > 1
        and not table.step.meaning.writes
        and table.noun
        and nouns.count(table.noun) == 1
        and countable(table.noun)
        and is_wordy(table.noun)
        and plural_noun(table.noun) != table.noun
        and not any(
            step.meaning.writes and step.wave >= table.step.wave and same(step.meaning.entity, table.noun)
            for step in steps
        )
    ]


def records(steps: Sequence[Planned]) -> list[Table]:
    """Single records that steps have returned as a whole."""
    entities = [step.meaning.entity for step in steps]
    return [
        Table(step, (FromStep(step=step.id, path=()),), [step.observation], step.meaning.entity)
        for step in steps
        if isinstance(step.observation, dict)
        and step.meaning.verb not in LISTING
        and step.meaning.entity
        and entities.count(step.meaning.entity) == 1
        and is_wordy(step.meaning.entity)
    ]


def twins(steps: Sequence[Planned]) -> list[Table]:
    """Records that a tool has returned one by one, side by side: those of each tool together."""
    found = []
    for first in steps:
        alike = [step for step in steps if step.tool.name == first.tool.name and step.wave == first.wave]
        single = all(isinstance(step.observation, dict) for step in alike) and not first.meaning.writes
        if single and len(alike) > 1 and alike[0] is first and first.meaning.verb not in LISTING:
            sources = tuple(FromStep(step=step.id, path=()) for step in alike)
            found.append(Table(first, sources, [step.observation for step in alike], first.meaning.entity))
    return [table for table in found if table.noun and is_wordy(table.noun)]


def lists_in(value: Any, path: Path, depth: int) -> Iterator[tuple[Path, list[Json]]]:
    """Lists of records within objects, with their paths, down to ``MAX_DEPTH`` keys."""
    if depth > MAX_DEPTH:
        return
    if isinstance(value, dict):
        for key, part in value.items():
            yield from lists_in(part, (*path, key), depth + 1)
    elif (
        isinstance(value, list) and 0 < len(value) <= MAX_ROWS and all(isinstance(row, dict) for row in value)
    ):
        yield path, value


def is_plain(value: object) -> bool:
    """Whether a value is a text or a number."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def is_measure(value: object) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def sayable(value: object) -> bool:
    """Whether a value can stand in a sentence and be found in JSON as it is."""
    if not isinstance(value, str):
        return True
    return (
        bool(value.strip() == value and value)
        and len(value) <= 60
        and not re.search(r"[\"\\\n\t?]|_|://", value)
    )
