"""Entries of catalogs: a server with its id, or what is wrong with it, where, and what to do."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field
from typing import Any, Final

from schemas.catalog import ImportServer, Json
from services.console.catalog_text import SHAPES

MAX_SERVER_BYTES: Final = 3_500_000
"""An ImportServer command must fit its topic's 4 MiB."""
ID_LENGTH: Final = 200
UNPRINTABLE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)


@dataclass(frozen=True, slots=True)
class BadEntry:
    """An entry that cannot be imported: where it stands (``file:line``), what is wrong, what to do.

    ``code`` can be counted; ``count`` is more than 1 where one entry stands for several.
    """

    origin: str
    reason: str
    advice: str
    code: str = "unreadable"
    count: int = 1

    def __str__(self) -> str:
        return f"{self.origin}: {self.reason}. {self.advice[:1].upper()}{self.advice[1:]}."


@dataclass(slots=True)
class Ids:
    """Ids given so far: where, and the digest of the server."""

    given: dict[str, tuple[str, bytes]] = field(default_factory=dict)


def entry(raw: Any, origin: str, fallback: str, ids: Ids, max_server_bytes: int) -> ImportServer | BadEntry:
    """The import command for one server, as it was found; ``fallback`` is its id if it names none."""
    if not isinstance(raw, dict):
        return BadEntry(origin, f"{named(raw)}, not a server", SHAPES)
    if not isinstance(raw.get("tools"), list):
        found = f"its keys are {', '.join(map(repr, list(raw)[:6]))}" if raw else "the object is empty"
        reason = f"no list of tools ({UNPRINTABLE.sub('?', found)[:200]})"
        return BadEntry(origin, reason, 'give what the server answers to tools/list, under "tools"')
    text = json.dumps(raw, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    server_id, explicit = _server_id(raw, fallback)
    if len(text) > max_server_bytes:
        return oversized(origin, f"server {server_id!r}", len(text), max_server_bytes, _largest(raw))
    digest = hashlib.sha256(text).digest()[:16]
    known = ids.given.get(server_id)
    if known and known[1] == digest:
        reason = f"server {server_id!r} is the same as at {known[0]}"
        return BadEntry(origin, reason, "nothing to do: it is taken once", "listed_twice")
    if known and explicit:
        reason = f"server id {server_id!r} is taken by {known[0]}, which has other tools or texts"
        return BadEntry(origin, reason, "give one of the two another id", "id_taken")
    count = 1
    unique = server_id
    while unique in ids.given:
        count += 1
        unique = f"{server_id}-{count}"
    ids.given[unique] = origin, digest
    return ImportServer(server_id=unique, server=raw, origin=origin)


def _server_id(raw: Json, fallback: str) -> tuple[str, bool]:
    """The id of a server and whether it says so itself; else its name; else its place in the file."""
    for key in ("id", "server_id", "qualifiedName", "name", "server"):
        value = raw.get(key)
        if isinstance(value, str | int) and not isinstance(value, bool):
            cleaned = " ".join(UNPRINTABLE.sub("", str(value)).split())[:ID_LENGTH]
            if cleaned:
                return cleaned, key in ("id", "server_id")
    info = raw.get("serverInfo")
    if isinstance(info, dict) and isinstance(info.get("name"), str):
        return _server_id({"name": info["name"]}, fallback)
    return fallback, False


def oversized(origin: str, what: str, size_bytes: int, max_server_bytes: int, largest: str) -> BadEntry:
    """A server that is too large for a message."""
    advice = f"shorten it: {largest}" if largest else "leave tools out, or split the server in two"
    reason = f"{what} takes {size_bytes} bytes; at most {max_server_bytes} fit a message"
    return BadEntry(origin, reason, advice, "too_large")


def _largest(raw: Json) -> str:
    """The largest part of a server, in words."""

    def size(value: Any) -> int:
        return len(json.dumps(value))

    key = max(raw, key=lambda name: size(raw[name]))
    if key != "tools":
        return f"its {str(key)[:40]!r} takes {size(raw[key])} bytes"
    tool = max(raw["tools"], key=size)
    if not isinstance(tool, dict) or not tool:
        return "its tools are too many"
    part = max(tool, key=lambda name: size(tool[name]))
    return f"the {str(part)[:40]!r} of its tool {str(tool.get('name'))[:64]!r} takes {size(tool[part])} bytes"


def named(value: object) -> str:
    """What kind of JSON value this is, in words."""
    names: dict[type, str] = {str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    names |= {list: "a list", type(None): "null"}
    return names.get(type(value), "an object")
