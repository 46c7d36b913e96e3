"""One exported row: its columns, roles, calls and answers, and where every argument comes from.

A row is ``{"id", "messages", "tools", "metadata"}`` with OpenAI chat messages; ``arguments`` of a call
and ``content`` of a tool message are JSON texts.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from jsonschema.validators import validator_for
from referencing import Registry
from referencing.exceptions import Unresolvable

from tests.validator.origin import Origin, code_values, leaf_count, needs_ground, parse, table_values

TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
CODE_TOOL = "run_code"
COLUMNS = {"id", "messages", "tools", "metadata"}
METADATA: dict[str, Any] = {
    "domains": list, "mode": str, "signature": str, "complexity": (int, float), "seed": int, "models": dict,
    "verdict": dict, "campaign": str, "generation": int, "slot": int, "attempt": int,
}  # fmt: skip
VOLATILE = {
    "time",
    "timestamp",
    "created",
    "created_at",
    "host",
    "hostname",
    "usage",
    "usd",
    "cost",
    "tokens",
}
AFTER = {
    "start": {"system", "user"},
    "system": {"user"},
    "user": {"assistant"},
    "assistant": {"user"},
    "calls": {"tool"},
    "tool": {"tool", "assistant"},
}
KEYS = {
    "system": {"role", "content"},
    "user": {"role", "content"},
    "assistant": {"role", "content", "tool_calls"},
    "tool": {"role", "tool_call_id", "name", "content"},
}


@dataclass(frozen=True)
class Violation:
    """One broken rule: a code that can be counted, and where."""

    code: str
    detail: str


@dataclass
class Row:
    """What checking a row has found: violations, and what the statistics need.

    ``calls`` counts the calls, ``bare`` those without arguments; ``dependent``: an argument of the row
    stands in an earlier tool result and in no earlier user turn.
    """

    violations: list[Violation] = field(default_factory=list)
    calls: int = 0
    bare: int = 0
    dependent: bool = False

    def say(self, code: str, detail: str) -> None:
        """Take a violation down."""
        self.violations.append(Violation(code, detail[:300]))


def check_row(row: Any, *, failed: bool = False) -> Row:
    """Everything that is wrong with one decoded row. ``failed`` allows rows whose verdict is no pass."""
    found = Row()
    if not isinstance(row, dict):
        found.say("not_an_object", f"the row is a {type(row).__name__}")
        return found
    if set(row) != COLUMNS:
        found.say("columns", f"columns are {sorted(row)}, not {sorted(COLUMNS)}")
    if not isinstance(row.get("id"), str) or not row.get("id"):
        found.say("id", "id is no text")
    check_metadata(row.get("metadata"), found, failed=failed)
    tools = check_tools(row.get("tools"), found)
    messages = row.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        found.say("messages", "messages is no list of objects")
        return found
    check_roles(messages, found)
    check_pairing(messages, found)
    check_calls(messages, tools, found)
    return found


def check_metadata(metadata: Any, found: Row, *, failed: bool) -> None:
    """The metadata column: its fields and types, a passing verdict, nothing of clock, host or cost."""
    if not isinstance(metadata, dict):
        found.say("metadata", "metadata is no object")
        return
    for name, kind in METADATA.items():
        value = metadata.get(name)
        if not isinstance(value, kind) or isinstance(value, bool):
            found.say("metadata", f"{name} is {value!r}")
    domains = metadata.get("domains")
    if isinstance(domains, list) and (
        not domains or not all(isinstance(name, str) and name for name in domains)
    ):
        found.say("metadata", f"domains are {domains!r}")
    verdict = metadata.get("verdict")
    if not failed and isinstance(verdict, dict) and verdict.get("passed") is not True:
        found.say("verdict", f"the verdict is {verdict!r}")
    for key in keys(metadata):
        if key.lower() in VOLATILE:
            found.say("volatile", f"metadata holds {key!r}")


def keys(value: Any) -> Iterator[str]:
    """All keys of a JSON value."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from keys(item)
    elif isinstance(value, list):
        for item in value:
            yield from keys(item)


def check_tools(tools: Any, found: Row) -> dict[str, Any]:
    """The tools column; the parameters' schemas by name."""
    schemas: dict[str, Any] = {}
    if not isinstance(tools, list) or not tools:
        found.say("tools", "no tools are offered")
        return schemas
    for tool in tools:
        function = tool.get("function") if isinstance(tool, dict) and tool.get("type") == "function" else None
        if not isinstance(function, dict) or not isinstance(function.get("description"), str):
            found.say("tools", f"no function tool with a description: {tool!r}")
            continue
        name, parameters = function.get("name"), function.get("parameters")
        if not isinstance(name, str) or not TOOL_NAME.fullmatch(name):
            found.say("tool_name", f"{name!r} is no name that a model API takes")
            continue
        if name in schemas:
            found.say("tool_name", f"{name} is offered twice")
        if not isinstance(parameters, dict):
            found.say("tool_schema", f"{name} has no parameters schema")
            parameters = {}
        schemas[name] = parameters
        try:
            validator(json.dumps(parameters))
        except SchemaError as error:
            found.say("tool_schema", f"{name}: {error.message}")
    return schemas


@functools.lru_cache(maxsize=4096)
def validator(schema: str) -> Any:
    """A validator of this schema that fetches nothing; raises ``SchemaError`` where it is none."""
    parsed = json.loads(schema)
    kind = validator_for(parsed, default=Draft202012Validator)
    kind.check_schema(parsed)
    return kind(parsed, registry=Registry())


def check_roles(messages: list[dict[str, Any]], found: Row) -> None:
    """Legal order, from an optional system message and a user's turn to an assistant's text; no blanks."""
    before = "start"
    for index, message in enumerate(messages):
        role = message.get("role")
        if role not in KEYS:
            found.say("role", f"message {index}: role {role!r}")
            before = "user"
            continue
        if set(message) - KEYS[role]:
            found.say("message", f"message {index}: a {role} message has {sorted(set(message) - KEYS[role])}")
        if role not in AFTER[before] and not (before == "calls" and role != "system"):
            found.say("order", f"message {index}: {role} after {before}")
        content, calls = message.get("content"), message.get("tool_calls")
        if content is not None and not isinstance(content, str):
            found.say("message", f"message {index}: content is a {type(content).__name__}")
        if "tool_calls" in message and (not isinstance(calls, list) or not calls):
            found.say("message", f"message {index}: tool_calls is {calls!r}")
        if not (isinstance(content, str) and content.strip()) and not calls:
            found.say("empty", f"message {index}: {role} says nothing")
        if role == "tool" and isinstance(content, str):
            try:
                parse(content)
            except ValueError:
                found.say("result", f"message {index}: the result is no JSON")
        before = "calls" if role == "assistant" and calls else role
    if before != "assistant":
        found.say("end", f"the row ends with {before}, not with an assistant's text")


def check_pairing(messages: list[dict[str, Any]], found: Row) -> None:
    """Every call answered exactly once, before the next turn, under its name; ids unique in the row."""
    waiting: dict[str, str] = {}
    answered: set[str] = set()
    for index, message in enumerate([*messages, {"role": "end"}]):
        if message.get("role") == "tool":
            identity = message.get("tool_call_id")
            if identity in waiting:
                name = waiting.pop(identity)
                answered.add(identity)
                if message.get("name") != name:
                    found.say(
                        "pairing", f"message {index}: {message.get('name')!r} answers a call of {name!r}"
                    )
            else:
                again = "again" if identity in answered else "though no such call is open"
                found.say("pairing", f"message {index} answers {identity!r} {again}")
            continue
        for identity in waiting:
            found.say("pairing", f"call {identity!r} has no answer before message {index}")
        waiting = {}
        for call in calls_of(message):
            identity = call.get("id")
            if not isinstance(identity, str) or not identity or identity in answered or identity in waiting:
                found.say("call_id", f"message {index}: id {identity!r} is empty or not unique")
                continue
            waiting[identity] = str(function_of(call).get("name"))


def calls_of(message: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls of a message that are objects."""
    calls = message.get("tool_calls")
    return [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []


def function_of(call: dict[str, Any]) -> dict[str, Any]:
    """The function part of a call."""
    function = call.get("function")
    return function if isinstance(function, dict) else {}


def check_calls(messages: list[dict[str, Any]], schemas: dict[str, Any], found: Row) -> None:
    """Each call: offered, JSON, by its schema, and grounded in what stands before it."""
    said, returned = Origin(), Origin()
    for index, message in enumerate(messages):
        content = message.get("content")
        if message.get("role") == "user" and isinstance(content, str):
            said.add_text(content)
        elif message.get("role") == "tool" and isinstance(content, str):
            returned.add_result(content)
        for call in calls_of(message):
            found.calls += 1
            check_call(index, call, schemas, found, said, returned)


def check_call(
    index: int, call: dict[str, Any], schemas: dict[str, Any], found: Row, said: Origin, returned: Origin
) -> None:
    """One call."""
    function = function_of(call)
    name, text = function.get("name"), function.get("arguments")
    place = f"message {index}, {name}"
    if (
        set(call) != {"id", "type", "function"}
        or call["type"] != "function"
        or set(function) != {"name", "arguments"}
    ):
        found.say("call", f"message {index}: not a function call: {call!r}")
    try:
        arguments = parse(text) if isinstance(text, str) else None
    except ValueError:
        found.say("arguments", f"{place}: arguments are no JSON text: {text!r}")
        return
    if not isinstance(arguments, dict):
        found.say("arguments", f"{place}: arguments are a {type(arguments).__name__}")
        return
    if not leaf_count(arguments):
        found.bare += 1
    if name not in schemas:
        found.say("tool", f"message {index}: {name!r} is not offered")
        return
    try:
        error = best_match(validator(json.dumps(schemas[name])).iter_errors(arguments))
    except (SchemaError, Unresolvable, re.error) as broken:
        found.say("tool_schema", f"{place}: {broken}")
    else:
        if error is not None:
            found.say("schema", f"{place} at {'/'.join(map(str, error.absolute_path))}: {error.message}")
    free = needs_ground(arguments, schemas[name])
    if name == CODE_TOOL:  # code is the assistant's own; what it says of the world stands in its tables
        code = str(arguments.get("code"))
        free = (("code", value) for value in table_values(code))
        if not any(returned.holds(value) for value in code_values(code)):
            found.say("code", f"{place}: works on nothing that a tool has returned")
    for where, value in free:
        if said.holds(value):
            continue
        if returned.holds(value):
            found.dependent = True
        else:
            found.say("grounding", f"{place} at {where}: {value!r} comes from nowhere")
