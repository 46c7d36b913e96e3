"""Numbers of a size that their name suggests, within the bounds of a schema."""

from __future__ import annotations

import random
from typing import Final

from services.worlds import lexicon as lex
from services.worlds.fitting import Json, limits
from services.worlds.moments import when
from services.worlds.words import listed, tokens

_RANGES: Final[tuple[tuple[frozenset[str], float, float, int], ...]] = tuple(
    (frozenset(names.split()), low, high, decimals)
    for names, low, high, decimals in (
        ("id ids uid pid sid gid number no reference", 10_000, 99_999, 0),
        ("lat latitude", -54, 64, 4),
        ("lng lon long longitude", -120, 150, 4),
        ("year", 2019, 2025, 0),
        ("month", 1, 12, 0),
        ("day", 1, 28, 0),
        ("hour hours", 1, 23, 0),
        ("minute minutes", 1, 59, 0),
        ("timestamp epoch unixtime created updated modified expires", 1_735_700_000, 1_740_700_000, 0),
        ("page", 1, 1, 0),
        ("limit top take", 3, 25, 0),
        ("offset skip start from", 0, 0, 0),
        ("price amount cost fee subtotal balance revenue salary value budget charge paid", 12, 900, 2),
        ("percent percentage pct discount", 2, 60, 1),
        ("probability confidence ratio score rate", 0.05, 0.98, 3),
        ("rating stars", 2.5, 5, 1),
        ("age", 19, 74, 0),
        ("quantity qty", 1, 12, 0),
        ("width height", 240, 1920, 0),
        ("size bytes length", 900, 480_000, 0),
        ("duration seconds timeout ttl", 20, 3600, 0),
        ("temperature temp", -4, 33, 1),
        ("humidity", 25, 95, 0),
        ("zoom", 4, 16, 0),
        ("port", 3000, 9000, 0),
        ("version revision", 1, 9, 0),
        ("total count views likes followers downloads visits", 3, 4200, 0),
        ("weight", 0.2, 40, 2),
        ("distance radius", 1, 320, 1),
        ("index position order rank priority level", 1, 9, 0),
        ("code", 100, 999, 0),
    )
)


_STEERING: Final = frozenset(
    listed("number no num of total current size count per index last first max start end")
)
_ORDINAL: Final = frozenset(
    listed(
        "line row step week season episode chapter sequence seq part version attempt day month floor item "
        "round revision iteration stage level batch column slot"
    )
)
_PLACED: Final = {"lat": 3, "latitude": 3, "lng": 4, "lon": 4, "long": 4, "longitude": 4}


def _range(name: str, context: str) -> tuple[float, float, int]:
    """(low, high, decimals) that a number of this name lies in."""
    words = tokens(name)
    last = words[-1] if words else ""
    found = set(words)
    if found & {"page", "pages"} and found & _STEERING:
        return (20, 20, 0) if found & {"size", "per"} else (1, 1, 0)
    if last in {"number", "no", "num", "index"} and words[-2:-1] and words[-2] in _ORDINAL:
        return 1, 9, 0
    table: tuple[tuple[frozenset[str], float, float, int], ...] = _RANGES
    for names, low, high, decimals in table:
        if last in names:
            return low, high, decimals
    if words[:2] == ("number", "of") or (len(words) > 1 and words[0] in {"num", "total", "count"}):
        return 1, 60, 0
    for names, low, high, decimals in table[1:]:
        if found & names:
            return low, high, decimals
    return (1, 400, 0) if not context else (1, 90, 0)


def number(name: str, schema: Json, rng: random.Random, *, whole: bool) -> int | float:
    """A number within the schema's bounds, of a size that its name suggests."""
    low, high, decimals = _range(name, "")
    form = str(schema.get("format", "")).lower()
    if "unix" in form or "epoch" in form or "timestamp" in form:
        low, high, decimals = 1_735_700_000, 1_740_700_000, 0
    if low == 1_735_700_000:
        low = high = when(name, rng).timestamp()
    floor, ceiling = limits(schema)
    place = _PLACED.get((tokens(name) or ("",))[-1])
    if place is not None and not whole:
        degrees = float(rng.choice(lex.CITIES)[place])
        if (floor is None or degrees >= floor) and (ceiling is None or degrees <= ceiling):
            return degrees
    if floor is not None and (low < floor or low > (ceiling if ceiling is not None else low)):
        span = max(high - low, 1)
        low = floor
        high = low + span if high <= low else high
    if ceiling is not None and high > ceiling:
        high = ceiling
        low = min(low, high) if floor is None else max(floor, min(low, high))
    step = schema.get("multipleOf")
    if isinstance(step, (int, float)) and not isinstance(step, bool) and step > 0:
        least = -(-low // step)
        most = max(high // step, least)
        multiple = rng.randint(int(least), int(min(most, least + 1000))) * step
        return int(multiple) if whole else multiple
    if whole:
        least, most = int(-(-low // 1)), int(high // 1)
        return rng.randint(least, max(least, most)) if most >= least else least
    value = round(rng.uniform(low, high), decimals or 2)
    if ceiling is not None and value > ceiling:
        value = ceiling
    if floor is not None and value < floor:
        value = floor
    return value
