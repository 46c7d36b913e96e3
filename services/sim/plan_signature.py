"""The exact reasoning signature that a plan will have when it is executed, as far as the plan tells.

The monitor reads signatures off traces (``services.diversity_monitor.signature`` has the form); here only the
part of it that a plan decides is spelled: a question first, the waves, the answer. Where an error will be
injected is not known yet while steps are searched for, so plans that recover have none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from schemas.diversity import depth_bucket
from schemas.evolution import Target
from services.sim.plan_steps import Planned


def signature(steps: Sequence[Planned], target: Target) -> str:
    """The signature to be expected; empty for a plan with an injected error."""
    if "recovers" in target.flags:
        return ""
    words = ["clarify"] if "clarifies" in target.flags else []
    for _, wave in groupby(steps, key=lambda step: step.wave):
        calls = sorted(call(step) for step in wave)
        words.append(calls[0] if len(calls) == 1 else "{" + ",".join(runs(calls)) + "}")
    return ">".join(runs([*words, "answer"]))


def call(step: Planned) -> str:
    """One call: whether it writes, and whether an argument comes from an earlier answer."""
    return ("write" if step.meaning.writes else "read") + (".dep" if step.needs else "")


def runs(words: Iterable[str]) -> list[str]:
    """Runs of one word as one, with the bucket of their length."""
    counted = [(word, len(list(same))) for word, same in groupby(words)]
    return [word if count == 1 else f"{word}*{depth_bucket(count)}" for word, count in counted]
