"""The sim server, the fault proxy and the nonce server, each over HTTP and by our own client."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from services.kit.models.chat import ChatCall, ChatReply, ChatRequest, ModelFailed
from services.kit.models.retry import FailedAttempt, RetryPolicy
from services.kit.models.router import ModelRouter
from services.sim.server import build_app, serve
from tests.support.fault_proxy import FaultProxy
from tests.support.json_log import JsonLog, read
from tests.support.nonce_server import build_app as build_nonce_app
from tests.support.nonce_server import sha256
from tests.support.server_process import listening, running

TOOLS = (
    {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}},
    {"type": "function", "function": {"name": "send", "parameters": {"type": "object"}}},
)
MESSAGES = ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Find 7."})


class Actor:
    """Calls a tool until there is a result, then says what it was asked; keeps the requests."""

    def __init__(self) -> None:
        self.seen: list[ChatRequest] = []

    async def complete(self, request: ChatRequest) -> ChatReply:
        self.seen.append(request)
        if request.model == "sim?broken=1":
            raise ModelFailed("bad_request", "unknown option 'broken'", infrastructure=False)
        if request.role == "user":
            return ChatReply(content=json.dumps({"content": "And now 8, please.", "ends": False}))
        if request.tools and request.messages[-1]["role"] != "tool":
            calls = (ChatCall("a", "find", '{"id": 7}'), ChatCall("b", "send", "{}"))
            return ChatReply(calls=calls, prompt_tokens=11, completion_tokens=5)
        return ChatReply(content=f"{request.seed}: {request.messages[-1]['content']}")


def chat(**fields: Any) -> ChatRequest:
    return replace(ChatRequest("assistant", "run-1", 2, "sim", MESSAGES, script={"steps": []}), **fields)


def post(body: Any, path: str = "/chat/completions", **app: Any) -> tuple[int, dict[str, Any]]:
    async def run() -> tuple[int, dict[str, Any]]:
        async with listening(build_app(Actor(), **app)) as url, aiohttp.ClientSession() as session:
            data = body if isinstance(body, str) else json.dumps(body)
            async with session.post(url + path, data=data) as answer:
                return answer.status, await answer.json()

    return asyncio.run(run())


# The sim server


def test_over_http_the_model_gets_the_very_request_and_gives_the_very_reply() -> None:
    actor = Actor()
    requests = [
        chat(),
        chat(tools=TOOLS, seed=2**45, max_tokens=77),
        chat(role="user", run="run-2", turn=9, json_schema={"type": "object"}, script={"goal": "ü"}),
        chat(model="sim?early_stop=0.5"),
    ]

    async def run() -> list[ChatReply]:
        async with listening(build_app(actor)) as url:
            router = ModelRouter()
            replies = [await router.complete(replace(request, base_url=url)) for request in requests]
            await router.close()
        return replies

    replies = asyncio.run(run())
    assert actor.seen == requests
    direct = [asyncio.run(Actor().complete(request)) for request in requests]
    assert [(r.content, r.calls) for r in replies] == [(r.content, r.calls) for r in direct]
    assert (replies[1].prompt_tokens, replies[1].completion_tokens) == (11, 5)
    assert replies[0].completion_tokens == -(-len(replies[0].content) // 4)
    assert replies[0].prompt_tokens > 0


def test_replies_are_openais_and_the_same_every_time() -> None:
    body = {"model": "openai/sim", "messages": [{"role": "user", "content": "hi"}], "seed": 3}
    status, first = post(body)
    assert status == 200
    assert first == post(body, latency_s=(0.01, 0.02))[1]
    assert first["object"] == "chat.completion"
    assert first["id"].startswith("chatcmpl-")
    assert first["choices"][0] == {
        "index": 0,
        "message": {"role": "assistant", "content": "3: hi"},
        "finish_reason": "stop",
    }
    assert first["usage"]["total_tokens"] == sum(
        first["usage"][f"{part}_tokens"] for part in ("prompt", "completion")
    )
    assert first["id"] != post({**body, "seed": 4})[1]["id"]
    parts = [{"type": "text", "text": "h"}, {"type": "text", "text": "i"}]
    assert post({**body, "messages": [{"role": "user", "content": parts}]})[1] == first


GOOD = {"model": "sim", "messages": [{"role": "user", "content": "x"}]}


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ("{", 400, None),
        ("[]", 400, None),
        ({**GOOD, "model": None}, 400, "model"),
        ({**GOOD, "model": "gpt-4o"}, 404, "model"),
        ({**GOOD, "messages": []}, 400, "messages"),
        ({**GOOD, "messages": "x"}, 400, "messages"),
        ({**GOOD, "messages": [{"role": "wizard", "content": "x"}]}, 400, "messages[0]"),
        ({**GOOD, "messages": [{"role": "user", "content": 5}]}, 400, "messages[0].content"),
        (
            {**GOOD, "messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            400,
            "messages[0].content",
        ),
        ({**GOOD, "tools": [{"name": "x"}]}, 400, "tools[0]"),
        ({**GOOD, "max_tokens": 0}, 400, "max_tokens"),
        ({**GOOD, "max_tokens": True}, 400, "max_tokens"),
        ({**GOOD, "seed": "x"}, 400, "seed"),
        ({**GOOD, "n": 2}, 400, "n"),
        ({**GOOD, "response_format": {"type": "json_schema"}}, 400, "json_schema"),
        ({**GOOD, "tds_script": []}, 400, "tds_script"),
        ({**GOOD, "model": "sim?broken=1"}, 400, None),
    ],
)
def test_bad_requests_are_refused_in_openais_format(body: Any, status: int, param: str | None) -> None:
    answered, error = post(body)
    assert answered == status
    assert error["error"]["type"] == "invalid_request_error"
    assert error["error"]["param"] == param
    assert error["error"]["message"]


def test_other_paths_and_too_much() -> None:
    assert post(GOOD, "/nothing")[0] == 404
    status, error = post({**GOOD, "messages": [{"role": "user", "content": "x" * (9 * 1024 * 1024)}]})
    assert status == 413
    assert error["error"]["type"] == "invalid_request_error"


def test_models_and_health() -> None:
    async def run() -> list[dict[str, Any]]:
        found = []
        async with listening(build_app(Actor())) as url, aiohttp.ClientSession() as session:
            for path in (f"{url}/models", url.removesuffix("/v1") + "/health"):
                async with session.get(path) as answer:
                    assert answer.status == 200
                    found.append(await answer.json())
        return found

    models, health = asyncio.run(run())
    assert [model["id"] for model in models["data"]] == ["sim"]
    assert health == {"status": "ok"}


@pytest.mark.parametrize("tools", [(), TOOLS])
def test_a_stream_carries_the_same_reply(tools: tuple[dict[str, Any], ...]) -> None:
    body = {**GOOD, "messages": [{"role": "user", "content": "long " * 30}], "tools": list(tools)}
    streamed = {**body, "stream": True, "stream_options": {"include_usage": True}}

    async def run() -> list[str]:
        async with (
            listening(build_app(Actor())) as url,
            aiohttp.ClientSession() as session,
            session.post(f"{url}/chat/completions", json=streamed) as answer,
        ):
            assert answer.content_type == "text/event-stream"
            text = await answer.text()
        return [part.removeprefix("data: ") for part in text.strip().split("\n\n")]

    *events, last = asyncio.run(run())
    assert last == "[DONE]"
    chunks = [json.loads(event) for event in events]
    whole = post(body)[1]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[-1]["usage"] == whole["usage"]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
    message = whole["choices"][0]["message"]
    assert "".join(delta.get("content", "") for delta in deltas) == (message["content"] or "")
    assert len(deltas) > 4 or tools
    calls = [call for delta in deltas for call in delta.get("tool_calls", ())]
    assert [{k: v for k, v in call.items() if k != "index"} for call in calls] == message.get(
        "tool_calls", []
    )
    assert chunks[-2]["choices"][0]["finish_reason"] == whole["choices"][0]["finish_reason"]


def test_latency_is_within_its_range() -> None:
    def took(seed: int) -> float:
        start = time.monotonic()
        post(GOOD, latency_s=(0.1, 0.4), seed=seed)
        return time.monotonic() - start

    assert all(took(seed) >= 0.1 for seed in range(3))
    with pytest.raises(ValueError, match="latency_s"):
        build_app(Actor(), (0.2, 0.1))


def test_serve_tells_its_url_and_ends_on_a_signal() -> None:
    urls: list[str] = []

    def ready(url: str) -> None:
        urls.append(url)
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()

    serve(Actor(), ready=ready)
    assert urls
    assert urls[0].startswith("http://127.0.0.1:")


# The fault proxy


RATES = {"429": 0.10, "5xx": 0.05, "cut": 0.05, "malformed": 0.05, "invented": 0.03}


def test_every_failure_of_the_proxy_is_seen_by_the_client_and_written_down(tmp_path: Path) -> None:
    log = tmp_path / "faults.jsonl"
    failed: list[FailedAttempt] = []
    names: list[str] = []

    async def no_sleep(_: float) -> None:
        await asyncio.sleep(0)

    async def run() -> None:
        async with listening(build_app(Actor())) as upstream:
            proxy = FaultProxy(upstream, 1, RATES, JsonLog(log))
            async with listening(proxy.app()) as url:
                router = ModelRouter(sleep=no_sleep, on_failed=failed.append)
                await router.preflight("openai/sim", url)
                for start in range(0, 400, 20):
                    replies = await asyncio.gather(
                        *(
                            router.complete(
                                chat(run=f"run-{n}", model="openai/sim", base_url=url, tools=TOOLS)
                            )
                            for n in range(start, start + 20)
                        )
                    )
                    names.extend(reply.calls[0].name for reply in replies)
                await router.close()

    asyncio.run(run())
    lines = read(log)
    faults = Counter(line["fault"] for line in lines)
    assert len(names) == 400
    assert faults["none"] + faults["invented"] == 400
    assert len({line["id"] for line in lines}) == len(lines) == 400 + len(failed)
    seen = {"rate_limited": "429", "server_error": "5xx", "connection_cut": "cut", "malformed": "malformed"}
    assert Counter((seen[f.code], f.request.run) for f in failed) == Counter(
        (line["fault"], line["run"]) for line in lines if line["fault"] not in ("none", "invented")
    )
    assert [name for name in names if name not in ("find", "send")] == ["find_plus"] * faults["invented"]
    for fault, rate in RATES.items():
        assert 0.3 * rate < faults[fault] / len(lines) < 3 * rate
    kinds = {line["kind"] for line in lines if line["fault"] == "malformed"}
    assert len(kinds) > 3


def test_the_proxy_draws_the_same_faults_for_the_same_seed(tmp_path: Path) -> None:
    def faults(seed: int) -> list[tuple[str, str]]:
        proxy = FaultProxy("http://unused", seed, RATES, JsonLog(tmp_path / "log"))
        return [proxy._draw() for _ in range(200)]

    assert faults(1) == faults(1) != faults(2)


# The nonce server


def test_every_reply_carries_a_fresh_nonce_that_the_log_knows(tmp_path: Path) -> None:
    log = tmp_path / "nonces.jsonl"
    actor = Actor()

    async def run() -> list[ChatReply]:
        async with listening(build_nonce_app(actor, JsonLog(log), (0.0, 0.01), 0)) as url:
            router = ModelRouter(policy=RetryPolicy(attempts=1))
            said = await router.complete(chat(base_url=url))
            again = await router.complete(chat(base_url=url))
            called = await router.complete(chat(base_url=url, tools=TOOLS))
            user = await router.complete(chat(base_url=url, role="user", turn=5))
            history = ({"role": "user", "content": json.loads(user.content)["content"]},)
            answered = await router.complete(chat(base_url=url, messages=history))
            await router.close()
        return [said, again, called, user, answered]

    said, again, called, user, answered = asyncio.run(run())
    lines = read(log)
    replies = [line for line in lines if line["kind"] == "reply"]
    requests = [line for line in lines if line["kind"] == "request"]
    assert len(requests) == len(replies) == 5
    assert all(line["completed"] for line in replies)
    assert len({line["nonce"] for line in replies}) == 5
    assert requests[0]["digest"] == requests[1]["digest"] != requests[2]["digest"]
    assert [(line["run"], line["turn"], line["role"]) for line in requests] == [
        ("run-1", 2, "assistant"),
        ("run-1", 2, "assistant"),
        ("run-1", 2, "assistant"),
        ("run-1", 5, "user"),
        ("run-1", 2, "assistant"),
    ]
    nonces = [line["nonce"] for line in replies]
    assert said.content == f"0: Find 7. (ref {nonces[0]})"
    assert again.content == f"0: Find 7. (ref {nonces[1]})"
    assert [call.id for call in called.calls] == [f"call_{nonces[2]}_0", f"call_{nonces[2]}_1"]
    assert [call["id"] for call in replies[2]["calls"]] == [call.id for call in called.calls]
    assert json.loads(user.content) == {"content": f"And now 8, please. (ref {nonces[3]})", "ends": False}
    assert answered.content == f"0: And now 8, please. (ref {nonces[4]})"
    for line, text in zip(replies, [said.content, again.content, "", None, answered.content], strict=True):
        expected = json.loads(user.content)["content"] if text is None else text
        assert line["content_sha256"] == sha256(expected)


def test_a_request_whose_client_was_killed_is_logged_and_not_completed(tmp_path: Path) -> None:
    log = tmp_path / "nonces.jsonl"
    client = (
        "import asyncio, sys\n"
        "from services.kit.models.router import ModelRouter\n"
        "from services.kit.models.chat import ChatRequest\n"
        "request = ChatRequest('assistant', 'r', 1, 'sim', ({'role': 'user', 'content': 'x'},), sys.argv[1],"
        " script={})\n"
        "asyncio.run(ModelRouter().complete(request))\n"
    )

    async def run() -> None:
        async with listening(build_nonce_app(Actor(), JsonLog(log), (0.3, 0.3), 0)) as url:
            process = subprocess.Popen([sys.executable, "-c", client, url])
            while not read(log):
                assert process.poll() is None
                await asyncio.sleep(0.01)
            process.kill()
            process.wait()
            await asyncio.sleep(0.5)

    asyncio.run(run())
    kinds = [(line["kind"], line.get("completed")) for line in read(log)]
    assert kinds == [("request", None), ("sending", None), ("reply", False)]


@pytest.mark.slow
def test_the_servers_run_as_processes_one_behind_the_other(tmp_path: Path) -> None:
    nonces, faults = tmp_path / "nonces.jsonl", tmp_path / "faults.jsonl"
    goal = "Please find order 7 and tell me where it is."
    request = chat(role="user", model="openai/sim", messages=(), script={"goal": goal, "facts": []})
    request = replace(request, messages=({"role": "system", "content": "You are the user."},))

    async def run(base_url: str) -> list[ChatReply]:
        router = ModelRouter(policy=RetryPolicy(first_wait_s=0.01))
        await router.preflight("openai/sim", base_url)
        replies = [await router.complete(replace(request, base_url=base_url)) for _ in range(12)]
        await router.close()
        return replies

    hurt = ("--seed", "5", "--rate-429", "0.3", "--rate-cut", "0.2", "--log", str(faults))
    with (
        running("tests.support.nonce_server", "--log", str(nonces), "--latency-max", "0.01") as model,
        running("tests.support.fault_proxy", "--upstream", model["base_url"], *hurt) as proxy,
    ):
        replies = asyncio.run(run(proxy["base_url"]))
    texts = [json.loads(reply.content)["content"] for reply in replies]
    assert all(text.startswith(f"{goal} (ref ") for text in texts)
    sent = [line["content_sha256"] for line in read(nonces) if line["kind"] == "reply"]
    assert len(set(sent)) == len(sent)
    assert {sha256(text) for text in texts} <= set(sent)
    injected = Counter(line["fault"] for line in read(faults))
    assert injected["429"]
    assert injected["cut"]
    assert (
        sum(reply.attempts for reply in replies)
        == len(read(faults))
        == 12 + injected["429"] + injected["cut"]
    )
    # A cut answer had been made, a 429 had not.
    assert len(sent) == 12 + injected["cut"]
