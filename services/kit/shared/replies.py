"""Replies already paid for, as they are kept in Redis: their keys and their JSON.

A reply is kept from the moment it came, so that it outlives the replica that asked, should that one be
killed before the reply's event is in the log. What is found but is no reply is ignored.
"""

from __future__ import annotations

from typing import Final

from pydantic import TypeAdapter

from services.kit.models.chat import ChatReply, ChatRequest

TTL_S: Final = 24 * 3600
MAX_BYTES: Final = 256 * 1024
"""A larger reply is not kept."""

_FORM: Final = TypeAdapter(ChatReply)


def key(prefix: str, request: ChatRequest) -> str:
    """Where the reply to ``request`` is kept; empty for a request that belongs to no run."""
    if not request.run:
        return ""
    return f"{prefix}reply:{request.run}:{request.turn}:{request.role}:{request.digest()}"


def dump(reply: ChatReply) -> bytes | None:
    """The reply as JSON; None when it is too large or holds text that UTF-8 cannot."""
    try:
        text = _FORM.dump_json(reply)
    except ValueError:
        return None
    return text if len(text) <= MAX_BYTES else None


def load(text: bytes) -> ChatReply | None:
    """The reply that ``text`` is; None when ``dump`` cannot have written it."""
    try:
        reply = _FORM.validate_json(text, strict=True)
    except ValueError:
        return None
    counts = (reply.prompt_tokens, reply.completion_tokens, reply.attempts - 1, reply.usd)
    return reply if min(counts) >= 0 and dump(reply) == text else None
