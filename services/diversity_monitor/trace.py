"""How an executed trace is read: its actions, grouped into moves.

A *move* is what the assistant does before it sees an answer: one thing said, or all calls of one wave.
Within a wave no call can have read another's observation, so they are independent; calls of different
waves are taken to depend on one another's order, whether or not an argument shows it.

A move *backtracks* when the calls before it met an error and it goes another way: it has calls, and
none of them is a retry. These readings are ours; the paper gives none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from schemas.run import Action

CALLS: Final = frozenset({"read", "write", "code"})


class Move(NamedTuple):
    """One thing said, or the calls of one wave."""

    actions: Sequence[Action]
    calls: bool
    backtracks: bool = False


def moves(actions: Iterable[Action]) -> list[Move]:
    """The moves of a trace, in order. Neighbouring calls of one wave are one move."""
    result: list[Move] = []
    wave: list[Action] = []
    failed = False
    for action in actions:
        if wave and (action.kind not in CALLS or action.wave != wave[0].wave):
            result.append(_wave(wave, after_error=failed))
            failed = any(call.error for call in wave)
            wave = []
        if action.kind in CALLS:
            wave.append(action)
        else:
            result.append(Move((action,), calls=False))
    if wave:
        result.append(_wave(wave, after_error=failed))
    return result


def _wave(calls: list[Action], *, after_error: bool) -> Move:
    return Move(calls, calls=True, backtracks=after_error and not any(call.retry for call in calls))
