"""Another value of the same form: for planting values that were never said."""

from __future__ import annotations

import random
from typing import Any

WORDS = (
    "marigold",
    "quarry",
    "lanthorn",
    "tessera",
    "bramble",
    "ostler",
    "fennel",
    "galleon",
    "withy",
    "sorrel",
)


def altered(value: Any, rng: random.Random) -> Any:
    """A string or number of the same form as ``value``, and different from it.

    The last three digits of a string change; a string without digits becomes other words, capital
    letters kept at their start. A number changes its size a little and keeps its kind.
    """
    if isinstance(value, int):
        return value + rng.choice((1, 2, 3, 4, 6, 7)) if abs(value) < 20 else value + rng.randrange(11, 40)
    if isinstance(value, float):
        return round(value + rng.randrange(2, 30) + 0.37, 2)
    digits = [index for index, character in enumerate(value) if character.isdigit()][-3:]
    if digits:
        characters = list(value)
        for index in digits:
            characters[index] = rng.choice([digit for digit in "123456789" if digit != characters[index]])
        return "".join(characters)
    words = [rng.choice(WORDS) for _ in value.split()] or [rng.choice(WORDS)]
    return " ".join(word.capitalize() if value[:1].isupper() else word for word in words)
