"""Worlds: hand-written machines behind the facade, and servers simulated from real definitions."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import os
import random
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError

from schemas.catalog import ServerSpec, ToolSpec
from services.worlds import lexicon as lex
from services.worlds.credentials import is_credential
from services.worlds.machine import Machine, ToolError
from services.worlds.moments import when
from services.worlds.patterns import matching
from services.worlds.surroundings import told
from services.worlds.texts import text
from services.worlds.values import plausible
from services.worlds.vocabulary import called
from services.worlds.words import article, label, plural, singular, tokens
from services.worlds.world import World
from tests.release.worlds import CATALOGS, Tally, try_servers
from tests.support import real_servers
from tests.support.read_results import contradicts
from tests.support.real_servers import DATA

CHECKOUT = Path(__file__).resolve().parents[2]


# a small service of our own


def tool(
    name: str, method: str, path: str, properties: dict[str, Any], output: Any = None, **more: Any
) -> ToolSpec:
    required = more.pop("required", [part[1:-1] for part in re.findall(r"\{\w+\}", path)])
    return ToolSpec(
        server="shop.example",
        name=name,
        method=method,
        path=path,
        input_schema={"type": "object", "properties": properties, "required": required},
        output_schema=output,
        **more,
    )


TEXT = {"type": "string"}
ORDER = {
    "type": "object",
    "properties": {
        "id": {"type": "integer"},
        "status": {"type": "string", "enum": ["open", "paid", "cancelled"]},
        "note": TEXT,
        "total": {"type": "number", "minimum": 5, "maximum": 900},
        "customer_id": {"type": "integer"},
    },
    "required": ["id", "status"],
}
ORDERS = [
    tool("listCustomers", "GET", "/customers", {}, {"type": "object", "properties": {
        "data": {"type": "array", "items": {"type": "object", "properties": {
            "id": {"type": "integer"}, "email": {"type": "string", "format": "email"}}}},
        "total": {"type": "integer"}}}),
    tool("listOrders", "GET", "/customers/{customer_id}/orders",
         {"customer_id": {"type": "integer"}, "status": TEXT}, {"type": "array", "items": ORDER}),
    tool("createOrder", "POST", "/customers/{customer_id}/orders",
         {"customer_id": {"type": "integer"}, "note": TEXT}, ORDER),
    tool("getOrder", "GET", "/orders/{order_id}", {"order_id": {"type": "integer"}}, ORDER),
    tool("updateOrder", "PATCH", "/orders/{order_id}",
         {"order_id": {"type": "integer"}, "note": TEXT}, ORDER),
    tool("cancelOrder", "POST", "/orders/{order_id}/cancel", {"order_id": {"type": "integer"}}, ORDER),
    tool("deleteOrder", "DELETE", "/orders/{order_id}", {"order_id": {"type": "integer"}}),
]  # fmt: skip


def test_one_world_behind_the_tools_of_a_server() -> None:
    world = World(ORDERS, seed=3, machines={})
    state = world.initial()
    customer = world.known(state, "listOrders", "customer_id")[0]
    before = world.call(state, "listOrders", {"customer_id": customer})[1].content
    state, made = world.call(state, "createOrder", {"customer_id": customer, "note": "leave at the door"})
    key = made.content["id"]
    assert made.content["note"] == "leave at the door"
    assert made.content["customer_id"] == customer
    assert world.call(state, "getOrder", {"order_id": key})[1].content == made.content
    after = world.call(state, "listOrders", {"customer_id": customer})[1].content
    assert [one["id"] for one in after] == [*(one["id"] for one in before), key]
    state, _ = world.call(state, "updateOrder", {"order_id": key, "note": "ring twice"})
    assert world.call(state, "getOrder", {"order_id": key})[1].content["note"] == "ring twice"
    state, cancelled = world.call(state, "cancelOrder", {"order_id": key})
    assert cancelled.content["status"] == "cancelled"
    state, gone = world.call(state, "deleteOrder", {"order_id": key})
    assert gone.error == ""
    for name in ("getOrder", "updateOrder", "deleteOrder", "cancelOrder"):
        unchanged, answer = world.call(state, name, {"order_id": key})
        assert (answer.error, unchanged) == ("not_found", state)
        assert str(key) in answer.content["error"]["message"]


def test_a_call_is_remembered_for_its_state_and_its_very_arguments() -> None:
    world = World(ORDERS, seed=3, machines={})
    state = world.initial()
    customer = world.known(state, "listOrders", "customer_id")[0]
    asked = {"customer_id": customer, "note": "leave at the door"}
    once, made = world.call(state, "createOrder", asked)
    assert world.call(state, "createOrder", dict(asked)) == (once, made)
    assert world.call(state, "createOrder", dict(asked))[0] is once
    twice, other = world.call(once, "createOrder", asked)
    assert other.content["id"] != made.content["id"]
    assert world.call(twice, "getOrder", {"order_id": True})[1].error == "invalid_arguments"
    assert world.call(twice, "getOrder", {"order_id": 1})[1].error == "not_found"


def test_what_one_tool_shows_another_takes() -> None:
    world = World(ORDERS, seed=4, machines={})
    state = world.initial()
    for customer in world.call(state, "listCustomers", {})[1].content["data"]:
        orders = world.call(state, "listOrders", {"customer_id": customer["id"]})[1]
        assert orders.error == ""
        assert orders.content
        assert {one["customer_id"] for one in orders.content} == {customer["id"]}


def test_filters_and_children_follow_the_state() -> None:
    world = World(ORDERS, seed=5, machines={})
    state = world.initial()
    customer = world.known(state, "listOrders", "customer_id")[1]
    chosen = world.known(state, "listOrders", "status", {"customer_id": customer})
    assert chosen
    shown = world.call(state, "listOrders", {"customer_id": customer, "status": chosen[0]})[1].content
    assert all(one["status"] == chosen[0] for one in shown)
    assert world.call(state, "listOrders", {"customer_id": 1})[1].error == "not_found"


def test_arguments_are_checked_against_the_schema() -> None:
    world = World(ORDERS, seed=3, machines={})
    state = world.initial()
    assert world.call(state, "getOrder", {})[1].error == "invalid_arguments"
    assert world.call(state, "getOrder", {"order_id": "x"})[1].error == "invalid_arguments"
    assert world.call(state, "getOrders", {})[1].error == "unknown_tool"


MEMBERS = [
    tool("addMember", "POST", "/members", {"username": TEXT, "nickname": TEXT}, required=["username"]),
    tool("getMember", "GET", "/members/{id}", {"id": TEXT}),
    tool("findMember", "GET", "/members/byName/{username}", {"username": TEXT}),
    tool("renameMember", "PUT", "/members/{id}", {"id": TEXT, "username": TEXT}),
    tool("suspendMember", "POST", "/members/{id}/suspend", {"id": TEXT}),
]  # fmt: skip


def test_what_is_unique_conflicts() -> None:
    world = World(MEMBERS, seed=3, machines={})
    state, made = world.call(world.initial(), "addMember", {"username": "ann.lee", "nickname": "Ann"})
    assert made.error == ""
    assert made.content["username"] == "ann.lee"
    again, refused = world.call(state, "addMember", {"username": "ann.lee"})
    assert (refused.error, again) == ("conflict", state)
    assert refused.content["error"]["message"] == 'A member with username "ann.lee" already exists.'
    state, other = world.call(state, "addMember", {"username": "bo.lee", "nickname": "Ann"})
    assert other.error == "", "a nickname is nobody's own"
    taken = {"id": other.content["id"], "username": "ann.lee"}
    assert world.call(state, "renameMember", taken)[1].error == "conflict"
    same = {"id": made.content["id"], "username": "ann.lee"}
    assert world.call(state, "renameMember", same)[1].error == "", "it is its own name"
    state, suspended = world.call(state, "suspendMember", {"id": made.content["id"]})
    assert suspended.error == ""
    again, refused = world.call(state, "suspendMember", {"id": made.content["id"]})
    assert (refused.error, again) == ("conflict", state)
    assert refused.content["error"]["message"] == "The member is already suspended."


def test_tools_of_one_path_work_on_one_thing_whatever_their_names() -> None:
    world = World(
        [
            tool("startDeployment", "POST", "/deployments", {"branch": TEXT}),
            tool("deploymentDetails", "GET", "/deployments/{number}", {"number": TEXT}),
            tool("abandon", "DELETE", "/deployments/{number}", {"number": TEXT}),
            tool("history", "GET", "/deployments", {}),
            tool("logs", "GET", "/deployments/{number}/logs", {"number": TEXT}),
        ],
        seed=2,
        machines={},
    )
    state, made = world.call(world.initial(), "startDeployment", {"branch": "main"})
    key = next(value for name, value in made.content.items() if name in {"number", "id"})
    assert world.call(state, "deploymentDetails", {"number": key})[1].content["branch"] == "main"
    assert json.dumps(world.call(state, "history", {})[1].content).count(f'"{key}"') >= 1
    assert world.call(state, "logs", {"number": key})[1].error == ""
    gone, _ = world.call(state, "abandon", {"number": key})
    for name in ("deploymentDetails", "abandon", "logs"):
        assert world.call(gone, name, {"number": key})[1].error == "not_found", name


def test_a_result_says_more_than_it_was_given() -> None:
    shape = {"type": "object", "properties": {"id": TEXT, "note": TEXT}}
    specs = [
        tool("createNote", "POST", "/notes", {"note": TEXT}, shape),
        tool("setNote", "PATCH", "/notes/{id}", {"id": TEXT, "note": TEXT}, shape),
    ]
    world = World(specs, seed=2, machines={})
    state, made = world.call(world.initial(), "createNote", {"note": "milk"})
    changed = world.call(state, "setNote", {"id": made.content["id"], "note": "bread"})[1].content
    assert changed.keys() == {"id", "note", "updated_at"}


def test_a_long_list_shows_what_was_made() -> None:
    world = World(ORDERS, seed=3, machines={})
    state = world.initial()
    customer = world.known(state, "listOrders", "customer_id")[0]
    made = []
    for number in range(9):
        state, answer = world.call(state, "createOrder", {"customer_id": customer, "note": f"no {number}"})
        made.append(answer.content["id"])
    shown = [one["id"] for one in world.call(state, "listOrders", {"customer_id": customer})[1].content]
    assert len(shown) == 10
    assert [key for key in shown if key in made] == made


def test_stand_ins_are_no_values() -> None:
    for example in ("foo", "an example", "a string value", "sample title"):
        made = {
            text("heading", {"type": "string", "example": example}, random.Random(seed)) for seed in range(9)
        }
        assert example not in made
    kinds = {"type": "string", "enum": ["string", "whole number"]}
    assert plausible("kind", kinds, random.Random(1)) == "whole number"
    assert plausible("kind", {"type": "string", "enum": ["string"]}, random.Random(1)) == "string"
    assert called("queryString") == "query"


def test_a_tool_that_takes_nothing_is_hard_to_ask_for() -> None:
    bare = ToolSpec(server="s", name="create_team", description="Create a team with a name.")
    told = bare.model_copy(
        update={"input_schema": {"type": "object", "properties": {"name": TEXT}, "required": ["name"]}}
    )
    assert World([bare], 1, {}).clarity("create_team") < 0.42 < World([told], 1, {}).clarity("create_team")


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "strnig"}}},
        {"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}, "required": "a"},
        {"type": "object", "properties": ["a"]},
        {"properties": {"a": {"$ref": "#/properties/a"}}},
        {"type": "object", "properties": {"a": {"pattern": "([", "type": "string"}}, "required": ["a"]},
        {"type": "object", "properties": {"a": None}},
    ],
)
def test_broken_schemas_are_permissive(schema: dict[str, Any]) -> None:
    spec = ToolSpec(server="s", name="create_note", input_schema=schema, output_schema=schema)
    world = World([spec], seed=1, machines={})
    _, answer = world.call(world.initial(), "create_note", {"a": "x"})
    assert answer.error == ""
    assert world.meaning("create_note").verb == "create"
    world.invent("create_note", "a", random.Random(1))


# hand-written machines


def counter() -> Machine:
    spec = ToolSpec(
        server="counter",
        name="add_points",
        input_schema={
            "type": "object",
            "properties": {"player_id": {"type": "string"}, "points": {"type": "integer", "default": 1}},
            "required": ["player_id"],
        },
    )

    def add(state: dict[str, Any], arguments: dict[str, Any]) -> Any:
        state["calls"] += 1
        if arguments["player_id"] not in state["players"]:
            raise ToolError("not_found", "no such player")
        state["players"][arguments["player_id"]] += arguments["points"]
        return {"points": state["players"][arguments["player_id"]]}

    return Machine(
        server=ServerSpec(id="counter", tools=(spec,)),
        initial=lambda rng: {"players": {"ann": rng.randint(1, 9)}, "calls": 0},
        handlers={"add_points": add},
        writes=frozenset({"add_points"}),
        phrases={"add_points": ("give a player points",)},
        pools={"player_id": lambda state: list(state["players"])},
        labels={"points": "number of points"},
        verbatim={"points": (3, 5)},
    )


def test_a_machine_stands_behind_its_server() -> None:
    machine = counter()
    other = ToolSpec(server="counter", name="list_badges", description="Lists badges.")
    world = World([*machine.server.tools, other], seed=2, machines={"counter": machine})
    state = world.initial()
    frozen = copy.deepcopy(state)
    after, answer = world.call(state, "add_points", {"player_id": "ann"})
    assert answer.content == {"points": state["counter"]["players"]["ann"] + 1}
    assert state == frozen
    assert after["counter"]["calls"] == 1
    failed, refused = world.call(after, "add_points", {"player_id": "bob"})
    assert refused.error == "not_found"
    assert failed["counter"]["calls"] == 1, "changes of a failed call are dropped"
    assert world.known(state, "add_points", "player_id") == ["ann"]
    assert world.invent("add_points", "points", random.Random(0)) in (3, 5)
    meaning = world.meaning("add_points")
    assert (meaning.writes, meaning.phrases) == (True, ("give a player points",))
    assert meaning.labels == {"player_id": "player ID", "points": "number of points"}
    assert world.call(after, "list_badges", {})[1].content["badges"], "other tools are simulated"


def test_the_shipped_machines_are_found_by_server_id() -> None:
    from services.worlds.machines import MACHINES

    machine = next(iter(MACHINES.values()))
    world = World(machine.server.tools, seed=1)
    assert world.initial() == World(machine.server.tools, seed=1).initial()
    for spec in machine.server.tools:
        assert world.meaning(spec.name).phrases == machine.phrases[spec.name]
        assert world.meaning(spec.name).writes == (spec.name in machine.writes)


# words


def test_words() -> None:
    assert tokens("userPrincipalName") == ("user", "principal", "name")
    assert tokens("userIDs") == ("user", "ids")
    assert [label(name) for name in ("api-version", "accountId", "id_user", "per_page")] == [
        "API version", "account ID", "user ID", "per page",
    ]  # fmt: skip
    words = [
        "queries",
        "statuses",
        "addresses",
        "boxes",
        "series",
        "people",
        "databases",
        "movies",
        "news",
        "apis",
    ]
    assert [singular(word) for word in words] == [
        "query", "status", "address", "box", "series", "person", "database", "movie", "news", "api",
    ]  # fmt: skip
    assert [plural(noun) for noun in ("voice response", "company", "tax", "person", "news")] == [
        "voice responses", "companies", "taxes", "people", "news",
    ]  # fmt: skip
    assert [article(noun) for noun in ("order", "user", "invoice", "URL", "hour sheet")] == [
        "an order", "a user", "an invoice", "a URL", "an hour sheet",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("access_token", True), ("api_key", True), ("Authorization", True), ("client_secret", True),
        ("password", True), ("X-Amz-Signature", True), ("apikey", True), ("oauth_token", True), ("key", True),
        ("pageToken", False), ("next_token", False), ("keyword", False), ("key_id", False), ("author", False),
        ("idempotency_key", False), ("secretary", False), ("signature_date", True),
    ],
)  # fmt: skip
def test_credentials(name: str, secret: bool) -> None:
    assert is_credential(name) is secret


@pytest.mark.parametrize(
    "pattern",
    [
        r"^AC[0-9a-fA-F]{32}$", r"^[a-z0-9_-]+$", r"^[A-Z]{3,3}$", r"^\+[1-9]\d{1,14}$", r"(yes|no|all)",
        r"^([0-9]{1,3}\.){3}[0-9]{1,3}$", r"^[a-z]{2}_[A-Z]{2}$", r"^.+$", r"\d{3}-\d{2}",
        r"^[{(]?[0-9A-F]{8}[-]?([0-9A-F]{4}[-]?){3}[0-9A-F]{12}[)}]?$",
    ],
)  # fmt: skip
def test_patterns(pattern: str) -> None:
    for seed in range(20):
        made = matching(pattern, random.Random(seed))
        assert made is not None
        assert re.search(pattern, made)


def test_patterns_respect_length() -> None:
    made = matching("^[0-9a-zA-Z]+$", random.Random(1), 20, 24)
    assert made is not None
    assert 20 <= len(made) <= 24
    assert matching("^a(?=b", random.Random(1)) is None


# values that mean something


@pytest.mark.parametrize("name", ["creationDate", "callbackGeneratedDate", "last_seen_at"])
@pytest.mark.parametrize("length", [4, 8, 10, 14, 16, 19, 20, 24, 25, 29, 32])
def test_a_date_of_any_usual_length_is_a_date(name: str, length: int) -> None:
    schema = {"type": "string", "format": "date-time", "minLength": length, "maxLength": length}
    made = text(name, schema, random.Random(length))
    assert len(made) == length
    assert re.fullmatch(r"20\d\d[-/]?(\d\d[-/]?)*( ?T?\d\d:?\d\d(:?\d\d)?(\.\d+)?(Z|[+]00:00)?)?", made)
    dated = {"type": "string", "example": "20170402150159"}
    assert re.fullmatch(r"20[012]\d[01]\d[0-3]\d{5}00", text(name, dated, random.Random(length)))


@pytest.mark.parametrize("low", range(4, 90, 5))
@pytest.mark.parametrize("name", ["remark", "title", "zzz", "object", "description"])
def test_texts_are_filled_up_and_cut_in_whole_words(name: str, low: int) -> None:
    known = {
        word.lower().strip(".,;:")
        for line in (*lex.SENTENCES, *lex.TITLES, *lex.TOPICS, *lex.TAGS, *lex.NOUNS, *lex.ADJECTIVES)
        for word in line.split()
    } | {"mountain"}
    for spare in (0, 3, 30):
        schema = {"type": "string", "minLength": low, "maxLength": low + spare}
        for seed in range(5):
            made = text(name, schema, random.Random(seed), context="" if name != "object" else "party")
            assert low <= len(made) <= low + spare
            if name != "object":
                assert {word.lower().strip(".,;:") for word in made.split()} <= known, made
            elif low > 8:
                assert re.fullmatch(r"Party(Item|Entry|Record|Details|Resource)+", made), made


@pytest.mark.parametrize(
    ("name", "schema", "options"),
    [
        ("namePrefix", {"maxLength": 10}, {"Mr", "Ms", "Dr", "Mrs", "Prof"}),
        ("nameSuffix", {"maxLength": 3}, {"Jr", "Sr", "II", "III", "PhD"}),
        ("firstName", {"maxLength": 4}, set(lex.FIRST_NAMES)),
        ("lastName", {"maxLength": 6}, set(lex.LAST_NAMES)),
        ("country", {"maxLength": 2}, {city[1] for city in lex.CITIES}),
        ("country_code", {"pattern": "^[A-Z]{3}$"}, set(lex.ALPHA3.values())),
    ],
)
def test_short_texts_are_usual_ones(name: str, schema: dict[str, Any], options: set[str]) -> None:
    made = {text(name, {"type": "string", **schema}, random.Random(seed)) for seed in range(20)}
    assert made <= options
    assert len(made) > 1


def test_a_telling_name_outweighs_the_description() -> None:
    schema = {"type": "string", "description": "Number with the ISO 3166 country code in front"}
    assert re.fullmatch(r"\+\d{10,13}", text("phone", schema, random.Random(1)))
    assert text("market", schema, random.Random(1)) in {city[1] for city in lex.CITIES}


def test_times_are_in_the_order_that_their_names_say() -> None:
    for seed in range(50):
        born, made, start, changed, end = (
            when(name, random.Random(f"{seed}/{name}"))
            for name in ("birth_date", "created_at", "period_start", "updatedAt", "period_end")
        )
        assert born < made < start < changed < end


@pytest.mark.parametrize("name", ["pageNumber", "totalPages", "numberOfPages", "pageCount", "currentPage"])
def test_results_are_on_their_first_page(name: str) -> None:
    key = name.lower()
    assert told(key, "integer", {}, 3) == 1
    assert plausible(name, {"type": "integer"}, random.Random(4)) == 1


@pytest.mark.parametrize("name", ["totalcount", "totalrecordcount", "numberofresults", "numresults", "total"])
def test_counts_beside_a_list_are_those_of_the_matching_records(name: str) -> None:
    assert told(name, "integer", {}, 3) == 3
    assert told(name, "string", {}, 3) == "3"


def test_one_record_lies_at_one_place() -> None:
    fields = {"id": TEXT, "city": TEXT, "country": TEXT, "country_code": TEXT, "latitude": {"type": "number"}}
    shop = {"type": "object", "properties": fields, "required": list(fields)}
    spec = tool("getShop", "GET", "/shops/{shop_id}", {"shop_id": TEXT}, shop)
    world = World([spec], seed=6, machines={})
    state = world.initial()
    for key in world.known(state, "getShop", "shop_id"):
        shown = world.call(state, "getShop", {"shop_id": key})[1].content
        place = (shown["city"], shown["country_code"], shown["country"], shown["latitude"])
        assert place in {city[:4] for city in lex.CITIES}


# real definitions


@functools.cache
def servers(file: str) -> list[list[ToolSpec]]:
    path = DATA / file
    if not path.exists():
        pytest.skip(f"{path} is not here: the real definitions cannot be tried")
    return [specs for _, specs in real_servers.servers(path)]


def sample(file: str, seed: int, count: int, size: int = 5) -> list[list[ToolSpec]]:
    rng = random.Random(seed)
    return [rng.sample(specs, min(size, len(specs))) for specs in rng.sample(servers(file), count) if specs]


def arguments(world: World, state: Any, spec: ToolSpec, rng: random.Random) -> dict[str, Any]:
    """Arguments for the required parameters: known values, else made up."""
    given: dict[str, Any] = {}
    for name in spec.input_schema.get("required") or []:
        known = world.known(state, spec.name, name, given)
        given[name] = rng.choice(known) if known else world.invent(spec.name, name, rng)
    return given


@pytest.mark.slow
def test_results_of_real_tools_fit_their_output_schema() -> None:
    counts: Counter[str] = Counter()
    initial_s = call_s = 0.0
    rng = random.Random(11)
    faults: list[str] = []
    for specs in sample("api_tools.jsonl.gz", 11, 160):
        begun = time.perf_counter()
        world = World(specs, seed=11, machines={})
        state = world.initial()
        initial_s += time.perf_counter() - begun
        for spec in specs:
            given = arguments(world, state, spec, rng)
            begun = time.perf_counter()
            _, answer = world.call(state, spec.name, given)
            call_s += time.perf_counter() - begun
            counts["calls"] += 1
            counts[f"error {answer.error}"] += bool(answer.error)
            assert len(json.dumps(answer.content)) < 20_000
            if answer.error or spec.output_schema is None:
                continue
            counts["with a schema"] += 1
            try:
                Draft202012Validator.check_schema(spec.output_schema)
            except SchemaError:
                continue
            error = next(Draft202012Validator(spec.output_schema).iter_errors(answer.content), None)
            if error is None:
                counts["valid"] += 1
            elif not contradicts(spec.output_schema):
                faults.append(f"{spec.name}: {error.message[:120]} at {list(error.absolute_path)}")
    initial_ms, call_ms = initial_s / 160 * 1e3, call_s / counts["calls"] * 1e3
    print(f"{dict(counts)}; world and initial {initial_ms:.2f} ms, call {call_ms:.2f} ms")
    assert counts["with a schema"] >= 300
    assert not faults
    assert counts["valid"] >= 0.99 * counts["with a schema"]
    errors = sum(count for name, count in counts.items() if name.startswith("error "))
    assert errors <= 0.01 * counts["calls"]


@pytest.mark.slow
def test_lifecycles_of_real_servers() -> None:
    """Created things are fetched, listed and changed, and are gone after a delete."""
    counts: Counter[str] = Counter()
    rng = random.Random(5)
    tried = set()
    for specs in servers("api_tools.jsonl.gz"):
        world = World(specs, seed=5, machines={})
        by_entity: dict[str, dict[str, ToolSpec]] = {}
        for spec in specs:
            meaning = world.meaning(spec.name)
            by_entity.setdefault(meaning.entity, {}).setdefault(meaning.verb, spec)
        for verbs in by_entity.values():
            if not {"create", "get", "delete"} <= verbs.keys() or len(tried) >= 66:
                continue
            state = world.initial()
            creating, getting = verbs["create"], verbs["get"]
            given = arguments(world, state, creating, rng)
            after, made = world.call(state, creating.name, given)
            grown = [
                name
                for name in getting.input_schema.get("required") or []
                if len(world.known(after, getting.name, name)) > len(world.known(state, getting.name, name))
            ]
            key = grown[-1] if grown else None
            if made.error or key is None:
                counts["not tried"] += 1
                continue
            tried.add(specs[0].server)
            old = world.known(state, getting.name, key)
            new = next(value for value in world.known(after, getting.name, key) if value not in old)

            def about(
                spec: ToolSpec, new: Any = new, key: str = key, now: Any = after, world: World = world
            ) -> Any:
                """Arguments that address the new record; None where the tool calls it differently."""
                required = spec.input_schema.get("required") or []
                if key not in required or new not in world.known(now, spec.name, key):
                    return None
                given = {key: new}
                for name in required:
                    if name != key:
                        known = world.known(now, spec.name, name, given)
                        given[name] = (
                            known[0] if known else world.invent(spec.name, name, random.Random(name))
                        )
                return given

            fetched = world.call(after, getting.name, about(getting))[1]
            assert fetched.error == "", (getting.name, fetched.content)
            assert fetched == world.call(after, getting.name, about(getting))[1], "identical reads agree"
            assert world.call(state, getting.name, about(getting))[1].error == "not_found", getting.name
            counts["fetched"] += 1
            if "update" in verbs and about(verbs["update"]) is not None:
                changed, answer = world.call(after, verbs["update"].name, about(verbs["update"]))
                assert answer.error in {"", "conflict"}, (verbs["update"].name, answer.content)
                assert world.call(changed, getting.name, about(getting))[1].error == ""
                counts["updated"] += 1
            if about(verbs["delete"]) is not None:
                gone, answer = world.call(after, verbs["delete"].name, about(verbs["delete"]))
                assert answer.error == "", (verbs["delete"].name, answer.content)
                assert world.call(gone, getting.name, about(getting))[1].error == "not_found"
                assert world.call(gone, verbs["delete"].name, about(verbs["delete"]))[1].error == "not_found"
                assert new not in world.known(gone, getting.name, key)
                counts["deleted"] += 1
    print(f"{len(tried)} servers: {dict(counts)}")
    assert len(tried) >= 60
    assert counts["fetched"] >= 60
    assert counts["deleted"] >= 50
    assert counts["updated"] >= 30


@pytest.mark.slow
def test_real_servers_behave() -> None:
    """One in eight of the servers that can create: see ``tests.release.worlds``."""
    tally = Tally()
    for file in CATALOGS:
        if not (DATA / file).exists():
            pytest.skip(f"{DATA / file} is not here: the real definitions cannot be tried")
        try_servers(DATA / file, tally, one_in=8)
    print(f"{tally.servers} servers, {len(tally.full)} with a whole course: {dict(tally.steps)}")
    print(*tally.failures, sep="\n")
    assert len(tally.full) >= 25
    assert len(tally.failing) <= 0.01 * tally.steps["create"]
    assert tally.steps["value as was said"] > 3 * tally.steps["fetch"]


def test_nothing_is_mutated_and_reads_agree() -> None:
    rng = random.Random(2)
    for specs in [*sample("api_tools.jsonl.gz", 2, 60), *sample("mcp_servers.jsonl.gz", 2, 60)]:
        world = World(specs, seed=2, machines={})
        state = world.initial()
        frozen = copy.deepcopy(state)
        for spec in specs:
            given = arguments(world, state, spec, rng)
            held = copy.deepcopy(given)
            after, answer = world.call(state, spec.name, given)
            assert (state, given) == (frozen, held), spec.name
            assert world.call(state, spec.name, given) == (after, answer), spec.name
            if not world.meaning(spec.name).writes:
                assert after == state
            if isinstance(answer.content, dict):
                answer.content.clear()
            assert state == frozen, "a result shares nothing with the state"


def test_results_are_more_than_an_echo() -> None:
    rng = random.Random(3)
    echoes = Counter[bool]()
    for specs in sample("api_tools.jsonl.gz", 3, 80):
        world = World(specs, seed=3, machines={})
        state = world.initial()
        for spec in specs:
            given = arguments(world, state, spec, rng)
            _, answer = world.call(state, spec.name, given)
            leaves = re.findall(r"[^{}\[\],:]+", json.dumps(answer.content))
            said = json.dumps(given)
            if not answer.error and len(leaves) > 4:
                echoes[all(leaf.strip() in said for leaf in leaves[1::2])] += 1
    assert echoes[True] <= 0.02 * echoes[False], "some APIs answer with nothing but the ARN they were given"


@pytest.mark.slow
def test_phrases_and_labels_are_words() -> None:
    seen = 0
    for specs in [*sample("api_tools.jsonl.gz", 4, 120), *sample("mcp_servers.jsonl.gz", 4, 120)]:
        world = World(specs, seed=4, machines={})
        for spec in specs:
            meaning = world.meaning(spec.name)
            assert 1 <= len(meaning.phrases) <= 4
            for phrase in meaning.phrases:
                seen += 1
                assert not re.search(r"[_`{}<>]|https?:|[a-z][A-Z]", phrase.replace("iOS", "")), phrase
                assert 2 <= len(phrase.split()) <= 16, phrase
            assert "_" not in meaning.entity
            assert meaning.labels.keys() == (spec.input_schema.get("properties") or {}).keys()
            assert not any(
                "_" in text or re.search(r"[a-z][A-Z]", text.replace("iOS", ""))
                for text in meaning.labels.values()
            )
    assert seen > 1500


SUMMARY = """
import hashlib, json, random, sys
sys.path.insert(0, {checkout!r})
from tests.unit.test_worlds import arguments, sample
from services.worlds.world import World
digest = hashlib.sha256()
for specs in sample("api_tools.jsonl.gz", 8, 30) + sample("mcp_servers.jsonl.gz", 8, 15):
    world = World(specs, seed=8, machines={{}})
    state = world.initial()
    rng = random.Random(8)
    for spec in specs:
        given = arguments(world, state, spec, rng)
        state, answer = world.call(state, spec.name, given)
        meaning = world.meaning(spec.name)
        digest.update(json.dumps([given, answer.content, meaning.phrases, meaning.labels]).encode())
    digest.update(json.dumps(state).encode())
print(digest.hexdigest())
"""


@pytest.mark.slow
def test_same_bytes_under_any_hash_seed() -> None:
    servers("api_tools.jsonl.gz")
    made = [
        subprocess.run(
            [sys.executable, "-c", SUMMARY.format(checkout=str(CHECKOUT))],
            env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True,
            timeout=120,
        ).stdout.strip()
        for seed in ("1", "4242")
    ]  # fmt: skip
    assert made[0] == made[1]
    assert len(made[0]) == hashlib.sha256().digest_size * 2


# purity, for any definition and any arguments

NAMES = st.sampled_from(["id", "order_id", "name", "status", "limit", "q", "body", "customerId", "tags", "x"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 99_999) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
SCHEMAS = st.recursive(
    st.fixed_dictionaries(
        {"type": st.sampled_from(["string", "integer", "number", "boolean"])},
        optional={
            "enum": st.just(["a", 1, True]),
            "minLength": st.integers(0, 9),
            "minimum": st.integers(0, 50),
        },
    ),
    lambda inner: (
        st.builds(lambda part: {"type": "array", "items": part}, inner)
        | st.builds(
            lambda parts: {"type": "object", "properties": parts, "required": list(parts)[:1]},
            st.dictionaries(NAMES, inner, max_size=4),
        )
    ),
    max_leaves=5,
)
TOOLS = st.builds(
    lambda name, method, path, properties, output: ToolSpec(
        server="any", name=name, method=method, path=path,
        input_schema={"type": "object", "properties": properties}, output_schema=output,
    ),
    st.sampled_from(
        ["get_order", "listOrders", "create_order", "Orders_Update", "delete_order", "send", "cancel_order"]
    ),
    st.sampled_from(["", "GET", "POST", "PUT", "DELETE"]),
    st.sampled_from(
        ["", "/orders", "/orders/{id}", "/customers/{customerId}/orders/{order_id}", "/orders/{id}/cancel"]
    ),
    st.dictionaries(NAMES, SCHEMAS, max_size=4),
    st.none() | SCHEMAS,
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(
    st.lists(TOOLS, min_size=1, max_size=4), st.lists(st.dictionaries(NAMES, JSON, max_size=4), max_size=6)
)
def test_any_call_is_pure(tools: list[ToolSpec], calls: list[dict[str, Any]]) -> None:
    world, twin = World(tools, seed=1, machines={}), World(tools, seed=1, machines={})
    state = world.initial()
    assert state == twin.initial()
    for at, given_ in enumerate(calls):
        name = tools[at % len(tools)].name
        frozen, held = copy.deepcopy(state), copy.deepcopy(given_)
        after, answer = world.call(state, name, given_)
        assert (state, given_) == (frozen, held)
        assert twin.call(state, name, given_) == (after, answer)
        assert json.loads(json.dumps([after, answer.content])) == [after, answer.content]
        if answer.error:
            assert after == state
            assert answer.content["error"]["code"] == answer.error
        state = after


@settings(max_examples=200, deadline=None)
@given(SCHEMAS, NAMES, st.integers(0, 1000))
def test_invented_values_fit_their_schema(schema: dict[str, Any], name: str, seed: int) -> None:
    spec = ToolSpec(
        server="any", name="create_thing", input_schema={"type": "object", "properties": {name: schema}}
    )
    world = World([spec], seed=1, machines={})
    value = world.invent("create_thing", name, random.Random(seed))
    assert value == world.invent("create_thing", name, random.Random(seed))
    if not contradicts(schema):
        Draft202012Validator(schema).validate(value)
