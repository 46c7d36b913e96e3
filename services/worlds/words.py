"""Identifiers turned into words: tokens, singular and plural nouns, labels as people say them.

Ours, not the paper's: small tables instead of a language library, so that results never change.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final


def listed(text: str) -> tuple[str, ...]:
    """The words of a text: how word lists are written down here."""
    return tuple(text.split())


_PIECES: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_A-Za-z]+")
_ACRONYM_PLURALS: Final = re.compile(r"\b([A-Z]{2,4})s\b|(?<=[a-z])(ID|URL|API|IP|VM)s(?![a-z])")
_GLUED: Final = re.compile(
    r"^(user|account|client|group|item|order|customer|product|project|team|file|device|event|contact|company"
    r"|org|page|post|parent|session|task|job|list|message|object|game|movie|video|image|photo|ticket|invoice"
    r"|payment|card|channel|room|member|agent|campaign|app|store|shop|category|address|host|server|node|key)"
    r"(id|ids|name|key|type|code|number)$"
)
ACRONYMS: Final = frozenset(
    listed(
        "id ids url urls api ip ips uri uuid guid sku vat iban bic swift html pdf json csv xml dns "
        "ssl tls sms gps vm vms cpu gpu ram sql sla faq crm erp sso mfa otp cdn vpc acl arn iam isbn "
        "ean upc gtin imei iso http https ftp ssh tcp udp mac os ui ux seo rss pos utm utc usd eur "
        "gbp nft kyc iot aws gcp vpn lan ocr ai llm mcp qr nfc pin dob ssn ein tin npi icd cve ux hr "
        "pr ci cd db"
    )
)
_IRREGULAR: Final = {
    "apis": "api",
    "people": "person",
    "children": "child",
    "men": "man",
    "women": "woman",
    "indices": "index",
    "vertices": "vertex",
    "matrices": "matrix",
    "appendices": "appendix",
    "analyses": "analysis",
    "bases": "base",
    "crises": "crisis",
    "diagnoses": "diagnosis",
    "hypotheses": "hypothesis",
    "statuses": "status",
    "aliases": "alias",
    "campuses": "campus",
    "viruses": "virus",
    "bonuses": "bonus",
    "buses": "bus",
    "gases": "gas",
    "canvases": "canvas",
    "lenses": "lens",
    "movies": "movie",
    "cookies": "cookie",
    "selfies": "selfie",
    "calories": "calorie",
    "zombies": "zombie",
    "leaves": "leaf",
    "shelves": "shelf",
    "lives": "life",
    "criteria": "criterion",
    "phenomena": "phenomenon",
    "caches": "cache",
    "axes": "axis",
    "quizzes": "quiz",
    "heroes": "hero",
    "echoes": "echo",
    "potatoes": "potato",
}
_INVARIANT: Final = frozenset(
    listed(
        "series species news data metadata media sms dns gps https aws kubernetes access address "
        "business process progress status canvas alias bus gas analysis basis diagnosis chassis axis "
        "lens class glass pass mass success loss boss less express wireless os css js ios macos redis "
        "postgres sales settings analytics statistics stats details credentials preferences "
        "permissions graphics physics sports politics economics economics information feedback "
        "equipment software hardware weather traffic content billing history inventory research staff "
        "audience as is has this us plus bonus campus virus census corpus focus menus radius genius "
        "apparatus syllabus consensus address canvas atlas lotus sas tls ads this its"
    )
)
_UNCOUNTED: Final = frozenset(
    listed(
        "data metadata media news sms sales settings analytics statistics stats details credentials "
        "preferences permissions graphics information feedback equipment software hardware weather "
        "traffic content billing history inventory research staff progress access series species "
        "audio text storage security support"
    )
)


@lru_cache(maxsize=65536)
def tokens(identifier: str) -> tuple[str, ...]:
    """Lower-case words of an identifier: ``"userPrincipalName"`` gives user, principal, name."""
    text = _ACRONYM_PLURALS.sub(
        lambda match: (match.group(1) or match.group(2)).capitalize() + "s", identifier
    )
    found: list[str] = []
    for piece in _PIECES.findall(text):
        word = piece.lower()
        glued = None if word == "username" else _GLUED.match(word)
        found.extend(glued.groups() if glued else (word,))
    return tuple(found)


@lru_cache(maxsize=65536)
def norm(identifier: str) -> str:
    """The identifier without case and punctuation, to compare names across spellings."""
    return re.sub(r"[\W_]+", "", identifier).lower()


@lru_cache(maxsize=16384)
def singular(word: str) -> str:
    """The singular of a lower-case English noun, by rule and a table of exceptions."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    short = {"ads": "ad", "ids": "id", "ips": "ip", "vms": "vm", "dbs": "db"}
    invariant = ("series", "species", "news", "ss", "us", "is")
    if len(word) <= 3 or word in _INVARIANT or not word.endswith("s") or word.endswith(invariant):
        return short.get(word, word)
    if word.endswith("ies"):
        return word[:-3] + "y" if len(word) > 4 else word[:-1]
    if word.endswith(("sses", "xes", "ches", "shes", "zzes")):
        return word[:-2]
    return word[:-1]


@lru_cache(maxsize=16384)
def plural(phrase: str) -> str:
    """The plural of a noun phrase; its last word is inflected."""
    head, _, word = phrase.rpartition(" ")
    lower = word.lower()
    lead = f"{head} " if head else ""
    for many, one in _IRREGULAR.items():
        if one == lower:
            return lead + many
    if lower in _UNCOUNTED or (lower != singular(lower)):
        return phrase
    if lower.endswith("y") and lower[-2:-1] not in {"a", "e", "i", "o", "u"}:
        return lead + word[:-1] + "ies"
    if lower.endswith(("s", "x", "ch", "sh", "z")):
        return lead + word + "es"
    return lead + word + "s"


def countable(phrase: str) -> bool:
    """Whether "a" may stand before the phrase."""
    last = phrase.rpartition(" ")[2].lower()
    return last not in _UNCOUNTED and singular(last) == last


def article(phrase: str) -> str:
    """The phrase with "a" or "an", or with "the" where it cannot be counted."""
    if not countable(phrase):
        return f"the {phrase}"
    first = phrase.split(" ", 1)[0]
    vowel = first[:1].lower() in {"a", "e", "i", "o"} or (
        first[:1].lower() == "u" and not first.lower().startswith(("uni", "us", "uk", "ut", "uu", "ur"))
    )
    if first.lower().startswith(("hour", "honest", "heir")):
        vowel = True
    if first.isupper():
        vowel = first[:1] in set("AEFHILMNORSX")
        vowel = vowel and first not in {"SQL", "SIM", "NATO", "SKU"}
    if first.lower().startswith(("one", "eu")):
        vowel = False
    return f"{'an' if vowel else 'a'} {phrase}"


def spoken(words: tuple[str, ...] | list[str]) -> str:
    """Words joined as people write them, with acronyms in capitals."""
    said = {"ids": "IDs", "urls": "URLs", "ips": "IPs", "vms": "VMs", "ios": "iOS", "faqs": "FAQs"}
    return " ".join(said.get(word) or (word.upper() if word in ACRONYMS else word) for word in words)


@lru_cache(maxsize=65536)
def label(identifier: str) -> str:
    """How a person calls a parameter: ``"api-version"`` gives "API version"."""
    words = list(tokens(identifier))
    if len(words) > 1 and words[0] in {"x", "xgafv"}:
        words = words[1:]
    if len(words) > 1 and words[0] == "id":
        words = [*words[1:], "id"]
    words = [word for at, word in enumerate(words) if at == 0 or word != words[at - 1]][:6]
    return spoken(words) or "value"
