"""A server as it was found, made into one whose tools a model API can take; or the reason why not."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field
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
from services.cluster_registry.documented import RECOVERED, documented
from services.cluster_registry.labels import labelled_domains
from services.cluster_registry.text import NAME_LENGTH, UNWANTED, clean, valid_name
from services.cluster_registry.tool_schema import InvalidSchema, input_schema, output_schema
from services.cluster_registry.usable import (
    BOILERPLATE,
    FEW,
    FURNITURE,
    is_placeholder,
    lists_all,
    takes_nothing,
)

DESCRIPTION_LENGTH: Final = 1024
ID_LENGTH: Final = 256
MAX_TOOLS: Final = 512
MAX_SERVER_BYTES: Final = 3_500_000
"""A ServerImported event must fit its topic's 4 MiB."""
MAX_NOTES: Final = 50

VALID: Final = re.compile(rf"[a-zA-Z0-9_-]{{1,{NAME_LENGTH}}}\Z")


@dataclass(slots=True)
class Cleaning:
    """What becomes of an import, and all that was done to it.

    ``counts`` are of tools, per code: rejected ones (the codes of ``dropped``), those with ``boilerplate``
    (rejected or not), and ``renamed``, ``recovered``, ``mended`` and ``listed_twice`` ones.
    """

    event: ServerImported | ServerRejected
    counts: Counter[str]


@dataclass(slots=True)
class _Findings:
    """The tools of one server, as they are gone through. Notes begin with a code that can be counted."""

    tools: list[ToolSpec] = field(default_factory=list)
    dropped: list[DroppedTool] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def drop(self, shown: str, reason: str) -> None:
        self.dropped.append(DroppedTool(name=shown, reason=reason))
        self.counts[code(reason)] += 1

    def note(self, kind: str, texts: list[str]) -> None:
        """Of one tool: counted once."""
        self.counts[kind] += bool(texts)
        self.notes.extend(f"{kind}: {text}" for text in texts)


@dataclass(slots=True)
class _Made:
    """A tool, and what was done to it, in words, per code."""

    tool: ToolSpec
    notes: dict[str, list[str]]


def normalize(command: ImportServer) -> ServerImported | ServerRejected:
    """What becomes of an import: the server with its usable tools, or a rejection.

    Reasons and notes begin with a code that can be counted, then a colon and the particulars.
    """
    return cleaning(command).event


def code(reason: str) -> str:
    """The part of a reason or note that can be counted."""
    return reason.partition(":")[0].strip()


def cleaning(command: ImportServer) -> Cleaning:
    """What becomes of an import, with counts of all that was done."""

    def rejected(reason: str, counts: Counter[str] | None = None) -> Cleaning:
        event = ServerRejected(server_id=command.server_id, reason=reason, origin=command.origin)
        return Cleaning(event, counts or Counter())

    raw = command.server
    if not command.server_id or len(command.server_id) > ID_LENGTH or UNWANTED.search(command.server_id):
        return rejected(f"bad_id: a server's id has 1 to {ID_LENGTH} printable characters; give it another")
    found = raw.get("tools")
    if not isinstance(found, list):
        what = "has no list" if found is None else f"is {type(found).__name__}, not a list"
        return rejected(f"no_tools: `tools` {what}; give what the server answers to tools/list")
    if not found:
        return rejected("no_tools: `tools` is empty; there is nothing to use")
    findings = _tools(command.server_id, found)
    if not findings.tools:
        first = findings.dropped[0]
        many = len(findings.dropped)
        reason = f"no_usable_tools: none of {many} is usable; the first, {first.name!r}: {first.reason}"
        return rejected(reason, findings.counts)
    server = ServerSpec(
        id=command.server_id,
        name=clean(raw.get("name") or raw.get("server"), 200),
        description=clean(raw.get("description"), DESCRIPTION_LENGTH),
        domains=labelled_domains(raw),
        tools=tuple(findings.tools),
    )
    notes = findings.notes
    if len(notes) > MAX_NOTES:
        notes = [*notes[:MAX_NOTES], f"and {len(notes) - MAX_NOTES} more notes"]
    event = ServerImported(
        server=server, dropped=tuple(findings.dropped), notes=tuple(notes), origin=command.origin
    )
    return Cleaning(event, findings.counts)


def _tools(server_id: str, found: list[Any]) -> _Findings:
    findings = _Findings()
    kept: dict[str, list[Json]] = {}
    # Names that are valid as they stand are theirs; only the others give way.
    reserved = {name for name in map(_name, found) if name and VALID.match(name)}
    taken: set[str] = set()
    lost = _schemas_lost(found)
    size_bytes = 0
    for number, raw in enumerate(found, start=1):
        name = _name(raw)
        shown = clean(name, 128) or f"#{number}"
        if not isinstance(raw, dict) or not name:
            reason = "no_name: a tool is an object with a name" if isinstance(raw, dict) else "not_an_object"
            findings.drop(shown, reason)
            continue
        if raw in kept.get(name, ()):
            findings.note("listed_twice", [f"{shown}: listed twice with the same definition; kept once"])
            continue
        try:
            made = _tool(server_id, raw, name)
        except InvalidSchema as error:
            findings.drop(shown, f"invalid_schema: {clean(str(error), 300)}")
            continue
        unusable = _unusable(made.tool, raw, name, lost=lost)
        if unusable:
            findings.counts["boilerplate"] += "boilerplate" in made.notes
            findings.drop(shown, unusable)
            continue
        tool = made.tool
        tool_bytes = len(tool.model_dump_json())
        if len(findings.tools) >= MAX_TOOLS or size_bytes + tool_bytes > MAX_SERVER_BYTES:
            limit = f"{MAX_TOOLS} tools" if len(findings.tools) >= MAX_TOOLS else f"{MAX_SERVER_BYTES} bytes"
            findings.drop(shown, f"too_many: a server has at most {limit}")
            continue
        size_bytes += tool_bytes
        own = VALID.match(name) is not None and name not in taken
        unique = name if own else valid_name(name, taken | reserved)
        if unique != name:
            tool = tool.model_copy(update={"name": unique, "original_name": clean(name, 256)})
            why = "a second tool of this name" if VALID.match(name) else "not a name that model APIs take"
            findings.note("renamed", [f"{shown}: renamed to {unique}; {why}"])
        taken.add(unique)
        kept.setdefault(name, []).append(raw)
        findings.tools.append(tool)
        for kind, texts in made.notes.items():
            findings.note(kind, [f"{unique}: {text}" for text in texts])
    return findings


def _tool(server_id: str, raw: Json, name: str) -> _Made:
    body = _function(raw)
    notes: dict[str, list[str]] = {}
    arguments = _arguments(body)
    schema, mended = input_schema(arguments)
    if isinstance(arguments, dict) and arguments.get("$comment") == RECOVERED:
        schema = {"type": "object", "$comment": RECOVERED, **schema}
    text, description = body.get("description"), _description(body.get("description"))
    if not schema["properties"]:
        found, rest = documented(text)
        if found is not None:
            schema, description = found, rest or description
            if found["properties"]:
                names = ", ".join(found["properties"])
                notes["recovered"] = [f"arguments documented in the description only: {clean(names, 300)}"]
    if isinstance(text, str) and BOILERPLATE.match(clean(text, DESCRIPTION_LENGTH)):
        notes["boilerplate"] = ["a hosting site's words left out of the description"]
    result = next((body[key] for key in ("outputSchema", "output_schema") if key in body), None)
    output: Json | None = None
    remarks = list(mended)
    if result is not None:
        try:
            output, output_notes = output_schema(result)
            remarks.extend(f"output: {note}" for note in output_notes)
        except InvalidSchema as error:
            remarks.append(f"output schema left out: {clean(str(error), 200)}")
    if remarks:
        notes["mended"] = remarks
    method, path = _route(raw.get("annotations"))
    tool = ToolSpec(
        server=server_id,
        name=name,
        description=description,
        input_schema=schema,
        output_schema=output or None,
        method=method,
        path=path,
    )
    return _Made(tool, notes)


def _arguments(body: Json) -> object:
    return next((body[key] for key in ("inputSchema", "input_schema", "parameters") if key in body), None)


def _unusable(tool: ToolSpec, raw: Json, name: str, *, lost: bool) -> str:
    """Why there is nothing that a tool could be called by or for, or ""."""
    text = _function(raw).get("description")
    said = clean(text, DESCRIPTION_LENGTH)
    if FURNITURE.match(said):
        return f"pseudo_tool: part of a hosting site, not of the server: {clean(said, 80)!r}"
    if tool.input_schema["properties"] or tool.input_schema.get("$comment") == RECOVERED or tool.path:
        return ""
    wordless = not tool.description and (is_placeholder(said) or BOILERPLATE.match(said))
    if wordless and lists_all(name):
        return ""
    if wordless:
        return f"pseudo_tool: neither description nor parameters: {clean(said, 80)!r}"
    if lost and not takes_nothing(name, tool.description):
        return (
            "arguments_unknown: the server's schemas are lost, and its description does not say what it takes"
        )
    return ""


def _schemas_lost(found: list[Any]) -> bool:
    """Whether no tool of a server says anything of arguments, not even that there are none."""
    schemas = [_arguments(_function(raw)) for raw in found if isinstance(raw, dict)]
    return len(schemas) >= FEW and not any(isinstance(one, dict) and "properties" in one for one in schemas)


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
    return "" if is_placeholder(cleaned) else cleaned


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
