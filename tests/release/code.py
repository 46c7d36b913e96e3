"""Code that was run for real: in two of five runs, shown byte for byte, the same bytes twice."""

from __future__ import annotations

import hashlib
from collections import Counter

from services.kit.sqlite import read
from tests.release.bench import Bench, Findings, Skipped
from tests.support.code_runs import code_calls, executed_in, mismatches, no_sandbox
from tests.validator.report import validate

SHARE = 0.4
KINDS = {"filter", "join", "aggregate", "convert", "check"}


def check(bench: Bench, found: Findings) -> None:
    if why := no_sandbox():
        raise Skipped(f"no code can be run here: {why}")
    folder, number = bench.place("code"), bench.size(200, 30)
    given = ("--trajectories", number, "--seed", 7, "--code", "on")
    once = bench.make(folder / "once", *given)
    again = bench.make(folder / "again", *given, "--concurrency", 5, environ={"PYTHONHASHSEED": "4711"})
    for made in (once, again):
        if made.done.code != 0:
            found.wrong.append(f"{made.folder.name}: exit code {made.done.code}: {made.done.tail()}")
            return
    rows = once.rows()
    coding = [row for row in rows if list(code_calls(row))]
    executed = executed_in(read(once.folder / "log.sqlite3"))
    kinds = Counter(
        step.work.kind
        for row in coding
        for step in once.campaign.blueprint(row["id"]).steps
        if step.work is not None
    )
    outcomes = Counter(one.outcome for one in executed.values())
    found.say(f"{len(coding)} of {len(rows)} rows hold code ({len(coding) / len(rows):.0%})")
    found.say(f"works: {', '.join(f'{kind} {count}' for kind, count in kinds.most_common())}")
    found.say(f"{sum(outcomes.values())} calls run: {dict(outcomes)}")
    found.expect(len(rows) == number, f"{len(rows)} rows, not {number}")
    found.expect(len(coding) >= SHARE * len(rows), f"fewer than {SHARE:.0%} of the rows hold code")
    found.expect(not bench.full or kinds.keys() == KINDS, f"works of {sorted(kinds)} only")
    found.wrong.extend(mismatches(rows, executed))
    digests = {hashlib.sha256(made.dataset.read_bytes()).hexdigest() for made in (once, again)}
    found.expect(len(digests) == 1, "the same seed gave other bytes")
    report = validate(once.dataset)
    for code, count in sorted(report.violations.items()):
        found.wrong.append(f"{count} × {code} by the validator")
    bare = {"PATH": str(bench.place("empty"))}
    done = bench.tds("replay", once.folder, "--verify", "--json", environ=bare)
    found.expect(
        done.code == 0 and done.json()["identical"] is True, f"replay without a sandbox: {done.tail()}"
    )
