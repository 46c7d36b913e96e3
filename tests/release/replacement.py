"""Values in a dialogue, found by looking at it alone: no plan, no script.

A value is a string or a number that stands as a leaf in the JSON of tool results and in no user turn.
"""

from __future__ import annotations

import copy
import json
import random
import re
from collections.abc import Iterator, Sequence
from typing import Any

from tests.support.alteration import altered

Message = dict[str, Any]
DAY = re.compile(r"\d{4}-\d\d-\d\d")
SHORTEST = 3


def _token(text: str) -> str:
    """A pattern of the text as a word or number of its own; a sentence may end after it."""
    return rf"(?<![\w.]){re.escape(text)}(?!\w|[.,:]\d)"


def decoded(text: str | None) -> Any:
    try:
        return json.loads(text or "")
    except ValueError:
        return text


def leaves(value: Any) -> Iterator[str | int | float]:
    """All strings and numbers of a JSON value."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from leaves(item)
    elif isinstance(value, str | int | float) and not isinstance(value, bool):
        yield value


def told(text: str, value: str | float) -> bool:
    """Whether a text holds a value as a token; numbers also as people write them (1,200 or 20.50)."""
    if isinstance(value, str):
        return bool(re.search(_token(value), text, re.IGNORECASE))
    forms = {str(value), f"{value:,}", f"{value:.2f}", f"{value:,.2f}"}
    return any(re.search(_token(form), text) for form in forms)


def reported(text: str, value: str | float, vocabulary: str) -> bool:
    """Whether a text reports a value in one place, spelled as it is.

    A single word in small letters (deleted, open) may be one of the text's own: it counts only where
    ``vocabulary``, what the text's words come from, has no word that begins like it.
    """
    if not isinstance(value, str):
        return told(text, value)
    if value.isalpha() and value.islower() and value[: max(3, len(value) - 3)] in vocabulary.lower():
        return False
    return value in text and len(re.findall(_token(value), text, re.IGNORECASE)) == 1


def results(messages: Sequence[Message]) -> list[Any]:
    return [decoded(one["content"]) for one in messages if one["role"] == "tool"]


def from_results_alone(messages: Sequence[Message], value: str | float) -> bool:
    """Whether a value stands in a tool result among ``messages`` and in no turn of the user."""
    users = [one["content"] for one in messages if one["role"] == "user"]
    seen = any(
        value == leaf and type(value) is type(leaf) for one in results(messages) for leaf in leaves(one)
    )
    return seen and not any(told(text, value) for text in users)


def candidates(values: Iterator[str | int | float]) -> list[str | int | float]:
    """Distinct values, the most telling first: long strings with digits, then others, then numbers."""
    found = dict.fromkeys(one for one in values if not isinstance(one, str) or len(one) >= SHORTEST)
    return sorted(
        found,
        key=lambda one: (
            not isinstance(one, str),
            not any(character.isdigit() for character in str(one)),
            -len(str(one)) if len(str(one)) <= 40 else 0,
        ),
    )


def fresh(value: str | float, messages: Sequence[Message], rng: random.Random) -> Any:
    """Another value of the same JSON type and form that stands nowhere in the messages; None if none is."""
    everything = json.dumps(list(messages), ensure_ascii=False)
    for _ in range(20):
        if isinstance(value, str) and DAY.match(value):
            other: Any = f"20{rng.randrange(31, 60)}-{rng.randrange(1, 13):02d}-{rng.randrange(1, 29):02d}"
            other += value[10:]
        else:
            other = altered(value, rng)
        if not told(everything, other) and str(other).casefold() not in everything.casefold():
            return other
    return None


def replaced(messages: Sequence[Message], old: str | float, new: Any) -> list[Message]:
    """The messages with ``new`` where ``old`` stood: leaves of results and arguments, tokens of texts."""
    changed = copy.deepcopy(list(messages))
    for one in changed:
        if one["role"] == "tool":
            one["content"] = _in_json(one["content"], old, new)
        elif one["role"] == "assistant":
            one["content"] = one["content"] and _in_text(one["content"], old, new)
            for call in one.get("tool_calls") or ():
                call["function"]["arguments"] = _in_json(call["function"]["arguments"], old, new)
    return changed


def _in_json(text: str, old: str | float, new: Any) -> str:
    value = decoded(text)
    return (
        _in_text(text, old, new) if value == text else json.dumps(_swap(value, old, new), ensure_ascii=False)
    )


def _swap(value: Any, old: str | float, new: Any) -> Any:
    if isinstance(value, dict):
        return {key: _swap(item, old, new) for key, item in value.items()}
    if isinstance(value, list):
        return [_swap(item, old, new) for item in value]
    if type(value) is type(old) and value == old:
        return new
    return _in_text(value, old, new) if isinstance(value, str) and isinstance(old, str) else value


def _in_text(text: str, old: str | float, new: Any) -> str:
    return re.sub(_token(str(old)), lambda _: str(new), text)
