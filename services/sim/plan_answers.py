"""What the final answer should report: a few scalars of the last observations that a user would ask for."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from schemas.blueprint import AnswerFact, Fact
from services.sim.plan_references import LISTING, holder_noun, names_of
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
    same,
    snake,
)
from services.sim.wording import ORDINALS
from services.worlds.credentials import is_credential
from services.worlds.fitting import leaves
from services.worlds.words import singular

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

    All are of the last wave, which the request comes down to; where that shows nothing worth it, all are
    of one earlier step, the latest one.
    """
    candidates = [
        (worth * rng.uniform(0.6, 1.4), fact, text) for worth, fact, text in reportable(steps, facts)
    ]
    candidates.sort(key=lambda entry: (-entry[0], entry[1].step, [str(part) for part in entry[1].path]))
    focus = {step.id for step in focus_of(steps)}
    kept = [entry for entry in candidates if entry[1].step in focus]
    if not kept and candidates:
        # The latest that shows a record of its own comes first: an element of a list is seldom the point.
        order = {step.id: (step.meaning.verb not in LISTING, index) for index, step in enumerate(steps)}
        source = max((fact.step for _, fact, _ in candidates), key=lambda name: order[name])
        kept = [entry for entry in candidates if entry[1].step == source]
    wanted = rng.choice((1, 1, 2, 2, 3))
    chosen: list[AnswerFact] = []
    texts: list[str] = []
    for _, fact, text in kept:
        distinct = all(not clash(text, other) for other in texts)
        if distinct and all(fact.label != other.label for other in chosen):
            chosen.append(fact)
            texts.append(text)
        if len(chosen) == wanted:
            break
    number = {step.id: index for index, step in enumerate(steps)}
    return sorted(
        chosen, key=lambda fact: (number[fact.step], [part for part in fact.path if isinstance(part, int)])
    )


def focus_of(steps: Sequence[Planned]) -> list[Planned]:
    """The steps that a request comes down to: all of the last wave, changes and the reads beside them."""
    return [step for step in steps if step.wave == steps[-1].wave]


def mute(steps: Sequence[Planned], facts: dict[str, Fact]) -> bool:
    """Whether a plan ends with reads that show nothing to report."""
    last = [step for step in steps if step.wave == steps[-1].wave]
    ids = {step.id for step in last}
    return not any(step.meaning.writes for step in last) and not any(
        fact.step in ids for _, fact, _ in reportable(steps, facts)
    )


def reportable(steps: Sequence[Planned], facts: dict[str, Fact]) -> Iterator[tuple[float, AnswerFact, str]]:
    """What could be reported, with its worth and its text, by labels that can mean nothing else.

    A value that the user said, or that an argument carried, tells the user nothing and proves nothing.
    """
    said = [spell(fact.value).lower() for fact in facts.values()]
    passed = {literal_or(value) for step in steps for value in leaves(step.values)}
    held = {fact.label for fact in facts.values()}
    last = steps[-1].wave
    places = shown_by(steps)
    for step in steps:
        twins = [other for other in steps if other.tool.name == step.tool.name]
        for path, value in scalars(step.observation):
            if not placeable(step, path):
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
            if label in held or label.lower() in GENERIC or not says_enough(label):
                continue
            if len(twins) > 1:
                if any(isinstance(part, int) for part in path):
                    continue
                place = ORDINALS[min(place_of(step, twins), 3)]
                new = "new " if step.meaning.verb == "create" else ""
                label = f"{without(label, step.meaning.entity)} of the {place} {new}{step.meaning.entity}"
            label = told_apart(label, step, path, text, twins, steps, places)
            if not label or label in held or not all(map(is_wordy, label.split(" of the "))):
                continue
            yield worth * nearness, AnswerFact(label=label, step=step.id, path=path), text


def place_of(step: Planned, twins: Sequence[Planned]) -> int:
    """Which of several records of a kind a step is about: by its list where it was taken from one."""
    for item in step.items:
        key = next((part for part in reversed(item.path) if isinstance(part, str)), "")
        generic = not key or name_words(key).split()[-1] in GENERIC_KEYS
        if item.length > 1 and (generic or same(singular(name_words(key)), step.meaning.entity)):
            return item.index
    return list(twins).index(step)


def placeable(step: Planned, path: Sequence[str | int]) -> bool:
    """Whether a value stands in no list, or early in one list of records that has a name.

    The elements of a nameless list within one record ("line items") cannot be called by the record's name.
    """
    indices = [part for part in path if isinstance(part, int)]
    named = step.meaning.verb in LISTING or holder_noun(path, step) != step.meaning.entity
    return not indices or (len(indices) == 1 and indices[0] < MAX_ITEMS and named)


def says_enough(label: str) -> bool:
    """Whether a label tells what is meant; of single words only a few do."""
    return " " in label or label.lower() in WORTH or label.lower() in SPOKEN


def shown_by(steps: Sequence[Planned]) -> dict[str, list[tuple[Planned, tuple[str | int, ...], str]]]:
    """All values of the observations, by what a user calls them without saying which record's they are."""
    shown: dict[str, list[tuple[Planned, tuple[str | int, ...], str]]] = {}
    for step in steps:
        for path, value in scalars(step.observation):
            text = literal_or(value)
            shown.setdefault(bare_label(step, path, text), []).append((step, path, text))
    return shown


def bare_label(step: Planned, path: Sequence[str | int], text: str) -> str:
    """A value's label without the place of its record in a list: "order status" of any order."""
    label = label_of(step, path, text)
    if not any(isinstance(part, int) for part in path):
        return label
    noun, words = holder_noun(path, step), label.partition(" of the ")[0]
    return f"{noun} {words}" if all(word.lower() in GENERIC for word in words.split()) else words


def told_apart(
    label: str,
    step: Planned,
    path: Sequence[str | int],
    text: str,
    twins: Sequence[Planned],
    steps: Sequence[Planned],
    places: dict[str, list[tuple[Planned, tuple[str | int, ...], str]]],
) -> str:
    """The label, with its record named where other records show another value for it; empty if it cannot be.

    What a later step shows of the same record counts, and what an earlier one has shown of it does not.
    """
    ids = {other.id for other in twins}
    bare = bare_label(step, path, text)
    rivals = [
        (other, place)
        for other, place, said in places.get(bare, ())
        if other.id not in ids and said != text and not (one_record(other, step) and other.wave < step.wave)
    ]
    if any(isinstance(part, int) for part in path):
        # "of the first order" names it already, unless there is another list of orders or an order apart.
        clear = all(not same(holder_noun(place, other), holder_noun(path, step)) for other, place in rivals)
        return label if clear else ""
    entity = step.meaning.entity
    later = [
        other
        for other in steps
        if other.wave > step.wave and same(other.meaning.entity, entity) and not one_record(other, step)
    ]
    if not rivals and not later:
        return label
    if len(twins) > 1 or any(one_record(other, step) and other.wave > step.wave for other, _ in rivals):
        return ""
    made = [other for other in steps if other.meaning.verb == "create" and same(other.meaning.entity, entity)]
    if len(made) == 1 and (made[0].id == step.id or one_record(made[0], step)):
        return f"{without(label, entity)} of the new {entity}"
    if any(same(holder_noun(place, other), entity) for other, place in rivals) or later:
        return by_place(label, step, steps)
    # "price of the product", where an order shows a price, too.
    return "" if entity in label or not entity else f"{label} of the {entity}"


def by_place(label: str, step: Planned, steps: Sequence[Planned]) -> str:
    """The label with the place in a list that its record came from; empty where that is not the one list.

    "due date of the first task" for a task that was looked up from a list of tasks.
    """
    entity = step.meaning.entity
    items = [item for item in step.items if item.length > 1]
    by_id = {other.id: other for other in steps}
    of_kind = [
        other for other in steps if other.meaning.verb in LISTING and same(other.meaning.entity, entity)
    ]
    if len(items) != 1 or of_kind != [by_id[items[0].step]] or not names_of(step):
        return ""
    return f"{without(label, entity)} of the {ORDINALS[min(items[0].index, 3)]} {entity}"


def one_record(one: Planned, other: Planned) -> bool:
    """Whether two steps returned the same record, by its own id."""
    return same(one.meaning.entity, other.meaning.entity) and bool({*names_of(one)} & {*names_of(other)})


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
