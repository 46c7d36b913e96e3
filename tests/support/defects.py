"""Twelve kinds of defect, planted in good runs: deterministic in (run, seed), one defect a copy.

``plant(kind, blueprint, messages, seed)`` returns the messages with one defect of that kind, or None
when the run has no place for it. What it plants is told apart by construction, not by asking the rules
whether they would see it.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Sequence
from typing import Any

from schemas.blueprint import Blueprint
from tests.support import defects_of_calls, defects_of_state, defects_of_texts
from tests.support.run_parts import Messages

Planter = Callable[[Blueprint, Messages, random.Random], Messages | None]


def plant(kind: str, blueprint: Blueprint, messages: Sequence[dict[str, Any]], seed: int) -> Messages | None:
    """The messages with one defect of this kind, or None when they have no place for it.

    Raises:
        KeyError: when ``kind`` is none of ``KINDS``.
    """
    rng = random.Random(f"{seed}/{blueprint.id}/{kind}")
    planted = PLANTERS[kind](blueprint, copy.deepcopy(list(messages)), rng)
    return None if planted == list(messages) else planted


PLANTERS: dict[str, Planter] = {
    "wrong_argument": defects_of_calls.wrong_argument,
    "ungrounded_value": defects_of_calls.ungrounded_value,
    "missing_call": defects_of_calls.missing_call,
    "swapped_order": defects_of_calls.swapped_order,
    "unanswered_call": defects_of_calls.unanswered_call,
    "answer_without_fact": defects_of_texts.answer_without_fact,
    "leaked_plan": defects_of_texts.leaked_plan,
    "wrong_final_state": defects_of_state.wrong_final_state,
    "invented_tool": defects_of_calls.invented_tool,
    "broken_json": defects_of_calls.broken_json,
    "early_stop": defects_of_calls.early_stop,
    "contradiction": defects_of_texts.contradiction,
}
KINDS = tuple(PLANTERS)
