"""Records with header names that are not UTF-8.

aiokafka decodes names strictly, deep in its reader, and the broker takes whatever bytes it is sent: one such
record would stop every reader of its topic for good. So a batch that cannot be read is read once more with
such names as lone surrogates, as ``kafka.text`` makes of values; what is to be done with it is then decided
where all records are judged.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator
from typing import Any, Final

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

LENGTH: Final = struct.Struct(">8xi")
"""How a batch begins: its first offset, and how many bytes follow."""


class Lenient(bytearray):
    """Bytes whose slices are decoded so, whatever they are."""

    def __getitem__(self, place: Any) -> Any:
        """The byte, or the slice as such bytes."""
        found = super().__getitem__(place)
        return Lenient(found) if isinstance(place, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "surrogateescape") -> str:
        """As text; what is none becomes lone surrogates."""
        return super().decode(encoding, errors)


class Batch:
    """A batch of records, as aiokafka's fetcher uses one."""

    def __init__(self, strict: Any, raw: memoryview) -> None:
        self._strict = strict
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        """What is said of the batch as a whole."""
        return getattr(self._strict, name)

    def __iter__(self) -> Iterator[Any]:
        """Its records."""
        read = 0
        try:
            for record in self._strict:
                read += 1
                yield record
        except (UnicodeDecodeError, CorruptRecordException):
            yield from itertools.islice(self._again(), read, None)

    def _again(self) -> Iterator[Any]:
        batch: Any = _DefaultRecordBatchPy(self._raw)
        iter(batch)  # which uncompresses it
        batch._buffer = Lenient(batch._buffer)  # noqa: SLF001  (there is no other way in)
        return iter(batch)


class Records:
    """What a fetch brought of one partition, as aiokafka's fetcher uses it."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0
        self._strict = MemoryRecords(raw)
        self.has_next = self._strict.has_next
        self.size_in_bytes = self._strict.size_in_bytes

    def next_batch(self) -> Batch:
        """The next batch; only while there is one."""
        begin, (length,) = self._at, LENGTH.unpack_from(self._raw, self._at)
        self._at = begin + LENGTH.size + length
        return Batch(self._strict.next_batch(), memoryview(self._raw)[begin : self._at])


def install() -> None:
    """Have all consumers of this process read so."""
    fetcher.MemoryRecords = Records
