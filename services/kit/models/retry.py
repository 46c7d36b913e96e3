"""The one retry layer for model calls: bounded attempts, bounded waits, Retry-After honoured.

A client makes one attempt and says what came of it: a reply, ``AttemptFailed`` (another attempt may go
better) or ``ModelFailed`` (it would not). ``Retrying`` is wrapped around it and is itself a ``ChatModel``.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import Protocol

import structlog

from services.kit.models.chat import ChatModel, ChatReply, ChatRequest, ModelFailed

log = structlog.get_logger(__name__)


class AttemptFailed(Exception):  # noqa: N818  (like ModelFailed: the attempt is what failed)
    """One attempt brought no usable reply, and another may. ``code`` can be counted.

    ``retry_after_s``: how long the server asked us to wait, in seconds; None when it did not say.
    """

    def __init__(self, code: str, detail: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Bounds of one model call; it ends within ``attempts · (timeout_s + 1.1 · longest_retry_after_s)``.

    ``timeout_s`` is for one attempt, from connecting to the last byte. The wait before attempt n + 1 is
    ``first_wait_s · 2^(n-1)``, at most ``longest_wait_s``, of which a random half is left off. A
    Retry-After is a floor under that wait, as far as ``longest_retry_after_s``.
    """

    attempts: int = 8
    timeout_s: float = 120.0
    first_wait_s: float = 0.25
    longest_wait_s: float = 20.0
    longest_retry_after_s: float = 60.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.timeout_s <= 0:
            raise ValueError(f"a retry policy needs at least one attempt and a timeout above 0: {self}")

    def wait_s(self, attempt: int, retry_after_s: float | None, rng: random.Random) -> float:
        """Seconds to wait after failed attempt number ``attempt`` (from 1)."""
        backoff = min(self.longest_wait_s, math.ldexp(self.first_wait_s, attempt - 1))
        jittered = backoff * rng.uniform(0.5, 1.0)
        if retry_after_s is None:
            return jittered
        # Spread over 10 % after the time asked for, so that all who were told the same come apart.
        floor = min(self.longest_retry_after_s, max(0.0, retry_after_s))
        return max(jittered, floor * rng.uniform(1.0, 1.1))


@dataclass(frozen=True, slots=True)
class FailedAttempt:
    """What ``on_failed`` is told. ``wait_s`` is None when no further attempt follows."""

    request: ChatRequest
    attempt: int
    code: str
    detail: str
    wait_s: float | None


def note_failed(failed: FailedAttempt) -> None:
    """Write down an attempt at a model call that failed: in the log's events only the reply has a place."""
    request = failed.request
    log.info(
        "attempt failed",
        run=request.run,
        turn=request.turn,
        role=request.role,
        attempt=failed.attempt,
        code=failed.code,
        detail=failed.detail,
        wait_s=None if failed.wait_s is None else round(failed.wait_s, 3),
    )


class Permit(Protocol):
    """Leave for one attempt. It hears what came of it, unless the request was refused for good."""

    def replied(self, reply: ChatReply) -> None:
        """The attempt brought this reply."""

    def failed(self, failure: AttemptFailed) -> None:
        """The attempt failed so."""


class Gate(Protocol):
    """What each attempt must pass first: ``services.kit.shared.gate`` has the one that replicas share."""

    async def enter(self, request: ChatRequest) -> ChatReply | Permit:
        """A reply that makes the attempt needless, or else leave to make it, once it is given."""


class Retrying:
    """A model that asks ``inner`` until it replies or the policy is exhausted.

    ``sleep`` and ``rng`` are arguments so that tests need no time. ``on_call`` hears of every attempt
    before it is made, ``on_failed`` of every one that failed. ``gate``, if any, is passed before each;
    what it keeps an attempt waiting comes on top of the policy's bounds.
    """

    def __init__(
        self,
        inner: ChatModel,
        policy: RetryPolicy | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        rng: random.Random | None = None,
        on_call: Callable[[ChatRequest], None] | None = None,
        on_failed: Callable[[FailedAttempt], None] | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._inner = inner
        self._policy = policy or RetryPolicy()
        self._sleep = sleep
        self._rng = rng or random.Random("model retries")
        self._on_call = on_call
        self._on_failed = on_failed
        self._gate = gate

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The reply, with the number of attempts that it took.

        Raises:
            ModelFailed: with ``infrastructure`` set when the last attempt failed too; as the inner client
                raised it when that said that asking again would not help.
        """
        attempts = self._policy.attempts
        for attempt in range(1, attempts + 1):
            permit = None if self._gate is None else await self._gate.enter(request)
            if isinstance(permit, ChatReply):
                return permit
            if self._on_call is not None:
                self._on_call(request)
            try:
                async with asyncio.timeout(self._policy.timeout_s):
                    reply = await self._inner.complete(request)
            except AttemptFailed as error:
                failure = error
            except TimeoutError:
                failure = AttemptFailed("timeout", f"no reply within {self._policy.timeout_s:g} s")
            except ModelFailed as refused:
                self._tell(FailedAttempt(request, attempt, refused.code, refused.detail, None))
                raise
            else:
                reply = replace(reply, attempts=attempt)
                if permit is not None:
                    permit.replied(reply)
                return reply
            if permit is not None:
                permit.failed(failure)
            last = attempt == attempts
            wait_s = None if last else self._policy.wait_s(attempt, failure.retry_after_s, self._rng)
            self._tell(FailedAttempt(request, attempt, failure.code, failure.detail, wait_s))
            if wait_s is not None:
                await self._sleep(wait_s)
        raise ModelFailed(
            failure.code, f"{failure.detail} (attempt {attempts} of {attempts})", infrastructure=True
        ) from failure

    def _tell(self, failed: FailedAttempt) -> None:
        if self._on_failed is not None:
            self._on_failed(failed)


def retry_after_s(value: str, now_s: float) -> float | None:
    """Seconds that a Retry-After header asks for (RFC 9110, section 10.2.3): a number or an HTTP date.

    ``now_s`` is the Unix time. None when the header is neither; a date in the past gives 0.
    """
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - now_s
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
