"""The words that planning in a user's words needs: which parameters one would mention, what labels name.

Small tables of ours; nothing here depends on a language library.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from schemas.blueprint import Fact
from services.worlds.naming import is_control
from services.worlds.vocabulary import called, is_sayable

OPAQUE: Final = re.compile(r"(?=.*\d)[0-9a-zA-Z+/=_:.-]+")
TECHNICAL: Final = re.compile(
    r"(^|_)(page|cursor|offset|skip|fields?|expand|embed|include\w*|format|alt|pretty\w*|callback|locale|lang"
    r"|verbose|dry_?run|e?tag|accept\w*|content_type|user_agent|session\w*|trace\w*|timeout\w*|sort\w*"
    r"|order_?by|api_?version|x|idempotency\w*|request_id|client_request\w*|nonce|upload_?type|quota\w*|wsdl"
    r"|async|no_cache|debug|raw|xgafv|wait\w*)($|_)|^(order|direction|version|after|before|start|max_results)$"
)
MADE_UP: Final = re.compile(r"[a-z]+[ -][a-z]+(-\d+)?")
PREPOSITIONS: Final = frozenset(
    ("at", "to", "by", "in", "on", "of", "for", "from", "with", "is", "has", "as", "or", "and")
)
SPOKEN: Final = frozenset(
    """
    status state type category kind date day month year name title description query search keyword q keywords
    city country region currency amount quantity priority email tag tags price comment note notes message
    subject
    reason color colour size language due deadline location address phone company brand gender age rating
    genre
    topic term text label birthday duration distance budget discount department role summary memo from to
    since
    until deliver check checkin checkout guests adults passengers seats origin destination departure arrival
    interval period
    """.split()  # noqa: SIM905  (a list of eighty lines reads worse)
)
"""Words in the names of optional parameters that a user would think of."""
USER_VERBS: Final = frozenset(
    """
    travel hear have be know learn go stay receive fly eat own feel become work watch enjoy wear want attend
    live
    sleep meet visit join drive ride sit study take
    """.split()  # noqa: SIM905
)
"""Verbs that say what the user will do or get; nobody can be asked to do them in the user's place."""
IDENTIFIERS: Final = (
    "number", "id", "code", "key", "name", "identifier", "uuid", "slug", "handle", "address", "email",
    "symbol",
    "reference", "ref", "index", "arn", "guid", "sid", "uid",
)  # fmt: skip
PEOPLE: Final = frozenset(
    """
    member customer traveler person contact colleague user patient employee requester attendee guest client
    recipient owner student subscriber participant agent driver author assignee buyer seller account
    """.split()  # noqa: SIM905
)
GENERIC_KEYS: Final = frozenset(
    """
    items data results result value values entries list records content response objects elements rows hits
    collection page nodes edges resources documents
    """.split()  # noqa: SIM905
)
"""Keys of lists that say nothing of what is in them."""


@lru_cache(maxsize=16384)
def snake(name: str) -> str:
    """An identifier in snake case."""
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()).strip("_")


@lru_cache(maxsize=16384)
def is_technical(name: str) -> bool:
    """Whether a parameter is a technicality that no user speaks of (paging, formats, headers, secrets)."""
    return is_control(name) or TECHNICAL.search(snake(name)) is not None or name.startswith(("$", "."))


@lru_cache(maxsize=16384)
def is_spoken(name: str) -> bool:
    """Whether a user would think of mentioning an optional parameter of this name."""
    return any(word in SPOKEN for word in snake(name).split("_"))


def name_words(name: str) -> str:
    """A parameter's name as a user says it: "customerId" → "customer ID"."""
    return called(name)


def noun_of(label: str) -> str:
    """What a label identifies: "order number" is an order's; empty for a bare "number" or "id"."""
    words = label.split()
    if any(word.lower() in ("email", "phone") for word in words):
        return ""
    while words and words[-1].lower().removesuffix("s") in (*IDENTIFIERS, "addres"):
        words.pop()
    return " ".join(words)


def last_word(entity: str) -> str:
    """The head of a noun phrase."""
    return entity.rsplit(maxsplit=1)[-1] if entity.split() else ""


def same(noun: str, entity: str) -> bool:
    """Whether two noun phrases have the same head."""
    one, other = sorted((last_word(noun).lower(), last_word(entity).lower()), key=len)
    return len(one) > 1 and (one == other or (len(one) > 2 and other.startswith(one)))


def is_wordy(label: str) -> bool:
    """Whether a label is made of words that one can say: plain English and acronyms, no codes."""
    words = label.replace("'s", "").split()
    return is_sayable(" ".join(words)) and words[-1].lower() not in PREPOSITIONS


def is_vague(fact: Fact) -> bool:
    """Whether a fact says little: two made-up words for something that is no name, title or text."""
    named = any(word in SPOKEN for word in snake(fact.name).split("_"))
    return isinstance(fact.value, str) and not named and MADE_UP.fullmatch(fact.value) is not None


def clash(one: str, other: str) -> bool:
    """Whether two told texts could be mistaken for one another: equal, or one a whole word of the other."""
    short, long = sorted((one.lower(), other.lower()), key=len)
    return re.search(rf"(?<![\w]){re.escape(short)}(?![\w])", long) is not None
