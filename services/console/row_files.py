"""Files of dataset rows: JSON and JSONL, gzipped or not, read row by row in bounded memory.

JSONL has one row a line. Any other file is a JSON list of rows, or rows one after the other, laid out as one
likes; their ends are found by their brackets, so that a bad row does not cost the next one.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from services.console.catalog_text import BOM, Unreadable, parse_json, unzipped

MAX_ROW_BYTES: Final = 16 * 1024 * 1024
CHUNK_BYTES: Final = 1 << 16
HOPELESS: Final = 1000
"""So many bad rows at the beginning, and not one good, and the rest is not read."""
MARKS: Final = re.compile(rb'["\\{}\[\]]')


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that cannot be used: its number (lines of JSONL and items of a list count from 1), and why.

    ``code`` can be counted; number 0 means the file as a whole.
    """

    number: int
    code: str
    reason: str

    def __str__(self) -> str:
        """As a person reads it."""
        return f"row {self.number}: {self.reason}" if self.number else self.reason


def read_rows(path: Path, *, max_row_bytes: int = MAX_ROW_BYTES) -> Iterator[tuple[int, Any] | BadRow]:
    """The rows of a file with their numbers, and the bad ones among them.

    Raises:
        OSError: it cannot be read.
    """
    number = bad = good = 0
    try:
        with path.open("rb") as raw, unzipped(raw, zipped_name=path.suffix == ".gz") as stream:
            for number, text in _texts(stream, path.name, max_row_bytes):
                found = _row(number, text, max_row_bytes)
                good += not isinstance(found, BadRow)
                bad += isinstance(found, BadRow)
                yield found
                if not good and bad >= HOPELESS:
                    yield BadRow(0, "hopeless", f"the first {bad} rows are no JSON; the rest is not read")
                    return
    except Unreadable as unreadable:
        yield BadRow(0, "unreadable", unreadable.reason)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        yield BadRow(0, "damaged_gzip", f"the gzip data is damaged or cut short after row {number}")


def _row(number: int, text: bytes | None, max_row_bytes: int) -> tuple[int, Any] | BadRow:
    if text is None:
        return BadRow(number, "too_large", f"more than {max_row_bytes} bytes")
    try:
        return number, parse_json(text)
    except Unreadable as unreadable:
        code = "not_json"
        if "too deep" in unreadable.reason:
            code = "too_deep"
        elif re.search(r"(NaN|Infinity) is", unreadable.reason):
            code = "not_finite"
        return BadRow(number, code, unreadable.reason)


def _texts(stream: IO[bytes], name: str, limit: int) -> Iterator[tuple[int, bytes | None]]:
    """Number and text of each row; no text for one that is too large."""
    plain = name.removesuffix(".gz")
    first = stream.readline(CHUNK_BYTES)
    start = first.removeprefix(BOM)
    while not start.strip() and first:
        first = start = stream.readline(CHUNK_BYTES)
    laid_out = start.strip()[:1] == b"[" or start.strip() == b"{" or start.rstrip().endswith((b",", b"{"))
    if plain.endswith((".jsonl", ".ndjson")) or not laid_out:
        yield from _lines(stream, start, limit)
    else:
        yield from _items(stream, start, limit)


def _lines(stream: IO[bytes], first: bytes, limit: int) -> Iterator[tuple[int, bytes | None]]:
    number, line = 0, first
    while line:
        number += 1
        parts, size, last = [line], len(line), line
        while not last.endswith(b"\n") and (last := stream.readline(CHUNK_BYTES)):
            size += len(last)
            if size <= limit:
                parts.append(last)
        text = b"".join(parts) if size <= limit else None
        if text is None or text.strip():
            yield number, text
        line = stream.readline(CHUNK_BYTES)


def _items(stream: IO[bytes], first: bytes, limit: int) -> Iterator[tuple[int, bytes | None]]:
    """Objects at the outermost level, or one below it in a list."""
    number = depth = floor = 0
    quoted = escaped = False
    item = bytearray()
    chunk = first
    if chunk.lstrip()[:1] == b"[":
        floor, chunk = 1, chunk.lstrip()[1:]
        depth = 1
    while chunk:
        taken = 0
        position = 0
        while True:
            if escaped and position < len(chunk):
                escaped = False
                position += 1
            match = MARKS.search(chunk, position)
            if match is None:
                break
            position, mark = match.end(), match[0]
            if mark == b"\\":
                escaped = quoted
            elif mark == b'"':
                quoted = not quoted
            elif not quoted and mark in b"{[":
                if depth == floor:
                    taken = match.start()
                depth += 1
            elif not quoted:
                depth -= 1
                if depth == floor:
                    number += 1
                    item += chunk[taken:position][: limit + 1 - len(item)]
                    yield number, bytes(item) if len(item) <= limit else None
                    item.clear()
                depth = max(depth, 0)
        if depth > floor:
            item += chunk[taken:][: max(0, limit + 1 - len(item))]
        chunk = stream.read(CHUNK_BYTES)
    if item:
        yield number + 1, bytes(item) if len(item) <= limit else None
