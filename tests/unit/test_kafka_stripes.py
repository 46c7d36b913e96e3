from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from services.kit.kafka.stripes import Stripes

TOPICS = ("tds.blueprint.events", "tds.run.events", "tds.sandbox.events")


class Cluster:
    def partitions_for_topic(self, _topic):
        return set(range(64))


def dealt(members):
    subscribed = {member: Stripes.metadata(TOPICS) for member in members}
    found = Stripes.assign(Cluster(), subscribed)
    return {member: dict(one.assignment) for member, one in found.items()}


@given(st.sets(st.text(min_size=1), min_size=1, max_size=70))
def test_every_partition_has_one_owner_who_has_it_of_all_topics_and_nobody_has_two_more_than_another(members):
    found = dealt(members)
    owners = {topic: Counter(p for one in found.values() for p in one[topic]) for topic in TOPICS}
    assert all(count == Counter(range(64)) for count in owners.values())
    assert all(len({tuple(one[topic]) for topic in TOPICS}) == 1 for one in found.values())
    sizes = [len(one[TOPICS[0]]) for one in found.values()]
    assert max(sizes) - min(sizes) <= 1


def test_neighbouring_slots_go_to_different_members():
    found = dealt({"a", "b", "c", "d"})
    for first in range(60):
        busy = {member for member, one in found.items() if set(one[TOPICS[0]]) & set(range(first, first + 4))}
        assert len(busy) == 4
