"""Line 1: 100 admitted trajectories from the built-in catalog, the first within 5 s."""

from __future__ import annotations

from tests.release.bench import Bench, Findings

FIRST_WITHIN_S = 5.0


def check(bench: Bench, found: Findings) -> None:
    made = bench.demo()
    card, wanted = made.done.json(), bench.size(100, 40)
    rows = len(made.rows())
    found.say(f"{card['admitted']} admitted")
    found.say(f"first after {made.first_admitted_s:.1f} s, all after {made.done.seconds:.1f} s")
    found.say(f"{made.done.peak_mb:.0f} MB")
    found.expect(
        card["admitted"] == rows == wanted, f"{card['admitted']} admitted, {rows} rows, not {wanted}"
    )
    found.expect(card["complete"] is True, f"the card says: {card['detail']}")
    found.expect(
        not bench.full or made.first_admitted_s <= FIRST_WITHIN_S,
        f"the first was admitted after {made.first_admitted_s:.1f} s, not {FIRST_WITHIN_S:g} s",
    )
