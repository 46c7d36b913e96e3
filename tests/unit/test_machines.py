"""The built-in catalog: its size, its definitions, and that every server behaves as it says."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from schemas.catalog import ToolSpec
from services.worlds.machine import Machine, ToolError
from services.worlds.machines import MACHINES, dump
from services.worlds.world import World

SEEDS = range(5)
TOOLS = [(server, tool.name) for server, machine in MACHINES.items() for tool in machine.server.tools]
LISTING = ("list_", "search_", "find_free", "suggest_")
DESTRUCTIVE_UNKNOWN = "ZZZ-00000"


def world(server: str, seed: int = 0) -> dict[str, Any]:
    return MACHINES[server].initial(random.Random(f"{seed}/{server}"))


def spec(server: str, name: str) -> ToolSpec:
    return next(tool for tool in MACHINES[server].server.tools if tool.name == name)


def values(machine: Machine, state: dict[str, Any], tool: ToolSpec, parameter: str) -> list[Any]:
    """Everything that a planner may pick for a parameter."""
    schema = tool.input_schema["properties"][parameter]
    pool = machine.pools.get(f"{tool.name}.{parameter}") or machine.pools.get(parameter)
    if pool:
        return pool(state)
    if "enum" in schema:
        return list(schema["enum"])
    if schema["type"] == "boolean":
        return [True, False]
    return list(machine.verbatim.get(parameter, ()))


def defaults(tool: ToolSpec) -> dict[str, Any]:
    properties = tool.input_schema["properties"]
    return {name: schema["default"] for name, schema in properties.items() if "default" in schema}


def arguments(
    machine: Machine, state: dict[str, Any], tool: ToolSpec, rng: random.Random, *, optional: bool = False
) -> dict[str, Any]:
    names = tool.input_schema["properties"] if optional else tool.input_schema.get("required", [])
    chosen = {name: values(machine, state, tool, name) for name in names}
    return defaults(tool) | {name: rng.choice(options) for name, options in chosen.items() if options}


def call(server: str, state: dict[str, Any], tool: str, **given: Any) -> Any:
    """A call with defaults filled in, as the world makes it."""
    return MACHINES[server].handlers[tool](state, defaults(spec(server, tool)) | given)


def refused(server: str, state: dict[str, Any], code: str, tool: str, **given: Any) -> None:
    """The call fails with this code and changes nothing."""
    before = copy.deepcopy(state)
    with pytest.raises(ToolError) as failure:
        call(server, state, tool, **given)
    assert failure.value.code == code
    assert len(failure.value.message) > 10
    assert state == before


def undeclared(value: Any, schema: dict[str, Any]) -> list[str]:
    """Names of fields in a result that its output schema does not speak of."""
    if isinstance(value, list):
        return [name for item in value for name in undeclared(item, schema.get("items", {}))]
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        extra = [name for name in value if name not in properties]
        return extra + [n for k, v in value.items() if k in properties for n in undeclared(v, properties[k])]
    return []


def test_the_catalog_is_as_large_as_promised() -> None:
    assert len(MACHINES) >= 13
    assert len(TOOLS) >= 130
    assert len({machine.server.domains for machine in MACHINES.values()}) >= 11
    assert all(len(machine.server.domains) == 1 for machine in MACHINES.values())
    assert all(len(machine.server.tools) >= 9 for machine in MACHINES.values())


def test_tool_names_are_unique_and_model_apis_take_them() -> None:
    names = Counter(name for _, name in TOOLS)
    assert [name for name, count in names.items() if count > 1] == []
    assert all(name.isidentifier() and name == name.lower() and len(name) <= 64 for name in names)


def test_few_tools_take_no_parameters_and_only_lists_take_none_that_are_required() -> None:
    bare = [name for server, name in TOOLS if not spec(server, name).input_schema["properties"]]
    assert len(bare) <= len(TOOLS) / 10
    free = [name for server, name in TOOLS if not spec(server, name).input_schema.get("required")]
    assert [name for name in free if not name.startswith("list_")] == []


@pytest.mark.parametrize("server", MACHINES)
def test_ids_of_one_server_are_not_those_of_another(server: str) -> None:
    def id_names(machine: Machine) -> set[str]:
        return {
            name
            for tool in machine.server.tools
            for name in tool.input_schema["properties"]
            if name.endswith("_id")
        }

    others = [id_names(machine) for name, machine in MACHINES.items() if name != server]
    assert id_names(MACHINES[server]) & set().union(*others) == set()


@pytest.mark.parametrize(("server", "name"), TOOLS)
def test_definitions_are_complete(server: str, name: str) -> None:
    machine, tool = MACHINES[server], spec(server, name)
    assert tool.output_schema
    Draft202012Validator.check_schema(tool.input_schema)
    Draft202012Validator.check_schema(tool.output_schema)
    assert 20 < len(tool.description) < 400
    for parameter, schema in tool.input_schema["properties"].items():
        assert len(schema["description"]) > 8
        assert machine.labels[parameter]
        assert "_" not in machine.labels[parameter]
        if "default" in schema:
            Draft202012Validator(schema).validate(schema["default"])
        for example in machine.verbatim.get(parameter, ()):
            Draft202012Validator(schema).validate(example)
    assert 2 <= len(machine.phrases[name]) <= 3
    assert all("_" not in phrase and phrase[0].islower() for phrase in machine.phrases[name])


@pytest.mark.parametrize("server", MACHINES)
def test_machines_speak_of_their_own_tools_and_parameters_only(server: str) -> None:
    machine = MACHINES[server]
    names = {tool.name for tool in machine.server.tools}
    assert set(machine.handlers) == set(machine.phrases) == names
    assert machine.writes < names
    takes = {tool.name: set(tool.input_schema["properties"]) for tool in machine.server.tools}
    for pool in machine.pools:
        tool, _, parameter = pool.rpartition(".")
        assert parameter in (takes[tool] if tool else set().union(*takes.values())), pool
    assert all(len(examples) >= 5 for examples in machine.verbatim.values())


@pytest.mark.parametrize("server", MACHINES)
def test_the_first_state_is_json_and_depends_on_the_seed_alone(server: str) -> None:
    assert world(server, 3) == world(server, 3)
    assert world(server, 3) != world(server, 4)
    assert json.loads(json.dumps(world(server))) == world(server)
    assert len(json.dumps(world(server))) < 40_000


@pytest.mark.parametrize(("server", "name"), TOOLS)
def test_a_call_with_values_of_the_pools_succeeds(server: str, name: str) -> None:
    machine, tool = MACHINES[server], spec(server, name)
    for seed in SEEDS:
        state, rng = world(server, seed), random.Random(f"{seed}/{name}")
        for parameter in tool.input_schema.get("required", []):
            assert len(set(values(machine, state, tool, parameter))) >= 2, parameter
        for _ in range(6):
            mine = copy.deepcopy(state)
            given = arguments(machine, mine, tool, rng)
            Draft202012Validator(tool.input_schema).validate(given)
            result = machine.handlers[name](mine, given)
            Draft202012Validator(tool.output_schema or {}).validate(result)
            assert undeclared(result, tool.output_schema or {}) == []
            assert (mine != state) == (name in machine.writes)
            if name.startswith(LISTING):
                assert any(isinstance(part, list) and part for part in result.values()), given
            again = machine.handlers[name](copy.deepcopy(state), given)
            assert again == result
            json.dumps(mine)


@pytest.mark.parametrize(("server", "name"), TOOLS)
def test_optional_parameters_are_taken_too(server: str, name: str) -> None:
    machine, tool = MACHINES[server], spec(server, name)
    for seed in SEEDS:
        state = world(server, seed)
        given = arguments(machine, state, tool, random.Random(f"{seed}/{name}/all"), optional=True)
        Draft202012Validator(tool.input_schema).validate(given)
        Draft202012Validator(tool.output_schema or {}).validate(machine.handlers[name](state, given))


@pytest.mark.parametrize(("server", "name"), TOOLS)
def test_unknown_ids_are_not_found_and_change_nothing(server: str, name: str) -> None:
    machine, tool = MACHINES[server], spec(server, name)
    for parameter in tool.input_schema.get("required", []):
        if not parameter.endswith("_id"):
            continue
        state = world(server)
        given = arguments(machine, state, tool, random.Random(name))
        refused(server, state, "not_found", name, **(given | {parameter: DESTRUCTIVE_UNKNOWN}))


@pytest.mark.parametrize("server", MACHINES)
def test_a_long_random_session_never_breaks_the_server(server: str) -> None:
    machine = MACHINES[server]
    for seed in SEEDS:
        state, rng = world(server, seed), random.Random(f"{seed}/session")
        for _ in range(80):
            tool = rng.choice(machine.server.tools)
            given = arguments(machine, state, tool, rng, optional=rng.random() < 0.3)
            if set(tool.input_schema.get("required", [])) - set(given):
                continue
            trial = copy.deepcopy(state)
            try:
                result = machine.handlers[tool.name](trial, given)
            except ToolError:
                continue
            Draft202012Validator(tool.output_schema or {}).validate(result)
            state = trial


JUNK = {
    "string": (
        "",
        "x",
        "2026-13-45",
        "2026-02-30T25:61",
        "9999-12-31",
        "9999-12-31T23:59",
        "W",
        "a" * 999,
        "\u202e",
    ),
    "integer": (-(10**30), -1, 0, 1, 10**30),
    "number": (-5.5, 0.001, 1e308, 10**400),
    "boolean": (True, False),
}


@pytest.mark.parametrize(("server", "name"), TOOLS)
def test_junk_is_refused_and_never_raises(server: str, name: str) -> None:
    world_, tool = World(MACHINES[server].server.tools, 1), spec(server, name)
    state = world_.initial()
    before = json.dumps(state)
    for seed in range(60):
        rng = random.Random(f"{name}/{seed}")
        given: dict[str, Any] = {}
        for parameter, schema in tool.input_schema["properties"].items():
            known = world_.known(state, name, parameter)
            junk = schema.get("enum") or JUNK[schema["type"]]
            given[parameter] = rng.choice(known) if known and rng.random() < 0.6 else rng.choice(junk)
        after, observation = world_.call(state, name, given)
        assert json.dumps(state) == before
        if observation.error:
            assert after == state
            assert observation.content["error"]["code"] == observation.error


@pytest.mark.parametrize(
    ("day", "error"), [("2026-13-45", "invalid_arguments"), ("tomorrow", "invalid_arguments")]
)
def test_dates_are_checked_at_the_facade(day: str, error: str) -> None:
    world_ = World(MACHINES["calendar"].server.tools, 1)
    state = world_.initial()
    calendar = next(iter(state["calendar"]["calendars"]))
    given = {"calendar_id": calendar, "meeting_date": day}
    _, observation = world_.call(state, "find_free_slots", given)
    assert observation.error == error
    assert "meeting_date" in observation.content["error"]["message"]


@pytest.mark.parametrize("server", MACHINES)
def test_servers_have_chains(server: str) -> None:
    """From tools that need no id, chains of three calls in which each takes an id the one before found."""
    machine = MACHINES[server]

    def fields(schema: Any) -> set[str]:
        if isinstance(schema, dict):
            inner = set().union(*(fields(part) for part in schema.values())) if schema else set()
            return inner | set(schema.get("properties", {}))
        return set()

    needs = {
        t.name: {p for p in t.input_schema.get("required", []) if p.endswith("_id")}
        for t in machine.server.tools
    }
    gives = {t.name: fields(t.output_schema) for t in machine.server.tools}
    chains = [((name,), set[str](), gives[name]) for name, needed in needs.items() if not needed]
    reached = {chain[0] for chain, _, _ in chains}
    for length in (2, 3, 4):
        if length == 4:
            assert len(chains) >= 5
        chains = [
            ((*chain, name), known | fresh, gives[name] - known - fresh)
            for chain, known, fresh in chains
            for name, needed in needs.items()
            if name not in chain and needed & fresh
        ]
        reached |= {chain[-1] for chain, _, _ in chains}
    assert reached == set(needs)


def test_the_dump_is_what_an_importer_takes() -> None:
    servers = dump()
    assert [server["id"] for server in servers] == sorted(MACHINES)
    assert json.loads(json.dumps(servers)) == servers
    tools = {tool["name"]: tool for server in servers for tool in server["tools"]}
    assert len(tools) == len(TOOLS)
    assert tools["cancel_order"]["annotations"] == {"readOnlyHint": False}
    assert tools["get_order"]["annotations"] == {"readOnlyHint": True}
    assert tools["get_order"]["inputSchema"]["required"] == ["order_id"]
