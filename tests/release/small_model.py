"""Line 8: with a real small model, which fails in every way, the campaign still ends and tells who failed."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any, get_args

import pytest

from schemas.run import Attribution
from tests.release.bench import Bench, Findings, Skipped, rows_of
from tests.support.small_model import small_model
from tests.validator.report import validate

NAME = "openai/smollm2"
TIMEOUT_S = 3600.0
PLANNING = ("planner",)


def check(bench: Bench, found: Findings) -> None:
    out, slots = bench.place("small_model") / "campaign", bench.size(6, 2)
    try:
        with small_model() as url:
            arguments: list[object] = ["--trajectories", slots, "--max-slots", slots, "--seed", 5]
            arguments += ["--attempts", bench.size(2, 1), "--max-turns", bench.size(8, 4)]
            arguments += ["--generation-size", slots, "--concurrency", 4]
            for role in ("user", "assistant"):
                arguments += ["--model", f"{role}={NAME}", "--base-url", f"{role}={url}"]
            made = bench.make(out, *arguments)
    except pytest.skip.Exception as reason:
        raise Skipped(str(reason)) from None
    if made.done.code not in (0, 1):
        found.wrong.append(f"exit code {made.done.code}: {made.done.tail()}")
        return
    card = made.done.json()
    found.say(f"ended ({card['ended'] or card['state']}) after {made.done.seconds:.0f} s")
    found.say(f"{card['admitted']} admitted, {card['runs']} runs, {card['usage']['calls']} calls")
    found.expect(card["state"] == "finished", f"the campaign is {card['state']}: {card['detail']}")
    check_failures(bench, made.campaign.ledger, found)
    if made.dataset.exists():
        report = validate(made.dataset)
        found.expect(not report.violations, f"malformed rows: {dict(report.violations)}")


def check_failures(bench: Bench, ledger: Any, found: Findings) -> None:
    """Every run was admitted or says whose failure it was; the export of the failed is well-formed."""
    admitted = {one.run for one in ledger.admitted}
    known = {*get_args(Attribution), *PLANNING, "corpus"}
    reasons: Counter[str] = Counter()
    for run, entry in ledger.runs.items():
        failure = entry.failure
        if failure is not None:
            reasons[f"{failure.attribution} {failure.code}"] += 1
            found.expect(failure.attribution in known, f"{run}: failed by {failure.attribution!r}")
            found.expect(bool(failure.code and failure.stage), f"{run}: failed without a reason")
        else:
            found.expect(run in admitted or ledger.finished.reason == "trajectories", f"{run}: no verdict")
    found.say(", ".join(f"{reason} {count}" for reason, count in reasons.most_common()) or "nothing failed")
    to = bench.place("small_model") / "failed.jsonl"
    bench.tds("export", bench.place("small_model") / "campaign", "--failed", "--to", to)
    for row in rows_of(to):
        text = json.dumps(row, ensure_ascii=False)
        found.expect(json.loads(text) == row and bool(row["messages"]), f"{row['id']}: malformed")
        roles = {message["role"] for message in row["messages"]}
        found.expect(roles <= {"system", "user", "assistant", "tool"}, f"{row['id']}: roles {roles}")
        found.expect("failure" in row["metadata"], f"{row['id']}: exported as failed without a reason")
