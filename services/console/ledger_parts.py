"""Parts of the ledger: whose a key is, what catalogs a log tells of, and sums that no order shows in."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from schemas.blueprint import Usage
from schemas.catalog import CatalogFormed, FormClusters, ServerImported, ServerRejected
from schemas.envelope import Envelope
from schemas.run import slot_of
from schemas.topics import CATALOG_COMMANDS, CATALOG_EVENTS, TOPIC_OF, Topic

NAMED: Final = 20
"""Things of one kind that are named, at most; the rest is counted."""


def elsewhere(campaign: str, topic: Topic, key: str) -> bool:
    """Whether a key is not of ``campaign`` ("": any) but of another; what names none may be anybody's."""
    if not campaign or topic.key not in ("run", "campaign"):
        return False
    if topic.key == "campaign":
        return key != campaign
    if key.startswith(f"{campaign}."):
        return False
    try:
        slot_of(key)
    except ValueError:
        return False
    return True


@dataclass(frozen=True, slots=True)
class Import:
    """What became of a server: refused, or taken without some of its tools (counted by reason)."""

    refused: ServerRejected | None = None
    dropped: Counter[str] = field(default_factory=Counter)
    texts: tuple[str, ...] = ()
    """What was not taken, and why, in words: the first ``NAMED``."""


class Catalogs:
    """The catalogs of a log. All is kept in the order of the catalog's topics."""

    def __init__(self) -> None:
        self.formed: dict[str, CatalogFormed] = {}
        """By the id of the FormClusters that it came of."""
        self._forms: dict[str, FormClusters] = {}
        self._imports: dict[str, Import] = {}
        """By the id of the ImportServer."""

    def fold(self, envelope: Envelope) -> bool:
        """Fold an event; returns whether it was of a catalog."""
        match envelope.data:
            case FormClusters() as form:
                self._forms[envelope.id] = form
            case CatalogFormed() as formed:
                self.formed.setdefault(envelope.causationid or envelope.id, formed)
            case ServerImported() | ServerRejected() as answer:
                self._imports.setdefault(envelope.causationid or envelope.id, _import(answer))
            case other:
                return TOPIC_OF.get(type(other)) in (CATALOG_COMMANDS, CATALOG_EVENTS)
        return True

    def forming(self, form: str, wanted: str) -> str:
        """The FormClusters of a campaign's catalog: ``form``, or the first that gave the hash ``wanted``.

        Without a hash it is the first of all; "" while there is none.
        """
        if form in self.formed:
            return form
        return next((one for one, formed in self.formed.items() if wanted in ("", formed.hash)), "")

    def imported(self, form: str) -> list[Import]:
        """What became of the servers that ``form`` names; of all that there are, if it names none."""
        named = self._forms[form].imports if form in self._forms else ()
        if not named:
            return list(self._imports.values())
        return [self._imports[one] for one in named if one in self._imports]


class Total:
    """A sum of usages, the same in whatever order they come: dollars are added exactly."""

    __slots__ = ("calls", "completion_tokens", "prompt_tokens", "usd")

    def __init__(self) -> None:
        self.calls = self.prompt_tokens = self.completion_tokens = 0
        self.usd = Fraction()

    def add(self, usage: Usage | Total) -> None:
        """Take one more in."""
        self.calls += usage.calls
        self.prompt_tokens += usage.prompt_tokens
        self.completion_tokens += usage.completion_tokens
        if usage.usd and math.isfinite(usage.usd):
            self.usd += Fraction(usage.usd)

    def usage(self) -> Usage:
        """The sum."""
        return Usage(
            calls=self.calls,
            prompt_tokens=self.prompt_tokens,
            completion_tokens=self.completion_tokens,
            usd=float(self.usd),
        )


def _import(data: ServerImported | ServerRejected) -> Import:
    if isinstance(data, ServerRejected):
        return Import(refused=data, texts=(f"server {data.server_id!r}: {data.reason}",))
    return Import(
        dropped=Counter(_code(tool.reason) for tool in data.dropped),
        texts=tuple(f"tool {one.name!r} of {data.server.id!r}: {one.reason}" for one in data.dropped[:NAMED]),
    )


def _code(reason: str) -> str:
    """The countable part of a reason of the form ``code: particulars``."""
    return reason.partition(":")[0]
