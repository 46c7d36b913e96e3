"""Runs services on a log in one process: the only place where folding meets time, tasks and failure.

A performer's loop is *fold → next step → perform → append → wait until it comes back → fold*. Results
of effects are appended as they come; what is due together is appended together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Protocol

import structlog

from schemas.codec import Undecodable, decode, skim
from schemas.envelope import PREFIX, Envelope
from schemas.topics import TOPIC_OF, TOPICS
from services.kit.chain import Sealed, seal
from services.kit.dead import bury
from services.kit.fold import Fold
from services.kit.log import EventLog, Offsets, Record
from services.kit.service import Decider, Draft, Performer, Service, Unperformed
from services.kit.telemetry import correlated
from services.kit.window import Task, Window, topics_of

log = structlog.get_logger(__name__)

POLL_RECORDS: Final = 500
POLL_S: Final = 0.25
COMMIT_S: Final = 1.0
EFFECT_ATTEMPTS: Final = 3
GRACE_S: Final = 30.0


class Clock(Protocol):
    """Gives the time of events, as RFC 3339 text."""

    def __call__(self) -> str:
        """Now."""


class Capacity:
    """How many effects may be under way at once, over all services of a host."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.freed: list[Callable[[], None]] = []

    @property
    def free(self) -> int:
        """Effects that may still be started."""
        return self.limit - self.used

    def release(self) -> None:
        """One effect has ended: whoever waits may start another."""
        self.used -= 1
        for wake in self.freed:
            wake()


class Host:
    """Runs ``services`` on ``log`` until ``stop``.

    Args:
        log: where everything is read from and appended to.
        services: each is run once.
        clock: the time of events.
        concurrency: effects under way at once.
        grace_s: how long effects under way may take to finish after ``stop``, before they are cancelled.
    """

    def __init__(
        self,
        log: EventLog,
        services: Sequence[Service],
        *,
        clock: Clock,
        concurrency: int,
        grace_s: float = GRACE_S,
    ) -> None:
        self.log = log
        self.services = tuple(services)
        self.clock = clock
        self.grace_s = grace_s
        self.capacity = Capacity(concurrency)
        self.runners: list[DeciderRunner | PerformerRunner] = []
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Serve until ``stop`` is called.

        Raises:
            Exception: what a service or the log raised; everything appended so far stands.
        """
        self.runners = [
            DeciderRunner(self, service) if isinstance(service, Decider) else PerformerRunner(self, service)
            for service in self.services
        ]
        try:
            async with asyncio.TaskGroup() as group:
                for runner in self.runners:
                    group.create_task(runner.serve(), name=runner.service.name)
        except ExceptionGroup as failures:
            raise first_failure(failures) from None

    def stop(self) -> None:
        """Start nothing new; what is under way is finished and appended."""
        self._stopping.set()
        for runner in self.runners:
            runner.wake()

    @property
    def stopping(self) -> bool:
        """Whether ``stop`` was called."""
        return self._stopping.is_set()

    async def quiet(self) -> bool:
        """Whether everything in the log is folded and nothing is due or under way."""
        if not self.runners:
            return False
        for runner in self.runners:
            if not (runner.idle and await runner.read_all()):
                return False
        return all(runner.idle for runner in self.runners)


class Runner:
    """What both kinds share: reading, dead letters, appending."""

    def __init__(self, host: Host, service: Service, topics: Sequence[str]) -> None:
        self.host = host
        self.service = service
        self.topics = tuple(topics)
        self.position: Offsets = {}
        folds = service.folds if service.folds is not None else frozenset(TOPIC_OF)
        self._skims = frozenset(one.type_name().rpartition(".v")[0] for one in TOPIC_OF if one not in folds)
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look again at what is due."""
        self._woken.set()

    async def _append(self, sealed: Sequence[Sealed]) -> None:
        if sealed:
            await self.host.log.append([one.outgoing for one in sealed])

    async def _fold(self, target: Fold | Window, records: Sequence[Record]) -> None:
        letters = []
        for record in records:
            self.position[record.topic, record.partition] = record.offset + 1
            try:
                envelope = self._opened(record)
            except Undecodable as reason:
                log.warning(
                    "dead letter",
                    service=self.service.name,
                    topic=record.topic,
                    offset=record.offset,
                    reason=str(reason),
                )
                letters.append(bury(record, reason, self.service.name, self.host.clock()))
                target.skip(record)
            else:
                target.receive(record, envelope)
        if letters:
            await self.host.log.append(letters)

    def _opened(self, record: Record) -> Envelope:
        """The record's envelope; its content only where the service folds that type.

        Raises:
            Undecodable: see ``decode``. What this service skims is judged by those who fold it.
        """
        if self._skims and record.headers.get(PREFIX + "type", "").rpartition(".v")[0] in self._skims:
            return skim(record.key, record.headers)
        return decode(TOPICS[record.topic], record.key, record.headers, record.value)

    async def read_all(self) -> bool:
        """Whether everything that its topics hold has been folded."""
        ends = await self.host.log.ends(self.topics)
        return all(self.position.get(place, 0) >= end for place, end in ends.items())


class DeciderRunner(Runner):
    """Runs one decider."""

    def __init__(self, host: Host, service: Decider) -> None:
        super().__init__(host, service, [topic.name for topic in service.inputs])
        self.fold: Fold | None = None

    @property
    def idle(self) -> bool:
        """Whether its last decision has come back and nothing follows from it."""
        return self.fold is not None and self.fold.quiet

    async def serve(self) -> None:
        """Fold, decide, append, until the host stops."""
        assert isinstance(self.service, Decider)
        ends = await self.host.log.ends(self.topics)
        self.fold = fold = Fold(self.service, ends)
        consumer = self.host.log.consumer(self.topics, {})
        await self._append(fold.due(self.host.clock()))
        while not self.host.stopping:
            records = await consumer.poll(POLL_RECORDS, POLL_S)
            await self._fold(fold, records)
            await self._append(fold.due(self.host.clock()))


class PerformerRunner(Runner):
    """Runs one performer."""

    def __init__(self, host: Host, service: Performer) -> None:
        super().__init__(host, service, [topic.name for topic in topics_of(service)])
        self.performer = service
        self.window: Window | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._committed: Offsets = {}

    @property
    def idle(self) -> bool:
        """Whether nothing is under way or due."""
        return self.window is not None and self.window.quiet and not self._tasks

    async def serve(self) -> None:
        """Fold, perform, append, until the host stops; then finish what is under way."""
        group = self.performer.name
        references = {topic.name for topic in self.performer.references}
        committed = await self.host.log.committed(group)
        start = {place: offset for place, offset in committed.items() if place[0] not in references}
        ends = await self.host.log.ends(self.topics)
        self.position.update(start)
        self.window = window = Window(self.performer, start, ends)
        self.host.capacity.freed.append(self.wake)
        consumer = self.host.log.consumer(self.topics, start)
        async with asyncio.TaskGroup() as tasks:
            self._spawn = tasks.create_task
            await self._announce()
            reading = tasks.create_task(self._read(consumer, window))
            committing = tasks.create_task(self._commit_regularly(window))
            while not self.host.stopping:
                await self._woken.wait()
                self._woken.clear()
                await self._pump(window)
            reading.cancel()
            committing.cancel()
            if self._tasks:
                await asyncio.wait(self._tasks, timeout=self.host.grace_s)
            for task in self._tasks:
                task.cancel()
        await self._commit(window)

    async def _announce(self) -> None:
        for draft in self.performer.announce:
            await self._append(seal([draft], {}, f"tds/{self.performer.name}", self.host.clock()))

    async def _read(self, consumer: Any, window: Window) -> None:
        self.wake()
        while True:
            records = await consumer.poll(POLL_RECORDS, POLL_S)
            if records:
                await self._fold(window, records)
                self.wake()

    async def _pump(self, window: Window) -> None:
        while not self.host.stopping:
            appends, tasks = window.due(max(0, self.host.capacity.free), self.host.clock())
            self.host.capacity.used += len(tasks)
            for task in tasks:
                self._start(self._perform(window, task))
            await self._append(appends)
            if not appends:
                return

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._spawn(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _perform(self, window: Window, task: Task) -> None:
        try:
            with correlated(run=task.key):
                drafts = await self._attempt(window, task)
            await self._append(window.performed(task, drafts, self.host.clock()))
        except Unperformed:
            window.abandoned(task)
        finally:
            self.host.capacity.release()

    async def _attempt(self, window: Window, task: Task) -> Sequence[Draft]:
        attempt = 1
        while True:
            try:
                return await self.performer.perform(task.effect)
            except Unperformed:
                raise
            except Exception as error:  # noqa: BLE001  (whatever it is, the key must get an answer)
                log.warning("effect failed", service=self.performer.name, attempt=attempt, error=repr(error))
                if attempt == EFFECT_ATTEMPTS:
                    return window.gave_up(task, error)
            attempt += 1

    async def _commit_regularly(self, window: Window) -> None:
        while True:
            await asyncio.sleep(COMMIT_S)
            await self._commit(window)

    async def _commit(self, window: Window) -> None:
        offsets = window.commits()
        changed = {place: offset for place, offset in offsets.items() if self._committed.get(place) != offset}
        if changed:
            # A cancelled commit may still reach the log; offsets that are committed again do no harm.
            await self.host.log.commit(self.performer.name, changed)
            self._committed.update(changed)


def first_failure(failures: ExceptionGroup[Exception]) -> Exception:
    """The first plain exception of a (nested) group."""
    first = failures.exceptions[0]
    return first_failure(first) if isinstance(first, ExceptionGroup) else first
