"""One run's live process in a jail: code in, what it did out.

Whatever comes out of the jail is taken for hostile: bounded in size and time, and checked before it becomes
an answer. What does not fit ends the session.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import struct
from typing import Any, Final

from schemas.sandbox import CodeExecuted, ExecuteCode, FileChanged, Outcome
from services.sandbox_exec import seccomp
from services.sandbox_exec.boot import worker
from services.sandbox_exec.jail import START_S, Jail, JailFailed, Seen
from services.sandbox_exec.limits import BREACHES, MAX_REASON, Limits
from services.sandbox_exec.text import visible

PATIENCE_S: Final = 5.0
"""How much longer than its wall time a call is waited for: its end, and the reading of its files."""
ANEW: Final = {"session_ended": False}
"""So that the end of the session is told with another reason."""
MAX_FRAME: Final = 2 * 1024 * 1024


class Session:
    """A started jail with its worker. One call at a time."""

    def __init__(self, jail: Jail, limits: Limits) -> None:
        self.jail = jail
        self.answers: dict[str, CodeExecuted] = {}
        """What the calls that were run did, in order."""
        self.ended = False
        self._limits = limits

    @classmethod
    async def open(cls, jail: Jail, limits: Limits) -> Session:
        """Send the worker into a jail, which ends where that fails.

        Raises:
            JailFailed: it does not start.
        """
        session = cls(jail, limits)
        setup = dataclasses.asdict(limits) | {"own_user": jail.native}
        setup["filter"] = "" if jail.native else seccomp.program().hex()
        try:
            jail.send(worker(compiled=jail.native))
            jail.send(_frame(setup))
            ready = await asyncio.wait_for(session._receive(), START_S)
            if "ready" not in ready:
                raise ValueError("nonsense")  # noqa: TRY301
            jail.enclose()
        except (TimeoutError, OSError, EOFError, ValueError):
            words = await jail.last_words()
            await session.end()
            raise JailFailed(
                f"the worker in the sandbox did not start: {words or 'it said nothing'}"
            ) from None
        except BaseException:
            await session.end()
            raise
        return session

    async def call(self, command: ExecuteCode) -> CodeExecuted:
        """Run one call. After a broken limit, or where the call took the session down, it is ended."""
        known = self.answers.get(command.call)
        if known is not None:
            return known
        before = await self.jail.seen()
        loop = asyncio.get_running_loop()
        began = loop.time()
        told: dict[str, Any]
        try:
            self.jail.send(_frame({"call": command.call, "language": command.language, "code": command.code}))
            told = await asyncio.wait_for(self._receive(), self._limits.wall_s + PATIENCE_S)
            answer = _answer(command, told)
        except TimeoutError:
            answer = self._broken(
                command, "timeout", f"more than {self._limits.wall_s:g} s", loop.time() - began
            )
        except (OSError, EOFError):
            answer = self._broken(command, "error", "the call took its own session down", loop.time() - began)
        except (ValueError, TypeError, KeyError, RecursionError):
            answer = self._broken(command, "error", "the session said nonsense", loop.time() - began)
        except BaseException:
            await self.end()
            raise
        answer = self._counted(answer, before, await self.jail.seen())
        if answer.session_ended:
            await self.end()
        self.answers[command.call] = answer
        if len(self.answers) >= self._limits.session_calls and not answer.session_ended:
            answer = self.answers[command.call] = _over(answer, f"after {self._limits.session_calls} calls")
            await self.end()
        return answer

    async def end(self) -> None:
        """Kill what is left of it. May be called twice."""
        self.ended = True
        await self.jail.end()

    def _broken(self, command: ExecuteCode, outcome: Outcome, reason: str, wall_s: float) -> CodeExecuted:
        """The answer where the worker gave none."""
        return _over(
            CodeExecuted(
                run=command.run,
                turn=command.turn,
                call=command.call,
                outcome=outcome,
                reason=reason,
                wall_s=wall_s,
            )
        )

    def _counted(self, answer: CodeExecuted, before: Seen, after: Seen) -> CodeExecuted:
        """The answer with what the kernel has seen: a limit that it enforced, and the peak."""
        changes: dict[str, Any] = {"peak_bytes": after.peak_bytes or answer.peak_bytes}
        if answer.outcome not in BREACHES and after.killed > before.killed:
            changes |= {"outcome": "memory_limit", "reason": "the session used up its memory"} | ANEW
        elif answer.outcome not in BREACHES and after.refused > before.refused:
            most = self._limits.processes
            changes |= {
                "outcome": "process_limit",
                "reason": f"more processes and threads than {most}",
            } | ANEW
        changed = answer.model_copy(update=changes)
        return _over(changed) if changed.outcome in BREACHES else changed

    async def _receive(self) -> dict[str, Any]:
        """The next frame.

        Raises:
            EOFError: there is none.
            ValueError: it is no JSON object, or too large.
        """
        size = struct.unpack(">I", await self.jail.receive(4))[0]
        if size > MAX_FRAME:
            raise ValueError("a frame that is too large")
        found = json.loads(await self.jail.receive(size))
        if not isinstance(found, dict):
            raise ValueError("no object")  # noqa: TRY004  (it is one case of bad content)
        return found


def _frame(content: dict[str, Any]) -> bytes:
    body = json.dumps(content).encode()
    return struct.pack(">I", len(body)) + body


def _answer(command: ExecuteCode, told: dict[str, Any]) -> CodeExecuted:
    """What the worker said, as an answer to this call.

    Raises:
        ValueError: it is none; TypeError and KeyError likewise.
    """
    if told["call"] != command.call:
        raise ValueError("an answer to another call")
    answer = CodeExecuted(
        run=command.run,
        turn=command.turn,
        call=command.call,
        outcome=told["outcome"],
        reason=visible(told["reason"])[:MAX_REASON],
        exit_code=told["exit_code"],
        stdout=visible(told["stdout"]),
        stderr=visible(told["stderr"]),
        stdout_bytes=told["stdout_bytes"],
        stderr_bytes=told["stderr_bytes"],
        files=tuple(
            FileChanged(path=visible(path), size_bytes=size, sha256=sha) for path, size, sha in told["files"]
        ),
        cpu_s=round(told["cpu_s"], 6),
        wall_s=round(told["wall_s"], 6),
        peak_bytes=told["peak_bytes"],
        stdout_truncated=told["stdout_truncated"],
        stderr_truncated=told["stderr_truncated"],
    )
    return _over(answer) if answer.outcome in BREACHES else answer


def _over(answer: CodeExecuted, why: str = "") -> CodeExecuted:
    """The answer, with which the session ends."""
    if answer.session_ended:
        return answer
    end = f"the session was ended{' ' + why if why else ''}: its files and variables are gone"
    reason = f"{answer.reason[: MAX_REASON - 200]}; {end}" if answer.reason else end
    return answer.model_copy(update={"reason": reason, "session_ended": True})
