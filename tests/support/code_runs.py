"""What a campaign's rows show of code, beside what the sandbox said: for the checks that run real code."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from schemas.codec import decode
from schemas.sandbox import CodeExecuted
from schemas.topics import SANDBOX_EVENTS
from services.kit.log import Record
from services.sandbox_exec.choice import choose
from services.sim.code_tool import CODE_TOOL

Row = dict[str, Any]


@dataclass(frozen=True)
class CodeCall:
    """A call of the code tool in an exported row: its run, its id, its code, and the observation's text."""

    run: str
    call: str
    code: str
    content: str


def no_sandbox() -> str:
    """Why no code can be run here; empty where some can."""
    told = choose().announcement()
    return "" if told.safe else told.reason


def code_calls(row: Row) -> Iterator[CodeCall]:
    """The calls of the code tool in a row, each with its answer."""
    answers = {one["tool_call_id"]: one["content"] for one in row["messages"] if one["role"] == "tool"}
    for message in row["messages"]:
        for call in message.get("tool_calls") or ():
            if call["function"]["name"] == CODE_TOOL:
                code = json.loads(call["function"]["arguments"])["code"]
                yield CodeCall(row["id"], call["id"], code, answers[call["id"]])


def executed_in(records: Iterable[Record]) -> dict[tuple[str, str], CodeExecuted]:
    """What the sandbox said to each call, by run and call."""
    found = {}
    for record in records:
        if record.topic == SANDBOX_EVENTS.name:
            data = decode(SANDBOX_EVENTS, record.key, record.headers, record.value).data
            assert isinstance(data, CodeExecuted)
            found[data.run, data.call] = data
    return found


def mismatches(rows: Iterable[Row], executed: dict[tuple[str, str], CodeExecuted]) -> list[str]:
    """Calls whose exported observation is not, byte for byte, what the sandbox returned."""
    wrong = []
    for row in rows:
        for call in code_calls(row):
            said = executed.get((call.run, call.call))
            if said is None:
                wrong.append(f"{call.run}: the log has no answer to {call.call}")
                continue
            told: Row = {"outcome": said.outcome}
            for name in ("reason", "stdout", "stderr"):
                told |= {name: getattr(said, name)} if getattr(said, name) else {}
            told |= {"exit_code": said.exit_code} if said.exit_code is not None else {}
            told |= {"files": [one.model_dump() for one in said.files]} if said.files else {}
            seen = json.loads(call.content)
            same = all(
                seen.get(name, "").encode() == getattr(said, name).encode() for name in ("stdout", "stderr")
            )
            if seen != told or not same or call.content != json.dumps(seen, ensure_ascii=False):
                wrong.append(f"{call.run}: {call.content[:200]} is not {told}")
    return wrong
