"""What the results of a tool without an output schema hold, as its name and description tell.

Most MCP tools say nothing of their results but in prose: "Get a list of players", "Returns the new
channel". What is read here is weaker than a schema, and counts less. Word lists and limits are ours.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from services.cluster_registry.text import singular, word_set, words
from services.cluster_registry.vocabulary import ACTIONS, VERBS

Noun = tuple[str, ...]
"""The words of a noun phrase in lower case, the last one singular."""

READ_CHARS: Final = 400
MAX_WORDS: Final = 5
COMMON_SHARE: Final = 0.7
"""A word that begins so large a share of a server's tool names is the service's own name."""

PREPOSITIONS: Final = word_set(
    "by for from in of with to on at about near into using per since between via within inside as "
    "through during over under across against without around"
)
ENDS: Final = word_set(
    "that which who where when whose matching based given including such related associated belonging "
    "accessible "
    "containing if whether or but then is are was can will has have like only so it you your this it's"
)
FILLERS: Final = word_set(
    "the a an all any every each some specific single particular given one your their its my our new "
    "existing available detailed complete full basic recent latest top current more most multiple several "
    "supported matching comprehensive raw public relevant popular various known other specified real time "
    "different many first next last random up out paginated filtered active list array set collection "
    "lists details detail information info data metadata overview summary results result records record "
    "about of for through"
)
SINGLE: Final = word_set("specific single particular given one")
PLAIN: Final = word_set(
    "detail details info information data list lists batch batches result results record records overview "
    "metadata full all available entries content contents json index ranking rankings standing standings "
    "leaderboard listing listings"
)
"""Words at the end of a tool's name that do not change what it is about."""
THINGS: Final = word_set("list lists record records entries")
"""Plain words that are what a tool is about where nothing else is: ``get_lists``."""
KIND_WORDS: Final = word_set("ids identifiers names keys slugs codes symbols")
THIRD_PERSON: Final = {f"{verb}s": verb for verb in sorted({*VERBS, *ACTIONS})} | {
    "searches": "search", "fetches": "fetch", "queries": "query", "returns": "get", "return": "get",
    "provides": "get", "looks": "search", "retrieving": "get", "getting": "get", "fetching": "get",
    "discover": "search", "obtain": "get", "access": "get", "explore": "search", "searching": "search",
}  # fmt: skip
ELSEWHERE: Final = re.compile(
    r"\b(?:returns?|list|array|dictionary|dict|collection|outputs?)\b:?\s+(?:(?:a|an|the|json|python)\s+)*"
    r"(?:(?:list|array|set|collection)\s+)?(?:of|containing|with)\s+",
    re.IGNORECASE,
)
INCLUDED: Final = re.compile(
    r"\b(?:including|includes?|along with|together with|as well as|containing|contains?|with (?:its|their|"
    r"all))"
    r"\s+(?:(?:its|their|the|all|any|list of|a list of)\s+)*",
    re.IGNORECASE,
)
TOKEN: Final = re.compile(r"[A-Za-z][A-Za-z'-]*|[.,:;()\[\]\n/&]")


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that a tool's results hold.

    ``many``: several of it at once. ``told``: by the name and the description ("both"), by one of the two
    ("name", "text"), as part of the result ("part"); or it is what the result belongs to ("owner").
    """

    noun: Noun
    many: bool
    told: str


def common_words(names: Sequence[str]) -> frozenset[str]:
    """The words that most tool names of a server begin with: its own name, and no entity."""
    if len(names) < 4:
        return frozenset()
    found: set[str] = set()
    split = [list(words(name)) for name in names]
    for _ in range(3):
        heads = Counter(parts[0] for parts in split if parts)
        common = {
            word
            for word, count in heads.items()
            if count >= COMMON_SHARE * len(names) and word not in VERBS and word not in ACTIONS
        }
        if not common:
            # slack_x, get_slack_x: the service's name may stand behind the verb.
            second = Counter(parts[1] for parts in split if len(parts) > 2 and parts[0] in VERBS)
            common = {word for word, count in second.items() if count >= COMMON_SHARE * len(names)}
            if not common:
                break
        found |= common
        split = [[word for word in parts if word not in common] or parts for parts in split]
    return frozenset(found)


def named(parts: Sequence[str], common: frozenset[str]) -> Noun:
    """The noun phrase of a tool's name: ``get_players_for_team`` is about a player; () if it has none."""
    kept = [word for word in parts if word not in common and not word.isdigit()]
    at = next((place for place, word in enumerate(kept[:4]) if word in VERBS or word in ACTIONS), -1)
    if at >= 0 and kept[at] in ("batch", "bulk") and at + 2 < len(kept) and kept[at + 1] in VERBS:
        at += 1  # batch_create_companies
    found = _phrase(kept[at + 1 :])
    if not found and at > 0:
        found = _phrase([word for word in kept[:at] if word not in VERBS])
    return found


def _phrase(parts: Sequence[str]) -> Noun:
    nouns: list[str] = []
    for word in parts:
        if word in PREPOSITIONS or word == "and":
            if word != "of" or any(one not in PLAIN for one in nouns):
                break
            nouns = []
            continue
        nouns.append(word)
    while len(nouns) > 1 and (nouns[-1] in PLAIN or nouns[-1] in KIND_WORDS):
        nouns.pop()
    if not nouns or (nouns[-1] in PLAIN and nouns[-1] not in THINGS):
        return ()
    return (*nouns[:-1], singular(nouns[-1]))


@lru_cache(maxsize=1 << 14)
def told(description: str) -> tuple[str, tuple[tuple[Noun, bool], ...]]:
    """The verb that a description begins with ("" if none), and what it is done to, with whether many."""
    text = description[:READ_CHARS]
    tokens = TOKEN.findall(text)
    verb, at = "", 0
    for place, token in enumerate(tokens[:5]):
        word = token.lower()
        base = THIRD_PERSON.get(word, word)
        if base in VERBS or base in ACTIONS:
            verb, at = VERBS.get(base, "act"), place + 1
            break
        if word in ".\n:":
            break
    if not verb and tokens and tokens[0].lower() in ("a", "all", "list", "lists"):
        verb = "list"
    found = list(objects(tokens[at:])) if verb else []
    if verb == "search":
        # "Search Wikipedia for articles": what is found stands behind "for".
        behind = next(
            (place for place, token in enumerate(tokens[at + 1 : at + 8]) if token.lower() == "for"), None
        )
        if behind is not None:
            found = [*((noun, True) for noun, _ in objects(tokens[at + behind + 2 :])), *found]
    if verb == "list" and tokens[:1] and tokens[0].lower().startswith("list"):
        found = [(noun, True) for noun, _ in found]
    for match in ELSEWHERE.finditer(text):
        found.extend((noun, True) for noun, _ in objects(TOKEN.findall(text[match.end() : match.end() + 80])))
    return verb, tuple(dict.fromkeys(found))


def objects(tokens: Sequence[str]) -> Iterator[tuple[Noun, bool]]:
    """The noun phrases that a verb's object begins with, at most three ("tokens, pools and DEXes")."""
    many, single, count = False, False, 0
    nouns: list[str] = []
    for token in [*tokens[:24], "."]:
        word = token.lower().removesuffix("'s")
        if not nouns and word in FILLERS:
            many = many or word in ("all", "list", "multiple", "several", "lists", "array")
            single = single or word in SINGLE
            continue
        ends = word in PREPOSITIONS or word in ENDS or not word[0].isalpha()
        if not ends and word != "and":
            nouns.append(word)
            continue
        while len(nouns) > 1 and (nouns[-1] in PLAIN or nouns[-1] in KIND_WORDS):
            many = many or nouns[-1] in KIND_WORDS
            nouns.pop()
        if nouns and nouns[-1] not in PLAIN:
            head = singular(nouns[-1])
            yield (*nouns[-MAX_WORDS:-1], head), (many or head != nouns[-1]) and not single
            count += 1
        if count >= 3 or (word not in (",", "and", "/", "&") and (nouns or word == ".")):
            return
        nouns = []


@lru_cache(maxsize=1 << 14)
def parts_of(description: str) -> tuple[Noun, ...]:
    """What a description says that its result includes: plural nouns only."""
    found: list[Noun] = []
    text = description[:READ_CHARS]
    for match in INCLUDED.finditer(text):
        tokens = TOKEN.findall(text[match.end() : match.end() + 80])
        found.extend(noun for noun, many in objects(tokens) if many)
    return tuple(dict.fromkeys(found))


def subjects(parts: Sequence[str], description: str, common: frozenset[str]) -> tuple[Subject, ...]:
    """What a tool of this name (its words) and description yields, surest first."""
    noun = named(parts, common)
    _, objects = told(description)
    found: dict[Noun, Subject] = {}
    if noun:
        plural = any(word != singular(word) and singular(word) == noun[-1] for word in parts)
        same = next((many for other, many in objects if _akin(noun, other)), None)
        # "get_collection: Get documents from a collection" is about the collection, and yields documents.
        owner = same is None and not plural and any(many for _, many in objects)
        how = "owner" if owner else "name" if same is None else "both"
        found[noun] = Subject(noun, plural or bool(same), how)
    for other, many in objects:
        found.setdefault(other, Subject(other, many, "text"))
    for other in parts_of(description):
        found.setdefault(other, Subject(other, many=True, told="part"))
    return tuple(found.values())


def _akin(one: Noun, other: Noun) -> bool:
    """The one phrase ends as the other does."""
    return one[-1] == other[-1]
