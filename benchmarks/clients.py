"""How near the model clients come to the ideal rate, and what a call costs in CPU.

    python -m benchmarks.clients [--at-once 64] [--latency 0.2] [--calls 1920] [--litellm]

A server in a process of its own answers every chat completion after a fixed time. Ideal is
``at_once / latency`` calls a second. CPU is that of the client's process alone. Prints a table.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
from aiohttp import web

from services.kit.models.chat import ChatRequest
from services.kit.models.litellm_client import LiteLLMClient
from services.kit.models.retry import Retrying, RetryPolicy
from services.kit.models.router import ModelRouter

ROOT = Path(__file__).resolve().parents[1]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = tuple(
    {
        "type": "function",
        "function": {"name": f"tool_{n}", "description": "Weather.", "parameters": PARAMETERS},
    }
    for n in range(6)
)
MESSAGES = (
    {"role": "system", "content": "You help with the weather. " * 10},
    {"role": "user", "content": "What is the weather in Lisbon? " * 5},
)
Ask = Callable[[int], Awaitable[None]]


async def serve(latency_s: float) -> None:
    """The server: one fixed reply with a tool call, after ``latency_s``."""
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "tool_1", "arguments": '{"city": "Lisbon"}'},
    }
    reply = {
        "id": "x",
        "object": "chat.completion",
        "created": 0,
        "model": "bench",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": None, "tool_calls": [call]},
                "finish_reason": "tool_calls",
            }
        ],
        "usage": {"prompt_tokens": 300, "completion_tokens": 20, "total_tokens": 320},
    }
    body = json.dumps(reply).encode()

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(latency_s)
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.router.add_post("/v1/chat/completions", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=1024).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/v1", flush=True)
    await asyncio.Event().wait()


async def measure(ask: Ask, calls: int, at_once: int) -> tuple[float, float]:
    """Calls a second and CPU milliseconds a call; connections are opened and code is warm before."""
    await asyncio.gather(*(ask(n) for n in range(at_once)))
    numbers = iter(range(calls))
    start_s, start_cpu_s = time.perf_counter(), time.process_time()

    async def worker() -> None:
        for number in numbers:
            await ask(number)

    await asyncio.gather(*(worker() for _ in range(at_once)))
    wall_s = time.perf_counter() - start_s
    return calls / wall_s, 1000 * (time.process_time() - start_cpu_s) / calls


async def bare_aiohttp(base_url: str, calls: int, at_once: int) -> tuple[float, float]:
    body = json.dumps({"model": "bench", "messages": MESSAGES, "tools": TOOLS}).encode()
    headers = {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def ask(_: int) -> None:
            async with session.post(f"{base_url}/chat/completions", data=body, headers=headers) as response:
                await response.json()

        return await measure(ask, calls, at_once)


async def our_client(base_url: str, calls: int, at_once: int) -> tuple[float, float]:
    router = ModelRouter()

    async def ask(number: int) -> None:
        request = ChatRequest("assistant", f"run-{number}", 1, "openai/bench", MESSAGES, base_url, TOOLS)
        assert (await router.complete(request)).calls

    try:
        return await measure(ask, calls, at_once)
    finally:
        await router.close()


async def by_litellm(base_url: str, calls: int, at_once: int) -> tuple[float, float]:
    client = LiteLLMClient()
    model = Retrying(client, RetryPolicy())

    async def ask(number: int) -> None:
        request = ChatRequest("assistant", f"run-{number}", 1, "hosted_vllm/bench", MESSAGES, base_url, TOOLS)
        assert (await model.complete(request)).calls

    try:
        return await measure(ask, calls, at_once)
    finally:
        await client.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--at-once", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.2, help="seconds")
    parser.add_argument("--calls", type=int, default=1920)
    parser.add_argument("--litellm", action="store_true", help="measure litellm's hosted_vllm/ too")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        asyncio.run(serve(options.latency))
        return
    command = [sys.executable, "-m", "benchmarks.clients", "--serve", "--latency", str(options.latency)]
    server = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        base_url = server.stdout.readline().strip()
        ideal = options.at_once / options.latency
        clients = [("aiohttp alone", bare_aiohttp), ("thin client", our_client)]
        if options.litellm:
            clients.append(("litellm, hosted_vllm/", by_litellm))
        print(f"{options.calls} calls, {options.at_once} at once, {1000 * options.latency:g} ms each")
        print(f"{'client':<24}{'calls/s':>9}{'of ideal':>10}{'CPU ms/call':>13}")
        print(f"{'ideal':<24}{ideal:>9.1f}{1:>10.2f}{'':>13}")
        for name, client in clients:
            rate, cpu_ms = asyncio.run(client(base_url, options.calls, options.at_once))
            print(f"{name:<24}{rate:>9.1f}{rate / ideal:>10.2f}{cpu_ms:>13.2f}")
    finally:
        server.terminate()
        server.wait()


if __name__ == "__main__":
    main()
