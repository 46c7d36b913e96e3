"""Defects in what is said. Each planter returns None when the run has no place for it."""

from __future__ import annotations

import json
import random
import re
from typing import Any

from schemas.blueprint import Blueprint, Fact
from services.agent_runner.grounding import (
    MISSING,
    at,
    find,
    is_number,
    leaves,
    occurs,
)
from tests.support.alteration import altered
from tests.support.run_parts import Messages, shuffled, steps_made


def answer_without_fact(blueprint: Blueprint, messages: Messages, rng: random.Random) -> Messages | None:
    """The final answer says nothing of a value that it must report."""
    made = {step.id: call for step, call in steps_made(blueprint, messages)}
    final = next((one for one in reversed(messages) if one["role"] == "assistant"), None)
    due = []
    for fact in blueprint.answer_facts:
        value = at(made[fact.step].content, fact.path) if fact.step in made else MISSING
        due += [leaf for _, leaf in leaves(value) if (isinstance(leaf, str) and leaf) or is_number(leaf)]
    blank = [text for text in BLANKS if not any(occurs(_lower(leaf), text.lower()) for leaf in due)]
    if not due or final is None or final.get("tool_calls") or not blank:
        return None
    final["content"] = rng.choice(blank)
    return messages


BLANKS = (
    "That's all taken care of. Is there anything else you would like me to look at?",
    "Everything went through as you asked.",
    "I've finished what you wanted.",
)


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def leaked_plan(blueprint: Blueprint, messages: Messages, rng: random.Random) -> Messages | None:
    """An assistant's text speaks of the plan, a tool's identifier, or a value before it is known."""
    turns = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    if not turns or not blueprint.steps:
        return None
    step = rng.choice(blueprint.steps)
    leaks = [
        (rng.choice(turns), f"Next comes ${step.id}.result, as planned."),
        (rng.choice(turns), "The expected observation is the same."),
        (rng.choice(turns), "This is what the blueprint says."),
    ]
    everything = "\n".join(str(message["content"]) for message in messages)
    names = [tool.name for tool in blueprint.tools if "_" in tool.name and tool.name not in everything]
    if names:
        leaks.append((rng.choice(turns), f"I use {rng.choice(names)} for this."))
    for fact in blueprint.facts:
        said = "\n".join(str(message["content"]) for message in messages[: turns[0]])
        long = isinstance(fact.value, str) and len(fact.value) >= 4 and bool(re.search(r"\d", fact.value))
        if fact.asked and long and fact.value not in said:
            leaks.append((turns[0], f"I suppose it is about {fact.value}."))
    for index, leak in shuffled(leaks, rng):
        # A line of its own: a text may end without a full stop, and must not run on into the leak.
        messages[index]["content"] = "\n".join([messages[index]["content"] or "", leak]).strip()
        return messages
    return None


def contradiction(blueprint: Blueprint, messages: Messages, rng: random.Random) -> Messages | None:
    """A held fact is stated with another value: by the user, first or in addition; by the assistant."""
    everything = "\n".join([blueprint.goal, *(str(message["content"]) for message in messages)])
    for fact in shuffled([fact for fact in blueprint.facts if fact.label], rng):
        if not isinstance(fact.value, str) and not is_number(fact.value):
            continue
        others = [altered(fact.value, rng) for _ in range(8)]
        other = next((value for value in others if not occurs(value, everything)), None)
        if other is None:
            continue
        for way in shuffled([_replaced, _added, _misquoted], rng):
            planted = way(fact, other, messages)
            if planted is not None:
                return planted
    return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _replaced(fact: Fact, other: Any, messages: Messages) -> Messages | None:
    """The user says the other value wherever they said the fact's, where its label leads to it."""
    value = _text(fact.value)
    said = re.compile(rf"(?i:\b{re.escape(fact.label)})\s+(?:is|are)\s+[\"“]?{re.escape(value)}(?!\w)")
    if not any(message["role"] == "user" and said.search(message["content"]) for message in messages):
        return None
    for message in messages:
        if message["role"] == "user":
            text, start = message["content"], find(value, message["content"])
            while start >= 0:
                text = text[:start] + _text(other) + text[start + len(value) :]
                start = find(value, text, start + len(_text(other)))
            message["content"] = text
    return messages


def _added(fact: Fact, other: Any, messages: Messages) -> Messages | None:
    """The user states the fact a second time, differently."""
    turns = [message for message in messages if message["role"] == "user"]
    if not turns or not any(occurs(fact.value, turn["content"]) for turn in turns[:-1] or turns):
        return None
    if isinstance(fact.value, str) and not re.search(r"\d", fact.value):
        return None
    turns[-1]["content"] += f" Sorry, the {fact.label} is {_text(other)}."
    return messages


def _misquoted(fact: Fact, other: Any, messages: Messages) -> Messages | None:
    """The assistant's last text states the fact differently."""
    final = messages[-1]
    if final["role"] != "assistant" or occurs(fact.value, final["content"]):
        return None
    final["content"] += f" By the way, the {fact.label} is {_text(other)}."
    return messages
