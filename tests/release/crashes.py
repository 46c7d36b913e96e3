"""Line 7: SIGKILL at random moments, with a model that never says the same thing twice.

The log of the model's server says what was asked and sent; the campaign's log and export say what was used.
"""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.console.ledger import LOG, Ledger
from services.console.source import Source
from services.kit.log import LogError
from tests.release.bench import Bench, Findings, Process
from tests.release.sent_messages import check_messages
from tests.support.json_log import read
from tests.support.server_process import running

Key = tuple[str, int, str]
"""A request: run, turn, role."""
STEP_S = 0.004
PATIENCE_S = 120.0


@dataclass(frozen=True)
class Kill:
    """One kill: how many runs were open, and which requests were sent whose replies are not in the log."""

    open_runs: int
    in_flight: frozenset[Key]


def check(bench: Bench, found: Findings) -> None:
    folder, kills = bench.place("crashes"), bench.size(20, 4)
    trajectories = bench.size(150, 40)  # more than the quickest machine makes between the kills
    out, nonces = folder / "campaign", folder / "nonces.jsonl"
    rng = random.Random("crashes/1")
    with running(
        "tests.support.nonce_server", "--log", str(nonces), "--latency-min", "0.01", "--latency-max", "0.1"
    ) as server:
        arguments: list[object] = [
            "run",
            "--out",
            out,
            "--trajectories",
            trajectories,
            "--seed",
            11,
            "--concurrency",
            4,
            "--json",
        ]
        for role in ("user", "assistant"):
            arguments += ["--model", f"{role}=openai/sim", "--base-url", f"{role}={server['base_url']}"]
        made: list[Kill] = []
        for number in range(kills):
            with bench.started(*(arguments if number == 0 else resume(arguments, out))) as process:
                made.append(killed(process, out, nonces, rng, early=number % 4 == 3))
        done = bench.tds(*resume(arguments, out))
    positions = Counter(kill.open_runs for kill in made)
    inside = sum(kill.open_runs > 0 for kill in made)
    found.say(
        f"{kills} kills, {inside} with runs open, {sum(len(kill.in_flight) for kill in made)} in flight"
    )
    found.say("runs open: " + ", ".join(str(kill.open_runs) for kill in made))
    found.expect(positions.total() == kills and inside * 2 > kills, f"only {inside} kills with open runs")
    if done.code != 0:
        found.wrong.append(f"the last resume ended with {done.code}: {done.tail()}")
        return
    check_slots(out, trajectories, found)
    check_messages(out / "dataset.jsonl", nonces, found)
    check_requests(nonces, made, found)
    replay = bench.tds("replay", out, "--verify", "--json")
    report = replay.json()
    found.say(f"replay: {report['compared']} events identical")
    found.expect(replay.code == 0 and report["identical"], f"replay differs: {report['differences'][:2]}")


def resume(arguments: list[object], out: Path) -> list[object]:
    """The command that goes on; before anything was recorded, that is the first one again."""
    begun = (out / LOG).exists() and spec_of(out)
    return ["run", "--resume", out, "--json"] if begun else arguments


def spec_of(out: Path) -> bool:
    try:
        return Ledger.open(out, keep="nothing").spec is not None
    except LogError:
        return False


def killed(process: Process, out: Path, nonces: Path, rng: random.Random, *, early: bool) -> Kill:
    """Kill it at a random moment: after so many further requests, or (early) any time from its start."""
    asked_before = len(requests(nonces))
    if early:
        time.sleep(rng.uniform(0.2, 2.0))
    else:
        further, deadline = rng.randrange(3, 24), time.monotonic() + PATIENCE_S
        while len(requests(nonces)) < asked_before + further and process.poll() is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {further} requests within {PATIENCE_S:.0f} s")
            time.sleep(STEP_S)
        time.sleep(rng.uniform(0, 0.1))
    if process.poll() is not None:
        raise RuntimeError("it ended before it was killed: raise the number of trajectories")
    process.send(signal.SIGKILL)
    time.sleep(0.3)  # what was on its way reaches the server
    asked = {key_of(one) for one in requests(nonces)[asked_before:]}
    recorded, opened = progress(out)
    return Kill(opened, frozenset(key for key in asked if key[:2] not in recorded))


def requests(nonces: Path) -> list[dict[str, Any]]:
    return [one for one in read(nonces) if one["kind"] == "request"]


def key_of(line: dict[str, Any]) -> Key:
    return line["run"], line["turn"], line["role"]


def progress(out: Path) -> tuple[set[tuple[str, int]], int]:
    """The turns that the log has, by run, and how many runs are between RunStarted and their end."""
    if not (out / LOG).exists():
        return set(), 0
    from schemas.codec import decode
    from schemas.run import AssistantSpoke, RunFailed, RunFinished, RunStarted, ToolReturned, UserSpoke
    from schemas.topics import RUN_EVENTS
    from services.kit.sqlite import read as records

    turns: set[tuple[str, int]] = set()
    opened: set[str] = set()
    for record in records(out / LOG, [RUN_EVENTS.name]):
        data = decode(RUN_EVENTS, record.key, record.headers, record.value).data
        if isinstance(data, RunStarted):
            opened.add(record.key)
        elif isinstance(data, UserSpoke | AssistantSpoke | ToolReturned):
            turns.add((record.key, data.turn))
        elif isinstance(data, RunFinished | RunFailed):
            opened.discard(record.key)
    return turns, len(opened)


def check_slots(where: Path | Source, trajectories: int, found: Findings) -> None:
    """Every slot up to the last admitted one ended once: admitted, rejected or abandoned."""
    ledger = Ledger.open(where, keep="nothing")
    admitted = [one.slot for one in ledger.admitted]
    ended = Counter(admitted)
    ended.update(one.slot for one in ledger.rejected if one.slot <= max(admitted, default=-1))
    ended.update(one.slot for one in ledger.abandoned if one.slot <= max(admitted, default=-1))
    lost = [slot for slot in range(max(admitted, default=-1) + 1) if slot not in ended]
    found.say(f"{len(admitted)} admitted of {max(admitted, default=-1) + 1} slots")
    found.expect(len(admitted) == trajectories, f"{len(admitted)} admitted, not {trajectories}")
    found.expect(not lost, f"slots lost: {lost[:10]}")
    doubled = [slot for slot, count in ended.items() if count > 1]
    found.expect(not doubled, f"slots doubled: {doubled[:10]}")


def check_requests(nonces: Path, kills: list[Kill], found: Findings) -> None:
    """No request was sent more often than once, plus the kills at which it was in flight."""
    sent = Counter(key_of(one) for one in requests(nonces))
    interrupted = Counter(key for kill in kills for key in kill.in_flight)
    too_often = [(key, count) for key, count in sent.items() if count > 1 + interrupted[key]]
    again = sum(count - 1 for count in sent.values())
    found.say(f"{len(sent)} requests, {again} sent again")
    found.expect(not too_often, f"sent more often than in flight: {too_often[:5]}")
