"""One key of a performer on a log of its own: fold, next step, perform, append, and back through JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.codec import decode
from schemas.envelope import Envelope, Message
from schemas.topics import TOPIC_OF, TOPICS
from services.kit.chain import Chain, Head, seal
from services.kit.models.chat import ChatReply, ChatRequest, ModelFailed
from services.kit.service import Append, Closed, Draft, Effect, Perform, Performer, Step, Wait

TIME = "2026-01-01T00:00:00Z"


class Solo:
    """The key ``key`` of ``service``. Everything that is appended comes back at once, in its chain."""

    def __init__(self, service: Performer, key: str) -> None:
        self.service = service
        self.key = key
        self.state: Any = service.initial(key)
        self.reference = service.initial_reference()
        self.heads: dict[tuple[str, str], Head] = {}
        self.chain = Chain()
        self.log: list[Envelope] = []

    def given(self, *messages: Message) -> Solo:
        """These are appended, and folded."""
        for one in seal([Draft(self.key, message) for message in messages], self.heads, "test", TIME):
            out = one.outgoing
            self.fold(decode(TOPICS[out.topic], out.key, out.headers, out.value))
        return self

    def fold(self, envelope: Envelope) -> None:
        self.log.append(envelope)
        if self.chain.accept(TOPIC_OF[type(envelope.data)].name, envelope):
            self.state = self.service.evolve(self.state, envelope)

    @property
    def step(self) -> Step:
        """What is due now; asking changes nothing."""
        step = self.service.next_step(self.state, self.reference)
        assert step == self.service.next_step(self.state, self.reference)
        return step

    @property
    def effect(self) -> Effect:
        assert isinstance(self.step, Perform), self.step
        return self.step.effect

    def perform(self) -> list[Message]:
        """Perform what is due; three times when it raises, then the service says what stands for it."""
        effect = self.effect
        for attempt in range(3):
            try:
                drafts = asyncio.run(_awaited(self.service, effect))
                break
            except Exception as error:
                if attempt == 2:
                    drafts = self.service.gave_up(self.state, effect, error)
        return [draft.data for draft in drafts]

    def advance(self) -> list[Message]:
        """One step, carried out."""
        step = self.step
        if isinstance(step, Append):
            messages = [draft.data for draft in step.drafts]
        elif isinstance(step, Perform):
            messages = self.perform()
        else:
            return []
        assert messages
        self.given(*messages)
        return messages

    def play(self, limit: int = 500) -> list[Message]:
        """Steps, until it waits or is closed; what was appended."""
        appended: list[Message] = []
        for _ in range(limit):
            messages = self.advance()
            if not messages:
                assert isinstance(self.step, Wait | Closed)
                return appended
            appended += messages
        raise AssertionError(f"{self.key} does not come to an end")

    @property
    def closed(self) -> bool:
        return isinstance(self.step, Closed)

    @property
    def messages(self) -> list[Message]:
        return [envelope.data for envelope in self.log]


async def _awaited(service: Performer, effect: Any) -> Sequence[Draft]:
    return await service.perform(effect)


Line = ChatReply | Exception | Callable[[ChatRequest], ChatReply]


@dataclass
class Cast:
    """A ``ChatModel`` with lines for every role, spoken in order; the last line of a role repeats."""

    lines: dict[str, list[Line]] = field(default_factory=dict)
    requests: list[ChatRequest] = field(default_factory=list)

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.requests.append(request)
        lines = self.lines.get(request.role)
        if not lines:
            raise ModelFailed("no_line", f"nothing to say as {request.role}", infrastructure=False)
        line = lines.pop(0) if len(lines) > 1 else lines[0]
        if isinstance(line, Exception):
            raise line
        return line if isinstance(line, ChatReply) else line(request)

    def asked(self, role: str) -> list[ChatRequest]:
        return [request for request in self.requests if request.role == role]


def said(texts: Iterable[str]) -> list[Line]:
    """Lines that are texts."""
    return [ChatReply(content=text) for text in texts]
