"""The form of a dialogue: calls that a model API would take, answers to each, roles in their order."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for
from pydantic_core import to_json
from referencing import Registry
from referencing.exceptions import Unresolvable

from schemas.blueprint import Blueprint
from schemas.run import Attribution, Finding
from services.agent_runner.grounding import MISSING
from services.agent_runner.trace import Call, spoken
from services.worlds.checking import plainly_fits

FOLLOWS: Final = {
    "start": ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "calls": ("tool",),
    "tool": ("tool", "assistant"),
    "assistant": ("user",),
}
"""What may follow what; ``calls`` is an assistant's turn with tool calls."""
ROLES: Final = frozenset({"system", "user", "assistant", "tool"})
WHOSE: Final[dict[str, Attribution]] = {"user": "user", "tool": "tools", "system": "infrastructure"}
LONGEST: Final = 120


def finding(code: str, attribution: Attribution, detail: str) -> Finding:
    """One violated rule."""
    return Finding(code=code, attribution=attribution, detail=detail)


def shown(value: Any) -> str:
    """A value in a finding's detail, cut to ``LONGEST`` characters."""
    text = "nothing" if value is MISSING else repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def call_findings(blueprint: Blueprint, calls: Sequence[Call]) -> Iterator[Finding]:
    """Each call by itself: a tool that is offered, JSON, the tool's schema."""
    schemas = {tool.name: tool.input_schema for tool in blueprint.tools}
    for call in calls:
        if call.name not in schemas:
            yield finding("invented_tool", "assistant", f"call {call.id}: no tool {call.name!r} is offered")
        if call.arguments is None:
            detail = f"call {call.id}: arguments are no JSON object: {shown(call.text)}"
            yield finding("broken_json", "assistant", detail)
        elif call.name in schemas:
            yield from _schema_findings(call, schemas[call.name])


def _schema_findings(call: Call, schema: dict[str, Any]) -> Iterator[Finding]:
    try:
        if plainly_fits(call.arguments, schema):
            return
        error = best_match(_validator(to_json(schema)).iter_errors(call.arguments))
    except (Unresolvable, re.error, TypeError, RecursionError) as broken:
        detail = f"the schema of {call.name} cannot be applied: {shown(str(broken))}"
        yield finding("schema_violation", "tools", detail)
        return
    if error is not None:
        place = "/".join(str(part) for part in error.absolute_path) or "the arguments"
        detail = f"call {call.id} of {call.name}, at {place}: {shown(error.message)}"
        yield finding("schema_violation", "assistant", detail)


@functools.lru_cache(maxsize=4096)
def _validator(schema: bytes) -> Validator:
    """A validator that fetches nothing; drafts are told apart by ``$schema``."""
    parsed = json.loads(schema)
    kind = validator_for(parsed, default=Draft202012Validator)
    return kind(parsed, registry=Registry())


def id_findings(messages: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """Ids of calls: none empty, none used twice."""
    seen: set[str] = set()
    for index, message in enumerate(messages):
        for call in message.get("tool_calls") or ():
            identity = str(call.get("id", ""))
            if identity in seen or not identity:
                detail = f"message {index}: call id {identity!r} is empty or used before"
                yield finding("repeated_id", "assistant", detail)
            seen.add(identity)


def pairing_findings(messages: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """Every call answered exactly once before the next turn, every answer to an open call."""
    open_calls: dict[str, int] = {}
    for index, message in enumerate([*messages, {"role": "end"}]):
        if message.get("role") == "tool":
            identity = str(message.get("tool_call_id", ""))
            if open_calls.pop(identity, None) is None:
                detail = f"message {index} answers {identity!r}, which is no open call"
                yield finding("unanswered_call", "infrastructure", detail)
            continue
        for identity, made in open_calls.items():
            detail = f"call {identity!r} of message {made} has no answer before message {index}"
            yield finding("unanswered_call", "infrastructure", detail)
        open_calls = {str(call.get("id", "")): index for call in message.get("tool_calls") or ()}


def role_findings(messages: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """Roles in their order: system?, user, then assistant, tool and user by turns; no empty turn."""
    before = "start"
    for index, message in enumerate(messages):
        role = str(message.get("role"))
        # A call without an answer is a fault of pairing, not of order.
        unpaired = before == "calls" and role in ("assistant", "user")
        if role not in ROLES or (role not in FOLLOWS[before] and not unpaired):
            detail = f"message {index}: {role!r} after {before!r}"
            yield finding("malformed_role", WHOSE.get(role, "assistant"), detail)
        calls = message.get("tool_calls") if role == "assistant" else None
        if not spoken(message) and not calls:
            detail = f"message {index}: {role} says nothing"
            yield finding("empty_message", WHOSE.get(role, "assistant"), detail)
        before = "calls" if calls else role if role in FOLLOWS else "user"


def final_answer(messages: Sequence[dict[str, Any]]) -> str:
    """The assistant's texts after the last call; empty when the run ends without one."""
    texts: list[str] = []
    for message in messages:
        if message.get("tool_calls") or message.get("role") == "tool":
            texts = []
        elif message.get("role") == "assistant":
            texts.append(spoken(message))
    closed = [m for m in messages if m.get("role") != "system"][-2:]
    ends = any(m.get("role") == "assistant" and spoken(m) and not m.get("tool_calls") for m in closed)
    return "\n".join(texts) if ends else ""
