"""Line 4: what an assistant's turn says follows from the messages before it, and from nothing else.

In each row one value that a call takes from a tool result, and one that the final answer reports, is
replaced in the messages, and only that turn is asked again: the reply must carry the new value and no
longer the old one; unreplaced, it must be the recorded reply.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from services.console.api import Campaign
from tests.release.bench import Bench, Findings
from tests.release.replacement import (
    Message,
    candidates,
    decoded,
    fresh,
    from_results_alone,
    leaves,
    replaced,
    reported,
    results,
    told,
)

Place = tuple[int, Any, Any]
"""Index of an assistant's turn, a value that it has from a tool result, and its replacement."""


@dataclass(frozen=True)
class Case:
    """One replacement in one row."""

    campaign: Campaign
    row: dict[str, Any]
    kind: str
    place: Place


def check(bench: Bench, found: Findings) -> None:
    wanted = bench.size(200, 30)
    # Rows of the built-in catalog for the first half, as far as they go; of real APIs for the rest.
    made = (bench.demo(), bench.real_apis())
    cases: list[Case] = []
    looked_at = without_place = rows = 0
    for campaign in (one.campaign for one in made):
        quota = wanted - rows if campaign.folder == made[-1].folder else wanted // 2
        taken = 0
        for row in campaign.rows():
            if taken == quota:
                break
            looked_at += 1
            call, answer = places(row)
            if call is None or answer is None:
                without_place += 1
                continue
            taken += 1
            cases += [Case(campaign, row, "call", call), Case(campaign, row, "answer", answer)]
        rows += taken
    wrong = [(case.kind, text) for case in cases for text in failures(case)]
    found.say(
        f"{rows} rows of {looked_at} looked at ({without_place} without both places), {len(cases)} cases"
    )
    kinds = Counter(f"{case.kind}: {type(case.place[1]).__name__}" for case in cases)
    found.say(", ".join(f"{kind} {count}" for kind, count in sorted(kinds.items())))
    found.say(f"{len(wrong)} wrong")
    found.expect(rows == wanted and len(cases) == 2 * wanted, f"only {rows} of {wanted} rows had both places")
    found.wrong.extend(f"{kind}: {text}" for kind, text in wrong[:10])


def places(row: dict[str, Any]) -> tuple[Place | None, Place | None]:
    """Where a call takes a value from a result, and where the final answer reports one."""
    messages = row["messages"]
    schemas = {tool["function"]["name"]: json.dumps(tool["function"]["parameters"]) for tool in row["tools"]}
    rng = random.Random(f"counterfactual/{row['id']}")
    call = None
    for index, one in enumerate(messages):
        for made in one.get("tool_calls") or () if call is None else ():
            function = made["function"]
            call = call or chosen(
                messages[:index],
                leaves(decoded(function["arguments"])),
                schemas[function["name"]],
                rng,
            )
            call = (index, *call[1:]) if call else None
    last = len(messages) - 1
    answer = messages[last]["content"] or ""
    users = [one["content"] for one in messages if one["role"] == "user"]
    vocabulary = "\n".join([json.dumps(row["tools"]), *users])
    observed = (leaf for result in results(messages[:last]) for leaf in leaves(result))
    told_of = (leaf for leaf in observed if reported(answer, leaf, vocabulary))
    return call, chosen(messages[:last], told_of, "", rng)


def chosen(before: list[Message], values: Iterator[Any], schema: str, rng: random.Random) -> Place | None:
    """The most telling of the values that only tool results have, and no schema, with its replacement."""
    for value in candidates(values):
        if from_results_alone(before, value) and not told(schema, value):
            new = fresh(value, before, rng)
            if new is not None:
                return len(before), value, new
    return None


def failures(case: Case) -> Iterator[str]:
    """What is wrong with the replies, unreplaced and replaced."""
    index, old, new = case.place
    run, messages = case.row["id"], case.row["messages"]
    where = f"{run} turn {index}, {old!r} by {new!r}"
    same = case.campaign.ask(run, index, messages[:index])
    if same != messages[index]:
        yield f"{where}: unreplaced, the reply is {shown(same)}, recorded was {shown(messages[index])}"
    reply = case.campaign.ask(run, index, replaced(messages[:index], old, new))
    text = said(reply)
    if not told(text, new) or told(text, old):
        yield f"{where}: the reply is {shown(reply)}, recorded was {shown(messages[index])}"


def said(reply: Message) -> str:
    """Everything that a reply says: its text and its arguments, as plain text."""
    arguments = [decoded(one["function"]["arguments"]) for one in reply.get("tool_calls") or ()]
    return "\n".join([reply["content"] or "", *(str(leaf) for one in arguments for leaf in leaves(one))])


def shown(message: Message) -> str:
    calls = [one["function"] for one in message.get("tool_calls") or ()]
    return json.dumps(calls or message["content"], ensure_ascii=False)[:300]
