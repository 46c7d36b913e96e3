"""Dependency edges through their doors: small catalogs, the registry's catalog_edges, ``tds edges``."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys

import pytest

from schemas.catalog import ImportServer
from services.cluster_registry.catalog_edges import catalog_edges
from services.console.cli import main

TEXT = {"type": "string"}


def tool(name, description="", *required, said=None, optional=(), output=None, path="", method="GET"):
    said = said or {}
    names = [*required, *optional]
    made = {
        "name": name,
        "description": description,
        "inputSchema": {
            "type": "object",
            "properties": {one: {**TEXT, "description": said.get(one, "")} for one in names},
            "required": list(required),
        },
    }
    if output:
        made["outputSchema"] = output
    if path:
        made["annotations"] = {"method": method, "path": path}
    return made


def server(name, *tools):
    return ImportServer(server_id=name, server={"id": name, "tools": list(tools)})


def found(*tools):
    edges, _ = catalog_edges([server("s", *tools)])
    return {(edge.tool_a, edge.tool_b, edge.parameter): edge for edge in edges}


def rows(**fields):
    return {"type": "array", "items": {"type": "object", "properties": fields}}


TRUE = {
    "a list without a word of description": (
        tool("list_projects", "Deploy Server Orders Claim Server @me/orders Try in Playground"),
        tool("get_project", "", "project_id"),
        "project_id",
    ),
    "a label to be added": (
        tool("list_labels"),
        tool("modify_message", "", "message_id", optional=("addLabelIds",)),
        "addLabelIds",
    ),
    "a ranking of them": (tool("get_driver_standings"), tool("driver_info", "", "driverId"), "driverId"),
    "what a task is added to": (
        tool("create_project", "Create a new project"),
        tool("add_tasks_to_project", "Add tasks to a project", "projectId"),
        "projectId",
    ),
    "a plain search": (tool("search", "Search it", "q"), tool("get_issue", "", "issue_id"), "issue_id"),
    "a record under its name alone": (
        tool("cards", "", output=rows(holder=TEXT, id=TEXT), path="/cards"),
        tool("holder", "", "holder", path="/holders/{holder}"),
        "holder",
    ),
    "a field's description": (
        tool("runs", "", output=rows(id={**TEXT, "description": "batch ID"}), path="/runs"),
        tool("status", "", "id", said={"id": "batch ID"}, path="/batch/info"),
        "id",
    ),
    "a route named as the source": (
        tool("shoot", "", path="/shots/create", method="POST", output=rows(at=TEXT)),
        tool("look", "", "n", said={"n": "The number received from /api/v1/shots/create"}, path="/look"),
        "n",
    ),
    "a file's id": (
        tool("sites", "", output=rows(file_id=TEXT), path="/sites"),
        tool("file", "", "file_id", path="/files/{file_id}"),
        "file_id",
    ),
    "a list by its name": (tool("list_issues"), tool("get_issue", "", "issue_id"), "issue_id"),
    "a list by its description": (
        tool("verses", "Get list of all verses"),
        tool("verse_info", "Get one", "verse_id"),
        "verse_id",
    ),
    "a creation": (tool("create_prompt"), tool("delete_prompt", "", "promptId"), "promptId"),
    "an act that starts something": (
        tool("run_project", "Run it"),
        tool("run_status", "", "run_id"),
        "run_id",
    ),
    "part of a result": (
        tool("get_space", "Retrieves details of a space including its channels"),
        tool("read_channel", "", "channel_id"),
        "channel_id",
    ),
    "the parameter's own description": (
        tool("list_chats"),
        tool("read", "", "target", said={"target": "The JID of the chat to read"}),
        "target",
    ),
    "a description in the tool's": (
        tool("search_player", "Search for players by name"),
        tool("get_wins", "Wins. Args: account_id: The player's Steam ID limit: How many", "account_id"),
        "account_id",
    ),
    "a tool named as the source": (
        tool("resolve-library"),
        tool("get-docs", "", "handle", said={"handle": "Retrieved from resolve-library first"}),
        "handle",
    ),
    "a short form": (tool("list_pull_requests"), tool("get_diff", "", "prId"), "prId"),
    "the bare name of what is listed": (
        tool("list-databases", "List all databases"),
        tool("find", "Run a query", "database"),
        "database",
    ),
    "a name by which records are told": (
        tool("list_sheets"),
        tool("read_range", "", "sheet_name"),
        "sheet_name",
    ),
    "a title": (
        tool("search_wiki", "Search the wiki for articles"),
        tool("get_summary", "Get a summary of an article", "title"),
        "title",
    ),
    "the address of something": (tool("getTopPools"), tool("getPool", "", "poolAddress"), "poolAddress"),
    "an id or a key": (tool("list_projects"), tool("get_project", "", "projectIdOrKey"), "projectIdOrKey"),
    "a value that means the same everywhere": (
        tool("web_search", "Search the web"),
        tool("read", "Extract the content of a web page", "url"),
        "url",
    ),
    "the service's name before all": (
        [tool("acme_list_notes"), tool("acme_ping"), tool("acme_login")],
        tool("acme_get_note", "", "noteId"),
        "noteId",
    ),
    "the route alone": (
        tool("ListBots", path="/bots", output=rows(code=TEXT)),
        tool("TalkToBot", "", "botref", path="/bots/{botref}", method="DELETE"),
        "botref",
    ),
    "a number written as text": (
        tool("ListJobs", path="/jobs", output=rows(id={"type": "integer"})),
        tool("GetJob", "", "job_id", path="/jobs/{job_id}"),
        "job_id",
    ),
    "people under other names": (
        tool("GetPage", "", "page_id", path="/pages/{page_id}", output={
            "type": "object",
            "properties": {"created_by": {"type": "object", "properties": {"id": TEXT}}},
        }),
        tool("GetUser", "", "user_id", path="/users/{user_id}"),
        "user_id",
    ),
    "children of the same kind": (
        tool("Children", "", "id", path="/blocks/{id}/children", output=rows(id=TEXT)),
        tool("DeleteBlock", "", "id", path="/blocks/{id}", method="DELETE"),
        "id",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TRUE)
def test_an_edge_is_found_by(case):
    sources, target, parameter = TRUE[case]
    sources = sources if isinstance(sources, list) else [sources]
    edges = found(*sources, target)
    edge = edges.get((sources[0]["name"], target["name"], parameter))
    assert edge is not None, edges
    assert 0.6 <= edge.confidence < 1
    assert sources[0]["name"] in edge.evidence


FALSE = {
    "an echo of what was given": (
        tool("get_order", "Get an order", "order_id"),
        tool("ship", "", "order_id"),
    ),
    "an echo of several given": (
        tool("get_orders_batch", "Get details for multiple orders", "order_ids"),
        tool("ship", "", "order_id"),
    ),
    "the wrong direction": (tool("delete_order", "Delete an order"), tool("get_order", "", "order_id")),
    "another entity": (tool("list_users", "List users"), tool("get_order", "", "order_id")),
    "another kind of package": (
        [tool("search-cargo-packages"), tool("search-npm-packages")],
        tool("get-npm-package", "", "package_name"),
    ),
    "a text that is written": (tool("list_messages"), tool("send", "Send it", "message")),
    "a name of something new": (tool("list_labels"), tool("create_label", "", "label_name")),
    "the title of something new": (
        tool("list_memories"),
        tool("remember", "Store a new memory", "title", said={"title": "A concise title for the memory"}),
    ),
    "a shared query": (tool("search_users", "", "query"), tool("search_orders", "", "query")),
    "a shared limit": (tool("list_users", "", optional=["limit"]), tool("list_orders", "", "limit")),
    "a tool named for comparison": (
        tool("get_node_info", "Info", "nodeType"),
        tool("get_node_docs", "", "nodeType", said={"nodeType": "Same as get_node_info takes"}),
    ),
    "what is added to something else": (
        tool("AddLabel", "", "id", path="/posts/{id}/labels", method="POST", optional=["labelID"],
             output={"type": "object", "properties": {"labelID": TEXT}}),
        tool("GetLabel", "", "labelID", path="/tags/{labelID}"),
    ),
    "an ARN of something else": (
        tool("ListChannels", output={"type": "object", "properties": {"channels": rows(arn=TEXT)}}),
        tool("GetRecording", "", "arn", output=rows(size=TEXT)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FALSE)
def test_no_edge_is_made_of(case):
    sources, target = FALSE[case]
    sources = sources if isinstance(sources, list) else [sources]
    assert (sources[0]["name"], target["name"]) not in {
        (one, other) for one, other, _ in found(*sources, target)
    }


def test_numbers_written_as_text_join_no_cluster():
    from services.cluster_registry.formation import server_clusters

    lists = {"server": "s", "name": "list_jobs", "method": "GET", "path": "/jobs",
             "output_schema": rows(id={"type": "integer"})}  # fmt: skip
    gets = {"server": "s", "name": "get_job", "method": "GET", "path": "/jobs/{job_id}",
            "input_schema": {"properties": {"job_id": TEXT}, "required": ["job_id"]}}  # fmt: skip
    clusters, edges = server_clusters({"id": "s", "tools": [lists, gets]}, ("x",), 2, 4)
    assert (edges, [cluster.edges for cluster in clusters]) == (0, [()])


# --- across servers ------------------------------------------------------------------------------------

SEARCH = tool("web_search", "Search the web for pages", "query")
FETCH = tool("fetch", "Fetch a web page as markdown", "url")
GEOCODE = tool("geocode", "Geocode an address", "address")
WEATHER = tool("forecast", "Weather forecast", "latitude", "longitude")


def test_values_that_mean_the_same_everywhere_join_servers():
    edges, _ = catalog_edges([server("a", SEARCH, GEOCODE), server("b", FETCH, WEATHER)])
    assert {(edge.server_a, edge.tool_a, edge.server_b, edge.tool_b, edge.parameter) for edge in edges} == {
        ("a", "web_search", "b", "fetch", "url"),
        ("a", "geocode", "b", "forecast", "latitude"),
        ("a", "geocode", "b", "forecast", "longitude"),
    }
    assert catalog_edges([server("a", SEARCH), server("b", FETCH)], within_only=True)[0] == []


def test_ids_join_no_servers():
    lists, gets = tool("list_orders", "List orders"), tool("get_order", "", "order_id")
    assert catalog_edges([server("a", lists), server("b", gets)])[0] == []


@pytest.mark.parametrize("text", ["a callback URL", "URL of the image", "webhook to call"])
def test_a_url_of_something_else_is_no_page(text):
    other = tool("hook", f"Fetch {text}", "url", said={"url": text})
    assert catalog_edges([server("a", SEARCH), server("b", other)])[0] == []


def test_a_parameter_has_few_partners_one_of_a_server():
    many = [
        server(f"s{number:02}", SEARCH, tool("news_search", "Search the web for news"))
        for number in range(40)
    ]
    edges, _ = catalog_edges([*many, server("z", FETCH)])
    partners = [edge.server_a for edge in edges if edge.server_b == "z"]
    assert len(partners) == len(set(partners)) == 12


# --- the command ---------------------------------------------------------------------------------------


def dump(path, servers, order=None):
    lines = [json.dumps({"id": one.server_id, **one.server}) for one in servers]
    if order is not None:
        random.Random(order).shuffle(lines)
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


CATALOG = [
    server("shop", tool("list orders", "List orders"), tool("get_order", "", "order_id")),
    server("web", SEARCH),
    server("reader", FETCH, tool("list_pages", "List pages"), tool("get_page", "", "page_id")),
]


def printed(capsys, *arguments):
    code = main(["edges", *map(str, arguments)])
    said = capsys.readouterr()
    return code, [json.loads(line) for line in said.out.splitlines()], said.err


def test_the_command_prints_edges_with_the_catalogs_own_names(tmp_path, capsys):
    code, edges, complaints = printed(capsys, dump(tmp_path / "c.jsonl", CATALOG))
    assert (code, complaints) == (0, "")
    assert list(edges[0]) == [
        "server_a", "tool_a", "server_b", "tool_b", "parameter", "confidence", "evidence",
    ]  # fmt: skip
    assert [(edge["server_a"], edge["tool_a"], edge["tool_b"]) for edge in edges] == [
        ("web", "web_search", "fetch"),
        ("reader", "list_pages", "get_page"),
        ("shop", "list orders", "get_order"),
    ]


def test_the_command_chooses(tmp_path, capsys):
    path = dump(tmp_path / "c.jsonl", CATALOG)
    shop = printed(capsys, path, "--server", "shop")[1]
    assert [edge["server_b"] for edge in shop] == ["shop"]
    both = printed(capsys, path, "--server", "shop", "--server", "web")[1]
    assert [edge["server_a"] for edge in both] == ["web", "shop"]
    assert [edge["tool_b"] for edge in printed(capsys, path, "--across")[1]] == ["fetch"]
    assert [edge["tool_b"] for edge in printed(capsys, path, "--within-only")[1]] == ["get_page", "get_order"]
    sure = printed(capsys, path, "--min-confidence", "0.8")[1]
    assert sure
    assert all(edge["confidence"] >= 0.8 for edge in sure)


def test_the_command_tells_bad_entries_by_line_and_goes_on(tmp_path, capsys):
    path = dump(tmp_path / "c.jsonl", [*CATALOG, server("empty")])
    path.write_text("{oops\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    code, edges, complaints = printed(capsys, path)
    assert (code, len(edges)) == (0, 3)
    assert "c.jsonl:1: not JSON" in complaints
    assert "c.jsonl:5: no_tools" in complaints


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--across", "--within-only"], "--across and --within-only leave nothing"),
        (["--server", "nobody"], "--server nobody: the catalog has no server of this id"),
        (["--min-confidence", "2"], "--min-confidence"),
    ],
)
def test_the_command_refuses_what_makes_no_sense(tmp_path, capsys, arguments, says):
    code, edges, complaints = printed(capsys, dump(tmp_path / "c.jsonl", CATALOG), *arguments)
    assert (code, edges) == (2, [])
    assert says in complaints


def test_a_catalog_that_is_not_there(tmp_path, capsys):
    code, edges, complaints = printed(capsys, tmp_path / "none.jsonl")
    assert (code, edges) == (2, [])
    assert "none.jsonl" in complaints


def test_the_built_in_catalog_has_edges_of_its_own(capsys):
    code, edges, _ = printed(capsys)
    assert code == 0
    assert any(edge["tool_a"] == "list_calendars" for edge in edges)


@pytest.mark.slow
def test_order_and_hash_seed_make_no_difference(tmp_path):
    program = "import sys; from services.console.cli import main; sys.exit(main(sys.argv[1:]))"
    wide = [*CATALOG, *(server(f"w{number}", SEARCH, FETCH, GEOCODE, WEATHER) for number in range(20))]
    said = set()
    for seed in ("1", "2"):
        path = dump(tmp_path / f"{seed}.jsonl", wide, order=int(seed))
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", program, "edges", str(path)],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
        )
        said.add(done.stdout)
    assert len(said) == 1
    assert len(said.pop().splitlines()) > 100
