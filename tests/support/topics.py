"""Topics for a test, made on a real broker."""

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from services.kit.kafka.log import connection
from services.kit.settings import KitSettings


async def make_topics(settings: KitSettings, partitions: dict[str, int]) -> None:
    """Make those of the topics that do not exist yet, under the settings' prefix."""
    admin = AIOKafkaAdminClient(**connection(settings))
    await admin.start()
    try:
        known = set(await admin.list_topics())
        new = [
            NewTopic(settings.kafka_prefix + name, count, 1, topic_configs={"max.message.bytes": "6000000"})
            for name, count in partitions.items()
            if settings.kafka_prefix + name not in known
        ]
        if new:
            await admin.create_topics(new)
    finally:
        await admin.close()
