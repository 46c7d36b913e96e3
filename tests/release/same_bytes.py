"""Line 6: the same seed gives the same bytes, whatever the process, its hash seed, latency, concurrency."""

from __future__ import annotations

import hashlib

from tests.release.bench import Bench, Findings

SEED = 7
LATENCY = "sim?latency=0:0.05"
"""Of every call of a model or tool, in seconds between the two."""
OTHER_LATENCY = "sim?latency=0.01:0.03"


def check(bench: Bench, found: Findings) -> None:
    folder, number = bench.place("same_bytes"), bench.size(100, 15)
    variants: dict[str, tuple[list[str], dict[str, str]]] = {
        "once": ([], {}),
        "again": ([], {}),
        "PYTHONHASHSEED=1": ([], {"PYTHONHASHSEED": "1"}),
        "PYTHONHASHSEED=4711": ([], {"PYTHONHASHSEED": "4711"}),
        "latency": (["--model", f"all={LATENCY}"], {}),
        "concurrency 1": (["--concurrency", "1"], {}),
        "concurrency 64": (["--concurrency", "64"], {}),
        "other latency at concurrency 64": (["--model", f"all={OTHER_LATENCY}", "--concurrency", "64"], {}),
    }
    digests: dict[str, str] = {}
    seconds: dict[str, float] = {}
    for name, (arguments, environ) in variants.items():
        out = folder / name.replace(" ", "-")
        made = bench.make(out, "--trajectories", number, "--seed", SEED, *arguments, environ=environ)
        if made.done.code != 0:
            found.wrong.append(f"{name}: exit code {made.done.code}: {made.done.tail()}")
            continue
        digests[name] = hashlib.sha256(made.dataset.read_bytes()).hexdigest()
        seconds[name] = made.done.seconds
    found.say(f"{number} rows, {len(digests)} runs, {len(set(digests.values()))} digest(s)")
    found.say("s: " + ", ".join(f"{name} {value:.1f}" for name, value in seconds.items()))
    first = next(iter(digests.values()), "")
    found.wrong.extend(f"{name}: other bytes than once" for name, one in digests.items() if one != first)
