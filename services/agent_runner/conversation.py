"""A run's dialogue in OpenAI's chat format, as the assistant sees it and as it is exported."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from schemas.catalog import ToolSpec
from schemas.run import AssistantSpoke, ToolReturned, UserSpoke

Json = dict[str, Any]

SYSTEM: Final = (
    "You are a helpful assistant with access to tools. Use them to do what the user asks, take the values "
    "you pass to them from the conversation or from earlier results, and ask the user for what is missing. "
    "When everything is done, tell the user what came of it."
)

_SURROGATES: Final = re.compile("[\ud800-\udfff]")


def opening() -> Json:
    """The system message that every conversation begins with."""
    return {"role": "system", "content": SYSTEM}


def message(event: UserSpoke | AssistantSpoke | ToolReturned) -> Json:
    """The chat message that an event of the run stands for."""
    if isinstance(event, UserSpoke):
        return {"role": "user", "content": event.content}
    if isinstance(event, ToolReturned):
        return {"role": "tool", "tool_call_id": event.call, "name": event.name, "content": event.content}
    spoken: Json = {"role": "assistant", "content": event.content or None}
    if event.calls:
        spoken["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in event.calls
        ]
    return spoken


def offered(tools: tuple[ToolSpec, ...]) -> tuple[Json, ...]:
    """The tools column: what a model API takes."""
    return tuple(
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description, "parameters": tool.input_schema},
        }
        for tool in tools
    )


def observation_text(content: Any, limit_bytes: int) -> tuple[str, int]:
    """An observation as JSON text of at most about ``limit_bytes``, and its full size when it was cut.

    A cut observation stays valid JSON: ``{"truncated": text, "size_bytes": n}``. Half a surrogate pair,
    which an argument may have brought in by an escape, is an escape again.
    """
    text = json.dumps(content, ensure_ascii=False)
    if not text.isascii() and _SURROGATES.search(text):
        text = json.dumps(content)
    size = len(text.encode())
    if size <= limit_bytes:
        return text, 0
    kept = text.encode()[: limit_bytes // 2].decode(errors="ignore")
    return json.dumps({"truncated": kept, "size_bytes": size}, ensure_ascii=False), size
