"""A server as it was found, made into one whose tools a model API can take; or the reason why not."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from schemas.catalog import (
    DroppedTool,
    ImportServer,
    Json,
    ServerImported,
    ServerRejected,
    ServerSpec,
    ToolSpec,
)
from services.cluster_registry.labels import labelled_domains
from services.cluster_registry.text import NAME_LENGTH, UNWANTED, clean, valid_name
from services.cluster_registry.tool_schema import InvalidSchema, input_schema, output_schema

DESCRIPTION_LENGTH: Final = 1024
ID_LENGTH: Final = 256
MAX_TOOLS: Final = 512
MAX_SERVER_BYTES: Final = 3_500_000
"""A ServerImported event must fit its topic's 4 MiB."""
MAX_NOTES: Final = 50

VALID: Final = re.compile(rf"[a-zA-Z0-9_-]{{1,{NAME_LENGTH}}}\Z")
# A hosting site's page furniture, found in place of descriptions in scraped catalogs.
BOILERPLATE: Final = re.compile(r"^Deploy Server\b.*\bTry in Playground\b\s*\S*\s*", re.DOTALL)
NO_DESCRIPTION: Final = frozenset({"description not available", "no description", "n/a", "todo", "none"})


def normalize(command: ImportServer) -> ServerImported | ServerRejected:
    """What becomes of an import: the server with its usable tools, or a rejection.

    Reasons begin with a code that can be counted, then a colon and the particulars.
    """

    def rejected(reason: str) -> ServerRejected:
        return ServerRejected(server_id=command.server_id, reason=reason, origin=command.origin)

    raw = command.server
    if not command.server_id or len(command.server_id) > ID_LENGTH or UNWANTED.search(command.server_id):
        return rejected(f"bad_id: a server's id has 1 to {ID_LENGTH} printable characters; give it another")
    found = raw.get("tools")
    if not isinstance(found, list):
        what = "has no list" if found is None else f"is {type(found).__name__}, not a list"
        return rejected(f"no_tools: `tools` {what}; give what the server answers to tools/list")
    if not found:
        return rejected("no_tools: `tools` is empty; there is nothing to use")
    tools, dropped, notes = _tools(command.server_id, found)
    if not tools:
        first = dropped[0]
        return rejected(
            f"no_usable_tools: none of {len(dropped)} is usable; the first, {first.name!r}: {first.reason}"
        )
    server = ServerSpec(
        id=command.server_id,
        name=clean(raw.get("name") or raw.get("server"), 200),
        description=clean(raw.get("description"), DESCRIPTION_LENGTH),
        domains=labelled_domains(raw),
        tools=tuple(tools),
    )
    if len(notes) > MAX_NOTES:
        notes = [*notes[:MAX_NOTES], f"and {len(notes) - MAX_NOTES} more notes"]
    return ServerImported(server=server, dropped=tuple(dropped), notes=tuple(notes), origin=command.origin)


def _tools(server_id: str, found: list[Any]) -> tuple[list[ToolSpec], list[DroppedTool], list[str]]:
    tools: list[ToolSpec] = []
    dropped: list[DroppedTool] = []
    notes: list[str] = []
    kept: dict[str, list[Json]] = {}
    # Names that are valid as they stand are theirs; only the others give way.
    reserved = {name for name in map(_name, found) if name and VALID.match(name)}
    taken: set[str] = set()
    size_bytes = 0
    for number, raw in enumerate(found, start=1):
        name = _name(raw)
        shown = clean(name, 128) or f"#{number}"
        if not isinstance(raw, dict) or not name:
            reason = "no_name: a tool is an object with a name" if isinstance(raw, dict) else "not_an_object"
            dropped.append(DroppedTool(name=shown, reason=reason))
            continue
        if raw in kept.get(name, ()):
            notes.append(f"{shown}: listed twice with the same definition; kept once")
            continue
        try:
            tool, tool_notes = _tool(server_id, raw, name)
        except InvalidSchema as error:
            dropped.append(DroppedTool(name=shown, reason=f"invalid_schema: {clean(str(error), 300)}"))
            continue
        tool_bytes = len(tool.model_dump_json())
        if len(tools) >= MAX_TOOLS or size_bytes + tool_bytes > MAX_SERVER_BYTES:
            limit = f"{MAX_TOOLS} tools" if len(tools) >= MAX_TOOLS else f"{MAX_SERVER_BYTES} bytes"
            dropped.append(DroppedTool(name=shown, reason=f"too_many: a server has at most {limit}"))
            continue
        size_bytes += tool_bytes
        own = VALID.match(name) is not None and name not in taken
        unique = name if own else valid_name(name, taken | reserved)
        if unique != name:
            tool = tool.model_copy(update={"name": unique, "original_name": clean(name, 256)})
            why = "a second tool of this name" if VALID.match(name) else "not a name that model APIs take"
            notes.append(f"{shown}: renamed to {unique}; {why}")
        taken.add(unique)
        kept.setdefault(name, []).append(raw)
        tools.append(tool)
        notes.extend(f"{unique}: {note}" for note in tool_notes)
    return tools, dropped, notes


def _tool(server_id: str, raw: Json, name: str) -> tuple[ToolSpec, list[str]]:
    body = _function(raw)
    arguments = next(
        (body[key] for key in ("inputSchema", "input_schema", "parameters") if key in body), None
    )
    schema, notes = input_schema(arguments)
    result = next((body[key] for key in ("outputSchema", "output_schema") if key in body), None)
    output: Json | None = None
    remarks = list(notes)
    if result is not None:
        try:
            output, output_notes = output_schema(result)
            remarks.extend(f"output: {note}" for note in output_notes)
        except InvalidSchema as error:
            remarks.append(f"output schema left out: {clean(str(error), 200)}")
    method, path = _route(raw.get("annotations"))
    return ToolSpec(
        server=server_id,
        name=name,
        description=_description(body.get("description")),
        input_schema=schema,
        output_schema=output or None,
        method=method,
        path=path,
    ), remarks


def _function(raw: Json) -> Json:
    """The definition itself, where it stands inside OpenAI's ``{"type": "function", "function": …}``."""
    inner = raw.get("function")
    return inner if isinstance(inner, dict) and "name" not in raw else raw


def _name(raw: object) -> str:
    name = _function(raw).get("name") if isinstance(raw, dict) else None
    return name if isinstance(name, str) else ""


def _description(text: object) -> str:
    cleaned = clean(text, DESCRIPTION_LENGTH)
    cleaned = BOILERPLATE.sub("", cleaned).strip()
    return "" if cleaned.lower().rstrip(".") in NO_DESCRIPTION else cleaned


def _route(annotations: object) -> tuple[str, str]:
    """HTTP method and path of a tool's annotations.

    MCP's ``readOnlyHint`` makes the method GET when nothing else says what it is: a tool that changes
    nothing, in the terms that the rest of the program already has.
    """
    if not isinstance(annotations, dict):
        return "", ""
    method, path = annotations.get("method"), annotations.get("path")
    verb = method.upper() if isinstance(method, str) and re.fullmatch(r"[A-Za-z]{3,8}", method) else ""
    if not verb and annotations.get("readOnlyHint") is True:
        verb = "GET"
    return verb, clean(path, 512)


def canonical(value: object) -> str:
    """The one JSON text of a value: keys sorted, no spaces."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
