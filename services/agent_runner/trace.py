"""The executed trace of a run, read off its messages, and what the monitor counts of it.

Messages are in OpenAI's chat format, as exported: a system message is optional, tool messages hold
JSON text, and an observation that is an error is ``{"error": {"code": …, "message": …}}``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from schemas.blueprint import Blueprint
from schemas.catalog import ToolSpec
from schemas.run import Action, ActionKind
from services.agent_runner.coding import code_of
from services.agent_runner.grounding import MISSING, Sources, at, free_leaves, leaves
from services.sim.code_tool import is_code_tool, literals, printed, records, simulated
from services.worlds.world import World

FAULT_CODES: Final = ("timeout", "rate_limited", "unavailable")

CONFIRMS: Final = re.compile(
    r"\b(shall i|should i|do you want me to|would you like me to|may i|can i go ahead|go ahead|proceed|"
    r"is (that|this) (correct|right|ok|okay)|please confirm|confirm that|are you sure)\b",
    re.IGNORECASE,
)
REFUSES: Final = re.compile(
    r"\b(i|we)('m| am|'re| are)? ?"
    r"(can't|cannot|can not|won't|will not|unable to|not able to|not allowed to|wasn't able to)\b",
    re.IGNORECASE,
)


_WRITER: Final = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call of the trace with its answer.

    ``message`` and ``answer`` are indices into the messages (``answer`` is -1 when there is none);
    ``wave`` numbers the assistant turn. ``arguments`` is None when ``text`` is no JSON object.
    ``content`` is the decoded observation, or its raw text where that is no JSON; ``value`` is what a plan
    reads of it: of code what it printed, else the same.
    """

    message: int
    wave: int
    id: str
    name: str
    text: str
    arguments: dict[str, Any] | None
    answer: int = -1
    content: Any = None
    error: str = ""
    value: Any = None


def executed(
    messages: Sequence[dict[str, Any]], code_tools: frozenset[str] = frozenset()
) -> tuple[Call, ...]:
    """All calls in the order in which they were made, each with the first answer to its id.

    An answer of one of ``code_tools`` is an error when its ``outcome`` is any but ``ok``.
    """
    answers: dict[str, int] = {}
    for index, message in enumerate(messages):
        if message.get("role") == "tool":
            answers.setdefault(str(message.get("tool_call_id", "")), index)
    calls: list[Call] = []
    wave = -1
    for index, message in enumerate(messages):
        if message.get("role") != "assistant":
            continue
        wave += 1
        for call in message.get("tool_calls") or ():
            function = call.get("function") or {}
            identity, text = str(call.get("id", "")), function.get("arguments")
            answer = answers.get(identity, -1)
            content = decoded(str(messages[answer].get("content") or "")) if answer >= 0 else None
            name = str(function.get("name", ""))
            codes = name in code_tools and answer >= 0
            outcome = at(content, ("outcome",)) if codes else MISSING
            calls.append(
                Call(
                    message=index,
                    wave=wave,
                    id=identity,
                    name=name,
                    text=text if isinstance(text, str) else json.dumps(text),
                    arguments=_arguments(text),
                    answer=answer,
                    content=content,
                    error=error_code(content) or ("" if outcome in ("ok", MISSING) else str(outcome)),
                    value=printed(content) if codes else content,
                )
            )
    return tuple(calls)


def code_tools(blueprint: Blueprint) -> frozenset[str]:
    """Names of the offered tools that run code in the sandbox."""
    return frozenset(tool.name for tool in blueprint.tools if is_code_tool(tool))


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_READER: Final = json.JSONDecoder(parse_constant=_no_constant)


@lru_cache(maxsize=256)  # a run's verification reads each observation four times
def decoded(text: str) -> Any:
    """The JSON value of an observation's text, or the text itself where it is no JSON. Not to be changed."""
    try:
        return _READER.decode(text)
    except (ValueError, RecursionError):
        return text


def _arguments(text: Any) -> dict[str, Any] | None:
    value = decoded(text) if isinstance(text, str) else text
    return value if isinstance(value, dict) else None


def error_code(content: Any) -> str:
    """The code of an observation that is an error, else an empty string."""
    if not isinstance(content, dict) or content.keys() != {"error"} or not isinstance(content["error"], dict):
        return ""
    return str(content["error"].get("code") or "")


def spoken(message: dict[str, Any]) -> str:
    """The text of a message, stripped; empty when it has none."""
    content = message.get("content")
    return content.strip() if isinstance(content, str) else ""


@dataclass(frozen=True, slots=True)
class Offer:
    """The tools of a trace, as far as its reading depends on them.

    ``schemas`` has the input schema of each tool offered, ``domains`` the domain of those that have one;
    ``writes`` and ``codes`` are the names of those that change state and of those that run code;
    ``candidates`` is how many were offered.
    """

    schemas: Mapping[str, Mapping[str, Any]]
    domains: Mapping[str, str]
    writes: frozenset[str]
    codes: frozenset[str]
    candidates: int


def offer(blueprint: Blueprint, world: World | None = None) -> Offer:
    """What a blueprint offers. ``world`` is the run's, where one has been made already."""
    known = world or World(simulated(blueprint.tools), blueprint.seed)
    codes = code_tools(blueprint)
    schemas: dict[str, Mapping[str, Any]] = {}
    for tool in blueprint.tools:
        schemas.setdefault(tool.name, tool.input_schema)
    return Offer(
        schemas=schemas,
        domains=blueprint.tool_domains,
        writes=frozenset(name for name in schemas if name not in codes and known.writes(name)),
        codes=codes,
        candidates=len(blueprint.tools),
    )


def actions(
    blueprint: Blueprint, messages: Sequence[dict[str, Any]], world: World | None = None
) -> tuple[Action, ...]:
    """The executed trace of a run. ``world`` is the run's, where one has been made already."""
    return actions_of(offer(blueprint, world), messages)


def actions_of(offer: Offer, messages: Sequence[dict[str, Any]]) -> tuple[Action, ...]:
    """The executed trace as the monitor counts it: calls, questions and answers, in order.

    An assistant text without calls is a *confirm* when it asks for a go-ahead, a *clarify* when it ends
    in any other question, both only before the end; the last text is an *answer*, or a *refuse* when it
    declines and no call has succeeded. A text beside calls is no action of its own.
    """
    calls = executed(messages, offer.codes)
    by_message: dict[int, list[Call]] = {}
    for call in calls:
        by_message.setdefault(call.message, []).append(call)
    last = max((i for i, m in enumerate(messages) if m.get("role") == "assistant"), default=-1)
    found: list[Action] = []
    sources, done, wave = Sources(), list[Call](), -1
    for index, message in enumerate(messages):
        role = message.get("role")
        if role == "user":
            sources.hear(spoken(message))
        elif role == "tool":
            observe(sources, message, offer.codes)
        elif role == "assistant":
            wave += 1
            made = by_message.get(index, [])
            found += [_called(offer, call, sources, done) for call in made]
            done += made
            text = spoken(message)
            if text and not made:
                succeeded = any(not call.error for call in done)
                kind = _said(text, final=index == last, succeeded=succeeded)
                found.append(Action(kind=kind, wave=wave))
    return tuple(found)


def _said(text: str, *, final: bool, succeeded: bool) -> ActionKind:
    if final:
        return "refuse" if REFUSES.search(text.replace("’", "'")) and not succeeded else "answer"
    if not text.rstrip("\"'”’)* ").endswith("?"):
        return "answer"
    return "confirm" if CONFIRMS.search(text) else "clarify"


def _called(offer: Offer, call: Call, sources: Sources, done: Sequence[Call]) -> Action:
    arguments = call.arguments or {}
    kind: ActionKind = "write" if call.name in offer.writes else "read"
    if call.name in offer.codes:
        kind = "code"
    schema = offer.schemas.get(call.name)
    free = [leaf for _, leaf in free_leaves(schema, arguments)] if schema is not None else []
    earlier = [other for other in done if other.name == call.name]
    return Action(
        kind=kind,
        tool=call.name,
        domain=offer.domains.get(call.name, ""),
        wave=call.wave,
        arguments=sum(1 for _ in leaves(arguments)),
        dependent=min(1, sum(_dependent(held(arguments), sources)))
        if kind == "code"
        else sum(_dependent(free, sources)),
        candidates=offer.candidates,
        error=bool(call.error),
        retry=bool(earlier and earlier[-1].error),
        repeat=_repeats(call, done, offer.writes),
    )


def _dependent(values: Iterable[Any], sources: Sources) -> Iterator[bool]:
    return (sources.observed(value) and not sources.told(value) for value in values)


def held(arguments: Mapping[str, Any]) -> Sequence[Any]:
    """What code holds of the world: its tables; where it has none, its longer values."""
    code = code_of(arguments)
    return records(code) or [value for value in literals(code) if len(str(value)) > 2]


def observe(sources: Sources, message: Mapping[str, Any], codes: frozenset[str]) -> None:
    """Take in a tool message; of a code tool's also the JSON that its code has printed."""
    raw = str(message.get("content") or "")
    content = decoded(raw)
    sources.observe(raw, content)
    if message.get("name") in codes:
        sources.observe("", printed(content))


def _repeats(call: Call, done: Sequence[Call], writes: frozenset[str]) -> bool:
    """Whether an identical call stands before it, with neither an error nor a state change since."""
    for other in reversed(done):
        if other.error or other.name in writes:
            return False
        if other.name == call.name and other.arguments is not None and other.arguments == call.arguments:
            return True
    return False


def content_hash(tools: Sequence[ToolSpec], messages: Sequence[dict[str, Any]]) -> str:
    """16 hexadecimal digits over the tools offered and the messages.

    The order of the tools and the ids of the calls do not count (calls are numbered in their order),
    so that two runs that say and do the same have the same hash.
    """
    offered = sorted([tool.name, tool.description, _canonical(tool.input_schema)] for tool in tools)
    numbers: dict[str, int] = {}
    content = []
    for message in messages:
        calls = []
        for call in message.get("tool_calls") or ():
            numbers.setdefault(str(call.get("id")), len(numbers))
            function = call.get("function") or {}
            calls.append([numbers[str(call.get("id"))], function.get("name"), function.get("arguments")])
        answered = numbers.get(str(message.get("tool_call_id")), -1)
        content.append([message.get("role"), message.get("content") or "", calls, answered])
    return hashlib.sha256(_canonical([offered, content]).encode()).hexdigest()[:16]


def _canonical(value: Any) -> str:
    return _WRITER.encode(value)
