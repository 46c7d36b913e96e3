"""The registry through its door: given these messages, when asked, then these answers."""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import subprocess
import sys

import pytest
from jsonschema import Draft202012Validator

from schemas.catalog import (
    CatalogFormed,
    ClusterFormed,
    FormClusters,
    ImportServer,
    RetireServer,
    ServerImported,
    ServerRejected,
    ServerRetired,
)
from schemas.envelope import Envelope
from services.cluster_registry.app import service
from services.cluster_registry.domain import decide, evolve, initial

ID = {"type": "string"}


def thing(**properties):
    return {"type": "object", "properties": properties}


def taking(*required, **optional):
    names = dict.fromkeys(required, ID)
    return {"type": "object", "properties": names | optional, "required": list(required)}


def many(items):
    return {"type": "array", "items": items}


def rest(name, method, path, output=None, /, inputs=None, **properties):
    needed = re.findall(r"\{(\w+)\}", path)
    schema = inputs or taking(*needed, **properties)
    tool = {
        "name": name,
        "description": "",
        "inputSchema": schema,
        "annotations": {"method": method, "path": path},
    }
    return tool | ({"outputSchema": output} if output else {})


def rpc(name, inputs=None, output=None, **more):
    tool = {"name": name, "description": "", "inputSchema": inputs or taking()} | more
    return tool | ({"outputSchema": output} if output else {})


ORDER = thing(id=ID, customer_id=ID, status=ID, total={"type": "number"})
ORDERS = thing(items=many(ORDER))


def shop(name="shop", **more):
    return {
        "name": name,
        "description": "Orders of a web shop",
        "tools": [
            rest("list_orders", "GET", "/orders", ORDERS, status=ID, limit={"type": "integer"}),
            rest("get_order", "GET", "/orders/{order_id}", ORDER),
            rest("create_order", "POST", "/orders", ORDER, inputs=taking("customer_id")),
            rest("cancel_order", "POST", "/orders/{order_id}/cancel", thing(status=ID)),
            rest("delete_order", "DELETE", "/orders/{order_id}", thing(id=ID)),
            rest("get_customer", "GET", "/customers/{customer_id}", thing(id=ID, email=ID)),
        ],
        **more,
    }


class Log:
    """A catalog's two topics in memory, and a registry that folds them."""

    def __init__(self):
        self.state = initial()
        self.commands = []
        self.events = []

    def tell(self, *messages):
        for message in messages:
            key = getattr(message, "server_id", "catalog")
            envelope = Envelope(f"c{len(self.commands)}", "console", "", key, message)
            self.commands.append(envelope)
            self.state = evolve(self.state, envelope)
        return self

    def step(self):
        drafts = decide(self.state)
        assert len(drafts) <= 64
        for draft in drafts:
            number = len(self.events)
            envelope = Envelope(f"e{number}", "registry", "", draft.key, draft.data, causationid=draft.cause)
            self.events.append(envelope)
            self.state = evolve(self.state, envelope)
        return drafts

    def run(self):
        while self.step():
            pass
        return [envelope.data for envelope in self.events]


def imported(server, server_id="s"):
    (event,) = Log().tell(ImportServer(server_id=server_id, server=server, origin="f:1")).run()
    return event


def one_tool(tool):
    return imported({"name": "x", "tools": [tool, rpc("good")]})


def formed(*servers, **sizes):
    log = Log()
    for raw in servers:
        log.tell(ImportServer(server_id=raw["name"], server=raw))
    log.tell(FormClusters(**sizes))
    events = log.run()
    return [event.cluster for event in events if isinstance(event, ClusterFormed)], events[-1]


def edges_of(tools):
    """Every edge of one server, as (source, target, parameter) -> edge: all tools in one cluster."""
    clusters, _ = formed({"name": "s", "tools": tools}, min_tools=len(tools), max_tools=64)
    return {
        (edge.source.rpartition("/")[2], edge.target.rpartition("/")[2], edge.parameter): edge
        for cluster in clusters
        for edge in cluster.edges
    }


# --- importing ---------------------------------------------------------------------------------------


def test_the_service_folds_the_catalog_topics():
    made = service()
    assert [topic.name for topic in made.inputs] == ["tds.catalog.commands", "tds.catalog.events"]
    assert made.decide(made.initial()) == ()


def test_an_import_is_answered_once_under_the_servers_key():
    log = Log().tell(ImportServer(server_id="s", server=shop(labels=["E-Commerce"]), origin="f:1"))
    (draft,) = log.step()
    assert (draft.key, draft.cause) == ("s", "c0")
    assert isinstance(draft.data, ServerImported)
    assert draft.data.origin == "f:1"
    assert draft.data.server.domains == ("e_commerce",)
    assert [tool.method for tool in draft.data.server.tools][:2] == ["GET", "GET"]
    assert log.step() == ()


def test_read_only_hint_makes_the_method_get_only_when_nothing_else_says():
    hint = one_tool(rpc("look", annotations={"readOnlyHint": True})).server.tools[0]
    said = one_tool(rpc("look", annotations={"readOnlyHint": True, "method": "post"})).server.tools[0]
    assert (hint.method, said.method) == ("GET", "POST")


def test_names_become_valid_and_unlike_each_other():
    names = ["get order", "get_order", "get/order", "été", "x" * 80, "x" * 90, "\u202e", "-"]
    event = imported({"tools": [rpc(name, taking(f"p{number}")) for number, name in enumerate(names)]})
    made = [tool.name for tool in event.server.tools]
    assert len(set(made)) == len(names)
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in made)
    assert made[1] == "get_order"
    assert event.server.tools[0].original_name == "get order"
    assert event.server.tools[1].original_name == ""


def test_duplicate_tools_are_kept_once_or_renamed_when_they_differ():
    event = imported({"tools": [rpc("a"), rpc("a"), rpc("a", taking("x")), rpc("a", taking("x"))]})
    assert [tool.name for tool in event.server.tools] == ["a", "a_2"]
    assert event.server.tools[1].original_name == "a"
    assert sum("kept once" in note for note in event.notes) == 2


def test_descriptions_are_cleaned_and_bounded():
    dirty = "Delete\u202e\u0000\u200b it\x1b[31m. " + "long " * 1_000
    event = one_tool(rpc("a", description=dirty))
    text = event.server.tools[0].description
    assert text.startswith("Delete it[31m. long")
    assert len(text) == 1024
    boiler = "Deploy Server X Claim Server @a/b Try in Playground get_it"
    assert one_tool(rpc("a", description=boiler)).server.tools[0].description == ""
    assert one_tool(rpc("a", description="Description not available")).server.tools[0].description == ""


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (None, {"type": "object", "properties": {}}),
        ({"properties": {"a": ID}}, {"type": "object", "properties": {"a": ID}}),
        ({"type": ["object", "null"]}, {"type": "object", "properties": {}}),
        (
            {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": ID}},
            {"type": "object", "properties": {"a": ID}},
        ),
        (
            {"type": "object", "properties": {"f": {"type": "file", "required": True}}},
            {"type": "object", "properties": {"f": ID}},
        ),
        (
            {"properties": {"n": {"type": "number", "minimum": 1, "exclusiveMinimum": True}}},
            {"properties": {"n": {"type": "number", "minimum": 1, "exclusiveMinimum": 1}}, "type": "object"},
        ),
        (
            {"properties": {"a": {"type": "array", "items": [ID]}}},
            {"properties": {"a": {"type": "array", "prefixItems": [ID]}}, "type": "object"},
        ),
        ({"properties": {"a": {**ID, "pattern": "(["}}}, {"properties": {"a": ID}, "type": "object"}),
        (
            {"allOf": [taking("a"), taking("b")]},
            {"type": "object", "properties": {"a": ID, "b": ID}, "required": ["a", "b"]},
        ),
        (
            {"anyOf": [taking("a"), taking("b")]},
            {"type": "object", "properties": {"a": ID, "b": ID}},
        ),
        (
            {"properties": {"a": ID}, "required": ["a", "ghost"]},
            {"properties": {"a": ID}, "required": ["a"], "type": "object"},
        ),
    ],
)
def test_schemas_are_put_into_todays_words(schema, expected):
    made = one_tool(rpc("t") | {"inputSchema": schema}).server.tools[0].input_schema
    assert made == expected
    Draft202012Validator.check_schema(made)


def test_reference_cycles_end_in_the_empty_schema_with_a_note():
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/Node"}, "id": ID}}
    event = one_tool(rpc("t", {"properties": {"node": {"$ref": "#/$defs/Node"}}, "$defs": {"Node": node}}))
    made = event.server.tools[0].input_schema
    assert made["properties"]["node"]["properties"] == {"next": {}, "id": ID}
    assert "$ref" not in json.dumps(made)
    assert any("cycle" in note for note in event.notes)


def test_references_are_followed_four_levels_and_no_further():
    defs = {f"L{n}": {"properties": {"next": {"$ref": f"#/$defs/L{n + 1}"}}} for n in range(9)} | {"L9": ID}
    event = one_tool(rpc("t", {"properties": {"a": {"$ref": "#/$defs/L0"}}, "$defs": defs}))
    assert json.dumps(event.server.tools[0].input_schema).count('"next"') == 4
    assert any("cut after 4 levels" in note for note in event.notes)


def test_a_schema_that_explodes_when_resolved_stays_bounded():
    defs = {
        f"L{n}": {"properties": {f"p{k}": {"$ref": f"#/$defs/L{n + 1}"} for k in range(20)}} for n in range(6)
    } | {"L6": ID}
    event = one_tool(rpc("t", {"properties": {"a": {"$ref": "#/$defs/L0"}}, "$defs": defs}))
    assert [tool.name for tool in event.server.tools] == ["t", "good"]
    assert len(event.model_dump_json()) < 40_000


@pytest.mark.parametrize(
    ("tool", "reason"),
    [
        ("text", "not_an_object"),
        ({"description": "x"}, "no_name"),
        ({"name": ""}, "no_name"),
        (rpc("t", {"type": "array"}), "invalid_schema: the input schema is of type 'array'"),
        (rpc("t", {"type": "objekt"}), "'objekt' is no type"),
        (rpc("t", {"properties": ["a"]}), "at /properties: an object should stand here, not an array"),
        (rpc("t", {"properties": {"a": "string"}}), "at /properties/a: a schema should stand here"),
        (rpc("t", {"required": "a"}), "at /required: a list of names"),
        (rpc("t", {"properties": {"a": {"enum": "x"}}}), "at /properties/a/enum: a list of values"),
        ({"name": "t", "inputSchema": "{}"}, "a schema is a JSON object; here stands a string"),
        (rpc("t", {"properties": {"a": {"enum": ["x" * 30_000]}}}), "larger than"),
        (rpc("t", {"properties": {"a": {"default": float("nan")}}}), "invalid_schema: not JSON"),
    ],
)
def test_a_broken_tool_is_dropped_with_its_reason_and_the_rest_kept(tool, reason):
    # Past the log's JSON, as commands come: NaN cannot come that way, but a fold must not fall over it.
    event = one_tool(tool)
    assert isinstance(event, ServerImported)
    assert [kept.name for kept in event.server.tools] == ["good"]
    assert reason in event.dropped[0].reason


@pytest.mark.parametrize(
    ("server", "server_id", "reason"),
    [
        ({}, "s", "no_tools"),
        ({"tools": []}, "s", "no_tools"),
        ({"tools": {"a": 1}}, "s", "no_tools"),
        ({"tools": ["a", 1]}, "s", "no_usable_tools"),
        ({"tools": [rpc("t")]}, "", "bad_id"),
        ({"tools": [rpc("t")]}, "a\x00b", "bad_id"),
    ],
)
def test_an_unusable_server_is_rejected_with_a_reason_that_says_what_to_do(server, server_id, reason):
    event = imported(server, server_id)
    assert isinstance(event, ServerRejected)
    assert event.reason.startswith(reason + ":")
    assert event.origin == "f:1"


@pytest.mark.slow
def test_whatever_passes_also_passes_the_metaschema():
    rng = random.Random("schemas")
    words = [
        "type",
        "properties",
        "items",
        "required",
        "enum",
        "minimum",
        "maxLength",
        "pattern",
        "$ref",
        "anyOf",
    ]
    words += [
        "description",
        "default",
        "format",
        "exclusiveMaximum",
        "examples",
        "uniqueItems",
        "additionalProperties",
    ]

    def junk(depth):
        kind = rng.randrange(9 if depth else 7)
        if kind >= 7:
            return {rng.choice(words): junk(depth - 1) for _ in range(rng.randrange(4))}
        return [None, True, -1, 2.5, rng.choice(["string", "(["]), ["a"], [{"type": "string"}]][kind]

    passed = 0
    for _ in range(3_000):
        event = one_tool(rpc("t", {"type": "object", "properties": {"p": junk(3)}}))
        if len(event.server.tools) == 2:
            passed += 1
            Draft202012Validator.check_schema(event.server.tools[0].input_schema)
    assert passed > 500


def test_output_schemas_that_cannot_be_used_cost_only_themselves():
    event = one_tool(rpc("t", output={"type": "objekt"}))
    assert event.server.tools[0].output_schema is None
    assert any("output schema left out" in note for note in event.notes)


# --- the order of commands, restarts -------------------------------------------------------------------


def test_retiring_and_importing_again_change_what_is_formed_from_then_on():
    log = Log().tell(
        ImportServer(server_id="a", server=shop("a")),
        ImportServer(server_id="b", server=shop("b")),
        RetireServer(server_id="a", reason="gone"),
        FormClusters(),
        ImportServer(server_id="b", server={"tools": [rpc("only")]}),
        FormClusters(),
        ImportServer(server_id="b", server={"tools": []}),
        FormClusters(),
    )
    events = log.run()
    first, second, third = [event for event in events if isinstance(event, CatalogFormed)]
    assert any(isinstance(event, ServerRetired) and event.reason == "gone" for event in events)
    assert (first.servers, first.tools) == (1, 6)
    assert (second.servers, second.tools) == (1, 1)
    assert third.hash == second.hash
    assert third.rejected == {"no_tools": 1}


def test_a_catalog_that_names_its_imports_is_the_same_whatever_else_the_registry_holds():
    mine = [
        ImportServer(server_id="a", server=shop("a")),
        ImportServer(server_id="b", server={"name": "b", "tools": [rpc("only")]}),
        ImportServer(server_id="b", server={"tools": []}),  # refused: the import before it stands
        ImportServer(server_id="d", server={"tools": []}),
    ]
    alone = Log().tell(*mine, FormClusters())
    expected = alone.run()[-1]

    for seed in range(10):
        rng = random.Random(f"catalogs/{seed}")
        others = [
            ImportServer(server_id="a", server=shop("a", domains=["travel"])),
            ImportServer(server_id="b", server=shop("b")),
            ImportServer(server_id="c", server=shop("c")),
            RetireServer(server_id="a"),
            FormClusters(),
        ]
        log = Log()
        queues = [list(mine), rng.sample(others, len(others))]
        while any(queues):
            log.tell(rng.choice([queue for queue in queues if queue]).pop(0))
        named = tuple(envelope.id for envelope in log.commands if envelope.data in mine)
        log.tell(FormClusters(imports=(*named, "of a message that nobody could read")))
        events = log.run()
        assert events[-1] == expected
        latest = {event.cluster.id: event.cluster for event in events if isinstance(event, ClusterFormed)}
        assert all(tool.server in "ab" for one in expected.clusters for tool in latest[one].tools)


def test_clusters_that_stand_are_not_published_twice():
    log = Log().tell(ImportServer(server_id="a", server=shop("a")), FormClusters(), FormClusters())
    events = log.run()
    catalogs = [event for event in events if isinstance(event, CatalogFormed)]
    clusters = [event.cluster.id for event in events if isinstance(event, ClusterFormed)]
    assert catalogs[0] == catalogs[1]
    assert clusters == list(catalogs[0].clusters)


@pytest.mark.parametrize("seed", range(20))
def test_a_restart_goes_on_whatever_the_interleaving_and_wherever_it_stopped(seed):
    rng = random.Random(f"restart/{seed}")
    commands = [ImportServer(server_id=f"s{n}", server=shop(f"s{n}")) for n in range(6)]
    commands += [
        RetireServer(server_id="s1"),
        FormClusters(),
        ImportServer(server_id="s2", server={"tools": []}),
    ]
    commands += [ImportServer(server_id="s9", server=shop("s9")), FormClusters(max_tools=4)]
    whole = Log().tell(*commands)
    expected = whole.run()

    stop = rng.randrange(len(expected))
    again = Log()
    queues = [list(whole.commands), list(whole.events[:stop])]
    while any(queues):
        again.state = evolve(again.state, rng.choice([queue for queue in queues if queue]).pop(0))
    again.commands, again.events = whole.commands, list(whole.events[:stop])
    assert again.run() == expected


def test_folding_every_message_twice_changes_nothing():
    log = Log().tell(ImportServer(server_id="a", server=shop("a")), FormClusters())
    expected = log.run()
    twice = initial()
    for envelope in [*log.commands, *log.events]:
        twice = evolve(evolve(twice, envelope), envelope)
    assert decide(twice) == ()
    assert len(expected) > 2


def test_deciding_again_gives_the_same_answer():
    log = Log().tell(
        *(ImportServer(server_id=f"s{n}", server=shop(f"s{n}")) for n in range(3)), FormClusters()
    )
    assert decide(log.state) == decide(log.state)
    log.step()
    assert decide(log.state) == decide(log.state)


# --- domains -------------------------------------------------------------------------------------------


def test_unlabelled_servers_are_judged_by_the_words_of_labelled_ones():
    bank = {
        "name": "bank",
        "description": "Accounts, payments and transfers",
        "primary_label": "Finance & Money",
    }
    bank |= {"secondary_labels": ["Payments"], "tools": [rpc("list_accounts"), rpc("make_transfer")]}
    sky = {"name": "sky", "description": "Forecasts of rain and wind", "labels": ["Weather"]}
    sky |= {"tools": [rpc("get_forecast"), rpc("get_wind")]}
    unknown = {"name": "storm", "description": "Wind and rain warnings", "tools": [rpc("forecast_storm")]}
    clusters, catalog = formed(bank, sky, unknown)
    domains = {cluster.tools[0].server: cluster.domains for cluster in clusters}
    assert domains == {"bank": ("finance_money", "payments"), "sky": ("weather",), "storm": ("weather",)}
    assert catalog.tools_per_domain == {"finance_money": 2, "weather": 3}


def test_without_labels_the_counts_that_come_with_the_program_judge():
    rain = {"name": "rain", "description": "Weather forecasts", "tools": [rpc("get_forecast")]}
    unheard = {"name": "qzx", "tools": [rpc("vbnq")]}
    clusters, catalog = formed(shop(), rain, unheard)
    domains = {cluster.tools[0].server: cluster.domains for cluster in clusters}
    assert domains == {"shop": ("e_commerce",), "rain": ("weather",), "qzx": ("general",)}
    assert catalog.tools_per_domain == {"e_commerce": 6, "general": 1, "weather": 1}


def test_a_catalog_with_many_labels_judges_by_them_alone():
    def one(number, word, **more):
        return {
            "name": f"s{number}",
            "description": f"{word} {word}",
            "tools": [rpc(f"{word}_{number}")],
            **more,
        }

    labelled = [
        one(number, word, labels=[label])
        for number, (word, label) in enumerate([("forecast", "Kitchen"), ("recipe", "Sky")] * 25)
    ]
    clusters, _ = formed(*labelled, one(50, "forecast"), one(51, "recipe"))
    domains = {cluster.tools[0].server: cluster.domains for cluster in clusters}
    assert (domains["s50"], domains["s51"]) == (("kitchen",), ("sky",))


# --- copies --------------------------------------------------------------------------------------------


def test_copies_of_a_server_are_folded_into_the_first():
    _, catalog = formed(shop(), shop("copy"), shop("another"))
    assert (catalog.servers, catalog.tools, catalog.rejected) == (1, 6, {"folded": 12})


def test_what_a_copy_has_beyond_the_first_stays():
    more = shop("alike")
    more["tools"].append(rpc("refund_order"))
    clusters, catalog = formed(shop(), more)
    # The larger one is the first.
    assert {tool.server for cluster in clusters for tool in cluster.tools} == {"alike"}
    assert (catalog.tools, catalog.rejected) == (7, {"folded": 6})


def test_servers_that_share_a_tool_by_chance_keep_it():
    one = {"name": "one", "tools": [rpc("list_tables"), rpc("a"), rpc("b")]}
    two = {"name": "two", "tools": [rpc("list_tables"), rpc("c"), rpc("d")]}
    _, catalog = formed(one, two)
    assert (catalog.servers, catalog.tools, catalog.rejected) == (2, 6, {})


# --- edges ---------------------------------------------------------------------------------------------

USER = thing(id=ID, email=ID, name=ID)
LISTED = thing(data=many(USER))
INT = {"type": "integer"}

TRUE_EDGES = [
    # a list, a search, a create before what works on one of them
    (rest("a", "GET", "/orders", ORDERS), rest("b", "GET", "/orders/{order_id}"), "order_id", "items.*.id"),
    (rest("a", "GET", "/orders", ORDERS), rest("b", "GET", "/orders/{id}"), "id", "items.*.id"),
    (rest("a", "GET", "/orders", ORDERS), rest("b", "DELETE", "/orders/{orderId}"), "orderId", "items.*.id"),
    (rest("a", "GET", "/orders", ORDERS), rest("b", "PATCH", "/v2/orders/{id}"), "id", "items.*.id"),
    (rest("a", "GET", "/orders", ORDERS), rest("b", "POST", "/orders/{id}/refund"), "id", "items.*.id"),
    (rest("a", "GET", "/orders/search", ORDERS), rest("b", "GET", "/orders/{id}"), "id", "items.*.id"),
    (rest("a", "POST", "/orders", ORDER), rest("b", "GET", "/orders/{order_id}"), "order_id", "id"),
    (rest("a", "POST", "/orders", ORDER), rest("b", "POST", "/orders/{id}/cancel"), "id", "id"),
    # wrapped, nested, bare lists
    (rest("a", "GET", "/users", many(USER)), rest("b", "GET", "/users/{id}"), "id", "*.id"),
    (
        rest("a", "GET", "/users", thing(value=many(USER))),
        rest("b", "GET", "/users/{user_id}"),
        "user_id",
        "value.*.id",
    ),
    (
        rest("a", "GET", "/users", thing(response=thing(users=many(USER)))),
        rest("b", "GET", "/users/{user_id}"),
        "user_id",
        "response.users.*.id",
    ),
    (
        rest("a", "GET", "/users", thing(ids=many(ID), userIds=many(ID))),
        rest("b", "GET", "/users/{user_id}"),
        "user_id",
        "ids.*",
    ),
    # foreign keys
    (
        rest("a", "GET", "/orders/{id}", ORDER),
        rest("b", "GET", "/customers/{customer_id}"),
        "customer_id",
        "customer_id",
    ),
    (
        rest("a", "GET", "/orders/{id}", thing(customer=thing(id=ID))),
        rest("b", "GET", "/customers/{id}"),
        "id",
        "customer.id",
    ),
    (
        rest("a", "GET", "/orders/{id}", ORDER),
        rest("b", "POST", "/invoices", inputs=taking("customer_id")),
        "customer_id",
        "customer_id",
    ),
    # names of path parameters
    (
        rest("a", "GET", "/workspaces", thing(value=many(thing(name=ID, id=ID)))),
        rest("b", "GET", "/workspaces/{workspaceName}"),
        "workspaceName",
        "value.*.name",
    ),
    (
        rest("a", "GET", "/flags", thing(items=many(thing(key=ID)))),
        rest("b", "GET", "/flags/{flagKey}"),
        "flagKey",
        "items.*.key",
    ),
    # RPC: no route, names only
    (
        rpc("DescribeStacks", output=thing(Stacks=many(thing(StackId=ID)))),
        rpc("StartStack", taking("StackId")),
        "StackId",
        "Stacks.*.StackId",
    ),
    (rpc("list_issues"), rpc("get_issue", taking("issue_id")), "issue_id", ""),
    (
        rpc("search_products", output=many(thing(sku=ID, price=INT))),
        rpc("check_stock", taking("sku")),
        "sku",
        "*.sku",
    ),
    (
        rpc("find_user_by_email", taking("email"), USER),
        rpc("deactivate_account", taking("user_id")),
        "user_id",
        "id",
    ),
]


@pytest.mark.parametrize(("source", "target", "parameter", "path"), TRUE_EDGES)
def test_an_edge_is_found(source, target, parameter, path):
    found = edges_of([source, target])
    edge = found.get((source["name"], target["name"], parameter))
    assert edge is not None, found
    assert ".".join(edge.path) == path
    assert 0.5 <= edge.confidence <= 1
    assert source["name"] in edge.evidence
    assert parameter in edge.evidence


PAGED = thing(next_page_token=ID, limit=INT, page=INT, total=INT, status=ID, type=ID, name=ID, request_id=ID)
FALSE_EDGES = [
    # generic parameters
    (rest("a", "GET", "/orders", PAGED), rest("b", "GET", "/users", next_page_token=ID, limit=INT, page=INT)),
    (rest("a", "GET", "/orders", PAGED), rest("b", "GET", "/users", status=ID, type=ID, name=ID, sort=ID)),
    (rest("a", "GET", "/orders", PAGED), rest("b", "POST", "/refunds", inputs=taking("request_id", "name"))),
    # an id of something else
    (rest("a", "GET", "/orders", ORDERS), rest("b", "GET", "/users/{id}")),
    (rest("a", "GET", "/orders", ORDERS), rpc("get_product", taking("product_id"))),
    (
        rest("a", "GET", "/users", LISTED),
        rest("b", "GET", "/users/{user_id}/orders/{order_id}", inputs=taking("order_id")),
    ),
    # an echo of what the source was given
    (rest("a", "GET", "/orders/{order_id}", thing(order_id=ID)), rest("b", "DELETE", "/orders/{order_id}")),
    (rest("a", "GET", "/orders/{id}", thing(id=ID)), rest("b", "DELETE", "/orders/{id}")),
    (rest("a", "PATCH", "/orders/{id}", ORDER), rest("b", "GET", "/orders/{order_id}")),
    (rpc("get_order", taking("order_id"), thing(order_id=ID)), rpc("ship_order", taking("order_id"))),
    # a deletion yields nothing to work on
    (rest("a", "DELETE", "/orders/{key}", thing(id=ID)), rest("b", "GET", "/orders/{order_id}")),
    (rpc("delete_order", output=thing(order_id=ID)), rpc("get_order", taking("order_id"))),
    # what a caller writes is not looked up
    (rest("a", "GET", "/users", LISTED), rest("b", "POST", "/users", inputs=taking("email", "name"))),
    (rest("a", "GET", "/users", LISTED), rest("b", "PUT", "/users/{key}", inputs=taking("key", email=ID))),
    (rest("a", "POST", "/users", USER), rest("b", "GET", "/users/{email}")),
    # types that do not fit, choices, times
    (rest("a", "GET", "/orders", thing(items=many(thing(id=INT)))), rest("b", "GET", "/orders/{id}")),
    (
        rest("a", "GET", "/orders", ORDERS),
        rest(
            "b", "GET", "/x", inputs={"properties": {"order_id": {"enum": ["a"]}}, "required": ["order_id"]}
        ),
    ),
    (
        rest("a", "GET", "/orders", thing(items=many(thing(order_id={"type": "boolean"})))),
        rest("b", "GET", "/orders/{order_id}"),
    ),
    # ids of papers, of parents, of the outside
    (
        rest("a", "GET", "/customers", many(thing(vat_id=ID, external_id=ID, parent_id=ID))),
        rest("b", "GET", "/companies", inputs=taking("vat_id", "external_id", "parent_id")),
    ),
    # ids of a more general kind, ids in one text
    (
        rest("a", "GET", "/tasks", thing(items=many(thing(task_id=ID)))),
        rest("b", "GET", "/metric_tasks/{task_id}"),
    ),
    (
        rest("a", "GET", "/groups/{group_id}", thing(user_ids=ID)),
        rest("b", "GET", "/users/{user_id}"),
    ),
    # a counter's route says functions, and holds none
    (rest("a", "GET", "/health/queue/functions"), rest("b", "GET", "/functions/{functionId}")),
]


@pytest.mark.parametrize(("source", "target"), FALSE_EDGES)
def test_a_tempting_edge_is_not_made(source, target):
    found = edges_of([source, target])
    assert (source["name"], target["name"]) not in {(one, other) for one, other, _ in found}, found


def test_a_parameter_has_few_sources_the_surest_first():
    tools = [rest(f"list{n}", "GET", f"/shops/{{shop}}/v{n}/orders", ORDERS) for n in range(8)]
    tools += [rest("list_orders", "GET", "/orders", ORDERS), rest("get_order", "GET", "/orders/{order_id}")]
    found = {key: edge for key, edge in edges_of(tools).items() if key[1] == "get_order"}
    assert len(found) == 3
    assert max(found.values(), key=lambda edge: edge.confidence).source == "s/list_orders"


# --- clusters ------------------------------------------------------------------------------------------


def big_shop(name="big", size=100):
    tools = []
    for entity in ("order", "customer", "invoice", "product", "ticket"):
        item = thing(id={"type": "string", "maxLength": size}, customer_id=ID)
        listed = thing(items={"type": "array", "items": item})
        tools += [
            rest(f"list_{entity}s", "GET", f"/{entity}s", listed),
            rest(f"get_{entity}", "GET", f"/{entity}s/{{{entity}_id}}", item),
            rest(f"create_{entity}", "POST", f"/{entity}s", item),
            rest(f"delete_{entity}", "DELETE", f"/{entity}s/{{{entity}_id}}"),
        ]
    return {"name": name, "tools": [*tools, *(rpc(f"ping{n}") for n in range(4))]}


@pytest.mark.parametrize(("low", "high"), [(3, 12), (2, 4), (3, 3), (5, 8), (1, 1), (4, 64)])
def test_every_usable_tool_is_in_a_cluster_of_the_sizes_asked_for(low, high):
    clusters, catalog = formed(big_shop(), shop(), min_tools=low, max_tools=high)
    covered = {(tool.server, tool.name) for cluster in clusters for tool in cluster.tools}
    assert len(covered) == catalog.tools == 30
    assert all(low <= len(cluster.tools) <= high for cluster in clusters)
    assert len({cluster.id for cluster in clusters}) == len(clusters)
    assert catalog.clusters == tuple(cluster.id for cluster in clusters)


def test_clusters_hold_tools_that_work_on_one_anothers_results():
    clusters, _ = formed(big_shop())
    linked = [cluster for cluster in clusters if not cluster.tools[0].name.startswith("ping")]
    assert linked
    for cluster in linked:
        names = {f"{tool.server}/{tool.name}" for tool in cluster.tools}
        touched = {name for edge in cluster.edges for name in (edge.source, edge.target)}
        assert touched <= names
        assert len(touched) >= len(names) - 1


def test_a_small_server_makes_one_smaller_cluster():
    clusters, catalog = formed({"name": "s", "tools": [rpc("a"), rpc("b")]})
    assert [[tool.name for tool in cluster.tools] for cluster in clusters] == [["a", "b"]]
    assert (catalog.servers, catalog.tools) == (1, 2)


def test_an_empty_catalog_is_formed_and_says_so():
    _, catalog = formed()
    assert (catalog.servers, catalog.tools, catalog.clusters) == (0, 0, ())


def test_the_order_of_servers_makes_no_difference():
    servers = [big_shop(), shop(), shop("other"), shop("labelled", labels=["Shopping"])]
    expected = formed(*servers)
    for seed in range(5):
        random.Random(f"order/{seed}").shuffle(servers)
        assert formed(*servers) == expected


def test_a_cluster_keeps_its_id_and_hash_when_its_tools_stay():
    (one, _), (other, _) = formed(big_shop()), formed(big_shop(), shop())
    assert {(cluster.id, cluster.hash) for cluster in one} <= {
        (cluster.id, cluster.hash) for cluster in other
    }
    changed = big_shop()
    changed["tools"][1]["description"] = "another text"
    hashes = {cluster.hash for cluster in one}
    for cluster in formed(changed)[0]:
        holds = any(tool.name == changed["tools"][1]["name"] for tool in cluster.tools)
        assert (cluster.hash in hashes) is not holds


def test_many_clusters_come_a_few_at_a_time():
    log = Log().tell(
        *(ImportServer(server_id=f"s{n}", server=big_shop(f"s{n}", n)) for n in range(40)), FormClusters()
    )
    steps = []
    while drafts := log.step():
        steps.append(len(drafts))
    assert max(steps) == 64
    assert sum(steps) > 200


def fingerprint():
    clusters, catalog = formed(big_shop(), shop(), shop("labelled", labels=["Shopping"]))
    text = "".join(cluster.model_dump_json() for cluster in clusters) + catalog.model_dump_json()
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_hash_seed_makes_no_difference(seed):
    program = "from tests.unit.test_cluster_registry import fingerprint; print(fingerprint())"
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout.strip() == fingerprint()
