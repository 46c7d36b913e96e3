"""Catalog files: MCP ``tools/list`` dumps (JSON, JSONL), OpenAPI and Swagger documents (JSON, YAML).

All may be gzipped; they are read server by server. One bad entry never costs the good ones: it is reported
with its place, what is wrong and what to do. JSONL is read line by line, so memory does not grow with the
file; a document is read whole, up to ``MAX_DOCUMENT_BYTES``.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from schemas.catalog import ImportServer
from services.console.catalog_entries import (
    MAX_SERVER_BYTES,
    UNPRINTABLE,
    BadEntry,
    Ids,
    entry,
    named,
    oversized,
)
from services.console.catalog_text import (
    BOM,
    SHAPES,
    YAML_NAMES,
    Unreadable,
    is_yaml,
    parse_json,
    parse_yaml,
    unzipped,
)
from services.console.openapi_files import Left, is_openapi, servers_of

MAX_DOCUMENT_BYTES: Final = 256 * 1024 * 1024
HOPELESS: Final = 20
"""So many bad lines at the beginning, and not one good, and the rest is not read."""
ADVICE: Final = "mend it there; all other operations are taken"
SHOWN: Final = 20
"""Operations of one document that are named one by one, of those left out for one reason."""


def read_servers(
    path: Path, *, max_server_bytes: int = MAX_SERVER_BYTES, ids: Ids | None = None
) -> Iterator[ImportServer | BadEntry]:
    """Import commands for the servers of a catalog file, in its order, and its bad entries among them.

    ``origin`` is ``name:line`` in JSONL, ``name[n]`` (n counts from 1) in a document of several servers, and
    of an operation of an OpenAPI document ``name#/paths/…``. ``ids`` are those given in files before this
    one. Never raises for what is in the file or for a file that cannot be read.
    """
    given = Ids() if ids is None else ids
    name = path.name
    try:
        with path.open("rb") as raw, unzipped(raw, zipped_name=path.suffix == ".gz") as stream:
            if name.removesuffix(".gz").endswith((".jsonl", ".ndjson")):
                yield from _lines(stream, name, max_server_bytes, given)
            else:
                yield from _document(stream, name, max_server_bytes, given)
    except Unreadable as bad:
        yield BadEntry(f"{name}:{bad.line}" if bad.line else name, bad.reason, bad.advice)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        yield BadEntry(name, "the gzip data is damaged or cut short", "fetch or compress the file again")
    except OSError as error:
        yield BadEntry(
            str(path), f"cannot be read: {error.strerror or error}", "check the path and its permissions"
        )


def _lines(
    stream: IO[bytes], name: str, max_server_bytes: int, ids: Ids
) -> Iterator[ImportServer | BadEntry]:
    # A line of escapes (\u00e9) is longer than what it says; beyond this it is not even parsed.
    longest = 4 * max_server_bytes
    number, good, bad = 0, 0, 0
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
            yield oversized(origin, "the line", size_bytes, max_server_bytes, "")
            continue
        line = line.removeprefix(BOM) if number == 1 else line
        if not line.strip():
            continue
        try:
            entries = list(_entries(parse_json(line)))
        except Unreadable as error:
            bad += 1
            yield BadEntry(origin, error.reason, error.advice)
            if not good and bad >= HOPELESS:
                advice = f"is this a catalog at all? {SHAPES}"
                yield BadEntry(origin, f"the first {bad} lines are all bad; the rest was not read", advice)
                return
            continue
        for place, raw in enumerate(entries, start=1):
            where = origin if len(entries) == 1 else f"{origin}[{place}]"
            for result in _read(raw, where, f"{_stem(name)}-{number}", ids, max_server_bytes):
                good += isinstance(result, ImportServer)
                bad += isinstance(result, BadEntry)
                yield result
    if not good and not bad:
        raise Unreadable("no server is in it", SHAPES)


def _document(
    stream: IO[bytes], name: str, max_server_bytes: int, ids: Ids
) -> Iterator[ImportServer | BadEntry]:
    text = stream.read(MAX_DOCUMENT_BYTES + 1)
    if len(text) > MAX_DOCUMENT_BYTES:
        raise Unreadable(
            f"larger than {MAX_DOCUMENT_BYTES // 2**20} MiB",
            "give it as JSONL, one server a line: jq -c '.[]'",
        )
    text = text.removeprefix(BOM)
    if not text.strip():
        raise Unreadable("the file is empty", SHAPES)
    value = parse_yaml(text) if is_yaml(name.removesuffix(".gz"), text) else parse_json(text)
    entries = list(_entries(value))
    if not entries:
        raise Unreadable("the catalog is empty: no server is in it", SHAPES)
    del text, value
    for place, raw in enumerate(entries, start=1):
        origin, fallback = (
            (name, _stem(name)) if len(entries) == 1 else (f"{name}[{place}]", f"{_stem(name)}-{place}")
        )
        yield from _read(raw, origin, fallback, ids, max_server_bytes)


def _read(
    raw: Any, origin: str, fallback: str, ids: Ids, max_server_bytes: int
) -> Iterator[ImportServer | BadEntry]:
    """One entry: a server as it is, or the servers of an OpenAPI document."""
    if not is_openapi(raw):
        yield entry(raw, origin, fallback, ids, max_server_bytes)
        return
    left: Counter[str] = Counter()
    for found in servers_of(raw, fallback, max_server_bytes):
        if not isinstance(found, Left):
            yield entry(found, origin, fallback, ids, max_server_bytes)
            continue
        left[found.code] += 1
        if left[found.code] <= SHOWN:
            where = UNPRINTABLE.sub("?", f"{origin}#{found.pointer}" if found.pointer else origin)
            advice = ADVICE if found.pointer else "give an OpenAPI 3 or Swagger 2 document with paths"
            yield BadEntry(where[:300], UNPRINTABLE.sub("?", found.reason), advice, found.code)
    for code, count in sorted(left.items()):
        if count > SHOWN:
            more = count - SHOWN
            yield BadEntry(origin, f"{more} more operations left out: {code}", ADVICE, code, more)


def _entries(value: Any) -> Iterator[Any]:
    """The servers of a JSON value of any of the shapes that catalogs come in."""
    if is_openapi(value):
        yield value
    elif isinstance(value, list):
        if value and all(_is_tool(one) for one in value):
            yield {"tools": value}
        else:
            yield from value
    elif not isinstance(value, dict):
        raise Unreadable(f"{named(value)}, not a server", SHAPES)
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


def _is_tool(value: Any) -> bool:
    if not isinstance(value, dict) or "tools" in value:
        return False
    return value.get("type") == "function" or (
        "name" in value and ("inputSchema" in value or "input_schema" in value)
    )


def _stem(name: str) -> str:
    stem = name.removesuffix(".gz")
    for suffix in (".jsonl", ".ndjson", ".json", *YAML_NAMES):
        stem = stem.removesuffix(suffix)
    return UNPRINTABLE.sub("", stem) or "catalog"
