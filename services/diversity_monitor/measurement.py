"""One executed trajectory, measured. It depends on the run's actions alone."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.diversity import Measurement
from schemas.run import Action
from services.diversity_monitor.complexity import band, cumulative
from services.diversity_monitor.signature import coarse, exact
from services.diversity_monitor.trace import CALLS, moves


def measure(actions: Sequence[Action], content_hash: str) -> Measurement:
    """Signature, mode, domains, complexity and tools of an executed trace.

    ``domains`` is each domain's share of the calls that have one; empty where none has. ``tools`` are
    those that answered at least one call without an error, in the order of their first such answer,
    so an invented tool is none. ``steps`` counts all actions.
    """
    trace = moves(actions)
    calls: dict[str, int] = {}
    tools: dict[str, None] = {}
    for action in actions:
        if action.kind in CALLS:
            if action.domain:
                calls[action.domain] = calls.get(action.domain, 0) + 1
            if not action.error:
                tools[action.tool] = None
    total = sum(calls.values())
    value = cumulative(trace)
    return Measurement(
        signature=exact(trace),
        mode=coarse(trace),
        domains={domain: count / total for domain, count in calls.items()},
        complexity=value,
        band=band(value),
        steps=len(actions),
        tools=tuple(tools),
        content_hash=content_hash,
    )
