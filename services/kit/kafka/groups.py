"""How many live members consumer groups have."""

from __future__ import annotations

from collections.abc import Sequence

from aiokafka.admin import AIOKafkaAdminClient

from services.kit.kafka.log import REACH_S, closed, connection, reached, speaking
from services.kit.settings import KitSettings


async def members(
    settings: KitSettings, groups: Sequence[str], *, patience_s: float = REACH_S
) -> dict[str, int]:
    """Live members of each group, by its name without the prefix; 0 for one that does not exist.

    Raises:
        LogError: no broker answers.
    """
    if not groups:
        return {}
    admin = await reached(
        lambda: AIOKafkaAdminClient(**connection(settings)), settings, patience_s=patience_s
    )
    try:
        async with speaking(settings):
            # One at a time: aiokafka 0.14 misreads an answer on several groups.
            return {group: await _alive(admin, settings.kafka_prefix + group) for group in groups}
    finally:
        await closed(admin)


async def _alive(admin: AIOKafkaAdminClient, group: str) -> int:
    (answer,) = await admin.describe_consumer_groups([group])
    ((_, _, _, _, _, alive, *_),) = answer.groups
    return len(alive)
