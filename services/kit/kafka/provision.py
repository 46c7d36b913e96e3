"""Makes the topics of the table on a Kafka cluster: ``python -m services.kit.kafka.provision``.

Run it before the services and after every upgrade; what is there already stays as it is. A topic with
another number of partitions than the table's is refused, because that number cannot change any more.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import TopicAlreadyExistsError, for_code

from schemas.topics import KIB, TOPICS
from services.kit.kafka.log import MAX_REQUEST_BYTES, REACH_S, closed, connection, reached, speaking
from services.kit.log import LogError
from services.kit.settings import KitSettings, load

HEADER_ROOM: Final = 64 * KIB
"""What a record may have beside its value: the envelope's headers, its key, the batch around it."""
VISIBLE_S: Final = 30.0
"""How long a topic may take from being made to being there."""
POLL_S: Final = 0.2
REPLICATION: Final = "TDS_KAFKA_REPLICATION"
OF_TOPIC: Final = 1
"""Where a setting comes from, in Kafka's protocol: set on the topic itself."""


class WrongPartitions(LogError):  # noqa: N818  (the partitions are wrong, not the program)
    """A topic has another number of partitions than the table says."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A topic as it should be on the broker."""

    partitions: int
    max_bytes: int

    def settings(self) -> dict[str, str]:
        """What is set on the topic: nothing in it is ever deleted, and records have a limit."""
        return {
            "cleanup.policy": "delete",
            "retention.ms": "-1",
            "retention.bytes": "-1",
            "max.message.bytes": str(self.max_bytes),
        }


def wanted(prefix: str = "") -> dict[str, Wanted]:
    """Every topic of the table and its dead letters', by the name that it has on the broker.

    Dead letters are whatever the broker took for their topic, and the reason on top: so theirs take as much
    as a producer of ours sends.
    """
    found = {}
    for topic in TOPICS.values():
        found[prefix + topic.name] = Wanted(topic.partitions, topic.max_bytes + HEADER_ROOM)
        found[prefix + topic.dead] = Wanted(1, MAX_REQUEST_BYTES)
    return found


async def provision(
    settings: KitSettings, *, replication: int = 1, patience_s: float = REACH_S
) -> tuple[str, ...]:
    """Make the topics that are missing, and set on the others what the table wants. Returns those made.

    Raises:
        WrongPartitions: a topic has another number of partitions; nothing was made or changed.
        LogError: no broker can be used, or it will not make a topic.
    """
    topics = wanted(settings.kafka_prefix)
    admin = await _admin(settings, patience_s)
    try:
        async with speaking(settings):
            there = await _partitions(admin)
            _check_counts(settings, topics, there)
            missing = tuple(name for name in topics if name not in there)
            await _make(admin, settings, {name: topics[name] for name in missing}, replication)
            await _set(admin, settings, {name: one for name, one in topics.items() if name in there})
            await _until_visible(admin, settings, topics)
    finally:
        await closed(admin)
    return missing


async def verify_topics(settings: KitSettings, *, patience_s: float = REACH_S) -> None:
    """Check that every topic of the table is there with the table's number of partitions. Changes nothing.

    Raises:
        WrongPartitions: one has more or fewer partitions.
        LogError: one is missing, or no broker can be used.
    """
    topics = wanted(settings.kafka_prefix)
    admin = await _admin(settings, patience_s)
    try:
        async with speaking(settings):
            there = await _partitions(admin)
    finally:
        await closed(admin)
    _check_counts(settings, topics, there)
    _check_there(settings, topics, there)


async def _admin(settings: KitSettings, patience_s: float) -> AIOKafkaAdminClient:
    return await reached(lambda: AIOKafkaAdminClient(**connection(settings)), settings, patience_s=patience_s)


async def _partitions(admin: AIOKafkaAdminClient) -> dict[str, int]:
    """Partitions by topic. All topics are asked for: asking for one by name may make it."""
    return {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics()}


def _check_counts(settings: KitSettings, topics: Mapping[str, Wanted], there: Mapping[str, int]) -> None:
    wrong = [
        f"{name} has {there[name]} and should have {one.partitions}"
        for name, one in topics.items()
        if name in there and there[name] != one.partitions
    ]
    if wrong:
        raise WrongPartitions(
            f"wrong number of partitions at {settings.kafka}: {'; '.join(wrong)}. The number cannot change "
            "once a topic is in use: a run's partition is its slot modulo that number, so its later events "
            "would stand in another partition than its earlier ones. Use the version of schemas/topics.py "
            "that these topics were made with, or leave them as they are and start afresh: on another "
            "cluster, or beside them with another TDS_KAFKA_PREFIX"
        )


def _check_there(settings: KitSettings, topics: Iterable[str], there: Mapping[str, int]) -> None:
    if missing := [name for name in topics if name not in there]:
        raise LogError(
            f"{len(missing)} topics are missing at {settings.kafka}, {missing[0]} for one. "
            "`python -m services.kit.kafka.provision` makes them"
        )


async def _make(
    admin: AIOKafkaAdminClient, settings: KitSettings, topics: Mapping[str, Wanted], replication: int
) -> None:
    if not topics:
        return
    answer = await admin.create_topics(
        [
            NewTopic(name, one.partitions, replication, topic_configs=one.settings())
            for name, one in topics.items()
        ]
    )
    for name, code, reason in answer.topic_errors:
        error = for_code(code)
        if code and error is not TopicAlreadyExistsError:  # somebody else made it just now
            raise LogError(
                f"Kafka at {settings.kafka} will not make {name} with {topics[name].partitions} partitions "
                f"and {replication} replicas: {error.__name__}: {reason}"
            )


async def _set(admin: AIOKafkaAdminClient, settings: KitSettings, topics: Mapping[str, Wanted]) -> None:
    """Set on existing topics what differs; what an operator set beside that stays."""
    if not topics:
        return
    asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]
    changes = []
    for answer in await admin.describe_configs(asked):
        for code, reason, _, name, entries in answer.resources:
            if code:
                raise LogError(f"Kafka at {settings.kafka} will not say how {name} is set: {reason}")
            now = {entry[0]: entry[1] for entry in entries}
            own = {entry[0]: entry[1] for entry in entries if entry[3] == OF_TOPIC}
            should = topics[name].settings()
            if any(now.get(key) != value for key, value in should.items()):
                changes.append(ConfigResource(ConfigResourceType.TOPIC, name, {**own, **should}))
    if changes:
        for answer in await admin.alter_configs(changes):
            for code, reason, _, name in answer.resources:
                if code:
                    raise LogError(f"Kafka at {settings.kafka} will not change how {name} is set: {reason}")


async def _until_visible(
    admin: AIOKafkaAdminClient, settings: KitSettings, topics: Mapping[str, Wanted]
) -> None:
    """Wait until the broker that answers us knows every topic."""
    deadline = asyncio.get_running_loop().time() + VISIBLE_S
    while True:
        there = await _partitions(admin)
        if all(name in there for name in topics):
            return _check_counts(settings, topics, there)
        if asyncio.get_running_loop().time() >= deadline:
            return _check_there(settings, topics, there)
        await asyncio.sleep(POLL_S)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command: 0 when all topics are there, 2 for wrong partitions, 1 for any other trouble."""
    parser = argparse.ArgumentParser(prog="python -m services.kit.kafka.provision", description=__doc__)
    parser.add_argument("--check", action="store_true", help="make and change nothing, only look")
    parser.add_argument(
        "--replication",
        type=int,
        default=os.environ.get(REPLICATION) or "1",
        help=f"replicas of every topic; {REPLICATION} or 1 if not given",
    )
    parser.add_argument(
        "--patience", type=float, default=REACH_S, help="seconds to wait for a broker that does not answer"
    )
    given = parser.parse_args(arguments)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what goes wrong is said below, once
    try:
        settings = load()
        if given.check:
            asyncio.run(verify_topics(settings, patience_s=given.patience))
            made: tuple[str, ...] = ()
        else:
            made = asyncio.run(provision(settings, replication=given.replication, patience_s=given.patience))
    except (LogError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201  (a command's output)
        return 2 if isinstance(error, WrongPartitions) else 1
    total = len(wanted())
    print(f"{total} topics at {settings.kafka}: {len(made)} made, {total - len(made)} were there")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
