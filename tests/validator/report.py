"""A whole file of rows: every violation, and the shares that a dataset has to reach."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.validator.origin import parse
from tests.validator.row import Violation, check_row

KEPT = 50


@dataclass(frozen=True)
class Thresholds:
    """Shares in [0, 1]: least of rows with two or more calls, least of these that hold an argument found
    only in an earlier tool result, most of calls without arguments.
    """

    min_multi: float = 0.6
    min_dependent: float = 0.7
    max_no_args: float = 0.15


@dataclass
class Report:
    """Counts over a file. ``violations`` counts all, by code; ``examples`` holds the first ``KEPT``."""

    rows: int = 0
    calls: int = 0
    bare_calls: int = 0
    multi: int = 0
    dependent: int = 0
    violations: Counter[str] = field(default_factory=Counter)
    examples: list[tuple[int, Violation]] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    @property
    def share_multi(self) -> float:
        """Share of rows with two or more calls."""
        return self.multi / self.rows if self.rows else 0.0

    @property
    def share_dependent(self) -> float:
        """Of these, the share with an argument found only in an earlier tool result."""
        return self.dependent / self.multi if self.multi else 0.0

    @property
    def share_no_args(self) -> float:
        """Share of calls without arguments."""
        return self.bare_calls / self.calls if self.calls else 0.0

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.violations and not self.missed

    def say(self, line: int, violation: Violation) -> None:
        """Take a violation down."""
        self.violations[violation.code] += 1
        if len(self.examples) < KEPT:
            self.examples.append((line, violation))

    def as_json(self) -> dict[str, Any]:
        """The report as a JSON object."""
        return {
            "passed": self.passed,
            "rows": self.rows,
            "calls": self.calls,
            "share_multi": round(self.share_multi, 4),
            "share_dependent": round(self.share_dependent, 4),
            "share_no_args": round(self.share_no_args, 4),
            "violations": dict(sorted(self.violations.items())),
            "missed": self.missed,
            "examples": [
                {"line": line, "code": violation.code, "detail": violation.detail}
                for line, violation in self.examples
            ],
        }


def validate(path: Path, thresholds: Thresholds = Thresholds(), *, failed: bool = False) -> Report:
    """The report on one JSONL file.

    Raises:
        OSError: when the file cannot be read.
    """
    report = Report()
    ids: set[str] = set()
    contents: dict[str, int] = {}
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            report.rows += 1
            try:
                row = parse(line.decode("utf-8"))
            except ValueError as error:
                report.say(number, Violation("not_json", f"the line is no JSON: {error}"))
                continue
            found = check_row(row, failed=failed)
            for violation in found.violations:
                report.say(number, violation)
            report.calls += found.calls
            report.bare_calls += found.bare
            report.multi += found.calls >= 2
            report.dependent += found.calls >= 2 and found.dependent
            if isinstance(row, dict):
                check_repeated(number, row, ids, contents, report)
    if report.rows == 0:
        report.missed.append("the file has no rows")
    elif not failed:
        check_thresholds(report, thresholds)
    return report


def check_repeated(
    number: int, row: dict[str, Any], ids: set[str], contents: dict[str, int], report: Report
) -> None:
    """Ids and conversations occur once in a file; ids of calls make no difference."""
    identity = row.get("id")
    if isinstance(identity, str):
        if identity in ids:
            report.say(number, Violation("repeated_id", f"row id {identity!r} occurs twice"))
        ids.add(identity)
    conversation = json.dumps([strip_ids(row.get("messages")), row.get("tools")], sort_keys=True)
    digest = hashlib.sha256(conversation.encode()).hexdigest()
    first = contents.setdefault(digest, number)
    if first != number:
        report.say(number, Violation("repeated_row", f"the same conversation as in line {first}"))


def strip_ids(value: Any) -> Any:
    """The messages without the ids of calls."""
    if isinstance(value, dict):
        return {key: strip_ids(item) for key, item in value.items() if key not in ("id", "tool_call_id")}
    return [strip_ids(item) for item in value] if isinstance(value, list) else value


def check_thresholds(report: Report, thresholds: Thresholds) -> None:
    """The shares that a dataset has to reach."""
    shares = (
        (report.share_multi, thresholds.min_multi, 1, "rows with two or more calls"),
        (
            report.share_dependent,
            thresholds.min_dependent,
            1,
            "of these with an argument from a result alone",
        ),
        (report.share_no_args, thresholds.max_no_args, -1, "calls without arguments"),
    )
    for share, bound, sign, what in shares:
        if sign * share < sign * bound:
            word = "at least" if sign > 0 else "at most"
            report.missed.append(f"{share:.1%} {what}; {word} {bound:.0%} wanted")
