"""``python -m tests.release [--full] [--only NAME ...] [--json]``: exit code 1 on any FAIL.

Every line of what a release must hold is one check, at CI size unless ``--full`` is given.
``--keep DIR`` keeps what the checks made. Under ``CI=true`` a check that is skipped fails.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from tests.release.bench import Bench, Findings, Skipped

CHECKS = (
    "demo",
    "real_apis",
    "imports",
    "validator",
    "counterfactual",
    "defects",
    "worlds",
    "openings",
    "same_bytes",
    "code",
    "crashes",
    "schedules",
    "faults",
    "small_model",
    "bad_input",
    "sandboxes",
    "stack_crashes",
    "stack_bad_input",
)


def run(name: str, bench: Bench) -> dict[str, Any]:
    """One check: its name, verdict (pass, FAIL, skip), figures, what is wrong, and seconds."""
    found = Findings()
    begun = time.monotonic()
    verdict = ""
    try:
        importlib.import_module(f"tests.release.{name}").check(bench, found)
    except Skipped as reason:
        verdict = "FAIL" if found.wrong or os.environ.get("CI") == "true" else "skip"
        found.wrong.append(f"skipped: {reason}")
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        found.wrong.append(f"{type(error).__name__} at {where}: {error}")
    verdict = verdict or ("FAIL" if found.wrong else "pass")
    seconds = round(time.monotonic() - begun, 1)
    return {
        "check": name,
        "verdict": verdict,
        "figures": found.figures,
        "wrong": found.wrong,
        "seconds": seconds,
    }


def line(result: dict[str, Any]) -> str:
    """A result for a reader."""
    text = "; ".join(result["figures"])
    head = f"{result['check']:<15} {result['verdict']:<5} {text}  [{result['seconds']:.1f} s]"
    return "\n".join([head, *(f"{'':<22}- {one}" for one in result["wrong"][:20])])


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.release", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--full", action="store_true", help="the sizes that a release is measured at")
    parser.add_argument("--only", nargs="+", choices=CHECKS, metavar="NAME", help=", ".join(CHECKS))
    parser.add_argument("--keep", type=Path, metavar="DIR", help="a new folder to keep what is made")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory(prefix="tds-release-") as folder:
        bench = Bench(options.keep or Path(folder), full=options.full)
        for name in options.only or CHECKS:
            result = run(name, bench)
            results.append(result)
            print(json.dumps(result, ensure_ascii=False) if options.json else line(result), flush=True)
    verdicts = [result["verdict"] for result in results]
    if not options.json:
        size = "full size" if options.full else "CI size"
        total = sum(result["seconds"] for result in results)
        counts = ", ".join(f"{verdicts.count(one)} {one}" for one in ("pass", "FAIL", "skip"))
        print(f"{size}: {counts}, {total:.0f} s")
    return 1 if "FAIL" in verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
