"""What a person is told when something cannot be done: what, where, what to do; and the exit code."""

from __future__ import annotations

import json
import sys
from typing import Any, Final

DONE: Final = 0
FAILED: Final = 1
"""The job could not be done, or fell short."""
USAGE: Final = 2
"""What was asked for makes no sense, or its input is bad."""
INTERRUPTED: Final = 130


class UserError(Exception):
    """A mistake that a person can mend. ``advice`` says how; ``code`` is the exit code."""

    def __init__(self, what: str, advice: str = "", *, code: int = USAGE) -> None:
        super().__init__(sentence(what, advice))
        self.what = what
        self.advice = advice
        self.code = code


def sentence(what: str, advice: str = "") -> str:
    """``what. Advice``: two sentences, the last without its full stop."""
    parts = [part.strip().rstrip(".") for part in (what, advice[:1].upper() + advice[1:]) if part.strip()]
    return ". ".join(parts)


def explain(error: BaseException) -> tuple[str, int] | None:
    """The text and the exit code for an error that a user can do something about; None for any other."""
    import sqlite3

    from services.kit.log import LogError
    from services.kit.models.chat import ModelFailed

    if isinstance(error, UserError):
        return str(error), error.code
    if isinstance(error, LogError):
        return str(error), FAILED
    if isinstance(error, ModelFailed):
        advice = "mend that, or choose another with --model ROLE=MODEL"
        code = FAILED if error.infrastructure else USAGE
        return sentence(f"the model cannot be used ({error.code}): {error.detail}", advice), code
    if isinstance(error, sqlite3.Error):
        advice = "if a run has just begun there, try again in a moment"
        return sentence(f"the event log cannot be read: {error}", advice), FAILED
    if isinstance(error, OSError):
        where = f" {error.filename}" if error.filename else ""
        what = f"cannot read or write{where}: {error.strerror or error}"
        return sentence(what, "check the path, its permissions and the space left"), FAILED
    usage = getattr(error, "format_message", None)
    if callable(usage):  # the command line's own complaints about flags and arguments
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "tds"
        return sentence(str(usage()), f"See `{path} --help`"), USAGE
    if type(error).__name__ == "Stalled":
        return str(error), FAILED
    return None


def complain(text: str, kind: str = "error") -> None:
    """Say it on stderr."""
    sys.stderr.write(f"{kind}: {text}\n")
    sys.stderr.flush()


def print_json(value: Any) -> None:
    """One JSON value, in one line, on stdout."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
    sys.stdout.flush()
