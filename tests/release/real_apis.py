"""Line 2: 300 admitted trajectories from 25,539 tools of real APIs, within bounds of memory and time."""

from __future__ import annotations

from tests.release.bench import Bench, Findings

MAX_PEAK_MB = 1000.0
MAX_SECONDS = 240.0


def check(bench: Bench, found: Findings) -> None:
    made = bench.real_apis()
    card, wanted = made.done.json(), bench.size(300, 40)
    rows, done = len(made.rows()), made.done
    catalog = card["catalog"]
    found.say(f"{card['admitted']} admitted from {catalog['tools']} tools in {catalog['clusters']} clusters")
    found.say(f"{done.seconds:.0f} s (first after {made.first_admitted_s:.0f} s), {done.peak_mb:.0f} MB")
    found.say(f"{card['slots']} slots, {card['abandoned']} abandoned")
    found.expect(
        card["admitted"] == rows == wanted, f"{card['admitted']} admitted, {rows} rows, not {wanted}"
    )
    found.expect(done.peak_mb < MAX_PEAK_MB, f"{done.peak_mb:.0f} MB at the peak, not {MAX_PEAK_MB:.0f}")
    found.expect(
        not bench.full or done.seconds < MAX_SECONDS, f"{done.seconds:.0f} s, not {MAX_SECONDS:.0f} s"
    )
