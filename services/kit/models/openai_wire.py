"""OpenAI's chat completion protocol, as this project speaks it: request out, reply in, status to failure.

Pure but for the keys in the environment, which ``scrub`` keeps out of every text that leaves here.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import to_json

from services.kit.models.chat import ChatCall, ChatReply, ChatRequest, ModelFailed
from services.kit.models.retry import AttemptFailed, retry_after_s

Json = dict[str, Any]

INSTALL: Final = "pip install 'tdscaling[models]'"
MAX_REPLY_BYTES: Final = 4 * 1024 * 1024
RETRYABLE: Final[Mapping[int, str]] = {
    408: "timeout",
    409: "conflict",
    425: "too_early",
    429: "rate_limited",
}
_KEY_NAME: Final = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD)$")
_LOOKS_LIKE_A_KEY: Final = re.compile(r"(?i)\b(?:bearer\s+\S+|(?:sk|pk|rk|gsk|hf|key)[-_][\w*.\-]{6,})")
_TOO_LONG: Final = re.compile(r"(?i)context[ _](?:length|size|window)")
_SHOWN_CHARS: Final = 300


def is_sim_named(model: str) -> bool:
    """Whether ``model`` names a scripted actor: ``sim`` or ``sim?…``, with or without ``openai/``.

    The one rule that decides whether a request's script may leave the process.
    """
    name = model.removeprefix("openai/")
    return name == "sim" or name.startswith("sim?")


def request_body(request: ChatRequest, name: str) -> bytes:
    """The JSON body that asks ``name`` for ``request``.

    Scripted actors get their script and whom it is for (``tds_…``), and the seed whole; every other
    model gets neither, and a seed of 31 bits, which is what servers take.
    """
    parts = request.parts()
    body = {"model": to_json(name), "messages": parts.messages, "max_tokens": to_json(request.max_tokens)}
    if request.tools:
        body["tools"] = parts.tools
    if request.json_schema is not None:
        named = b'{"name":"reply","schema":%s}' % parts.json_schema
        body["response_format"] = b'{"type":"json_schema","json_schema":%s}' % named
    if is_sim_named(request.model):
        body["seed"] = to_json(request.seed)
        body["tds_role"] = to_json(request.role)
        body["tds_run"] = to_json(request.run)
        body["tds_turn"] = to_json(request.turn)
        body["tds_script"] = parts.script
    else:
        body["seed"] = to_json(request.seed % 2**31)
    return b"{%s}" % b",".join(b'"%s":%s' % (member.encode(), value) for member, value in body.items())


def parse_reply(text: str | bytes, request: ChatRequest, usd: float = 0.0) -> ChatReply:
    """The reply in a 200 body.

    A tool call without an id gets one made from the request. Text of arguments is not looked into:
    whether they are JSON and fit the tool is for the verifier to say.

    Raises:
        AttemptFailed: "malformed", saying what is wrong: not JSON, no choices, a wrong type.
    """
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        shown = text if isinstance(text, str) else text[:_SHOWN_CHARS].decode("utf-8", "replace")
        raise _malformed(f"the body is not JSON: {scrub(shown)!r}") from error
    if not isinstance(body, dict):
        raise _malformed("the body is not a JSON object")
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices:
        raise _malformed(f"the body has no choices{_error_of(body)}")
    message = choices[0].get("message") if isinstance(choices[0], dict) else None
    if not isinstance(message, dict):
        raise _malformed("choices[0].message is not an object")
    content = message.get("content")
    if content is not None and not isinstance(content, str):
        raise _malformed(f"content is {type(content).__name__}, not text")
    raw_calls = message.get("tool_calls")
    if raw_calls is not None and not isinstance(raw_calls, list):
        raise _malformed(f"tool_calls is {type(raw_calls).__name__}, not a list")
    calls = tuple(_call(raw, index, request) for index, raw in enumerate(raw_calls or ()))
    if len({call.id for call in calls}) < len(calls):
        raise _malformed("two tool calls have the same id")
    usage = body.get("usage")
    if usage is not None and not isinstance(usage, dict):
        raise _malformed(f"usage is {type(usage).__name__}, not an object")
    return ChatReply(
        content=_text(content or ""),
        calls=calls,
        prompt_tokens=_tokens(usage or {}, "prompt_tokens"),
        completion_tokens=_tokens(usage or {}, "completion_tokens"),
        usd=usd,
    )


def failure_of(
    status: int, headers: Mapping[str, str], text: str, where: str, now_s: float
) -> AttemptFailed | ModelFailed:
    """What an HTTP status other than 2xx means; ``where`` names model and server for the reader.

    ``now_s`` is Unix time, in seconds.
    """
    headers = {name.lower(): value for name, value in headers.items()}
    said = f"{where} answered {status}: {_message_in(text)}"
    if status in RETRYABLE or status >= 500:
        after = headers.get("retry-after")
        return AttemptFailed(
            RETRYABLE.get(status, "server_error"),
            said,
            retry_after_s=None if after is None else retry_after_s(after, now_s),
        )
    if status in (401, 403):
        advice = "set the provider's API key in the environment (OPENAI_API_KEY for OpenAI's protocol)"
        code = "unauthorized" if status == 401 else "forbidden"
        return ModelFailed(
            code, f"{said} - {advice}, or use one that may use this model", infrastructure=True
        )
    if status == 404:
        advice = "correct the model's name or the base URL (it usually ends in /v1)"
        return ModelFailed("not_found", f"{said} - {advice}", infrastructure=False)
    if 300 <= status < 400:
        target = scrub(headers.get("location", "elsewhere"))
        return ModelFailed("redirected", f"{said} - give {target!r} as base URL", infrastructure=True)
    if status == 400 and _TOO_LONG.search(text):
        return ModelFailed("context_too_long", said, infrastructure=False)
    codes = {400: "bad_request", 413: "request_too_large", 422: "unprocessable"}
    return ModelFailed(codes.get(status, f"http_{status}"), said, infrastructure=status not in codes)


def scrub(text: str) -> str:
    """``text`` fit for an error: one line of at most 300 characters, without API keys.

    Left out are the values of all environment variables that are named like secrets, and whatever
    looks like a key (servers quote the one they refuse).
    """
    for name, value in os.environ.items():
        if len(value) >= 6 and _KEY_NAME.search(name.upper()):
            text = text.replace(value, "[key]")
    text = _LOOKS_LIKE_A_KEY.sub("[key]", text)
    line = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * _SHOWN_CHARS]).split())
    return line if len(line) <= _SHOWN_CHARS else line[: _SHOWN_CHARS - 1] + "…"


def _malformed(detail: str) -> AttemptFailed:
    return AttemptFailed("malformed", detail)


def _call(raw: Any, index: int, request: ChatRequest) -> ChatCall:
    function = raw.get("function") if isinstance(raw, dict) else None
    if not isinstance(function, dict):
        raise _malformed(f"tool_calls[{index}].function is not an object")
    name, arguments = function.get("name"), function.get("arguments")
    if not isinstance(name, str) or not name:
        raise _malformed(f"tool_calls[{index}].function.name is not a name")
    if not isinstance(arguments, str):
        raise _malformed(f"tool_calls[{index}].function.arguments is {type(arguments).__name__}, not text")
    call_id = raw.get("id")
    if call_id is not None and not isinstance(call_id, str):
        raise _malformed(f"tool_calls[{index}].id is {type(call_id).__name__}, not text")
    return ChatCall(_text(call_id or f"call_{request.digest()}_{index}"), _text(name), _text(arguments))


def _text(text: str) -> str:
    """``text`` with every lone surrogate replaced: JSON may escape one, and UTF-8 cannot hold it."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _tokens(usage: Json, field: str) -> int:
    count = usage.get(field)
    if count is None:
        return 0
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise _malformed(f"usage.{field} is not a count")
    return count


def _error_of(body: Json) -> str:
    return f": {_message_in(json.dumps(body))}" if "error" in body else ""


def _message_in(text: str) -> str:
    """The message of an error body in OpenAI's format, else the body itself, fit to be shown."""
    try:
        error = json.loads(text)["error"]
        message = error["message"] if isinstance(error, dict) else error
    except (ValueError, TypeError, KeyError, RecursionError):
        message = text
    return scrub(message if isinstance(message, str) else text) or "(empty body)"
