"""Line 3: a validator that imports nothing from services/ holds on every row of both campaigns."""

from __future__ import annotations

from tests.release.bench import Bench, Findings
from tests.validator.report import validate


def check(bench: Bench, found: Findings) -> None:
    for name, made in (("demo", bench.demo()), ("real_apis", bench.real_apis())):
        report = validate(made.dataset)
        found.say(
            f"{name}: {report.rows} rows, {report.calls} calls, {report.share_multi:.0%} with two or more, "
            f"{report.share_dependent:.0%} of these dependent, {report.share_no_args:.1%} of calls bare"
        )
        for code, count in sorted(report.violations.items()):
            example = next(one for _, one in report.examples if one.code == code)
            found.wrong.append(f"{name}: {count} × {code}, e.g. {example.detail[:200]}")
        found.wrong.extend(f"{name}: {missed}" for missed in report.missed)
