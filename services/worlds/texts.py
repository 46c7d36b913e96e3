"""Strings that fit a format, a pattern and a length, and that their name suggests."""

from __future__ import annotations

import random
import re
from typing import Any, Final

from services.worlds import lexicon as lex
from services.worlds.fitting import Json, as_list, bound
from services.worlds.makers import BY_NAME, FORMATS, by_name, date_text, hexadecimal, moment, stamp, uuid_text
from services.worlds.patterns import compiled, matching
from services.worlds.quantities import _RANGES, number
from services.worlds.words import listed, norm, tokens

MAX_TEXT: Final = 400


_JUNK: Final = frozenset(
    listed(
        "string foo bar baz example test abc xyz value null none undefined true false name description text "
        "your_api_key todo lorem"
    )
)


def text(name: str, schema: Json, rng: random.Random, *, context: str = "") -> str:
    """A string that fits format, pattern and length, and that its name suggests."""
    low = bound(schema, "minLength", 0)
    high = max(bound(schema, "maxLength", MAX_TEXT), low)
    pattern = schema.get("pattern") if isinstance(schema.get("pattern"), str) else None
    made = from_format(name, schema, rng)
    if made is None:
        made = _from_example(schema, rng)
    if made is None:
        make = by_name(name, context)
        made = make(rng) if make else described(schema, rng) or _fallback(name, rng)
    made = _sized(made, low, high, rng)
    if pattern is not None:
        expression = compiled(pattern)
        if expression is not None and not expression.search(made):
            made = matching(pattern, rng, low, high) or _bent(made, expression, low, high)
    return made


def _bent(made: str, expression: re.Pattern[str], low: int, high: int) -> str:
    """The text changed until the expression is found in it; the text itself where that fails."""
    plain = re.sub(r"[^0-9A-Za-z]", "", made)
    digits = re.sub(r"\D", "", made) or "42"
    for candidate in (
        plain,
        plain.lower(),
        plain.upper(),
        re.sub(r"\d", "", plain),
        digits,
        digits[:1],
        made[:1],
        "a",
        "A",
    ):
        if low <= len(candidate) <= high and expression.search(candidate):
            return candidate
    return made


def _sized(made: str, low: int, high: int, rng: random.Random) -> str:
    """The text cut or filled up to the allowed length."""
    if len(made) > high and len(made.split()) > 3:
        short = [text for text in (*lex.TOPICS, *lex.TAGS) if low <= len(text) <= high]
        made = rng.choice(short) if short else made
    if len(made) > high:
        cut = made[:high].rstrip(" -.,:/")
        made = cut if len(cut) >= low else made[:high]
    if len(made) < low:
        made += "".join(rng.choice("0123456789abcdef") for _ in range(min(low, 4096) - len(made)))
    return made


def from_format(name: str, schema: Json, rng: random.Random) -> str | None:
    """A value in the format that the schema or its description asks for; None where it asks for none."""
    form = schema.get("format")
    make = FORMATS.get(norm(form)) if isinstance(form, str) else None
    if make is not None:
        return make(rng)
    hint = str(schema.get("description", ""))[:300].lower()
    if "yyyy-mm-ddt" in hint or "iso 8601" in hint or "iso8601" in hint or "rfc 3339" in hint:
        return date_text(rng) if "duration" not in hint and tokens(name)[-1:] == ("date",) else stamp(rng)
    if "yyyy-mm-dd" in hint:
        return date_text(rng)
    if "yyyymmdd" in hint or "yyyymmdd" in norm(name):
        return date_text(rng).replace("-", "")
    if "unix timestamp" in hint or "epoch" in hint:
        return str(int(moment(rng).timestamp()))
    if "iso 3166" in hint or "country code" in hint or "two-letter country" in hint:
        return str(rng.choice(lex.CITIES)[1])
    if "iso 4217" in hint or "currency code" in hint:
        return rng.choice(lex.CURRENCIES)
    if "iso 639" in hint or "language code" in hint:
        return rng.choice(lex.LANGUAGES)[0]
    return None


_DESCRIBED: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"e-?mail address|\bemail\b", re.IGNORECASE), "email"),
    (re.compile(r"phone number|mobile number|msisdn", re.IGNORECASE), "phone"),
    (re.compile(r"\burl\b|\bwebsite\b|\blink to\b", re.IGNORECASE), "url"),
    (re.compile(r"\bcity\b", re.IGNORECASE), "city"),
    (re.compile(r"\bcountry\b", re.IGNORECASE), "country"),
    (re.compile(r"\b(date|datetime|timestamp)\b", re.IGNORECASE), "date"),
    (re.compile(r"\b(search|query|keyword)", re.IGNORECASE), "query"),
    (re.compile(r"\bfile ?name\b|\bfile path\b|path to", re.IGNORECASE), "path"),
    (re.compile(r"\b(text|message|content|description)\b", re.IGNORECASE), "text"),
)


def described(schema: Json, rng: random.Random) -> str | None:
    """A value that the description of a field with a meaningless name asks for."""
    hint = str(schema.get("description", ""))[:160]
    for expression, name in _DESCRIBED if hint else ():
        if expression.search(hint):
            return BY_NAME[name](rng)
    return None


_HINTED: Final = re.compile(
    r"(?:e\.g\.,?|for example,?|[Ee]xamples?:|such as|[Ll]ike:)\s*[`'\"“]([^`'\"”]{2,40})[`'\"”]"
)


def example_of(schema: Json) -> Any:
    """An example that the schema gives, if it looks like a real value; else None."""
    for value in (schema.get("example"), *as_list(schema.get("examples"))[:1]):
        if isinstance(value, str):
            clean = value.strip()
            if (
                2 <= len(clean) <= 120
                and norm(clean) not in _JUNK
                and not re.search(r"[<>{}\n]|example\.|your[_ -]", clean)
            ):
                return clean
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and value:
            return value
    found = _HINTED.search(str(schema.get("description", ""))[:500])
    if found and norm(found.group(1)) not in _JUNK and "{" not in found.group(1):
        return found.group(1).strip()
    return None


def _from_example(schema: Json, rng: random.Random) -> str | None:
    """A value in the form of the schema's example: digits (and hexadecimal digits) are drawn anew."""
    example = example_of(schema)
    if not isinstance(example, str):
        return None
    digits = sum(char.isdigit() for char in example)
    if re.match(r"https?://|\d{4}-\d\d-\d\d|.+@.+", example):
        return None
    if digits >= 3 and " " not in example:
        hexadecimal = bool(re.fullmatch(r"[0-9a-f-]{12,}", example))
        letters = "0123456789abcdef" if hexadecimal else "0123456789"
        return "".join(
            rng.choice("123456789")
            if char.isdigit() and char != "0" and not hexadecimal
            else (rng.choice(letters) if hexadecimal and char != "-" else char)
            for char in example
        )
    return example if digits == 0 and rng.random() < 0.4 else None


def _fallback(name: str, rng: random.Random) -> str:
    """A value for a name that says nothing: an identifier for identifiers, else two words."""
    words = tokens(name)
    if words and (
        {words[-1], words[0]} & {"id", "ids", "identifier", "uid", "sid", "gid", "token", "cursor"}
    ):
        return identifier(name, rng)
    if words and any(words[-1] in names for names, *_ in _RANGES):
        return str(number(name, {}, rng, whole=False))
    if words and words[-1] in {"uuid", "guid"}:
        return uuid_text(rng)
    if words and (words[0] in {"is", "has"} or words[-1] in {"enabled", "flag"}):
        return rng.choice(("true", "false"))
    return f"{rng.choice(lex.ADJECTIVES)} {rng.choice(lex.NOUNS)}"


def identifier(name: str, rng: random.Random, prefix: str = "") -> str:
    """A string that identifies a record: a short prefix of its kind and random characters."""
    words = [word for word in tokens(name) if word not in {"id", "ids", "uid", "key", "identifier"}]
    stem = prefix or (words[-1] if words else "rec")
    return f"{stem[:4]}_{hexadecimal(rng, 8)}"
