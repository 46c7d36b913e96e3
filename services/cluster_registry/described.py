"""Edges out of tools that have no output schema: by what their names and descriptions say.

Weaker evidence than a schema's, and told so in confidence and words. Rules and numbers are ours.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from services.cluster_registry.needs import ALONE, Need
from services.cluster_registry.resources import Resource
from services.cluster_registry.subjects import FILLERS
from services.cluster_registry.text import singular, word_set, words
from services.cluster_registry.vocabulary import ACTIONS, PEOPLE, ROLES, VERBS, Identity

MAX_SOURCES: Final = 24
"""Tools looked at per noun: keeps inference near-linear in the number of tools."""
BASE: Final = {"list": 0.84, "search": 0.84, "create": 0.76, "act": 0.66, "get": 0.68}
PART: Final = 0.64
"""Something that a description only mentions as part of the result."""
TOLD: Final = {"both": 0.0, "name": -0.02, "text": -0.06}
MADE: Final = frozenset({"id", "uuid", "uid", "gid", "sid", "key", "number", "slug", "jid", "hash"})
"""Kinds of identity that a service makes up when something is created."""
STARTS: Final = word_set("send submit start launch run copy import execute publish")
"""Acts that make something new and tell its id: a message, a job, a run."""
LEAST: Final = 0.5
"""Weaker than this is not looked at."""
ANYTHING: Final = 0.64
"""A plain ``search`` finds whatever the server has."""
STARTED: Final = 0.68
"""An act yields the id of what it starts."""
NOMINAL: Final[Mapping[str, str]] = {
    "run": "run", "scan": "scan", "execute": "execution", "deploy": "deployment", "build": "build",
    "submit": "submission", "schedule": "schedule", "crawl": "crawl", "transcribe": "transcription",
    "book": "booking", "order": "order", "pay": "payment", "reserve": "reservation", "train": "training",
}  # fmt: skip
RELATED: Final = re.compile(
    r"related|similar|recommend|child|nested|linked|referenc|citation|cited|peer|neighbo|follow|suggest|relatives"
    r"|subtask|descend",
    re.IGNORECASE,
)
"""Names of tools that take one of a kind and give others of it."""
MANY_GIVEN: Final = re.compile(r"batch|multiple|bulk", re.IGNORECASE)
"""Names of tools that read again what they are given several of."""
ALIASES: Final[Mapping[str, tuple[str, ...]]] = {
    "repo": ("repository",), "pr": ("pull", "request"), "mr": ("merge", "request"), "msg": ("message",),
    "org": ("organization",), "organisation": ("organization",), "db": ("database",), "doc": ("document",),
    "app": ("application",), "env": ("environment",), "guild": ("server",), "img": ("image",),
    "conv": ("conversation",), "pkg": ("package",), "dir": ("directory",), "proj": ("project",),
    "acct": ("account",), "cat": ("category",), "lib": ("library",), "tx": ("transaction",),
    "txn": ("transaction",), "func": ("function",), "ns": ("namespace",), "svc": ("service",),
}  # fmt: skip
# A positive paper is a paper; a metric task is no task.
QUALIFYING: Final = word_set(
    "positive negative source target parent from to new old default other base destination start end first "
    "second third optional current root original input output selected related child main primary existing "
    "seed reference my user's assigned given specific sender recipient owner sub top origin dest src dst "
    "add remove"
)


@dataclass(frozen=True, slots=True)
class Source:
    """A tool that may yield something, how far that can be trusted, and what was said of it."""

    tool: Resource
    strength: float
    noun: str
    told: str


def sources(tools: Sequence[Resource]) -> dict[str, list[Source]]:
    """By noun, the tools without output schema that yield it, the most trustworthy first."""
    found: dict[str, list[Source]] = defaultdict(list)
    for tool in tools:
        if (
            tool.schemaless
            and not tool.route
            and tool.verb == "search"
            and set(words(tool.name)) <= {"search", "all", "global", "everything"}
        ):
            found[""].append(Source(tool, ANYTHING, "anything", "name"))
        if not tool.subjects or tool.verb in ("delete", "update"):
            continue
        if (
            tool.verb in ("list", "get")
            and MANY_GIVEN.search(tool.name)
            and any(need.required for need in tool.needs)
        ):
            continue
        base = BASE[tool.verb]
        if tool.verb == "act" and not STARTS.intersection(words(tool.name)):
            base = 0.0
        given = _given(tool)
        best: dict[str, Source] = {}
        for number, subject in enumerate(tool.subjects):
            noun = canonical("_".join(subject.noun)).split("_")
            if subject.told == "owner":
                continue
            if subject.told == "part":
                strength = PART if tool.verb in ("list", "search", "get") else 0.0
            elif tool.verb in ("create", "act") and number and tool.subjects[0].told == "both":
                strength = 0.0
            else:
                strength = base + TOLD[subject.told] - (0.06 if tool.verb == "get" and number else 0.0)
            if strength < LEAST:
                continue
            for drop in range(min(len(noun), 4)):
                key = "_".join(noun[drop:])
                if key in given or (tool.verb != "search" and any(key.endswith(f"_{one}") for one in given)):
                    continue
                one = Source(tool, strength - 0.03 * min(drop, 2), "_".join(noun), subject.told)
                if key not in best or best[key].strength < one.strength:
                    best[key] = one
        for made in _made(tool):
            best.setdefault(made, Source(tool, STARTED, made, "name"))
        for key, one in best.items():
            found[key].append(one)
    for ranked in found.values():
        ranked.sort(key=lambda one: (-one.strength, one.tool.index))
    return found


def _made(tool: Resource) -> Iterator[str]:
    """What an act itself is called, which has an id of its own: run_project starts a run."""
    if tool.verb in ("act", "create", "search"):
        acts = [word for word in words(tool.name)[:3] if word in VERBS or word in ACTIONS or word in NOMINAL]
        yield from (NOMINAL[word] for word in acts[:1] if word in NOMINAL)


def _given(tool: Resource) -> set[str]:
    """Nouns whose identity a tool was given, and so does not yield."""
    if RELATED.search(tool.name):
        return set()
    given: set[str] = set()
    for need in tool.needs:
        if need.required or tool.verb not in ("list", "search", "create"):
            # "The ID of the list whose cards to retrieve" gives a list: what the name says is believed first.
            surely = need.identities[: need.sure] if need.parameter.lower() not in ALONE else ()
            for name, kind in surely or need.identities:
                if kind in ("name", "title") and tool.verb in ("search", "create"):
                    continue
                given.update(names_of(name))
    return given


@lru_cache(maxsize=1 << 14)
def canonical(name: str) -> str:
    """An entity's name with the common short forms written out."""
    made: list[str] = []
    for word in name.split("_"):
        made.extend(ALIASES.get(word, (word,)))
    return "_".join(made)


@lru_cache(maxsize=1 << 14)
def names_of(name: str) -> tuple[str, ...]:
    """An entity's name, also without what only qualifies it."""
    full = canonical(name)
    parts = full.split("_")
    while len(parts) > 1 and parts[0] in QUALIFYING:
        parts = parts[1:]
    short = "_".join(parts)
    people = PEOPLE if full in ROLES else ()
    return (full, *people) if short == full else (full, short, *people)


def offers(
    target: Resource, need: Need, index: Mapping[str, Sequence[Source]], ambient: bool
) -> Iterator[tuple[Source, Identity, float]]:
    """The sources of a need, each with the identity it gives and a confidence (not yet a threshold)."""
    if target.verb == "get" and need.required and need.first and need.identities:
        name, kind = need.identities[0]
        if kind in MADE and name in target.entities:
            yield from ((one, (name, kind), ANYTHING) for one in index.get("", ()))
    for rank, (name, kind) in enumerate(need.identities):
        if kind == "title" and not name:
            yield from _titles(target, index)
            continue
        for step, noun in enumerate(names_of(name) if kind else (name,)):
            for one in _fitting(target, noun, index.get(noun, ())):
                if one.tool.index == target.index:
                    continue
                if one.tool.verb in ("create", "act") and kind not in MADE:
                    continue
                if not kind and (one.noun != noun or one.tool.verb == "get"):
                    continue
                if ambient and one.tool.verb not in ("list", "search", "create"):
                    continue
                confidence = one.strength - 0.03 * min(rank, 2) - 0.03 * step
                if kind in ("name", "title", ""):
                    confidence -= 0.04
                if not need.required:
                    confidence -= 0.08
                if need.many:
                    confidence -= 0.02
                yield one, (name, kind), confidence


def _fitting(target: Resource, noun: str, found: Sequence[Source]) -> Sequence[Source]:
    """Of the sources of a noun, those of its kind that the target names, if there are any.

    A target that speaks of npm packages takes no cargo package where npm packages can be searched.
    """
    found = _kindred(target, noun, found[:MAX_SOURCES])
    said = {*words(target.name), *words(target.description[:120])}
    special = [one for one in found if one.noun != noun and one.tool.index != target.index]
    if not special:
        return found
    kept: list[Source] = []
    fits = False
    for one in special:
        modifiers = {word for word in one.noun.removesuffix(f"_{noun}").split("_") if word not in FILLERS}
        if modifiers and modifiers <= said:
            fits = True
        if not modifiers or modifiers <= said:
            kept.append(one)
    return [one for one in found if one.noun == noun or one in kept] if fits else found


def _kindred(target: Resource, noun: str, found: Sequence[Source]) -> Sequence[Source]:
    """Without those whose name does not say the noun and shares nothing with the target's, where others do.

    Of search_arxiv and search_pubmed, which both find papers, download_arxiv takes those of the first.
    """
    head = noun.rpartition("_")[2]
    silent = [one for one in found if head not in {singular(word) for word in words(one.tool.name)}]
    if len(silent) < 2:
        return found
    own = {word for word in words(target.name) if word not in VERBS and word not in ACTIONS}
    kindred = [one for one in silent if own & set(words(one.tool.name))]
    return [one for one in found if one not in silent or one in kindred] if kindred else found


def _titles(
    target: Resource, index: Mapping[str, Sequence[Source]]
) -> Iterator[tuple[Source, Identity, float]]:
    """Sources of a bare title: whatever is listed or searched of which the target speaks."""
    said = {singular(word) for word in (*words(target.name), *words(target.description[:200]))}
    for word in sorted(said & index.keys()):
        for one in index[word][:MAX_SOURCES]:
            if one.tool.index != target.index and one.tool.verb in ("list", "search"):
                yield one, (word, "title"), one.strength - 0.06
