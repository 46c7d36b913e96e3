"""What of sharing needs no Redis: kept replies as JSON, places, a replica's own pace, the gate's place."""

import asyncio
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.kit.models.chat import ChatCall, ChatReply, ChatRequest, ModelFailed
from services.kit.models.retry import AttemptFailed, Retrying, RetryPolicy
from services.kit.shared import pace, replies
from services.kit.shared.pace import LastKnown
from services.kit.shared.redis import Shared
from services.kit.shared.sharing import SharedError

REQUEST = ChatRequest("assistant", "run-1", 3, "openai/tiny", ({"role": "user", "content": "Hello."},))
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
CALLS = st.lists(st.builds(ChatCall, TEXT, TEXT, TEXT), max_size=3).map(tuple)
COUNT = st.integers(0, 2**40)
REPLIES = st.builds(
    ChatReply, TEXT, CALLS, COUNT, COUNT, st.floats(0, 1e6, allow_nan=False), st.integers(1, 100)
)


# Kept replies


@given(REPLIES)
def test_a_kept_reply_comes_back_whole(reply):
    text = replies.dump(reply)
    assert text is not None
    again = replies.load(text)
    assert again == reply
    assert again.attempts == reply.attempts


@given(st.binary() | st.recursive(st.none() | st.integers() | TEXT, st.lists).map(repr).map(str.encode))
def test_what_is_no_reply_is_none(text):
    assert replies.load(text) is None


def test_replies_that_are_too_large_or_no_text_are_not_kept():
    assert replies.dump(ChatReply("x" * replies.MAX_BYTES)) is None
    assert replies.dump(ChatReply("\ud800")) is None


def test_a_key_names_run_turn_role_and_content():
    assert replies.key("tds:", REQUEST) == f"tds:reply:run-1:3:assistant:{REQUEST.digest()}"


# Places


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("redis://example.test", "example.test:6379"),
        ("redis://:geheim@example.test:7000/3", "example.test:7000"),
        ("rediss://me:ge%2Fheim@[::1]:7000/?ssl_cert_reqs=none", "::1:7000"),
        ("unix:///run/redis.sock", "/run/redis.sock"),
    ],
)
def test_a_place_has_no_password(url, place):
    assert Shared(url).where == place


@pytest.mark.parametrize(
    "url",
    [
        "geheim",
        "http://:geheim@example.test",
        "redis://",
        "redis://:geheim@/0",
        "redis://:12/geheim@example.test:7000/0",
        "redis://:12#geheim@example.test:7000/0",
        "redis://user:12?geheim@example.test:7000/0",
        "redis://:geheim@example.test:port/0",
        "redis://:geheim@example.test:7000/geheim",
        "redis://:geheim@example.test:7000/0?socket_timeout=100",
    ],
)
def test_what_is_no_url_is_refused_and_not_quoted(url):
    with pytest.raises(SharedError, match="TDS_REDIS is no URL of a Redis: write redis://") as refused:
        Shared(url)
    assert "geheim" not in str(refused.value)
    assert "12" not in str(refused.value)


# The own pace


def test_nothing_known_is_no_limit():
    last = LastKnown()
    last.pushed_back(5.0, 100.0)
    assert [last.wait_s(100.0) for _ in range(3)] == [0, 0, 0]


def test_a_replica_goes_at_its_share_of_the_rate():
    last = LastKnown()
    for number in range(1000):
        last.sent(number * 0.1)  # 10 a second, of 40 that all sent
    last.learn(40.0, 40.0 * pace.TAU_S, 100.0)
    turns = [last.wait_s(100.0) for _ in range(11)]
    assert turns[0] == 0
    assert turns[10] == pytest.approx(1.0, rel=0.05)


def test_a_push_back_slows_a_replica_down_and_time_lets_go():
    last = LastKnown()
    last.sent(100.0)
    last.learn(10.0, 1.0, 100.0)
    last.pushed_back(2.0, 100.0)
    assert last.wait_s(100.0) == pytest.approx(2.0)
    assert last.wait_s(100.0) == pytest.approx(2.0 + 1 / (10 * pace.BETA))
    assert last.wait_s(101.0 + pace.IDLE_S) == 0


def test_a_rate_never_falls_to_nothing():
    last = LastKnown()
    last.learn(pace.FLOOR, 1e9, 0.0)
    for _ in range(100):
        last.pushed_back(0.0, 0.0)
    last.wait_s(0.0)
    assert last.wait_s(0.0) <= 1 / pace.FLOOR


# The gate's place in the retry layer


class Told:
    def __init__(self, heard: list) -> None:
        self.heard = heard

    def replied(self, reply: ChatReply) -> None:
        self.heard.append(reply)

    def failed(self, failure: AttemptFailed) -> None:
        self.heard.append(failure.code)


class Gate:
    """Gives leave, ``kept`` at the ``at``-th time."""

    def __init__(self, at: int = 0, kept: ChatReply | None = None) -> None:
        self.asked, self.at, self.kept = 0, at, kept
        self.heard: list = []

    async def enter(self, request: ChatRequest) -> ChatReply | Told:
        self.asked += 1
        return self.kept if self.kept is not None and self.asked == self.at else Told(self.heard)


class Model:
    def __init__(self, *outcomes: ChatReply | Exception) -> None:
        self.outcomes = list(outcomes)

    async def complete(self, request: ChatRequest) -> ChatReply:
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


def complete(model: Model, gate: Gate) -> tuple[ChatReply, int]:
    calls = []
    policy = RetryPolicy(attempts=3)
    retrying = Retrying(model, policy, sleep=lambda _: asyncio.sleep(0), on_call=calls.append, gate=gate)
    return asyncio.run(retrying.complete(REQUEST)), len(calls)


def test_each_attempt_asks_for_leave_and_tells_what_came_of_it():
    gate = Gate()
    reply, calls = complete(Model(AttemptFailed("rate_limited", ""), ChatReply("hello")), gate)
    assert calls == gate.asked == reply.attempts == 2
    assert gate.heard == ["rate_limited", reply]
    assert gate.heard[1].attempts == 2


@pytest.mark.parametrize("at", [1, 2])
def test_a_kept_reply_needs_no_attempt(at):
    kept = ChatReply("kept", attempts=7)
    reply, calls = complete(Model(AttemptFailed("cut", "")), Gate(at, kept))
    assert reply.content == "kept"
    assert reply.attempts == 7
    assert calls == at - 1


def test_what_was_refused_for_good_is_not_told():
    gate = Gate()
    with pytest.raises(ModelFailed):
        complete(Model(ModelFailed("bad_request", "", infrastructure=False)), gate)
    assert gate.heard == []


def test_without_a_redis_nothing_of_it_is_imported():
    code = (
        "import asyncio, sys\n"
        "import services.kit.models.router, services.kit.shared.sharing as s, services.kit.settings as k\n"
        "async def main():\n"
        "    async with s.sharing(k.KitSettings(redis='')) as shared:\n"
        "        assert s.gate_on(shared) is None\n"
        "asyncio.run(main())\n"
        "print([name for name in sys.modules if name.split('.')[0] == 'redis'])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
