"""Sessions: what lives from call to call, what ends them, and how they are made anew."""

from __future__ import annotations

import hashlib

import pytest

from tests.support.sandbox_box import Box


def test_variables_and_files_live_from_call_to_call(box: Box, run: str) -> None:
    box.call("import numpy as np\ntotals = np.arange(5)", run=run)
    answer = box.call("open('totals.txt', 'w').write(str(totals.sum())); totals.sum() + 1", run=run)
    assert (answer.outcome, answer.exit_code, answer.stdout) == ("ok", 0, "np.int64(11)\n")
    (made,) = answer.files
    assert (made.path, made.size_bytes, made.sha256) == ("totals.txt", 2, hashlib.sha256(b"10").hexdigest())
    assert answer.wall_s > 0
    assert answer.peak_bytes > 1 << 20
    assert box.call("cat totals.txt; rm totals.txt", language="bash", run=run).stdout == "10"
    failed = box.call("print('so far')\ntotals.nothing", run=run)
    assert (failed.outcome, failed.exit_code, failed.stdout) == ("error", 1, "so far\n")
    assert "AttributeError" in failed.stderr
    assert box.call("totals.sum()", run=run).stdout == "np.int64(10)\n"
    box.over(run)


def test_long_output_is_cut_and_counted(bubblewrap: Box, run: str) -> None:
    answer = bubblewrap.call("print('y' * 1_000_000)", run=run)
    assert answer.outcome == "ok"
    assert (answer.stdout_bytes, answer.stdout_truncated, answer.stderr_truncated) == (1_000_001, True, False)
    assert len(answer.stdout) == bubblewrap.limits.kept_bytes
    bubblewrap.over(run)


@pytest.mark.parametrize(
    ("code", "language", "outcome"),
    [
        ("import time; time.sleep(100)", "python", "timeout"),
        ("sleep 100", "bash", "timeout"),
        ("while True: pass", "python", "cpu_limit"),
        ("while :; do :; done", "bash", "cpu_limit"),
        ("open('big', 'wb').write(bytes(100 << 20))", "python", "disk_limit"),
        ("import threading, time\nfor _ in range(200): threading.Thread(target=time.sleep, args=[9]).start()",
         "python", "process_limit"),
        ("head -c 100000000 /dev/zero > big", "bash", "disk_limit"),
        ("yes", "bash", "output_limit"),
        ("import os; os.kill(os.getpid(), 9)", "python", "error"),
        ("kill -9 -1", "bash", "error"),
    ],
)  # fmt: skip
def test_each_limit_is_an_outcome_of_its_own(
    box: Box, run: str, code: str, language: str, outcome: str
) -> None:
    answer = box.call(code, language=language, run=run)
    assert answer.outcome == outcome, answer
    assert box.call("40 + 2", run=run).stdout == "42\n"
    box.over(run)


def test_a_call_seen_twice_runs_once(bubblewrap: Box, run: str) -> None:
    first = bubblewrap.call("import random; random.random()", run=run, name="once")
    bubblewrap.past[run].clear()
    assert bubblewrap.call("import random; random.random()", run=run, name="once") == first
    bubblewrap.over(run)


def test_a_lost_session_is_made_anew_by_its_calls(box: Box, run: str) -> None:
    box.call("kept = [1]", run=run)
    box.call("kept.append(2); open('f', 'w').write('x')", run=run)
    assert box.call("import time; time.sleep(100)", run=f"{run}-slow").session_ended
    box.over(run)
    answer = box.call("print(kept, open('f').read())", run=run)
    assert (answer.outcome, answer.stdout, answer.diverged) == ("ok", "[1, 2] x\n", False)
    after = box.call("print('anew')", run=f"{run}-slow")
    assert (after.outcome, after.stdout) == ("ok", "anew\n"), "what ended a session is not run again"
    box.over(run)
    box.over(f"{run}-slow")


def test_a_lost_session_that_does_otherwise_is_told(bubblewrap: Box, run: str) -> None:
    bubblewrap.call("import os; print(os.urandom(8).hex())", run=run)
    bubblewrap.over(run)
    answer = bubblewrap.call("1", run=run)
    assert (answer.outcome, answer.diverged) == ("refused", True)
    assert "gave another result" in answer.reason
    bubblewrap.over(run)


def test_sessions_are_bounded_and_made_anew(bubblewrap: Box, run: str) -> None:
    runs = [f"{run}-{number}" for number in range(bubblewrap.limits.sessions + 3)]
    for one in runs:
        bubblewrap.call(f"mine = {one!r}", run=one)
    assert [bubblewrap.call("print(mine)", run=one).stdout for one in runs] == [f"{one}\n" for one in runs]
    for one in runs:
        bubblewrap.over(one)
