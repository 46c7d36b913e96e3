"""Text and names from strangers, made safe to show to a person and to pass to a model API."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

NAME_LENGTH: Final = 64
"""Characters that model APIs allow in a tool's name."""

# Control characters (but tab and newline), bidirectional overrides and isolates, invisible marks, byte
# order marks, halves of surrogate pairs, and the "tag" characters that hide text from human readers.
UNWANTED: Final = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff"
    r"\U000e0000-\U000e007f]"
)
SPACES: Final = re.compile(r"[ \t]+")
INVALID_IN_NAME: Final = re.compile(r"[^a-zA-Z0-9_-]+")
WORD: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")
PLURAL_ACRONYM: Final = re.compile(r"(ID|URL|URI|UUID|ARN|IP|VM)s(?![a-z])")
IRREGULAR: Final = {
    "people": "person",
    "children": "child",
    "indices": "index",
    "vertices": "vertex",
    "matrices": "matrix",
    "statuses": "status",
    "aliases": "alias",
    "buses": "bus",
    "lenses": "lens",
    "movies": "movie",
    "cookies": "cookie",
    "caches": "cache",
    "heroes": "hero",
    "databases": "database",
    "ids": "id",
}
UNCHANGED: Final = frozenset(
    {
        "series",
        "alias",
        "canvas",
        "atlas",
        "bias",
        "gas",
        "pancreas",
        "christmas",
        "news",
        "species",
        "dns",
        "sms",
        "https",
        "aws",
        "gps",
        "this",
        "has",
    }
)


def clean(text: object, limit: int) -> str:
    """``text`` without unwanted characters, at most ``limit`` characters long; "" if it is no text."""
    if not isinstance(text, str):
        return ""
    # Cut before cleaning too, so that a description of megabytes costs no more than a long one.
    cleaned = SPACES.sub(" ", UNWANTED.sub("", text[: 4 * limit])).strip()
    return cleaned if len(cleaned) <= limit else cleaned[: limit - 1].rstrip() + "…"


def valid_name(name: str, taken: frozenset[str] | set[str]) -> str:
    """``name`` as a model API takes it (``[a-zA-Z0-9_-]{1,64}``), unlike all of ``taken``."""
    base = INVALID_IN_NAME.sub("_", name).strip("_")[:NAME_LENGTH] or "tool"
    candidate, count = base, 1
    while candidate in taken:
        count += 1
        suffix = f"_{count}"
        candidate = base[: NAME_LENGTH - len(suffix)] + suffix
    return candidate


@lru_cache(maxsize=1 << 15)
def words(name: str) -> tuple[str, ...]:
    """The lower-case words of an identifier in any style: ``"orderIDs"`` is ``("order", "ids")``."""
    return tuple(
        word.lower() for word in WORD.findall(PLURAL_ACRONYM.sub(lambda m: m[1].title() + "s", name))
    )


@lru_cache(maxsize=1 << 15)
def singular(word: str) -> str:
    """The singular of an English noun in lower case, as far as its ending tells."""
    if word in IRREGULAR:
        return IRREGULAR[word]
    if len(word) < 4 or word in UNCHANGED or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes", "zzes")):
        return word[:-2]
    return word[:-1]


def snake_case(label: str) -> str:
    """A label as an identifier: ``"Travel & Maps"`` is ``"travel_maps"``."""
    return "_".join(re.findall(r"[^\W_]+", label.lower()))[:64]


def word_set(text: str) -> frozenset[str]:
    """The words of a constant list, written as one text."""
    return frozenset(text.split())
