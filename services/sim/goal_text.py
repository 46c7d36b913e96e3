"""The user's request in the user's words: what is to be done, what they know, what they want to hear.

Values stand in their canonical spelling, once, with words around them that make them easy to find again.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Final

from schemas.blueprint import AnswerFact, Fact
from services.sim.personas import ALONGSIDE, ASKING, CONNECTORS, GREETINGS, OPENINGS, OWN, Style
from services.sim.plan_clauses import Clause, choose, make_clauses
from services.sim.plan_steps import Planned
from services.sim.script_maker import find_places, find_spans
from services.sim.wording import article, listed, pick, sentence, shown, told

TRIES: Final = 12
FIRST_PERSON: Final = ("I", "I'd", "I'm", "I've")
TAILS: Final = (", please.", " too?", " as well.", " for me?")
QUERIES: Final = frozenset(
    (
        "search words",
        "query",
        "search query",
        "search term",
        "search text",
        "keyword",
        "keywords",
        "search",
        "term",
    )
)
NAMING: Final = re.compile(r"\b(name|title)$")
DETAILS: Final = ("Here are the details: {d}.", "The details are: {d}.", "Details: {d}.")


def write_goal(
    steps: Sequence[Planned],
    facts: dict[str, Fact],
    answers: Sequence[AnswerFact],
    style: Style,
    rng: random.Random,
    more: Sequence[Clause] = (),
) -> tuple[str, dict[str, str]] | None:
    """The opening request, and each step's purpose by step id. ``more`` is said after the steps.

    Every fact that is not asked for later stands in it exactly once; ``None`` where no wording achieves
    that.
    """
    opening = [fact for fact in facts.values() if not fact.asked]
    hidden = [fact for fact in facts.values() if fact.asked]
    for _ in range(TRIES):
        clauses, purposes = make_clauses(steps, facts, rng)
        text = compose([*clauses, *more], answers, style, rng)
        if sound(text, opening, hidden, [step.tool.name for step in steps]):
            return text, purposes
    return None


def sound(text: str, opening: Sequence[Fact], hidden: Sequence[Fact], tools: Sequence[str]) -> bool:
    """Whether each opening fact can be read back, once, and nothing else is given away."""
    spans = [span.fact for span in find_spans([*opening, *hidden], text)]
    if sorted(spans) != sorted(fact.name for fact in opening):
        return False
    places = find_places(opening, [{"role": "user", "content": text}])
    if any(place.kind != "user" for place in places.values()):
        return False
    identifiers = [tool for tool in tools if not tool.islower() or not tool.isalpha()]
    return "{" not in text and not any(re.search(rf"\b{re.escape(tool)}\b", text) for tool in identifiers)


def compose(
    clauses: Sequence[Clause], answers: Sequence[AnswerFact], style: Style, rng: random.Random
) -> str:
    """All of it as one message."""
    parts: list[str] = []
    used: set[str] = set()
    greeting = pick(rng, GREETINGS[style])
    for index, clause in enumerate(clauses):
        inline, after = place_facts(clause, rng)
        templates = CONNECTORS[style]
        if not index:
            templates = OPENINGS[style]
        elif clause.alongside:
            templates = ALONGSIDE[style]
        if clause.own:
            templates = tuple(one for one in templates if re.search(OWN, one)) or (
                "I'd also like to {clause}.",
            )
        if inline or clause.woven or len(clause.text) > 60:
            templates = tuple(one for one in templates if not one.endswith(TAILS)) or templates
        body = f"{clause.text}{inline}"
        parts.append(choose(rng, templates, used).format(clause=body, Clause=body[:1].upper() + body[1:]))
        parts.extend(after)
    if answers:
        wanted = listed([article(answer.label) for answer in answers])
        parts.append(pick(rng, ASKING[style]).format(answers=wanted))
    body = " ".join(sentence(part) for part in parts)
    # A quotation that ends in a full stop ends the sentence, too.
    body = re.sub(r'([.!?]")\.', r"\1", body)
    if greeting.endswith((",", ":")) and body.split(maxsplit=1)[0] not in FIRST_PERSON:
        body = body[:1].lower() + body[1:]
    return f"{greeting} {body}".strip()


def place_facts(clause: Clause, rng: random.Random) -> tuple[str, list[str]]:
    """The facts of a clause that are not woven into it: within it, or in sentences after it."""
    facts = [fact for fact in clause.facts if fact.name not in clause.woven]
    if not facts:
        return "", []
    texts = [shown(fact.value) for fact in facts]
    if len(facts) == 1:
        inline = within(clause, facts[0], rng)
        if inline:
            return inline, []
    quoted = any(text.startswith('"') for text in texts)
    textual = all(isinstance(fact.value, str) for fact in facts)
    if clause.verb == "create" and textual and len(facts) <= 2 and not quoted and rng.random() < 0.5:
        return " with " + listed([f"{article(fact.label)} {shown(fact.value)}" for fact in facts]), []
    if len(facts) >= 4 and rng.random() < 0.15:
        details = ", ".join(f"{fact.label}: {text}" for fact, text in zip(facts, texts, strict=True))
        return "", [pick(rng, DETAILS).format(d=details)]
    half = len(facts) if len(facts) <= 3 else (len(facts) + 1) // 2
    return "", [
        sentence(listed([told(fact.label, fact.value) for fact in part]))
        for part in (facts[:half], facts[half:])
        if part
    ]


def within(clause: Clause, fact: Fact, rng: random.Random) -> str:
    """The one fact of a clause, told within it where that reads well; else an empty text."""
    text, words = shown(fact.value), fact.label.lower()
    if clause.woven or isinstance(fact.value, bool):
        return ""
    if words in QUERIES and clause.verb in ("search", "list"):
        return (
            f": {text}" if re.search(r" by (its |their )?(name|title)$", clause.text) else f" matching {text}"
        )
    if "email" in words and clause.verb in ("search", "get", "list"):
        return f": {text}" if clause.text.endswith(" by email") else f" ({text})"
    if text.startswith('"'):
        return ""
    if NAMING.search(words) and clause.verb == "create":
        apart = re.search(r" (on|in|to|for|at|from|of) ", clause.text)
        return f" with the {fact.label} {text}" if apart else f" called {text}"
    if NAMING.search(words) and clause.text.startswith(("rename", "change the name")):
        return f" to {text}"
    coded = re.search(r"\b(number|id|code|reference|date|day|seat)$", words) and re.search(r"\d", text)
    if coded and rng.random() < 0.6 and clause.verb in ("get", "update", "delete", "act"):
        return f" ({fact.label} {text})"
    return ""
