"""The port to language models: one request, one reply, one kind of failure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from pydantic_core import to_json


class Parts(NamedTuple):
    """The long parts of a request, as JSON."""

    messages: bytes
    tools: bytes
    json_schema: bytes
    script: bytes


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
    _parts: list[Parts] = field(default_factory=list, init=False, repr=False, compare=False)

    def digest(self) -> str:
        """16 hexadecimal digits over everything that the reply may depend on."""
        messages, tools, schema, script = self.parts()
        model, seed, limit = to_json(self.model), to_json(self.seed), to_json(self.max_tokens)
        content = b"[%s]" % b",".join((model, messages, tools, schema, seed, limit, script))
        return hashlib.sha256(content).hexdigest()[:16]

    def parts(self) -> Parts:
        """The long parts as JSON, written once: digest and body both need them."""
        if not self._parts:
            long = (self.messages, self.tools, self.json_schema, self.script)
            self._parts.append(Parts(*(to_json(part, inf_nan_mode="constants") for part in long)))
        return self._parts[0]


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
