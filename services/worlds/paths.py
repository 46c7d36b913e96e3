"""REST paths taken apart: which segments name entities, which parameters stand for their records."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from schemas.catalog import Json
from services.worlds.naming import STOPS, entity_words, stem_of
from services.worlds.verbs import NOUNS_TOO, VERBS
from services.worlds.words import listed, norm, tokens

_FILLER: Final = frozenset(
    listed(
        "api rest json xml public v1 v2 v3 v4 v5 beta alpha services service odata ws rpc web www index "
        "providers php do aspx"
    )
)
GENERIC: Final = frozenset(
    listed(
        "list all search query find lookup get fetch batch bulk me self current mine latest recent "
        "details detail popular trending featured upcoming random nearby public active available "
        "default top history_all first last info json xml results new create update delete edit add "
        "remove by id ids data show view read"
    )
)
_SEGMENT: Final = re.compile(r"\{[^}]*\}|[^{}]+")


@dataclass(slots=True)
class Path:
    """A REST path: (static words, parameter) levels from the left, and the statics after the last one."""

    levels: list[tuple[str, str]]
    tail: list[str]
    operation: str = ""


def parse_path(path: str, names: dict[str, Json]) -> Path:
    """The path taken apart; ``names`` are the tool's parameters, whose spelling its own braces may miss."""
    plain, _, fragment = path.partition("#")
    if "=" in fragment:
        return Path([], [], fragment.rpartition("=")[2].rpartition(".")[2])
    by_norm = {norm(name): name for name in reversed(list(names))}
    levels: list[tuple[str, str]] = []
    statics: list[str] = []
    skip = False
    operation = ""
    for segment in plain.partition("?")[0].split("/"):
        for piece in _SEGMENT.findall(segment):
            if piece.startswith("{"):
                parameter = piece[1:-1].lstrip("+").rstrip("*")
                parameter = parameter if parameter in names else by_norm.get(norm(parameter), parameter)
                telling = [word for word in statics if not weak(word)] or statics
                levels.append((telling[-1] if telling else "", parameter))
                statics = []
            elif piece.startswith(":"):
                operation = piece[1:]
            else:
                word = re.sub(r"\.(json|xml|php|atom|do|html|aspx)$", "", piece).strip("().'\"=,;")
                if skip or "Microsoft." in word:
                    skip = False
                    continue
                skip = word == "providers"
                if (
                    word
                    and word.lower() not in _FILLER
                    and not re.fullmatch(r"v?\d+(\.\d+)*(beta|alpha)?\d*", word)
                ):
                    statics.append(word.rpartition(".")[2] if "." in word and len(levels) == 0 else word)
    return Path(levels, statics, operation)


def weak(segment: str) -> bool:
    """Whether a path segment names no entity: a bare verb, "by…", "all", "popular"."""
    words = tokens(segment)
    if not words or words[0] == "by" or norm(segment) in GENERIC:
        return True
    if re.match(r"(find|get|search|lookup|list)by", segment.lower()):
        return True
    return words[0] in VERBS and (
        (len(words) > 1 and words[1] in STOPS) or (len(words) == 1 and words[0] not in NOUNS_TOO)
    )


def level_words(static: str, parameter: str) -> tuple[str, ...]:
    """The entity of one path level: the segment before the parameter, else the parameter's own stem."""
    words = entity_words(static)
    stem = stem_of(parameter)
    if stem and len(stem) > 1 and words and "".join(stem) == words[-1]:
        return stem
    if not words or (words[-1] in GENERIC or (words[0] in VERBS and words[0] not in NOUNS_TOO)):
        return stem or words
    return words
