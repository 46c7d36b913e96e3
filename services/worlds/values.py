"""Plausible values for a name and a JSON Schema: what a service would return or a user would say.

``plausible`` follows the schema first (const, enum, type, bounds, format, pattern) and the name second
("city", "unit_price", "created_at"). All randomness comes from the generator that is passed in.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

from services.worlds import lexicon as lex
from services.worlds.fitting import Json, as_list, as_object, bound, dice, fits, kind, resolved
from services.worlds.makers import place_in, which_place
from services.worlds.quantities import number
from services.worlds.texts import stands_in, text
from services.worlds.words import tokens

Linked = Callable[[str, Json], Any]
"""(name, schema) to the value of a known record that this name refers to, or None."""


MAX_ITEMS: Final = 3


def plausible(
    name: str,
    schema: Any,
    rng: random.Random,
    *,
    root: Json | None = None,
    linked: Linked | None = None,
    context: str = "",
    depth: int = 0,
) -> Any:
    """A value that fits ``schema`` and that something called ``name`` would have.

    ``root`` is where local references are looked up; ``linked`` may supply values that refer to known
    records; ``context`` is the name of what holds the value. Objects nest at most 4 deep.
    """
    schema = resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if linked is not None:
        known = linked(name, schema)
        if known is not None:
            return known
    options = [option for option in as_list(schema.get("enum")) if option is not None and option != ""]
    if options:
        return _choice(options, schema, rng)
    which = kind(schema)
    if which == "object":
        return _object(schema, rng, root, linked, name, depth)
    if which == "array":
        return _array(name, schema, rng, root, linked, context, depth)
    if which == "boolean":
        return _boolean(name, rng)
    if which == "null":
        return None
    if which in {"integer", "number"}:
        return number(name, schema, rng, whole=which == "integer")
    return text(name, schema, rng, context=context)


def _choice(options: list[Any], schema: Json, rng: random.Random) -> Any:
    """An enum member that says something; those of the declared type where the enum holds others too."""
    rest = {key: value for key, value in schema.items() if key != "enum"}
    fitting = [option for option in options if fits(option, rest)] or options
    telling = [option for option in fitting if not stands_in(option)]
    return rng.choice(telling or fitting)


def _boolean(name: str, rng: random.Random) -> bool:
    words = set(tokens(name))
    if words & {"success", "ok", "enabled", "active", "valid", "available", "successful"}:
        return True
    if words & {"error", "deleted", "failed", "archived", "banned", "blocked", "truncated", "deprecated"}:
        return False
    return rng.random() < 0.5


def _object(
    schema: Json, rng: random.Random, root: Json | None, linked: Linked | None, name: str, depth: int
) -> Json:
    properties = as_object(schema.get("properties"))
    required = [key for key in as_list(schema.get("required")) if isinstance(key, str)]
    wanted = list(dict.fromkeys(required))
    optional = [
        key
        for key, part in properties.items()
        if key not in wanted and (depth < 2 or kind(as_object(part)) not in {"object", "array"})
    ]
    if depth < 4:
        wanted += optional[: max(0, (4 if depth == 0 else 3) - len(wanted))]
    least = schema.get("minProperties")
    places = rng.getrandbits(64)
    made = {
        key: plausible(
            key,
            properties.get(key, {}),
            dice(places, which_place((key,))) if place_in(key, name) else rng,
            root=root,
            linked=linked,
            context=name,
            depth=depth + 1,
        )
        for key in wanted
    }
    extra = as_object(schema.get("additionalProperties"))
    for at in range(min(least, 5) if isinstance(least, int) else 0):
        if len(made) < (least or 0):
            made[f"{lex.TAGS[at]}"] = plausible(
                lex.TAGS[at], extra, rng, root=root, linked=linked, context=name, depth=depth + 1
            )
    return made


def _array(
    name: str,
    schema: Json,
    rng: random.Random,
    root: Json | None,
    linked: Linked | None,
    context: str,
    depth: int,
) -> list[Any]:
    low, high = bound(schema, "minItems", 1), bound(schema, "maxItems", MAX_ITEMS)
    size = min(max(low, rng.randint(1, 2)), max(high, low), max(5, low))
    items = schema.get("items", {})
    one = name[:-1] if name.endswith("s") and not name.endswith("ss") else name
    found: list[Any] = []
    for _ in range(size * 3):
        if len(found) == size:
            break
        value = plausible(one, items, rng, root=root, linked=linked, context=context, depth=depth + 1)
        if value not in found or not schema.get("uniqueItems"):
            if value in found and len(found) >= max(low, 1):
                continue
            found.append(value)
    return found
