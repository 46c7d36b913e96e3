"""Tools that another tool's texts name as the place to get a value from: the strongest evidence there is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from services.cluster_registry.needs import FROM
from services.cluster_registry.resources import Resource
from services.cluster_registry.subjects import common_words
from services.cluster_registry.text import words
from services.cluster_registry.vocabulary import ACTIONS, VERBS

MAX_NAMED: Final = 4
"""Tools named in one text that are looked at."""
READ_CHARS: Final = 1_000
IDENTIFIER: Final = re.compile(r"[A-Za-z][\w-]*[_A-Z-][\w-]*\w")
SOURCE: Final = re.compile(
    r"\b(?:from|by|using|via|through|with|use|uses|call|calling|run|running|of|in|see|returned|obtained|provided|"
    r"get|invoke|output)\b[\s`'\"(]*(?:the\s+)?(?:output of\s+|results? of\s+|tool\s+)?[`'\"(]*$",
    re.IGNORECASE,
)
NO_SOURCE: Final = re.compile(
    r"\b(?:same as|instead|unlike|not|before|to be used|for use|pass(?:ed)? to|like|similar to|don't|never)\b"
    r"[^.;]*$",
    re.IGNORECASE,
)
ROUTE: Final = re.compile(r"(?<![\w:/])/[A-Za-z][\w.-]*(?:/[\w.-]+)*")
METHOD: Final = re.compile(r"(?:GET|POST)\s+[`'\"]?$")
LEAST_ROUTE: Final = 4
BESIDE: Final = 50
"""Characters before a tool's name that say what it is named for."""


def mentions(tools: Sequence[Resource]) -> dict[tuple[int, str], list[int]]:
    """For (target's index, parameter): the tools that the parameter's description names as its source."""
    by_name: dict[str, int] = {}
    for tool in tools:
        by_name.setdefault(tool.name, tool.index)
    routes = _routes(tools)
    for tool in tools:  # "from the result of 'arrivalBoard'", which is /arrivalBoard/{id}
        head = tool.route.split("/")[1:2]
        if head and tool.index in routes.get(f"/{head[0]}".lower(), ()):
            by_name.setdefault(head[0], tool.index)
    by_noun: dict[str, int] = {}
    common = common_words([tool.name for tool in tools])
    for tool in tools:
        if tool.subjects and not tool.needs and tool.verb in ("get", "act", "list"):
            nouns = {*words(tool.name)} - common - VERBS.keys() - ACTIONS
            if len(nouns) == 1:
                by_noun.setdefault(nouns.pop(), tool.index)
    found: dict[tuple[int, str], list[int]] = {}
    for tool in tools:
        for need in tool.needs:
            named = [*_named(need.said, by_name), *_at(need.said, routes), *_standing_in(need.said, by_noun)]
            sources = [index for index in named if index != tool.index]
            if sources:
                found[tool.index, need.parameter] = sources[:MAX_NAMED]
    return found


def _routes(tools: Sequence[Resource]) -> dict[str, list[int]]:
    """By route without what it ends in in braces, the tools there that may yield something."""
    found: dict[str, list[int]] = {}
    for tool in tools:
        if tool.route and tool.verb not in ("delete", "update"):
            route = tool.route.partition("/{")[0] if tool.route.endswith("}") else tool.route
            if "{" not in route and len(route) > LEAST_ROUTE:
                found.setdefault(route.lower(), []).append(tool.index)
    return found


def _at(text: str, routes: dict[str, list[int]]) -> list[int]:
    """The tools whose route a text names as the source: "received from /api/v1/screenshot/create"."""
    found: list[int] = []
    for match in ROUTE.finditer(text[:READ_CHARS]):
        before = METHOD.sub("", text[max(0, match.start() - BESIDE) : match.start()])
        if not SOURCE.search(before) or NO_SOURCE.search(before):
            continue
        parts = match[0].lower().rstrip("/").split("/")[1:]
        tails = ("/" + "/".join(parts[at:]) for at in range(min(len(parts), 4)))
        found.extend(next((routes[tail] for tail in tails if tail in routes), [])[:2])
    return found


def _standing_in(text: str, by_noun: dict[str, int]) -> list[int]:
    """The tool that a phrase such as "reference from the page snapshot" is about: ``browser_snapshot``."""
    match = FROM.search(text[:READ_CHARS])
    said = words(match[1])[:3] if match and by_noun else ()
    return [by_noun[word] for word in said if word in by_noun][:1]


def _named(text: str, by_name: dict[str, int]) -> list[int]:
    found: list[int] = []
    for match in IDENTIFIER.finditer(text[:READ_CHARS]):
        index = by_name.get(match[0])
        if index is None or index in found:
            continue
        before = text[max(0, match.start() - BESIDE) : match.start()]
        if (SOURCE.search(before) or "," in before[-2:] or before[-4:] == " or ") and not NO_SOURCE.search(
            before
        ):
            found.append(index)
    return found
