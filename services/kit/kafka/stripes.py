"""The assignor of performers: partitions dealt out to the members of a group like cards.

A run's partition is its slot modulo the partition count, so the open runs of a generation stand in
neighbouring partitions. aiokafka's range assignor hands out neighbours together, and a small generation would
keep one replica busy and leave the others idle; its round robin does not give the same partitions of every
topic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aiokafka.cluster import ClusterMetadata
from aiokafka.coordinator.assignors.abstract import AbstractPartitionAssignor
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment, ConsumerProtocolMemberMetadata


class Stripes(AbstractPartitionAssignor):  # type: ignore[misc]
    """Partition ``p`` of every topic goes to member ``p`` modulo their number, in the order of their ids.

    All members read the same topics, which have equal partition counts: so topics keyed alike come together.
    """

    name = "tds-stripes"
    version = 0

    @classmethod
    def assign(
        cls, cluster: ClusterMetadata, members: Mapping[str, ConsumerProtocolMemberMetadata]
    ) -> dict[str, ConsumerProtocolMemberAssignment]:
        """Who gets what, by member id."""
        topics = sorted({topic for metadata in members.values() for topic in metadata.subscription})
        partitions = {topic: sorted(cluster.partitions_for_topic(topic) or ()) for topic in topics}
        order = sorted(members)
        return {
            member: ConsumerProtocolMemberAssignment(
                cls.version,
                [
                    (topic, [one for one in partitions[topic] if one % len(order) == place])
                    for topic in topics
                ],
                b"",
            )
            for place, member in enumerate(order)
        }

    @classmethod
    def metadata(cls, topics: Iterable[str]) -> ConsumerProtocolMemberMetadata:
        """What a member says of itself."""
        return ConsumerProtocolMemberMetadata(cls.version, sorted(topics), b"")

    @classmethod
    def on_assignment(cls, assignment: ConsumerProtocolMemberAssignment) -> None:
        """Nothing to remember."""
