"""Keeps a session a run on jails of any kind, within bounds, and leaves nothing when it is over."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import structlog

from schemas.sandbox import CodeExecuted, ExecuteCode, SandboxAnnounced
from services.sandbox_exec.domain import Past, alive, fingerprint, refused
from services.sandbox_exec.jail import Jailer
from services.sandbox_exec.limits import Limits
from services.sandbox_exec.session import Session

log = structlog.get_logger(__name__)

LANGUAGES: Final = ("python", "bash")


@dataclass(slots=True)
class Held:
    """What is held for a run: its session, once there is one."""

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    session: Session | None = None
    used: float = 0.0


class Keeper:
    """Runs code in the jails of ``jailer``.

    Some are started ahead, so that a run's first call finds one ready; each is given to one run and never to
    another.
    """

    def __init__(self, jailer: Jailer, limits: Limits) -> None:
        self.limits = limits
        self.jailer = jailer
        self._held: dict[str, Held] = {}
        self._calls = asyncio.Semaphore(limits.calls)
        self._spares: deque[asyncio.Task[Session]] = deque()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._idle: asyncio.Task[None] | None = None
        self._stopped = False

    def announcement(self) -> SandboxAnnounced:
        """Safe, with what code finds there."""
        made = self.jailer
        return SandboxAnnounced(
            backend=made.name, safe=True, languages=made.languages, packages=made.packages
        )

    async def execute(self, command: ExecuteCode, earlier: Sequence[Past]) -> CodeExecuted:
        """Run one call; a lost session is made anew from ``earlier`` first.

        Raises:
            JailFailed: no sandbox can be started.
        """
        fault = self._fault(command)
        if fault:
            return refused(command, fault)
        self._watch_idle()
        held = self._held.setdefault(command.run, Held())
        async with held.lock, self._calls:
            held.used = asyncio.get_running_loop().time()
            try:
                return await self._execute(held, command, alive(tuple(earlier)))
            finally:
                held.used = asyncio.get_running_loop().time()
                if held.session is not None and held.session.ended:
                    ended, held.session = held.session, None
                    await ended.end()
                if held.session is None and self._held.get(command.run) is held:
                    del self._held[command.run]

    async def _execute(self, held: Held, command: ExecuteCode, earlier: Sequence[Past]) -> CodeExecuted:
        session = held.session
        if session is not None and command.call in session.answers:
            return session.answers[command.call]
        if session is not None and list(session.answers) != [past.command.call for past in earlier]:
            await session.end()
            session = held.session = None
        if session is None:
            session = held.session = await self._opened()
            for past in earlier:
                again = await session.call(past.command)
                if session.ended or fingerprint(again) != past.answer.fingerprint:
                    await session.end()
                    reason = (
                        f"the session was lost, and call {past.command.call} gave another result when rerun"
                    )
                    return refused(command, reason, diverged=True)
        return await session.call(command)  # where it ended the session, ``execute`` takes it from there

    def let_go(self, run: str) -> None:
        """The run is over here: its session is ended, after a call that is under way."""
        held = self._held.pop(run, None)
        if held is not None:
            self._begin(self._over(held))

    async def stop(self) -> None:
        """End every session; nothing is left."""
        if self._stopped:
            return
        self._stopped = True
        if self._idle is not None:
            self._idle.cancel()
        ending = [self._over(held) for held in self._held.values()]
        self._held.clear()
        await asyncio.gather(*ending, *self._tasks, return_exceptions=True)
        for spare in self._spares:
            with contextlib.suppress(Exception):
                await (await spare).end()
        self.jailer.close()

    @property
    def sessions(self) -> int:
        """Sessions that live, without those that are ready for the next runs."""
        return sum(held.session is not None for held in self._held.values())

    def _fault(self, command: ExecuteCode) -> str:
        """What is wrong with a call that is not even tried."""
        languages = self.jailer.languages
        if command.language not in LANGUAGES:
            return f"unknown language {command.language[:40]!r}: write {' or '.join(languages)}"
        if command.language not in languages:
            return f"{command.language} is not installed here: write {' or '.join(languages)}"
        if not command.code.strip():
            return "the call holds no code: put it into the argument code"
        if "\0" in command.code:
            return (
                "the code holds a NUL character, which no source may: leave it out, or spell it as an escape"
            )
        try:
            size = len(command.code.encode())
        except UnicodeEncodeError as error:
            return f"the code is no Unicode text, see character {error.start}: half a surrogate pair"
        if size > self.limits.code_bytes:
            return (
                f"the code has {size} bytes, of at most {self.limits.code_bytes}: send less, in several calls"
            )
        return ""

    async def _opened(self) -> Session:
        """A session that nobody has used: a spare one, or a new one. Room is made for it first."""
        while self.sessions >= self.limits.sessions:
            idle = [one for one in self._held.items() if one[1].session and not one[1].lock.locked()]
            if not idle:
                break
            run, held = min(idle, key=lambda one: one[1].used)
            del self._held[run]
            await self._over(held)
        session = None
        if self._spares:
            spare = self._spares.popleft()
            try:
                session = await asyncio.shield(spare)
            except asyncio.CancelledError:
                self._spares.appendleft(spare)
                raise
            except Exception as error:  # noqa: BLE001  (a new one may start)
                log.warning("the spare sandbox did not start", error=repr(error))
        if session is not None and not session.jail.alive():
            await session.end()
            session = None
        if session is None:
            session = await self._started()
        while len(self._spares) < self.jailer.ready and not self._stopped:
            self._spares.append(self._begin(self._started()))
        return session

    async def _started(self) -> Session:
        return await Session.open(await self.jailer.start(), self.limits)

    async def _over(self, held: Held) -> None:
        async with held.lock:
            session, held.session = held.session, None
            if session is not None:
                await session.end()

    def _begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.warning("sandbox", error=repr(task.exception()))

    def _watch_idle(self) -> None:
        if self._idle is None:
            self._idle = asyncio.get_running_loop().create_task(self._end_idle())

    async def _end_idle(self) -> None:
        """End sessions that nobody has used for long: they can be made anew."""
        while True:
            await asyncio.sleep(self.limits.idle_s / 4)
            now = asyncio.get_running_loop().time()
            for run, held in list(self._held.items()):
                if not held.lock.locked() and now - held.used > self.limits.idle_s:
                    self.let_go(run)
