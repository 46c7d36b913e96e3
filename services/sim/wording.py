"""Small English: the forms that the scripted actors' sentences need, made by rule."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from typing import Any

from services.sim.spelling import spell
from services.worlds.verbs import VERBS

IRREGULAR = {
    "be": "was", "begin": "began", "bring": "brought", "build": "built", "buy": "bought", "choose": "chose",
    "come": "came", "cut": "cut", "do": "did", "draw": "drew", "fetch": "fetched", "find": "found",
    "get": "got", "give": "gave", "go": "went", "have": "had", "hide": "hid", "hold": "held", "keep": "kept",
    "know": "knew", "leave": "left", "let": "let", "list": "listed", "make": "made", "pay": "paid",
    "pull": "pulled", "put": "put", "read": "read", "reset": "reset", "run": "ran", "see": "checked",
    "catch": "caught", "teach": "taught",
    "sell": "sold", "send": "sent", "set": "set", "shut": "shut", "split": "split", "take": "took",
    "tell": "told", "undo": "undid", "withdraw": "withdrew", "write": "wrote", "overwrite": "overwrote",
    "rewrite": "rewrote", "rebuild": "rebuilt", "resend": "resent", "unset": "unset", "forget": "forgot",
    "freeze": "froze", "unfreeze": "unfroze", "spin": "spun", "show": "looked up", "quit": "quit",
    "undergo": "underwent", "understand": "understood", "upload": "uploaded", "offer": "offered",
    "enter": "entered", "order": "ordered", "cancel": "cancelled", "label": "labelled", "visit": "visited",
    "edit": "edited", "submit": "submitted", "commit": "committed", "transfer": "transferred",
    "refer": "referred", "refund": "refunded", "deliver": "delivered", "open": "opened", "limit": "limited",
    "trigger": "triggered", "register": "registered", "filter": "filtered", "monitor": "monitored",
    "recover": "recovered", "render": "rendered", "reorder": "reordered", "cover": "covered",
    "credit": "credited", "debit": "debited", "audit": "audited", "exit": "exited", "deposit": "deposited",
}  # fmt: skip
ORDINALS = ("first", "second", "third", "fourth")
VOWELS = "aeiou"
PLURAL_EXCEPTIONS = ("ss", "us", "is", "news")


def past(clause: str) -> str:
    """An imperative clause in the past tense: "empty and close the cart" → "emptied and closed the cart"."""
    verb, _, rest = clause.partition(" ")
    if verb == "look" and rest.startswith("up"):
        return f"looked {rest}"
    joined = re.match(r"(.*?\b(?:and|then)\s+)([a-z]+)(\s+(?:the|it|them|its|their|your|all)\b.*|$)", rest)
    beside = re.match(r"(and\s+)([a-z]+)(\s.*|$)", rest) or joined
    if beside and (beside.group(2) in IRREGULAR or beside.group(2) in VERBS):
        rest = beside.group(1) + past_verb(beside.group(2)) + beside.group(3)
    return f"{past_verb(verb)} {rest}".strip()


def past_verb(verb: str) -> str:
    """The past tense of one verb."""
    word = verb.lower()
    if word in IRREGULAR:
        return IRREGULAR[word]
    if word.endswith("e"):
        return word + "d"
    if word.endswith("y") and len(word) > 1 and word[-2] not in VOWELS:
        return word[:-1] + "ied"
    if re.fullmatch(r"[^aeiou]*[aeiou][bdgklmnprt]", word):
        return word + word[-1] + "ed"
    return word + "ed"


def addressed(clause: str) -> str:
    """The user's clause as the assistant says it: "my orders" → "your orders"."""
    swaps = {"my": "your", "me": "you", "mine": "yours", "i": "you", "our": "your", "us": "you", "we": "you"}
    return re.sub(
        r"\b(my|me|mine|i|our|us|we)\b",
        lambda match: swaps[match.group(1).lower()],
        clause,
        flags=re.IGNORECASE,
    )


def definite(clause: str) -> str:
    """The clause about the things at hand: "cancel an order of that man" → "cancel the order of the man"."""
    clause = re.sub(r"(?<!first )(?<!other )\btwo (?=(?:[a-z]+ )?[a-z]+s\b)", "both ", clause)
    clause = re.sub(
        r"(?<!first )(?<!other )\b(three|four|five) (?=(?:[a-z]+ )?[a-z]+s\b)", r"all \1 ", clause
    )
    clause = re.sub(r"\b(a|an|another)\s(?!(?:lot|few|bit|while|time|day|week|month|year)\b)", "the ", clause)
    clause = re.sub(r"^(\w+(?: up| at| on| in| out| back)?) that (?=\w)", r"\1 the ", clause)
    return re.sub(r"\b(for|of|to|from|in|on|at|with|by|about|into) that (?=\w)", r"\1 the ", clause)


def plural(label: str) -> bool:
    """Whether a label reads as a plural ("tags")."""
    words = re.split(r" (?:of|in|before|after|for|to|on|left|that|which|with)\b", label)[0].split()
    last = words[-1].lower() if words else ""
    return last.endswith("s") and not last.endswith(PLURAL_EXCEPTIONS) and last not in ("address", "status")


def article(label: str) -> str:
    """The label with "the" before it, unless it has a determiner of its own."""
    return label if re.match(r"(the|my|your|our|a|an|its|his|her|their)\s", label) else f"the {label}"


def sentence(text: str) -> str:
    """The text with a capital at its start and a full stop at its end."""
    text = text.strip()
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "!", "?", ":", '."', '!"', '?"')) else text + "."


def listed(parts: Sequence[str], joiner: str = "and") -> str:
    """One, two or more parts as a list in prose: "a", "a and b", "a, b, and c"."""
    if len(parts) <= 1:
        return "".join(parts)
    if len(parts) == 2:
        return f"{parts[0]} {joiner} {parts[1]}"
    return ", ".join(parts[:-1]) + f", {joiner} {parts[-1]}"


def shown(value: Any) -> str:
    """A told value: its canonical text, in quotation marks where it is a phrase of its own."""
    text = spell(value)
    phrase = isinstance(value, str) and (
        len(text.split()) > 3 or text != value or text.endswith((".", "!", "?"))
    )
    return f'"{text}"' if phrase and '"' not in text else text


def told(label: str, value: Any) -> str:
    """A clause that tells a fact: "the order number is ORD-1042"."""
    if isinstance(value, bool):
        return f"{label} should be {spell(value)}"
    verb = "are" if plural(label) else "is"
    return f"{article(label)} {verb} {shown(value)}"


def pick(rng: random.Random, choices: Sequence[str]) -> str:
    """One of the wordings, by seed."""
    return choices[rng.randrange(len(choices))]
