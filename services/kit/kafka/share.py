"""How replicas of one service share its work on Kafka: by consumer groups on FastStream subscribers.

Performers share partitions: topics that are keyed alike have equal partition counts and one assignor, so a
replica owns a run whole. Deciders share nothing: who holds the one partition of their lead topic decides,
the others stand by.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord
from aiokafka import TopicPartition as Place
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from faststream import AckPolicy
from faststream.kafka import KafkaBroker
from faststream.kafka.message import FAKE_CONSUMER, KafkaMessage

from services.kit.host import DeciderRunner, PerformerRunner
from services.kit.kafka.log import GATHER_S, KafkaLog, pace, record_of, speaking
from services.kit.kafka.stripes import Stripes
from services.kit.log import Offsets, Record
from services.kit.service import Performer
from services.kit.watched.meter import Standing
from services.kit.window import Window

log = structlog.get_logger(__name__)

BATCH: Final = 500
BATCH_WAIT_MS: Final = 20
IDLE_S: Final = 1.0
LONG_GATHER_S: Final = 0.05
"""A run waits so long for its event to come back, at least, while others keep all hands busy."""
GROUP: Final[dict[str, Any]] = {
    "ack_policy": AckPolicy.MANUAL,
    "auto_offset_reset": "earliest",
    "batch": True,
    "max_records": BATCH,
    "batch_timeout_ms": BATCH_WAIT_MS,
    "session_timeout_ms": 10_000,
    "heartbeat_interval_ms": 1_000,
    "rebalance_timeout_ms": 30_000,
    "max_poll_interval_ms": 300_000,
    "max_partition_fetch_bytes": 2 * 1024 * 1024,
    "fetch_max_wait_ms": 500,
    "fetch_min_bytes": 1,
    "isolation_level": "read_uncommitted",
}
"""Everything that has a default is said here; see docs/adr/0008."""
FEW: Final = 16
"""Records that are folded at a stretch; between two stretches whatever else is due has its turn."""
OPEN_PER_EFFECT: Final = 4
"""A replica takes no new keys while it has so many open for each effect that it may perform at once."""
FEWEST_OPEN: Final = 64

REPLICA: Final = f"{socket.gethostname()}-{os.getpid()}"
"""Who this process is among the replicas of its service."""

Raw = tuple[ConsumerRecord, ...]


async def parsed(batch: Raw) -> KafkaMessage:
    """FastStream's message of a batch; looks at nothing, so that nothing in it can make it fail."""
    return KafkaMessage(raw_message=batch, body=b"", consumer=FAKE_CONSUMER)


class Listener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Tells of rebalances; what goes wrong ends the service, since aiokafka would only log it."""

    def __init__(
        self,
        revoked: Callable[[], Awaitable[None]],
        assigned: Callable[[list[Place]], Awaitable[None]],
        failed: Callable[[Exception], None],
    ) -> None:
        self._revoked = revoked
        self._assigned = assigned
        self._failed = failed

    async def on_partitions_revoked(self, revoked: set[Place]) -> None:  # noqa: ARG002
        """All partitions are taken back until the new assignment is known."""
        try:
            await self._revoked()
        except Exception as error:  # noqa: BLE001
            self._failed(error)

    async def on_partitions_assigned(self, assigned: set[Place]) -> None:
        """These are ours from now on, and no others."""
        try:
            await self._assigned(sorted(assigned))
        except Exception as error:  # noqa: BLE001
            self._failed(error)


class Share:
    """The feed of one replica of a performer: the partitions that its group gives it.

    In a rebalance calls stay in flight until the new assignment is known; then the keys that moved are let
    go, and those of new partitions are taken up from the oldest that is open. Batches that were fetched
    before are dropped: reading goes on where the window stands.
    """

    def __init__(
        self,
        broker: KafkaBroker,
        log: KafkaLog,
        performer: Performer,
        *,
        concurrency: int,
        failed: Callable[[Exception], None],
    ) -> None:
        self._log = log
        self._performer = performer
        self._inputs = [topic.name for topic in performer.inputs]
        self._group = performer.name
        self._limit = max(FEWEST_OPEN, OPEN_PER_EFFECT * concurrency)
        self._failed = failed
        self._runner: asyncio.Future[PerformerRunner] = asyncio.Future()
        self._settled = asyncio.Event()
        self._assignments = 0
        self.assigned = False
        """Whether an assignment has been received, be it an empty one."""
        self.bounded = False
        """Whether no new keys are taken, since enough are open."""
        self._subscriber = broker.subscriber(
            *(log.prefix + name for name in self._inputs),
            group_id=log.prefix + self._group,
            partition_assignment_strategy=(Stripes,),
            listener=Listener(self._revoked, self._assigned, failed),
            parser=parsed,
            decoder=self._records,
            **GROUP,
        )
        self._subscriber(self._take)

    async def open(self, runner: PerformerRunner) -> Window:
        """See Feed: a window that owns nothing yet."""
        references = [topic.name for topic in self._performer.references]
        ends = await self._log.ends(references) if references else {}
        window = Window(self._performer, {}, ends, source=f"tds/{self._group}/{REPLICA}", partitions=())
        runner.window = window
        self._runner.set_result(runner)
        return window

    async def read(self, runner: PerformerRunner) -> None:
        """See Feed: references here; the partitions of its own come through the subscriber."""
        references = [topic.name for topic in self._performer.references]
        if not references:
            return
        consumer = self._log.consumer(references, {})
        try:
            while True:
                await runner.take(await consumer.poll(BATCH, 1.0))
        finally:
            await consumer.close()

    async def commit(self, offsets: Offsets) -> None:
        """See Feed: of the partitions that are its own."""
        consumer = self._subscriber.consumer
        if consumer is None:
            return
        own = consumer.assignment()
        places = {Place(self._log.prefix + topic, part): end for (topic, part), end in offsets.items()}
        async with speaking(self._log.settings):
            await consumer.commit({place: end for place, end in places.items() if place in own})

    def standing(self) -> Standing:
        """Where this replica stands."""
        window = self._runner.result().window if self._runner.done() else None
        if window is None or not self.assigned:
            return Standing("starting")
        places = [(topic, partition) for topic in self._inputs for partition in sorted(window.partitions)]
        places += [(topic.name, 0) for topic in self._performer.references]
        return Standing(
            "active",
            positions={place: window.position(place) for place in places},
            caught_up=window.caught_up,
            bounded=self.bounded,
            open_keys=window.open_keys,
        )

    async def _records(self, message: KafkaMessage) -> list[Record]:
        prefix = self._log.prefix
        return [record_of(raw, prefix) for raw in message.raw_message]

    async def _take(self, records: list[Record]) -> None:
        try:
            if not self._settled.is_set():
                await self._settled.wait()
                return
            runner, assignment = await self._runner, self._assignments
            for start in range(0, len(records), FEW):
                await runner.take(records[start : start + FEW])
                await asyncio.sleep(0)
                if self._assignments != assignment:
                    return
            self._bound(runner)
        except Exception as error:  # noqa: BLE001
            self._failed(error)

    async def _revoked(self) -> None:
        self._settled.clear()
        self._assignments += 1
        runner = await self._runner
        await runner.commit()

    async def _assigned(self, assigned: list[Place]) -> None:
        runner = await self._runner
        window, consumer = runner.window, self._subscriber.consumer
        assert window is not None, "the feed was opened"
        assert consumer is not None, "an assignment comes from a consumer"
        own = {place.partition for place in assigned}
        new = own - window.partitions
        start: Offsets = {}
        if new:
            committed = await self._log.committed(self._group)
            start = {
                place: end for place, end in committed.items() if place[1] in new and place[0] in self._inputs
            }
        ends = {place: end for place, end in (await self._log.ends(self._inputs)).items() if place[1] in own}
        moved = runner.assign(own, start, ends)
        for place in assigned:
            consumer.seek(
                place, window.position((place.topic.removeprefix(self._log.prefix), place.partition))
            )
        if not self.assigned:
            pace(consumer, self._gather_s)
            wait_longer(consumer)
        self.bounded = False
        self._bound(runner)
        self.assigned = True
        self._settled.set()
        log.info("assigned", service=self._group, own=spans(own), new=len(new), moved=moved)

    def _gather_s(self) -> float:
        """Short where hands are free and a run that is open may wait for what is read."""
        runner = self._runner.result()
        waits = runner.host.capacity.free > 0 and runner.window is not None and runner.window.open_keys
        return GATHER_S if waits else LONG_GATHER_S

    def _bound(self, runner: PerformerRunner) -> None:
        """Pause the lead topic while enough keys are open; never before what was there has been folded."""
        window, consumer = runner.window, self._subscriber.consumer
        if window is None or consumer is None:
            return
        full = window.caught_up and window.pausable and window.open_keys >= self._limit
        if full == self.bounded:
            return
        lead = self._log.prefix + self._performer.lead.name
        places = [place for place in consumer.assignment() if place.topic == lead]
        if full:
            consumer.pause(*places)
        else:
            consumer.resume(*places)
        self.bounded = full


class Lead:
    """Whether this replica of a decider is the one that decides, by its one-partition lead topic.

    The assignor is sticky: a replica that joins takes nothing from the one that is at work.
    """

    def __init__(
        self,
        broker: KafkaBroker,
        log: KafkaLog,
        runner: DeciderRunner,
        *,
        failed: Callable[[Exception], None],
    ) -> None:
        self._runner = runner
        decider = runner.decider
        self._held = asyncio.Event()
        self._changed = asyncio.Event()
        self.assigned = False
        topic = next(one for one in decider.inputs if one.partitions == 1)
        self._subscriber = broker.subscriber(
            log.prefix + topic.name,
            group_id=log.prefix + decider.name,
            partition_assignment_strategy=(StickyPartitionAssignor,),
            listener=Listener(self._revoked, self._assigned, failed),
            parser=parsed,
            decoder=_nothing,
            **GROUP,
        )
        self._subscriber(_ignore)

    @property
    def held(self) -> bool:
        """Whether this replica decides."""
        return self._held.is_set()

    def standing(self) -> Standing:
        """Where this replica stands."""
        fold = self._runner.fold
        if fold is None or not self.held:
            return Standing("standby" if self.assigned else "starting")
        decider, position = self._runner.decider, self._runner.position
        places = [
            (topic.name, partition) for topic in decider.inputs for partition in range(topic.partitions)
        ]
        return Standing(
            "active",
            positions={place: position.get(place, 0) for place in places},
            caught_up=fold.caught_up,
        )

    async def serve(self) -> None:
        """Run the decider whenever the lead is held, until the host stops."""
        runner, name = self._runner, self._runner.decider.name
        while not runner.host.stopping:
            self._changed.clear()
            if not self.held:
                await self._changed.wait()
                continue
            log.info("leads", service=name)
            serving = asyncio.create_task(runner.serve())
            changing = asyncio.create_task(self._lost())
            await asyncio.wait({serving, changing}, return_when=asyncio.FIRST_COMPLETED)
            changing.cancel()
            if serving.done():
                await serving
                return
            log.info("stands by", service=name)
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    def wake(self) -> None:
        """Look again whether there is anything to do."""
        self._changed.set()

    async def _lost(self) -> None:
        while self.held:
            self._changed.clear()
            await self._changed.wait()

    async def _revoked(self) -> None:
        """Nothing yet: the assignment will say."""

    async def _assigned(self, assigned: Sequence[Place]) -> None:
        consumer: AIOKafkaConsumer | None = self._subscriber.consumer
        if consumer is not None and not self.assigned:
            wait_longer(consumer)
        if assigned and consumer is not None:
            consumer.pause(*assigned)  # it is held, not read: the decider reads whole topics, raw
            self._held.set()
        else:
            if not self.held:
                log.info("stands by", service=self._runner.decider.name)
            self._held.clear()
        self.assigned = True
        self._changed.set()


def wait_longer(consumer: AIOKafkaConsumer) -> None:
    """Let a subscriber wait up to ``IDLE_S`` for records, which it gets as soon as there are any.

    FastStream asks again every ``batch_timeout_ms``, and sleeps as long after each time that nothing came: a
    short one wakes every idle service fifty times a second, a long one has records wait.
    """
    take = consumer.getmany

    async def patient(*places: Place, timeout_ms: int = 0, **how: Any) -> Any:
        return await take(*places, timeout_ms=max(timeout_ms, round(1000 * IDLE_S)), **how)

    consumer.getmany = patient


def spans(numbers: Iterable[int]) -> str:
    """Numbers in few words: ``0-20,63``."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in found)


async def _nothing(_message: KafkaMessage) -> list[Record]:
    return []


async def _ignore(_records: list[Record]) -> None:
    """What the lead topic says is read with the others."""
