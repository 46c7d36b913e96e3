"""The decider's loop without I/O: fold whole topics, decide, wait until the decision has come back."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from schemas.envelope import Envelope
from services.kit.chain import Chain, Head, Sealed, seal
from services.kit.log import Offsets, Record
from services.kit.service import Decider

CHAINS: Final = 200_000
"""Keys whose chains are remembered; the least recently used goes first."""


class Fold:
    """The one state of a decider.

    Args:
        service: what is decided.
        ends: where every partition of its inputs ended when reading began (always at offset 0):
            nothing is decided before all of that, its own outputs included, is folded.
    """

    def __init__(self, service: Decider, ends: Offsets) -> None:
        self.service = service
        self.source = f"tds/{service.name}"
        self.state = service.initial()
        self.dropped = 0
        self._behind = {place: end for place, end in ends.items() if end > 0}
        self._chains: OrderedDict[str, Chain] = OrderedDict()
        self._awaited: dict[tuple[str, str], list[tuple[int, str]]] = {}
        self._changed = True

    @property
    def caught_up(self) -> bool:
        """Whether everything that was in the log at the start has been folded."""
        return not self._behind

    @property
    def quiet(self) -> bool:
        """Whether nothing is due and nothing that was appended is still on its way back."""
        return not (self._behind or self._awaited or self._changed)

    def wants(self, _record: Record) -> bool:
        """Whether a record concerns it: a decider reads whole topics, each record once."""
        return True

    def skip(self, record: Record) -> None:
        """Count a record as read that is not folded: a dead letter."""
        place = (record.topic, record.partition)
        end = self._behind.get(place)
        if end is not None and record.offset + 1 >= end:
            del self._behind[place]

    def receive(self, record: Record, envelope: Envelope) -> None:
        """Fold one record."""
        chain = self._chains.get(record.key)
        if chain is None:
            chain = self._chains[record.key] = Chain()
            if len(self._chains) > CHAINS:
                self._chains.popitem(last=False)
        self._chains.move_to_end(record.key)
        if chain.accept(record.topic, envelope):
            self.state = self.service.evolve(self.state, envelope)
            self._changed = True
            if self._awaited:
                self._settle(record, envelope)
        else:
            self.dropped += 1
            self._lost(record, envelope)
        self.skip(record)

    def _lost(self, record: Record, envelope: Envelope) -> None:
        """If this is an event of our own that lost its place to a rival's, wait no longer, decide again."""
        place = (record.topic, record.key)
        awaited = self._awaited.get(place, [])
        left = [one for one in awaited if one[1] != envelope.id]
        if envelope.sequence and len(left) < len(awaited):
            self._changed = True
            if left:
                self._awaited[place] = left
            else:
                del self._awaited[place]

    def _settle(self, record: Record, envelope: Envelope) -> None:
        """Stop waiting for what has come back, or has lost its place in the sequence to a rival."""
        place = (record.topic, record.key)
        left = [
            (sequence, identity)
            for sequence, identity in self._awaited.get(place, ())
            if identity != envelope.id and not 0 < sequence <= envelope.sequence
        ]
        if left:
            self._awaited[place] = left
        else:
            self._awaited.pop(place, None)

    def due(self, time: str) -> list[Sealed]:
        """The messages that are due now; each batch is handed out once and must be appended."""
        if self._behind or self._awaited or not self._changed:
            return []
        self._changed = False
        drafts = self.service.decide(self.state)
        heads: dict[tuple[str, str], Head] = {}
        for draft in drafts:
            chain = self._chains.get(draft.key)
            if chain is not None:
                heads[draft.topic.name, draft.key] = chain.head(draft.topic.name)
        sealed = seal(drafts, heads, self.source, time)
        for one in sealed:
            place = (one.outgoing.topic, one.outgoing.key)
            self._awaited.setdefault(place, []).append((one.sequence, one.id))
        return sealed
