"""The ids that records get: of one style per collection, fitting every schema that takes them."""

from __future__ import annotations

import random

from schemas.catalog import Json
from services.worlds import lexicon as lex
from services.worlds.entities import Collection
from services.worlds.fitting import dice, fits, kind
from services.worlds.texts import example_of, identifier, text
from services.worlds.words import tokens


class Identifiers:
    """Makes ids for one server; ``seed`` decides them all."""

    def __init__(self, server: str, seed: int) -> None:
        self.server = server
        self.seed = seed

    def new(self, own: Collection, index: int) -> str:
        """The id of the ``index``-th record of a collection; created ones go on counting."""
        rng = dice(self.seed, self.server, own.name, index)
        shapes = [shape for _, shape in own.identifiers]
        numeric = next((shape for shape in shapes if kind(shape) in {"integer", "number"}), None)
        if numeric is not None:
            return self._numeric_id(own, index, numeric)
        if own.lineage and not any("pattern" in shape for shape in shapes):
            outer = [f"{_plural(part)}/{self._slug(part, 0)}" for part in own.lineage[:-1]]
            return "/".join([*outer, f"{_plural(own.lineage[-1])}/{self._slug(own.lineage[-1], index)}"])
        strict = [
            (label, shape) for label, shape in own.identifiers if "format" in shape or "pattern" in shape
        ]
        made = ""
        for label, shape in [*strict, *own.identifiers, ("id", {})]:
            options = [str(option) for option in shape.get("enum") or () if option is not None]
            made = options[index % len(options)] if options else self._text_id(own, label, shape, rng)
            if all(fits(made, other) for other in shapes):
                break
        return made

    def _text_id(self, own: Collection, label: str, shape: Json, rng: random.Random) -> str:
        words = tokens(label)
        plain = "format" not in shape and "pattern" not in shape and example_of(shape) is None
        if plain and {words[-1:], words[:1]} & {
            (word,) for word in ("id", "ids", "key", "sid", "gid", "uid")
        }:
            made = identifier(label, rng, _short(own))
            return made if fits(made, shape) else text(label, shape, rng)
        return text(label, shape, rng, context=own.name)

    def _numeric_id(self, own: Collection, index: int, shape: Json) -> str:
        start = dice(self.seed, self.server, own.name, "ids").randint(1200, 98_000)
        low, high = shape.get("minimum"), shape.get("maximum")
        if isinstance(high, (int, float)) and start + 100 > high:
            start = int(low) if isinstance(low, (int, float)) else 1
        made = start + index * 7 + (index * index) % 5
        if isinstance(high, (int, float)) and made > high:
            made = int(high) - index
        return str(made)

    def _slug(self, part: str, index: int) -> str:
        rng = dice(self.seed, self.server, part, "slug", index)
        return f"{rng.choice(lex.ADJECTIVES)}-{rng.choice(lex.NOUNS)}-{rng.randint(10, 99)}"


def _short(own: Collection) -> str:
    """The prefix of a collection's ids: "invoice" gives "nvc", "order" gives "orde"."""
    word = own.last
    consonants = "".join(char for char in word if char not in "aeiou") or word
    return (consonants if len(word) > 5 else word)[:4] or "rec"


def _plural(part: str) -> str:
    words = part.split("_")
    text = "".join([words[0], *(word.capitalize() for word in words[1:])])
    return text if text.endswith("s") else (text[:-1] + "ies" if text.endswith("y") else f"{text}s")
