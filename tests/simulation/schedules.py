"""``python -m tests.simulation.schedules FIRST LAST``: many schedules of one campaign, each compared.

Prints counts: of schedules, crashes, doubled appends, changes of members or leads (moves), replicas that
worked on while another had their part already (second), commits. ``anew``: requests sent again, since their
results were still on the way at a crash or a move; ``reopened``: those of keys that a late duplicate opened
once more, and ``stuck``: partitions whose commits such a key holds back (see docs/adr/0004). Fails on the
first schedule that ends otherwise than the undisturbed one.
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


def compare(schedules: Iterable[int]) -> Counter[str]:
    """Run these schedules; returns how many there were, and how many faults of each kind.

    Raises:
        AssertionError: naming the schedule that did not end as the undisturbed one.
    """
    performers = Performers()
    quiet = simulate(0, performers, QUIET)
    wanted, rows = outcome(quiet), dataset(quiet)
    seen: Counter[str] = Counter()
    for number, schedule in enumerate(schedules):
        try:
            system = simulate(schedule, performers)
        except Exception as error:
            raise AssertionError(f"schedule {schedule}: {type(error).__name__}: {error}") from error
        if outcome(system) != wanted or (number % EXPORTED == 0 and dataset(system) != rows):
            raise AssertionError(f"schedule {schedule} ends with another dataset")
        seen.update(system.counts)
        seen["schedules"] += 1
    return seen


if __name__ == "__main__":
    print(json.dumps(compare(range(int(sys.argv[1]), int(sys.argv[2]) + 1))))
