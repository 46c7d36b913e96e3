"""Nothing is left of sandboxes, of each kind: not by runs in a row, not by kills at random moments."""

from __future__ import annotations

import subprocess
import sys

from tests.release.bench import ROOT, Bench, Findings, Skipped
from tests.support.brokers import engine_missing
from tests.support.sandbox_box import BACKENDS

TIMEOUT_S = 3600.0


def check(bench: Bench, found: Findings) -> None:
    for kind in BACKENDS:
        if kind != "bubblewrap" and (why := engine_missing()):
            raise Skipped(why)
        runs = bench.size(10_000, 60) if kind == "bubblewrap" else bench.size(1_000, 8)
        kills = bench.size(2_000, 40) if kind == "bubblewrap" else bench.size(200, 12)
        words = ["--backend", kind, "--runs", str(runs), "--kills", str(kills)]
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.sandbox_leaks", *words],
            cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False,
        )  # fmt: skip
        found.say("; ".join(done.stdout.splitlines()[:2]))
        found.expect(done.returncode == 0, f"{kind}: {' '.join((done.stdout + done.stderr).split()[-40:])}")
