"""The port to language models: one request, one reply, one kind of failure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic_core import to_json


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One chat completion, in OpenAI's terms.

    ``model`` and ``base_url`` say who answers; ``role`` and ``run`` and ``turn`` say for what, and go to
    logs and the reply cache only. ``script`` is handed to ``sim`` models and to no other.
    """

    role: str
    run: str
    turn: int
    model: str
    messages: tuple[dict[str, Any], ...]
    base_url: str = ""
    tools: tuple[dict[str, Any], ...] = ()
    json_schema: dict[str, Any] | None = None
    seed: int = 0
    max_tokens: int = 1024
    script: dict[str, Any] | None = None
    _digest: str = field(default="", init=False, repr=False, compare=False)

    def digest(self) -> str:
        """16 hexadecimal digits over everything that the reply may depend on; worked out once."""
        if not self._digest:
            object.__setattr__(self, "_digest", self._digested())
        return self._digest

    def _digested(self) -> str:
        content = [
            self.model,
            self.messages,
            self.tools,
            self.json_schema,
            self.seed,
            self.max_tokens,
            self.script,
        ]
        return hashlib.sha256(to_json(content)).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class ChatCall:
    """A tool call in a reply; ``arguments`` is the text as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ChatReply:
    """A model's reply and what it cost. ``usd`` is 0 where no price is known."""

    content: str = ""
    calls: tuple[ChatCall, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0
    usd: float = 0.0
    attempts: int = field(default=1, compare=False)


class ModelFailed(Exception):  # noqa: N818  (it is the model that failed; the name stands in events)
    """No usable reply, after all retries. ``code`` can be counted.

    ``infrastructure``: the model could not be reached or kept failing; otherwise the request itself was
    refused (unknown model, context too long), and asking again would not help.
    """

    def __init__(self, code: str, detail: str, *, infrastructure: bool) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.infrastructure = infrastructure


class ChatModel(Protocol):
    """Anything that answers chat requests."""

    async def complete(self, request: ChatRequest) -> ChatReply:
        """The reply.

        Raises:
            ModelFailed: when there is none.
        """
