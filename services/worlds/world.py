"""The world of one run: one consistent state behind all tools that are offered in it.

Pure: a world is made from tool definitions and a seed, its state is a JSON object per server, and a
call maps (state, tool, arguments) to (state, observation). Servers with a hand-written machine behave
by it; every other tool is simulated from its definition alone.
"""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from schemas.catalog import ToolSpec
from services.worlds.checking import Checker, with_defaults
from services.worlds.clarity import clarity, sayable
from services.worlds.credentials import is_credential
from services.worlds.fitting import copied, dice
from services.worlds.generic import SimulatedServer
from services.worlds.machine import Machine, ToolError
from services.worlds.meaning import read
from services.worlds.naming import parameters
from services.worlds.values import plausible
from services.worlds.verbs import Verb
from services.worlds.vocabulary import called

__all__ = ["Json", "Meaning", "Observation", "World", "is_credential"]

Json = dict[str, Any]
REMEMBERED: Final = 16
"""Calls of a run whose results are kept."""


@dataclass(frozen=True, slots=True)
class Observation:
    """What a tool returned. ``error`` is empty on success, else a code; ``content`` is a JSON value.

    On an error, ``content`` is ``{"error": {"code": …, "message": …}}``.
    """

    content: Any
    error: str = ""


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a tool does, read off its definition (or said by its machine).

    ``entity`` is a singular noun phrase ("purchase order"); ``phrases`` are imperative clauses in a
    user's words, best first; ``labels`` says how a user calls each parameter.
    """

    verb: Verb
    entity: str
    writes: bool
    phrases: tuple[str, ...]
    labels: dict[str, str]


def failed(code: str, message: str) -> Observation:
    """The observation of a call that failed."""
    return Observation({"error": {"code": code, "message": message}}, code)


def returned(spec: ToolSpec, machine: Machine, verb: Verb, *, writes: bool) -> tuple[Verb, str] | None:
    """Verb and entity of a machine's tool, by the record that it returns: that whose id comes first.

    A write that returns a record whose id it did not take has created it; one that took the id has
    changed that record, whatever its name says (an added comment changes the ticket). None where what
    is returned has no id.
    """
    shape = spec.output_schema or {}
    for part in shape.get("properties", {}).values() if verb in {"list", "search"} else ():
        if part.get("type") == "array":
            shape = part.get("items", {})
            break
    key = next(iter(shape.get("properties", {})), "")
    if not key.endswith("_id"):
        return None
    called = machine.labels.get(key, "")
    entity = called.removesuffix(" number") if called else key.removesuffix("_id").replace("_", " ")
    if not writes:
        return verb, entity
    taken = key in spec.input_schema.get("properties", {})
    if not taken:
        return "create", entity
    return ("update" if verb == "create" else verb), entity


def hand_written() -> Mapping[str, Machine]:
    """All hand-written machines by server id."""
    from services.worlds.machines import MACHINES

    return MACHINES


class World:
    """One world, for the tools of one run. Of two tools with one name, the first counts.

    A server is behaved by its machine when ``machines`` has its id and the machine knows the tool; a
    server's other tools are simulated. Both parts keep their state apart, under the server's id.
    """

    def __init__(
        self, tools: Sequence[ToolSpec], seed: int, machines: Mapping[str, Machine] | None = None
    ) -> None:
        self.seed = seed
        self.tools: dict[str, ToolSpec] = {}
        for spec in tools:
            self.tools.setdefault(spec.name, spec)
        known = hand_written() if machines is None else machines
        self.machines: dict[str, Machine] = {}
        rest: dict[str, list[ToolSpec]] = {}
        for spec in self.tools.values():
            machine = known.get(spec.server)
            if machine is not None and self._told(spec) in machine.handlers:
                self.machines[spec.server] = machine
            else:
                rest.setdefault(spec.server, []).append(spec)
        self.simulated = {server: SimulatedServer(server, part, seed) for server, part in rest.items()}
        self.checkers: dict[str, Checker] = {}
        self.meanings: dict[str, Meaning] = {}
        self._latest: OrderedDict[tuple[int, str, str], tuple[Json, tuple[Json, Observation]]] = OrderedDict()

    @staticmethod
    def _told(spec: ToolSpec) -> str:
        """The name by which a machine knows the tool."""
        return spec.original_name or spec.name

    def _machine(self, spec: ToolSpec) -> Machine | None:
        machine = self.machines.get(spec.server)
        return machine if machine is not None and self._told(spec) in machine.handlers else None

    def _key(self, spec: ToolSpec) -> str:
        """Where the state behind this tool stands; simulated tools of a machine's server stand apart."""
        beside = spec.server in self.machines and self._machine(spec) is None
        return f"{spec.server}#simulated" if beside else spec.server

    def initial(self) -> Json:
        """``{server_id: state}`` before the first call; the same for the same tools and seed."""
        state: Json = {}
        for spec in self.tools.values():
            key = self._key(spec)
            if key in state:
                continue
            machine = self._machine(spec)
            state[key] = (
                self.simulated[spec.server].initial()
                if machine is None
                else machine.initial(dice(self.seed, "machine", spec.server))
            )
        return state

    def call(self, state: Json, tool: str, arguments: Json) -> tuple[Json, Observation]:
        """The state after a call, and what the tool returned. ``state`` is never changed.

        Never raises: what a service cannot work with it refuses. A failed call leaves the state as it
        was. Codes: unknown_tool, invalid_arguments, not_found, conflict, and those of ``ToolError``. What
        came of the latest calls is remembered, and not to be changed: whoever makes a call makes it again
        when its event has come back, and once more to verify the run.
        """
        try:
            asked = id(state), tool, repr(arguments)
        except RecursionError:
            return self._called(state, tool, arguments)
        known = self._latest.get(asked)
        if known is None:  # the state is kept with it: no other can have its identity
            known = self._latest[asked] = state, self._called(state, tool, arguments)
            if len(self._latest) > REMEMBERED:
                self._latest.popitem(last=False)
        return known[1]

    def _called(self, state: Json, tool: str, arguments: Json) -> tuple[Json, Observation]:
        spec = self.tools.get(tool)
        if spec is None:
            return state, failed("unknown_tool", f"There is no tool named {tool!r}.")
        if not isinstance(arguments, dict):
            return state, failed("invalid_arguments", "arguments: must be an object.")
        machine = self._machine(spec)
        checker = self.checkers.get(tool)
        if checker is None:
            checker = self.checkers[tool] = Checker(spec.input_schema, formats=machine is not None)
        problem = checker.problem(arguments)
        if problem:
            return state, failed("invalid_arguments", problem)
        key = self._key(spec)
        writes = self.writes(tool)
        before = state.get(key)
        if before is None:
            return state, failed("unavailable", f"The state has nothing for server {spec.server!r}.")
        own = copied(before) if writes else before
        try:
            if machine is None:
                content = self.simulated[spec.server].call(own, tool, copied(arguments))
            else:
                content = machine.handlers[self._told(spec)](own, with_defaults(spec.input_schema, arguments))
            content = copied(content)
        except ToolError as error:
            return state, failed(error.code, error.message)
        except Exception:  # noqa: BLE001  a value that passes the schema and means nothing to the service
            names = ", ".join(map(str, arguments))[:200]
            return state, failed("invalid_arguments", f"{tool} cannot work with the values of {names}.")
        return ({**state, key: own} if writes else state), Observation(content)

    def known(self, state: Json, tool: str, parameter: str, chosen: Json | None = None) -> list[Any]:
        """Values of this parameter that are valid in this state; [] where none are known.

        ``chosen`` are arguments already fixed: a child's ids are then those of the chosen parent.
        """
        spec = self.tools.get(tool)
        if spec is None or self._key(spec) not in state:
            return []
        own = state[self._key(spec)]
        machine = self._machine(spec)
        if machine is None:
            return self.simulated[spec.server].known(own, tool, parameter, chosen or {})
        pool = machine.pools.get(f"{self._told(spec)}.{parameter}") or machine.pools.get(parameter)
        return copied(pool(own)) if pool is not None else []

    def invent(self, tool: str, parameter: str, rng: random.Random) -> Any:
        """A plausible value that a user would make up for this parameter; it fits the schema."""
        spec = self.tools[tool]
        machine = self._machine(spec)
        if machine is None:
            return self.simulated[spec.server].invent(tool, parameter, rng)
        options = machine.verbatim.get(f"{self._told(spec)}.{parameter}") or machine.verbatim.get(parameter)
        if options:
            return copied(rng.choice(options))
        return plausible(parameter, parameters(spec).get(parameter, {}), rng, root=spec.input_schema)

    def clarity(self, tool: str) -> float:
        """From 0 to 1: how well a person could ask for the use of the tool in plain words.

        1 for tools of a machine, whose words are written by hand.
        """
        spec = self.tools[tool]
        if self._machine(spec) is not None:
            return 1.0
        server = self.simulated[spec.server]
        return clarity(spec, server.readings[tool], server.suggestions.referred(tool))

    def sayable(self, tool: str, parameter: str) -> bool:
        """Whether a person could make up a value of this parameter that means something."""
        spec = self.tools[tool]
        if self._machine(spec) is not None:
            return True
        return sayable(parameter, parameters(spec).get(parameter, {}), spec.input_schema)

    def writes(self, tool: str) -> bool:
        """Whether the tool changes state; as its meaning says, and sooner."""
        spec = self.tools[tool]
        machine = self._machine(spec)
        return self._told(spec) in machine.writes if machine else self.simulated[spec.server].writes(tool)

    def meaning(self, tool: str) -> Meaning:
        """What the tool does."""
        if tool not in self.meanings:
            self.meanings[tool] = self._meaning(tool)
        return self.meanings[tool]

    def _meaning(self, tool: str) -> Meaning:
        spec = self.tools[tool]
        machine = self._machine(spec)
        reading = read(spec) if machine else self.simulated[spec.server].readings[tool]
        if machine is None:
            return Meaning(
                reading.verb, reading.entity, reading.writes, reading.phrases, dict(reading.labels)
            )
        told = self._told(spec)
        labels = {
            name: machine.labels.get(f"{told}.{name}") or machine.labels.get(name, called(name))
            for name in reading.labels
        }
        phrases = tuple(machine.phrases.get(told, reading.phrases))
        writes = self.writes(tool)
        verb, entity = returned(spec, machine, reading.verb, writes=writes) or (reading.verb, reading.entity)
        return Meaning(verb, entity, writes, phrases, labels)
