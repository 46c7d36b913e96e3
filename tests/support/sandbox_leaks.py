"""Sandboxes started and ended in great numbers, and killed at random moments: what they leave behind.

    python -m tests.support.sandbox_leaks [--backend bubblewrap] [--runs 10000] [--kills 2000] [--seed 1]

Exits with 1 where a process, a mount, a control group, a container, a folder or a file descriptor is left
over.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from schemas.sandbox import ExecuteCode
from services.sandbox_exec import slots
from services.sandbox_exec.bubblewrap import Bubblewrap
from services.sandbox_exec.keeper import Keeper
from services.sandbox_exec.limits import Limits
from tests.support.sandbox_box import BACKENDS, containers, keeper

AT_ONCE = 4
SETTLED_S = 5.0
CODE = (
    ("python", "open('a', 'w').write('x'); print(sum(range(100)))"),
    ("bash", "sleep 100 & echo x > b; echo 4950"),
    ("python", "import subprocess; subprocess.Popen(['sleep', '100'], start_new_session=True); 4950"),
)


def standing(backend: Keeper) -> dict[str, Any]:
    """What could be left over, as it is now; of the engine's, and of groups, what is sandboxes'."""
    jailer = backend.jailer
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    found: dict[str, Any] = {
        "mounts": len([one for one in mounts if "docker" not in one]),
        "folders": len([*Path(tempfile.gettempdir()).glob("*sandbox*")]),
        "file descriptors": len([*Path("/proc/self/fd").iterdir()]),
    }
    if isinstance(jailer, Bubblewrap):
        users = jailer.users
        named = {str(one) for one in users}
        found["processes"] = len(slots.processes(users)) if users else len(children())
        found["control groups"] = sum(
            "tds-sandbox" in folder and (not named or Path(folder).name in named)
            for folder, _, _ in os.walk("/sys/fs/cgroup")
        )
    else:
        found["containers"] = len(containers())
        found["gVisor's processes"] = kernels()
    return found


def kernels() -> int:
    """Processes of gVisor on this machine."""
    count = 0
    for one in Path("/proc").iterdir():
        try:
            count += one.name.isdigit() and b"runsc" in (one / "cmdline").read_bytes()
        except OSError:
            continue
    return count


def children() -> list[str]:
    """Children of this process, and what came to be nobody's."""
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()


async def run_once(backend: Keeper, number: int) -> None:
    """A whole run: one call, and its end."""
    language, code = CODE[number % len(CODE)]
    command = ExecuteCode(run=f"leak.{number}", turn=1, call="a", language=language, code=code)
    answer = await backend.execute(command, ())
    assert (answer.outcome, answer.stdout) == ("ok", "4950\n"), answer
    backend.let_go(command.run)


async def kill_once(backend: Keeper, number: int, drawn: random.Random, within_s: float) -> None:
    """A run that is given up at a random moment: from before its sandbox stands until after its call."""
    command = ExecuteCode(
        run=f"kill.{number}",
        turn=1,
        call="a",
        language="python",
        code="import os; os.fork(); import time; time.sleep(5)",
    )
    work = asyncio.ensure_future(backend.execute(command, ()))
    await asyncio.sleep(drawn.uniform(0, within_s))
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    backend.let_go(command.run)


async def measured(kind: str, runs: int, kills: int, seed: int) -> dict[str, tuple[int, int]]:
    """What is left over after so many runs and kills: of each kind how many before and after."""
    limits = Limits(calls=AT_ONCE)
    backend = keeper(kind, limits)
    await run_once(backend, 0)
    await backend.stop()
    backend = keeper(kind, limits)
    before = standing(backend)
    drawn, began = random.Random(seed), time.monotonic()
    within_s = 0.08 if kind == "bubblewrap" else 0.8
    for start in range(0, runs, AT_ONCE):
        await asyncio.gather(*(run_once(backend, one) for one in range(start, min(start + AT_ONCE, runs))))
    print(f"{kind}: {runs} runs in {time.monotonic() - began:.1f} s")
    began = time.monotonic()
    for start in range(0, kills, AT_ONCE):
        some = range(start, min(start + AT_ONCE, kills))
        await asyncio.gather(*(kill_once(backend, one, drawn, within_s) for one in some))
    print(f"{kind}: {kills} kills in {time.monotonic() - began:.1f} s")
    await backend.stop()
    until = time.monotonic() + SETTLED_S
    while left(found := both(before, standing(backend))) and time.monotonic() < until:
        await asyncio.sleep(0.1)
    return found


def both(before: dict[str, int], after: dict[str, int]) -> dict[str, tuple[int, int]]:
    return {kind: (before[kind], after[kind]) for kind in before}


def left(found: dict[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """What there is more of than before."""
    return {kind: counts for kind, counts in found.items() if counts[1] > counts[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--backend", choices=BACKENDS, default="bubblewrap")
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=2_000)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    found = asyncio.run(measured(given.backend, given.runs, given.kills, given.seed))
    for kind, (before, after) in found.items():
        print(f"{kind}: {before} before, {after} after")
    sys.exit(bool(left(found)))


if __name__ == "__main__":
    main()
