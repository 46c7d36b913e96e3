"""Wiring of sandbox-exec on the backend that the root has chosen, which is never a weaker one in silence."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.run import RunFailed, RunFinished
from schemas.sandbox import CodeExecuted, ExecuteCode
from schemas.topics import RUN_EVENTS, SANDBOX_COMMANDS, SANDBOX_EVENTS
from services.kit.kafka.hosting import on_kafka
from services.kit.service import Draft, Performer
from services.sandbox_exec import domain
from services.sandbox_exec.backend import Backend, RefusingBackend
from services.sandbox_exec.choice import choose
from services.sandbox_exec.domain import Execute, Session
from services.sandbox_exec.limits import MAX_REASON


def service(backend: Backend | None = None) -> Performer:
    """The sandbox-exec on ``backend``; without one, code is refused."""
    backend = backend or RefusingBackend()
    announcement = backend.announcement()

    async def perform(effect: Execute) -> Sequence[Draft]:
        executed = await backend.execute(effect.command, effect.earlier)
        return [Draft(effect.command.run, executed)]

    return Performer(
        name="sandbox-exec",
        lead=SANDBOX_COMMANDS,
        inputs=(SANDBOX_COMMANDS, SANDBOX_EVENTS, RUN_EVENTS),
        initial=domain.initial,
        evolve=domain.evolve,
        next_step=domain.next_step,
        perform=perform,
        gave_up=gave_up,
        folds=frozenset({ExecuteCode, CodeExecuted, RunFinished, RunFailed}),
        announce=(Draft(announcement.backend, announcement),),
        let_go=backend.let_go,
        stop=backend.stop,
    )


def gave_up(_session: Session, effect: Execute, error: BaseException) -> Sequence[Draft]:
    """The backend raised for the last time: the call is refused, with the reason."""
    refusal = domain.refused(effect.command, f"the sandbox failed: {error!r}"[:MAX_REASON])
    return [Draft(effect.command.run, refusal)]


def chosen() -> Performer:
    """The sandbox-exec on the safest backend that this machine has."""
    return service(choose())


__getattr__ = on_kafka(chosen)
