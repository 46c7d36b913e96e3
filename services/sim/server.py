"""``tds sim-server``: any ``ChatModel`` behind OpenAI's HTTP protocol.

For testing the real client path with competent replies. Endpoints, with or without ``/v1``:
``/chat/completions`` (plain and streamed), ``/models``; and ``/health``. The extra fields ``tds_role``,
``tds_run``, ``tds_turn`` and ``tds_script`` make the request that the model gets the very one that it
would get in process. Nothing in a reply depends on a clock or on earlier requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
from collections.abc import Awaitable, Callable
from typing import Any, Final

try:
    from aiohttp import web
except ImportError as error:
    raise ImportError("the sim server needs aiohttp: pip install 'tdscaling[models]'") from error

from services.kit.models.chat import ChatModel, ChatReply, ChatRequest, ModelFailed

Json = dict[str, Any]

CHARACTERS_PER_TOKEN: Final = 4
MAX_BODY_BYTES: Final = 8 * 1024 * 1024
MAX_LATENCY_S: Final = 60.0
STREAM_CHARACTERS: Final = 20
ROLES: Final = ("system", "developer", "user", "assistant", "tool")


class BadRequest(Exception):  # noqa: N818  (a 4xx answer, not a fault of ours)
    """The body is not a chat completion request that can be answered. ``param`` names the field."""

    def __init__(self, message: str, param: str = "", *, status: int = 400, code: str = "") -> None:
        super().__init__(message)
        self.param = param
        self.status = status
        self.code = code


def serve(
    model: ChatModel,
    host: str = "127.0.0.1",
    port: int = 0,
    latency_s: tuple[float, float] = (0.0, 0.0),
    seed: int = 0,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve ``model`` until SIGINT or SIGTERM.

    ``port`` 0 takes a free one; ``ready`` is told the base URL (``http://HOST:PORT/v1``) once it listens.

    Raises:
        OSError: when it cannot listen there.
        ValueError: for a latency range that is none.
    """
    asyncio.run(_serve(build_app(model, latency_s, seed), host, port, ready))


def build_app(
    model: ChatModel, latency_s: tuple[float, float] = (0.0, 0.0), seed: int = 0
) -> web.Application:
    """The application; ``latency_s`` is the range that each reply's delay is drawn from, by seed and request.

    Raises:
        ValueError: when the range is not within 0 to 60 s.
    """
    low, high = latency_s
    if not 0 <= low <= high <= MAX_LATENCY_S:
        raise ValueError(f"latency_s is a range from low to high within 0 to {MAX_LATENCY_S:g}: {latency_s}")

    async def completions(http: web.Request) -> web.StreamResponse:
        body = await _body(http)
        request = parse_request(body)
        delay_s = random.Random(f"{seed}/{request.run}/{request.turn}/{request.digest()}").uniform(low, high)
        if delay_s > 0:
            await asyncio.sleep(delay_s)
        reply = await model.complete(request)
        if body.get("stream"):
            return await _stream(http, completion(request, reply), usage=_wants_usage(body))
        return web.json_response(completion(request, reply))

    async def models(_: web.Request) -> web.Response:
        entry = {"id": "sim", "object": "model", "created": 0, "owned_by": "tdscaling"}
        return web.json_response({"object": "list", "data": [entry]})

    async def health(_: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[_errors])
    for prefix in ("", "/v1"):
        app.router.add_post(f"{prefix}/chat/completions", completions)
        app.router.add_get(f"{prefix}/models", models)
        app.router.add_get(f"{prefix}/health", health)
    return app


def parse_request(body: Json) -> ChatRequest:
    """The request in the JSON body of a chat completion.

    Raises:
        BadRequest: naming the field that is missing or wrong.
    """
    model = _field(body, "model", str)
    name = model.removeprefix("openai/")
    if name != "sim" and not name.startswith("sim?"):
        message = f"the model {model!r} does not exist: this server has 'sim' and 'sim?option=value'"
        raise BadRequest(message, "model", status=404, code="model_not_found")
    if body.get("n") not in (None, 1):
        raise BadRequest("only n = 1 is served", "n")
    messages = _field(body, "messages", list)
    if not messages:
        raise BadRequest("there must be at least one message", "messages")
    limit = _field(body, "max_completion_tokens", int, _field(body, "max_tokens", int, 1024))
    if limit < 1:
        raise BadRequest("must be at least 1", "max_tokens")
    return ChatRequest(
        role=_field(body, "tds_role", str, "assistant"),
        run=_field(body, "tds_run", str, ""),
        turn=_field(body, "tds_turn", int, 0),
        model=name,
        messages=tuple(_message(message, f"messages[{index}]") for index, message in enumerate(messages)),
        tools=tuple(
            _tool(tool, f"tools[{index}]") for index, tool in enumerate(_field(body, "tools", list, []))
        ),
        json_schema=_schema(_field(body, "response_format", dict, {})),
        seed=_field(body, "seed", int, 0),
        max_tokens=limit,
        script=_field(body, "tds_script", dict, None),
    )


def completion(request: ChatRequest, reply: ChatReply) -> Json:
    """The ``chat.completion`` object for a reply. Its id is made from the request.

    Tokens are the reply's own count, or about a quarter of the characters where it has none.
    """
    prompt = reply.prompt_tokens or _tokens(json.dumps(request.messages, ensure_ascii=False))
    spoken = reply.content + "".join(call.name + call.arguments for call in reply.calls)
    completed = reply.completion_tokens or _tokens(spoken)
    message: Json = {"role": "assistant", "content": reply.content or (None if reply.calls else "")}
    if reply.calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in reply.calls
        ]
    return {
        "id": f"chatcmpl-{request.digest()}",
        "object": "chat.completion",
        "created": 0,
        "model": request.model,
        "choices": [
            {"index": 0, "message": message, "finish_reason": "tool_calls" if reply.calls else "stop"}
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completed,
            "total_tokens": prompt + completed,
        },
    }


async def _serve(app: web.Application, host: str, port: int, ready: Callable[[str], None] | None) -> None:
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=5.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError, RuntimeError):  # Windows; not the main thread
                loop.add_signal_handler(number, stopped.set)
        if ready is not None:
            shown = f"[{host}]" if ":" in host else host
            ready(f"http://{shown}:{runner.addresses[0][1]}/v1")
        await stopped.wait()
    finally:
        await runner.cleanup()


@web.middleware
async def _errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Every failure in OpenAI's format."""
    try:
        return await handler(request)
    except BadRequest as error:
        return _error(error.status, str(error), error.param, error.code)
    except ModelFailed as error:
        return _error(500 if error.infrastructure else 400, error.detail, "", error.code)
    except web.HTTPException as error:
        return _error(error.status, error.reason, "", "")


def _error(status: int, message: str, param: str, code: str) -> web.Response:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    error = {"message": message, "type": kind, "param": param or None, "code": code or None}
    return web.json_response({"error": error}, status=status)


async def _body(http: web.Request) -> Json:
    try:
        body = await http.json()
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from error
    if not isinstance(body, dict):
        raise BadRequest("the body is not a JSON object")
    return body


def _field(body: Json, name: str, kind: type, *default: Any) -> Any:
    """The field, of this type; the default (if one is given) where it is absent or null."""
    value = body.get(name)
    if value is None:
        if default:
            return default[0]
        raise BadRequest(f"{name} is required", name)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise BadRequest(f"{name} must be of type {kind.__name__}", name)
    return value


def _message(message: Any, where: str) -> Json:
    """A message as the model gets it; content in text parts is joined."""
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        raise BadRequest(f"must be an object with a role of {', '.join(ROLES)}", where)
    content = message.get("content")
    if isinstance(content, list):
        if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in content):
            raise BadRequest("only text parts are served", f"{where}.content")
        return {**message, "content": "".join(part["text"] for part in content)}
    if content is not None and not isinstance(content, str):
        raise BadRequest("must be text, a list of text parts, or null", f"{where}.content")
    return message


def _tool(tool: Any, where: str) -> Json:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise BadRequest("must be an object with function.name", where)
    return dict(tool)


def _schema(response_format: Json) -> Json | None:
    if response_format.get("type") != "json_schema":
        return None
    holder = _field(response_format, "json_schema", dict)
    schema: Json = _field(holder, "schema", dict)
    return schema


def _tokens(text: str) -> int:
    return -(-len(text) // CHARACTERS_PER_TOKEN)


def _wants_usage(body: Json) -> bool:
    return _field(body, "stream_options", dict, {}).get("include_usage") is True


async def _stream(http: web.Request, whole: Json, *, usage: bool) -> web.StreamResponse:
    """The completion as server-sent events: role, content in pieces, tool calls, finish, usage."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
    await response.prepare(http)
    head = {**{key: whole[key] for key in ("id", "created", "model")}, "object": "chat.completion.chunk"}
    choice = whole["choices"][0]
    content = choice["message"]["content"] or ""
    deltas: list[Json] = [{"role": "assistant", "content": ""}]
    for start in range(0, len(content), STREAM_CHARACTERS):
        deltas.append({"content": content[start : start + STREAM_CHARACTERS]})
    for index, call in enumerate(choice["message"].get("tool_calls", ())):
        deltas.append({"tool_calls": [{"index": index, **call}]})
    choices: list[list[Json]] = [[{"index": 0, "delta": delta, "finish_reason": None}] for delta in deltas]
    choices.append([{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}])
    chunks: list[Json] = [{**head, "choices": part} for part in choices]
    if usage:
        chunks.append({**head, "choices": [], "usage": whole["usage"]})
    for chunk in chunks:
        await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
    await response.write(b"data: [DONE]\n\n")
    await response.write_eof()
    return response
