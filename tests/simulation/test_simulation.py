"""The system under a hostile scheduler. Size: TDS_SCHEDULES (default 60; the release check runs 10,000)."""

import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest

from schemas.run import AssistantSpoke
from services.kit.service import Draft, Performer
from tests.simulation.campaign import (
    SPEC,
    Performers,
    dataset,
    ledger,
    request_key,
    simulate,
)
from tests.simulation.schedules import compare
from tests.simulation.system import QUIET

SCHEDULES = int(os.environ.get("TDS_SCHEDULES", "60"))


def test_a_quiet_schedule_ends_with_what_was_asked_for():
    system = simulate(0, Performers(), QUIET)
    found = ledger(system)
    assert found.state == "finished"
    assert found.admitted_count == SPEC.trajectories
    assert dataset(system).count(b"\n") == SPEC.trajectories


def test_every_schedule_ends_with_the_same_dataset_byte_for_byte():
    seen = compare(range(1, SCHEDULES + 1))
    print(f"\n{SCHEDULES} schedules: {dict(seen)}")
    assert seen["crash"] >= SCHEDULES
    assert seen["doubled"] > 0
    assert seen["moves"] >= SCHEDULES
    assert seen["second"] > 0
    assert seen["commits"] > 10 * SCHEDULES


class Fickle(Performers):
    """Actors whose every reply is another one: a fresh nonce in each assistant turn and call id."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: set[str] = set()

    def __call__(self, service: Performer, effect: Any) -> Sequence[Draft]:
        key = request_key(service, effect)
        self._known.pop(key, None)
        drafts = super().__call__(service, effect)
        nonce = f"{len(self.sent):06d}"
        data = drafts[0].data
        if not isinstance(data, AssistantSpoke):
            return drafts
        self.sent.add(nonce)
        calls = tuple(
            call.model_copy(update={"id": f"call_{nonce}_{i}"}) for i, call in enumerate(data.calls)
        )
        content = data.content if calls else f"{data.content} (ref {nonce})"
        return [Draft(drafts[0].key, data.model_copy(update={"calls": calls, "content": content}))]


@pytest.mark.parametrize("schedule", range(1, 1 + max(6, SCHEDULES // 10)))
def test_with_replies_that_differ_every_time_nothing_is_lost_doubled_or_asked_without_need(schedule):
    actors = Fickle()
    system = simulate(schedule, actors)
    found = ledger(system)
    assert found.state == "finished"
    rows = [(one.generation, one.slot) for one in found.admitted]
    assert len(rows) == SPEC.trajectories
    assert len(set(rows)) == len(rows)
    used: list[str] = []
    for one in found.admitted:
        for turn in found.turns(one.run):
            if isinstance(turn, AssistantSpoke):
                used.append(turn.calls[0].id.split("_")[1] if turn.calls else turn.content[-7:-1])
    assert len(set(used)) == len(used)
    assert set(used) <= actors.sent
    asked = Counter({key: n for key, n in actors.requests.items() if key[0] == "agent-runner"})
    assert max(asked.values()) <= 1 + system.counts["crash"] + system.counts["moves"]
