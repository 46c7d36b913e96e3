"""How well a person could ask for the use of a tool: can its entity and its parameters be named and valued?

Ours, not the paper's. Nothing here looks at state: a tool is as clear as its definition. A request can
only be as natural as the words that the definition offers, so whoever plans takes the clear tools.
"""

from __future__ import annotations

import random
import re
from typing import Final

from schemas.catalog import Json, ToolSpec
from services.worlds.fitting import kind, resolved
from services.worlds.makers import FORMATS, by_name
from services.worlds.meaning import Reading
from services.worlds.naming import is_control, parameters, required
from services.worlds.phrases import from_description
from services.worlds.texts import described, example_of, from_format
from services.worlds.vocabulary import is_sayable
from services.worlds.words import ACRONYMS, listed, norm, tokens

CLEAR: Final = 0.6
"""From here on a tool can be asked for in plain words."""
UNTOLD: Final = 0.4
"""Factor for tools that make, change or search for something and take nothing that would say what."""
BARE: Final = 0.7
"""Factor for other tools without parameters: there is little to ask for, and nothing to tell."""
MAX_DEPTH: Final = 3
VAGUE: Final = frozenset(
    listed(
        "metadata record result response object resource entity element thing value detail get set all new"
        " key type operation method function call handler page root index config parameter custom default"
        " internal"
    )
)
"""Entities that say nothing of what is meant."""


def clarity(spec: ToolSpec, reading: Reading, referred: frozenset[str]) -> float:
    """From 0 (nobody could ask for this) to 1 (all of it has plain words).

    The entity's clarity times that of the least clear required parameter; a clean description adds to
    it; a tool without parameters loses some. ``referred`` are the parameters whose values other tools of
    the server show.
    """
    score = entity_clarity(reading, spec.description)
    schemas = parameters(spec)
    for name in required(spec):
        part = schemas.get(name)
        if part is None:
            continue
        if is_control(name):
            score = min(score, 1.0 if fixed(part) else 0.45)
            continue
        said = reading.labels.get(name, "")
        named = 0.4 if not is_sayable(said) else 0.5 if said in {"ID", "IDs", "key", "value"} else 1.0
        valued = 1.0 if name in referred or sayable(name, part, spec.input_schema) else 0.35
        score = min(score, named * valued)
    if not schemas:
        return score * UNTOLD if reading.verb in {"create", "update", "search"} else score * BARE
    return score


def entity_clarity(reading: Reading, description: str) -> float:
    """How plain the entity's name is."""
    words = reading.entity.lower().split()
    if not words or words[-1] in VAGUE:
        return 0.5 if words and from_description(description) else 0.25
    if len(words) > 4 or re.fullmatch(r"\w{4,}ed", words[-1]):
        return 0.35
    unknown = [word for word in words if not is_sayable(word)]
    prose = set(re.findall(r"(?<![\w./-])[a-z]{4,}(?![\w/-])", description))
    if unknown and all(word in prose for word in unknown):
        return 0.75
    if unknown:
        return 0.3 if len(words) > 1 else 0.15
    return 1.0 if from_description(description) else 0.9


def sayable(name: str, schema: Json, root: Json, depth: int = 0) -> bool:
    """Whether a person could say a value of this parameter: its name, form or examples tell what it is."""
    schema = resolved(schema, root)
    if fixed(schema):
        return True
    which = kind(schema)
    if which in {"boolean", "null"}:
        return True
    if which in {"integer", "number"}:
        return _counts(name, schema)
    if which == "array":
        return depth < MAX_DEPTH and sayable(name.removesuffix("s"), schema.get("items", {}), root, depth + 1)
    if which == "object":
        properties = schema.get("properties")
        wanted = schema.get("required")
        names = [one for one in wanted if isinstance(one, str)] if isinstance(wanted, list) else []
        if not isinstance(properties, dict) or not properties or depth >= MAX_DEPTH:
            return False
        return all(sayable(one, properties.get(one, {}), root, depth + 1) for one in names or properties)
    return _text(name, schema)


def fixed(schema: Json) -> bool:
    """Whether the schema itself offers a value."""
    return "const" in schema or "default" in schema or bool(schema.get("enum"))


def _counts(name: str, schema: Json) -> bool:
    """Whether a number has a name that says what it counts or measures."""
    words = tokens(name)
    return bool(words) and (is_sayable(" ".join(words)) or example_of(schema) is not None)


def _text(name: str, schema: Json) -> bool:
    form = schema.get("format")
    if isinstance(form, str) and norm(form) in FORMATS and norm(form) != "byte":
        return True
    rng = random.Random(0)
    if from_format(name, schema, rng) is not None or example_of(schema) is not None or schema.get("pattern"):
        return True
    words = tokens(name)
    if words and words[-1] in ACRONYMS | {"identifier", "number"} and words[-1] in _IDENTIFYING:
        return True
    return by_name(name) is not None or described(schema, rng) is not None


_IDENTIFYING: Final = frozenset(listed("id ids uuid guid number identifier"))
