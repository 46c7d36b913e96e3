"""sandbox-exec: one answer for every command of a run, in order, until the run ends."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace

from schemas.envelope import Envelope
from schemas.run import RunFailed, RunFinished
from schemas.sandbox import CodeExecuted, ExecuteCode
from services.kit.service import Closed, Perform, Step, Wait


@dataclass(frozen=True, slots=True)
class Answer:
    """What is kept of an answer: whether its call was run, what it did, whether the session ended with it."""

    call: str
    ran: bool
    fingerprint: str
    ended: bool


@dataclass(frozen=True, slots=True)
class Past:
    """A call that the session has seen, and its recorded answer."""

    command: ExecuteCode
    answer: Answer


@dataclass(frozen=True, slots=True)
class Execute:
    """Effect: run this code in its run's session. ``earlier`` are the calls the session has seen."""

    command: ExecuteCode
    earlier: tuple[Past, ...]


@dataclass(frozen=True, slots=True)
class Session:
    """A run's calls of the code tool, and their answers, each in the order of the log."""

    run: str
    commands: tuple[ExecuteCode, ...] = ()
    answers: tuple[Answer, ...] = ()
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
        return replace(session, answers=(*session.answers, answer_of(data)))
    if isinstance(data, RunFinished | RunFailed):
        return replace(session, ended=True)
    return session


def next_step(session: Session, _reference: object) -> Step:
    """The oldest call without an answer; after the end of the run, nothing."""
    if session.ended:
        return Closed()
    answers = {answer.call: answer for answer in session.answers}
    earlier: list[Past] = []
    for command in session.commands:
        answer = answers.get(command.call)
        if answer is None:
            return Perform(Execute(command, tuple(earlier)))
        earlier.append(Past(command, answer))
    return Wait("a call")


def alive(earlier: tuple[Past, ...]) -> tuple[Past, ...]:
    """Of a session's calls those that made what it holds now: run, and since it last began anew."""
    start = max((place + 1 for place, past in enumerate(earlier) if past.answer.ended), default=0)
    return tuple(past for past in earlier[start:] if past.answer.ran)


def answer_of(executed: CodeExecuted) -> Answer:
    """What is kept of an answer."""
    ran = executed.outcome != "refused"
    return Answer(executed.call, ran, fingerprint(executed), executed.session_ended)


def fingerprint(executed: CodeExecuted) -> str:
    """A digest of what a call did, without what it took: equal where it did the same."""
    told = executed.model_dump(
        mode="json",
        include={"outcome", "exit_code", "stdout", "stderr", "stdout_bytes", "stderr_bytes", "files"},
    )
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def refused(command: ExecuteCode, reason: str, *, diverged: bool = False) -> CodeExecuted:
    """The answer to a call that is not run."""
    return CodeExecuted(
        run=command.run,
        turn=command.turn,
        call=command.call,
        outcome="refused",
        reason=reason,
        diverged=diverged,
    )
