"""Arguments read as fields of a record, as filters, and as paging."""

from __future__ import annotations

from typing import Any, Final

from schemas.catalog import Json
from services.worlds.meaning import Reading
from services.worlds.naming import is_control
from services.worlds.records import Model, Record
from services.worlds.results import MAX_LISTED
from services.worlds.words import listed, norm

_ENVELOPES: Final = frozenset(
    listed(
        "body data attributes payload request requestbody resource fields properties input inputs "
        "parameters object"
    )
)
_QUERIES: Final = frozenset(
    listed("q query search keyword keywords term text searchterm searchquery s filter")
)


def named(reading: Reading) -> list[str]:
    """The parameters that say which record is meant, and are no fields of it."""
    return [
        name for name in (reading.key, *(parameter for parameter, _ in reading.parents)) if name is not None
    ]


def written(reading: Reading, arguments: Json) -> Json:
    """The arguments that are fields of the record, envelopes like ``body`` opened."""
    skip = named(reading)
    own = _ENVELOPES | {norm(reading.envelope)} if reading.envelope else _ENVELOPES
    given = _opened({name: value for name, value in arguments.items() if not is_control(name)}, own)
    return {name: value for name, value in given.items() if name not in skip}


def filtered(model: Model, reading: Reading, records: list[Record], arguments: Json) -> list[Record]:
    """The records that the arguments ask for.

    A search text that no record contains does not filter: real searches rank by relevance.
    """
    skip = named(reading)
    for name, value in arguments.items():
        if name in skip or is_control(name) or isinstance(value, (dict, bool)) or value in (None, "", []):
            continue
        key = norm(name)
        if key in _QUERIES:
            hits = [record for record in records if _mentions(record, value)]
            records = hits or records
            continue
        link = model.entities.target(name, reading.collection)
        wanted = [str(item).lower() for item in (value if isinstance(value, list) else [value])]
        if link is not None:
            held = [record for record in records if record.parents.get(link, "").lower() in wanted]
            records = held or records
            continue
        if any(key in record.fields for record in records):
            records = [
                record
                for record in records
                if any(want == str(record.fields.get(key, "")).lower() for want in wanted)
                or (
                    key in {"name", "title"}
                    and any(want in str(record.fields.get(key, "")).lower() for want in wanted)
                )
            ]
    return records


def _opened(given: Json, envelopes: frozenset[str], depth: int = 0) -> Json:
    """The arguments with envelopes (``body``, the entity's own name) replaced by what is in them."""
    opened: Json = {}
    for name, value in given.items():
        if isinstance(value, dict) and norm(name) in envelopes and depth < 3:
            opened.update(_opened(value, envelopes, depth + 1))
        else:
            opened[name] = value
    return opened


def scalar(value: Any) -> bool:
    """Whether an argument is a text or a number, and not empty."""
    return isinstance(value, (str, int, float)) and not isinstance(value, bool) and value != ""


def _mentions(record: Record, value: Any) -> bool:
    said = str(value).lower()
    return any(said in str(held).lower() for held in record.fields.values())


def paging(arguments: Json) -> tuple[int, int]:
    """(pages to skip, records per page) that the arguments ask for."""
    size, page = MAX_LISTED, 0
    for name, value in arguments.items():
        key = norm(name)
        if not isinstance(value, int) or isinstance(value, bool):
            continue
        if (
            key in {"limit", "perpage", "pagesize", "maxresults", "count", "top", "take", "size"}
            and value > 0
        ):
            size = min(value, MAX_LISTED)
        if key in {"page", "pagenumber"} and value > 1:
            page = value - 1
    return page, size
