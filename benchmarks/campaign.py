"""A campaign as the benchmarks ask for it, and one ``tds run`` of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Campaign:
    """What is asked for. ``base_url`` is the server of all roles."""

    base_url: str
    trajectories: int
    generation_size: int
    concurrency: int
    seed: int

    def arguments(self, *, on_stack: bool = False) -> list[str]:
        """As ``tds run`` takes it, but for where it goes. On the stack concurrency is the replicas' own."""
        at_once = ["--stack"] if on_stack else ["--concurrency", str(self.concurrency)]
        return [
            *("--trajectories", str(self.trajectories), "--generation-size", str(self.generation_size)),
            *("--seed", str(self.seed), *at_once),
            *("--model", "all=openai/sim", "--base-url", f"all={self.base_url}"),
        ]


@dataclass(frozen=True)
class Ended:
    """What a campaign took: seconds of CPU of all processes that count, and the replies in its log."""

    cpu_s: float
    journaled: int
    dataset: bytes


def tds_run(arguments: Sequence[str], folder: Path, environment: Mapping[str, str] = os.environ) -> Ended:
    """One ``tds run`` into ``folder``, to its end; the process counts with all its children."""
    command = [sys.executable, "-m", "services.console.cli", "run", "--out", str(folder), "--json"]
    process = subprocess.Popen(
        [*command, *arguments], cwd=ROOT, env=dict(environment), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    card = json.loads(process.stdout.read())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"tds run ended with {process.returncode}: {card['detail']}")
    dataset = (folder / "dataset.jsonl").read_bytes()
    return Ended(usage.ru_utime + usage.ru_stime, card["usage"]["calls"], dataset)
