"""``python -m tests.validator FILE [--json]``: exit code 1 on any violation or missed threshold."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tests.validator.report import Report, Thresholds, validate


def main(arguments: list[str] | None = None) -> int:
    """Validate one file, print the report, give the exit code."""
    parser = argparse.ArgumentParser(
        prog="tests.validator", description="Validates exported OpenAI-messages rows."
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument(
        "--failed", action="store_true", help="allow rows whose verdict is no pass; no thresholds"
    )
    parser.add_argument("--min-multi", type=float, default=Thresholds.min_multi)
    parser.add_argument("--min-dependent", type=float, default=Thresholds.min_dependent)
    parser.add_argument("--max-no-args", type=float, default=Thresholds.max_no_args)
    given = parser.parse_args(arguments)
    thresholds = Thresholds(given.min_multi, given.min_dependent, given.max_no_args)
    try:
        report = validate(given.file, thresholds, failed=given.failed)
    except OSError as error:
        print(f"cannot read {given.file}: {error.strerror}", file=sys.stderr)
        return 1
    print(json.dumps(report.as_json(), indent=2) if given.json else as_text(report))
    return 0 if report.passed else 1


def as_text(report: Report) -> str:
    """The report for a reader."""
    lines = [
        f"{report.rows} rows, {report.calls} calls",
        f"{report.share_multi:.1%} of rows have two or more calls",
        f"{report.share_dependent:.1%} of these hold an argument found only in an earlier result",
        f"{report.share_no_args:.1%} of calls have no arguments",
    ]
    lines += [f"{count} × {code}" for code, count in sorted(report.violations.items())]
    lines += [f"  line {line}: {violation.code}: {violation.detail}" for line, violation in report.examples]
    lines += [f"missed: {what}" for what in report.missed]
    lines.append("passed" if report.passed else "FAILED")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
