"""sandbox-exec: one answer for every command of a run, in order, until the run ends."""

from __future__ import annotations

from dataclasses import dataclass, replace

from schemas.envelope import Envelope
from schemas.run import RunFailed, RunFinished
from schemas.sandbox import CodeExecuted, ExecuteCode
from services.kit.service import Closed, Perform, Step, Wait


@dataclass(frozen=True, slots=True)
class Execute:
    """Effect: run this code in its run's session. ``earlier`` are the calls the session has seen."""

    command: ExecuteCode
    earlier: tuple[ExecuteCode, ...]


@dataclass(frozen=True, slots=True)
class Session:
    """A run's calls of the code tool, and which of them are answered."""

    run: str
    commands: tuple[ExecuteCode, ...] = ()
    answered: frozenset[str] = frozenset()
    ended: bool = False


def initial(run: str) -> Session:
    """No call yet."""
    return Session(run)


def evolve(session: Session, envelope: Envelope) -> Session:
    """Fold one event; a command seen twice counts once."""
    data = envelope.data
    if isinstance(data, ExecuteCode):
        if any(command.call == data.call for command in session.commands):
            return session
        return replace(session, commands=(*session.commands, data))
    if isinstance(data, CodeExecuted):
        return replace(session, answered=session.answered | {data.call})
    if isinstance(data, RunFinished | RunFailed):
        return replace(session, ended=True)
    return session


def next_step(session: Session, _reference: object) -> Step:
    """The oldest call without an answer; after the end of the run, nothing."""
    if session.ended:
        return Closed()
    for index, command in enumerate(session.commands):
        if command.call not in session.answered:
            return Perform(Execute(command, session.commands[:index]))
    return Wait("a call")


def refused(command: ExecuteCode, reason: str) -> CodeExecuted:
    """The answer to a call that is not run."""
    return CodeExecuted(
        run=command.run, turn=command.turn, call=command.call, outcome="refused", reason=reason
    )
