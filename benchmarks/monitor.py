"""What diversity-monitor keeps up with: 1.5 million trajectories over 10,000 signatures, in flat memory.

    python -m benchmarks.monitor [--trajectories 1500000] [--signatures 10000]

One campaign is folded from decoded events by the service's own ``evolve``: of each trajectory
DiversityMeasured and TrajectoryAdmitted, and at each generation's end what closes it and opens the next.
Making the events is not timed. Memory is the growth of the process from a tenth of the way on, when every
signature has been seen. The rate is per second of CPU, as others may share the core.
There is no near-duplicate gate in it; exact duplicates are looked for among the last
rows (``corpus.REMEMBERED``). Beside it: how many traces a second are measured (signature, mode, complexity)
from their actions.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path
from typing import Any

from schemas.diversity import DiversityMeasured, Measurement, SteeringUpdated, TrajectoryAdmitted
from schemas.envelope import Envelope, Message
from schemas.evolution import CampaignSpec, CampaignStarted, GenerationOpened, SlotPlan, Target
from schemas.run import Action
from services.diversity_monitor import domain
from services.diversity_monitor.corpus import REMEMBERED
from services.diversity_monitor.measurement import measure

GENERATION = 1000
DOMAINS = tuple(f"domain_{n}" for n in range(28))
WANTED_PER_S = 50_000
FLAT_MB = 128.0
"""The last rows' hashes make up for nearly all of it."""


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def wrapped(data: Message, number: int) -> Envelope:
    """An envelope as the codec leaves it."""
    return Envelope(id=f"e{number}", source="", time="", subject="c", data=data)


def opening(number: int) -> Envelope:
    target = Target(domain="domain_0", shape="single", depth=1)
    plan = SlotPlan.model_construct(cluster="", cluster_hash="", target=target, seed=0)
    first = number * GENERATION
    slots = tuple(plan.model_copy(update={"slot": slot}) for slot in range(first, first + GENERATION))
    opened = GenerationOpened.model_construct(
        campaign="c", generation=number, steering_version=0, slots=slots
    )
    return wrapped(opened, -number)


def trajectories(number: int, signatures: int, rng: random.Random) -> list[Envelope]:
    """The events of one generation."""
    events = []
    for slot in range(number * GENERATION, (number + 1) * GENERATION):
        drawn = min(int(rng.expovariate(8 / signatures)), signatures - 1) if slot >= signatures else slot
        first = DOMAINS[drawn % 28]
        measurement = Measurement.model_construct(
            signature=f"read>write.dep>retry:read*{drawn}>answer",
            mode=f"chain/{drawn % 60}",
            domains={first: 1.0} if drawn % 3 else {first: 0.75, DOMAINS[slot % 28 - 1]: 0.25},
            complexity=4.0 + drawn % 97 / 3,
            band=drawn % 4,
            steps=4,
            tools=(f"tool_{drawn}", f"tool_{drawn * 7 % 5000}"),
            content_hash=f"{slot * 0x9E3779B97F4A7C15 % 2**64:016x}",
        )
        where: dict[str, Any] = {"run": f"c.{slot}.1", "campaign": "c", "generation": number, "slot": slot}
        events.append(wrapped(DiversityMeasured.model_construct(**where, measurement=measurement), 2 * slot))
        events.append(wrapped(TrajectoryAdmitted.model_construct(**where, row=slot), 2 * slot + 1))
    return events


def traces(rng: random.Random) -> list[tuple[Action, ...]]:
    made = []
    for _ in range(500):
        calls = [
            Action(
                kind=rng.choice(("read", "write")), tool=f"tool_{rng.randrange(9)}",
                domain=rng.choice(DOMAINS), wave=wave, arguments=rng.randrange(4),
                dependent=rng.randrange(2), candidates=10,
            )
            for wave in range(rng.randrange(1, 6))
        ]  # fmt: skip
        made.append((*calls, Action(kind="answer", wave=9)))
    return made


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trajectories", type=int, default=1_500_000)
    parser.add_argument("--signatures", type=int, default=10_000)
    asked = parser.parse_args()
    rng = random.Random(7)
    state = domain.initial()
    count = -(-asked.trajectories // GENERATION)
    spec = CampaignSpec(campaign="c", trajectories=count * GENERATION + 1, seed=7)
    started = CampaignStarted(spec=spec, catalog_hash="", domains=DOMAINS, code=False)
    domain.evolve(state, wrapped(started, 0))
    seconds, wall_s, early_mb = 0.0, 0.0, 0.0
    for number in range(count):
        if number == max(1, count // 10):
            early_mb = resident_mb()
        events = [opening(number), *trajectories(number, asked.signatures, rng)]
        begun, begun_wall = time.process_time(), time.perf_counter()
        for event in events:
            domain.evolve(state, event)
        for draft in domain.decide(state):
            assert isinstance(draft.data, SteeringUpdated)
            domain.evolve(state, wrapped(draft.data, 0))
        seconds += time.process_time() - begun
        wall_s += time.perf_counter() - begun_wall
        del events
    grown_mb = resident_mb() - early_mb
    figures = domain.figures(state, "c")
    rate = figures.admitted / seconds
    sample = traces(rng)
    begun = time.perf_counter()
    for _ in range(20):
        for trace in sample:
            measure(trace, "")
    measured = 20 * len(sample) / (time.perf_counter() - begun)
    print(f"{figures.admitted:,} trajectories, {figures.mode_exact.distinct:,} signatures, "
          f"H {figures.mode_exact.bits:.3f} bits of log2 N {figures.ceiling_bits:.3f}")  # fmt: skip
    print(f"{rate:,.0f} trajectories a CPU second from decoded events (asked: {WANTED_PER_S:,}), "
          f"{figures.admitted / wall_s:,.0f} a second by the clock")  # fmt: skip
    print(f"{grown_mb:+.0f} MB from a tenth of the way on, {resident_mb():.0f} MB in all; "
          f"hashes of the last {REMEMBERED:,} rows are kept")  # fmt: skip
    print(f"{measured:,.0f} traces a second measured from their actions")
    return 0 if rate >= WANTED_PER_S and grown_mb < FLAT_MB else 1


if __name__ == "__main__":
    sys.exit(main())
