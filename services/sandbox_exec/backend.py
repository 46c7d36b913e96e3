"""The port of sandbox backends, and the one that is always there: it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from schemas.sandbox import CodeExecuted, ExecuteCode, SandboxAnnounced
from services.sandbox_exec.domain import refused

ADVICE: Final = "no safe backend on this machine, so code is not run and no slot aims at it"


class Backend(Protocol):
    """Runs code where it can do no harm."""

    def announcement(self) -> SandboxAnnounced:
        """What this backend can be counted on for."""

    async def execute(self, command: ExecuteCode, earlier: Sequence[ExecuteCode]) -> CodeExecuted:
        """Run one call in its run's session; ``earlier`` are the session's calls so far, in order."""


class RefusingBackend:
    """Fails closed: runs nothing, and says so."""

    def announcement(self) -> SandboxAnnounced:
        """Not safe, with the reason."""
        return SandboxAnnounced(backend="none", safe=False, reason=ADVICE)

    async def execute(self, command: ExecuteCode, earlier: Sequence[ExecuteCode]) -> CodeExecuted:  # noqa: ARG002
        """A refusal."""
        return refused(command, ADVICE)
