"""A toy performer and a toy decider on real topics, and a driver that reads for a window by hand.

The performer answers each ``ExecuteCode`` of a run with a ``CodeExecuted``, in order, once the server that
``language`` names has been retired (a reference; empty: at once), until the user ends the run.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from schemas.catalog import ServerRetired
from schemas.codec import decode
from schemas.envelope import Envelope, Message
from schemas.run import UserSpoke
from schemas.sandbox import CodeExecuted, ExecuteCode
from schemas.topics import CATALOG_EVENTS, RUN_EVENTS, SANDBOX_COMMANDS, SANDBOX_EVENTS, TOPICS
from services.kit.chain import Head, seal
from services.kit.log import Offsets, Record
from services.kit.memory import MemoryLog
from services.kit.service import Append, Closed, Decider, Draft, Perform, Performer, Step, Wait
from services.kit.window import Task, Window

TIME = "2026-01-01T00:00:00Z"


@dataclass(frozen=True)
class Work:
    """Effect: answer this command."""

    command: ExecuteCode


@dataclass(frozen=True)
class Toy:
    key: str
    commands: tuple[ExecuteCode, ...] = ()
    answers: tuple[CodeExecuted, ...] = ()
    ended: bool = False


def evolve(toy: Toy, envelope: Envelope) -> Toy:
    match envelope.data:
        case ExecuteCode() as command:
            return replace(toy, commands=(*toy.commands, command))
        case CodeExecuted() as answer:
            return replace(toy, answers=(*toy.answers, answer))
        case UserSpoke(ends=True):
            return replace(toy, ended=True)
    return toy


def next_step(toy: Toy, retired: frozenset[str]) -> Step:
    if toy.ended:
        return Closed()
    answered = {answer.call for answer in toy.answers}
    for command in toy.commands:
        if command.call not in answered:
            if command.language and command.language not in retired:
                return Wait(command.language)
            if command.code == "append":
                return Append((Draft(toy.key, answer(command, "appended")),))
            return Perform(Work(command))
    return Wait("a command")


def answer(command: ExecuteCode, stdout: str) -> CodeExecuted:
    return CodeExecuted(run=command.run, turn=command.turn, call=command.call, outcome="ok", stdout=stdout)


async def do_nothing(effect: Work) -> Sequence[Draft]:
    return [Draft(effect.command.run, answer(effect.command, "done"))]


def gave_up(toy: Toy, effect: Work, error: BaseException) -> Sequence[Draft]:
    refusal = CodeExecuted(
        run=toy.key, turn=0, call=effect.command.call, outcome="refused", reason=str(error)
    )
    return [Draft(toy.key, refusal)]


def performer(perform: Callable[[Work], Awaitable[Sequence[Draft]]] = do_nothing) -> Performer:
    return Performer(
        name="toy",
        lead=SANDBOX_COMMANDS,
        inputs=(SANDBOX_COMMANDS, SANDBOX_EVENTS, RUN_EVENTS),
        initial=Toy,
        evolve=evolve,
        next_step=next_step,
        perform=perform,
        gave_up=gave_up,
        references=(CATALOG_EVENTS,),
        initial_reference=frozenset,
        refer=lambda retired, event: retired | {event.data.server_id},
    )


@dataclass
class Ending:
    """State of the toy decider: how many answers each run has, and which runs it has ended."""

    answers: dict[str, int] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)


def ends_after(count: int) -> Decider:
    """A decider that ends a run, in the user's name, once it has ``count`` answers."""

    def fold(state: Ending, envelope: Envelope) -> Ending:
        match envelope.data:
            case CodeExecuted() as one:
                state.answers[one.run] = state.answers.get(one.run, 0) + 1
            case UserSpoke(ends=True) as one:
                state.ended.add(one.run)
        return state

    def decide(state: Ending) -> tuple[Draft, ...]:
        due = [run for run, got in state.answers.items() if got >= count and run not in state.ended]
        return tuple(Draft(run, end(run)) for run in due)

    return Decider("ender", (SANDBOX_EVENTS, RUN_EVENTS), Ending, fold, decide)


def command(run: str, call: str, *, language: str = "", code: str = "") -> ExecuteCode:
    return ExecuteCode(run=run, turn=0, call=call, language=language, code=code)


def end(run: str) -> UserSpoke:
    return UserSpoke(run=run, turn=9, content="thanks", ends=True)


def retired(server: str) -> ServerRetired:
    return ServerRetired(server_id=server)


class Writer:
    """Appends messages to a log in the names of other services, each key's events in one chain."""

    def __init__(self, log: MemoryLog) -> None:
        self.log = log
        self.heads: dict[tuple[str, str], Head] = {}

    def put(self, *messages: Message, key: str = "") -> list[Record]:
        drafts = [Draft(key or str(getattr(one, "run", "server")), one) for one in messages]
        return self.log.put([one.outgoing for one in seal(drafts, self.heads, "tds/test", TIME)])


class Driver:
    """Reads a log for one window, partition by partition, as the schedule says."""

    def __init__(self, log: MemoryLog, service: Performer, start: Offsets | None = None) -> None:
        self.log = log
        self.topics = {topic.name for topic in service.reads}
        self.read: Offsets = dict(start or {})
        ends: Offsets = {}
        for record in log.records:
            if record.topic in self.topics:
                ends[record.topic, record.partition] = record.offset + 1
        self.window = Window(service, dict(start or {}), ends)
        self.tasks: list[Task] = []

    def pending(self) -> list[Record]:
        """The next record of every partition that has one, in the order of their appends."""
        found: dict[tuple[str, int], Record] = {}
        for record in self.log.records:
            place = (record.topic, record.partition)
            if record.topic in self.topics and record.offset >= self.read.get(place, 0):
                found.setdefault(place, record)
        return list(found.values())

    def deliver(self, record: Record) -> None:
        self.read[record.topic, record.partition] = record.offset + 1
        topic = TOPICS[record.topic]
        self.window.receive(record, decode(topic, record.key, record.headers, record.value))

    def deliver_all(self) -> None:
        while pending := self.pending():
            self.deliver(pending[0])

    def due(self, capacity: int = 100) -> list[Task]:
        """Append what is due; returns the effects that are."""
        appends, tasks = self.window.due(capacity, TIME)
        self.log.put([one.outgoing for one in appends])
        self.tasks.extend(tasks)
        return tasks

    def finish(self, task: Task, stdout: str = "done") -> list[Record]:
        """The effect is done: append its result."""
        self.tasks.remove(task)
        drafts = [Draft(task.key, answer(task.effect.command, stdout))]
        return self.log.put([one.outgoing for one in self.window.performed(task, drafts, TIME)])

    def settle(self) -> None:
        """Deliver, append and perform until nothing is left to do."""
        while True:
            self.deliver_all()
            self.due()
            for task in list(self.tasks):
                self.finish(task)
            if not self.pending() and not self.tasks:
                return
