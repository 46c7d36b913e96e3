"""Whether a service lives and is ready: the rules, and the answers over HTTP."""

import asyncio
import errno
import socket
from contextlib import asynccontextmanager

import aiohttp
import pytest

from services.kit.settings import KitSettings
from services.kit.watched.health import FRESH_S, STALL_S, HealthServer, Liveness, readiness
from services.kit.watched.meter import Standing
from services.kit.watched.metrics import Metrics

PLACE = ("tds.run.events", 3)
OTHER = ("tds.run.events", 4)


def at(position, *, bounded=False, state="active", caught_up=True):
    return Standing(state, {PLACE: position}, caught_up, bounded)


def verdicts(*moments, **how):
    """Whether it was alive at each (seconds, standing, end)."""
    liveness = Liveness(**how)
    return [liveness.judge(standing, {PLACE: end}, now_s).ok for now_s, standing, end in moments]


def test_it_lives_while_the_position_moves_however_slowly():
    moments = [(50.0 * step, at(step), 1_000) for step in range(10)]
    assert all(verdicts(*moments))


def test_it_is_dead_when_the_position_stands_still_before_the_end():
    found = verdicts((0, at(5), 9), (STALL_S, at(5), 9), (STALL_S + 1, at(5), 9), (STALL_S + 2, at(6), 9))
    assert found == [True, True, False, True]


def test_it_lives_when_nothing_is_left_to_read_and_the_clock_starts_with_the_next_record():
    late = 1_000.0
    found = verdicts(
        (0, at(5), 5), (late, at(5), 5), (late + STALL_S, at(5), 6), (late + STALL_S + 1, at(5), 6)
    )
    assert found == [True, True, True, False]


def test_it_lives_while_its_own_bound_holds_it_back():
    held = at(5, bounded=True)
    found = verdicts((0, held, 9), (500, held, 9), (501, at(5), 9), (500 + STALL_S + 1, at(5), 9))
    assert found == [True, True, True, False]


def test_a_change_of_assignment_is_progress():
    moved = Standing("active", {OTHER: 5}, True)
    liveness = Liveness()
    ends = {PLACE: 9, OTHER: 9}
    for now_s, standing in ((0, at(5)), (STALL_S, moved), (STALL_S + 50, moved)):
        assert liveness.judge(standing, ends, now_s).ok
    assert not liveness.judge(moved, ends, 2 * STALL_S + 1).ok


def test_partitions_of_others_are_not_its_lag():
    liveness = Liveness()
    for now_s in (0.0, 500.0):
        assert liveness.judge(at(5), {PLACE: 5, OTHER: 1_000}, now_s).ok


def test_a_broker_that_is_down_is_not_its_fault():
    liveness = Liveness()
    for now_s in (0.0, 500.0):
        verdict = liveness.judge(at(5), {PLACE: 9}, now_s, broker="down")
        assert verdict.ok
    assert liveness.judge(at(5), {PLACE: 9}, 500 + STALL_S).ok
    stalled = liveness.judge(at(5), {PLACE: 9}, 500 + STALL_S + 1)
    assert not stalled.ok
    assert stalled.why == "4 records behind, and no progress for 61 s"


@pytest.mark.parametrize(
    ("standing", "broker", "redis", "ok", "why"),
    [
        (at(5), "", "", True, "works"),
        (at(5), "refused", "", False, "broker does not answer: refused"),
        (at(5), "", "gone", True, "degraded: Redis does not answer: gone"),
        (Standing("starting"), "", "", False, "no partitions are assigned"),
        (Standing("standby"), "", "", True, "another replica works"),
        (at(5, caught_up=False), "", "", False, "still folding"),
    ],
)
def test_readiness(standing, broker, redis, ok, why):
    verdict = readiness(standing, broker=broker, redis=redis)
    assert verdict.ok == ok
    assert why in verdict.why


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


class World:
    """What a server asks: each answer can be taken away."""

    def __init__(self):
        self.now_s = 0.0
        self.standing = at(5)
        self.ends = {PLACE: 5}
        self.broker_is = self.redis_is = "there"
        self.asked = 0

    async def broker(self):
        self.asked += 1
        if self.broker_is == "silent":
            await asyncio.sleep(3600)
        if self.broker_is == "gone":
            raise ConnectionError("nobody there")
        return self.ends

    async def redis(self):
        if self.redis_is == "gone":
            raise ConnectionError("no Redis")


@asynccontextmanager
async def served(world, **how):
    settings = KitSettings(http_port=free_port())
    given = {"service": "agent-runner", "standing": lambda: world.standing, "clock": lambda: world.now_s}
    server = HealthServer(settings, ends=world.broker, **given, **how)
    await server.start()
    async with aiohttp.ClientSession(f"http://127.0.0.1:{settings.http_port}") as session:

        async def get(path):
            async with session.get(path) as response:
                plain = response.content_type != "application/json"
                return response.status, await (response.text() if plain else response.json())

        try:
            yield get
        finally:
            await server.stop()


def test_over_http_it_says_what_and_why():
    async def scene():
        world = World()
        async with served(world, redis=world.redis) as get:
            assert await get("/ready") == (
                200,
                {
                    "service": "agent-runner",
                    "ok": True,
                    "why": "works",
                    "state": "active",
                    "caught_up": True,
                    "bounded": False,
                    "open_keys": 0,
                    "in_flight": 0,
                    "capacity": 0,
                    "lag": {},
                    "broker": "ok",
                    "redis": "ok",
                },
            )
            world.now_s, world.ends, world.redis_is = FRESH_S, {PLACE: 12}, "gone"
            status, body = await get("/ready")
            assert (status, body["redis"]) == (200, "ConnectionError: no Redis")
            assert body["why"] == "works; degraded: Redis does not answer: ConnectionError: no Redis"
            assert (await get("/live"))[0] == 200
            world.now_s += STALL_S + 1
            status, body = await get("/live")
            assert (status, body["ok"], body["lag"]) == (503, False, {"tds.run.events": 7})
            world.now_s, world.broker_is = world.now_s + FRESH_S, "gone"
            status, body = await get("/ready")
            assert (status, body["broker"]) == (503, "ConnectionError: nobody there")
            assert (await get("/metrics"))[0] == 404

    asyncio.run(scene())


def test_metrics_are_served_with_the_lag():
    async def scene():
        world = World()
        world.ends = {PLACE: 12}
        async with served(world, metrics=Metrics("agent-runner", lambda: world.standing)) as get:
            status, text = await get("/metrics")
        assert status == 200
        assert 'tds_lag_records{service="agent-runner",topic="tds.run.events"} 7.0' in text.splitlines()

    asyncio.run(scene())


def test_the_broker_is_asked_for_a_bounded_time_and_not_by_everybody():
    async def scene():
        world = World()
        world.broker_is = "silent"
        async with served(world, bound_s=0.1) as get, asyncio.timeout(10):
            answers = await asyncio.gather(*(get("/ready") for _ in range(20)))
        assert {status for status, _ in answers} == {503}
        assert answers[0][1]["broker"] == "nothing within 0.1 s"
        assert world.asked == 1

    asyncio.run(scene())


def test_an_address_that_is_taken_is_named():
    async def scene(port):
        world = World()
        server = HealthServer(
            KitSettings(http_port=port),
            service="agent-runner",
            standing=lambda: world.standing,
            ends=world.broker,
        )
        await server.start()

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        held.listen()
        port = held.getsockname()[1]
        with pytest.raises(OSError, match=f"TDS_HTTP_PORT={port} cannot be listened on") as raised:
            asyncio.run(scene(port))
    assert raised.value.errno == errno.EADDRINUSE


def test_port_0_serves_nothing():
    async def scene():
        world = World()
        settings = KitSettings(http_port=0)
        server = HealthServer(
            settings, service="agent-runner", standing=lambda: world.standing, ends=world.broker
        )
        await server.start()
        await server.stop()
        return world.asked

    assert asyncio.run(scene()) == 0
