"""What replicas share in Redis, on a real one: kept replies, the pace, live status; and losing it."""

import asyncio
import io
import json
import os
import secrets
import time
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

import pytest
import redis
import structlog

from services.kit.alone import ALONE
from services.kit.models.chat import ChatReply, ChatRequest, ModelFailed
from services.kit.models.retry import RetryPolicy
from services.kit.models.router import ModelRouter
from services.kit.settings import KitSettings
from services.kit.shared import live, pace, replies
from services.kit.shared.gate import SharedGate
from services.kit.shared.redis import TIMEOUT_S, Shared
from services.kit.shared.sharing import SharedError, check, gate_on, sharing
from services.kit.watched import telemetry
from tests.support.brokers import engine_missing, free_port
from tests.support.limited_server import limited_server
from tests.support.redis_container import redis_container

PASSWORD = "pa55-never-shown"
PATIENCE_S = 10.0
SLACK_S = 0.5
"""What a busy machine adds to a bound."""


@pytest.fixture
def settings(redis_url):
    return KitSettings(redis=redis_url, kafka_prefix=f"test-{secrets.token_hex(6)}.")


@pytest.fixture
def server():
    """A Redis of the test's own, with a password."""
    if why := engine_missing():
        pytest.skip(f"no Redis to be killed: {why}")
    with redis_container(PASSWORD) as own:
        yield own


@contextmanager
def logged():
    """The log lines of the block."""
    sink, lines = io.StringIO(), []
    telemetry.configure(sink=sink)
    try:
        yield lines
    finally:
        structlog.reset_defaults()
        assert PASSWORD not in sink.getvalue()
        lines.extend(json.loads(line) for line in sink.getvalue().splitlines())


@asynccontextmanager
async def replica(settings, *, quiet_s=pace.QUIET_S, calls=None, **how):
    """A router and its connection, as a service has them."""
    async with sharing(settings) as shared:
        on_call = None if calls is None else calls.append
        router = ModelRouter(gate=SharedGate(shared, quiet_s=quiet_s), on_call=on_call, **how)
        try:
            yield router, shared
        finally:
            await router.close()


def request_to(server, run="run-1", text="Hello.") -> ChatRequest:
    return ChatRequest(
        "assistant", run, 3, "openai/tiny", ({"role": "user", "content": text},), server.base_url
    )


async def until(condition) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


# Kept replies


@pytest.mark.parametrize("alone", [False, True])
def test_a_run_that_no_other_replica_had_is_not_looked_up(settings, alone):
    """It is sent at once while there is no limit, and its reply is kept all the same."""

    async def scene():
        async with limited_server() as server:
            async with replica(settings) as (router, _):
                await router.complete(request_to(server))
            async with replica(settings) as (router, _):
                await router.complete(request_to(server, "run-2"))
                ALONE.set(alone)
                await router.complete(request_to(server))
                await router.complete(request_to(server, "run-3"))
            async with replica(settings) as (router, _):
                ALONE.set(False)
                await router.complete(request_to(server, "run-3"))
            return len(server.arrivals)

    assert asyncio.run(scene()) == (4 if alone else 3)


def test_a_reply_outlives_the_replica_that_asked(settings):
    async def scene():
        async with limited_server(statuses=[500]) as server:
            async with replica(settings, policy=RetryPolicy(first_wait_s=0.01)) as (router, _):
                first = await router.complete(request_to(server))
            calls = []
            async with replica(settings, calls=calls) as (router, _):
                again = await router.complete(request_to(server))
            return first, again, calls, len(server.arrivals)

    first, again, calls, asked = asyncio.run(scene())
    assert again == first
    assert again.attempts == first.attempts == 2
    assert (again.prompt_tokens, again.completion_tokens) == (3, 2)
    assert calls == []
    assert asked == 2


@pytest.mark.parametrize(
    ("asked", "then"),
    [
        ({}, {"run": "run-2"}),
        ({}, {"turn": 4}),
        ({}, {"role": "judge"}),
        ({}, {"seed": 1}),
        ({"run": ""}, {}),
    ],
    ids=["run", "turn", "role", "content", "no run"],
)
def test_another_request_is_asked(settings, asked, then):
    """And one that belongs to no run always is."""

    async def scene():
        async with limited_server() as server, replica(settings) as (router, _):
            first = replace(request_to(server), **asked)
            await router.complete(first)
            await router.complete(replace(first, **then))
            return len(server.arrivals)

    assert asyncio.run(scene()) == 2


def test_failures_are_not_kept(settings):
    async def scene():
        async with limited_server(statuses=[400]) as server, replica(settings) as (router, _):
            with pytest.raises(ModelFailed):
                await router.complete(request_to(server))
            return await router.complete(request_to(server))

    assert asyncio.run(scene()).content == "2 Hello."


@pytest.mark.parametrize(
    "poison",
    [
        b"",
        b"\xff\x00",
        b"[]",
        b'{"content": 7}',
        b'{"calls": [{"id": "x"}]}',
        b"{}",
        replies.dump(ChatReply("bought", usd=-1.0)),
        replies.dump(ChatReply("bought", attempts=0)),
        replies.dump(ChatReply("bought")).replace(b"bought", b"x" * replies.MAX_BYTES),
    ],
    ids=lambda poison: repr(poison[:24]),
)
def test_a_value_that_is_no_reply_is_ignored_and_replaced(settings, poison):
    async def scene():
        async with limited_server() as server, replica(settings) as (router, shared):
            request = request_to(server)
            shared.send("SET", replies.key(shared.prefix, request), poison)
            first = await router.complete(request)
            return first, await router.complete(request), len(server.arrivals)

    first, again, asked = asyncio.run(scene())
    assert first.content == again.content == "1 Hello."
    assert asked == 1


def test_kept_replies_and_states_go_by_themselves(settings):
    async def scene():
        async with limited_server() as server, replica(settings) as (router, _):
            await router.complete(request_to(server))

    asyncio.run(scene())
    with redis.Redis.from_url(settings.redis.get_secret_value()) as client:
        keys = list(client.scan_iter(f"{settings.kafka_prefix}tds:*"))
        assert len(keys) >= 2
        assert all(client.ttl(key) != -1 for key in keys)  # -1: for ever


def test_closing_lets_out_what_was_sent(settings):
    async def scene():
        async with sharing(settings) as shared:
            for number in range(500):
                shared.send("SET", f"{shared.prefix}{number}", "x" * 1000, "EX", 60)

    asyncio.run(scene())
    with redis.Redis.from_url(settings.redis.get_secret_value()) as client:
        assert client.exists(*(f"{settings.kafka_prefix}tds:{number}" for number in range(500))) == 500


def test_who_gives_up_waiting_disturbs_nobody(settings):
    async def scene():
        async with sharing(settings) as shared:
            for number in range(50):
                shared.send("SET", f"{shared.prefix}{number}", str(number), "EX", 60)
            asks = [
                asyncio.create_task(shared.ask("GET", f"{shared.prefix}{number}")) for number in range(50)
            ]
            await asyncio.sleep(0)
            for ask in asks[::2]:
                ask.cancel()
            return await asyncio.gather(*asks[1::2])

    assert asyncio.run(scene()) == [str(number).encode() for number in range(1, 50, 2)]


# The pace


@pytest.mark.parametrize("alone", [False, True])
def test_two_replicas_share_what_a_server_allows(settings, alone):
    """Whether each attempt waits for Redis's word, or only where the pace is not known."""
    allowed, seconds, settled_s, workers = 60.0, 6.0, 2.5, 16

    async def work(router: ModelRouter, name: str, server, until_s: float, slowest: list[float]):
        async def worker(number: int):
            ALONE.set(alone)
            for turn in range(10_000):
                began_s = time.monotonic()
                if began_s > until_s:
                    return
                await router.complete(request_to(server, f"{name}-{number}-{turn}", name))
                slowest.append(time.monotonic() - began_s)

        await asyncio.gather(*(worker(number) for number in range(workers)))

    async def scene():
        async with (
            limited_server(rate=allowed, burst=5) as server,
            replica(settings, seed=1) as (one, _),
            replica(settings, seed=2) as (two, _),
        ):
            began_s, took = time.monotonic(), []
            async with asyncio.TaskGroup() as group:
                for router, name in ((one, "one"), (two, "two")):
                    group.create_task(work(router, name, server, began_s + seconds, took))
            since_s = began_s + settled_s
            counts = [server.count(200, since_s, name) for name in ("one", "two")]
            return counts, server.count(429, since_s), server.count(429), max(took)

    (one, two), refused, refused_ever, slowest = asyncio.run(scene())
    rate = (one + two) / (seconds - settled_s)
    assert 0.6 * allowed < rate < 1.2 * allowed
    assert min(one, two) > 0.3 * (one + two)
    assert refused <= 0.05 * (one + two)
    assert refused_ever <= 3 * workers
    assert slowest < 5


def test_one_replicas_push_back_holds_the_other(settings):
    async def scene():
        async with limited_server(statuses=[429], retry_after="0.4") as server:
            async with replica(settings, policy=RetryPolicy(attempts=1)) as (one, _):
                with pytest.raises(ModelFailed):
                    await one.complete(request_to(server, "a"))
            async with replica(settings) as (two, _):
                await two.complete(request_to(server, "b"))
            refused, served = server.arrivals
            return served.time_s - refused.time_s

    assert 0.39 <= asyncio.run(scene()) < 0.4 + SLACK_S


@pytest.mark.parametrize(("status", "held"), [(503, True), (500, True), (400, False)])
def test_what_counts_as_a_push_back(settings, status, held):
    """Any failure that names a time to wait, and no refusal for good."""

    async def scene():
        async with (
            limited_server(statuses=[status], retry_after="0.3") as server,
            replica(settings, policy=RetryPolicy(attempts=1)) as (router, _),
        ):
            with pytest.raises(ModelFailed):
                await router.complete(request_to(server, "a"))
            await router.complete(request_to(server, "b"))
            first, second = server.arrivals
            return second.time_s - first.time_s

    assert (asyncio.run(scene()) >= 0.29) is held


def test_a_limit_that_does_not_bind_is_dropped(settings):
    async def limits(shared, server):
        return await shared.ask("HEXISTS", f"{shared.prefix}pace:openai/tiny@{server.base_url}", "rate")

    async def scene():
        async with (
            limited_server(statuses=[429], retry_after="0.1") as server,
            replica(settings, quiet_s=0.3) as (router, shared),
        ):
            # Many sent at first, so that the rate is far above what comes later.
            await asyncio.gather(*(router.complete(request_to(server, f"a-{n}")) for n in range(40)))
            there = await limits(shared, server)
            async with asyncio.timeout(PATIENCE_S):
                number = 0
                while await limits(shared, server):
                    await router.complete(request_to(server, f"b-{number}"))
                    number += 1
                    await asyncio.sleep(0.1)
            began_s = time.monotonic()
            await asyncio.gather(*(router.complete(request_to(server, f"c-{n}")) for n in range(40)))
            return there, time.monotonic() - began_s

    there, took_s = asyncio.run(scene())
    assert there == 1
    assert took_s < SLACK_S


def test_a_clock_that_is_set_back_stops_nothing(settings):
    async def scene():
        async with limited_server() as server, replica(settings) as (router, shared):
            ahead = f"{time.time() + 7200:.6f}"
            fields = {"rate": "50", "base": "50", "next": "1"}
            fields |= dict.fromkeys(("at", "since", "tick", "hold", "cut", "busy"), ahead)
            pairs = [part for pair in fields.items() for part in pair]
            shared.send("HSET", f"{shared.prefix}pace:openai/tiny@{server.base_url}", *pairs)
            began_s = time.monotonic()
            for number in range(5):
                await router.complete(request_to(server, str(number)))
            return time.monotonic() - began_s

    assert asyncio.run(scene()) < 0.2 + SLACK_S


# Losing it


@pytest.mark.parametrize("loss", ["kill", "pause"])
def test_losing_redis_stops_no_call_and_it_comes_back(server, loss):
    settings = KitSettings(redis=server.url)
    latency_s = 0.01

    async def scene():
        async with limited_server(latency_s=latency_s) as model, replica(settings) as (router, shared):
            took, going = [], True

            async def worker(number: int):
                turn = 0
                while going:
                    began_s = time.monotonic()
                    await router.complete(request_to(model, f"{number}-{turn}"))
                    took.append(time.monotonic() - began_s)
                    turn += 1

            workers = [asyncio.create_task(worker(number)) for number in range(8)]
            await until(lambda: len(took) > 50)
            await asyncio.to_thread(getattr(server, loss))
            await until(lambda: shared.gone)
            before = len(took)
            await until(lambda: len(took) > before + 200)
            went_on_without = shared.gone
            await asyncio.to_thread(server.start if loss == "kill" else server.unpause)
            await until(lambda: not shared.gone)
            going = False
            await asyncio.gather(*workers)
            once = await router.complete(request_to(model, "after"))
            return max(took), went_on_without, once == await router.complete(request_to(model, "after"))

    with logged() as lines:
        slowest_s, went_on_without, kept = asyncio.run(scene())
    assert slowest_s < 2 * TIMEOUT_S + latency_s + SLACK_S
    assert went_on_without
    assert kept
    assert [line["event"] for line in lines] == ["redis is gone", "redis is back"]
    assert {line["at"] for line in lines} == {server.place}


def test_a_redis_that_takes_no_write_counts_as_gone(server):
    settings = KitSettings(redis=server.url)

    async def scene():
        async with limited_server() as model, replica(settings) as (router, shared):
            with redis.Redis.from_url(server.url) as client:
                client.config_set("maxmemory", 1)
                for number in range(20):
                    await router.complete(request_to(model, str(number)))
                    await asyncio.sleep(0.02)
                with pytest.raises(SharedError, match=r"takes no write: .*maxmemory") as refused:
                    await check(shared, patience_s=0.3)
                assert PASSWORD not in str(refused.value)
                client.config_set("maxmemory", 0)
            await until(lambda: not shared.gone)

    with logged() as lines:
        asyncio.run(scene())
    assert [line["event"] for line in lines] == ["redis is gone", "redis is back"]


def test_a_redis_that_comes_and_goes_is_tried_ever_less_often(settings):
    """Here because a key is of another kind than it should be: every use of it fails, and no probe."""

    async def scene():
        async with limited_server() as model, replica(settings) as (router, shared):
            shared.send("RPUSH", f"{shared.prefix}pace:openai/tiny@{model.base_url}", "x")
            until_s, number = time.monotonic() + 1.5, 0
            while time.monotonic() < until_s:
                number += 1
                assert (await router.complete(request_to(model, str(number)))).attempts == 1

    with logged() as lines:
        asyncio.run(scene())
    assert 2 <= sum(line["event"] == "redis is gone" for line in lines) <= 5


def test_without_redis_a_replica_keeps_to_the_pace_last_known(server):
    settings = KitSettings(redis=server.url)

    async def scene():
        async with (
            limited_server(statuses=[429], retry_after="0.01") as model,
            replica(settings) as (router, shared),
        ):
            # 20 sent at once are about 25 a second; the cut leaves about 18.
            await asyncio.gather(*(router.complete(request_to(model, f"a-{n}")) for n in range(20)))
            await asyncio.to_thread(server.kill)
            shared.send("GET", "x")
            await until(lambda: shared.gone)
            began_s = time.monotonic()
            await asyncio.gather(*(router.complete(request_to(model, f"b-{n}")) for n in range(12)))
            return time.monotonic() - began_s

    assert 0.3 < asyncio.run(scene()) < 3


def test_a_closed_idle_connection_is_no_loss(settings):
    async def scene():
        async with sharing(settings) as shared:
            own = await shared.ask("CLIENT", "ID")
            with redis.Redis.from_url(settings.redis.get_secret_value()) as client:
                client.client_kill_filter(_id=own)
            return await shared.ask("ECHO", "hello"), shared.gone

    with logged() as lines:
        assert asyncio.run(scene()) == (b"hello", False)
    assert lines == []


# At start


def problem_at_start(url: str, patience_s: float = 0.5) -> str:
    async def scene():
        shared = Shared(url)
        try:
            await check(shared, patience_s=patience_s)
        finally:
            await shared.close()

    with pytest.raises(SharedError) as error:
        asyncio.run(scene())
    assert PASSWORD not in str(error.value)
    assert "wrong-" not in str(error.value)
    return str(error.value)


def test_at_start_a_wrong_password_is_said_at_once(server):
    began_s = time.monotonic()
    for login in (":wrong-1@", "someone:wrong-2@", ""):
        said = problem_at_start(f"redis://{login}{server.place}/0", patience_s=60)
        assert said.startswith(f"Redis at {server.place} refuses user or password")
    assert time.monotonic() - began_s < 5


def test_at_start_a_wrong_port_is_said_after_a_bounded_time():
    port, began_s = free_port(), time.monotonic()
    said = problem_at_start(f"redis://:{PASSWORD}@127.0.0.1:{port}/0")
    assert said.startswith(f"no Redis at 127.0.0.1:{port}: ")
    assert time.monotonic() - began_s < 0.5 + 2 * SLACK_S


def test_at_start_another_kind_of_server_is_said():
    async def scene():
        async with limited_server() as http:
            place = http.base_url.removeprefix("http://").removesuffix("/v1")
            shared = Shared(f"redis://:{PASSWORD}@{place}/0")
            try:
                with pytest.raises(SharedError, match=f"what listens at {place} is no Redis") as error:
                    await check(shared, patience_s=60)
                return str(error.value)
            finally:
                await shared.close()

    assert PASSWORD not in asyncio.run(scene())


def test_at_start_a_redis_that_comes_late_is_waited_for(server):
    server.kill()

    async def scene():
        late = asyncio.create_task(asyncio.to_thread(server.start))
        async with sharing(KitSettings(redis=server.url)) as shared:
            await late
            return await shared.ask("ECHO", "hello")

    assert asyncio.run(scene()) == b"hello"


def test_no_url_shares_nothing():
    async def scene():
        async with sharing(KitSettings(redis="")) as shared:
            return shared, gate_on(shared)

    assert asyncio.run(scene()) == (None, None)


# Live status


def status(service: str, replica_id: str, **fields) -> live.LiveStatus:
    fixed = {"pid": os.getpid(), "state": "active", "time": "2026-01-01T00:00:00Z"}
    return live.LiveStatus(service=service, replica=replica_id, **fixed, **fields)


def test_replicas_say_what_they_do_and_stop_saying_it(settings):
    said = [
        status("agent-runner", "a", open_runs=3, effects=2, capacity=16, lag=7, version="1"),
        status("agent-runner", "b"),
        status("diversity-monitor", "a"),
    ]

    async def scene():
        async with sharing(settings) as shared:
            tasks = [
                asyncio.create_task(live.announce(shared, lambda one=one: one)) for one in reversed(said)
            ]
            found = ()
            async with asyncio.timeout(PATIENCE_S):
                while len(found) < 3:
                    found = await live.read_live(shared)
            shared.send("SET", f"{shared.prefix}live:agent-runner:b", b'{"service": 3}', "EX", 60)
            partly = await live.read_live(shared)
            shared.send("DEL", f"{shared.prefix}live:diversity-monitor:a")  # as when its time is over
            fewer = await live.read_live(shared)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            return found, partly, fewer, await live.read_live(shared)

    found, partly, fewer, after = asyncio.run(scene())
    assert list(found) == said
    assert list(partly) == [said[0], said[2]]
    assert list(fewer) == [said[0]]
    assert after == ()


def test_without_redis_nobody_knows_who_lives():
    async def scene():
        shared = Shared(f"redis://127.0.0.1:{free_port()}/0")
        try:
            return await live.read_live(shared)
        finally:
            await shared.close()

    assert asyncio.run(scene()) is None
