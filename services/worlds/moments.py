"""Times that go with their name and with each other: a start lies before an end, whatever draws it.

Ours, not the paper's: every name belongs to one band of days around the fixed date of all worlds, so that
two fields of one record agree in order although each is drawn alone.
"""

from __future__ import annotations

import random
import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from services.worlds.words import listed, tokens

EPOCH: Final = datetime(2025, 1, 6, 9, 0, tzinfo=UTC)

_BANDS: Final[tuple[tuple[frozenset[str], int, int], ...]] = (
    (frozenset(listed("birth birthday birthdate dob born")), -23_000, -7_500),
    (frozenset(listed("end ends ended ending until expires expiry expiration expire expired due deadline "
                      "finish finished through before max latest closes")), 31, 120),
    (frozenset(listed("updated update modified modification changed last completed completion resolved "
                      "closed processed delivered shipped deleted paid sent to synced accessed "
                      "seen used")), -14, 0),
    (frozenset(listed("created creation create added registered registration joined signup first founded "
                      "issued")), -120, -61),
    (frozenset(listed("start starts started starting from since begin begins opened open after min "
                      "earliest submitted requested effective")), -60, -15),
)  # fmt: skip
_TIMED: Final = frozenset(listed("date dates datetime timestamp timestamps day birthday birthdate dob"))
_FORMS: Final = (
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y-%m-%d",
    "%Y-%m-%dT%H:%M:%S.000Z",
    "%Y-%m-%dT%H:%M:%S+00:00",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%S.000+00:00",
    "%Y-%m-%dT%H:%M:%S.000000+00:00",
    "%Y-%m-%dT%H:%MZ",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M",
    "%Y%m%dT%H%M%SZ",
    "%Y%m%d%H%M%S",
    "%Y%m%d%H%M",
    "%Y%m%d",
    "%Y-%m",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d-%m-%Y",
    "%d.%m.%Y",
    "%Y/%m/%d",
    "%d %b %Y",
    "%b %d, %Y",
    "%y%m%d",
    "%H:%M",
    "%Y",
    "%d",
    "%A, %d %B %Y at %H:%M:%S UTC",
)


def when(name: str, rng: random.Random, days: int = 120) -> datetime:
    """A time that something of this name lies at; in UTC, ``days`` at most from the fixed date of worlds."""
    low, high = _band(name) or (-days, days)
    return EPOCH + timedelta(minutes=rng.randint(low * 1440, high * 1440))


@lru_cache(maxsize=65536)
def _band(name: str) -> tuple[int, int] | None:
    words = set(tokens(name))
    return next(((low, high) for names, low, high in _BANDS if words & names), None)


@lru_cache(maxsize=65536)
def timed(name: str) -> bool:
    """Whether a string of this name is a date or a time of a day ("creationDate", "updated_at")."""
    words = tokens(name)
    return bool(words) and (words[-1] in _TIMED or (words[-1] in {"at", "on"} and len(words) > 1))


@lru_cache(maxsize=4096)
def form_of(example: str) -> str | None:
    """The ``strftime`` form that an example of a date is written in; None if it is none."""
    if len(example) > 40 or not re.search(r"\d\d", example):
        return None
    for form in _FORMS[:-4]:
        try:
            if 1900 <= datetime.strptime(example, form).replace(tzinfo=UTC).year <= 2100:
                return form
        except ValueError:
            continue
    return None


def of_length(at: datetime, low: int, high: int) -> str | None:
    """The time written in the first usual form of ``low`` to ``high`` characters; None if none fits."""
    made = (at.strftime(form) for form in _FORMS)
    return next((text for text in made if low <= len(text) <= high), None)
