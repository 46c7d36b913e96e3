"""Code to run, and what came of it. Owner of the answers: sandbox-exec."""

from __future__ import annotations

from typing import ClassVar, Literal

from schemas.envelope import Message, Value

Outcome = Literal[
    "ok",
    "error",
    "refused",
    "timeout",
    "cpu_limit",
    "memory_limit",
    "process_limit",
    "output_limit",
    "disk_limit",
]


class ExecuteCode(Message):
    """Command: run this code in the run's session. ``call`` is the tool call's id."""

    FAMILY: ClassVar[str] = "sandbox"
    run: str
    turn: int
    call: str
    language: str
    code: str


class FileChanged(Value):
    """A file of the work folder that a call made or changed; ``sha256`` is empty when it is gone."""

    path: str
    size_bytes: int
    sha256: str = ""


class CodeExecuted(Message):
    """What one call did. ``outcome`` other than ``ok`` is a tool error that the assistant sees."""

    FAMILY: ClassVar[str] = "sandbox"
    run: str
    turn: int
    call: str
    outcome: Outcome
    reason: str = ""
    exit_code: int | None = None
    stdout: str = ""
    stderr: str = ""
    stdout_bytes: int = 0
    stderr_bytes: int = 0
    files: tuple[FileChanged, ...] = ()
    cpu_s: float = 0.0
    wall_s: float = 0.0
    peak_bytes: int = 0
    stdout_truncated: bool = False
    """``stdout`` is a beginning of what was written, which ``stdout_bytes`` is the whole size of."""
    stderr_truncated: bool = False
    session_ended: bool = False
    """The session ended with this call: its files and variables are gone, the next call begins anew."""
    diverged: bool = False
    """The session was lost, and one of its calls did not do the same again: this call was not run."""


class SandboxAnnounced(Message):
    """What a sandbox backend can be counted on for. ``safe`` false: every call will be refused."""

    FAMILY: ClassVar[str] = "sandbox"
    backend: str
    safe: bool
    languages: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    """Name and version of each package that code may import beside the standard library."""
    reason: str = ""
