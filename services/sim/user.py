"""The scripted user: knows a goal and some facts, and nothing of the plan. A pure function."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from schemas.blueprint import Fact
from services.sim.wording import listed, pick, sentence, told

Json = dict[str, Any]

TELLING = ("{facts}", "Sure, {facts}", "Of course, {facts}", "Right, {facts}", "Ah yes, {facts}")
CONFIRMING = ("Yes, please go ahead.", "Yes, that's right.", "Yes, please do.", "Yes, go ahead.")
UNKNOWN = (
    "I'm sorry, I don't know that.", "I don't have that information, sorry.",
    "I don't know, I'm afraid. Please do what you can without it.",
)  # fmt: skip
THANKS = (
    "Thanks, that's all I needed.", "Great, thank you!", "Perfect, thanks for your help.",
    "Thank you, that's it.", "Wonderful, thanks!", "That's everything. Thanks a lot.",
)  # fmt: skip
CONFIRMATION = re.compile(
    r"\b(shall i|should i|do you want me to|would you like me to|can you confirm|please confirm|is that right"
    r"|is that correct|may i|okay to|ok to|go ahead\?|proceed\?)",
    re.IGNORECASE,
)
CLOSING = re.compile(
    r"\b(anything else|something else|any other questions|further (help|assistance|questions))", re.IGNORECASE
)
OPEN_QUESTION = re.compile(
    r"\b(more (details|information|info)|details|what (exactly )?do you need|which one|any other)",
    re.IGNORECASE,
)
STOP_WORDS = frozenset({"the", "a", "an", "of", "for", "to", "your", "my", "in", "on", "and"})


@dataclass(frozen=True, slots=True)
class UserReply:
    """What the user says; ``ends``: nothing follows."""

    content: str
    ends: bool = False


def reply(messages: Sequence[Json], goal: str, facts: Sequence[Fact], seed: int) -> UserReply:
    """The user's next turn.

    ``messages`` are the dialogue as the user sees it: their own turns have role ``user``, the other
    side's texts role ``assistant``; anything else is passed over. Before the first turn they say the
    goal. The same arguments give the same reply.
    """
    dialogue = [message for message in messages if message.get("role") in ("user", "assistant")]
    if not any(message["role"] == "user" for message in dialogue):
        return UserReply(goal)
    rng = random.Random(f"{seed}/{len(dialogue)}/user")
    answers = [str(message.get("content") or "") for message in dialogue if message["role"] == "assistant"]
    said = answers[-1] if answers else ""
    if CLOSING.search(said) or not asks_something(said):
        return UserReply(pick(rng, THANKS), ends=True)
    told_before = " ".join(str(message.get("content")) for message in dialogue if message["role"] == "user")
    wanted = named_in(said, facts)
    if not wanted and OPEN_QUESTION.search(said):
        wanted = [fact for fact in facts if fact.asked and told(fact.label, fact.value) not in told_before]
    if wanted:
        clauses = listed([told(fact.label, fact.value) for fact in wanted])
        return UserReply(sentence(pick(rng, TELLING).format(facts=clauses)))
    if CONFIRMATION.search(said):
        return UserReply(pick(rng, CONFIRMING))
    return UserReply(pick(rng, UNKNOWN))


def asks_something(text: str) -> bool:
    """Whether the text wants an answer: a question mark at the end of a sentence, or a plain request."""
    outside = re.sub(r'"[^"]*"', '""', text)
    if re.search(r"\?(\s|$|\))", outside):
        return True
    last = re.split(r"(?<=[.!])\s+", outside.strip())[-1]
    return bool(re.search(r"\bplease (provide|share|tell|give|specify|enter|confirm)\b", last, re.IGNORECASE))


def named_in(text: str, facts: Sequence[Fact]) -> list[Fact]:
    """The facts that the text speaks of; "order number" does not speak of a mere "number" as well."""
    rest, found = text.lower(), []
    for fact in sorted(facts, key=lambda one: -len(one.label)):
        if names(rest, fact.label):
            found.append(fact.name)
            rest = rest.replace(fact.label.lower(), " ")
    return [fact for fact in facts if fact.name in found]


def names(text: str, label: str) -> bool:
    """Whether the text speaks of this label: the words of it, or all but a generic last one."""
    lowered = " ".join(re.findall(r"[a-z0-9]+", text.lower()))
    wanted = [word for word in re.findall(r"[a-z0-9]+", label.lower()) if word not in STOP_WORDS]
    wanted = wanted or re.findall(r"[a-z0-9]+", label.lower())
    if not wanted:
        return False
    padded = f" {lowered} "
    return f" {' '.join(wanted)} " in padded or all(f" {word} " in padded for word in wanted)
