"""Catalog files: MCP ``tools/list`` dumps as JSON or JSONL, plain or gzipped, read server by server.

One bad entry never costs the good ones: it is reported with its place, what is wrong and what to do.
JSONL is read line by line, so memory does not grow with the file; a JSON document is read whole, up to
``MAX_DOCUMENT_BYTES``.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final, cast

from schemas.catalog import ImportServer, Json

MAX_DOCUMENT_BYTES: Final = 256 * 1024 * 1024
MAX_DEPTH: Final = 100
HOPELESS: Final = 20
"""So many bad lines at the beginning, and not one good, and the rest is not read."""
ID_LENGTH: Final = 200
GZIP_MAGIC: Final = b"\x1f\x8b"
BOM: Final = b"\xef\xbb\xbf"
UNPRINTABLE: Final = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]"
)
SHAPES: Final = (
    'a server is an object with "name" and "tools"; a file may hold one, a list of them, {"servers": [...]}, '
    "the result of tools/list, or one server a line (.jsonl)"
)


@dataclass(frozen=True, slots=True)
class BadEntry:
    """An entry that cannot be imported: where it stands (``file:line``), what is wrong, what to do."""

    origin: str
    reason: str
    advice: str

    def __str__(self) -> str:
        return f"{self.origin}: {self.reason}. {self.advice[:1].upper()}{self.advice[1:]}."


class _Bad(Exception):  # noqa: N818  (never leaves this module)
    """Becomes a BadEntry once its place is known."""

    def __init__(self, reason: str, advice: str, line: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.advice = advice
        self.line = line


@dataclass(slots=True)
class _Ids:
    """Ids given so far in one file: where, and the digest of the server."""

    given: dict[str, tuple[str, bytes]] = field(default_factory=dict)


def read_servers(path: Path, *, max_server_bytes: int = 3_500_000) -> Iterator[ImportServer | BadEntry]:
    """Import commands for the servers of a catalog file, in its order, and its bad entries among them.

    ``origin`` is ``name:line`` in JSONL and ``name[n]`` (n counts from 1) in a JSON document of several
    servers. Never raises for what is in the file or for a file that cannot be read.
    """
    name = path.name
    try:
        with path.open("rb") as raw, _unzipped(raw, zipped_name=path.suffix == ".gz") as stream:
            if name.removesuffix(".gz").endswith((".jsonl", ".ndjson")):
                yield from _lines(stream, name, max_server_bytes)
            else:
                yield from _document(stream, name, max_server_bytes)
    except _Bad as bad:
        yield BadEntry(f"{name}:{bad.line}" if bad.line else name, bad.reason, bad.advice)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        yield BadEntry(name, "the gzip data is damaged or cut short", "fetch or compress the file again")
    except OSError as error:
        yield BadEntry(
            str(path), f"cannot be read: {error.strerror or error}", "check the path and its permissions"
        )


def _unzipped(raw: IO[bytes], *, zipped_name: bool) -> IO[bytes]:
    """The content of an open file, unzipped if it is gzip, whatever it is called."""
    head = raw.read(2)
    raw.seek(0)
    if not head:
        raise _Bad("the file is empty", SHAPES)
    if head == GZIP_MAGIC:
        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw, mode="rb"))
    if zipped_name:
        raise _Bad("named .gz, but not gzipped", "drop the .gz from its name, or compress it with gzip")
    return raw


def _lines(stream: IO[bytes], name: str, max_server_bytes: int) -> Iterator[ImportServer | BadEntry]:
    # A line of escapes (\u00e9) is longer than what it says; beyond this it is not even parsed.
    longest = 4 * max_server_bytes
    ids, number, good, bad = _Ids(), 0, 0, 0
    while True:
        try:
            line = stream.readline(longest + 1)
        except (EOFError, gzip.BadGzipFile, zlib.error):
            yield BadEntry(
                f"{name}:{number + 1}",
                "the gzip data is damaged or cut short here",
                "fetch or compress the file again; the servers before this line were read",
            )
            return
        if not line:
            break
        number += 1
        origin = f"{name}:{number}"
        size_bytes = len(line)
        while len(line) > longest and not line.endswith(b"\n"):
            line = stream.readline(longest + 1)
            size_bytes += len(line)
            if not line:
                break
        if size_bytes > longest + 1:
            bad += 1
            yield _oversized(origin, "the line", size_bytes, max_server_bytes, "")
            continue
        line = line.removeprefix(BOM) if number == 1 else line
        if not line.strip():
            continue
        try:
            entries = list(_entries(_parse(line)))
        except _Bad as error:
            bad += 1
            yield BadEntry(origin, error.reason, error.advice)
            if not good and bad >= HOPELESS:
                advice = f"is this a catalog at all? {SHAPES}"
                yield BadEntry(origin, f"the first {bad} lines are all bad; the rest was not read", advice)
                return
            continue
        for place, raw in enumerate(entries, start=1):
            where = origin if len(entries) == 1 else f"{origin}[{place}]"
            result = _import(raw, where, f"{_stem(name)}-{number}", ids, max_server_bytes)
            good += isinstance(result, ImportServer)
            bad += isinstance(result, BadEntry)
            yield result
    if not good and not bad:
        raise _Bad("no server is in it", SHAPES)


def _document(stream: IO[bytes], name: str, max_server_bytes: int) -> Iterator[ImportServer | BadEntry]:
    text = stream.read(MAX_DOCUMENT_BYTES + 1)
    if len(text) > MAX_DOCUMENT_BYTES:
        raise _Bad(
            f"larger than {MAX_DOCUMENT_BYTES // 2**20} MiB",
            "give it as JSONL, one server a line: jq -c '.[]'",
        )
    text = text.removeprefix(BOM)
    if not text.strip():
        raise _Bad("the file is empty", SHAPES)
    entries = list(_entries(_parse(text)))
    if not entries:
        raise _Bad("the catalog is empty: no server is in it", SHAPES)
    del text
    ids = _Ids()
    for place, raw in enumerate(entries, start=1):
        origin, fallback = (
            (name, _stem(name)) if len(entries) == 1 else (f"{name}[{place}]", f"{_stem(name)}-{place}")
        )
        yield _import(raw, origin, fallback, ids, max_server_bytes)


def _parse(text: bytes) -> Any:
    """The JSON value of ``text``, with nothing in it that a message could not carry."""
    try:
        decoded = text.decode()
    except UnicodeDecodeError as error:
        raise _Bad(f"not UTF-8 (byte {error.start})", "save the file as UTF-8") from None
    try:
        value = json.loads(decoded, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        what = (
            "cut short"
            if error.pos >= len(decoded.rstrip())
            else f"near {decoded[error.pos : error.pos + 20]!r}"
        )
        reason = f"not JSON: {error.msg} at column {error.colno} ({what})"
        advice = "mend or remove it" if error.lineno == 1 else f"mend it there; {SHAPES}"
        if error.lineno > 1 or "Extra data" in error.msg:
            advice = "mend it there, or name the file .jsonl if it has one server a line"
        raise _Bad(reason, advice, error.lineno) from None
    except RecursionError:
        raise _Bad("nested too deep to be read", f"at most {MAX_DEPTH} levels are taken") from None
    except ValueError as error:
        raise _Bad(f"not JSON: {error}", "mend or remove it") from None
    if _deeper_than(value, MAX_DEPTH):
        raise _Bad(f"nested more than {MAX_DEPTH} deep", "flatten the schema, or leave the tool out")
    try:
        decoded.encode()
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        # Halves of surrogate pairs, written as escapes, are text that no UTF-8 message can carry.
        return json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def _deeper_than(value: Any, limit: int) -> bool:
    layer = [value]
    for _ in range(limit):
        layer = [
            inner
            for outer in layer
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not layer:
            return False
    return True


def _entries(value: Any) -> Iterator[Any]:
    """The servers of a JSON value of any of the shapes that catalogs come in."""
    if isinstance(value, list):
        if value and all(_is_tool(entry) for entry in value):
            yield {"tools": value}
        else:
            yield from value
    elif not isinstance(value, dict):
        raise _Bad(f"{_named(value)}, not a server", SHAPES)
    elif isinstance(value.get("servers"), list):
        yield from value["servers"]
    elif isinstance(value.get("servers"), dict):
        for key, server in value["servers"].items():
            yield {"id": key, **server} if isinstance(server, dict) else server
    elif isinstance(value.get("result"), dict) and "tools" in value["result"]:
        # A JSON-RPC response: its "id" is the request's, not the server's.
        yield value["result"]
    else:
        yield value


def _is_tool(entry: Any) -> bool:
    if not isinstance(entry, dict) or "tools" in entry:
        return False
    return entry.get("type") == "function" or (
        "name" in entry and ("inputSchema" in entry or "input_schema" in entry)
    )


def _import(
    raw: Any, origin: str, fallback: str, ids: _Ids, max_server_bytes: int
) -> ImportServer | BadEntry:
    if not isinstance(raw, dict):
        return BadEntry(origin, f"{_named(raw)}, not a server", SHAPES)
    if not isinstance(raw.get("tools"), list):
        found = f"its keys are {', '.join(map(repr, list(raw)[:6]))}" if raw else "the object is empty"
        reason = f"no list of tools ({UNPRINTABLE.sub('?', found)[:200]})"
        return BadEntry(origin, reason, 'give what the server answers to tools/list, under "tools"')
    text = json.dumps(raw, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
    server_id, explicit = _server_id(raw, fallback)
    if len(text) > max_server_bytes:
        return _oversized(origin, f"server {server_id!r}", len(text), max_server_bytes, _largest(raw))
    digest = hashlib.sha256(text).digest()[:16]
    known = ids.given.get(server_id)
    if known and known[1] == digest:
        return BadEntry(
            origin, f"server {server_id!r} is the same as at {known[0]}", "nothing to do: it is taken once"
        )
    if known and explicit:
        reason = f"server id {server_id!r} is taken by {known[0]}, which has other tools or texts"
        return BadEntry(origin, reason, "give one of the two another id")
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


def _oversized(origin: str, what: str, size_bytes: int, max_server_bytes: int, largest: str) -> BadEntry:
    advice = f"shorten it: {largest}" if largest else "leave tools out, or split the server in two"
    return BadEntry(
        origin, f"{what} takes {size_bytes} bytes; at most {max_server_bytes} fit a message", advice
    )


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


def _stem(name: str) -> str:
    stem = name.removesuffix(".gz")
    for suffix in (".jsonl", ".ndjson", ".json"):
        stem = stem.removesuffix(suffix)
    return UNPRINTABLE.sub("", stem) or "catalog"


def _named(value: object) -> str:
    names: dict[type, str] = {str: "a string", bool: "a boolean", int: "a number", float: "a number"}
    names |= {list: "a list", type(None): "null"}
    return names.get(type(value), "an object")
