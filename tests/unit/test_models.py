"""The model clients through their public door, against a real HTTP server on loopback."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from email.utils import formatdate
from typing import Any

import pytest
from aiohttp import web

from services.kit.models.chat import ChatCall, ChatReply, ChatRequest, ModelFailed
from services.kit.models.openai_wire import MAX_REPLY_BYTES, scrub
from services.kit.models.retry import AttemptFailed, FailedAttempt, Retrying, RetryPolicy, retry_after_s
from services.kit.models.router import ModelRouter, check, route
from tests.support.server_process import listening
from tests.support.small_model import small_model

KEY = "sk-verysecret-0123456789abcdef"
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
MESSAGES = ({"role": "user", "content": "Where is my order, straße 5 – 日本?"},)
TOOLS = ({"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}},)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("HOSTED_VLLM_API_KEY", raising=False)


def reply_json(content: Any = "hello", **more: Any) -> dict[str, Any]:
    message = {"role": "assistant", "content": content, **more}
    usage = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}


class Server:
    """Answers the n-th request by the n-th of ``answers``, the last one for ever; keeps what it was sent."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = answers
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.base_url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.bodies.append(await request.json() if request.can_read_body else {})
        self.headers.append(dict(request.headers))
        self.paths.append(request.path)
        return await self.answers[min(len(self.bodies), len(self.answers)) - 1](request)


@asynccontextmanager
async def serving(*answers: Answer) -> AsyncIterator[Server]:
    server = Server(*answers)
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", server.handle)
    async with listening(app) as server.base_url:
        yield server


def says(body: Any, status: int = 200, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(
            status=status, text=text, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )

    return answer


async def cut_before_headers(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def cut_mid_body(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_length = 1000
    await response.prepare(request)
    await response.write(b'{"choices": [')
    await asyncio.sleep(0.01)
    assert request.transport is not None
    request.transport.abort()
    return response


async def never(_: web.Request) -> web.StreamResponse:
    await asyncio.sleep(30)
    return web.Response()


class Outcome:
    """What a call came to, and what happened on the way."""

    reply: ChatReply | None = None
    error: ModelFailed | None = None

    def __init__(self) -> None:
        self.slept: list[float] = []
        self.failed: list[FailedAttempt] = []
        self.calls: list[ChatRequest] = []
        self.server: Server

    @property
    def codes(self) -> list[str]:
        return [failed.code for failed in self.failed]


def ask(*answers: Answer, model: str = "openai/tiny", timeout_s: float = 5.0, **fields: Any) -> Outcome:
    """One request to a server that gives these answers."""
    outcome = Outcome()

    async def sleep(seconds: float) -> None:
        outcome.slept.append(seconds)

    async def run() -> None:
        async with serving(*answers) as outcome.server:
            router = ModelRouter(
                policy=RetryPolicy(timeout_s=timeout_s),
                sleep=sleep,
                on_call=outcome.calls.append,
                on_failed=outcome.failed.append,
            )
            request = ChatRequest("assistant", "run-1", 3, model, MESSAGES, outcome.server.base_url, **fields)
            try:
                outcome.reply = await router.complete(request)
            except ModelFailed as error:
                outcome.error = error
            finally:
                await router.close()

    asyncio.run(run())
    return outcome


# What goes out


def test_request_is_openais_and_reply_is_read_whole() -> None:
    calls = [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"id": 5}'}}]
    schema = {"type": "object"}
    done = ask(says(reply_json(None, tool_calls=calls)), tools=TOOLS, json_schema=schema, seed=2**40 + 9)
    assert done.reply == ChatReply("", (ChatCall("c1", "find", '{"id": 5}'),), 7, 3)
    assert done.reply.attempts == 1
    (body,) = done.server.bodies
    assert body == {
        "model": "tiny",
        "messages": list(MESSAGES),
        "tools": list(TOOLS),
        "max_tokens": 1024,
        "seed": 9,
        "response_format": {"type": "json_schema", "json_schema": {"name": "reply", "schema": schema}},
    }
    assert done.server.headers[0]["Authorization"] == f"Bearer {KEY}"
    assert done.server.paths == ["/v1/chat/completions"]


def test_key_belongs_to_its_protocol(monkeypatch: pytest.MonkeyPatch) -> None:
    done = ask(says(reply_json()), model="hosted_vllm/org/tiny")
    assert done.server.bodies[0]["model"] == "org/tiny"
    assert "Authorization" not in done.server.headers[0]
    monkeypatch.setenv("HOSTED_VLLM_API_KEY", "other")
    done = ask(says(reply_json()), model="hosted_vllm/tiny")
    assert done.server.headers[0]["Authorization"] == "Bearer other"
    monkeypatch.delenv("OPENAI_API_KEY")
    assert "Authorization" not in ask(says(reply_json()), model="tiny").server.headers[0]


@pytest.mark.parametrize("model", ["sim", "sim?malformed=0.1", "openai/sim", "openai/sim?latency=0:1"])
def test_sim_named_models_get_the_script(model: str) -> None:
    done = ask(says(reply_json()), model=model, script={"steps": []}, seed=2**40)
    (body,) = done.server.bodies
    assert body["model"] == model.removeprefix("openai/")
    assert {key: value for key, value in body.items() if key.startswith("tds_")} == {
        "tds_script": {"steps": []},
        "tds_role": "assistant",
        "tds_run": "run-1",
        "tds_turn": 3,
    }
    assert body["seed"] == 2**40


@pytest.mark.parametrize(
    "model",
    [
        "simple",
        "openai/simple",
        "openai/gpt-sim",
        "hosted_vllm/sim",
        "openai/openai/sim",
        "SIM",
        "sim-1",
        "tiny",
    ],
)
def test_no_other_model_gets_the_script(model: str) -> None:
    done = ask(says(reply_json()), model=model, script={"steps": ["SECRET PLAN"]})
    sent = json.dumps(done.server.bodies)
    assert done.server.bodies
    assert "SECRET PLAN" not in sent
    assert "tds_" not in sent


# What comes back


@pytest.mark.parametrize(
    ("status", "code"),
    [(408, "timeout"), (409, "conflict"), (425, "too_early"), (429, "rate_limited"), (500, "server_error"),
     (502, "server_error"), (503, "server_error"), (504, "server_error"), (529, "server_error")],
)  # fmt: skip
def test_passing_failures_are_retried(status: int, code: str) -> None:
    done = ask(says({"error": {"message": "later"}}, status), says("no", status), says(reply_json()))
    assert done.reply is not None
    assert done.reply.content == "hello"
    assert done.reply.attempts == 3
    assert done.codes == [code, code]
    assert len(done.slept) == 2
    assert len(done.calls) == len(done.server.bodies) == 3


@pytest.mark.parametrize(
    ("status", "code", "infrastructure"),
    [(400, "bad_request", False), (404, "not_found", False), (422, "unprocessable", False),
     (413, "request_too_large", False), (401, "unauthorized", True), (403, "forbidden", True),
     (402, "http_402", True), (307, "redirected", True)],
)  # fmt: skip
def test_lasting_failures_are_not_retried(status: int, code: str, infrastructure: bool) -> None:
    done = ask(says({"error": {"message": "this is why"}}, status, Location="http://elsewhere/v1"))
    assert done.error is not None
    assert (done.error.code, done.error.infrastructure) == (code, infrastructure)
    assert "this is why" in done.error.detail
    assert "'openai/tiny'" in done.error.detail
    assert len(done.server.bodies) == 1
    assert done.codes == [code]


def test_a_context_that_is_too_long_has_its_own_code() -> None:
    text = "request (20031 tokens) exceeds the available context size (4096 tokens)"
    done = ask(says({"error": {"message": text}}, 400))
    assert done.error is not None
    assert (done.error.code, done.error.infrastructure) == ("context_too_long", False)


def test_refused_key_says_what_to_do_and_is_not_quoted() -> None:
    done = ask(says({"error": {"message": f"Incorrect API key provided: {KEY}"}}, 401))
    assert done.error is not None
    assert "OPENAI_API_KEY" in done.error.detail
    assert KEY not in str(done.error)


@pytest.mark.parametrize(
    "body", [f"Bearer {KEY}", f'{{"error": "{KEY}"}}', json.dumps({"error": {"x": KEY}})]
)
@pytest.mark.parametrize("status", [200, 400, 401, 429, 500])
def test_keys_never_stand_in_errors(status: int, body: str) -> None:
    done = ask(says(body, status))
    assert done.error is not None
    told = [str(done.error), repr(done.error), *(failed.detail for failed in done.failed)]
    cause: BaseException | None = done.error
    while cause is not None:
        told.append(str(cause))
        cause = cause.__cause__ or cause.__context__
    assert all(KEY not in text and "verysecret" not in text for text in told)


def test_scrub_leaves_out_keys_of_the_environment_and_control_characters(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SOMETHING_TOKEN", "plainlookingvalue")
    assert scrub("a plainlookingvalue\x1b[31m\nb Bearer abc.def sk-ab****yz") == "a [key] [31m b [key] [key]"
    assert len(scrub("x" * 10_000)) == 300


MALFORMED = {
    "not JSON": "<html>bad gateway</html>",
    "cut off": json.dumps(reply_json())[:-9],
    "no text": "",
    "no object": "[]",
    "no choices": {"usage": {}},
    "empty choices": {"choices": []},
    "choices of a wrong type": {"choices": "none"},
    "choice of a wrong type": {"choices": ["x"]},
    "no message": {"choices": [{}]},
    "content of a wrong type": reply_json(42),
    "content in parts": reply_json([{"type": "text", "text": "x"}]),
    "calls of a wrong type": reply_json("x", tool_calls="none"),
    "call without function": reply_json("x", tool_calls=[{"id": "1"}]),
    "call without name": reply_json("x", tool_calls=[{"id": "1", "function": {"arguments": "{}"}}]),
    "call with an object": reply_json(
        "x", tool_calls=[{"id": "1", "function": {"name": "f", "arguments": {}}}]
    ),
    "id of a wrong type": reply_json("x", tool_calls=[{"id": 1, "function": {"name": "f", "arguments": ""}}]),
    "ids twice": reply_json("x", tool_calls=[{"id": "1", "function": {"name": "f", "arguments": ""}}] * 2),
    "usage of a wrong type": {**reply_json(), "usage": 5},
    "tokens of a wrong type": {**reply_json(), "usage": {"prompt_tokens": "many"}},
    "error in a 200": {"error": {"message": "overloaded"}},
    "too large": reply_json("x" * (MAX_REPLY_BYTES + 1)),
    "too deep": "[" * 100_000,
}


@pytest.mark.parametrize("kind", MALFORMED)
def test_malformed_bodies_are_retried(kind: str) -> None:
    done = ask(says(MALFORMED[kind]), says(reply_json()))
    assert done.codes == ["malformed"]
    assert done.reply is not None
    assert (done.reply.content, done.reply.attempts) == ("hello", 2)
    assert len(done.failed[0].detail) < 700


@pytest.mark.parametrize("cut", [cut_before_headers, cut_mid_body])
def test_cut_connections_are_retried(cut: Answer) -> None:
    done = ask(cut, cut, says(reply_json()))
    assert done.codes == ["connection_cut", "connection_cut"]
    assert done.reply is not None


def test_a_silent_server_times_out() -> None:
    done = ask(never, says(reply_json()), timeout_s=0.2)
    assert done.codes == ["timeout"]
    assert "0.2 s" in done.failed[0].detail
    assert done.reply is not None


def test_nobody_listens() -> None:
    async def run() -> ModelFailed:
        async with serving(never) as server:
            base_url = server.base_url
        router = ModelRouter(policy=RetryPolicy(attempts=3), sleep=lambda _: asyncio.sleep(0))
        try:
            with pytest.raises(ModelFailed) as caught:
                await router.complete(ChatRequest("user", "r", 0, "tiny", MESSAGES, base_url))
            return caught.value
        finally:
            await router.close()

    error = asyncio.run(run())
    assert (error.code, error.infrastructure) == ("unreachable", True)
    assert "attempt 3 of 3" in error.detail


def test_the_last_failure_is_infrastructures() -> None:
    done = ask(says("x", 500))
    assert done.error is not None
    assert (done.error.code, done.error.infrastructure) == ("server_error", True)
    assert len(done.server.bodies) == 8
    assert len(done.slept) == 7
    assert [failed.attempt for failed in done.failed] == list(range(1, 9))
    assert done.failed[-1].wait_s is None


def test_a_call_without_an_id_gets_one_and_lone_surrogates_go() -> None:
    call = {"type": "function", "function": {"name": "find", "arguments": '{"q": "\ud83d"}'}}
    done = ask(says(reply_json("\ud800x😀", tool_calls=[call])))
    assert done.reply is not None
    assert done.reply.content == "\ufffdx😀"
    (made,) = done.reply.calls
    assert made.id == f"call_{done.calls[0].digest()}_0"
    assert made.arguments == '{"q": "\ufffd"}'


# How long it waits


def test_waits_grow_and_are_jittered_within_bounds() -> None:
    policy = RetryPolicy()
    rng = random.Random(1)
    for attempt in range(1, 60):
        whole = min(20.0, 0.25 * 2 ** (attempt - 1))
        waits = {policy.wait_s(attempt, None, rng) for _ in range(20)}
        assert all(whole / 2 <= wait <= whole for wait in waits)
        assert len(waits) > 15


@pytest.mark.parametrize(
    ("header", "low", "high"),
    [("7", 7.0, 7.7), ("2.5", 2.5, 2.75), ("0", 0.125, 0.25), ("86400", 60.0, 66.0), ("soon", 0.125, 0.25),
     ("-5", 0.125, 0.25), ("nan", 0.125, 0.25), ("inf", 0.125, 0.25)],
)  # fmt: skip
def test_retry_after_is_a_floor_with_a_cap(header: str, low: float, high: float) -> None:
    done = ask(says("x", 429, Retry_After=header), says(reply_json()))
    (wait,) = done.slept
    assert low <= wait <= high


def test_retry_after_as_a_date() -> None:
    now = 1_800_000_000.0
    assert retry_after_s(formatdate(now + 30, usegmt=True), now) == 30
    assert retry_after_s(formatdate(now - 30, usegmt=True), now) == 0
    assert retry_after_s("Thu, 99 Foo", now) is None


def test_retry_after_date_is_honoured_over_http() -> None:
    async def in_ten(_: web.Request) -> web.Response:
        import time

        return web.Response(status=503, headers={"Retry-After": formatdate(time.time() + 10, usegmt=True)})

    (wait,) = ask(in_ten, says(reply_json())).slept
    assert 8 <= wait <= 11.1


def test_same_seed_same_waits() -> None:
    class Fails:
        async def complete(self, request: ChatRequest) -> ChatReply:
            raise AttemptFailed("server_error", "x")

    def waits(seed: int) -> list[float]:
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)

        retrying = Retrying(Fails(), sleep=sleep, rng=random.Random(seed))
        with pytest.raises(ModelFailed):
            asyncio.run(retrying.complete(ChatRequest("user", "r", 0, "m", MESSAGES)))
        return slept

    assert waits(1) == waits(1) != waits(2)


def test_a_policy_needs_an_attempt() -> None:
    with pytest.raises(ValueError, match="at least one attempt"):
        RetryPolicy(attempts=0)


def test_cancelling_ends_the_call() -> None:
    async def run() -> list[FailedAttempt]:
        failed: list[FailedAttempt] = []
        async with serving(never) as server:
            router = ModelRouter(on_failed=failed.append)
            request = ChatRequest("user", "r", 0, "tiny", MESSAGES, server.base_url)
            task = asyncio.create_task(router.complete(request))
            while not server.bodies:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await router.close()
        return failed

    assert asyncio.run(run()) == []


# Who answers


class Actors:
    async def complete(self, request: ChatRequest) -> ChatReply:
        return ChatReply(content=f"{request.model} plays {request.role}")


def test_sim_without_a_url_is_played_in_process() -> None:
    calls: list[ChatRequest] = []
    router = ModelRouter(Actors(), on_call=calls.append)
    request = ChatRequest("user", "r", 0, "sim?early_stop=1", MESSAGES, script={"a": 1})
    assert asyncio.run(router.complete(request)).content == "sim?early_stop=1 plays user"
    assert calls == [request]
    with pytest.raises(ModelFailed, match="no_sim"):
        asyncio.run(ModelRouter().complete(request))


@pytest.mark.parametrize(
    ("model", "base_url", "expected"),
    [("sim", "", "sim"), ("sim?a=1/2", "", "sim"), ("sim", "http://h/v1", "http"),
     ("openai/sim", "http://h", "http"), ("tiny", "http://h", "http"),
     ("openai/org/tiny", "http://h", "http"),
     ("hosted_vllm/x", "http://h", "http"), ("gpt-4o-mini", "", "litellm"), ("openai/gpt-4o", "", "litellm"),
     ("anthropic/x", "http://h", "litellm"),
     ("simple", "", "litellm")],
)  # fmt: skip
def test_routes(model: str, base_url: str, expected: str) -> None:
    assert route(model, base_url) == expected


@pytest.mark.parametrize(
    ("model", "base_url", "code", "hint"),
    [("openai/sim", "", "unknown_model", "sim server"), ("", "", "unknown_model", "no model's name"),
     ("openai/", "http://h/v1", "unknown_model", "after its slash"), ("x", "ftp://h", "bad_base_url", "http"),
     ("x", "localhost:80", "bad_base_url", "http"),
     ("x", "http://u:pw@h/v1", "bad_base_url", "OPENAI_API_KEY"),
     ("x", "http://h:99999/v1", "bad_base_url", "http"),
     ("x", "http://h/v1?key=s3cret", "bad_base_url", "OPENAI")],
)  # fmt: skip
def test_check_refuses_before_anything_runs(model: str, base_url: str, code: str, hint: str) -> None:
    with pytest.raises(ModelFailed) as caught:
        check(model, base_url)
    assert caught.value.code == code
    assert hint in caught.value.detail
    assert "s3cret" not in caught.value.detail
    assert "pw@" not in caught.value.detail


def test_check_needs_no_litellm_for_sim_and_servers() -> None:
    import subprocess

    code = (
        "import sys; from services.kit.models.router import *;"
        "check('sim'); check('openai/x', 'http://h:1/v1'); check('sim?a=1', 'http://h');"
        "bad = {'litellm', 'aiohttp', 'openai'} & set(sys.modules); sys.exit(str(bad) if bad else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_preflight_asks_the_server_for_its_models() -> None:
    listing = {"data": [{"id": "tiny"}, {"id": "sim"}]}
    llama = {"data": [{"id": "weights.gguf", "owned_by": "llamacpp"}]}

    async def run(answer: Answer, model: str) -> Server:
        async with serving(answer) as server:
            router = ModelRouter(sleep=lambda _: asyncio.sleep(0))
            try:
                await router.preflight(model, server.base_url)
            finally:
                await router.close()
        return server

    assert asyncio.run(run(says(listing), "openai/tiny")).paths == ["/v1/models"]
    asyncio.run(run(says(listing), "sim?early_stop=.1"))
    asyncio.run(run(says(llama), "whatever"))
    asyncio.run(run(says("nothing here", 404), "whatever"))
    with pytest.raises(ModelFailed, match=r"unknown_model: .*no model 'big'; it has: sim, tiny"):
        asyncio.run(run(says(listing), "openai/big"))
    with pytest.raises(ModelFailed, match="unauthorized"):
        asyncio.run(run(says("no", 401), "openai/tiny"))
    with pytest.raises(ModelFailed, match="attempt 3 of 3"):
        asyncio.run(run(says("no", 500), "openai/tiny"))


@pytest.mark.slow
def test_litellm_names_prices_and_retries_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("litellm")
    pytest.importorskip("mcp")
    secret = "dk-77777777deepsecret"
    monkeypatch.setenv("DEEPSEEK_API_KEY", secret)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    for model, code, hint in (
        ("gpt-4o-mni", "unknown_model", "gpt-4o-mini"),
        ("Qwen/Qwen3-8B", "unknown_model", "openai/NAME"),
        ("text-embedding-3-small", "no_chat_model", "embedding"),
        ("anthropic/claude-sonnet-4-5", "no_key", "ANTHROPIC_API_KEY"),
    ):
        with pytest.raises(ModelFailed) as caught:
            check(model)
        assert caught.value.code == code
        assert hint in caught.value.detail
    check("deepseek/deepseek-chat")

    calls = [{"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"id": 5}'}}]
    whole = {"id": "x", "object": "chat.completion", "created": 0, "model": "deepseek-chat"}
    done = ask(
        says({"error": {"message": f"slow down {secret}"}}, 429, Retry_After="3"),
        says({**whole, **reply_json(None, tool_calls=calls)}),
        model="deepseek/deepseek-chat",
        tools=TOOLS,
        script={"steps": ["SECRET PLAN"]},
        timeout_s=30.0,
    )
    assert done.codes == ["rate_limited"]
    assert secret not in done.failed[0].detail
    assert 3 <= done.slept[0] <= 3.3
    assert done.reply is not None
    assert done.reply.calls == (ChatCall("c1", "find", '{"id": 5}'),)
    assert (done.reply.prompt_tokens, done.reply.completion_tokens, done.reply.attempts) == (7, 3, 2)
    assert 0 < done.reply.usd < 0.001
    assert "SECRET PLAN" not in json.dumps(done.server.bodies)
    assert len(done.server.bodies) == 2
    done = ask(says({"error": {"message": "no such model"}}, 404), model="deepseek/nope", timeout_s=30.0)
    assert done.error is not None
    assert (done.error.code, done.error.infrastructure) == ("not_found", False)
    assert len(done.server.bodies) == 1


def test_without_the_package_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name, *rest: None if name in ("litellm", "aiohttp") else found(name, *rest),
    )
    for model, base_url in (("gpt-4o-mini", ""), ("tiny", "http://h/v1")):
        with pytest.raises(ModelFailed, match=r"pip install 'tdscaling\[models\]'"):
            check(model, base_url)


@pytest.mark.slow
def test_a_real_small_model_answers() -> None:
    schema = {
        "type": "object",
        "properties": {"content": {"type": "string"}, "ends": {"type": "boolean"}},
        "required": ["content", "ends"],
        "additionalProperties": False,
    }

    async def run(base_url: str) -> tuple[ChatReply, ChatReply]:
        router = ModelRouter()
        await router.preflight("openai/smollm2", base_url)
        request = ChatRequest("assistant", "r", 0, "openai/smollm2", MESSAGES, base_url, max_tokens=60)
        try:
            free = await router.complete(replace(request, tools=TOOLS, script={"steps": []}))
            return free, await router.complete(replace(request, json_schema=schema))
        finally:
            await router.close()

    with small_model() as base_url:
        free, bound = asyncio.run(run(base_url))
    assert free.content or free.calls
    assert free.prompt_tokens > 0
    assert 0 < free.completion_tokens <= 60
    # The grammar holds it to the schema, unless it talks until its tokens are up.
    assert bound.completion_tokens >= 60 or set(json.loads(bound.content)) == {"content", "ends"}
