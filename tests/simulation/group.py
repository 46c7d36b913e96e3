"""A consumer group as its coordinator sees it: members, generations, assignments, committed offsets."""

from __future__ import annotations

from dataclasses import dataclass, field

from services.kit.log import Offsets
from tests.simulation.log import PARTITIONS
from tests.simulation.replica import Replica


@dataclass
class Group:
    """The replicas of one performer. Every change of the members leads to a new generation.

    A generation begins when all members have joined it; then each is told its partitions, in its own time.
    """

    members: list[Replica] = field(default_factory=list)
    joined: list[Replica] = field(default_factory=list)
    preparing: bool = False
    generation: int = 0
    assignment: dict[int, frozenset[int]] = field(default_factory=dict)
    committed: Offsets = field(default_factory=dict)

    def join(self, replica: Replica) -> None:
        """A member, old or new, is there for the next generation."""
        self._prepare()
        if replica not in self.members:
            self.members.append(replica)
        if replica not in self.joined:
            self.joined.append(replica)
        self._complete()

    def leave(self, replica: Replica) -> None:
        """A member has left, has crashed, or was not heard of in time."""
        if replica not in self.members:
            return
        self._prepare()
        self.members.remove(replica)
        if replica in self.joined:
            self.joined.remove(replica)
        self._complete()

    def _prepare(self) -> None:
        if not self.preparing:
            self.preparing, self.joined = True, []

    def _complete(self) -> None:
        if not self.members or len(self.joined) < len(self.members):
            return
        self.preparing = False
        self.generation += 1
        self.assignment = {
            id(member): frozenset(range(index, PARTITIONS, len(self.members)))
            for index, member in enumerate(self.members)
        }

    def calls(self, replica: Replica) -> bool:
        """Whether a member has to join, or has an assignment that it does not know of."""
        if replica not in self.members:
            return True
        if self.preparing:
            return replica not in self.joined
        return replica.generation < self.generation

    def commit(self, replica: Replica, offsets: Offsets) -> bool:
        """Commit, if this is a member in the group's generation, for partitions that are its own."""
        if replica not in self.members or replica.generation != self.generation:
            return False
        own = self.assignment[id(replica)]
        self.committed.update({place: end for place, end in offsets.items() if place[1] in own})
        return True
