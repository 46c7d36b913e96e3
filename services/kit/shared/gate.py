"""What stands before each attempt at a model when replicas share a Redis: kept replies, and the shared pace.

One round trip before an attempt answers both questions, so a kept reply costs neither a request nor a place
in the pace; what came of the attempt is sent without waiting for it. Neither is there a wait where both
answers are known: nobody can have kept a reply for a run that this replica alone has had, and where there
was no limit just now there is none; Redis is told of such attempts later. Without Redis nothing is
kept, and a replica goes at its share of the pace that was last known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from services.kit.alone import ALONE
from services.kit.models.chat import ChatReply, ChatRequest
from services.kit.models.retry import AttemptFailed
from services.kit.shared import pace, replies
from services.kit.shared.redis import Shared

PATIENCE_S: Final = 120.0
"""The longest wait for leave to send: then it is sent regardless, and bounded by its retries."""
LONGEST_SLEEP_S: Final = 1.0
"""Before a waiting attempt asks again, for the pace may have become faster."""


class SharedGate:
    """A ``retry.Gate`` on ``shared``. ``quiet_s``: after how long a limit that does not bind is dropped."""

    def __init__(
        self,
        shared: Shared,
        *,
        quiet_s: float = pace.QUIET_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.shared = shared
        self.told = shared.script(pace.script(pace.TOLD, quiet_s))
        self._enter = shared.script(pace.script(pace.ENTER, quiet_s))
        self._sleep = sleep
        self._last: dict[str, pace.LastKnown] = {}

    async def enter(self, request: ChatRequest) -> ChatReply | SharedPermit:
        """The reply that was kept, or else leave to send, once it is given."""
        clock = asyncio.get_running_loop().time
        kept = look_at = replies.key(self.shared.prefix, request)
        limit = f"{self.shared.prefix}pace:{request.model}@{request.base_url}"
        last = self._last.setdefault(limit, pace.LastKnown())
        if ALONE.get() and not self.shared.gone and (free_at := last.free_at(clock())):
            last.untold += 1
            last.sent(clock())
            return SharedPermit(self, kept, limit, last, sent_at=free_at)
        until_s, ticket = clock() + PATIENCE_S, b""
        while True:
            untold = last.tell()
            answer = await self.shared.ask("EVALSHA", self._enter, 2, look_at, limit, ticket, untold)
            if answer is None:
                await self._pause(min(last.wait_s(clock()), until_s - clock()))
                return SharedPermit(self, kept, limit, last)
            if answer[0] == pace.HIT:
                last.untold += untold
                if (reply := replies.load(answer[1])) is not None:
                    return reply
                look_at = ""  # it is no reply: the one to come takes its place
                continue
            if answer[0] == pace.FREE:
                last.unlimited(answer[1], clock())
                last.sent(clock())
                return SharedPermit(self, kept, limit, last, sent_at=answer[1])
            _, now, wait, ticket, rate, sent = answer
            wait_s = min(float(wait), until_s - clock())
            if wait_s <= 0:
                last.sent(clock())
                last.learn(float(rate), float(sent), clock())
                return SharedPermit(self, kept, limit, last, sent_at=now, limited=True)
            await self._pause(min(wait_s, LONGEST_SLEEP_S))

    async def _pause(self, seconds: float) -> None:
        if seconds > 0:
            await self._sleep(seconds)


@dataclass(frozen=True, slots=True)
class SharedPermit:
    """Leave for one attempt. ``sent_at``: when, by Redis's clock; empty when Redis was gone."""

    gate: SharedGate
    kept: str
    limit: str
    last: pace.LastKnown
    sent_at: bytes = b""
    limited: bool = False

    def replied(self, reply: ChatReply) -> None:
        """Keep the reply, and let the pace rise if there is a limit."""
        shared = self.gate.shared
        if self.kept and (text := replies.dump(reply)) is not None:
            shared.send("SET", self.kept, text, "EX", replies.TTL_S)
        if self.limited:
            shared.send("EVALSHA", self.gate.told, 1, self.limit, "good", self.last.tell())

    def failed(self, failure: AttemptFailed) -> None:
        """Slow down if the server asked for it; other failures say nothing about the pace."""
        if failure.code != "rate_limited" and failure.retry_after_s is None:
            return
        self.last.doubt()
        hold_s = failure.retry_after_s or 0.0
        if self.sent_at and not self.gate.shared.gone:
            hold = f"{hold_s:.3f}"
            untold = self.last.tell()
            self.gate.shared.send("EVALSHA", self.gate.told, 1, self.limit, self.sent_at, hold, untold)
        else:
            self.last.pushed_back(hold_s, asyncio.get_running_loop().time())
