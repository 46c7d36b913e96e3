"""What may stand side by side: calls of one wave must not depend on the order in which they are answered.

An injected fault delays a call until the rest of its wave is done, and a model may send a wave's calls in
any order. So two calls go into one wave only if the world says that either order comes to the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.sim.json_schema import plain
from services.sim.plan_steps import Planned
from services.worlds.world import World

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Made:
    """A call that was made: what order matters for."""

    server: str
    tool: str
    values: Json
    observation: Any
    writes: bool
    creates: bool


def made(step: Planned) -> Made:
    """The call of a planned step."""
    meaning = step.meaning
    return Made(
        step.tool.server,
        step.tool.name,
        step.values,
        step.observation,
        meaning.writes,
        meaning.verb == "create",
    )


def fits_beside(world: World, start: Json, wave: Sequence[Planned], new: Made) -> bool:
    """Whether a call can go out together with those of ``wave``; ``start`` is the state before the wave.

    Two calls that each create something fit although the order numbers what they create, unless they
    name the same record. All others must give the same results and the same state in either order.
    """
    return all(together(made(step), new) or commute(world, start, made(step), new) for step in wave)


def together(one: Made, other: Made) -> bool:
    """Whether two calls cannot get in each other's way, as far as that shows without a trial."""
    if one.server != other.server or not (one.writes or other.writes):
        return True
    return one.creates and other.creates and not shared(one.values, other.values)


def shared(one: Json, other: Json) -> bool:
    """Whether two calls name the same thing: an equal text with a digit in it, or an equal large number."""
    mine = {plain(value) for value in one.values() if names_something(value)}
    return any(plain(value) in mine for value in other.values() if names_something(value))


def names_something(value: Any) -> bool:
    """Whether a value is likely to be an identifier."""
    if isinstance(value, str):
        return any(character.isdigit() for character in value)
    return isinstance(value, int) and not isinstance(value, bool) and value > 999


def commute(world: World, start: Json, one: Made, other: Made) -> bool:
    """Whether two calls give the same results and the same state, whichever is made first."""
    first, seen_one = world.call(start, one.tool, one.values)
    ahead, seen_other = world.call(first, other.tool, other.values)
    second, late_other = world.call(start, other.tool, other.values)
    behind, late_one = world.call(second, one.tool, one.values)
    return (
        plain(seen_one.content) == plain(late_one.content)
        and plain(seen_other.content) == plain(late_other.content)
        and settled(ahead) == settled(behind)
    )


def settled(state: Json) -> Json:
    """The state with its protocols of actions, where a server keeps one, in an order of their own."""
    return {
        server: {**own, "actions": sorted(plain(action) for action in own["actions"])}
        if isinstance(own, dict) and isinstance(own.get("actions"), list)
        else own
        for server, own in state.items()
    }


def delayable(world: World, start: Json, steps: Sequence[Planned]) -> list[int]:
    """Indices of the steps that a fault may delay to the end of their wave without any other outcome.

    Only the first call of each tool: faults are given to a tool's calls in order.
    """
    found: list[int] = []
    called: set[str] = set()
    state = start
    for wave in sorted({step.wave for step in steps}):
        own = [(index, step) for index, step in enumerate(steps) if step.wave == wave]
        for index, step in own:
            after = [made(other) for at, other in own if at > index]
            call = made(step)
            free = all(
                call.server != other.server
                or not (call.writes or other.writes)
                or commute(world, state, call, other)
                for other in after
            )
            if free and step.tool.name not in called:
                found.append(index)
            called.add(step.tool.name)
        for _, step in own:
            state, _ = world.call(state, step.tool.name, step.values)
    return found
