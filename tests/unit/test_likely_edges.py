"""The likeliest source of a parameter for which no rule finds one, through ``catalog_edges``."""

from __future__ import annotations

import random

import pytest

from schemas.catalog import ImportServer
from services.cluster_registry.catalog_edges import catalog_edges

TEXT = {"type": "string"}
NODES = {"name": "list_nodes", "description": "List nodes with optional filters. Returns node names."}
STATES = {"name": "getStates", "description": "All states"}
CITIES = {"name": "getCities", "description": "All cities"}


def tool(name, *required, description="", optional=(), path="", method="GET", **said):
    members = {one: {**TEXT, **said.get(one, {})} for one in (*required, *optional)}
    made = {
        "name": name,
        "description": description,
        "inputSchema": {"type": "object", "properties": members, "required": list(required)},
    }
    if path:
        made["annotations"] = {"method": method, "path": path}
    return made


def found(*tools):
    edges, rejected = catalog_edges([ImportServer(server_id="s", server={"id": "s", "tools": list(tools)})])
    assert not rejected
    return {(edge.tool_a, edge.parameter): edge for edge in edges}


@pytest.mark.parametrize(
    ("sources", "target", "expected"),
    [
        ([NODES], tool("get_node_info", "nodeType", description="Technical schema of a node"), "nodeType"),
        ([STATES, CITIES], tool("getStateDetails", "ufId", description="Details of a state"), "ufId"),
        (
            [tool("browser_tab_list", description="List browser tabs"), tool("browser_click", "text")],
            tool("browser_tab_select", "index", description="Select a tab by index"),
            "index",
        ),
        (
            [tool("getAvailableFilters", description="The filters there are"), tool("getYears")],
            tool("getFilterValues", "filter", description="Values of a filter"),
            "filter",
        ),
        (
            [tool("listBots", description="List of bots")],
            tool("talk", "botname", description="Talk"),
            "botname",
        ),
        (
            [tool("list_logstores", description="列出日志库")],
            tool("describe_logstore", "log_store", description="获取结构"),
            "log_store",
        ),
    ],
)
def test_a_parameter_without_a_rule_has_its_likeliest_source(sources, target, expected):
    edge = found(*sources, target)[sources[0]["name"], expected]
    assert "likeliest source" in edge.evidence
    assert 0.3 < edge.confidence < 0.6


@pytest.mark.parametrize(
    ("sources", "target"),
    [
        ([CITIES], tool("getStateDetails", "ufId", description="Details of a state")),
        ([NODES], tool("get_node_info", "api_key", description="Technical schema of a node")),
        ([NODES], tool("search_nodes", "query", description="Search nodes")),
        ([NODES], tool("create_node", "node_name", description="Create a new node")),
        ([NODES], tool("get_node_info", optional=("nodeType",), description="Schema of a node")),
        (
            [NODES],
            tool("get_node_info", "nodeType", description="A node", nodeType={"enum": ["trigger", "action"]}),
        ),
        ([tool("delete_node", description="Delete a node")], tool("get_node_info", "nodeType")),
        ([tool("get_node_docs", "nodeType")], tool("get_node_info", "nodeType", description="A node")),
        ([tool("list_files", description="List files")], tool("write_file", "filename", description="Write")),
        (
            [tool("get_vm", "vm_name", description="A vm")],
            tool("create_vm", "image_name", description="New vm"),
        ),
        ([tool("list_papers", description="List papers")], tool("download_paper", "output_path")),
    ],
)
def test_no_source_is_likely(sources, target):
    assert not found(*sources, target)


def test_what_a_rule_finds_keeps_its_rule_and_comes_first():
    edges = found(tool("list_users", description="List users"), tool("get_user", "user_id"))
    assert "likeliest" not in edges["list_users", "user_id"].evidence
    assert edges["list_users", "user_id"].confidence >= 0.6


def test_what_another_record_holds_is_no_source():
    comment = {"type": "array", "items": {"type": "object", "properties": {"id": {"type": "integer"}}}}

    def lists(holder):
        path = f"/{holder}s/{{id}}/comments"
        return {**tool(f"get_{holder}_comments", "id", path=path), "outputSchema": comment}

    target = tool("get_album_comment", "id", "commentId", path="/albums/{id}/comments/{commentId}")
    edges = found(lists("artist"), lists("album"), target)
    assert ("get_album_comments", "commentId") in edges
    assert ("get_artist_comments", "commentId") not in edges


def test_the_order_of_the_tools_makes_no_difference():
    tools = [NODES, STATES, CITIES, tool("getStateDetails", "ufId"), tool("get_node_info", "nodeType")]
    expected = found(*tools)
    assert expected
    for seed in range(5):
        random.Random(seed).shuffle(tools)
        assert found(*tools) == expected
