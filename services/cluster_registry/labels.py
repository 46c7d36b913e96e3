"""Domains of servers: as they are labelled, or else judged by the words of the labelled ones.

The judge is a multinomial naive Bayes classifier over token counts with add-one smoothing (ours; the
paper says only that domains were assigned). It is transparent: its evidence is a table of counts.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from schemas.catalog import Json
from services.cluster_registry.text import singular, snake_case, word_set, words

GENERAL: Final = "general"
"""The domain of a server that nothing can be said about."""
MAX_DOMAINS: Final = 3
MAX_TOKENS: Final = 2_000
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


@dataclass(slots=True)
class DomainClassifier:
    """Naive Bayes from token counts to the domains seen in one catalog's labelled servers."""

    servers: Counter[str] = field(default_factory=Counter)
    counts: dict[str, Counter[str]] = field(default_factory=dict)
    vocabulary: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, labelled: Iterable[tuple[Sequence[str], str]]) -> DomainClassifier:
        """A classifier made from (domains, text) of each labelled server; the first domain counts."""
        made = cls()
        for domains, text in labelled:
            made.servers[domains[0]] += 1
            seen = Counter(tokens(text))
            made.counts.setdefault(domains[0], Counter()).update(seen)
            made.vocabulary.update(seen)
        return made

    def scores(self, text: str) -> Mapping[str, float]:
        """Log-probability of each domain, up to a constant; empty when no word is known."""
        known = sorted((word, n) for word, n in Counter(tokens(text)).items() if word in self.vocabulary)
        if not known:
            return {}
        total = sum(self.servers.values())
        result = {}
        for domain in sorted(self.counts):
            counts = self.counts[domain]
            size = math.log(sum(counts.values()) + len(self.vocabulary))
            result[domain] = math.log(self.servers[domain] / total) + math.fsum(
                # A word that a long list of tools repeats says little more than one that stands there once.
                (1 + math.log(n)) * (math.log(counts[word] + 1) - size)
                for word, n in known
            )
        return result

    def domain(self, text: str) -> str:
        """The likeliest domain; ``general`` when there is no labelled server or no known word."""
        scores = self.scores(text)
        if not scores:
            return GENERAL
        return min(scores, key=lambda domain: (-scores[domain], domain))
