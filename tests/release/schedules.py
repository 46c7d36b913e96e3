"""Line 7: the whole system on seeds, with crashes, duplicates, delays and rivals, ends always the same."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter

from tests.release.bench import ROOT, Bench, Findings

PROCESSES = 2
TIMEOUT_S = 3600.0


def check(bench: Bench, found: Findings) -> None:
    number = bench.size(10_000, 200)
    share = number // PROCESSES
    begun = time.monotonic()
    working = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.simulation.schedules", str(first), str(first + share - 1)],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for first in range(1, number + 1, share)
    ]
    seen: Counter[str] = Counter()
    try:
        for process in working:
            out, err = process.communicate(timeout=TIMEOUT_S)
            found.expect(process.returncode == 0, " ".join(err.split()[-30:]))
            seen.update(json.loads(out) if process.returncode == 0 else {})
    finally:
        for process in working:
            process.kill()
            process.wait()
    minutes = (time.monotonic() - begun) / 60
    found.say(
        f"{seen['schedules']} schedules in {PROCESSES} processes, {seen['schedules'] / minutes:.0f} a minute"
    )
    found.say(f"{seen['crash']} crashes, {seen['doubled']} doubled appends, {seen['second']} rivals")
    found.expect(seen["schedules"] == number, f"{seen['schedules']} schedules of {number} ended right")
    found.expect(seen["crash"] >= number, f"only {seen['crash']} crashes")
