"""Strings that fit a format, a pattern and a length, and that their name suggests."""

from __future__ import annotations

import random
import re
from typing import Any, Final

from services.worlds import lexicon as lex
from services.worlds.fitting import Json, as_list, bound
from services.worlds.makers import (
    BY_NAME,
    FORMATS,
    Maker,
    by_name,
    country_code,
    date_text,
    hexadecimal,
    place_in,
    recognized,
    stamp,
    uuid_text,
)
from services.worlds.moments import form_of, of_length, timed, when
from services.worlds.naming import after_verb, verb_at
from services.worlds.patterns import compiled, matching
from services.worlds.quantities import _RANGES, number
from services.worlds.sizing import fill_type, short_word, sized
from services.worlds.words import listed, norm, singular, tokens

MAX_TEXT: Final = 400
_TYPED: Final = frozenset(listed("object objecttype objectname entitytype recordtype resourcetype"))


_JUNK: Final = frozenset(
    listed(
        "string foo bar baz example test abc xyz value null none undefined true false name description text "
        "your_api_key todo lorem"
    )
)


_STAND_IN: Final = re.compile(
    r"(?<![\w-])(foo|foobar|bar|baz|examples?|strings?|sample|dummy|placeholder|lorem|ipsum|your)(?![\w-])",
    re.IGNORECASE,
)


def stands_in(value: Any) -> bool:
    """Whether a text only stands where a value should: "foo", "an example", "a string value"."""
    return isinstance(value, str) and _STAND_IN.search(value) is not None


def text(name: str, schema: Json, rng: random.Random, *, context: str = "") -> str:
    """A string that fits format, pattern and length, and that its name suggests."""
    low = bound(schema, "minLength", 0)
    high = max(bound(schema, "maxLength", MAX_TEXT), low)
    pattern = schema.get("pattern") if isinstance(schema.get("pattern"), str) else None
    begun = rng.getstate() if place_in(name, context) else None
    made = _drawn(name, schema, rng, context)
    if not low <= len(made) <= high:
        if begun is not None:
            made = _of_place(begun, low, high, None) or made
        elif norm(name) in _TYPED and len(made) < low and made.isalpha():
            made = fill_type(made, low, high, rng) or made
        elif timed(name) or form_of(made) is not None:
            made = of_length(when(name, rng), low, high) or made
        made = sized(made, name, low, high, rng, lambda: _drawn(name, schema, rng, context))
    if pattern is not None:
        expression = compiled(pattern)
        if expression is not None and not expression.search(made):
            kept = _of_place(begun, low, high, expression) if begun is not None else None
            made = kept or matching(pattern, rng, low, high) or _bent(made, expression, low, high)
    return made


def _drawn(name: str, schema: Json, rng: random.Random, context: str) -> str:
    """A string of this name in the form that schema, example, name and description say, of any length."""
    made = from_format(name, schema, rng)
    if made is None:
        made = _from_example(name, schema, rng)
    if made is None and context and norm(name) in _TYPED:
        made = entity_type(context)
    if made is None and tokens(name)[-1:] in {("prefix",), ("suffix",)} and "name" in tokens(name):
        made = short_word(name, 0, MAX_TEXT, rng)
    if made is None:
        make = by_name(name, context)
        made = _made(make, name, rng) if make else described(schema, rng) or _fallback(name, rng)
    return made


def _made(make: Maker, name: str, rng: random.Random) -> str:
    """What the maker makes; times in the order that their names say."""
    if make is stamp:
        return when(name, rng).strftime("%Y-%m-%dT%H:%M:%SZ")
    return when(name, rng).strftime("%Y-%m-%d") if make is date_text else make(rng)


def entity_type(context: str) -> str:
    """The type name of what holds a field: "purchase_order" gives "PurchaseOrder"."""
    words = list(tokens(context))
    if words[:1] == ["call"] and " " in context:
        found = verb_at(tuple(words[1:]))
        words = list(after_verb(tuple(words[1:]), found[1]) if found else words[1:]) or words[1:]
    return "".join(word.capitalize() for word in (*words[:-1], *map(singular, words[-1:])))


def _of_place(begun: object, low: int, high: int, expression: re.Pattern[str] | None) -> str | None:
    """Another way to say the same place: by code or country; ``begun`` is the state that it is drawn from."""
    again = random.Random(0)
    again.setstate(begun)  # type: ignore[arg-type]
    city = again.choice(lex.CITIES)
    for text in (str(city[1]), lex.ALPHA3[city[1]], str(city[2]), str(city[0]), str(city[6])):
        if low <= len(text) <= high and (expression is None or expression.search(text)):
            return text
    return None


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


def from_format(name: str, schema: Json, rng: random.Random) -> str | None:
    """A value in the format that the schema or its description asks for; None where it asks for none."""
    form = schema.get("format")
    make = FORMATS.get(norm(form)) if isinstance(form, str) else None
    if make is not None:
        return _made(make, name, rng)
    if recognized(name):
        return None
    hint = str(schema.get("description", ""))[:300].lower()
    if "yyyy-mm-ddt" in hint or "iso 8601" in hint or "iso8601" in hint or "rfc 3339" in hint:
        day = "duration" not in hint and tokens(name)[-1:] == ("date",)
        return _made(date_text if day else stamp, name, rng)
    if "yyyy-mm-dd" in hint:
        return _made(date_text, name, rng)
    if "yyyymmdd" in hint or "yyyymmdd" in norm(name):
        return _made(date_text, name, rng).replace("-", "")
    if "unix timestamp" in hint or "epoch" in hint:
        return str(int(when(name, rng).timestamp()))
    if "iso 3166" in hint or "country code" in hint or "two-letter country" in hint:
        return country_code(rng, 3 if "alpha-3" in hint or "three-letter" in hint else 2)
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
                and not stands_in(clean)
                and not re.search(r"[<>{}\n]|example\.|your[_ -]", clean)
            ):
                return clean
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and value:
            return value
    found = _HINTED.search(str(schema.get("description", ""))[:500])
    if found and norm(found[1]) not in _JUNK and not stands_in(found[1]) and "{" not in found[1]:
        return found.group(1).strip()
    return None


def _from_example(name: str, schema: Json, rng: random.Random) -> str | None:
    """A value in the form of the schema's example: digits (and hexadecimal digits) are drawn anew."""
    example = example_of(schema)
    if not isinstance(example, str) or (place_in(name) and not schema.get("pattern")):
        return None
    if timed(name) or re.match(r"\d{1,4}[-/.]\d\d?[-/.]\d\d", example):
        form = form_of(example)
        if form is not None:
            return when(name, rng).strftime(form)
        if timed(name):
            return str(int(when(name, rng).timestamp())) if re.fullmatch(r"1\d{9}", example) else None
    digits = sum(char.isdigit() for char in example)
    if re.match(r"https?://|\d{4}-\d\d-\d\d|.+@.+", example):
        return None
    if digits >= 3 and " " not in example:
        hexadecimal = bool(re.fullmatch(r"[0-9a-f-]{12,}", example)) and not example.isdigit()
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
