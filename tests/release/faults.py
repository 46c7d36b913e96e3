"""Line 8: the real client against a server that fails as servers do; every failure is accounted for.

The proxy writes down each failure it makes; the campaign's run.log each attempt that failed; its export
with --failed each run that did not make it. All three must agree.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from tests.release.bench import TDS, Bench, Findings, rows_of
from tests.support.json_log import read
from tests.support.server_process import running, started

RATES = {"429": 0.10, "5xx": 0.05, "cut": 0.05, "malformed": 0.05, "invented": 0.03}
RETRIED = ("429", "5xx", "cut", "malformed")
ROLES = ("planner", "user", "assistant", "judge")
"""All that a model plays; the tools are simulated in process."""


def check(bench: Bench, found: Findings) -> None:
    folder, wanted = bench.place("faults"), bench.size(50, 12)
    out, faults = folder / "campaign", folder / "faults.jsonl"
    rates = [part for fault, rate in RATES.items() for part in (f"--rate-{fault}", str(rate))]
    with (
        started([str(TDS), "sim-server", "--json"], 30.0) as server,
        running(
            "tests.support.fault_proxy", "--upstream", server["base_url"], "--log", str(faults),
            "--seed", "8", *rates,
        ) as proxy,
    ):  # fmt: skip
        models = [
            part
            for role in ROLES
            for part in ("--model", f"{role}=openai/sim", "--base-url", f"{role}={proxy['base_url']}")
        ]
        made = bench.make(out, "--trajectories", wanted, "--seed", 8, *models)
    if made.done.code != 0:
        found.wrong.append(f"the campaign ended with {made.done.code}: {made.done.tail()}")
        return
    card = made.done.json()
    requests = read(faults)
    made_by_proxy = Counter(one["fault"] for one in requests)
    found.say(f"{card['admitted']} of {wanted} admitted; {len(requests)} requests")
    found.say(", ".join(f"{fault} {made_by_proxy[fault]}" for fault in RATES))
    found.expect(card["admitted"] == len(made.rows()) == wanted, f"{card['admitted']} admitted, not {wanted}")
    found.wrong.extend(f"the proxy never made a {fault}" for fault in RATES if not made_by_proxy[fault])
    check_attempts(requests, out / "run.log", found)
    check_runs(bench, out, requests, found)


def check_attempts(requests: list[dict[str, Any]], log: Path, found: Findings) -> None:
    """Each failure of the proxy is one failed attempt of the client, and the other way round."""
    hurt = Counter((one["run"], one["turn"], one["role"]) for one in requests if one["fault"] in RETRIED)
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    failed = [one for one in lines if one["event"] == "attempt failed"]
    told = Counter((one["run"], one["turn"], one["role"]) for one in failed)
    codes = Counter(one["code"] for one in failed)
    found.say(f"{told.total()} failed attempts in run.log: {dict(sorted(codes.items()))}")
    # The campaign ends while runs beyond its last row are under way: their last attempts may be cancelled.
    for key in sorted(hurt.keys() | told.keys(), key=str):
        if hurt[key] != told[key]:
            found.wrong.append(f"{key}: the proxy failed it {hurt[key]} times, run.log has {told[key]}")


def check_runs(bench: Bench, out: Path, requests: list[dict[str, Any]], found: Findings) -> None:
    """Each run that failed says so with the invented tool that the proxy gave it, and no other fails."""
    to = out.parent / "failed.jsonl"
    bench.tds("export", out, "--failed", "--to", to)
    failed = {row["id"]: row["metadata"]["failure"] for row in rows_of(to)}
    invented = {one["run"] for one in requests if one["fault"] == "invented"}
    admitted = {row["id"] for row in rows_of(out / "dataset.jsonl")}
    blamed = {
        run
        for run, failure in failed.items()
        if (failure["attribution"], failure["code"]) == ("assistant", "invented_tool")
    }
    found.say(f"{len(failed)} failed runs, {len(blamed)} for an invented tool of {len(invented)} sent")
    others = {run: failed[run]["code"] for run in failed.keys() - invented}
    found.expect(not others, f"failed for no failure of the proxy: {dict(list(others.items())[:5])}")
    found.expect(blamed <= invented, f"blamed without cause: {sorted(blamed - invented)[:5]}")
    found.expect(not invented & admitted, f"admitted in spite of an invented tool: {invented & admitted}")
    unblamed = sorted((invented & failed.keys()) - blamed)
    found.expect(not unblamed, f"failed otherwise: {[(run, failed[run]) for run in unblamed[:3]]}")
