"""The port of a hand-written server: a small pure state machine behind real tool definitions."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from schemas.catalog import ServerSpec

State = dict[str, Any]
Arguments = dict[str, Any]
Handler = Callable[[State, Arguments], Any]


class ToolError(Exception):
    """A failure that the service itself would answer with. ``code`` is one of the codes below.

    not_found, conflict, invalid_arguments, permission_denied, precondition_failed, limit_exceeded.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Machine:
    """One server with behaviour.

    ``initial(rng)`` makes a world of plausible records, JSON values only. A handler gets a state it
    owns and arguments that fit the tool's input schema (defaults filled in); it may change the state,
    returns a JSON value that fits the output schema (it may share parts with the state; the caller
    copies), or raises ``ToolError`` (its changes are then dropped). No clock and no randomness: ids count
    up in the state, "now" is a value of the state.

    ``pools`` maps a parameter (``"order_id"``, or ``"cancel_order.order_id"`` for one tool only) to the
    values of it that are valid in a state, so that a planner can pick arguments that succeed.
    ``writes`` names the tools that change state. ``phrases`` gives, per tool, clauses in a user's words
    that follow "I'd like to" ("cancel an order"), with no tool or parameter name and no value in them.
    ``labels`` says how a user calls a parameter ("order number"). ``verbatim`` names parameters whose
    value a user makes up freely (a title, a note), with example values.
    """

    server: ServerSpec
    initial: Callable[[random.Random], State]
    handlers: Mapping[str, Handler]
    writes: frozenset[str]
    phrases: Mapping[str, tuple[str, ...]]
    pools: Mapping[str, Callable[[State], list[Any]]] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    verbatim: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
