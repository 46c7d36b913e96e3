"""Wild tools through the registry's door: pseudo-tools and lost arguments rejected, others recovered."""

from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator

from schemas.catalog import ImportServer, ServerImported, ServerRejected, ToolSpec
from services.cluster_registry.normalize import normalize

UNKNOWN = {"type": "object"}
"""What a scraped catalog has in place of a schema."""
NONE = {"type": "object", "properties": {}}
FURNITURE = "Deploy Server Orders Claim Server @me/orders Try in Playground"


def tool(name: str, description: str, schema=UNKNOWN):
    return {"name": name, "description": description, "inputSchema": schema}


def cleaned(*tools):
    return normalize(ImportServer(server_id="s", server={"name": "s", "tools": list(tools)}))


def scraped(one):
    """What becomes of a tool among others whose schemas were lost: the tool, or why it was rejected."""
    event = cleaned(one, tool("list_all", "List all orders"), tool("list_more", "List all customers"))
    assert isinstance(event, ServerImported)
    dropped = [entry.reason for entry in event.dropped]
    return dropped[0] if dropped else event.server.tools[0]


def recovered(description: str) -> ToolSpec:
    found = scraped(tool("do_it", description))
    assert isinstance(found, ToolSpec)
    Draft202012Validator.check_schema(found.input_schema)
    return found


@pytest.mark.parametrize(
    "one",
    [
        tool("Optional Settings", "Access and manage servers by signing in."),
        tool("update_page", "Description not available"),
        tool("update_page", "No description."),
        tool("update_page", FURNITURE),
        tool("update_page", f"{FURNITURE} update_page"),
        tool("update_page", "Deploy Server Orders @me/orders update_page"),
    ],
)
def test_pseudo_tools_are_rejected(one):
    assert scraped(one).startswith("pseudo_tool: ")


def test_a_server_of_pseudo_tools_alone_is_rejected():
    event = cleaned(tool("a", "Description not available"), tool("b", FURNITURE))
    assert isinstance(event, ServerRejected)
    assert event.reason.startswith("no_usable_tools: none of 2")
    assert "pseudo_tool" in event.reason


def test_what_has_parameters_is_no_pseudo_tool_and_loses_the_boilerplate():
    schema = {"type": "object", "properties": {"id": {"type": "string"}}}
    event = cleaned(tool("update_page", f"{FURNITURE} update_page", schema), tool("b", "n/a", schema))
    assert isinstance(event, ServerImported)
    assert [one.description for one in event.server.tools] == ["", ""]
    assert any(note.startswith("boilerplate: update_page") for note in event.notes)


@pytest.mark.parametrize(
    "one",
    [
        tool("get_issue", "Get details of a specific issue in a GitHub repository."),
        tool("create_comment", "Create a new comment on an issue"),
        tool("list_tables", "List all tables in a specific database and schema"),
        tool("search_pages", "Search for pages and databases by title"),
        tool("delete_list", "PERMANENTLY deletes a list and all its tasks."),
        tool("list_by_owner", "List all documents"),
        tool("send", ""),
    ],
)
def test_where_all_schemas_were_lost_a_tool_that_needs_arguments_is_rejected(one):
    assert scraped(one).startswith("arguments_unknown: ")


@pytest.mark.parametrize(
    "one",
    [
        tool("list_projects", "List all projects."),
        tool("linear_getTeams", "Get all teams from Linear"),
        tool("ping", "Whether the service answers"),
        tool("get_current_user", "Get the current user."),
    ],
)
def test_where_all_schemas_were_lost_a_tool_that_reads_as_taking_nothing_stays(one):
    assert isinstance(scraped(one), ToolSpec)


def test_where_one_schema_speaks_the_others_are_believed():
    event = cleaned(tool("get_issue", "Get an issue"), tool("a", "x", NONE), tool("b", "Send it"))
    assert isinstance(event, ServerImported)
    assert len(event.server.tools) == 3
    event = cleaned(tool("get_issue", "Get an issue"), tool("b", "Send it"))
    assert isinstance(event, ServerImported), "two tools say too little to call their schemas lost"


def test_an_operation_with_a_path_is_always_one():
    route = {"annotations": {"method": "POST", "path": "/refresh"}}
    event = cleaned(*({**tool(f"op{n}", ""), **route} for n in range(3)))
    assert isinstance(event, ServerImported)
    assert len(event.server.tools) == 3


LINES = """Update a test run.

    Args:
        run_id (int): The ID of the run
        name: The name of the run (optional)
            or of its plan
        ctx: The MCP server context.
        include_all: Whether to include all cases (default: true)
        case_ids (List[int], optional): Cases

    Returns:
        dict: The run
"""
RUNNING = (
    "Place an order. Args: symbol: Stock symbol (e.g., 'AAPL') side: Either 'buy' or 'sell' "
    "quantity (float): How many time_in_force: Order duration - 'day', 'gtc' (default 'day') "
    "limit: Maximum (default 20) Note: costs money. Returns: Order details"
)


def test_arguments_documented_in_lines_are_recovered_and_marked():
    found = recovered(LINES)
    assert found.description.startswith("Update a test run.")
    assert "run_id" not in found.description
    assert "The run" in found.description
    assert found.input_schema == {
        "type": "object",
        "$comment": "recovered from the description",
        "properties": {
            "run_id": {"type": "integer", "description": "The ID of the run"},
            "name": {"type": "string", "description": "The name of the run (optional) or of its plan"},
            "include_all": {
                "type": "boolean",
                "description": "Whether to include all cases (default: true)",
                "default": True,
            },
            "case_ids": {"type": "array", "description": "Cases", "items": {"type": "integer"}},
        },
        "required": ["run_id"],
    }


def test_arguments_run_together_into_one_line_are_recovered():
    found = recovered(RUNNING)
    properties = found.input_schema["properties"]
    assert list(properties) == ["symbol", "side", "quantity", "time_in_force", "limit"]
    assert properties["side"]["enum"] == ["buy", "sell"]
    assert properties["quantity"]["type"] == "number"
    assert (properties["time_in_force"]["enum"], properties["time_in_force"]["default"]) == (
        ["day", "gtc"],
        "day",
    )
    assert (properties["limit"]["type"], properties["limit"]["default"]) == ("integer", 20)
    assert found.input_schema["required"] == ["symbol", "side", "quantity"]


@pytest.mark.parametrize(
    ("description", "names"),
    [
        (
            "Do it :param company_name: The company :param int limit: How many :return: all",
            ["company_name", "limit"],
        ),
        (
            "Data of people. Request Parameters: - urn: A URN (paramType: STRING, required) - token: x",
            ["urn", "token"],
        ),
        (
            "Get it. Parameters: videoId (required) - The ID; language (optional) - Its code.",
            ["videoId", "language"],
        ),
        ("搜索笔记\n\n    Args:\n        keywords: 搜索关键词", ["keywords"]),
        ("List. Args: kind: Type - ec: Executive - pm: Presidential number: Its number", ["kind", "number"]),
        ("Search. Args: gl: Country code. See Google countries: https://x.test/c hl: Language", ["gl", "hl"]),
        ("Args:\n        table: The table", ["table"]),
        ("Set. Args: - name: str: Its name - port: int: Its port", ["name", "port"]),
    ],
)
def test_the_habits_of_docstrings_are_read(description, names):
    assert list(recovered(description).input_schema["properties"]) == names


def test_a_type_between_name_and_text_is_read():
    found = recovered("Set. Args: - name: str: Its name - port: int: Its port")
    assert found.input_schema["properties"]["port"] == {"type": "integer", "description": "Its port"}


def test_a_section_that_names_only_the_servers_own_context_says_that_nothing_is_taken():
    found = recovered("Get the formats.\n\n    Args:\n        ctx: Context for logging.\n")
    assert found.input_schema["properties"] == {}


@pytest.mark.parametrize(
    "description",
    [
        "Set parameters: they change how all trading works",
        "Input: The hostname (e.g., 'server.test').",
        "Args: params: Search parameters including name and query",
        "Needs care. Note: slow. Example: do_it(5)",
    ],
)
def test_prose_is_not_taken_for_arguments(description):
    assert scraped(tool("do_it", description)).startswith("arguments_unknown: ")


def test_declared_parameters_are_not_touched_by_the_description():
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    event = cleaned(tool("t", "Do it. Args: b: another", schema))
    assert isinstance(event, ServerImported)
    assert event.server.tools[0].input_schema == schema


def test_properties_that_hold_the_whole_schema_are_mended():
    inner = {"type": "object", "properties": {"gem": {"type": "string"}}, "required": ["gem"]}
    event = cleaned(tool("t", "x", {"type": "object", "properties": inner}))
    assert isinstance(event, ServerImported)
    assert event.server.tools[0].input_schema == inner
    assert event.notes[0].startswith("mended: t: ")


def test_notes_begin_with_a_code_that_can_be_counted():
    event = cleaned(tool("two words", LINES), tool("two words", LINES), tool("list_all", "List all"))
    assert isinstance(event, ServerImported)
    codes = [note.partition(":")[0] for note in event.notes]
    assert sorted(codes) == ["listed_twice", "recovered", "renamed"]


@pytest.mark.parametrize("size", [10_000, 200_000])
def test_a_description_made_to_be_slow_is_not(size):
    import time

    begun = time.process_time()
    for text in (
        "Args: " + "a " * size,
        "Args:" + "\n a: b" * size,
        "Args: " + "a(" * size,
        "Deploy Server" + " @a/b" * size,
    ):
        cleaned(tool("t", text), tool("u", "x", NONE))
    assert time.process_time() - begun < 5
