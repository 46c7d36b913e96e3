"""Runs services on a log in one process: the only place where folding meets time, tasks and failure.

A performer's loop is *fold → next step → perform → append → wait until it comes back → fold*. Results
of effects are appended as they come; what is due together is appended together.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Coroutine, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, Protocol

import structlog

from schemas.codec import Undecodable
from schemas.envelope import PREFIX, Envelope
from schemas.topics import TOPIC_OF
from services.kit.alone import ALONE
from services.kit.chain import Sealed, seal
from services.kit.dead import bury, envelope_of
from services.kit.fold import Fold
from services.kit.log import EventLog, LogError, Offsets, Outgoing, Record
from services.kit.service import Decider, Draft, Performer, Service, Unperformed
from services.kit.watched.meter import Meter, Outcome
from services.kit.watched.telemetry import correlated
from services.kit.watched.tracing import Tracing
from services.kit.window import Task, Window

log = structlog.get_logger(__name__)

TYPE: Final = PREFIX + "type"
POLL_RECORDS: Final = 500
POLL_S: Final = 0.25
COMMIT_S: Final = 1.0
EFFECT_ATTEMPTS: Final = 3
GRACE_S: Final = 30.0


class Clock(Protocol):
    """Gives the time of events, as RFC 3339 text."""

    def __call__(self) -> str:
        """Now."""


def utc_now() -> str:
    """Now, as RFC 3339 text in UTC, to the millisecond: the clock of every host, and of the console."""
    seconds, nanoseconds = divmod(time.time_ns(), 10**9)
    return f"{_second(seconds)}.{nanoseconds // 10**6:03d}Z"


@lru_cache(maxsize=2)  # a host asks a thousand times a second
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat().removesuffix("+00:00")


class Capacity:
    """How many effects may be under way at once, over all services of a host.

    An effect that has its result makes room for the next while the result is appended; as many results may
    be on their way to the log, so that a slow log holds effects back.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0
        self.appending = 0
        self.freed: list[Callable[[], None]] = []

    @property
    def free(self) -> int:
        """Effects that may still be started."""
        return min(self.limit - self.used, 2 * self.limit - self.used - self.appending)

    def wake(self) -> None:
        """Whoever waits may start another effect."""
        for wake in self.freed:
            wake()


class Slot:
    """What one effect takes of the capacity."""

    def __init__(self, capacity: Capacity) -> None:
        self._capacity = capacity
        self._appending = False
        capacity.used += 1

    def performed(self) -> None:
        """Its result is there, and is appended now."""
        self._capacity.used -= 1
        self._capacity.appending += 1
        self._appending = True
        self._capacity.wake()

    def free(self) -> None:
        """It has ended, in whatever way."""
        if self._appending:
            self._capacity.appending -= 1
        else:
            self._capacity.used -= 1
        self._capacity.wake()


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
        meter: Meter | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.log = log
        self.meter = meter or Meter()
        self.tracing = tracing or Tracing()
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
            DeciderRunner(self, service)
            if isinstance(service, Decider)
            else PerformerRunner(self, service, WholeLog(self.log))
            for service in self.services
        ]
        try:
            async with asyncio.TaskGroup() as group:
                for runner in self.runners:
                    group.create_task(runner.serve(), name=runner.service.name)
        except ExceptionGroup as failures:
            raise first_failure(failures) from None

    async def append(self, records: Sequence[Outgoing]) -> None:
        """Append to the log, and tell the meter."""
        began = time.perf_counter()
        await self.log.append(records)
        self.meter.appended(records, time.perf_counter() - began)

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
    """What both kinds share: folding, dead letters, appending."""

    def __init__(self, host: Host, service: Service) -> None:
        self.host = host
        self.service = service
        self.topics = tuple(topic.name for topic in service.reads)
        self.position: Offsets = {}
        folds = service.folds if service.folds is not None else frozenset(TOPIC_OF)
        self._skims = frozenset(
            (topic.name, one.type_name()) for one, topic in TOPIC_OF.items() if one not in folds
        )
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look again at what is due."""
        self._woken.set()

    async def _append(self, sealed: Sequence[Sealed]) -> None:
        if sealed:
            self.host.tracing.stamp(sealed)
            await self.host.append([one.outgoing for one in sealed])

    async def _fold(self, target: Fold | Window, records: Sequence[Record]) -> None:
        """Fold what is wanted. Dead letters are appended first: no offset passes a record that has none."""
        opened: list[tuple[Record, Envelope | None]] = []
        letters = []
        for record in records:
            try:
                opened.append((record, self._opened(record)))
            except Undecodable as reason:
                opened.append((record, None))
                if target.wants(record):
                    letters.append(self._buried(record, reason))
        if letters:
            await self.host.append(letters)
        for record, envelope in opened:
            if not target.wants(record):
                continue
            self.position[record.topic, record.partition] = record.offset + 1
            if envelope is None:
                target.skip(record)
                continue
            before = target.dropped
            target.receive(record, envelope)
            dropped = target.dropped > before
            self.host.meter.folded(record.topic, envelope, dropped=dropped)
            if not dropped:
                self.host.tracing.saw(record.key, envelope.traceparent)

    def _buried(self, record: Record, reason: Undecodable) -> Outgoing:
        """The dead letter of a record, which is told of."""
        log.warning(
            "dead letter",
            service=self.service.name,
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            reason=str(reason),
        )
        self.host.meter.buried(record.topic, reason.code)
        return bury(record, reason, self.service.name, self.host.clock())

    def _opened(self, record: Record) -> Envelope:
        """The record's envelope; its content only where the service folds that type.

        Raises:
            Undecodable: see ``decode``. Content that this service skims is judged by those who fold it.
        """
        skimmed = (record.topic, record.headers.get(TYPE, "")) in self._skims
        return envelope_of(record, skimmed=skimmed)

    async def read_all(self) -> bool:
        """Whether everything that its topics hold has been folded."""
        ends = await self.host.log.ends(self.topics)
        return all(self.position.get(place, 0) >= end for place, end in ends.items())


class DeciderRunner(Runner):
    """Runs one decider."""

    def __init__(self, host: Host, service: Decider) -> None:
        super().__init__(host, service)
        self.decider = service
        self.fold: Fold | None = None

    @property
    def idle(self) -> bool:
        """Whether its last decision has come back and nothing follows from it."""
        return self.fold is not None and self.fold.quiet

    async def serve(self) -> None:
        """Fold everything from the beginning, decide, append, until the host stops."""
        ends = await self.host.log.ends(self.topics)
        self.position.clear()
        self.fold = fold = Fold(self.decider, ends)
        consumer = self.host.log.consumer(self.topics, {})
        try:
            await self._append(fold.due(self.host.clock()))
            while not self.host.stopping:
                records = await consumer.poll(POLL_RECORDS, POLL_S)
                await self._fold(fold, records)
                await self._append(fold.due(self.host.clock()))
        finally:
            self.fold = None
            await consumer.close()


class Feed(Protocol):
    """Where a performer's records come from, and where its offsets go."""

    async def open(self, runner: PerformerRunner) -> Window:
        """The window to begin with."""

    async def read(self, runner: PerformerRunner) -> None:
        """Hand records to ``runner.take`` until cancelled."""

    async def commit(self, offsets: Offsets) -> None:
        """Commit ``offsets``; those that cannot be are committed again later."""


class WholeLog:
    """The feed of an instance that is alone: all partitions of the log are its own."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._group = ""
        self._start: Offsets = {}

    async def open(self, runner: PerformerRunner) -> Window:
        """See Feed."""
        self._group = runner.performer.name
        references = {topic.name for topic in runner.performer.references}
        committed = await self._log.committed(self._group)
        self._start = {place: offset for place, offset in committed.items() if place[0] not in references}
        runner.position.update(self._start)
        return Window(runner.performer, self._start, await self._log.ends(runner.topics))

    async def read(self, runner: PerformerRunner) -> None:
        """See Feed."""
        consumer = self._log.consumer(runner.topics, self._start)
        while True:
            await runner.take(await consumer.poll(POLL_RECORDS, POLL_S))

    async def commit(self, offsets: Offsets) -> None:
        """See Feed."""
        await self._log.commit(self._group, offsets)


class PerformerRunner(Runner):
    """Runs one performer on what its feed brings."""

    def __init__(self, host: Host, service: Performer, feed: Feed) -> None:
        super().__init__(host, service)
        self.performer = service
        self.window: Window | None = None
        self._feed = feed
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._committed: Offsets = {}
        self._committing = asyncio.Lock()

    @property
    def idle(self) -> bool:
        """Whether nothing is under way or due."""
        return self.window is not None and self.window.quiet and not self._tasks

    async def serve(self) -> None:
        """Fold, perform, append, until the host stops; then finish what is under way."""
        try:
            await self._serve()
        finally:
            await self.performer.stop()

    async def _serve(self) -> None:
        self.window = window = await self._feed.open(self)
        self.host.capacity.freed.append(self.wake)
        async with asyncio.TaskGroup() as tasks:
            self._spawn = tasks.create_task
            await self._announce()
            self.wake()
            reading = tasks.create_task(self._feed.read(self))
            committing = tasks.create_task(self._commit_regularly())
            while not self.host.stopping:
                await self._woken.wait()
                self._woken.clear()
                await self._pump(window)
            reading.cancel()
            committing.cancel()
            under_way = list(self._tasks.values())
            if under_way:
                await asyncio.wait(under_way, timeout=self.host.grace_s)
            for task in under_way:
                task.cancel()
        await self.commit()

    async def take(self, records: Sequence[Record]) -> None:
        """Fold records, and see what is due then."""
        if records:
            assert self.window is not None, "the feed was opened"
            await self._fold(self.window, records)
            self.wake()

    def assign(self, partitions: Collection[int], start: Offsets, ends: Offsets) -> int:
        """Own these partitions from now on; what is under way for keys that moved away is let go.

        Returns how many keys moved.
        """
        assert self.window is not None, "the feed was opened"
        moved = self.window.assign(partitions, start, ends)
        for key in moved:
            if key in self._tasks:
                self._tasks[key].cancel()
        self._committed.clear()
        self.wake()
        return len(moved)

    async def commit(self) -> None:
        """Commit what is done; a log that cannot take it now is given it again later.

        All topics of a partition together: an older offset of the lead topic beside newer ones of the others
        would have whoever reads on from there begin keys anew that are over.
        """
        async with self._committing:
            try:
                await self._commit()
            except LogError as error:
                log.warning("not committed", service=self.service.name, error=str(error))

    async def _commit(self) -> None:
        window = self.window
        assert window is not None, "the feed was opened"
        unled = window.unled()
        if unled:
            window.led_before(unled, await self.host.log.ends([self.performer.lead.name]))
        offsets = window.commits()
        moved = {place[1] for place, end in offsets.items() if self._committed.get(place) != end}
        due = {place: end for place, end in offsets.items() if place[1] in moved}
        if due:
            # A cancelled commit may still reach the log; offsets that are committed again do no harm.
            await self._feed.commit(due)
            self._committed.update(due)

    async def _announce(self) -> None:
        for draft in self.performer.announce:
            await self._append(seal([draft], {}, f"tds/{self.performer.name}", self.host.clock()))

    async def _pump(self, window: Window) -> None:
        while not self.host.stopping:
            appends, tasks = window.due(max(0, self.host.capacity.free), self.host.clock())
            for task in tasks:
                slot = Slot(self.host.capacity)
                self._start(task.key, slot, self._perform(window, task, slot))
            await self._append(appends)
            if not appends:
                return

    def _start(self, key: str, slot: Slot, work: Coroutine[Any, Any, None]) -> None:
        task = self._spawn(work)
        self._tasks[key] = task
        task.add_done_callback(lambda done: self._ended(key, slot, done))

    def _ended(self, key: str, slot: Slot, task: asyncio.Task[None]) -> None:
        slot.free()
        if self._tasks.get(key) is task:
            del self._tasks[key]

    async def _perform(self, window: Window, task: Task, slot: Slot) -> None:
        kind, began = type(task.effect).__name__, time.perf_counter()
        outcome: Outcome = "not_performed"
        ALONE.set(task.alone)  # each effect is a task, and so has a context of its own
        try:
            with correlated(run=task.key), self.host.tracing.effect(self.service.name, task.key, kind):
                drafts, outcome = await self._attempt(window, task)
                slot.performed()
                sealed = window.performed(task, drafts, self.host.clock())
                if not sealed:
                    outcome = "superseded"
                await self._append(sealed)
        except Unperformed:
            window.abandoned(task)
        finally:
            self.host.meter.performed(kind, outcome, time.perf_counter() - began)

    async def _attempt(self, window: Window, task: Task) -> tuple[Sequence[Draft], Outcome]:
        attempt = 1
        while True:
            try:
                return await self.performer.perform(task.effect), "appended"
            except Unperformed:
                raise
            except Exception as error:  # noqa: BLE001  (whatever it is, the key must get an answer)
                log.warning("effect failed", service=self.performer.name, attempt=attempt, error=repr(error))
                if attempt == EFFECT_ATTEMPTS:
                    return window.gave_up(task, error), "gave_up"
                ALONE.set(False)  # it may have had its reply already
            attempt += 1

    async def _commit_regularly(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_S)
            await self.commit()


def first_failure(failures: ExceptionGroup[Exception]) -> Exception:
    """The first plain exception of a (nested) group."""
    first = failures.exceptions[0]
    return first_failure(first) if isinstance(first, ExceptionGroup) else first
