"""What the checks share: the ``tds`` command as a process, two campaigns, and a place for findings."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.console.api import Campaign
from services.console.ledger import LOG
from services.kit.sqlite import read

ROOT = Path(__file__).resolve().parents[2]
API_TOOLS = ROOT.parent / "shared" / "data" / "api_tools.jsonl.gz"
TDS = Path(sys.executable).with_name("tds")
ADMITTED = "tds.diversity.TrajectoryAdmitted."
Row = dict[str, Any]


class Skipped(Exception):  # noqa: N818  (no error: a statement of what did not happen)
    """The check cannot run here; the text says why."""


@dataclass
class Findings:
    """What one check measured, and what it found wrong."""

    figures: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def say(self, figure: str) -> None:
        self.figures.append(figure)

    def expect(self, holds: bool, otherwise: str) -> None:
        """``otherwise`` is wrong unless ``holds``."""
        if not holds:
            self.wrong.append(otherwise)


@dataclass(frozen=True)
class Done:
    """How a process ended. ``peak_mb`` is its largest resident set in 10^6 bytes."""

    code: int
    out: str
    err: str
    seconds: float
    peak_mb: float

    def json(self) -> Any:
        """What it printed with ``--json``."""
        return json.loads(self.out)

    def tail(self) -> str:
        """The end of what it complained of, in one line."""
        return " ".join(self.err.split())[-400:]


@dataclass(frozen=True)
class Made:
    """A campaign that was run to its end. Times in seconds since the command was typed."""

    folder: Path
    done: Done
    first_admitted_s: float

    @property
    def dataset(self) -> Path:
        return self.folder / "dataset.jsonl"

    def rows(self) -> list[Row]:
        return rows_of(self.dataset)

    @property
    def campaign(self) -> Campaign:
        return Campaign(self.folder)


class Process:
    """A ``tds`` process under way. Its output goes to files, so that no pipe fills up."""

    def __init__(self, arguments: Sequence[str], folder: Path, environ: Mapping[str, str] | None) -> None:
        self._arguments = tuple(arguments)
        folder.mkdir(parents=True, exist_ok=True)
        number = len(list(folder.glob("*.out")))
        self._out, self._err = folder / f"{number:03d}.out", folder / f"{number:03d}.err"
        # The caller's own TDS_ settings are no part of a check.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("TDS_")}
        self.begun_s = time.time()
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._popen = subprocess.Popen(
                [str(TDS), *arguments], cwd=ROOT, stdout=out, stderr=err, env={**kept, **(environ or {})}
            )
        self.done: Done | None = None

    def poll(self) -> Done | None:
        """How it ended, or None while it runs."""
        if self.done is None:
            pid, status, usage = os.wait4(self._popen.pid, os.WNOHANG)
            if pid:
                code = self._popen.returncode = os.waitstatus_to_exitcode(status)
                out, err = (one.read_text("utf-8", errors="replace") for one in (self._out, self._err))
                peak_mb = usage.ru_maxrss * 1024 / 1e6  # the kernel counts in KiB
                self.done = Done(code, out, err, time.time() - self.begun_s, peak_mb)
        return self.done

    def wait(self, timeout_s: float) -> Done:
        """How it ended.

        Raises:
            TimeoutError: it has not, and was killed.
        """
        deadline = time.monotonic() + timeout_s
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.send(signal.SIGKILL)
                raise TimeoutError(f"tds {' '.join(self._arguments)} did not end in {timeout_s:.0f} s")
            time.sleep(0.01)
        assert self.done is not None
        return self.done

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, and after SIGKILL wait until it is gone."""
        if self.poll() is None:
            os.kill(self._popen.pid, number)
            while number == signal.SIGKILL and self.poll() is None:
                time.sleep(0.002)


class Bench:
    """Where checks run: at full size or at CI size, in a folder of their own."""

    def __init__(self, folder: Path, *, full: bool) -> None:
        self.folder = folder
        self.full = full
        self._made: dict[str, Made] = {}

    def size(self, full: int, ci: int) -> int:
        return full if self.full else ci

    def place(self, name: str) -> Path:
        """A folder for one check."""
        made = self.folder / name
        made.mkdir(parents=True, exist_ok=True)
        return made

    @contextlib.contextmanager
    def started(self, *arguments: object, environ: Mapping[str, str] | None = None) -> Iterator[Process]:
        """``tds arguments`` under way; it is killed if it still runs at the end of the block."""
        process = Process([str(one) for one in arguments], self.folder / "output", environ)
        try:
            yield process
        finally:
            process.send(signal.SIGKILL)

    def tds(
        self, *arguments: object, environ: Mapping[str, str] | None = None, timeout_s: float = 900.0
    ) -> Done:
        """``tds arguments``, run to its end."""
        with self.started(*arguments, environ=environ) as process:
            return process.wait(timeout_s)

    def make(self, folder: Path, *arguments: object, environ: Mapping[str, str] | None = None) -> Made:
        """A campaign in a new folder, run to its end."""
        with self.started("run", "--out", folder, "--json", *arguments, environ=environ) as process:
            done = process.wait(1800.0)
            return Made(folder, done, first_admitted_s(folder, process.begun_s))

    def demo(self) -> Made:
        """The campaign of ``make demo``, made once."""
        number = self.size(100, 40)
        return self._once("demo", "--trajectories", number, "--seed", 7)

    def real_apis(self) -> Made:
        """The campaign on 25,539 tools of real APIs, made once."""
        number = self.size(300, 40)
        return self._once("real_apis", "--catalog", API_TOOLS, "--trajectories", number, "--seed", 7)

    def _once(self, name: str, *arguments: object) -> Made:
        if name == "real_apis" and not API_TOOLS.exists():
            raise Skipped(f"there is no {API_TOOLS}")
        if name not in self._made:
            self._made[name] = self.make(self.folder / name, *arguments)
        made = self._made[name]
        if made.done.code != 0:
            raise RuntimeError(f"the campaign {name} ended with {made.done.code}: {made.done.tail()}")
        return made


def first_admitted_s(folder: Path, begun_s: float) -> float:
    """Seconds from ``begun_s`` (Unix time) to the first TrajectoryAdmitted of a log; infinite if none."""
    from datetime import datetime

    if (folder / LOG).exists():
        for record in read(folder / LOG, ["tds.diversity.events"]):
            if record.headers["ce_type"].startswith(ADMITTED):
                return datetime.fromisoformat(record.headers["ce_time"]).timestamp() - begun_s
    return float("inf")


def rows_of(path: Path) -> list[Row]:
    """All rows of a dataset's file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]
