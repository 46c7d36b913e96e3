"""Domains of servers: as they are labelled, or else judged by the words of the labelled ones.

The judge is a multinomial naive Bayes classifier over token counts (ours; the paper says only that domains
were assigned). It is transparent: its evidence is a table of counts. ``python -m benchmarks.domains`` says
how well it does.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from schemas.catalog import Json
from services.cluster_registry.domain_words import DOMAINS, WORDS
from services.cluster_registry.text import singular, snake_case, word_set, words

GENERAL: Final = "general"
"""The domain of a server that nothing can be said about."""
MAX_DOMAINS: Final = 3
MAX_TOKENS: Final = 2_000
TEXT_LENGTH: Final = 8_000
CAP: Final = 3
SMOOTHING: Final = 0.1
ENOUGH: Final = 50
"""So many labelled servers of a catalog judge its others by themselves."""
STOP: Final = word_set(
    "a an and api apis are as at be by can data for from get has have in into is it its list of on or "
    "our post put server service set that the their this to tool tools use used using via with you your "
    "mcp create update delete add remove all any http https www com rest v1 v2 new not will which id"
)


def labelled_domains(raw: Json) -> tuple[str, ...]:
    """The domains that a server's own entry names, most important first; () if none.

    Read from ``labels``, or ``primary_label`` and ``secondary_labels``.
    """
    found: list[object] = [raw.get("primary_label"), raw.get("domain")]
    for key in ("labels", "secondary_labels", "domains"):
        value = raw.get(key)
        found.extend(value if isinstance(value, list) else [value])
    names = [snake_case(label) for label in found if isinstance(label, str)]
    return tuple(dict.fromkeys(name for name in names if name))[:MAX_DOMAINS]


def tokens(text: str) -> tuple[str, ...]:
    """The words of a description or name that can tell a domain: singular, no stop words, no numbers."""
    found: list[str] = []
    for part in re.findall(r"[A-Za-z]+", text):
        found.extend(words(part))
    kept = (singular(word) for word in found if len(word) > 2 and word not in STOP)
    return tuple(kept)[:MAX_TOKENS]


def server_text(name: str, description: str, tools: Iterable[str]) -> str:
    """What a server's domain is judged by: its name and description, and its tools' names."""
    return f"{name} {description} {' '.join(tools)}"[:TEXT_LENGTH]


@dataclass(slots=True)
class DomainClassifier:
    """Naive Bayes from token counts to domains.

    ``counts`` has of each domain how often its servers have a word, of one server at most ``CAP`` times: a
    long list of tools says little more than one.
    """

    servers: Counter[str] = field(default_factory=Counter)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    vocabulary: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, labelled: Iterable[tuple[Sequence[str], str]]) -> DomainClassifier:
        """A classifier made from (domains, text) of each labelled server; the first domain counts."""
        made = cls()
        for domains, text in labelled:
            made.add(domains[0], text)
        return made

    @classmethod
    def of_table(cls) -> DomainClassifier:
        """The classifier of the counts that come with the program."""
        made = cls()
        names = []
        for entry in DOMAINS.split():
            name, _, servers = entry.rpartition(":")
            names.append(name)
            made.servers[name] = int(servers)
            made.counts[name] = Counter()
        for entry in WORDS.split():
            word, _, numbers = entry.partition(":")
            pairs = [int(number) for number in numbers.split(",")]
            for at, count in zip(pairs[::2], pairs[1::2], strict=True):
                made.counts[names[at]][word] = count
            made.vocabulary.add(word)
        return made

    def add(self, domain: str, text: str) -> None:
        """Count one labelled server."""
        self.servers[domain] += 1
        seen = Counter({word: min(n, CAP) for word, n in Counter(tokens(text)).items()})
        self.counts.setdefault(domain, Counter()).update(seen)
        self.vocabulary.update(seen)

    def scores(self, text: str) -> Mapping[str, float]:
        """Log-probability of each domain, up to a constant; empty when no word is known."""
        known = sorted(
            (word, min(n, CAP)) for word, n in Counter(tokens(text)).items() if word in self.vocabulary
        )
        if not known:
            return {}
        total = sum(self.servers.values())
        result = {}
        for domain in sorted(self.counts):
            counts = self.counts[domain]
            size = math.log(sum(counts.values()) + SMOOTHING * len(self.vocabulary))
            result[domain] = math.log(self.servers[domain] / total) + math.fsum(
                n * (math.log(counts[word] + SMOOTHING) - size) for word, n in known
            )
        return result

    def ranked(self, text: str) -> tuple[str, ...]:
        """The domains, likeliest first; () when no word is known."""
        scores = self.scores(text)
        return tuple(sorted(scores, key=lambda domain: (-scores[domain], domain)))

    def domain(self, text: str) -> str:
        """The likeliest domain; ``general`` when no word is known."""
        return next(iter(self.ranked(text)), GENERAL)


def judge(labelled: Iterable[tuple[Sequence[str], str]]) -> DomainClassifier:
    """Who judges a catalog's servers without a label, given (domains, text) of those with one.

    Its own labelled servers, if they are ``ENOUGH``; else the table's counts, and theirs with them.
    """
    servers = list(labelled)
    if len(servers) >= ENOUGH:
        return DomainClassifier.of(servers)
    made = DomainClassifier.of_table()
    for domains, text in servers:
        made.add(domains[0], text)
    return made
