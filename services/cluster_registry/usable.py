"""Whether a tool is one: scraped catalogs hold buttons of web pages, and tools whose arguments were lost.

A call without arguments is believable only of a tool that takes none. Where the schemas of a whole server
were lost, that is read from the words: something that lists, or tells how things stand, of all there is.
"""

from __future__ import annotations

import re
from typing import Final

from services.cluster_registry.text import singular, word_set, words

FURNITURE: Final = re.compile(r"Access and manage servers by signing in\.?\Z")
"""What a hosting site shows in place of a tool."""
BOILERPLATE: Final = re.compile(
    r"\A(?:Deploy Server\b.*\bTry in Playground\b\s*\S*|Deploy Server\b.*@[\w.-]+/[\w.-]+(?:\s+\S+)?\Z)\s*",
    re.DOTALL,
)
"""A hosting site's page furniture, found in place of descriptions; a tool's name may come after it."""
NO_DESCRIPTION: Final = frozenset(
    {"description not available", "no description available", "no description", "n/a", "todo", "none", "tbd"}
)
FEW: Final = 3
"""A server with fewer tools says too little for its schemas to be called lost."""
NEEDS: Final = re.compile(
    r"\b(by|for (an?|the|one|each|your|multiple|all|specific|given)|of (an?|the given|one)|"
    r"(in|from|to|on|at|into|within|about|under) (an?|the|one|specific|your)|with|using|via|given|specif\w+|"
    r"particular|based on|matching|filter\w*|quer\w+|ids?|url|path|names?|keywords?|ticker|symbol|address|"
    r"between|input|provided?|parameters?|arguments?)\b",
    re.IGNORECASE,
)
WHOLE: Final = re.compile(r"\b(all|current|available|every|supported|list of|your|latest)\b", re.IGNORECASE)
LINKS: Final = word_set("by for in of to from with")
CHANGES: Final = word_set("add create delete edit insert move post put remove send set update upload write")
TELLS: Final = word_set("get fetch show read retrieve check view display describe count")
STATES: Final = word_set("ping whoami health healthcheck status version help info about")


def is_placeholder(text: str) -> bool:
    """Whether a description only stands where one should be."""
    return text.strip().lower().rstrip(".") in NO_DESCRIPTION


def lists_all(name: str) -> bool:
    """Whether a name alone says that a tool lists all of something: ``list_projects``, ``models``."""
    parts = words(name)
    if set(parts) & (LINKS | CHANGES):
        return False
    plural = bool(parts) and parts[-1] != singular(parts[-1])
    return plural and (len(parts) == 1 or bool({"list", "ls"} & set(parts[:-1])))


def takes_nothing(name: str, description: str) -> bool:
    """Whether a tool of lost schema reads as one that needs no arguments."""
    parts = words(name)
    first = description.partition(". ")[0]
    if not parts or NEEDS.search(first) or LINKS & set(parts):
        return False
    if set(parts) & {"list", "ls"}:
        return not set(parts) & CHANGES
    if len(parts) <= 2 and set(parts) & STATES:
        return True
    of_all = parts[-1] != singular(parts[-1]) or bool(WHOLE.search(" ".join(parts)))
    return bool(set(parts) & TELLS) and of_all and bool(WHOLE.search(first))
