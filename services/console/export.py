"""Datasets from a ledger: OpenAI messages or ShareGPT, one JSON object a line.

A row holds no clock, host, usage or cost, so that the same seed gives the same bytes; those stand in the
card (``card.py``). Rows come in (generation, slot) order.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal, get_args

from schemas.blueprint import Blueprint
from schemas.evolution import ROLES, RoleModel
from schemas.run import UserSpoke, Verdict
from services.agent_runner.conversation import message, offered, opening
from services.console.errors import UserError
from services.console.ledger import Ledger, RunEntry, Turn

Json = dict[str, Any]
Format = Literal["openai", "sharegpt"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)


def dataset_bytes(ledger: Ledger, form: Format = "openai", *, failed: bool = False) -> bytes:
    """The whole file."""
    return b"".join(lines(ledger, form, failed=failed))


def write_dataset(ledger: Ledger, path: Path, form: Format = "openai", *, failed: bool = False) -> int:
    """Write the file whole or not at all; returns the number of rows.

    Raises:
        OSError: it cannot be written there; what stood there before still does.
    """
    return write_atomically(path, lines(ledger, form, failed=failed))


def write_atomically(path: Path, parts: Iterator[bytes]) -> int:
    """Write ``parts`` beside ``path`` and move the file there when it is complete; returns their count."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    count = 0
    try:
        with temporary.open("wb") as file:
            for part in parts:
                file.write(part)
                count += 1
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
    return count


def lines(ledger: Ledger, form: Format, *, failed: bool = False) -> Iterator[bytes]:
    """The file, line by line."""
    shape = {"openai": lambda row: row, "sharegpt": sharegpt}[form]
    for row in rows(ledger, failed=failed):
        text = json.dumps(shape(row), ensure_ascii=False, separators=(",", ":"))
        yield text.encode("utf-8", "backslashreplace") + b"\n"


def rows(ledger: Ledger, *, failed: bool = False) -> Iterator[Json]:
    """The dataset's rows in OpenAI's format; or those of all runs that failed or that a gate refused.

    A refused plan never became a run and gives no row; the card counts it.
    """
    if failed:
        for entry in ledger.failed:
            if entry.blueprint:
                yield row(ledger, entry.run)
    else:
        for admitted in ledger.admitted:
            yield row(ledger, admitted.run)


def row(ledger: Ledger, run: str) -> Json:
    """One run as a row: ``id``, ``messages``, ``tools``, ``metadata``.

    Raises:
        LookupError: there is no such run, or it has no blueprint.
    """
    entry, blueprint = ledger.entry(run), ledger.blueprint(run)
    messages = dialogue(ledger.turns(run))
    return {
        "id": run,
        "messages": messages,
        "tools": list(offered(blueprint.tools)),
        "metadata": metadata(blueprint, entry, messages),
    }


def dialogue(turns: Iterator[Turn]) -> list[Json]:
    """The messages of a run, the system's first; the closing user turn after the final answer is left out."""
    return [opening(), *(message(turn) for turn in turns if not (isinstance(turn, UserSpoke) and turn.ends))]


def metadata(blueprint: Blueprint, entry: RunEntry, messages: Sequence[Json]) -> Json:
    """What is known of a row beside its messages. Keys stand in this order."""
    measured = entry.measurement
    found: Json = {
        "campaign": blueprint.campaign,
        "generation": blueprint.generation,
        "slot": blueprint.slot,
        "attempt": blueprint.attempt,
        "domains": sorted(measured.domains) if measured else called_domains(blueprint, messages),
        "mode": measured.mode if measured else "",
        "signature": measured.signature if measured else "",
        "complexity": round(measured.complexity, 6) if measured else 0.0,
        "band": measured.band if measured else 0,
        "seed": blueprint.seed,
        "models": {role: model_name(blueprint.models.get(role, RoleModel()).model) for role in ROLES},
        "verdict": verdict(entry.verdict),
        "operator": blueprint.operator,
        "cluster": blueprint.cluster,
    }
    failure = entry.failure
    if failure is not None:
        # What an unreachable server said names hosts and ports: it stands in the log.
        detail = "" if failure.attribution == "infrastructure" else failure.detail
        reason = {"stage": failure.stage, "attribution": failure.attribution, "code": failure.code}
        found["failure"] = {**reason, "detail": detail}
    return found


def model_name(model: str) -> str:
    """A model as a row names it: how slow a scripted one was asked to be is no property of a row."""
    name, mark, options = model.partition("?")
    kept = [option for option in options.split("&") if not option.startswith("latency=")]
    return f"{name}?{'&'.join(kept)}" if mark and any(kept) else name


def verdict(given: Verdict | None) -> Json:
    """The verdict column."""
    if given is None:
        return {"passed": False, "findings": []}
    findings = [
        {"code": one.code, "attribution": one.attribution, "detail": one.detail} for one in given.findings
    ]
    return {"passed": given.passed, "findings": findings}


def called_domains(blueprint: Blueprint, messages: Sequence[Json]) -> list[str]:
    """The domains of the tools that were called; of the blueprint where none was."""
    names = {call["function"]["name"] for one in messages for call in one.get("tool_calls") or ()}
    domains = {blueprint.tool_domains[name] for name in names if name in blueprint.tool_domains}
    return sorted(domains or blueprint.domains)


def sharegpt(row: Json) -> Json:
    """A row in ShareGPT's format, turns alternating as trainers want them.

    Calls of one turn stand in one ``function_call`` (an object, or a list of them), their results in one
    ``observation`` (the result, or a list of them in the order of the calls). A text beside calls is kept
    under ``text`` of the ``function_call``.
    """
    turns: list[Json] = []
    results: list[str] = []
    for one in row["messages"]:
        if one["role"] == "tool":
            results.append(one["content"])
            continue
        _observe(turns, results)
        turns.append(_turn(one))
    _observe(turns, results)
    tools = json.dumps([tool["function"] for tool in row["tools"]], ensure_ascii=False)
    return {"id": row["id"], "conversations": turns, "tools": tools, "metadata": row["metadata"]}


def _turn(one: Json) -> Json:
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    if not one.get("tool_calls"):
        return {"from": names[one["role"]], "value": one["content"] or ""}
    calls = [_call(call["function"]) for call in one["tool_calls"]]
    value = json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)
    turn = {"from": "function_call", "value": value}
    return {**turn, "text": one["content"]} if one["content"] else turn


def _call(function: Json) -> Json:
    return {"name": function["name"], "arguments": decoded(function["arguments"])}


def _observe(turns: list[Json], results: list[str]) -> None:
    if results:
        joined = results[0]
        if len(results) > 1:
            joined = json.dumps([decoded(result) for result in results], ensure_ascii=False)
        turns.append({"from": "observation", "value": joined})
        results.clear()


def decoded(text: str) -> Any:
    """The JSON value of ``text``, or the text itself where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def format_named(name: str) -> Format:
    """The format of this name.

    Raises:
        UserError: there is none.
    """
    for form in FORMATS:
        if form == name:
            return form
    raise UserError(f"there is no format {name!r}", f"choose one of {', '.join(FORMATS)}")
