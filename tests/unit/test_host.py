"""Services run on a log in one process: a toy performer and a toy decider, end to end."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager

import pytest

from schemas.codec import Undecodable, decode
from schemas.run import UserSpoke
from schemas.sandbox import CodeExecuted
from schemas.topics import RUN_EVENTS, SANDBOX_COMMANDS, SANDBOX_EVENTS, TOPICS
from services.kit.dead import exhume
from services.kit.host import Host
from services.kit.log import LogError, Record
from services.kit.memory import MemoryLog
from services.kit.service import Draft, Unperformed
from tests.support.toy_service import TIME, Writer, answer, command, end, ends_after, performer

KEYS = [f"c.{slot}.1" for slot in (0, 64, 1, 2, 65)]
PATIENCE_S = 10


def data_of(log: MemoryLog, kind: type) -> list:
    found = []
    for record in log.records:
        if record.topic in TOPICS:
            try:
                data = decode(TOPICS[record.topic], record.key, record.headers, record.value).data
            except Undecodable:
                continue
            if isinstance(data, kind):
                found.append(data)
    return found


async def until(condition) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def hosted(log, *services, concurrency=4, **how):
    """The host, running; on leaving it is stopped and waited for."""
    host = Host(log, services, clock=lambda: TIME, concurrency=concurrency, **how)
    serving = asyncio.create_task(host.run())
    try:
        yield host
    finally:
        host.stop()
        async with asyncio.timeout(PATIENCE_S):
            await serving


def log_with(*messages) -> MemoryLog:
    log = MemoryLog()
    Writer(log).put(*messages)
    return log


class Effects:
    """An effect that counts how often it was asked for, and behaves as ``behave`` says."""

    def __init__(self, behave=None):
        self.asked = Counter()
        self.under_way = 0
        self.most = 0
        self.behave = behave

    async def __call__(self, effect):
        one = effect.command
        self.asked[one.run, one.call] += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            if self.behave is not None:
                await self.behave(one)
        finally:
            self.under_way -= 1
        return [Draft(one.run, answer(one, "done"))]


def test_a_performer_and_a_decider_carry_every_run_to_its_end():
    log = log_with(*(command(key, call) for key in KEYS for call in ("1", "2")))
    effects = Effects()

    async def scene():
        async with hosted(log, performer(effects), ends_after(2)) as host:
            await until(lambda: len(data_of(log, UserSpoke)) == len(KEYS))
            while not await host.quiet():
                await asyncio.sleep(0.01)
        return await log.committed("toy")

    committed = asyncio.run(scene())
    assert Counter(done.run for done in data_of(log, CodeExecuted)) == dict.fromkeys(KEYS, 2)
    assert {spoke.run for spoke in data_of(log, UserSpoke)} == set(KEYS)
    assert set(effects.asked.values()) == {1}
    ends = {(r.topic, r.partition): r.offset + 1 for r in log.records}
    assert committed == ends
    assert {name for name, _ in committed} == {SANDBOX_COMMANDS.name, SANDBOX_EVENTS.name, RUN_EVENTS.name}


def test_what_is_appended_later_is_served_too():
    log = log_with()

    async def scene():
        async with hosted(log, performer(), ends_after(1)):
            await asyncio.sleep(0.05)
            for record in log_with(command(KEYS[0], "1")).records:
                await log.append([record])
            await until(lambda: data_of(log, UserSpoke))

    asyncio.run(scene())
    assert [done.stdout for done in data_of(log, CodeExecuted)] == ["done"]


def test_an_effect_that_raises_three_times_is_given_up_and_the_others_go_on():
    log = log_with(command(KEYS[0], "bad"), command(KEYS[1], "good"), command(KEYS[0], "after"))

    async def behave(one):
        if one.call == "bad":
            raise RuntimeError("no luck")

    effects = Effects(behave)

    async def scene():
        async with hosted(log, performer(effects)):
            await until(lambda: len(data_of(log, CodeExecuted)) == 3)

    asyncio.run(scene())
    assert effects.asked[KEYS[0], "bad"] == 3
    found = {done.call: (done.outcome, done.reason) for done in data_of(log, CodeExecuted)}
    assert found == {"bad": ("refused", "no luck"), "good": ("ok", ""), "after": ("ok", "")}


def test_an_effect_that_recovers_is_not_given_up():
    log = log_with(command(KEYS[0], "1"))
    effects = Effects()

    async def behave(one):
        if effects.asked[one.run, one.call] < 3:
            raise RuntimeError("not yet")

    effects.behave = behave

    async def scene():
        async with hosted(log, performer(effects)):
            await until(lambda: data_of(log, CodeExecuted))

    asyncio.run(scene())
    assert [(done.outcome, done.stdout) for done in data_of(log, CodeExecuted)] == [("ok", "done")]


def test_what_this_host_cannot_perform_is_left_where_it_is():
    log = log_with(command(KEYS[0], "1"), command(KEYS[1], "1"))

    async def behave(one):
        if one.run == KEYS[0]:
            raise Unperformed

    effects = Effects(behave)

    async def scene():
        async with hosted(log, performer(effects)) as host:
            await until(lambda: data_of(log, CodeExecuted))
            while not await host.quiet():
                await asyncio.sleep(0.01)
        return await log.committed("toy")

    committed = asyncio.run(scene())
    assert effects.asked == {(KEYS[0], "1"): 1, (KEYS[1], "1"): 1}
    assert [done.run for done in data_of(log, CodeExecuted)] == [KEYS[1]]
    assert committed[SANDBOX_COMMANDS.name, 0] == 0


def test_no_more_effects_are_under_way_than_the_host_allows():
    log = log_with(*(command(f"c.{slot}.1", "1") for slot in range(20)))
    effects = Effects(lambda _one: asyncio.sleep(0.002))

    async def scene():
        async with hosted(log, performer(effects), concurrency=3) as host:
            await until(lambda: len(data_of(log, CodeExecuted)) == 20)
            await until(lambda: host.capacity.free == 3)

    asyncio.run(scene())
    assert effects.most == 3


def test_results_that_wait_for_a_slow_log_make_room_for_as_many_effects_and_no_more():
    class Slow(MemoryLog):
        async def append(self, records, **how):
            await go_on.wait()
            await super().append(records, **how)

    log, go_on = Slow(), asyncio.Event()
    Writer(log).put(*(command(f"c.{slot}.1", "1") for slot in range(20)))
    effects = Effects()

    async def scene():
        async with hosted(log, performer(effects), concurrency=3) as host:
            await until(lambda: host.capacity.appending == 6)
            await asyncio.sleep(0.05)
            assert (len(effects.asked), host.capacity.free) == (6, 0)
            go_on.set()
            await until(lambda: len(data_of(log, CodeExecuted)) == 20)
            await until(lambda: host.capacity.free == 3)

    asyncio.run(scene())
    assert effects.most <= 3


def test_stop_finishes_and_appends_what_is_under_way_and_starts_nothing_new():
    log = log_with(*(command(key, call) for key in KEYS[:2] for call in ("1", "2")))

    async def scene():
        go_on = asyncio.Event()
        effects = Effects(lambda _one: go_on.wait())
        async with hosted(log, performer(effects)) as host:
            await until(lambda: effects.under_way == 2)
            host.stop()
            await asyncio.sleep(0.02)
            assert data_of(log, CodeExecuted) == []
            go_on.set()
        return effects

    effects = asyncio.run(scene())
    assert sorted(effects.asked) == [(KEYS[0], "1"), (KEYS[1], "1")]
    assert sorted((done.run, done.call) for done in data_of(log, CodeExecuted)) == sorted(effects.asked)


def test_an_effect_that_does_not_finish_in_its_grace_is_cancelled_and_performed_after_the_restart():
    log = log_with(command(KEYS[0], "1"))

    async def scene():
        stuck = Effects(lambda _one: asyncio.sleep(3600))
        async with hosted(log, performer(stuck), grace_s=0.02) as host:
            await until(lambda: stuck.under_way == 1)
        assert stuck.under_way == 0
        assert host.capacity.free == 4
        assert data_of(log, CodeExecuted) == []
        async with hosted(log, performer()):
            await until(lambda: data_of(log, CodeExecuted))

    asyncio.run(scene())
    assert len(data_of(log, CodeExecuted)) == 1


def test_after_a_restart_nothing_that_is_answered_is_asked_again():
    log = log_with(*(command(key, "1") for key in KEYS))

    async def scene():
        effects = Effects()
        async with hosted(log, performer(effects)):
            await until(lambda: len(data_of(log, CodeExecuted)) == len(KEYS))
        Writer(log).put(*(end(key) for key in KEYS[:3]), command(KEYS[3], "2"))
        async with hosted(log, performer(effects)):
            await until(lambda: len(data_of(log, CodeExecuted)) == len(KEYS) + 1)
        return effects

    effects = asyncio.run(scene())
    assert effects.asked == {**{(key, "1"): 1 for key in KEYS}, (KEYS[3], "2"): 1}


def test_a_poison_message_becomes_a_dead_letter_and_the_stream_goes_on():
    good = log_with(command(KEYS[0], "1"), command(KEYS[0], "2"))
    first, last = good.records
    log = MemoryLog()
    poison = Record(SANDBOX_COMMANDS.name, 0, 0, KEYS[0], {"ce_type": "tds.sandbox.Explode.v1"}, b"{}")
    rubbish = Record(SANDBOX_EVENTS.name, 0, 0, KEYS[0], first.headers, b"\xff")
    log.put([first, poison, rubbish, last])

    async def scene():
        async with hosted(log, performer(), ends_after(2)) as host:
            await until(lambda: data_of(log, UserSpoke))
            while not await host.quiet():
                await asyncio.sleep(0.01)
        return await log.committed("toy")

    committed = asyncio.run(scene())
    assert [done.call for done in data_of(log, CodeExecuted)] == ["1", "2"]
    letters = {(letter.topic, letter.offset): letter for letter in exhume(log.records)}
    assert {place: letter.code for place, letter in letters.items()} == {
        (SANDBOX_COMMANDS.name, 1): "unknown_type",
        (SANDBOX_EVENTS.name, 0): "wrong_topic",
    }
    assert letters[SANDBOX_COMMANDS.name, 1].value == b"{}"
    assert committed[SANDBOX_COMMANDS.name, 0] == 3


def test_a_log_that_fails_ends_the_host_with_the_reason():
    class FullLog(MemoryLog):
        async def append(self, records, **how):
            raise LogError("the disk is full; free some space")

    log = FullLog()
    Writer(log).put(command(KEYS[0], "1"))

    async def scene():
        host = Host(log, [performer(), ends_after(1)], clock=lambda: TIME, concurrency=1)
        async with asyncio.timeout(PATIENCE_S):
            await host.run()

    with pytest.raises(LogError, match="the disk is full"):
        asyncio.run(scene())


def test_a_host_that_was_stopped_before_it_ran_does_nothing():
    log = log_with(command(KEYS[0], "1"))

    async def scene():
        host = Host(log, [performer(), ends_after(1)], clock=lambda: TIME, concurrency=1)
        host.stop()
        async with asyncio.timeout(PATIENCE_S):
            await host.run()

    asyncio.run(scene())
    assert len(log.records) == 1


class SlowToCommit(MemoryLog):
    """A log whose commits take a while, so that a stop falls into one."""

    def __init__(self):
        super().__init__()
        self.committing = asyncio.Event()

    async def commit(self, group, offsets):
        self.committing.set()
        await asyncio.sleep(0.2)
        await super().commit(group, offsets)


def test_a_host_that_is_stopped_while_it_commits_ends(monkeypatch):
    monkeypatch.setattr("services.kit.host.COMMIT_S", 0.01)
    log = SlowToCommit()
    Writer(log).put(command(KEYS[0], "1"))

    async def scene():
        async with hosted(log, performer(), ends_after(1)):
            await log.committing.wait()
        return await log.committed("toy")

    assert asyncio.run(scene())
