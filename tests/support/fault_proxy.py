"""A reverse proxy that fails like real model servers do, and writes down every failure it made.

    python -m tests.support.fault_proxy --upstream http://127.0.0.1:8123/v1 --seed 1 --rate-429 .1
        --rate-5xx .05 --rate-cut .05 --rate-malformed .05 --rate-invented .03 --log faults.jsonl

It prints one JSON line with its port and base URL. Only POSTs of chat completions are hurt; of each, at
most one way. ``rate-invented`` is the share of replies *with tool calls* in which one call is renamed to a
tool that was not offered. Each log line: ``id`` (also the answer's ``x-request-id``), ``fault``
(none, 429, 5xx, cut, malformed, invented), ``kind`` (the particulars), ``status`` (what was answered), and
``run``, ``turn``, ``role`` where the request names them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from tests.support.json_log import JsonLog
from tests.support.server_process import announce_and_serve

MALFORMED = ("truncated", "html", "no_choices", "choices_text", "content_number", "calls_text")
RETRY_AFTER = ("0", "0.05", "0.1")
SERVER_ERRORS = (500, 502, 503, 504)
MAX_BODY_BYTES = 16 * 1024 * 1024


class FaultProxy:
    """The proxy's decisions, drawn from one seeded stream in the order of arrival."""

    def __init__(self, upstream: str, seed: int, rates: dict[str, float], log: JsonLog) -> None:
        self._upstream = upstream.rstrip("/").removesuffix("/v1")
        self._rng = random.Random(f"{seed}/faults")
        self._rates = rates
        self._log = log
        self._count = 0
        self._session: aiohttp.ClientSession | None = None

    def app(self) -> web.Application:
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/{path:.*}", self._handle)
        app.cleanup_ctx.append(self._client)
        return app

    async def _client(self, _app: web.Application) -> Any:
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=1024, keepalive_timeout=4.0), auto_decompress=False
        ) as self._session:
            yield

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if request.method != "POST" or not request.path.endswith("/chat/completions"):
            status, _, payload = await self._forward(request, body)
            return web.Response(status=status, body=payload, content_type="application/json")
        self._count += 1
        number = f"r{self._count:06d}"
        fault, kind = self._draw()
        headers = {"x-request-id": number}
        if fault == "429":
            return self._answer(
                number, body, fault, kind, 429, json_error("slow down"), {**headers, "Retry-After": kind}
            )
        if fault == "5xx":
            return self._answer(number, body, fault, kind, int(kind), json_error("broken"), headers)
        status, is_json, payload = await self._forward(request, body)
        if fault == "cut":
            self._write(number, body, fault, kind, 200)
            return await self._cut(request, payload, kind, headers)
        if fault == "malformed" and status == 200:
            return self._answer(number, body, fault, kind, 200, malformed(payload, kind), headers)
        renamed = self._invented(payload, body) if fault == "none" and status == 200 and is_json else None
        if renamed is not None:
            payload, name = renamed
            return self._answer(number, body, "invented", name, 200, payload, headers)
        return self._answer(number, body, "none", "", status, payload, headers)

    def _draw(self) -> tuple[str, str]:
        """The fault of the next request and its particulars; the same number of draws for each."""
        chance, which = self._rng.random(), self._rng.random()
        for fault, kinds in (
            ("429", RETRY_AFTER),
            ("5xx", SERVER_ERRORS),
            ("cut", ("before_headers", "mid_body")),
            ("malformed", MALFORMED),
        ):
            if chance < self._rates[fault]:
                return fault, str(kinds[int(which * len(kinds))])
            chance -= self._rates[fault]
        return "none", ""

    def _invented(self, payload: bytes, body: bytes) -> tuple[bytes, str] | None:
        """The reply with its first tool call renamed to a tool that was not offered, and that name."""
        reply = json.loads(payload)
        calls = reply["choices"][0]["message"].get("tool_calls")
        if not calls or self._rng.random() >= self._rates["invented"]:
            return None
        offered = {tool["function"]["name"] for tool in json.loads(body).get("tools", ())}
        name = calls[0]["function"]["name"][:50] + "_plus"
        while name in offered:
            name += "_"
        calls[0]["function"]["name"] = name
        return json.dumps(reply).encode(), name

    async def _forward(self, request: web.Request, body: bytes) -> tuple[int, bool, bytes]:
        assert self._session is not None
        passed = {
            name: value
            for name, value in request.headers.items()
            if name.lower() in ("content-type", "authorization")
        }
        url = self._upstream + request.path_qs
        async with self._session.request(request.method, url, data=body, headers=passed) as answer:
            return answer.status, answer.content_type == "application/json", await answer.read()

    async def _cut(
        self, request: web.Request, payload: bytes, kind: str, headers: dict[str, str]
    ) -> web.StreamResponse:
        """Half of the body (or nothing at all), and then the connection is gone."""
        assert request.transport is not None
        response = web.StreamResponse(headers={**headers, "Content-Type": "application/json"})
        response.content_length = len(payload)
        if kind == "mid_body":
            await response.prepare(request)
            await response.write(payload[: len(payload) // 2])
            await asyncio.sleep(0.005)  # let the half reach the client
        request.transport.abort()
        return response

    def _answer(
        self,
        number: str,
        body: bytes,
        fault: str,
        kind: str,
        status: int,
        payload: bytes,
        headers: dict[str, str],
    ) -> web.Response:
        self._write(number, body, fault, kind, status)
        return web.Response(status=status, body=payload, headers=headers, content_type="application/json")

    def _write(self, number: str, body: bytes, fault: str, kind: str, status: int) -> None:
        asked = asked_for(body)
        self._log.write(id=number, fault=fault, kind=kind, status=status, **asked)


def asked_for(body: bytes) -> dict[str, Any]:
    """Run, turn and role of a request, as far as it says."""
    try:
        fields = json.loads(body)
        return {name: fields.get(f"tds_{name}") for name in ("run", "turn", "role")}
    except (ValueError, AttributeError):
        return {"run": None, "turn": None, "role": None}


def json_error(message: str) -> bytes:
    return json.dumps({"error": {"message": message, "type": "fault_proxy"}}).encode()


def malformed(payload: bytes, kind: str) -> bytes:
    """A reply spoilt in one way."""
    if kind == "truncated":
        return payload[: max(1, len(payload) * 2 // 3)]
    if kind == "html":
        return b"<html><body><h1>502 Bad Gateway</h1></body></html>"
    reply = json.loads(payload)
    if kind == "no_choices":
        del reply["choices"]
    elif kind == "choices_text":
        reply["choices"] = "none"
    elif kind == "content_number":
        reply["choices"][0]["message"]["content"] = 42
    else:
        reply["choices"][0]["message"]["tool_calls"] = "none"
    return json.dumps(reply).encode()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    for fault in ("429", "5xx", "cut", "malformed", "invented"):
        parser.add_argument(f"--rate-{fault}", type=float, default=0.0)
    parser.add_argument("--log", type=Path, required=True)
    options = parser.parse_args()
    rates = {
        fault: getattr(options, f"rate_{fault}") for fault in ("429", "5xx", "cut", "malformed", "invented")
    }
    proxy = FaultProxy(options.upstream, options.seed, rates, JsonLog(options.log))
    asyncio.run(announce_and_serve(proxy.app(), options.port))


if __name__ == "__main__":
    main()
