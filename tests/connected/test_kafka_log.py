"""The log's contract on a real broker: each test has topics of its own, by their prefix."""

import asyncio
import hashlib
import socket

import pytest

from services.kit.kafka.log import KafkaLog
from services.kit.log import LogError
from services.kit.settings import KitSettings
from tests.contract.log_contract import OTHER, TOPIC, LogContract, outgoing
from tests.support.topics import make_topics


class TestKafkaLog(LogContract):
    @pytest.fixture(autouse=True)
    def broker(self, kafka):
        self.kafka = kafka

    async def open_log(self, place):
        prefix = "contract-" + hashlib.sha256(str(place).encode()).hexdigest()[:12] + "."
        settings = KitSettings(kafka=self.kafka, kafka_prefix=prefix)
        await make_topics(settings, {TOPIC: 4, OTHER: 2})
        log = KafkaLog(settings)
        await log.open()
        return log

    def test_bytes_that_are_no_utf8_come_back_as_they_were(self, tmp_path):
        async def story(log):
            raw = b"\xff\xfe\x00k"
            await log._producer.send_and_wait(
                log.prefix + TOPIC, key=raw, value=b"v", partition=1, headers=[("ce_type", raw)]
            )
            (record,) = await log.consumer([TOPIC], {}).poll(10, 5)
            await log.append([outgoing("again", 1)])
            return record

        record = self.run(tmp_path, story)
        assert record.key.encode("utf-8", "surrogateescape") == b"\xff\xfe\x00k"
        assert record.headers["ce_type"].encode("utf-8", "surrogateescape") == b"\xff\xfe\x00k"

    def test_a_reader_can_be_closed_at_any_moment(self, tmp_path):
        async def story(log):
            await log.append([outgoing("one", 0)])
            for wait_s in (0, 0.001, 0.01, 0.1):
                consumer = log.consumer([TOPIC], {})
                assert len(await consumer.poll(10, 5)) == 1
                await asyncio.sleep(wait_s)
                await consumer.close()

        self.run(tmp_path, story)

    def test_records_gather_while_they_come_and_the_first_comes_at_once(self, tmp_path):
        async def story(log):
            log.gather_s = 0.2
            consumer = log.consumer([TOPIC], {})
            await consumer.poll(1, 0.01)

            async def write():
                for number in range(100):
                    await log.append([outgoing(str(number))])

            writing = asyncio.create_task(write())
            sizes = []
            while sum(sizes) < 100:
                sizes.append(len(await consumer.poll(500, 5)))
            await writing
            return sizes

        sizes = self.run(tmp_path, story)
        assert sizes[0] < 20  # what came first
        assert len(sizes) < 20, (
            "aiokafka fetches for every record: has it changed under services.kit.kafka.pace?"
        )

    def test_a_topic_that_is_not_there_is_named(self, tmp_path):
        async def story(log):
            with pytest.raises(
                LogError, match=r"no topic .*tds\.nothing; `python -m services\.kit\.kafka\.provision`"
            ):
                await log.consumer(["tds.nothing"], {}).poll(1, 1)

        self.run(tmp_path, story)


def test_a_broker_that_is_not_there_is_named_and_asked_for_a_bounded_time():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    settings = KitSettings(kafka=f"127.0.0.1:{port}")

    async def scene():
        async with asyncio.timeout(20):
            await KafkaLog(settings, patience_s=1.0).open()

    with pytest.raises(LogError, match=rf"Kafka at 127\.0\.0\.1:{port} does not answer"):
        asyncio.run(scene())
