"""Values of planned arguments, from facts and observations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.blueprint import Constant, FromFact, FromStep, ListOf, ObjectOf, Source
from services.sim.json_schema import MISSING, at


class Unresolved(LookupError):  # noqa: N818  (said of a source)
    """A source that refers to nothing. The text says to what."""


def resolve_source(source: Source, facts: Mapping[str, Any], observations: Mapping[str, Any]) -> Any:
    """The value of a source; ``facts`` by name, ``observations`` by step id.

    Raises:
        Unresolved: an unknown fact or step, or a path that the observation does not have.
    """
    match source:
        case Constant(value=value):
            return value
        case FromFact(fact=name):
            if name not in facts:
                raise Unresolved(f"fact {name!r}")
            return facts[name]
        case FromStep(step=step, path=path):
            if step not in observations:
                raise Unresolved(f"step {step!r}")
            value = at(observations[step], path)
            if value is MISSING:
                raise Unresolved(f"path {list(path)} of step {step!r}")
            return value
        case ObjectOf(fields=fields):
            return {name: resolve_source(part, facts, observations) for name, part in fields.items()}
        case ListOf(items=items):
            return [resolve_source(part, facts, observations) for part in items]
