"""What a user would call the use of a tool: imperative clauses, from its description or its meaning."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from services.worlds.verbs import VERBS, Verb, base
from services.worlds.words import ACRONYMS, article, countable, listed, plural, singular, spoken

MAX_WORDS: Final = 14
_SENTENCE: Final = re.compile(r"(?<=[a-z\)\"'\]])[.!?:;]+(?=\s|$)|\n|\s[-–—]\s|\s\|\s|\.{2,}")
_LEAD: Final = re.compile(
    r"^(?:(?:this|the)\s+(?:method|endpoint|operation|api(?: call| method)?|call|tool|function|request|"
    r"resource|"
    r"service|route|action|command)\s+(?:is used to|can be used to|allows you to|lets you|will|"
    r"enables you to|to)?"
    r"|use this (?:method|endpoint|tool|operation|call|api|function|request|route|action)? ?to"
    r"|allows (?:you|users|the user|clients?) to|used to|lets you|enables you to|api to|endpoint to|method to"
    r"|tool to|ability to|operation to|function to|please)\s+",
    re.IGNORECASE,
)
_UNCLEAN: Final = re.compile(
    r"[_`<>{}\[\]|\\*#@=$/%^~&\"]|https?:|[a-z][A-Z]|\d{3,}"
    r"|(?i:\b(?:true|false|null|deprecated|todo|param|args?|json|schema|oauth|scope|endpoint|playground|http|api"
    r"|utc|you|we|this|which|these|those|it|they|note|default)\b)"
)
_STIFF: Final = re.compile(
    r"\b(?:specified|given|provided|authenticat\w+|identified|particular|certain|numeric|belonging|associated|any"
    r"|specific|corresponding|respective|caller|currently|cursored|collection|instance|by\s(?:\w+\s){0,2}ids?|was|were"
    r"|have been|has been|has|such|multiple|single|various|available|i|e|existing|based|matching|it)\b|'s\b",
    re.IGNORECASE,
)
"""Words of reference manuals: nobody asks like that."""
_EMPTY: Final = re.compile(
    r"(?:the |a |an |all |some |more |new )*(?:details?|information|data|info|lists?|results?|items?)"
)
_CAMEL: Final = re.compile(r"[a-z][A-Z]|_|\w\.\w")
_TAIL: Final = re.compile(
    r"\s+(?:that|which|who|where|when|so that|as well as|including|such as|if|using|via|based on|"
    r"in order|because|"
    r"unless|depending|provided|according|without|with)\b.*$|[,;(].*$",
    re.IGNORECASE,
)
_ENDINGS: Final = frozenset(
    listed(
        "a an the of for to in by with from and or on at as is are be given specified your my its their that"
    )
)
_DETERMINERS: Final = frozenset(
    listed("more a an the my all any this that these each every some one your new another existing")
)


def from_description(description: str) -> str:
    """The clause that the description's first sentence makes, or "" where it makes no clean one."""
    for sentence in _SENTENCE.split(description.strip()[:400])[:2]:
        clause = _clause(sentence.strip())
        if clause:
            return clause
    return ""


def _clause(sentence: str) -> str:
    sentence = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", sentence)
    sentence = re.sub(r"\s*\([^)]*\)", "", sentence)
    sentence = _LEAD.sub("", sentence.strip(" -*#.\t"))
    words = sentence.split()
    if len(words) < 2 or not sentence.isascii():
        return ""
    if _UNCLEAN.search(sentence) or len(words) > MAX_WORDS:
        sentence = _TAIL.sub("", sentence)
        words = sentence.split()
    if not 2 <= len(words) <= MAX_WORDS or _UNCLEAN.search(sentence):
        return ""
    if _STIFF.search(sentence) or _EMPTY.fullmatch(" ".join(words[1:]).lower()):
        return ""
    verb = base(words[0].lower())
    if verb is None or (words[0].lower() != verb and words[0].lower().endswith("ing")):
        return ""
    if words[0].lower() != verb and words[1].lower() in {"of", "for", "in", "from", "by", "to", "and"}:
        return ""
    if words[0].lower() != verb:
        words = _uninflected(words)
    capitals = sum(word[:1].isupper() for word in words[1:])
    titled = capitals >= max(1, (len(words) - 1) // 2)
    said = [verb]
    for word in words[1:]:
        plain = word.strip(".,:'")
        if plain.lower() in ACRONYMS:
            said.append(spoken((plain.lower(),)))
        elif titled and not (plain.isupper() and len(plain) > 1):
            said.append(plain.lower())
        else:
            said.append(plain)
    said = ["my" if word == "your" else word for word in said]
    if said[0] == "return":
        said[0] = "get"
    while said and said[-1].lower() in _ENDINGS:
        said.pop()
    if len(said) < 2:
        return ""
    return _with_article(said)


def _uninflected(words: list[str]) -> list[str]:
    """Later verbs brought to the base form too: "updates … and attaches" gives "… and attach"."""
    made = words[:1]
    for before, word in pairwise(words):
        plain = base(word.lower()) if before.lower() in {"and", "or"} and word.endswith("s") else None
        made.append(plain or word)
    return made


def _with_article(said: list[str]) -> str:
    """The clause with an article before a bare countable object ("create payment")."""
    second = said[1].lower()
    if (
        second in _DETERMINERS
        or not countable(second)
        or singular(second) != second
        or not second.isalpha()
        or second[-2:] in {"ly", "to"}
    ):
        return " ".join(said)
    noun_end = next(
        (at for at, word in enumerate(said) if at > 1 and word.lower() in _ENDINGS | {"into"}), len(said)
    )
    if "and" in said[noun_end : noun_end + 1]:
        return " ".join(said)
    phrase = " ".join(said[1:noun_end])
    if said[0] in {"list", "search", "browse"} and countable(phrase) and noun_end <= 5:
        return " ".join([said[0], plural(phrase), *said[noun_end:]])
    if (
        noun_end - 1 > 4
        or not countable(phrase)
        or (base(second) and second != "list")
        or any(singular(word.lower()) != word.lower() for word in said[1:noun_end])
        or second in {"or", "and", "if", "whether", "how", "what", "for", "by", "up", "out", "in", "on"}
    ):
        return " ".join(said)
    return " ".join([said[0], article(phrase), *said[noun_end:]])


def phrases(
    verb: Verb, entity: str, action: tuple[str, ...], description: str, parameters: list[str]
) -> tuple[str, ...]:
    """Two to four imperative clauses in a user's words, best first, with no identifier in them."""
    many = plural(entity)
    one = article(entity)
    the = f"the {entity}"
    said = from_description(description)
    forms: dict[Verb, tuple[str, ...]] = {
        "list": (f"list the {many}", f"see all {many}", f"get a list of {many}"),
        "search": (f"search for {many}", f"find {many}", f"look for {many}"),
        "get": (f"look up {one}", f"see {the}", f"get the details of {one}"),
        "create": (f"create {_new(entity)}", f"add {_new(entity)}", f"set up {_new(entity)}"),
        "update": (f"update {one}", f"change {one}", f"make a change to {one}"),
        "delete": (f"delete {one}", f"remove {one}", f"get rid of {one}"),
        "act": _act(action, entity, one),
    }
    clauses = [said] if said else []
    clauses.extend(forms[verb])
    bad = {name.lower() for name in parameters if _CAMEL.search(name)}
    clean = [
        clause
        for clause in dict.fromkeys(clauses)
        if not _CAMEL.search(clause) and not any(name in clause.lower() for name in bad)
    ]
    return tuple(clean[:4]) or (f"work with {one}",)


def _new(entity: str) -> str:
    return article(f"new {entity}") if countable(entity) else f"new {entity}"


def _act(action: tuple[str, ...], entity: str, one: str) -> tuple[str, ...]:
    """Clauses for an action: its verb before the entity, unless the words already say it all."""
    words = [word for word in action if word]
    verb = words[0] if words and words[0] in VERBS else ""
    if not verb:
        return (f"use {one}", f"run {one}")
    rest = " ".join(words[1:])
    object_ = article(rest) if rest and rest not in entity else one
    if entity in {verb, "record", ""}:
        return (f"{verb} a record", f"{verb} the record")
    return (f"{verb} {object_}", f"{verb} the {entity}")
