"""What a call and a session may use at most. Every breach is an outcome of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

MIB: Final = 1024 * 1024

MAX_REASON: Final = 2000
"""Characters of an answer's reason."""
BREACHES: Final = frozenset(
    {"timeout", "cpu_limit", "memory_limit", "process_limit", "output_limit", "disk_limit"}
)
"""Outcomes that end the session: files and variables are gone, and the next call begins anew."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one call, and of its session. What of a call's output is beyond ``kept_bytes`` is cut off."""

    wall_s: float = 20.0
    cpu_s: float = 10.0
    memory_bytes: int = 1024 * MIB
    """Of one process its address space; of all together what they really take."""
    processes: int = 64
    """Processes and threads at once."""
    processors: float = 1.0
    """What a container may take of processors; the others are bounded by processor time."""
    open_files: int = 256
    file_bytes: int = 64 * MIB
    work_bytes: int = 64 * MIB
    """Size of the work folder; the folder for temporary files has a quarter of it."""
    files: int = 2000
    """Files in each of these folders."""
    output_bytes: int = 16 * MIB
    kept_bytes: int = 48 * 1024
    code_bytes: int = 100_000
    listed_files: int = 64
    session_wall_s: float = 300.0
    session_cpu_s: float = 120.0
    session_calls: int = 200
    idle_s: float = 300.0
    sessions: int = 64
    """Sessions at once in one service."""
    calls: int = 8
    """Calls under way at once in one service."""
