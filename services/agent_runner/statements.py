"""What the two sides may not say: matter that only the plan holds, and held facts with other values.

Ours, not the paper's. Both checks read texts only, so they aim at precision: a value counts as known to
a speaker when it stands anywhere in what that speaker has seen.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

from schemas.blueprint import Blueprint, Fact
from schemas.run import Attribution, Finding
from services.agent_runner.grounding import find, fixed_values, is_number, leaves, numbers, occurs
from services.agent_runner.trace import spoken

PLAN_PHRASES: Final = (
    "blueprint", "expected observation", "expected value", "ground truth", "answer facts", "answer_facts",
    "initial_state", "distractor", "held fact", "injected fault", "tool simulator", "user simulator",
)  # fmt: skip
CONNECTOR: Final = r"\s*(?:is|are|was|were|=|:|should be|will be)\s*[:=]?\s*"
QUOTED: Final = re.compile("[\"“'‘`]([^\"”'’`\n]+)[\"”'’`]")
TOKEN: Final = re.compile(r"[^\s,;!?()\"“”‘’`]+")
CLAUSE: Final = re.compile(r"[^,;!?\n\"“”]+?(?=[,;!?\n\"“”]|\.(?:\s|$)|\s(?:and|but|for|so|with)\s|$)")
LONGEST: Final = 80


def contradictions(blueprint: Blueprint, messages: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """Turns that state a held fact with another value.

    In the user's turns: another value after the fact's label, after the words that lead to it in the
    goal, or of the very form of the fact's value; in the assistant's: another value after the label.
    A value that the speaker has from elsewhere is no contradiction.
    """
    held = [blueprint.goal, blueprint.persona]
    held += [_spelled(leaf) for fact in blueprint.facts for _, leaf in leaves(fact.value)]
    held += [fact.label for fact in blueprint.facts]
    heard: list[str] = []
    for index, message in enumerate(messages):
        text, role = spoken(message), message.get("role")
        if role in ("user", "assistant") and text:
            pool = "\n".join([*held, *heard] if role == "user" else heard)
            who: Attribution = "user" if role == "user" else "assistant"
            for fact in blueprint.facts:
                other = _other(blueprint, fact, text, pool, user=role == "user")
                if other:
                    detail = f"message {index}: {fact.label} is {_cut(fact.value)}, said to be {_cut(other)}"
                    yield Finding(code="contradiction", attribution=who, detail=detail)
        if role != "system":
            heard.append(str(message.get("content") or ""))


def _other(blueprint: Blueprint, fact: Fact, text: str, pool: str, *, user: bool) -> str:
    """A value other than the fact's that the text states for it, or an empty string."""
    values = [leaf for _, leaf in leaves(fact.value) if isinstance(leaf, str) or is_number(leaf)]
    if not values:
        return ""
    candidates: list[tuple[Any, str]] = []
    here = any(occurs(value, text) or find(_plain(_spelled(value)), _plain(text)) >= 0 for value in values)
    if _may_name(text, fact.label) and not (here and _kind(_spelled(values[0])) == "text"):
        candidates += [(values[0], found) for found in _after(_label(fact.label), text, values[0])]
    if user and not here:
        for value in values:
            for anchor in _anchors(_spelled(value), blueprint.goal):
                if anchor not in text:  # an expression costs more to make than to use
                    continue
                candidates += [(value, found) for found in _after(re.escape(anchor), text, value)]
    if user:
        forms = {_form(_spelled(value)): value for value in values if _distinctive(value)}
        for token in TOKEN.findall(text) if forms else ():
            bare = token.strip(".:'")
            form = "" if bare.isalpha() else _form(bare)  # what is distinctive has a digit
            if form in forms:
                candidates.append((forms[form], bare))
    for value, found in candidates:
        said_right = _plain(found) in {_plain(_spelled(value)) for value in values}
        if not said_right and _kind(found) == _kind(_spelled(value)) and not _known(found, pool):
            return found
    return ""


def _may_name(text: str, label: str) -> bool:
    """False only where the text cannot hold the label's words; making an expression costs far more."""
    if not (text.isascii() and label.isascii()):
        return bool(label)
    said = text.lower()
    return bool(label) and all(word in said for word in label.lower().split())


def _label(label: str) -> str:
    return r"(?i:\b" + r"\s+".join(re.escape(word) for word in label.split()) + r"\b)" + CONNECTOR


def _after(pattern: str, text: str, value: Any) -> Iterator[str]:
    """What stands in the text just after the pattern, cut to the kind of thing that ``value`` is.

    Of several words, also what has the very form of the value ("21 Elm Street" for "18 Elm Street").
    """
    spelled = _spelled(value)
    phrase = _kind(spelled) == "text" or " " in spelled
    for match in re.finditer(pattern, text):
        rest = text[match.end() :]
        if rest.startswith(spelled):
            continue
        window = rest.lstrip("\"“'‘`")[: len(spelled)]
        if phrase and _form(window) == _form(spelled):
            yield window
        quoted = QUOTED.match(rest)
        part = quoted or (CLAUSE if phrase else TOKEN).match(rest)
        found = part.group(part.lastindex or 0).strip(" .:'") if part else ""
        if found:
            yield found


def _anchors(value: str, goal: str) -> list[str]:
    """The few words of the goal that stand before each occurrence of the value."""
    found = []
    position = find(value, goal)
    while position >= 0:
        words = re.search(r"(?:[^\s.,;!?]+\s+){1,4}[\"“'‘#$]?$", goal[:position])
        if words and len(words.group().strip()) >= 8:
            found.append(words.group())
        position = find(value, goal, position + 1)
    return found


def _known(found: str, pool: str) -> bool:
    if _kind(found) == "number":
        figures = numbers(found)
        return not figures or figures <= numbers(pool)
    return _plain(found) in _plain(pool)


@lru_cache(maxsize=64)  # the texts and values of one run, over and over
def _plain(text: str) -> str:
    """The text as it may be spoken: members of an enum lose their underscores and capitals."""
    return re.sub(r"[\s_-]+", " ", text).strip().lower()


@lru_cache(maxsize=512)
def _kind(text: str) -> str:
    if re.fullmatch(r"[$€£]?[-+]?[\d,]*\.?\d+%?", text):
        return "number"
    return "code" if any(character.isdigit() for character in text) else "text"


@lru_cache(maxsize=512)
def _form(text: str) -> str:
    """The form of a token: runs of digits, of small and of capital letters, and what joins them."""
    text = re.sub(r"\d+", "0", text)
    return re.sub(r"[A-Z]+", "A", re.sub(r"[a-z]+", "a", text))


def _distinctive(value: Any) -> bool:
    """Whether a value is unlikely to be said by chance: four characters or more with a digit in it."""
    text = _spelled(value)
    return len(text) >= 4 and any(character.isdigit() for character in text) and len(text.split()) == 1


def leaks(blueprint: Blueprint, messages: Sequence[dict[str, Any]]) -> Iterator[Finding]:
    """Texts that hold what only the plan holds.

    References to steps, phrases of planning, identifiers of tools; in the assistant's texts also an
    asked fact's value before the user told it, and an expected value before it was observed.
    """
    fixed = {_spelled(value) for tool in blueprint.tools for value in fixed_values(tool.input_schema)}
    public = [blueprint.goal, blueprint.persona]
    asked = [(fact, leaf) for fact in blueprint.facts if fact.asked for _, leaf in leaves(fact.value)]
    told = [blueprint.goal, *(_spelled(leaf) for fact in blueprint.facts for _, leaf in leaves(fact.value))]
    expected = _expected(blueprint, "\n".join(told), fixed)
    heard: list[str] = []
    for index, message in enumerate(messages):
        text, role = spoken(message), message.get("role")
        if role in ("user", "assistant") and text:
            who: Attribution = "user" if role == "user" else "assistant"
            seen = "\n".join(heard)
            found = list(_planning(blueprint, text, "\n".join([*public, seen])))
            if role == "assistant":
                found += [
                    f"{fact.label} ({_cut(leaf)}) before the user told it"
                    for fact, leaf in asked
                    if _private(leaf) and _spelled(leaf) not in fixed and _early(leaf, text, seen)
                ]
            found += [
                f"{_cut(leaf)}, expected of step {step}, before it was observed"
                for step, leaf in expected
                if _early(leaf, text, seen)
            ]
            for what in found:
                detail = f"message {index} speaks of {what}"
                yield Finding(code="leaked_plan", attribution=who, detail=detail)
        if role != "system":
            heard.append(str(message.get("content") or ""))


def _planning(blueprint: Blueprint, text: str, seen: str) -> Iterator[str]:
    lowered = text.lower()
    for phrase in PLAN_PHRASES:
        if phrase in lowered and phrase not in seen.lower() and phrase not in _definitions(blueprint):
            yield f"{phrase!r}"
    for step in blueprint.steps:
        if step.id not in text:
            continue
        name = re.escape(step.id)
        reference = re.search(rf"\$\{{?{name}\b|\bstep[\s:#]+{name}\b(?![-\w])|\b{name}\.[a-z]\w*", text)
        if reference and reference.group() not in seen:
            yield f"step {step.id} ({reference.group()!r})"
    for tool in blueprint.tools:
        if _identifier(tool.name) and find(tool.name, text) >= 0 and tool.name not in seen:
            yield f"the tool {tool.name}"


def _definitions(blueprint: Blueprint) -> str:
    return json.dumps([[tool.description, tool.input_schema] for tool in blueprint.tools]).lower()


def _identifier(name: str) -> bool:
    """Whether a tool's name is no word of prose: joined by underscores, or camel case."""
    return "_" in name or bool(re.search(r"[a-z][A-Z]", name)) or name.count("-") >= 2


def _private(value: Any) -> bool:
    text = _spelled(value)
    return _distinctive(value) or (isinstance(value, str) and len(text) >= 8 and " " in text)


def _expected(blueprint: Blueprint, told: str, fixed: set[str]) -> list[tuple[str, Any]]:
    """Distinctive values that only the plan's expected observations hold, each with its first step."""
    found: dict[str, tuple[str, Any]] = {}
    for step in blueprint.steps:
        for _, leaf in leaves(step.expected):
            text = _spelled(leaf)
            if (isinstance(leaf, str) or is_number(leaf)) and _private(leaf) and text not in fixed:
                found.setdefault(text, (step.id, leaf))
    return [entry for text, entry in found.items() if not _said(entry[1], told)]


def _early(value: Any, text: str, seen: str) -> bool:
    return _spelled(value) in text and occurs(value, text) and not _said(value, seen)


def _said(value: Any, text: str) -> bool:
    """Whether a text holds the value, as it stands or as it is escaped in JSON."""
    spelled = _spelled(value)
    return occurs(value, text) or spelled in text or json.dumps(spelled)[1:-1] in text


def _spelled(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _cut(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
