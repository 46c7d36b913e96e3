"""Line 5: twelve kinds of defect planted in good rows are each caught, with their own reason."""

from __future__ import annotations

from collections import Counter

from tests.release.bench import Bench, Findings
from tests.support.defects import KINDS, plant

SEED = 1
MAX_FALSE_REJECTS = 0.01


def check(bench: Bench, found: Findings) -> None:
    campaign = bench.demo().campaign
    rows = list(campaign.rows())[: bench.size(100, 30)]
    false_rejects = []
    planted: Counter[str] = Counter()
    missed: list[str] = []
    for row in rows:
        blueprint = campaign.blueprint(row["id"])
        good = campaign.verify(row["id"], row["messages"])
        if not good.passed:
            false_rejects.append(f"{row['id']}: {good.findings[0].code}: {good.findings[0].detail}")
        for kind in KINDS:
            messages = plant(kind, blueprint, row["messages"], SEED)
            if messages is None:
                continue
            planted[kind] += 1
            verdict = campaign.verify(row["id"], messages)
            reason = verdict.findings[0].code if verdict.findings else "nothing"
            if verdict.passed or reason != kind:
                missed.append(f"{row['id']}: {kind} planted, {reason} found")
    rate = len(false_rejects) / len(rows)
    found.say(f"{len(rows)} rows, {planted.total()} defects planted, {len(missed)} missed")
    found.say(", ".join(f"{kind} {planted[kind]}" for kind in KINDS))
    found.say(f"false rejects {rate:.1%}")
    found.expect(rate <= MAX_FALSE_REJECTS, f"good rows refused: {false_rejects[:3]}")
    found.wrong.extend(missed[:10])
    found.wrong.extend(f"no row has a place for {kind}" for kind in KINDS if not planted[kind])
