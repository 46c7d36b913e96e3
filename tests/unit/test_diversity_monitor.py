"""diversity-monitor: given these events, when it decides, then these events."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.codec import decode
from schemas.diversity import (
    BAND_EDGES,
    DiversityMeasured,
    SteeringUpdated,
    TrajectoryAdmitted,
    TrajectoryRejected,
    coarse_mode,
)
from schemas.envelope import Envelope, Message
from schemas.evolution import (
    CampaignFinished,
    CampaignSpec,
    CampaignStarted,
    GenerationOpened,
    SlotAbandoned,
    SlotPlan,
    Target,
)
from schemas.run import Action, Finding, RunFailed, RunFinished, RunStarted, Verdict, run_id
from schemas.topics import TOPIC_OF
from services.diversity_monitor.app import service
from services.diversity_monitor.complexity import HISTOGRAM_BINS, Spread, band, complexity
from services.diversity_monitor.domain import BATCH, State, decide, evolve, figures, initial
from services.diversity_monitor.entropy import Tally
from services.diversity_monitor.measurement import measure
from services.diversity_monitor.steering import AVOIDED, Commonest, inverse_weights
from services.kit.chain import Head, seal
from services.kit.service import Draft

DOMAINS = ("banking", "calendar", "orders", "tickets")
SEQUENCED = (TrajectoryAdmitted, TrajectoryRejected, SteeringUpdated)

READ = Action(kind="read", tool="get_order", domain="orders", wave=0)
ANSWER = Action(kind="answer", wave=9)


def call(tool: str, wave: int, kind: str = "read", **more: Any) -> Action:
    return Action(kind=kind, tool=tool, wave=wave, domain=more.pop("domain", "orders"), **more)


def said(kind: str, wave: int = 0) -> Action:
    return Action(kind=kind, wave=wave)


# Events


def started(
    n: int, campaign: str = "c", *, cap: int = 0, gain: float = 0.0, domains: tuple[str, ...] = DOMAINS
) -> Message:
    spec = CampaignSpec(campaign=campaign, trajectories=n, seed=1, signature_cap=cap, min_gain=gain)
    return CampaignStarted(spec=spec, catalog_hash="h", domains=domains, code=False)


def opened(generation: int, slots: list[int], campaign: str = "c") -> Message:
    target = Target(domain="orders", shape="single", depth=1)
    plans = tuple(SlotPlan(slot=s, cluster="k", cluster_hash="k", target=target, seed=s) for s in slots)
    return GenerationOpened(campaign=campaign, generation=generation, steering_version=0, slots=plans)


def abandoned(generation: int, slot: int, campaign: str = "c") -> SlotAbandoned:
    return SlotAbandoned(campaign=campaign, generation=generation, slot=slot, reasons=("a", "b", "c"))


def finished(
    generation: int,
    slot: int,
    *,
    actions: tuple[Action, ...] = (READ, ANSWER),
    content: str = "",
    attempt: int = 1,
    passed: bool = True,
    campaign: str = "c",
) -> Message:
    findings = () if passed else (Finding(code="wrong_state", attribution="assistant"),)
    run = run_id(campaign, slot, attempt)
    return RunFinished(
        run=run,
        campaign=campaign,
        generation=generation,
        slot=slot,
        attempt=attempt,
        verdict=Verdict(passed=passed, findings=findings),
        actions=actions,
        content_hash=content or run,
    )


def envelope(data: Message, identity: str) -> Envelope:
    return Envelope(id=identity, source="test", time="", subject="", data=data)


class Monitor:
    """The service on a log of its own: appended messages come back when ``deliver`` is called."""

    def __init__(self) -> None:
        self.state: State = initial()
        self.ids = count()
        self.log: list[Envelope] = []
        self.coming: list[Envelope] = []
        self.heads: dict[tuple[str, str], Head] = {}
        self.decided: list[Message] = []

    def fold(self, event: Envelope) -> None:
        self.log.append(event)
        self.state = evolve(self.state, event)

    def given(self, *messages: Message) -> Monitor:
        for message in messages:
            self.fold(envelope(message, f"in-{next(self.ids)}"))
        return self

    def decide(self) -> tuple[Any, ...]:
        """Ask once, as a host does: only when nothing is under way."""
        assert not self.coming
        drafts = decide(self.state)
        for draft in drafts:
            self.coming.append(envelope(draft.data, f"out-{len(self.decided)}"))
            self.decided.append(draft.data)
        return drafts

    def deliver(self) -> None:
        """The oldest appended message comes back, through JSON as it does from a log."""
        event = self.coming.pop(0)
        (sealed,) = seal([Draft("c", event.data)], self.heads, "test", "")
        topic = TOPIC_OF[type(event.data)]
        self.fold(replace(decode(topic, "c", sealed.outgoing.headers, sealed.outgoing.value), id=event.id))

    def settle(self) -> list[Message]:
        """Decide and take back until nothing is due; the sequenced decisions of this call."""
        before = len(self.decided)
        while self.decide():
            while self.coming:
                self.deliver()
        return [m for m in self.decided[before:] if isinstance(m, SEQUENCED)]

    @property
    def sequence(self) -> list[Message]:
        return [m for m in self.decided if isinstance(m, SEQUENCED)]


def brief(messages: list[Message]) -> list[str]:
    words = []
    for m in messages:
        if isinstance(m, TrajectoryAdmitted):
            words.append(f"{m.slot}→row {m.row}")
        elif isinstance(m, TrajectoryRejected):
            words.append(f"{m.slot} {m.gate}")
        elif isinstance(m, SteeringUpdated):
            words.append(f"steering {m.version}")
    return words


# Measuring


def test_a_verified_run_is_measured_on_arrival_before_its_campaign_is_known() -> None:
    monitor = Monitor().given(finished(3, 80))
    (draft,) = monitor.decide()
    assert isinstance(draft.data, DiversityMeasured)
    assert (draft.key, draft.correlation, draft.cause) == ("c", "c", "in-0")
    assert (draft.data.run, draft.data.generation, draft.data.slot) == ("c.80.1", 3, 80)
    assert draft.data.measurement == measure((READ, ANSWER), "c.80.1")


def test_a_run_that_did_not_pass_and_one_that_broke_off_are_of_no_concern() -> None:
    broken = RunFailed(
        run="c.1.1", campaign="c", generation=0, slot=1, attempt=1, content=True, attribution="user", code="x"
    )
    begun = RunStarted(run="c.1.1", campaign="c", blueprint_event="b")
    monitor = Monitor().given(started(5), opened(0, [0, 1]), finished(0, 0, passed=False), begun, broken)
    assert monitor.decide() == ()


def test_measure_spreads_one_unit_over_the_domains_really_called() -> None:
    trace = (
        call("get_order", 0),
        call("get_order", 1),
        call("book", 2, "write", domain="calendar"),
        call("invented", 3, domain="", error=True),
        said("answer", 4),
    )
    measured = measure(trace, "hash")
    assert measured.domains == {"orders": 2 / 3, "calendar": 1 / 3}
    assert measured.tools == ("get_order", "book")
    assert (measured.steps, measured.content_hash) == (5, "hash")


def test_measure_of_a_trace_without_calls() -> None:
    measured = measure((said("refuse"),), "h")
    assert (measured.domains, measured.tools, measured.complexity, measured.band) == ({}, (), 0.0, 0)
    assert (measured.signature, measured.mode) == ("refuse", "single/0/refuses")


SIGNATURES: list[tuple[str, tuple[Action, ...], str, str]] = [
    ("one call", (call("a", 0), said("answer", 1)), "read>answer", "single/1"),
    (
        "a question, then a dependent chain",
        (said("clarify", 0), call("a", 1), call("b", 2, "write", dependent=1), said("answer", 3)),
        "clarify>read>write.dep>answer",
        "chain/2/clarifies",
    ),
    (
        "calls one by one are a chain though no argument shows it",
        (call("a", 0), call("b", 1), call("c", 2), said("answer", 3)),
        "read*3-4>answer",
        "chain/3-4",
    ),
    (
        "one wave of two",
        (call("b", 0, "write"), call("a", 0), said("answer", 1)),
        "{read,write}>answer",
        "parallel/2",
    ),
    (
        "waves of three, run-length within a wave",
        (call("a", 0), call("b", 0), call("c", 0), said("confirm", 1), call("d", 2, "write", dependent=2)),
        "{read*3-4}>confirm>write.dep",
        "dag/3-4",
    ),
    (
        "an error, and the retry stands for the call that failed",
        (call("a", 0, error=True), call("a", 1, retry=True), said("answer", 2)),
        "read!>retry:read>answer",
        "single/1/recovers",
    ),
    (
        "retried twice",
        (
            call("a", 0, error=True),
            call("a", 1, error=True, retry=True),
            call("a", 2, retry=True),
            call("b", 3, dependent=1),
        ),
        "read!>retry:read!>retry:read>read.dep",
        "chain/2/recovers",
    ),
    (
        "another way after an error",
        (call("a", 0, error=True), call("b", 1), call("c", 2, "write", dependent=1), said("answer", 3)),
        "read!>back:read>write.dep>answer",
        "chain/3-4/recovers",
    ),
    (
        "an error, and giving up",
        (call("a", 0, error=True), said("refuse", 1)),
        "read!>refuse",
        "single/1/refuses",
    ),
    (
        "a wave in which one failed, its retry beside a new call",
        (
            call("a", 0, error=True),
            call("b", 0),
            call("a", 1, retry=True),
            call("c", 1, dependent=1),
            said("answer", 2),
        ),
        "{read,read!}>{read.dep,retry:read}>answer",
        "dag/3-4/recovers",
    ),
    (
        "code, and an identical repeat that makes nothing deeper",
        (call("run", 0, "code"), call("a", 1), call("a", 2, repeat=True), said("answer", 3)),
        "code>read*2>answer",
        "chain/2/codes",
    ),
    (
        "all flags, in their order",
        (
            said("refuse", 0),
            call("run", 1, "code", error=True),
            said("clarify", 2),
            call("run", 3, "code", retry=True),
        ),
        "refuse>code!>clarify>retry:code",
        "single/1/clarifies+recovers+codes+refuses",
    ),
    (
        "nine and more",
        tuple(call("a", wave) for wave in range(12)),
        "read*9+",
        "chain/9+",
    ),
]


@pytest.mark.parametrize(
    ("trace", "exact", "coarse"), [case[1:] for case in SIGNATURES], ids=[case[0] for case in SIGNATURES]
)
def test_signatures(trace: tuple[Action, ...], exact: str, coarse: str) -> None:
    measured = measure(trace, "h")
    assert (measured.signature, measured.mode) == (exact, coarse)


def test_the_order_of_the_calls_in_a_wave_does_not_show() -> None:
    calls = [call("a", 0), call("b", 0, "write"), call("c", 0, dependent=1), call("d", 0)]
    signatures = {measure((*random.Random(i).sample(calls, 4), ANSWER), "h").signature for i in range(10)}
    assert signatures == {"{read*2,read.dep,write}>answer"}


def test_a_long_signature_is_cut_and_stays_distinct() -> None:
    kinds = ["read", "write"] * 60
    long = tuple(call("t", wave, kind) for wave, kind in enumerate(kinds))
    longer = (*long, call("t", 200, "code"))
    one, other = measure(long, "h").signature, measure(longer, "h").signature
    assert len(one) <= 240
    assert len(other) <= 240
    assert one != other


def test_coarse_mode_names_flags_in_their_order() -> None:
    assert coarse_mode("dag", 8, ("refuses", "clarifies")) == "dag/5-8/clarifies+refuses"
    assert [coarse_mode("chain", depth) for depth in (0, 1, 2, 3, 4, 5, 8, 9, 40)] == [
        f"chain/{bucket}" for bucket in ("0", "1", "2", "3-4", "3-4", "5-8", "5-8", "9+", "9+")
    ]


COMPLEXITIES: list[tuple[str, tuple[Action, ...], float]] = [
    ("nothing", (), 0.0),
    ("an answer", (said("answer"),), 0.0),
    ("a question and a go-ahead", (said("clarify"), said("confirm")), 1.0),
    ("a read: 1 + log2(1+3) + ¼·log2(1+7)", (call("a", 0, arguments=3, candidates=7),), 1 + 2 + 0.75),
    (
        "a dependent write: 1.5 + log2(1+1) + 1 + ¼·log2(1+15)",
        (call("a", 0, "write", arguments=1, dependent=1, candidates=15),),
        1.5 + 1 + 1 + 1,
    ),
    ("code", (call("run", 0, "code", arguments=1),), 2 + 1),
    (
        "two domain switches, over an answer in between",
        (
            call("a", 0, domain="orders"),
            said("answer", 1),
            call("b", 2, domain="banking"),
            call("c", 3, domain=""),
            call("d", 4, domain="banking"),
            call("e", 5, domain="orders"),
        ),
        5 + 2 * 0.5,
    ),
    ("a retry: 1 + 2", (call("a", 0, error=True), call("a", 1, retry=True)), 3.0),
    ("another way: 1.5 + 2, then 1", (call("a", 0, "write", error=True), call("b", 1), call("c", 2)), 4.5),
    (
        "another way counts once a wave: 1 + (2 + 1.5)",
        (call("a", 0, error=True), call("b", 1), call("c", 1, "write")),
        4.5,
    ),
    (
        "an identical repeat counts 0 and switches no domain",
        (
            call("a", 0, domain="orders"),
            call("b", 1, domain="banking"),
            call("a", 2, domain="orders", arguments=3, dependent=3, candidates=7, repeat=True),
            call("b", 3, domain="banking", arguments=1),
        ),
        1 + 1.5 + 0 + 2,
    ),
]


@pytest.mark.parametrize(
    ("trace", "expected"), [case[1:] for case in COMPLEXITIES], ids=[case[0] for case in COMPLEXITIES]
)
def test_complexity_by_hand(trace: tuple[Action, ...], expected: float) -> None:
    assert complexity(trace) == pytest.approx(expected, abs=1e-12)
    assert measure(trace, "h").complexity == complexity(trace)


def test_bands_begin_at_their_edges() -> None:
    assert [band(edge) for edge in BAND_EDGES] == [1, 2, 3]
    assert [band(math.nextafter(edge, 0)) for edge in BAND_EDGES] == [0, 1, 2]
    assert (band(0.0), band(1e9)) == (0, 3)


# Entropies


def naive(observations: list[tuple[str, float]]) -> float:
    masses: dict[str, list[float]] = {}
    for symbol, mass in observations:
        masses.setdefault(symbol, []).append(mass)
    sums = [math.fsum(parts) for parts in masses.values()]
    total = math.fsum(sums)
    return -math.fsum(part / total * math.log2(part / total) for part in sums)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdefghij"), st.sampled_from([1.0, 0.5, 1 / 3, 2 / 3, 0.1, 1 / 7, 1e-6, 40.0])
        ),
        min_size=1,
        max_size=300,
    ),
    st.randoms(use_true_random=False),
)
def test_the_streaming_entropy_is_the_batch_entropy_in_any_order(
    observations: list[tuple[str, float]], rng: random.Random
) -> None:
    for _ in range(2):
        tally = Tally()
        for symbol, mass in observations:
            tally.add(symbol, mass)
        assert tally.bits == pytest.approx(naive(observations), abs=1e-9)
        assert tally.total == pytest.approx(math.fsum(mass for _, mass in observations), rel=1e-14)
        assert tally.distinct == len({symbol for symbol, _ in observations})
        rng.shuffle(observations)


def test_the_entropy_holds_over_a_long_stream() -> None:
    rng = random.Random("long")
    observations = [
        (str(int(rng.paretovariate(0.5)) % 5000), rng.choice([1.0, 1 / 3, 0.7])) for _ in range(200_000)
    ]
    tally = Tally()
    for symbol, mass in observations:
        tally.add(symbol, mass)
    assert abs(tally.bits - naive(observations)) < 1e-14


def test_known_entropies() -> None:
    tally = Tally()
    assert (tally.bits, tally.entropy().perplexity) == (0.0, 1.0)
    tally.add("a", 7.0)
    assert (tally.bits, tally.entropy(4).normalized) == (0.0, 0.0)
    for symbol in "bcd":
        tally.add(symbol, 7.0)
    entropy = tally.entropy(16)
    assert (entropy.bits, entropy.normalized, entropy.perplexity) == pytest.approx((2.0, 0.5, 4.0))
    assert entropy.distinct == 4
    assert tally.entropy().normalized == pytest.approx(1.0)
    assert tally.entropy(2).normalized == pytest.approx(1.0)


@pytest.mark.parametrize("mass", [0.0, -1.0, math.nan, math.inf])
def test_a_mass_that_is_none_is_refused(mass: float) -> None:
    tally = Tally()
    with pytest.raises(ValueError, match="positive"):
        tally.add("a", mass)
    assert tally.distinct == 0


@given(st.lists(st.floats(0, 300), min_size=1, max_size=200))
def test_the_spread_of_complexity_is_the_batch_one(values: list[float]) -> None:
    spread = Spread()
    for value in values:
        spread.add(value, 4)
    summary = spread.summary()
    ranked = sorted(values)
    assert summary.mean == pytest.approx(math.fsum(values) / len(values), abs=1e-9)
    assert summary.p50 == pytest.approx(ranked[math.ceil(0.5 * len(values)) - 1], abs=0.005001)
    assert summary.p90 == pytest.approx(ranked[math.ceil(0.9 * len(values)) - 1], abs=0.005001)
    assert summary.per_step == pytest.approx(summary.mean / 4)
    assert sum(summary.histogram) == len(values)
    assert summary.histogram[0] == sum(value < 4 for value in values)
    assert summary.histogram[-1] == sum(value >= 4 * (HISTOGRAM_BINS - 1) for value in values)


# Steering


def test_weights_fill_up_what_is_rare() -> None:
    assert inverse_weights({}) == {}
    assert inverse_weights({"a": 0.0, "b": 0.0}) == {"a": 0.5, "b": 0.5}
    weights = inverse_weights({"unseen": 0.0, "mean": 10.0, "often": 20.0})
    assert sum(weights.values()) == pytest.approx(1, abs=1e-12)
    assert weights["unseen"] > weights["mean"] > weights["often"] > 0
    assert weights["unseen"] / weights["mean"] == pytest.approx(5)


@given(st.lists(st.integers(0, 60), max_size=400))
def test_the_commonest_signatures_are_exact(stream: list[int]) -> None:
    commonest, counts = Commonest(), Counter[str]()
    for number in stream:
        counts[str(number)] += 1
        commonest.grew(str(number), counts[str(number)])
    over = [s for s, n in counts.items() if n / len(stream) > 2 / len(counts)]
    expected = sorted(over, key=lambda signature: (-counts[signature], signature))[:AVOIDED]
    assert list(commonest.overrepresented(len(stream), len(counts))) == expected


def test_steering_carries_the_figures_so_far() -> None:
    chain = (
        call("a", 0, arguments=1, candidates=3),
        call("b", 1, "write", domain="banking", dependent=1, arguments=1, candidates=3),
        said("answer", 2),
    )
    monitor = Monitor().given(started(50), opened(0, [0, 1, 2, 3]))
    monitor.given(
        finished(0, 0), finished(0, 1), finished(0, 2, actions=chain), finished(0, 3, content="c.0.1")
    )
    *_, steering = monitor.settle()
    assert isinstance(steering, SteeringUpdated)
    found = steering.figures
    assert (found.admitted, found.rejected, found.tools) == (3, {"exact_duplicate": 1}, 3)
    assert found.ceiling_bits == pytest.approx(math.log2(3))
    thirds = -(2 / 3 * math.log2(2 / 3) + 1 / 3 * math.log2(1 / 3))
    assert found.mode_exact.bits == found.mode_coarse.bits == pytest.approx(thirds)
    assert found.domain.bits == pytest.approx(-(5 / 6 * math.log2(5 / 6) + 1 / 6 * math.log2(1 / 6)))
    assert found.domain.normalized == pytest.approx(found.domain.bits / 2)
    assert found.domain.perplexity == pytest.approx(2**found.domain.bits)
    long = 1 + 1 + 0.5 + 1.5 + 1 + 1 + 0.5 + 0.5
    assert found.complexity.mean == pytest.approx((1 + 1 + long) / 3)
    assert found.complexity.per_step == pytest.approx((1 + 1 + long) / 7)
    assert (found.complexity.p50, found.complexity.p90) == (1.0, 7.0)
    assert found.complexity.histogram[:3] == (2, 1, 0)
    assert list(steering.domain_weights) == list(DOMAINS)
    assert steering.domain_weights["tickets"] > steering.domain_weights["banking"]
    assert set(steering.mode_weights) == {"single/1", "chain/2"}
    assert steering.mode_weights["chain/2"] > steering.mode_weights["single/1"]
    assert set(steering.band_weights) == {"0", "1", "2", "3"}
    for weights in (steering.domain_weights, steering.mode_weights, steering.band_weights):
        assert sum(weights.values()) == pytest.approx(1, abs=1e-12)
    assert figures(monitor.state, "c") == found


def test_steering_names_the_signatures_to_avoid() -> None:
    monitor = Monitor().given(started(50), opened(0, list(range(9))))
    for slot in range(6):
        monitor.given(finished(0, slot))
    for slot, kind in enumerate(["write", "code"], start=6):
        monitor.given(finished(0, slot, actions=(call("t", 0, kind),)))
    monitor.given(abandoned(0, 8))
    *_, steering = monitor.settle()
    assert isinstance(steering, SteeringUpdated)
    assert steering.avoid == ("read>answer",)  # 6 of 8 is above 2/3
    monitor.given(opened(1, [9]), finished(1, 9, actions=(call("t", 0, "write"), ANSWER)))
    *_, steering = monitor.settle()
    assert isinstance(steering, SteeringUpdated)
    assert steering.avoid == ("read>answer",)  # 6 of 9 is above 2/4


# Admission


def test_slots_are_admitted_in_order_whoever_finished_first() -> None:
    monitor = Monitor().given(started(9), opened(0, [0, 1, 2]), finished(0, 2), finished(0, 1))
    assert monitor.settle() == []
    monitor.given(finished(0, 0))
    assert brief(monitor.settle()) == ["0→row 0", "1→row 1", "2→row 2", "steering 1"]
    assert brief(monitor.settle()) == []


def test_decisions_name_their_cause() -> None:
    monitor = Monitor().given(started(9), opened(0, [0, 1]), finished(0, 0))
    assert [draft.cause for draft in monitor.decide()] == ["in-2"]
    monitor.deliver()
    (admitted,) = monitor.decide()
    assert isinstance(admitted.data, TrajectoryAdmitted)
    assert (admitted.key, admitted.correlation, admitted.cause) == ("c", "c", "in-2")
    monitor.deliver()
    monitor.given(abandoned(0, 1))
    (steering,) = monitor.decide()
    assert isinstance(steering.data, SteeringUpdated)
    assert steering.cause == "in-3"


def test_a_run_is_admitted_only_after_its_measurement_came_back() -> None:
    monitor = Monitor().given(started(9), opened(0, [0]), finished(0, 0))
    assert [type(draft.data) for draft in monitor.decide()] == [DiversityMeasured]
    monitor.deliver()
    assert [type(draft.data) for draft in monitor.decide()] == [TrajectoryAdmitted]


def test_abandoned_slots_are_skipped_and_failed_attempts_waited_for() -> None:
    monitor = Monitor().given(started(9), opened(0, [0, 1, 2]), abandoned(0, 0))
    monitor.given(finished(0, 1, passed=False), finished(0, 2))
    assert monitor.settle() == []
    monitor.given(finished(0, 1, attempt=2))
    decided = monitor.settle()
    assert brief(decided) == ["1→row 0", "2→row 1", "steering 1"]
    assert isinstance(decided[0], TrajectoryAdmitted)
    assert decided[0].run == "c.1.2"


def test_a_generation_of_abandoned_slots_closes_with_no_figures() -> None:
    monitor = Monitor().given(started(9), opened(0, [0, 1]), abandoned(0, 1))
    assert monitor.settle() == []
    monitor.given(abandoned(0, 0))
    (steering,) = monitor.settle()
    assert isinstance(steering, SteeringUpdated)
    assert steering.figures.admitted == 0
    assert steering.domain_weights == dict.fromkeys(DOMAINS, 0.25)
    assert steering.mode_weights == {}


def test_a_generation_waits_for_the_one_before_it() -> None:
    monitor = Monitor().given(started(9), opened(0, [0]), opened(1, [1, 2]), finished(1, 1), finished(1, 2))
    assert monitor.settle() == []
    monitor.given(finished(0, 0))
    assert brief(monitor.settle()) == ["0→row 0", "steering 1", "1→row 1", "2→row 2", "steering 2"]


def test_an_exact_duplicate_is_rejected_with_the_row_it_repeats() -> None:
    monitor = Monitor().given(started(9), opened(0, [0, 1, 2, 3]))
    monitor.given(*[finished(0, slot, content=f"h{slot % 2}") for slot in range(4)])
    decided = monitor.settle()
    assert brief(decided) == ["0→row 0", "1→row 1", "2 exact_duplicate", "3 exact_duplicate", "steering 1"]
    assert "row 0" in decided[2].evidence  # type: ignore[attr-defined]
    assert "row 1" in decided[3].evidence  # type: ignore[attr-defined]
    monitor.given(opened(1, [4]), finished(1, 4, content="h1"))
    assert brief(monitor.settle()) == ["4 exact_duplicate", "steering 2"]


def test_campaigns_have_duplicates_and_rows_of_their_own() -> None:
    monitor = Monitor().given(started(9), opened(0, [0]), started(9, "d"), opened(0, [0], "d"))
    monitor.given(finished(0, 0, content="same"), finished(0, 0, content="same", campaign="d"))
    decided = monitor.settle()
    assert sorted(m.campaign for m in decided if isinstance(m, TrajectoryAdmitted)) == ["c", "d"]
    assert figures(monitor.state, "c") == figures(monitor.state, "d")
    assert figures(monitor.state, "unheard of").admitted == 0


def test_a_signature_at_its_cap_is_rejected_within_a_batch_and_across() -> None:
    write = (call("t", 0, "write"),)
    monitor = Monitor().given(started(9, cap=2), opened(0, [0, 1, 2, 3]), opened(1, [4, 5]))
    monitor.given(*[finished(0, slot) for slot in range(3)], finished(0, 3, actions=write))
    decided = monitor.settle()
    assert brief(decided) == ["0→row 0", "1→row 1", "2 signature_cap", "3→row 2", "steering 1"]
    assert "read>answer" in decided[2].evidence  # type: ignore[attr-defined]
    assert "cap is 2" in decided[2].evidence  # type: ignore[attr-defined]
    monitor.given(finished(1, 4), finished(1, 5, actions=write))
    assert brief(monitor.settle()) == ["4 signature_cap", "5→row 3", "steering 2"]


CHAINS = tuple((*(call("get_order", wave) for wave in range(length)), ANSWER) for length in range(1, 6))


def test_what_adds_too_little_is_rejected_with_what_it_would_have_added() -> None:
    slots = list(range(30))
    plain = [finished(0, slot, actions=CHAINS[0 if slot % 6 else 1 + slot // 6]) for slot in slots[:24]]
    usual = [finished(0, slot) for slot in slots[24:29]]
    rare = finished(0, 29, actions=(call("find_hotel", 0, domain="travel"), said("clarify", 1), ANSWER))
    monitor = Monitor().given(started(40, gain=0.6), opened(0, slots), *plain, *usual, rare)
    decided = monitor.settle()
    refused = [m for m in decided if isinstance(m, TrajectoryRejected)]
    assert {m.gate for m in refused} == {"marginal_gain"}
    assert {m.slot for m in refused} >= {24, 25, 26, 27, 28}
    assert 29 not in {m.slot for m in refused}
    assert "at least 0.6 times that is asked for" in refused[0].evidence


def test_the_gain_gate_decides_the_same_in_one_batch_and_slot_by_slot() -> None:
    slots = list(range(60))
    runs = [finished(0, slot, actions=CHAINS[0 if slot % 4 else 1 + slot % 3]) for slot in slots]
    at_once = Monitor().given(started(80, gain=0.9), opened(0, slots), *runs)
    at_once.settle()
    one_by_one = Monitor().given(started(80, gain=0.9), opened(0, slots))
    for run in runs:
        one_by_one.given(run).settle()
    assert brief(one_by_one.sequence) == brief(at_once.sequence)
    assert sum("marginal_gain" in word for word in brief(at_once.sequence)) > 5


def test_no_cap_means_no_cap() -> None:
    monitor = Monitor().given(started(99), opened(0, list(range(40))), *[finished(0, s) for s in range(40)])
    assert len(monitor.settle()) == 41


def test_admission_stops_for_good_when_the_number_is_reached() -> None:
    monitor = Monitor().given(started(2), opened(0, [0, 1, 2, 3]), opened(1, [4]))
    monitor.given(finished(0, 0, content="x"), finished(0, 1, content="x"), finished(0, 2))
    monitor.given(finished(0, 3), finished(1, 4))
    assert brief(monitor.settle()) == ["0→row 0", "1 exact_duplicate", "2→row 1"]
    monitor.given(CampaignFinished(campaign="c", reason="trajectories", complete=True, admitted=2, slots=5))
    assert monitor.settle() == []
    assert figures(monitor.state, "c").admitted == 2


def test_nothing_is_rejected_after_the_last_row() -> None:
    monitor = Monitor().given(started(1), opened(0, [0, 1]))
    monitor.given(finished(0, 0, content="x"), finished(0, 1, content="x"))
    assert brief(monitor.settle()) == ["0→row 0"]
    assert monitor.settle() == []


def test_own_output_may_come_before_the_input_that_it_answers() -> None:
    events = [started(9), opened(0, [0, 1]), finished(0, 0), finished(0, 1)]
    monitor = Monitor().given(*events)
    drafts = [*monitor.decide()]
    while monitor.coming:
        monitor.deliver()
    drafts += monitor.decide()
    assert brief([draft.data for draft in drafts])[-2:] == ["0→row 0", "1→row 1"]
    restarted = Monitor().given(*[draft.data for draft in drafts])
    assert restarted.settle() == []
    restarted.given(*reversed(events))
    assert brief(restarted.settle()) == ["steering 1"]


def test_the_generation_whose_last_slot_fills_the_number_is_closed() -> None:
    monitor = Monitor().given(started(2), opened(0, [0, 1]), opened(1, [2]))
    monitor.given(finished(0, 0), finished(0, 1), finished(1, 2))
    assert brief(monitor.settle()) == ["0→row 0", "1→row 1", "steering 1"]


@pytest.mark.parametrize("early", [False, True])
def test_slots_after_the_last_row_do_not_close_a_generation(early: bool) -> None:
    """Whether they were abandoned before the campaign ended depends on timing, so it must not show."""
    monitor = Monitor().given(started(1), opened(0, [0, 1]))
    monitor.given(*([abandoned(0, 1)] if early else []), finished(0, 0))
    assert brief(monitor.settle()) == ["0→row 0"]
    monitor.given(abandoned(0, 1))
    assert monitor.settle() == []


def test_a_stopped_campaign_takes_no_further_row() -> None:
    stop = CampaignFinished(campaign="c", reason="stopped", complete=False, admitted=1, slots=3)
    monitor = Monitor().given(started(9), opened(0, [0, 1, 2]), finished(0, 0, content="x"))
    monitor.given(stop, finished(0, 1, content="x"), finished(0, 2))
    assert brief(monitor.settle()) == ["0→row 0", "1 exact_duplicate"]


def test_of_two_passed_runs_the_lowest_attempt_counts() -> None:
    monitor = Monitor().given(
        started(9), opened(0, [0]), finished(0, 0, attempt=2), finished(0, 0, attempt=1)
    )
    admitted, _ = monitor.settle()
    assert isinstance(admitted, TrajectoryAdmitted)
    assert admitted.run == "c.0.1"
    assert figures(monitor.state, "c").admitted == 1


def test_an_abandoned_slot_with_a_passed_run_is_skipped() -> None:
    monitor = Monitor().given(started(9), opened(0, [0]), finished(0, 0), abandoned(0, 0))
    assert brief(monitor.settle()) == ["steering 1"]
    monitor.given(finished(0, 0, attempt=2))
    assert monitor.settle() == []


def test_batches_are_bounded_and_what_is_waited_for_comes_first() -> None:
    slots = list(range(3 * BATCH))
    monitor = Monitor().given(started(10_000), opened(0, slots), *[finished(0, slot) for slot in slots])
    for _ in range(2):
        drafts = monitor.decide()
        assert len(drafts) == BATCH
        while monitor.coming:
            monitor.deliver()
    assert all(isinstance(draft.data, TrajectoryAdmitted) for draft in drafts)
    assert brief(monitor.settle())[-2:] == [f"{slots[-1]}→row {slots[-1]}", "steering 1"]


# Any order, any restart


POOL: tuple[tuple[Action, ...], ...] = tuple(case[1] for case in SIGNATURES)


class Scenario:
    """The facts of two campaigns, each topic in the order in which its owner wrote it."""

    def __init__(self, rng: random.Random) -> None:
        self.evolution: list[Message] = []
        self.partitions: list[list[Message]] = [[] for _ in range(4)]
        for name in ("c", "d"):
            slots = iter(range(1000))
            self.evolution.append(started(rng.randint(1, 12), name, cap=rng.choice([0, 0, 1, 2])))
            given_up: list[SlotAbandoned] = []
            for generation in range(rng.randint(1, 4)):
                numbers = [next(slots) for _ in range(rng.randint(1, 5))]
                self.evolution.append(opened(generation, numbers, name))
                for slot in numbers:
                    fate = rng.random()
                    runs = self.partitions[slot % 4]
                    for attempt in range(1, 3 if fate < 0.4 else 1):
                        runs.append(finished(generation, slot, attempt=attempt, passed=False, campaign=name))
                    if fate < 0.2:
                        given_up.append(abandoned(generation, slot, name))
                    else:
                        runs.append(
                            finished(
                                generation,
                                slot,
                                attempt=3,
                                campaign=name,
                                actions=rng.choice(POOL),
                                content=rng.choice(["", "", "same", "alike"]),
                            )
                        )
            for one in given_up:
                at = next(
                    place
                    for place, m in enumerate(self.evolution)
                    if isinstance(m, GenerationOpened)
                    and (m.campaign, m.generation) == (name, one.generation)
                )
                self.evolution.insert(rng.randint(at + 1, len(self.evolution)), one)

    def topics(self) -> list[list[Envelope]]:
        result = []
        for number, topic in enumerate([self.evolution, *self.partitions]):
            result.append([envelope(message, f"{number}-{place}") for place, message in enumerate(topic)])
        return result


def of_campaigns(messages: list[Message]) -> dict[str, list[Message]]:
    return {name: [m for m in messages if m.campaign == name] for name in ("c", "d")}  # type: ignore[attr-defined]


def expected(scenario: Scenario) -> dict[str, list[Message]]:
    """Everything known before the first decision."""
    monitor = Monitor()
    for topic in scenario.topics():
        for event in topic:
            monitor.fold(event)
    return of_campaigns(monitor.settle())


def interleaved(topics: list[list[Envelope]], rng: random.Random) -> list[Envelope]:
    queues = [list(topic) for topic in topics]
    result = []
    while any(queues):
        result.append(rng.choice([queue for queue in queues if queue]).pop(0))
    return result


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False))
def test_neither_interleaving_nor_duplicates_nor_restarts_change_a_decision(rng: random.Random) -> None:
    scenario = Scenario(rng)
    topics = scenario.topics()
    monitor = Monitor()
    own: list[Envelope] = []
    while any(topics) or monitor.coming or monitor.decide():
        move = rng.random()
        if move < 0.5 and any(topics):
            monitor.fold(rng.choice([topic for topic in topics if topic]).pop(0))
        elif move < 0.6 and not monitor.coming:
            monitor.decide()
        elif move < 0.9 and monitor.coming:
            monitor.deliver()
            own.append(monitor.log[-1])
        elif move < 0.93 and monitor.log:
            evolve(monitor.state, rng.choice(monitor.log))
        elif move < 0.96:
            # A crash: what was appended is in the log; all is read again, own output in any place.
            while monitor.coming:
                monitor.deliver()
                own.append(monitor.log[-1])
            mine = {id(event) for event in own}
            inputs = [event for event in monitor.log if id(event) not in mine]
            partitions = [
                [event for event in inputs if event.id.startswith(f"{number}-")] for number in range(5)
            ]
            monitor.state = initial()
            for event in interleaved([*partitions, own], rng):
                evolve(monitor.state, event)
    assert of_campaigns(monitor.sequence) == expected(scenario)
    measured = [m.run for m in monitor.decided if isinstance(m, DiversityMeasured)]
    assert len(measured) == len(set(measured))


@settings(max_examples=60, deadline=None)
@given(st.randoms(use_true_random=False))
def test_every_event_applied_twice_changes_nothing(rng: random.Random) -> None:
    monitor = Monitor()
    for event in interleaved(Scenario(rng).topics(), rng):
        monitor.fold(event)
        monitor.settle()
    once, twice, again = initial(), initial(), initial()
    for event in monitor.log:
        evolve(once, event)
        evolve(evolve(twice, event), event)
    for event in [*monitor.log, *monitor.log]:
        evolve(again, event)
    for name in ("c", "d"):
        assert figures(once, name) == figures(twice, name) == figures(again, name)
    assert decide(once) == decide(twice) == decide(again) == ()


def test_the_same_figures_come_of_the_events_alone_after_a_restart() -> None:
    monitor = Monitor()
    for event in interleaved(Scenario(random.Random("figures")).topics(), random.Random("order")):
        monitor.fold(event)
        monitor.settle()
    own_only = initial()
    for event in monitor.log:
        if isinstance(event.data, (*SEQUENCED, DiversityMeasured, CampaignStarted)):
            evolve(own_only, event)
    assert figures(own_only, "c") == figures(monitor.state, "c")
    assert figures(own_only, "c").admitted > 0


def test_a_closed_generation_leaves_nothing_behind_but_its_figures() -> None:
    monitor = Monitor().given(started(10_000))
    for generation in range(20):
        slots = list(range(generation * 5, generation * 5 + 5))
        monitor.given(opened(generation, slots), *[finished(generation, slot) for slot in slots])
        monitor.settle()
    campaign = monitor.state.campaigns["c"]
    assert (campaign.closed, campaign.generations, monitor.state.unmeasured) == (20, {}, {})
    assert figures(monitor.state, "c").admitted == 100


def test_the_service_reads_what_it_decides_by() -> None:
    decider = service()
    assert [topic.name for topic in decider.inputs] == [
        "tds.run.events",
        "tds.evolution.events",
        "tds.diversity.events",
    ]
    state = decider.evolve(decider.initial(), envelope(finished(0, 0), "in-0"))
    assert [type(draft.data) for draft in decider.decide(state)] == [DiversityMeasured]
