"""``python -m tests.simulation.schedules FIRST LAST``: many schedules of one campaign, each compared.

Prints counts: of schedules, crashes, doubled appends, changes of members or leads (moves), replicas that
worked on while another had their part already (second), commits. ``anew``: requests sent again, since their
results were still on the way at a crash or a move; ``reopened``: those of keys that a late duplicate opened
once more, and ``stuck``: partitions whose commits such a key holds back (see docs/adr/0004). Fails where a
schedule ends otherwise than the undisturbed one, and names each of those.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable

from tests.simulation.campaign import Performers, dataset, outcome, simulate
from tests.simulation.system import QUIET

EXPORTED = 50
"""The export is compared at every so many; the heads of all chains are at each."""
NAMED = 20
"""Schedules that are named at most."""


def compare(schedules: Iterable[int]) -> Counter[str]:
    """Run these schedules; returns how many there were, and how many faults of each kind.

    Raises:
        AssertionError: naming the schedules that did not end as the undisturbed one.
    """
    performers = Performers()
    quiet = simulate(0, performers, QUIET)
    wanted, rows = outcome(quiet), dataset(quiet)
    seen: Counter[str] = Counter()
    wrong: list[str] = []
    for number, schedule in enumerate(schedules):
        try:
            system = simulate(schedule, performers)
            assert outcome(system) == wanted, "ends with another outcome"
            assert number % EXPORTED or dataset(system) == rows, "ends with another dataset"
        except Exception as error:
            wrong.append(f"schedule {schedule}: {type(error).__name__}: {error}")
        else:
            seen.update(system.counts)
        seen["schedules"] += 1
    assert not wrong, f"{len(wrong)} of {seen['schedules']} schedules: " + "; ".join(wrong[:NAMED])
    return seen


if __name__ == "__main__":
    print(json.dumps(compare(range(int(sys.argv[1]), int(sys.argv[2]) + 1))))
