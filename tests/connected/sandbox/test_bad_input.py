"""Results and calls that are no good: each is a clear error, and the session goes on."""

from __future__ import annotations

import pytest

from schemas.sandbox import ExecuteCode
from tests.support.sandbox_box import Box


@pytest.mark.parametrize(
    ("make", "language", "told"),
    [
        ("mkfifo result", "bash", "result is a FIFO"),
        ("ln -s /etc/passwd result", "bash", "result is a link"),
        ("import socket; socket.socket(1).bind('result')", "python", "result is a socket"),
        # a device cannot be made at all: see the attack
    ],
)
def test_a_result_that_is_no_file_is_told(box: Box, run: str, make: str, language: str, told: str) -> None:
    answer = box.call(make, language=language, run=run)
    assert answer.outcome == "error"
    assert told in answer.reason
    after = box.call("1 + 1", run=run)
    assert (after.outcome, after.stdout) == ("ok", "2\n")
    box.over(run)


@pytest.mark.parametrize(
    ("code", "language", "told"),
    [
        ("print('\ud800')", "python", "no Unicode text"),
        ("x" * 10_000_000, "python", "10000000 bytes, of at most"),
        ("print(1)\0", "python", "a NUL character"),
        ("echo 1\0", "bash", "a NUL character"),
        ("1", "cobol", "unknown language 'cobol': write python or bash"),
        ("", "python", "holds no code"),
        ("  \n\t", "bash", "holds no code"),
    ],
    ids=["half a surrogate", "10 MB", "NUL", "NUL in bash", "language", "empty", "blank"],
)
def test_bad_calls_are_refused_with_what_to_do(
    box: Box, run: str, code: str, language: str, told: str
) -> None:
    # Made without the checks that already keep most of this from a log.
    command = ExecuteCode.model_construct(run=run, turn=1, call="a", language=language, code=code)
    answer = box.loop.run_until_complete(box.backend.execute(command, ()))
    assert answer.outcome == "refused"
    assert told in answer.reason


def test_bytes_that_are_no_text_are_shown(box: Box, run: str) -> None:
    answer = box.call("printf '\\xff\\xfe ok\\n'; exit 3", language="bash", run=run)
    assert (answer.outcome, answer.exit_code) == ("error", 3)
    assert answer.stdout == "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER} ok\n"
    assert answer.stdout_bytes == 6
    box.over(run)


def test_an_interpreter_that_is_missing_is_told(box: Box, run: str) -> None:
    answer = box.call("fortran77 prog.f", language="bash", run=run)
    assert (answer.outcome, answer.exit_code) == ("error", 127)
    assert "command not found" in answer.stderr
    box.over(run)
