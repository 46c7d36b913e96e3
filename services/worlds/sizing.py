"""Texts brought to an allowed length in whole words: never cut within a word, never glued to one.

Ours, not the paper's.
"""

from __future__ import annotations

import random
import re
import string
from collections.abc import Callable, Iterable
from typing import Final

from services.worlds import lexicon as lex
from services.worlds.words import tokens

MAX_TEXT: Final = 4096
_REDRAWN: Final = 12
_FILLERS: Final = (*lex.NOUNS, "mountain")
_KINDS: Final = ("Item", "Entry", "Record", "Details", "Resource")
_OPAQUE: Final = frozenset({"key", "token", "hash", "secret", "id", "signature", "checksum", "digest"})
_SHORT: Final[dict[str, tuple[str, ...]]] = {
    "prefix": ("Mr", "Ms", "Dr", "Mrs", "Prof"),
    "salutation": ("Mr", "Ms", "Dr", "Mrs", "Prof"),
    "honorific": ("Mr", "Ms", "Dr", "Mrs", "Prof"),
    "suffix": ("Jr", "Sr", "II", "III", "PhD"),
    "gender": ("F", "M", "female", "male"),
    "sex": ("F", "M", "female", "male"),
    "unit": ("kg", "cm", "km", "g", "m"),
    "language": tuple(code for code, _ in lex.LANGUAGES),
    "currency": lex.CURRENCIES,
    "state": ("OR", "CO", "WA", "TX", "NY"),
    "status": ("open", "done", "new", "OK"),
}


def short_word(name: str, low: int, high: int, rng: random.Random) -> str | None:
    """A usual abbreviation for something of this name ("Dr" for a prefix); None where there is none."""
    for word in reversed(tokens(name)):
        fitting = [text for text in _SHORT.get(word, ()) if low <= len(text) <= high]
        if fitting:
            return rng.choice(fitting)
    return None


def fill_type(made: str, low: int, high: int, rng: random.Random) -> str:
    """A type name with further capitalized words ("Party" gives "PartyRecord"); "" if none comes out."""
    return _words(made, "", low, high, rng, _KINDS)


def sized(
    made: str, name: str, low: int, high: int, rng: random.Random, make: Callable[[], str] | None = None
) -> str:
    """The text itself where its length is allowed, else another of its kind with ``low`` to ``high``.

    ``make`` draws another text of the same kind. At most 4096 characters are filled up.
    """
    if low <= len(made) <= high:
        return made
    for _ in range(_REDRAWN if make is not None else 0):
        other = make() if make is not None else made
        if low <= len(other) <= high:
            return other
    low = min(low, MAX_TEXT)
    shorter = len(made) > high
    opaque = tokens(name)[-1:] and tokens(name)[-1] in _OPAQUE
    found = ""
    if shorter:
        found = _shortened(made, name, low, high, rng)
    elif not opaque:
        found = _lengthened(made, low, high, rng)
    if not (found and low <= len(found) <= high) and not opaque and re.search(r"[A-Za-z]{3}$|\.$", made):
        least = max(low, min(high, 9))
        start = _any(_FILLERS, 4, high if high <= 8 else min(7, max(4, high - 5)), rng)
        found = _words(start, " ", least, high, rng) if start and "/" not in made and "@" not in made else ""
    return found if found and low <= len(found) <= high else _code(made, low, high, rng)


def _shortened(made: str, name: str, low: int, high: int, rng: random.Random) -> str:
    short = short_word(name, low, high, rng)
    if short is not None:
        return short
    if re.fullmatch(r"\+?\d+", made):
        return made[-high:]
    if "://" in made:
        host = made.split("://", 1)[1].split("/", 1)[0]
        return next(
            (text for text in (f"https://{host}", host) if low <= len(text) <= high),
            _any(lex.DOMAINS, low, high, rng),
        )
    if "@" in made:
        return _any((f"{first.lower()}@fjord.io" for first in lex.FIRST_NAMES), low, high, rng)
    if made.startswith(lex.FIRST_NAMES) or made in lex.LAST_NAMES:
        people = lex.LAST_NAMES if made in lex.LAST_NAMES else lex.FIRST_NAMES
        return _any(people, low, high, rng)
    if len(made.split()) > 3:
        return _any((*lex.TOPICS, *lex.TAGS, *lex.NOUNS), low, high, rng)
    for separator in (" ", "-", "_"):
        parts = made.split(separator)
        for size in range(len(parts) - 1, 0, -1):
            whole = separator.join(parts[:size])
            if low <= len(whole) <= high:
                return whole
    return "" if re.search(r"\d", made) else _any((*lex.TAGS, *lex.NOUNS, *lex.ADJECTIVES), low, high, rng)


def _any(options: Iterable[str], low: int, high: int, rng: random.Random) -> str:
    fitting = [text for text in options if low <= len(text) <= high]
    return rng.choice(fitting) if fitting else ""


def _lengthened(made: str, low: int, high: int, rng: random.Random) -> str:
    if re.fullmatch(r"\+?\d+", made):
        return made + "".join(rng.choice(string.digits) for _ in range(low - len(made)))
    if "@" in made:
        local, _, domain = made.partition("@")
        return _words(local, ".", low - len(domain) - 1, high - len(domain) - 1, rng) + f"@{domain}"
    if made.endswith("."):
        for _ in range(MAX_TEXT):
            if len(made) >= low:
                break
            made += f" {rng.choice(lex.SENTENCES)}"
        return made
    if re.fullmatch(r"([A-Z][a-z]+){2,}", made):
        return _words(made, "", low, high, rng, _KINDS)
    if " " in made or made.isalpha():
        return _words(made, " ", low, high, rng)
    if re.match(r"https?://", made) or made.startswith("/"):
        return _words(made, "/", low, high, rng)
    return _words(made, "-", low, high, rng) if re.search(r"[a-z]-[a-z]", made) else ""


def _words(
    made: str, separator: str, low: int, high: int, rng: random.Random, pool: tuple[str, ...] = _FILLERS
) -> str:
    """The text with further words, each chosen so that the length can still come out; "" if it cannot."""
    capital = separator == " " and " " in made and made.istitle()
    shortest = min(map(len, pool))
    while len(made) < low:
        room, least = high - len(made) - len(separator), low - len(made) - len(separator)
        words = [
            word
            for word in pool
            if least <= len(word) <= room or room - len(word) - len(separator) >= shortest
        ]
        if not words:
            return ""
        word = rng.choice([word for word in words if word not in made] or words)
        made += separator + (word.capitalize() if capital else word)
    return made


def _code(made: str, low: int, high: int, rng: random.Random) -> str:
    """Characters without a word in them: capitals where few are allowed, else an id."""
    size = low if len(made) < low else high
    if made.isdigit():
        return "".join(rng.choice("123456789") for _ in range(size))
    if size <= 3:
        return "".join(rng.choice("ABCDEFGHKLMNPRSTUVWX") for _ in range(size))
    return "".join(rng.choice("0123456789abcdef") for _ in range(min(size, max(low, 64))))
