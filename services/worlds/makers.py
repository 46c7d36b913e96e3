"""Makers of texts, by format and by name: what a city, an e-mail address or a status looks like."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from services.worlds import lexicon as lex
from services.worlds.moments import when
from services.worlds.words import listed, tokens

Maker = Callable[[random.Random], str]


def hexadecimal(rng: random.Random, size: int) -> str:
    """``size`` hexadecimal digits."""
    return f"{rng.getrandbits(size * 4):0{size}x}"


def uuid_text(rng: random.Random) -> str:
    """A random UUID."""
    return str(uuid.UUID(int=rng.getrandbits(128), version=4))


def stamp(rng: random.Random) -> str:
    """An ISO 8601 time in UTC."""
    return when("", rng).strftime("%Y-%m-%dT%H:%M:%SZ")


def date_text(rng: random.Random) -> str:
    """An ISO 8601 date."""
    return when("", rng).strftime("%Y-%m-%d")


def _person(rng: random.Random) -> str:
    return f"{rng.choice(lex.FIRST_NAMES)} {rng.choice(lex.LAST_NAMES)}"


def _email(rng: random.Random) -> str:
    first, last = rng.choice(lex.FIRST_NAMES).lower(), _ascii(rng.choice(lex.LAST_NAMES).lower())
    return f"{first}.{last}@{rng.choice(lex.DOMAINS)}"


def _ascii(value: str) -> str:
    return value.replace("ö", "o").replace("ü", "u").replace("á", "a")


def _slug(rng: random.Random) -> str:
    return f"{rng.choice(lex.ADJECTIVES)}-{rng.choice(lex.NOUNS)}-{rng.randint(10, 99)}"


def _url(rng: random.Random) -> str:
    return f"https://{rng.choice(lex.DOMAINS)}/{rng.choice(lex.NOUNS)}/{rng.randint(100, 9999)}"


def _arn(rng: random.Random) -> str:
    account = rng.randint(100_000_000_000, 999_999_999_999)
    return f"arn:aws:service:{rng.choice(lex.REGIONS)}:{account}:resource/{_slug(rng)}"


def _code(rng: random.Random) -> str:
    return "".join(rng.choice("ABCDEFGHKLMNPRSTUVWX") for _ in range(2)) + f"-{rng.randint(1000, 9999)}"


def _phone(rng: random.Random) -> str:
    return f"+1{rng.randint(202, 989)}555{rng.randint(100, 199):04d}"


def _time(rng: random.Random) -> str:
    return f"{rng.randint(8, 18):02d}:{rng.choice((0, 15, 30, 45)):02d}"


def _file(rng: random.Random) -> str:
    return f"{rng.choice(lex.ADJECTIVES)}-{rng.choice(lex.NOUNS)}.{rng.choice(lex.EXTENSIONS)}"


def _named(rng: random.Random) -> str:
    return f"{rng.choice(lex.ADJECTIVES).capitalize()} {rng.choice(lex.NOUNS).capitalize()}"


def _pick(options: tuple[str, ...]) -> Maker:
    return lambda rng: rng.choice(options)


def _city(field: int) -> Maker:
    return lambda rng: str(rng.choice(lex.CITIES)[field])


def country_code(rng: random.Random, letters: int = 2) -> str:
    """An ISO 3166-1 code of 2 or 3 letters; of the place that the city makers draw from the same state."""
    code = str(rng.choice(lex.CITIES)[1])
    return lex.ALPHA3[code] if letters == 3 else code


FORMATS: Final[dict[str, Maker]] = {
    "datetime": stamp,
    "googledatetime": stamp,
    "iso8601timestamp": stamp,
    "iso8601": stamp,
    "timestamp": stamp,
    "date": date_text,
    "fulldate": date_text,
    "dateformat": date_text,
    "time": lambda rng: _time(rng) + ":00",
    "uuid": uuid_text,
    "guid": uuid_text,
    "email": _email,
    "uri": _url,
    "url": _url,
    "urireference": _url,
    "irireference": _url,
    "iri": _url,
    "hostname": _pick(lex.DOMAINS),
    "domain": _pick(lex.DOMAINS),
    "ipv4": lambda rng: f"203.0.113.{rng.randint(2, 250)}",
    "ip": lambda rng: f"203.0.113.{rng.randint(2, 250)}",
    "ipv6": lambda rng: f"2001:db8::{rng.randint(16, 65000):x}",
    "byte": lambda rng: "".join(rng.choice("abcdefghijklmnopqrstuvwxyzABCDEFG0123456789") for _ in range(20)),
    "int64": lambda rng: str(rng.randint(1000, 99_999)),
    "uint64": lambda rng: str(rng.randint(1000, 99_999)),
    "int32": lambda rng: str(rng.randint(10, 999)),
    "decimal": lambda rng: f"{rng.uniform(5, 900):.2f}",
    "double": lambda rng: f"{rng.uniform(5, 900):.2f}",
    "duration": lambda rng: f"PT{rng.randint(5, 90)}M",
    "googleduration": lambda rng: f"{rng.randint(5, 900)}s",
    "color": lambda rng: "#" + hexadecimal(rng, 6),
    "cssstylehextriplet": lambda rng: "#" + hexadecimal(rng, 6),
    "slug": _slug,
    "ulid": lambda rng: "01J" + "".join(rng.choice("0123456789ABCDEFGHJKMNPQRSTVWXYZ") for _ in range(23)),
    "phone": _phone,
    "httpmethod": _pick(("GET", "POST", "PUT")),
}


_NAMED: Final[tuple[tuple[str, Maker], ...]] = (
    ("email mail emailaddress", _email),
    ("firstname givenname forename", _pick(lex.FIRST_NAMES)),
    ("lastname surname familyname", _pick(lex.LAST_NAMES)),
    ("username user login screenname handle nickname alias useraccount",
     lambda rng: _email(rng).split("@", 1)[0]),
    (("fullname contactname customername author owner assignee creator recipient contact person "
     "createdby updatedby modifiedby artist director holder sender student teacher doctor patient"), _person),
    (("company companyname organization organisation vendor supplier merchant employer manufacturer "
     "publisher businessname org"), _pick(lex.COMPANIES)),
    ("domain host hostname website domainname", _pick(lex.DOMAINS)),
    ("url uri href link permalink callback webhook homepage avatar icon logo thumbnail", _url),
    ("phone phonenumber mobile telephone msisdn fax tel", _phone),
    ("city town locality placename", _city(0)),
    ("country countryname", _city(2)),
    ("countrycode countryiso", _city(1)),
    ("state province regionname county administrativearea adminarea subdivision", _city(6)),
    ("timezone tz", _city(5)),
    ("region zone datacenter", _pick(lex.REGIONS)),
    ("location place destination origin venue", lambda rng: "{0}, {2}".format(*rng.choice(lex.CITIES))),
    ("address street streetaddress addressline line1 address1",
     lambda rng: f"{rng.randint(2, 180)} {rng.choice(lex.STREETS)}"),
    ("zip zipcode postalcode postcode", lambda rng: f"{rng.randint(10_000, 98_999)}"),
    ("currency currencycode", _pick(lex.CURRENCIES)),
    ("language lang locale languagecode", lambda rng: rng.choice(lex.LANGUAGES)[0]),
    ("lat latitude", lambda rng: str(rng.choice(lex.CITIES)[3])),
    ("lng lon longitude", lambda rng: str(rng.choice(lex.CITIES)[4])),
    ("coordinates latlng geo", lambda rng: "{3},{4}".format(*rng.choice(lex.CITIES))),
    ("title subject headline summary topic", _pick(lex.TITLES)),
    (("description comment comments note notes message body text content details reason bio caption about "
     "abstract instructions remark feedback"), _pick(lex.SENTENCES)),
    ("query q search keyword keywords term searchterm searchquery question prompt", _pick(lex.TOPICS)),
    ("tag tags label labels keywordlist", _pick(lex.TAGS)),
    ("category categories section department", _pick(lex.CATEGORIES)),
    ("status state phase stage lifecycle condition", _pick(lex.STATUSES)),
    ("product productname item itemname article", lambda rng: rng.choice(lex.PRODUCTS).capitalize()),
    ("color colour", _pick(lex.COLOURS)),
    ("genre", _pick(lex.GENRES)),
    ("brand make", _pick(lex.BRANDS)),
    ("symbol ticker stock", _pick(lex.SYMBOLS)),
    ("unit units uom", _pick(lex.UNITS)),
    ("platform device os", _pick(lex.PLATFORMS)),
    ("filename file attachment document", _file),
    ("arn", _arn),
    ("path filepath directory folder", lambda rng: f"/{rng.choice(lex.NOUNS)}/{_file(rng)}"),
    ("mimetype contenttype mediatype", _pick(lex.MIME_TYPES)),
    ("extension fileformat", _pick(lex.EXTENSIONS)),
    ("jobtitle role position occupation", _pick(lex.JOBS)),
    ("useragent", _pick(lex.AGENTS)),
    ("ip ipaddress", FORMATS["ipv4"]),
    ("hash checksum digest sha md5 etag fingerprint commit", lambda rng: hexadecimal(rng, 16)),
    ("version apiversion release",
     lambda rng: f"{rng.randint(1, 4)}.{rng.randint(0, 9)}.{rng.randint(0, 20)}"),
    ("price amount cost total balance fee subtotal", lambda rng: f"{rng.uniform(12, 900):.2f}"),
    ("year", lambda rng: str(rng.randint(2019, 2025))),
    ("month", lambda rng: f"{rng.randint(1, 12):02d}"),
    ("count quantity size number length limit", lambda rng: str(rng.randint(2, 60))),
    ("gender sex", _pick(("female", "male"))),
    ("slug key bucket", _slug),
    ("code reference ref sku barcode voucher coupon", _code),
    ("page pagenumber", lambda _rng: "1"),
    ("perpage pagesize", lambda _rng: "20"),
    ("date day birthday dob birthdate", date_text),
    ("time hour", _time),
    (("timestamp datetime created updated modified createdat updatedat modifiedat since until expires at on "
     "start end starttime endtime begin deadline due"), stamp),
    ("duration", lambda rng: f"{rng.randint(5, 90)} minutes"),
    ("type kind", _pick(("standard", "basic", "extended", "custom"))),
    ("name", _named),
)  # fmt: skip


BY_NAME: Final = {word: make for words, make in _NAMED for word in words.split()}


def by_name(name: str, context: str = "") -> Maker | None:
    """The maker of texts that this name calls for, longest match of its last words first."""
    words = tokens(name)
    if not words:
        return None
    holder = tokens(context)[-1:] if context else ()
    if words in {("name",), ("title",), ("display", "name"), ("label",)} and holder:
        special = _HOLDERS.get(holder[0]) or _HOLDERS.get(holder[0].rstrip("s"))
        if special is not None:
            return special
    for size in range(min(3, len(words)), 0, -1):
        make = BY_NAME.get("".join(words[-size:]))
        if make is not None:
            if size == 1 and words[-1] == "name" and len(words) > 1:
                return _HOLDERS.get(words[-2]) or make
            return make
    if len(words) > 1 and words[-1] in _MODIFIERS:
        return by_name("_".join(words[:-1]), context)
    return None


_MODIFIERS: Final = frozenset(
    listed(
        "value text info field input line string iso primary param parameter raw full original "
        "current new old default display formatted short long 1 2 3 one two"
    )
)


_HOLDERS: Final[dict[str, Maker]] = {
    **dict.fromkeys(
        (
            "user", "customer", "contact", "person", "member", "author", "owner", "employee",
            "patient", "player", "lead", "creator", "assignee", "student", "teacher", "doctor",
            "artist", "actor", "speaker", "host", "client", "recipient", "attendee", "participant",
            "agent", "candidate", "driver", "guest"
        ), _person),
    **dict.fromkeys(
        (
            "company", "organization", "organisation", "vendor", "supplier", "merchant", "account",
            "tenant", "business", "brand", "publisher", "partner", "customeraccount", "org"
        ), _pick(lex.COMPANIES)),
    **dict.fromkeys(
        (
            "product", "item", "sku", "variant"
        ), lambda rng: rng.choice(lex.PRODUCTS).capitalize()),
    **dict.fromkeys(("city", "location", "place", "venue", "town", "destination"), _city(0)),
    **dict.fromkeys(("country",), _city(2)),
    **dict.fromkeys(("file", "document", "attachment", "image", "photo", "asset", "upload"), _file),
    **dict.fromkeys(("tag", "label"), _pick(lex.TAGS)),
    **dict.fromkeys(("category",), _pick(lex.CATEGORIES)),
    **dict.fromkeys(("department", "team", "group"), _pick(lex.DEPARTMENTS)),
    **dict.fromkeys(("language",), lambda rng: rng.choice(lex.LANGUAGES)[1]),
    **dict.fromkeys(
        (
            "task", "issue", "ticket", "article", "post", "page", "event", "meeting", "note",
            "story", "topic", "thread", "report", "survey", "course", "lesson", "message",
            "notification"
        ), _pick(lex.TITLES)),
    **dict.fromkeys(
        (
            "resource", "bucket", "cluster", "instance", "server", "database", "repo", "repository",
            "branch", "domain", "pipeline", "job", "service", "host", "node", "workspace", "vm",
            "disk", "volume", "table", "queue", "namespace", "pod", "deployment", "environment"
        ), _slug),
}  # fmt: skip

_PLACES: Final = frozenset(
    listed(
        "city town locality placename country countryname countrycode countryiso state province county "
        "administrativearea adminarea subdivision timezone tz location place venue "
        "lat latitude lng lon longitude coordinates latlng"
    )
)
_OF_PLACES: Final = frozenset(listed("city town locality country state province county location place venue"))
_APART: Final = frozenset(
    listed(
        "origin destination from to departure arrival pickup dropoff source target birth home away start end "
        "billing shipping sender recipient"
    )
)
_RECOGNIZED: Final = frozenset({_email, _phone, _url, _person, BY_NAME["firstname"], BY_NAME["lastname"]})


@lru_cache(maxsize=65536)
def recognized(name: str) -> bool:
    """Whether the name alone decides the form of a text (a phone number), whatever a description says."""
    return by_name(name) in _RECOGNIZED


@lru_cache(maxsize=65536)
def place_in(name: str, context: str = "") -> bool:
    """Whether the name is that of a part of a place: a city, a country, a latitude."""
    words = tokens(name)
    if words == ("name",) and context:
        return tokens(context)[-1:] in {("city",), ("country",), ("location",), ("place",), ("venue",)}
    tail = ("".join(words[-2:]), *words[-1:])
    return bool(words) and (
        any(word in _PLACES for word in tail)
        or (words[-1] in {"name", "code", "iso", "iso2", "iso3"} and words[-2:-1] and words[-2] in _OF_PLACES)
        or bool(words[0] == "country" and {"code", "iso"} & set(words))
    )


def which_place(path: tuple[str, ...]) -> str:
    """What tells the places of one record apart: ends of a journey and positions in a list."""
    return " ".join(
        part if part.isdigit() else word for part in path for word in (tokens(part) or (part,))
        if part.isdigit() or word in _APART
    )  # fmt: skip
