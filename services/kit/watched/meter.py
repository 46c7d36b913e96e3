"""What a host tells of itself while it works, and where it stands when asked. Here: nobody listens.

``metrics`` has the meter that keeps numbers for Prometheus. Hosts call this one where nobody reads them
(the embedded system), so that they need not ask whether there is a meter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from schemas.envelope import Envelope
from services.kit.log import Offsets, Outgoing
from services.kit.models.chat import ChatModel, ChatReply, ChatRequest, ModelFailed
from services.kit.models.retry import FailedAttempt
from services.kit.watched.tracing import Tracing

Outcome = Literal["appended", "superseded", "gave_up", "not_performed"]
"""Of an effect: its result was appended; another replica's event stood there first; it raised for the last
time; this host cannot do it, or was stopped before it was done."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a hosted service stands at the moment of asking.

    ``positions`` has every partition that is read now, references included, with the offset of the next
    record to be folded (0 where none was yet).
    """

    state: Literal["starting", "standby", "active"]
    """Starting: not connected yet, or no assignment yet. Only a decider stands by."""
    positions: Offsets = field(default_factory=dict)
    caught_up: bool = False
    """Whether all that was in the log when reading began is folded."""
    bounded: bool = False
    """Whether it reads no further because it has as much in hand as it may have."""
    open_keys: int = 0
    in_flight: int = 0
    capacity: int = 0

    def lag(self, ends: Mapping[tuple[str, int], int]) -> dict[str, int]:
        """Records not folded yet, by topic, given where partitions end."""
        lags: dict[str, int] = {}
        for place, position in self.positions.items():
            behind = max(0, ends.get(place, 0) - position)
            lags[place[0]] = lags.get(place[0], 0) + behind
        return lags


class Meter:
    """Keeps nothing."""

    def folded(self, topic: str, envelope: Envelope, *, dropped: bool) -> None:
        """A record was folded, or dropped: a duplicate, or the loser of a race."""

    def buried(self, topic: str, code: str) -> None:
        """A record of ``topic`` became a dead letter."""

    def appended(self, records: Sequence[Outgoing], seconds: float) -> None:
        """These are in the log; it took so long."""

    def performed(self, kind: str, outcome: Outcome, seconds: float) -> None:
        """An effect has ended, after as many attempts as it took."""

    def replied(self, request: ChatRequest, reply: ChatReply) -> None:
        """A model call has brought a reply."""

    def failed(self, request: ChatRequest, failure: ModelFailed) -> None:
        """A model call has brought none, after all attempts."""

    def attempt_failed(self, failed: FailedAttempt) -> None:
        """One attempt of a model call failed; fits ``ModelRouter(on_failed=…)``."""


class Watched:
    """A model whose calls ``meter`` and ``tracing`` hear of; both may be set later than it is made."""

    def __init__(self, inner: ChatModel, meter: Meter | None = None, tracing: Tracing | None = None) -> None:
        self.meter = meter or Meter()
        self.tracing = tracing or Tracing()
        self._inner = inner

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The inner model's reply.

        Raises:
            ModelFailed: the inner model's.
        """
        self.tracing.asks(request.role)
        try:
            reply = await self._inner.complete(request)
        except ModelFailed as failure:
            self.meter.failed(request, failure)
            raise
        self.meter.replied(request, reply)
        return reply
