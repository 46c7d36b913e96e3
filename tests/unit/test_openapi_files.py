"""OpenAPI and Swagger documents as catalogs: every operation a tool; all bounded, nothing fetched."""

from __future__ import annotations

import gzip
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from schemas.catalog import ImportServer, ServerImported
from services.cluster_registry.normalize import normalize
from services.console.catalog_entries import BadEntry
from services.console.catalog_files import read_servers

STRING = {"type": "string"}


def document(paths: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"openapi": "3.0.3", "info": {"title": "Orders"}, "paths": paths, **more}


def swagger(paths: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"swagger": "2.0", "info": {"title": "Orders"}, "paths": paths, **more}


def read(tmp_path: Path, content: Any, name: str = "api.json") -> tuple[list[ImportServer], list[BadEntry]]:
    path = tmp_path / name
    data = (
        content
        if isinstance(content, bytes)
        else content
        if isinstance(content, str)
        else json.dumps(content)
    )
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    entries = list(read_servers(path))
    good = [entry for entry in entries if isinstance(entry, ImportServer)]
    return good, [entry for entry in entries if isinstance(entry, BadEntry)]


def tools(tmp_path: Path, content: Any, name: str = "api.json") -> dict[str, dict[str, Any]]:
    (server,), bad = read(tmp_path, content, name)
    assert not bad
    return {tool["name"]: tool for tool in server.server["tools"]}


def operation(**more: Any) -> dict[str, Any]:
    return {"operationId": "op", "responses": {}, **more}


def parameter(name: str, place: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": place, "schema": STRING, **more}


def body(schema: dict[str, Any], kind: str = "application/json", **more: Any) -> dict[str, Any]:
    return {"content": {kind: {"schema": schema}}, **more}


def takes(
    tmp_path: Path, method: str, path: str, item: dict[str, Any] | None = None, **more: Any
) -> dict[str, Any]:
    """The input schema of one operation."""
    found = tools(tmp_path, document({path: {**(item or {}), method: operation(**more)}}))
    return found["op"]["inputSchema"]


PET = {
    "type": "object",
    "required": ["name", "id"],
    "properties": {
        "id": {"type": "integer", "readOnly": True},
        "name": STRING,
        "secret": {**STRING, "writeOnly": True},
    },
}


def test_an_operation_becomes_a_tool_in_the_form_of_catalogs(tmp_path):
    found = tools(
        tmp_path,
        document(
            {
                "/pets/{petId}": {
                    "parameters": [parameter("petId", "path", required=True, description="Whose")],
                    "put": {
                        "operationId": "updatePet",
                        "summary": "Update a pet",
                        "description": "Only its owner may.",
                        "requestBody": body({"$ref": "#/components/schemas/Pet"}),
                        "responses": {
                            "404": body(STRING),
                            "201": body({"$ref": "#/components/schemas/Pet"}, "application/hal+json"),
                            "200": {"description": "no content"},
                        },
                    },
                }
            },
            components={"schemas": {"Pet": PET}},
        ),
    )
    assert found == {
        "updatePet": {
            "name": "updatePet",
            "description": "Update a pet. Only its owner may.",
            "inputSchema": {
                "type": "object",
                "properties": {
                    "petId": {"type": "string", "description": "Whose"},
                    "name": STRING,
                    "secret": STRING,
                },
                "required": ["petId", "name"],
            },
            "outputSchema": {
                "type": "object",
                "properties": {"id": {"type": "integer"}, "name": STRING},
                "required": ["name", "id"],
            },
            "annotations": {"method": "PUT", "path": "/pets/{petId}"},
        }
    }


def test_swagger_2_has_its_schema_in_the_parameter_and_in_the_response(tmp_path):
    found = tools(
        tmp_path,
        swagger(
            {
                "/pets": {
                    "post": {
                        "parameters": [
                            {
                                "name": "pet",
                                "in": "body",
                                "required": True,
                                "schema": {"$ref": "#/definitions/Pet"},
                            },
                            {"name": "kind", "in": "query", "type": "string", "enum": ["cat", "dog"]},
                            {"name": "picture", "in": "formData", "type": "file"},
                        ],
                        "responses": {
                            "200": {"schema": {"type": "array", "items": {"$ref": "#/definitions/Pet"}}}
                        },
                    }
                }
            },
            definitions={"Pet": PET},
        ),
    )
    made = found["post_pets"]
    assert made["inputSchema"]["properties"] == {
        "kind": {"type": "string", "enum": ["cat", "dog"]},
        "picture": STRING,
        "name": STRING,
        "secret": STRING,
    }
    assert made["inputSchema"]["required"] == ["name"]
    assert made["outputSchema"]["items"]["properties"] == {"id": {"type": "integer"}, "name": STRING}


def test_arguments_of_one_name_from_several_places_are_told_apart(tmp_path):
    schema = takes(
        tmp_path, "post", "/a/{id}",
        parameters=[parameter("id", "path"), parameter("id", "query"), parameter("id", "header")],
        requestBody=body({"type": "object", "properties": {"id": {"type": "integer"}, "x": STRING}}),
    )  # fmt: skip
    assert list(schema["properties"]) == ["id", "query_id", "header_id", "body_id", "x"]
    assert schema["required"] == ["id"]


def test_a_body_that_repeats_the_path_gives_one_argument(tmp_path):
    schema = takes(
        tmp_path, "put", "/a/{id}", parameters=[parameter("id", "path")],
        requestBody=body({"type": "object", "properties": {"id": STRING, "x": STRING}, "required": ["id"]}),
    )  # fmt: skip
    assert list(schema["properties"]) == ["id", "x"]
    assert schema["required"] == ["id"]


def test_an_operations_parameter_stands_before_its_paths(tmp_path):
    own = parameter("limit", "query", description="own")
    schema = takes(tmp_path, "get", "/a", {"parameters": [parameter("limit", "query")]}, parameters=[own])
    assert schema["properties"]["limit"]["description"] == "own"


@pytest.mark.parametrize("schema", [{"type": "array", "items": STRING}, STRING, {"type": "object"}])
def test_a_body_that_is_no_object_is_one_argument(tmp_path, schema):
    made = takes(tmp_path, "post", "/a", requestBody=body(schema, required=True))
    assert made == {"type": "object", "properties": {"body": schema}, "required": ["body"]}


def test_what_authenticates_is_no_argument(tmp_path):
    found = tools(
        tmp_path,
        document(
            {
                "/a": {
                    "get": operation(
                        parameters=[
                            parameter("Authorization", "header"), parameter("X-Api-Key", "header"),
                            parameter("Accept", "header"), parameter("key", "query"),
                            parameter("session", "cookie"),
                            parameter("If-Match", "header"), parameter("q", "query"),
                        ]
                    )
                }
            },
            components={"securitySchemes": {"k": {"type": "apiKey", "in": "query", "name": "key"}}},
        ),
    )  # fmt: skip
    assert list(found["op"]["inputSchema"]["properties"]) == ["q", "If-Match"]


def test_all_of_is_merged_and_of_choices_the_first_taken(tmp_path):
    base = {"type": "object", "properties": {"id": STRING}, "required": ["id"]}
    schema = {
        "allOf": [
            {"$ref": "#/components/schemas/Base"},
            {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
        ],
        "properties": {
            "b": {"oneOf": [{"type": "null"}, {"type": "number"}, STRING]},
            "c": {"type": ["null", "string"]},
        },
    }
    paths = {"/a": {"get": operation(responses={"200": body(schema)})}}
    made = tools(tmp_path, document(paths, components={"schemas": {"Base": base}}))["op"]["outputSchema"]
    assert made["properties"] == {
        "id": STRING,
        "a": {"type": "integer"},
        "b": {"type": "number", "nullable": True},
        "c": {"type": "string", "nullable": True},
    }
    assert sorted(made["required"]) == ["a", "id"]


def test_cycles_end_and_depth_is_bounded(tmp_path):
    node = {"type": "object", "properties": {"name": STRING, "next": {"$ref": "#/components/schemas/Node"}}}
    levels = {
        f"L{n}": {"type": "object", "properties": {"in": {"$ref": f"#/components/schemas/L{n + 1}"}}}
        for n in range(9)
    }
    paths = {
        "/a": {"get": operation(responses={"200": body({"$ref": "#/components/schemas/Node"})})},
        "/b": {
            "get": operation(operationId="deep", responses={"200": body({"$ref": "#/components/schemas/L0"})})
        },
        "/c": {
            "get": operation(
                operationId="self", responses={"200": body({"$ref": "#/components/schemas/Self"})}
            )
        },
    }
    schemas = {"Node": node, **levels, "Self": {"$ref": "#/components/schemas/Self"}}
    found = tools(tmp_path, document(paths, components={"schemas": schemas}))
    assert found["op"]["outputSchema"]["properties"]["next"] == {"type": "object"}
    assert json.dumps(found["deep"]["outputSchema"]).count('"in"') == 3
    assert "outputSchema" not in found["self"]


def test_a_schema_that_explodes_when_it_is_resolved_stays_small(tmp_path):
    wide = {
        "type": "object",
        "properties": {f"p{n}": {"$ref": "#/components/schemas/Wide"} for n in range(30)},
    }
    others = {
        f"W{k}": {"properties": {f"q{n}": {"$ref": f"#/components/schemas/W{k + 1}"} for n in range(50)}}
        for k in range(6)
    }
    ref = {"$ref": "#/components/schemas/W0"}
    paths = {
        "/a": {
            "post": operation(
                requestBody=body(ref), responses={"200": body({"$ref": "#/components/schemas/Wide"})}
            )
        }
    }
    made = tools(tmp_path, document(paths, components={"schemas": {"Wide": wide, **others}}))["op"]
    assert len(json.dumps(made)) < 40_000
    assert len(made["inputSchema"]["properties"]) == 50


def test_an_external_reference_costs_its_operation_and_is_never_fetched(tmp_path):
    outside = "http://127.0.0.1:9/schemas.json#/Pet"
    paths = {
        "/good": {"get": operation(operationId="good")},
        "/body": {"post": operation(requestBody=body({"properties": {"a": {"$ref": outside}}}))},
        "/parameter": {"get": operation(parameters=[{"$ref": "common.yaml#/limit"}])},
        "/item": {"$ref": "paths/item.json"},
        "/result": {"get": operation(operationId="result", responses={"200": body({"$ref": outside})})},
        "/missing": {"get": operation(parameters=[{"$ref": "#/components/parameters/none"}])},
        "/circle": {"get": operation(parameters=[{"$ref": "#/components/parameters/me"}])},
    }
    me = {"$ref": "#/components/parameters/me"}
    (server,), bad = read(tmp_path, document(paths, components={"parameters": {"me": me}}))
    assert [tool["name"] for tool in server.server["tools"]] == ["good", "result"]
    assert "outputSchema" not in server.server["tools"][1]
    assert [(one.origin.partition("#")[2], one.code) for one in bad] == [
        ("/paths/~1body/post", "external_reference"),
        ("/paths/~1parameter/get", "external_reference"),
        ("/paths/~1item", "external_reference"),
        ("/paths/~1missing/get", "unknown_reference"),
        ("/paths/~1circle/get", "reference_cycle"),
    ]
    assert "nothing is fetched" in bad[0].reason
    assert "schemas.json" in bad[0].reason


def test_many_bad_operations_are_told_in_few_words(tmp_path):
    paths = {f"/a{n}": {"get": operation(parameters=[{"$ref": "x.json"}])} for n in range(300)}
    (server,), bad = read(tmp_path, document({**paths, "/good": {"get": operation()}}))
    assert len(server.server["tools"]) == 1
    assert len(bad) == 21
    assert sum(one.count for one in bad) == 300


def test_five_thousand_operations_become_several_servers_resource_by_resource(tmp_path):
    paths = {f"/v1/r{n % 70}/{{id}}/a{n}": {"get": operation(operationId=f"op{n}")} for n in range(5_000)}
    begun = time.process_time()
    good, bad = read(tmp_path, document(paths))
    assert time.process_time() - begun < 20
    assert not bad
    assert sum(len(one.server["tools"]) for one in good) == 5_000
    assert all(len(one.server["tools"]) <= 512 for one in good)
    assert len({one.server_id for one in good}) == len(good) > 9
    homes: dict[str, set[str]] = {}
    for one in good:
        for tool in one.server["tools"]:
            homes.setdefault(tool["annotations"]["path"].split("/")[2], set()).add(one.server_id)
    assert all(len(where) == 1 for where in homes.values())
    assert all(isinstance(normalize(one), ServerImported) for one in good)


def test_a_document_of_fifty_megabytes_is_read_within_bounds(tmp_path):
    paths = {f"/a{n}": {"get": operation(description="long " * 2_000)} for n in range(5_000)}
    text = json.dumps(document(paths)).encode()
    assert len(text) > 50_000_000
    begun = time.process_time()
    good, bad = read(tmp_path, text)
    assert time.process_time() - begun < 30
    assert sum(len(one.server["tools"]) for one in good) == 5_000
    assert all(len(one.model_dump_json()) < 3_600_000 for one in good)
    assert not bad


def test_names_come_from_the_id_or_the_path_and_become_valid_without_collision(tmp_path):
    paths = {
        "/a/{id}/b": {"get": {"responses": {}}, "post": {"operationId": "do it!", "responses": {}}},
        "/c": {
            "get": {"operationId": "do it?", "responses": {}},
            "post": {"operationId": "get_a_id_b", "responses": {}},
        },
        "/d": {
            "get": {"operationId": "x" * 100, "responses": {}},
            "post": {"operationId": "x" * 100 + "y", "responses": {}},
        },
    }
    (server,), _ = read(tmp_path, document(paths))
    event = normalize(server)
    assert isinstance(event, ServerImported)
    names = [tool.name for tool in event.server.tools]
    assert len(names) == len(set(names)) == 6
    assert all(re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name) for name in names)
    assert names[:2] == ["get_a_id_b", "do_it"]


YAML = """\
# A comment first.
openapi: 3.0.0
info: {title: Orders, version: 1.0}
x-shared: &shared {type: string, enum: [no, yes, 2020-01-01, 010, 1:30]}
paths:
  /orders/{id}:
    get:
      operationId: getOrder
      parameters:
        - {name: id, in: path, required: true, schema: *shared}
      responses:
        200: {description: fine, content: {application/json: {schema: {<<: *shared, nullable: true}}}}
"""


@pytest.mark.parametrize("name", ["api.yaml", "api.yml", "api.txt", "api.yaml.gz"])
def test_yaml_is_read_with_the_plain_types_of_today(tmp_path, name):
    found = tools(tmp_path, gzip.compress(YAML.encode()) if name.endswith(".gz") else YAML, name)
    values = ["no", "yes", "2020-01-01", 10, "1:30"]
    assert found["getOrder"]["inputSchema"]["properties"]["id"]["enum"] == values
    assert found["getOrder"]["outputSchema"] == {"type": "string", "enum": values, "nullable": True}


def bomb(item: str) -> str:
    lines = [f"a0: &a0 {item}"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    return "openapi: 3.0.0\n" + "\n".join(lines)


MERGES = "a0: &a0 {x: 1}\n" + "\n".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 10)}]}}" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (bomb("lol"), "aliases written out"),
        (f"a: &a {'x' * 1_000_000}\nb: [{', '.join(['*a'] * 1000)}]", "aliases written out"),
        (MERGES, "aliases written out"),
        ("a: &a {b: *a}", "stands inside of what it names"),
        ("a: *b", "names nothing"),
        ("a: " + "[" * 50_000, "nested more than 100 deep"),
        ("\n".join(" " * n + f"k{n}:" for n in range(3000)), "nested more than 100 deep"),
        ("a: !!python/object/apply:os.system [id]", "none of JSON's types"),
        ("a: !!binary aGVsbG8=", "none of JSON's types"),
        ("? [a, b]\n: c", "a key is a list or mapping"),
        ("a: 1\n---\nb: 2", "second YAML document"),
        ("a: [1, 2", "not YAML"),
        ("a: 'x", "not YAML"),
        ("%", "not YAML"),
        ("a: b\x00c", "not YAML"),
    ],
)
def test_yaml_that_is_not_to_be_trusted_is_refused_within_bounds(tmp_path, text, reason):
    begun = time.process_time()
    good, bad = read(tmp_path, text, "api.yaml")
    assert time.process_time() - begun < 10
    assert not good
    assert len(bad) == 1
    assert reason in bad[0].reason


def test_yaml_beyond_its_limit_is_told_to_become_json(tmp_path):
    _, (bad,) = read(tmp_path, "a: " + "x" * 17_000_000, "api.yaml")
    assert "at most 16777216" in bad.reason
    assert "JSON" in bad.advice


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        ({"openapi": "4.0.0", "paths": {"/a": {}}}, "unknown_version", "'4.0.0'"),
        ({"swagger": "1.2", "paths": {"/a": {}}}, "unknown_version", "'1.2'"),
        ({"openapi": "3.0.0"}, "no_operations", "no paths"),
        ({"openapi": "3.0.0", "paths": {}}, "no_operations", "no paths"),
        ({"openapi": "3.0.0", "paths": {"/a": {"summary": "x"}}}, "no_operations", "none of its operations"),
        ({"openapi": "3.0.0", "paths": {"/a": "text", "/b": {"get": 7}}}, "no_operations", "none of its"),
    ],
)
def test_a_document_without_use_says_so(tmp_path, content, code, words):
    good, bad = read(tmp_path, content)
    assert not good
    assert bad[-1].code == code
    assert words in bad[-1].reason


@pytest.mark.parametrize(
    "change",
    [
        {"parameters": "text"}, {"parameters": [7, None, {"in": "query"}, {"name": "", "in": "query"}]},
        {"requestBody": []}, {"requestBody": {"content": "x"}},
        {"requestBody": {"content": {"application/json": 7}}},
        {"responses": []}, {"responses": {"200": "x"}}, {"responses": {"200": body({"type": 7})}},
        {"operationId": 7}, {"summary": ["x"]}, {"requestBody": body({"properties": {"a": None, "b": []}})},
        {"requestBody": body({"required": "a", "properties": {"a": STRING}})},
        {"requestBody": body({"allOf": "x", "oneOf": [7], "enum": "x"})},
    ],
)  # fmt: skip
def test_whatever_stands_in_an_operation_it_is_read_or_left_out(tmp_path, change):
    (server,), _ = read(tmp_path, document({"/a": {"post": operation(**change)}}))
    event = normalize(server)
    if isinstance(event, ServerImported):
        for tool in event.server.tools:
            Draft202012Validator.check_schema(tool.input_schema)


def test_documents_stand_beside_dumps(tmp_path):
    dump = {"name": "dump", "tools": [{"name": "t", "inputSchema": {"type": "object"}}]}
    good, bad = read(tmp_path, [document({"/a": {"get": operation()}}), dump])
    assert [one.server_id for one in good] == ["Orders", "dump"]
    lines = "\n".join(map(json.dumps, [dump, document({"/a": {"get": operation()}})]))
    good, bad = read(tmp_path, lines, "api.jsonl")
    assert [one.server_id for one in good] == ["dump", "Orders"]
    assert not bad


def test_provider_and_categories_are_kept(tmp_path):
    info = {
        "title": "T",
        "x-providerName": "a.com",
        "x-serviceName": "s",
        "x-apisguru-categories": ["Payment"],
    }
    (server,), _ = read(tmp_path, {"openapi": "3.1.0", "info": info, "paths": {"/a": {"get": operation()}}})
    assert server.server_id == "a.com/s"
    event = normalize(server)
    assert isinstance(event, ServerImported)
    assert (event.server.name, event.server.domains) == ("T", ("payment",))
