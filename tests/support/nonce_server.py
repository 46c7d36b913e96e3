"""The scripted actors as a model that is *not* deterministic: every reply carries a fresh nonce.

    python -m tests.support.nonce_server --log nonces.jsonl --latency-min 0.01 --latency-max 0.1

It prints one JSON line with its port and base URL; ``PUT /latency`` with ``[min, max]`` as JSON changes how
long replies take from then on. The nonce (16 hexadecimal digits, never the same
twice, not seeded) stands at the end of what a user or an assistant says, as `` (ref 7f3a9c…)``, and in
the ids of tool calls, as ``call_7f3a9c…_0``. Replies of other roles are JSON for a machine and go out as
they are. References in incoming messages are taken out before the actors see them, so that the actors
behave as ever.

The log holds a line at each arrival and a line at each reply; times are Unix seconds:

- ``{"kind": "request", "n", "time_s", "run", "turn", "role", "digest"}``
- ``{"kind": "reply", "n", "time_s", "run", "turn", "role", "nonce", "content_sha256", "calls", "completed"}``
  where ``content_sha256`` is over the text (of a user: what it says, not the JSON around it), ``calls`` are
  ``{"id", "name", "arguments_sha256"}``, and ``completed`` is whether the whole reply was written to a
  connection that was still open. A reply's nonce is also logged *before* it is sent, as kind "sending".
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import random
import re
import secrets
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiohttp import web

from services.kit.models.chat import ChatModel, ChatReply, ChatRequest, ModelFailed
from services.sim.server import BadRequest, completion, parse_request
from tests.support.json_log import JsonLog
from tests.support.server_process import announce_and_serve

REFERENCE = re.compile(r" ?\(ref ([0-9a-f]{16})\)")
CUT_REFERENCE = re.compile(r" ?\(ref [0-9a-f]{0,16}$| ?\((r|re|ref)?$")
"""The beginning of one at the end of a quotation."""
SPEAKING = ("user", "assistant")


def marked(text: str, nonce: str) -> str:
    return f"{text} (ref {nonce})".lstrip()


def with_nonce(reply: ChatReply, role: str, nonce: str) -> ChatReply:
    """The reply with its nonce; a user's text may stand inside of JSON, as ``{"content": …}``."""
    if role not in SPEAKING:
        return reply
    calls = tuple(replace(call, id=f"call_{nonce}_{index}") for index, call in enumerate(reply.calls))
    if calls and not reply.content:
        return replace(reply, calls=calls)
    try:
        wrapped = json.loads(reply.content)
    except ValueError:
        wrapped = None
    if isinstance(wrapped, dict) and isinstance(wrapped.get("content"), str):
        wrapped["content"] = marked(wrapped["content"], nonce)
        return replace(reply, content=json.dumps(wrapped, ensure_ascii=False), calls=calls)
    return replace(reply, content=marked(reply.content, nonce), calls=calls)


def said(reply: ChatReply) -> str:
    """What the reply says, without the JSON that a user's turn may stand in."""
    try:
        wrapped = json.loads(reply.content)
    except ValueError:
        return reply.content
    text = wrapped.get("content") if isinstance(wrapped, dict) else None
    return text if isinstance(text, str) else reply.content


def without_references(request: ChatRequest) -> ChatRequest:
    messages = tuple(
        {**message, "content": REFERENCE.sub("", message["content"])}
        if isinstance(message.get("content"), str)
        else message
        for message in request.messages
    )
    return replace(request, messages=messages, script=unmarked(request.script))


def unmarked(value: Any) -> Any:
    """A script without references: it quotes the texts around the values that it points at."""
    if isinstance(value, dict):
        return {key: unmarked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [unmarked(item) for item in value]
    return CUT_REFERENCE.sub("", REFERENCE.sub("", value)) if isinstance(value, str) else value


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def build_app(model: ChatModel, log: JsonLog, latency_s: tuple[float, float], seed: int) -> web.Application:
    rng = random.Random(f"{seed}/latency")
    now_s = list(latency_s)
    count = iter(range(1, 1 << 62))

    async def completions(http: web.Request) -> web.StreamResponse:
        try:
            request = parse_request(await http.json())
        except (BadRequest, ValueError) as error:
            return web.json_response({"error": {"message": str(error)}}, status=400)
        whose: dict[str, Any] = {
            "n": next(count),
            "run": request.run,
            "turn": request.turn,
            "role": request.role,
        }
        log.write(kind="request", time_s=time.time(), digest=request.digest(), **whose)
        await asyncio.sleep(rng.uniform(*now_s))
        try:
            plain = await model.complete(without_references(request))
        except ModelFailed as error:
            log.write(kind="refused", time_s=time.time(), code=error.code, detail=error.detail, **whose)
            return web.json_response({"error": {"message": error.detail, "code": error.code}}, status=400)
        nonce = secrets.token_hex(8)
        reply = with_nonce(plain, request.role, nonce)
        whose |= {
            "nonce": nonce,
            "content_sha256": sha256(said(reply)),
            "calls": [
                {"id": call.id, "name": call.name, "arguments_sha256": sha256(call.arguments)}
                for call in reply.calls
            ],
        }
        log.write(kind="sending", time_s=time.time(), **whose)
        response = web.json_response(completion(request, reply))
        completed = False
        try:
            if http.transport is not None and not http.transport.is_closing():
                await response.prepare(http)
                await response.write_eof()
                completed = not http.transport.is_closing()
        except ConnectionError:
            pass
        log.write(kind="reply", time_s=time.time(), completed=completed, **whose)
        return response

    async def models(_: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": "sim", "object": "model"}]})

    async def latency(http: web.Request) -> web.StreamResponse:
        now_s[:] = await http.json()
        return web.Response(status=204)

    app = web.Application(client_max_size=16 * 1024 * 1024)
    for prefix in ("", "/v1"):
        app.router.add_post(f"{prefix}/chat/completions", completions)
        app.router.add_get(f"{prefix}/models", models)
    app.router.add_put("/latency", latency)
    return app


def main() -> None:
    from services.sim.actors import SimModel

    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0, help="of the latency only")
    parser.add_argument("--latency-min", type=float, default=0.0, help="seconds")
    parser.add_argument("--latency-max", type=float, default=0.0, help="seconds")
    parser.add_argument("--log", type=Path, required=True)
    options = parser.parse_args()
    latency_s = (options.latency_min, options.latency_max)
    app = build_app(SimModel(), JsonLog(options.log), latency_s, options.seed)
    asyncio.run(announce_and_serve(app, options.port))


if __name__ == "__main__":
    main()
