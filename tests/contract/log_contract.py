"""What every EventLog promises. A log's test class inherits this and says how to open one.

``open_log`` is called again on the same ``place`` to come back to the same log.
"""

import asyncio
from pathlib import Path

import pytest

from services.kit.log import Consumer, EventLog, Outgoing, Record

TOPIC = "tds.run.events"
OTHER = "tds.blueprint.events"


def outgoing(text: str, partition: int = 0, topic: str = TOPIC, key: str = "c.0.1") -> Outgoing:
    return Outgoing(topic, partition, key, {"ce_id": text, "ce_type": "t — ü"}, text.encode())


async def read(consumer: Consumer, count: int, timeout_s: float = 10) -> list[Record]:
    """The next ``count`` records, however many polls they come in."""
    found: list[Record] = []
    async with asyncio.timeout(timeout_s):
        while len(found) < count:
            found.extend(await consumer.poll(count - len(found), 1))
    return found


class LogContract:
    durable = True

    async def open_log(self, place: Path) -> EventLog:
        raise NotImplementedError

    def run(self, place: Path, story):
        async def scene():
            log = await self.open_log(place)
            try:
                return await story(log)
            finally:
                await log.close()

        return asyncio.run(scene())

    def test_records_come_back_whole_and_in_order_with_offsets_from_zero(self, tmp_path):
        async def story(log):
            await log.append([outgoing("a"), outgoing("b"), outgoing("c", partition=3)])
            return await read(log.consumer([TOPIC], {}), 3)

        records = self.run(tmp_path, story)
        assert [(r.partition, r.offset, r.value) for r in records if r.partition == 0] == [
            (0, 0, b"a"),
            (0, 1, b"b"),
        ]
        assert [(r.partition, r.offset, r.value) for r in records if r.partition == 3] == [(3, 0, b"c")]
        first = next(r for r in records if r.value == b"a")
        assert first.headers == {"ce_id": "a", "ce_type": "t — ü"}
        assert first.key == "c.0.1"
        assert first.topic == TOPIC

    def test_a_value_may_be_missing_empty_or_large(self, tmp_path):
        large = b"x" * 500_000

        async def story(log):
            values = [None, b"", large]
            await log.append([Outgoing(TOPIC, 0, "c.0.1", {}, value) for value in values])
            return [r.value for r in await read(log.consumer([TOPIC], {}), 3)]

        assert self.run(tmp_path, story) == [None, b"", large]

    def test_a_consumer_reads_only_its_topics_and_from_its_start(self, tmp_path):
        async def story(log):
            await log.append([outgoing("a"), outgoing("b"), outgoing("z", topic=OTHER), outgoing("c")])
            consumer = log.consumer([TOPIC], {(TOPIC, 0): 1})
            return [r.value for r in [*await read(consumer, 2), *await consumer.poll(10, 0.2)]]

        assert self.run(tmp_path, story) == [b"b", b"c"]

    def test_poll_is_bounded_and_goes_on_where_it_stopped(self, tmp_path):
        async def story(log):
            await log.append([outgoing(str(n)) for n in range(7)])
            consumer = log.consumer([TOPIC], {})
            batches = []
            while len(batches) < 7:
                batch = await consumer.poll(3, 5)
                assert 1 <= len(batch) <= 3
                batches.extend(r.value for r in batch)
            return batches

        assert self.run(tmp_path, story) == [str(n).encode() for n in range(7)]

    def test_poll_waits_for_an_append_and_returns_nothing_when_none_comes(self, tmp_path):
        async def story(log):
            consumer = log.consumer([TOPIC], {})
            nothing = await consumer.poll(10, 0.05)
            waiting = asyncio.create_task(consumer.poll(10, 10))
            await asyncio.sleep(0)
            await log.append([outgoing("late")])
            return nothing, [r.value for r in await waiting]

        assert self.run(tmp_path, story) == ([], [b"late"])

    def test_two_consumers_each_get_everything(self, tmp_path):
        async def story(log):
            await log.append([outgoing("a")])
            return [[r.value for r in await read(log.consumer([TOPIC], {}), 1)] for _ in range(2)]

        assert self.run(tmp_path, story) == [[b"a"], [b"a"]]

    def test_ends_and_committed_offsets(self, tmp_path):
        async def story(log):
            await log.append([outgoing("a"), outgoing("b"), outgoing("c", partition=2)])
            await log.commit("runner", {(TOPIC, 0): 1})
            await log.commit("runner", {(TOPIC, 2): 1, (TOPIC, 0): 2})
            ends = await log.ends([TOPIC])
            return {place: end for place, end in ends.items() if end}, await log.committed("runner")

        ends, committed = self.run(tmp_path, story)
        assert ends == {(TOPIC, 0): 2, (TOPIC, 2): 1}
        assert committed == {(TOPIC, 0): 2, (TOPIC, 2): 1}

    def test_groups_do_not_see_one_another(self, tmp_path):
        async def story(log):
            await log.append([outgoing("a")])
            await log.commit("one", {(TOPIC, 0): 1})
            return await log.committed("two")

        assert self.run(tmp_path, story) == {}

    def test_offsets_can_travel_with_an_append(self, tmp_path):
        async def story(log):
            await log.append([outgoing("a")], group="runner", offsets={(OTHER, 1): 5})
            return await log.committed("runner")

        assert self.run(tmp_path, story) == {(OTHER, 1): 5}

    def test_many_appends_at_once_lose_and_double_nothing(self, tmp_path):
        async def story(log):
            await asyncio.gather(*(log.append([outgoing(f"{n}")]) for n in range(200)))
            consumer = log.consumer([TOPIC], {})
            found = [*await read(consumer, 200), *await consumer.poll(64, 0.2)]
            return [(r.offset, r.value) for r in found]

        values = self.run(tmp_path, story)
        assert [offset for offset, _ in values] == list(range(200))
        assert sorted(value for _, value in values) == sorted(str(n).encode() for n in range(200))

    def test_everything_is_there_when_the_log_is_opened_again(self, tmp_path):
        if not self.durable:
            pytest.skip("a log in memory does not outlive its process")

        async def first(log):
            await log.append([outgoing("a"), outgoing("b", partition=1)], group="g", offsets={(OTHER, 0): 3})

        async def second(log):
            await log.append([outgoing("c")])
            records = await read(log.consumer([TOPIC], {}), 3)
            return [(r.partition, r.offset, r.value) for r in records], await log.committed("g")

        self.run(tmp_path, first)
        records, committed = self.run(tmp_path, second)
        assert sorted(records) == [(0, 0, b"a"), (0, 1, b"c"), (1, 0, b"b")]
        assert committed == {(OTHER, 0): 3}
