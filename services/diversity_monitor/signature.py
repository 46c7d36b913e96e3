"""Reasoning modes, read off the executed trace and never asked of a judge. Ours, not the paper's.

Exact: the run-length-bucketed sequence of step kinds, as a string::

    clarify>read>write.dep!>retry:write.dep>answer
    {read*3-4,write}>back:read.dep>answer

``read``, ``write`` and ``code`` are calls; ``.dep`` has an argument found only in an earlier
observation, ``!`` was answered by an error, ``retry:`` repeats a tool whose answer was an error,
``back:`` takes another way after one. ``{…}`` is a parallel wave, its calls sorted, as they have no
order. ``*2``, ``*3-4``, ``*5-8`` and ``*9+`` bucket runs of the same step.

Coarse: shape × depth bucket × flags, see ``schemas.diversity.coarse_mode``. Depth and shape are read
off the *effective* calls: identical repeats are left out, and a call that failed and was tried again
is stood for by its retry, so that errors show in the flag ``recovers`` and nowhere else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

from schemas.diversity import coarse_mode, depth_bucket
from schemas.evolution import Flag, Shape
from schemas.run import Action
from services.diversity_monitor.trace import Move

MAX_LENGTH: Final = 240
"""Characters of a signature; a longer one is cut and ends in a digest of the whole."""
KEPT_LENGTH: Final = 220


def exact(moves: Iterable[Move]) -> str:
    """The exact signature of a trace."""
    text = ">".join(_runs(_move(move) for move in moves))
    if len(text) <= MAX_LENGTH:
        return text
    return f"{text[:KEPT_LENGTH]}#{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def coarse(moves: Sequence[Move]) -> str:
    """The coarse mode of a trace."""
    calls = _effective(moves)
    return coarse_mode(shape(calls), len(calls), _flags(moves))


def shape(calls: Sequence[Action]) -> Shape:
    """The shape of the effective calls.

    - ``single``: one call (or none);
    - ``chain``: several, one to a wave;
    - ``parallel``: two or more in one wave, and no argument anywhere that only an observation gave;
    - ``dag``: two or more in one wave, and such an argument.
    """
    if len(calls) < 2:
        return "single"
    waves = [call.wave for call in calls]
    if len(set(waves)) == len(waves):
        return "chain"
    return "dag" if any(call.dependent for call in calls) else "parallel"


def _effective(moves: Sequence[Move]) -> list[Action]:
    calls: list[Action | None] = []
    failed: dict[str, list[int]] = {}
    for move in moves:
        if not move.calls:
            continue
        for call in move.actions:
            if call.repeat:
                continue
            if call.retry and failed.get(call.tool):
                calls[failed[call.tool].pop(0)] = None
            if call.error:
                failed.setdefault(call.tool, []).append(len(calls))
            calls.append(call)
    return [call for call in calls if call is not None]


def _flags(moves: Iterable[Move]) -> list[Flag]:
    flags: list[Flag] = []
    for move in moves:
        for action in move.actions:
            if action.kind == "clarify":
                flags.append("clarifies")
            elif action.kind == "refuse":
                flags.append("refuses")
            elif action.kind == "code":
                flags.append("codes")
            if (action.retry or move.backtracks) and not action.error:
                flags.append("recovers")
    return flags


def _move(move: Move) -> str:
    if not move.calls:
        return move.actions[0].kind
    if len(move.actions) == 1:
        text = _call(move.actions[0])
    else:
        text = "{" + ",".join(_runs(sorted([_call(call) for call in move.actions]))) + "}"
    return "back:" + text if move.backtracks else text


def _call(call: Action) -> str:
    text: str = call.kind
    if call.retry:
        text = "retry:" + text
    if call.dependent:
        text += ".dep"
    return text + "!" if call.error else text


def _runs(tokens: Iterable[str]) -> list[str]:
    """Runs of the same token as one, with the bucket of their length."""
    result: list[str] = []
    last, length = "", 0
    for token in tokens:
        if token == last:
            length += 1
            continue
        if length:
            result.append(last if length == 1 else f"{last}*{depth_bucket(length)}")
        last, length = token, 1
    if length:
        result.append(last if length == 1 else f"{last}*{depth_bucket(length)}")
    return result
