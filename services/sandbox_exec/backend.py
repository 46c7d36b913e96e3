"""The port of sandbox backends, and the one that is always there: it refuses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from schemas.sandbox import CodeExecuted, ExecuteCode, SandboxAnnounced
from services.sandbox_exec.domain import Past, refused

ADVICE: Final = "no safe backend on this machine, so code is not run and no slot aims at it"


class Backend(Protocol):
    """Runs code where it can do no harm."""

    def announcement(self) -> SandboxAnnounced:
        """What this backend can be counted on for."""

    async def execute(self, command: ExecuteCode, earlier: Sequence[Past]) -> CodeExecuted:
        """Run one call in its run's session; ``earlier`` are the session's calls so far, in order."""

    def let_go(self, run: str) -> None:
        """The run is over here: its session may end. Returns at once."""

    async def stop(self) -> None:
        """End every session: nothing of any is left. Called once, at the end."""


class RefusingBackend:
    """Fails closed: runs nothing, and says so."""

    def __init__(self, advice: str = ADVICE) -> None:
        self.advice = advice

    def announcement(self) -> SandboxAnnounced:
        """Not safe, with the reason."""
        return SandboxAnnounced(backend="none", safe=False, reason=self.advice)

    async def execute(self, command: ExecuteCode, earlier: Sequence[Past]) -> CodeExecuted:  # noqa: ARG002
        """A refusal."""
        return refused(command, self.advice)

    def let_go(self, run: str) -> None:
        """Nothing is held."""

    async def stop(self) -> None:
        """Nothing is there to end."""
