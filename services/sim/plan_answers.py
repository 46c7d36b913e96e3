"""What the final answer should report: a few scalars of the last observations that a user would ask for."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from schemas.blueprint import AnswerFact, Fact
from services.sim.plan_clauses import holder_noun
from services.sim.plan_steps import Planned, scalars
from services.sim.spelling import literal, spell
from services.sim.vocabulary import (
    GENERIC_KEYS,
    OPAQUE,
    SPOKEN,
    clash,
    is_technical,
    is_wordy,
    name_words,
    snake,
)
from services.sim.wording import ORDINALS
from services.worlds.credentials import is_credential

MAX_CHARACTERS: Final = 60
MAX_ITEMS: Final = 2
PROSE_WORDS: Final = 5
WORTH: Final = {
    "status": 5, "state": 4, "total": 6, "amount": 6, "balance": 7, "price": 6, "cost": 6, "fee": 5,
    "refund": 7,
    "number": 4, "name": 4, "title": 4, "date": 4, "count": 4, "email": 3, "phone": 3, "city": 3,
    "address": 3,
    "subject": 4, "summary": 2, "due": 5, "expires": 4, "start": 3, "end": 3, "time": 3, "rate": 5,
    "score": 5,
    "rating": 5, "quantity": 4, "currency": 2, "priority": 4, "owner": 3, "assignee": 4, "author": 3,
    "country": 2,
    "version": 3, "size": 3, "duration": 4, "distance": 4, "temperature": 6, "code": 2, "reference": 5,
    "id": 1,
    "confirmation": 6, "tracking": 6, "carrier": 4, "delivery": 5, "stock": 5, "discount": 5, "tax": 4,
    "level": 3,
    "type": 1, "category": 2, "role": 3, "plan": 3, "language": 2, "reason": 3, "message": 1,
    "description": 1,
}  # fmt: skip
POINTLESS: Final = re.compile(
    r"(^|_)(url|uri|href|link|links|self|hash|etag|checksum|sha\d*|md5|token|cursor|next|prev\w*|kind|object|_type"
    r"|html|xml|base64|avatar|image|icon|thumbnail|signature|secret|password|pin|cvv|key|(status|response|return|error|result)_?(code|message|msg)|page\w*|limit|offset|has_more"
    r"|per_page|schema|request_id|trace\w*|success|ok|extensions?|metadata|self_link|uuid|guid|arn|rev\w*|color)($|_)"
)
READABLE_NUMBER: Final = re.compile(r"[A-Z]{2,5}-\d+")
COUNTS: Final = {
    "total found": "number of matches", "total count": "total number of results",
    "total results": "total number of results", "count": "number of results",
}  # fmt: skip
DATES: Final = {
    "created( at| on)?": "creation date", "updated( at| on)?": "date of the last update",
    "modified( at| on)?": "date of the last change", "deleted( at| on)?": "deletion date",
    "expires( at| on)?": "expiry date", "started( at| on)?": "start date", "ended( at| on)?": "end date",
    "completed( at| on)?": "completion date", "published( at| on)?": "publication date",
}  # fmt: skip
GENERIC: Final = frozenset(
    [
        "id",
        "name",
        "status",
        "state",
        "title",
        "date",
        "type",
        "number",
        "total",
        "amount",
        "count",
        "description",
        "price",
        "code",
        "owner",
        "size",
        "version",
        "level",
        "role",
        "category",
        "address",
        "city",
        "email",
        "phone",
        "time",
        "created",
        "updated",
        "start",
        "end",
        "subject",
        "summary",
        "reference",
        "currency",
        "priority",
        "score",
        "rating",
        "duration",
        "message",
        "reason",
        "quantity",
        "value",
        "label",
        "language",
    ]
)


def choose_answers(steps: Sequence[Planned], facts: dict[str, Fact], rng: random.Random) -> list[AnswerFact]:
    """One to three values to report, the most telling first; none where nothing is worth it.

    A value that the user said, or that an argument carried, tells the user nothing and proves nothing.
    """
    said = [spell(fact.value).lower() for fact in facts.values()]
    twins = {step.id: [other for other in steps if other.tool.name == step.tool.name] for step in steps}
    passed = {literal_or(value) for step in steps for value in leaves_of(step.values)}
    last = steps[-1].wave
    unclear = ambiguous(steps)
    held = {fact.label for fact in facts.values()}
    candidates: list[tuple[float, str, AnswerFact, str]] = []
    for step in steps:
        for path, value in scalars(step.observation):
            if any(isinstance(part, int) and part >= MAX_ITEMS for part in path):
                continue
            text = literal_or(value)
            worth = worth_of(path, value, text)
            if worth <= 0 or text in passed or any(clash(text, other) for other in said):
                continue
            if isinstance(value, str) and ("_" in text or text == "deleted"):
                worth *= 0.3
            if snake(str(path[-1])).endswith("id") and step.meaning.verb == "create":
                worth *= 2.0
            nearness = 3.0 if step.wave == last else 1.0 if step.meaning.verb == "get" else 0.3
            label = label_of(step, path, text)
            if len(twins[step.id]) > 1:
                if any(isinstance(part, int) for part in path):
                    continue
                place = ORDINALS[min(twins[step.id].index(step), 3)]
                new = "new " if step.meaning.verb == "create" else ""
                label = f"{without(label, step.meaning.entity)} of the {place} {new}{step.meaning.entity}"
            if (step.id, path) in unclear or label in held:
                continue
            if not is_wordy(label) or label.lower() in GENERIC or not says_enough(label):
                continue
            candidates.append(
                (
                    worth * nearness * rng.uniform(0.6, 1.4),
                    label,
                    AnswerFact(label=label, step=step.id, path=path),
                    text,
                )
            )
    candidates.sort(key=lambda entry: (-entry[0], entry[2].step, [str(part) for part in entry[2].path]))
    wanted = rng.choice((1, 1, 2, 2, 3))
    chosen: list[AnswerFact] = []
    texts: list[str] = []
    for _, label, fact, text in candidates:
        distinct = all(not clash(text, other) for other in texts)
        if distinct and all(label != other.label for other in chosen):
            chosen.append(fact)
            texts.append(text)
        if len(chosen) == wanted:
            break
    order = {step.id: index for index, step in enumerate(steps)}
    return sorted(
        chosen, key=lambda fact: (order[fact.step], [part for part in fact.path if isinstance(part, int)])
    )


def says_enough(label: str) -> bool:
    """Whether a label tells what is meant; of single words only a few do."""
    return " " in label or label.lower() in WORTH or label.lower() in SPOKEN


def ambiguous(steps: Sequence[Planned]) -> set[tuple[str, tuple[str | int, ...]]]:
    """Places of values that a label would not tell from others: another step shows another value for it.

    Of steps one after the other the last one is meant; of steps side by side it is not clear.
    """
    shown: dict[str, list[tuple[Planned, tuple[str | int, ...], str]]] = {}
    for step in steps:
        for path, value in scalars(step.observation):
            shown.setdefault(label_of(step, path, literal_or(value)), []).append(
                (step, path, literal_or(value))
            )
    return {
        (step.id, path)
        for places in shown.values()
        for step, path, text in places
        if any(
            other.id != step.id
            and other.tool.name != step.tool.name
            and said != text
            and other.wave >= step.wave
            for other, _, said in places
        )
    }


def leaves_of(value: Any) -> Iterator[Any]:
    """All scalars of a JSON value."""
    if isinstance(value, dict):
        for part in value.values():
            yield from leaves_of(part)
    elif isinstance(value, list):
        for part in value:
            yield from leaves_of(part)
    else:
        yield value


def literal_or(value: Any) -> str:
    """The literal text of a scalar, or an empty text for what has none."""
    try:
        return literal(value)
    except ValueError:
        return ""


def worth_of(path: Sequence[str | int], value: Any, text: str) -> float:
    """How much a user would care for this value; 0: not at all."""
    keys = [part for part in path if isinstance(part, str)]
    timely = bool(keys) and re.search(
        r"(^|_)(date|time|at|on|created|updated|expir\w*|timestamp)($|_)", snake(keys[-1])
    )
    state = bool(keys) and re.search(r"(^|_)(status|state|phase|stage)$", snake(keys[-1]))
    if state and not isinstance(value, str):
        return 0.0
    if timely and not isinstance(value, str):
        return 0.0
    if value in (0, 0.0) or text.lower() in ("you", "me", "none", "n/a"):
        return 0.0
    if not keys or not text or len(text) < 2 or len(text) > MAX_CHARACTERS:
        return 0.0
    key = snake(keys[-1])
    if (
        any(POINTLESS.search(snake(part)) for part in keys)
        or is_credential(keys[-1])
        or is_technical(keys[-1])
    ):
        return 0.0
    if key in ("data", "value", "values", "result", "content", "elements"):
        return 0.0
    if "?" in text or "\n" in text or '"' in text or "://" in text or text.startswith(("/", "{", "[", "<")):
        return 0.0
    if (
        isinstance(value, str)
        and len(text) > 20
        and " " not in text
        and OPAQUE.fullmatch(text)
        and "@" not in text
    ):
        return 0.0
    worth = float(max((WORTH.get(word, 0) for word in key.split("_")), default=0)) or 0.8
    worth *= 0.5 if isinstance(value, int) and re.search(r"total|count", key) else 1.0
    worth *= 0.3 if len(text.split()) > PROSE_WORDS else 1.0
    worth *= 0.5 if any(isinstance(part, int) for part in path) else 1.0
    return worth * 0.8 ** (len(keys) - 1)


def label_of(step: Planned, path: Sequence[str | int], text: str) -> str:
    """How a user calls the value at ``path``: "refund amount", "status of the first order"."""
    keys = [part for part in path if isinstance(part, str)]
    indices = [part for part in path if isinstance(part, int)]
    if not keys:
        return ""
    words = step.meaning.labels.get(keys[-1]) or name_words(keys[-1])
    words = COUNTS.get(words, re.sub(r"^(is|has|signed) ", "", words))
    words = re.sub(
        r"(?<=\w) (minutes|hours|days|seconds|bytes|percent|usd|eur)$", lambda unit: f" in {unit[1]}", words
    )
    for ending, noun in () if "date" in words else DATES.items():
        words = re.sub(rf"\b{ending}$", noun, words)
    words = re.sub(r"(?<=\w) date time$", " date", words)
    if READABLE_NUMBER.fullmatch(text):
        words = re.sub(r"\bID$", "number", words)
    holder = step.meaning.entity
    if len(keys) > 1 and isinstance(path[-2], str):
        outer = name_words(keys[-2])
        holder = holder if outer.split()[-1] in GENERIC_KEYS or not is_wordy(outer) else outer
    generic = all(word.lower() in GENERIC for word in words.split())
    if generic and not indices and holder and holder.lower() not in words.lower():
        words = f"{holder} {words}"
        words = re.sub(r"\b(\w+) \1\b", r"\1", words)
    if indices:
        noun = holder_noun(path, step)
        return f"{without(words, noun)} of the {ORDINALS[min(indices[-1], 3)]} {noun}"
    return words


def without(words: str, noun: str) -> str:
    """The words without a leading noun that is named after them anyway ("track title" of a track)."""
    return words.removeprefix(f"{noun} ") if words.startswith(f"{noun} ") else words
