"""The ids that records get: of one style per collection, fitting every schema that takes them."""

from __future__ import annotations

import random
import string
from typing import Final

from schemas.catalog import Json
from services.worlds import lexicon as lex
from services.worlds.entities import Collection
from services.worlds.fitting import cast, dice, fits, kind
from services.worlds.makers import by_name, hexadecimal
from services.worlds.naming import ID_WORDS, turned
from services.worlds.texts import example_of, text
from services.worlds.words import tokens

_LETTERS: Final = string.ascii_letters + string.digits


class Identifiers:
    """Makes ids for one server; ``seed`` decides them all."""

    def __init__(self, server: str, seed: int) -> None:
        self.server = server
        self.seed = seed

    def new(self, own: Collection, index: int) -> str:
        """The id of the ``index``-th record of a collection; created ones go on counting."""
        rng = dice(self.seed, self.server, own.name, index)
        shapes = [shape for _, shape in own.identifiers]
        if own.lineage and not any("pattern" in shape for shape in shapes):
            outer = [f"{_plural(part)}/{self._slug(part, 0)}" for part in own.lineage[:-1]]
            return "/".join([*outer, f"{_plural(own.lineage[-1])}/{self._slug(own.lineage[-1], index)}"])
        strict = [(name, shape) for name, shape in own.identifiers if "format" in shape or "pattern" in shape]
        best, most = "", -1
        tried: list[tuple[str, Json]] = []
        for name, shape in [*strict, *own.identifiers, ("id", {})]:
            if (name, shape) in tried:
                continue
            tried.append((name, shape))
            made = self._candidate(own, index, name, shape, rng)
            count = sum(cast(made, other) is not None for other in shapes)
            if count > most:
                best, most = made, count
            if count == len(shapes):
                break
        return best

    def _candidate(self, own: Collection, index: int, name: str, shape: Json, rng: random.Random) -> str:
        """An id that one of the schemas takes."""
        options = [str(option) for option in shape.get("enum") or () if option is not None]
        if options:
            return options[index % len(options)]
        if kind(shape) in {"integer", "number"}:
            return self._numeric_id(own, index, shape)
        return self.handle(own, name, shape, rng)

    def handle(self, own: Collection, name: str, shape: Json, rng: random.Random) -> str:
        """A text that identifies a record: an id in the server's style, a slug, or by its name."""
        free = "format" not in shape and "pattern" not in shape and example_of(shape) is None
        last = turned(tokens(name))[-1:]
        made = ""
        if free and last and last[0] in ID_WORDS - {"uuid", "guid", "arn", "slug"}:
            made = self._styled(own, rng)
        elif free and last == ("name",) and by_name("name", own.name) is by_name("name"):
            made = f"{rng.choice(lex.ADJECTIVES)}-{rng.choice(lex.NOUNS)}-{rng.randint(10, 99)}"
        return made if made and fits(made, shape) else text(name, shape, rng, context=own.name)

    def _styled(self, own: Collection, rng: random.Random) -> str:
        """An id in one of four styles; a server keeps to one."""
        style = dice("style", self.server).randrange(4)
        if style == 0:
            return f"{_short(own)}_{hexadecimal(rng, 10)}"
        if style == 1:
            return hexadecimal(rng, 24)
        if style == 2:
            return f"{_short(own).upper()}-{rng.randint(10_000, 99_999)}"
        return "".join(rng.choice(_LETTERS) for _ in range(11))

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
