"""Line 9: bad input is answered by what, where and what to do, with an exit code; nothing is lost."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
import subprocess
import time
import unicodedata
from pathlib import Path

from services.console.ledger import LOG
from tests.release.bad_catalogs import catalogs, write
from tests.release.bench import Bench, Done, Findings, Made, Skipped, rows_of
from tests.validator.report import Thresholds, validate

DISK = "1200k"
NUMBER = ("--trajectories", "12", "--seed", "3", "--generation-size", "6")
SLOW = "all=sim?latency=0.1:0.3"


def check(bench: Bench, found: Findings) -> None:
    folder = bench.place("bad_input")
    cases = 0
    for catalog in catalogs():
        path, out = write(catalog, folder), folder / f"out-{catalog.name}"
        made = bench.make(out, "--catalog", path, "--trajectories", 4, "--seed", 1)
        says(made.done, catalog.name, catalog.says, found, code=0 if catalog.usable else 2)
        if catalog.usable and made.done.code == 0:
            clean_rows(made, catalog.name, found)
        found.expect(catalog.usable or not out.exists(), f"{catalog.name}: left {out.name} behind")
        cases += 1
    for model, words in (
        ("all=gpt-unheard-of", ("gpt-unheard-of", "planner", "--model")),
        ("assistant=sim?x=1", ("x=1", "assistant", "latency")),
        ("pilot=sim", ("pilot", "assistant", "--model")),
    ):
        done = bench.tds("run", "--out", folder / "model", *NUMBER, "--model", model)
        says(done, model, words, found, code=2)
        found.expect(not (folder / "model").exists(), f"{model}: left a folder behind")
        cases += 1
    reference = bench.make(folder / "reference", *NUMBER)
    newer_logs(bench, folder, reference, found)
    second_runs(bench, folder, reference, found)
    found.say(f"{cases + 2 + 3} cases")
    full_disk(bench, folder, reference, found)


def says(done: Done, what: str, words: tuple[str, ...], found: Findings, *, code: int) -> None:
    """The exit code, the words of the complaint, and no traceback."""
    found.expect(done.code == code, f"{what}: exit code {done.code}, not {code}: {done.tail()}")
    missing = [word for word in words if word not in done.err]
    found.expect(not missing, f"{what}: does not say {missing}: {done.tail()}")
    found.expect("Traceback" not in done.err, f"{what}: a traceback: {done.tail()}")


def clean_rows(made: Made, what: str, found: Findings) -> None:
    """All asked for are there, valid, and no control character has come through."""
    report = validate(made.dataset, Thresholds(0, 0, 1))
    found.expect(report.rows == 4 and report.passed, f"{what}: {report.rows} rows, {dict(report.violations)}")
    odd = {
        unicodedata.name(character, hex(ord(character)))
        for row in made.rows()
        for text in (json.dumps([row["tools"], row["messages"]], ensure_ascii=False),)
        for character in text
        if unicodedata.category(character) in ("Cc", "Cf") and character not in "\n\t"
    }
    found.expect(not odd, f"{what}: control characters in the export: {odd}")


def newer_logs(bench: Bench, folder: Path, reference: Made, found: Findings) -> None:
    """A file of a newer layout, and a known layout with a newer event: refused by all, and left as it is."""
    for name, statement in (
        ("newer_file", "PRAGMA user_version = 99"),
        (
            "newer_event",
            """UPDATE record SET headers = replace(replace(headers, '.v2"', '.v99"'), '.v1"', '.v99"')
               WHERE position = (SELECT max(position) FROM record WHERE topic = 'tds.run.events')""",
        ),
    ):
        out = folder / name
        shutil.copytree(reference.folder, out)
        with sqlite3.connect(out / LOG) as connection:
            connection.execute(statement)
        connection.close()
        before = digest(out / LOG)
        for arguments in (
            ("run", "--resume", out),
            ("status", out),
            ("export", out, "--to", folder / "x.jsonl"),
            ("replay", out, "--verify"),
        ):
            done = bench.tds(*arguments)
            says(done, f"{name}: {arguments[0]}", (str(out), "version", "upgrade"), found, code=1)
        found.expect(digest(out / LOG) == before, f"{name}: the log was changed")


def second_runs(bench: Bench, folder: Path, reference: Made, found: Findings) -> None:
    """A second run is refused beside a first, which ends as if alone, and after it."""
    out = folder / "first"
    arguments = ("run", "--out", out, "--json", *NUMBER, "--model", SLOW)
    with bench.started(*arguments) as first:
        while not (out / LOG).exists() or not (out / LOG).stat().st_size:
            if first.poll() is not None:
                raise RuntimeError(f"the first run ended: {first.poll()}")
            time.sleep(0.02)
        time.sleep(0.3)
        beside = bench.tds("run", "--resume", out)
        anew = bench.tds("run", "--out", out, *NUMBER)
        found.expect(first.poll() is None, "the first run had ended before the second was tried")
        says(beside, "resume beside a run", (str(out), "another process"), found, code=1)
        says(anew, "run beside a run", (str(out), "already holds", "--resume"), found, code=2)
        done = first.wait(300.0)
    found.expect(done.code == 0, f"the first run ended with {done.code}: {done.tail()}")
    same = (out / "dataset.jsonl").read_bytes() == reference.dataset.read_bytes()
    found.expect(same, "the first run's rows are others than without a second")
    again = bench.tds("run", "--out", out, *NUMBER)
    says(again, "run after a run", (str(out), "already holds", "--resume"), found, code=2)
    found.expect((out / "dataset.jsonl").read_bytes() == reference.dataset.read_bytes(), "rows were changed")


def full_disk(bench: Bench, folder: Path, reference: Made, found: Findings) -> None:
    """A full disk stops the campaign with a reason; with space again it goes on to the same bytes."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(disk)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        raise Skipped(f"no small disk can be mounted: {mounted.stderr.strip()}")
    try:
        out = disk / "campaign"
        (disk / "ballast").write_bytes(bytes(500_000))
        done = bench.tds("run", "--out", out, *NUMBER)
        says(done, "full disk", (str(out / LOG), "is full", "free some space", "--resume"), found, code=1)
        kept = bench.tds("status", out, "--json")
        (disk / "ballast").unlink()
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True, capture_output=True)
        resumed = bench.tds("run", "--resume", out)
        found.expect(resumed.code == 0, f"full disk: resume ends with {resumed.code}: {resumed.tail()}")
        same = (out / "dataset.jsonl").read_bytes() == reference.dataset.read_bytes()
        found.expect(same, "full disk: other rows than without it")
        held = kept.json()["log"]["records"] if kept.code == 0 else f"nothing ({kept.tail()})"
        found.say(
            f"disk full after {held} records, resumed to the same {len(rows_of(out / 'dataset.jsonl'))} rows"
        )
    finally:
        subprocess.run(["umount", disk], check=True)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
