"""The log in one SQLite file: durable, for one writing process and any number of readers.

Order of an append: (1) calls that arrive within ``GATHER_S``, or while a transaction is being written,
wait together; (2) one transaction takes all their records and offsets; (3) it is synced to disk; (4) the
callers go on; (5) consumers wake. A crash before 3 loses the whole call, after 3 nothing.

As nobody else writes, the latest records are kept in memory as they were appended: a consumer that keeps up
reads the file only to get there. What it gets is what the file holds, for it is kept after step 3.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import sqlite3
import zlib
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Final, Self

from services.kit.log import Consumer, LogError, Offsets, Outgoing, Record, TopicPartition

VERSION: Final = 1
COLUMNS: Final = "topic, part, off, key, headers, packed, value"
PACK_BYTES: Final = 2048
"""Values longer than this are stored compressed."""
GATHER_S: Final = 0.002
"""A transaction of four records costs a third as much a record as one of one."""
TAIL_BYTES: Final = 16 * 1024 * 1024
"""Values of the latest records, kept in memory."""
TAIL_RECORDS: Final = 10_000

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS record (
  position INTEGER PRIMARY KEY,
  topic TEXT NOT NULL, part INTEGER NOT NULL, off INTEGER NOT NULL,
  key TEXT NOT NULL, headers TEXT NOT NULL, packed INTEGER NOT NULL, value BLOB,
  UNIQUE (topic, part, off)
);
CREATE TABLE IF NOT EXISTS committed (
  grp TEXT NOT NULL, topic TEXT NOT NULL, part INTEGER NOT NULL, off INTEGER NOT NULL,
  PRIMARY KEY (grp, topic, part)
) WITHOUT ROWID;
"""

_headers_text: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

Call = tuple[Sequence[Outgoing], str, Mapping[TopicPartition, int] | None, "asyncio.Future[None]"]


class SqliteLog:
    """An EventLog in the file ``path``. Use as an async context manager, or ``close`` it.

    Raises:
        LogError: another process writes to it, it is no log, or a newer program wrote it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _lock(path)
        try:
            self._writer = _open(path, read_only=False)
            self._reader = _open(path, read_only=True)
            rows = self._writer.execute("SELECT topic, part, MAX(off) + 1 FROM record GROUP BY topic, part")
            self._ends: Offsets = {(topic, part): end for topic, part, end in rows}
            last = self._writer.execute("SELECT MAX(position) FROM record").fetchone()[0]
            self._tail = Tail(last or 0)
        except BaseException:
            os.close(self._lock)
            raise
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log-writer")
        self._waiting: list[Call] = []
        self._writing: asyncio.Task[None] | None = None
        self._bell = Bell()

    async def __aenter__(self) -> Self:
        """The log itself."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()

    async def append(
        self,
        records: Sequence[Outgoing],
        *,
        group: str = "",
        offsets: Mapping[TopicPartition, int] | None = None,
    ) -> None:
        """See EventLog."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((records, group, offsets, done))
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_waiting())
        await done

    async def _write_waiting(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                await asyncio.sleep(GATHER_S)
                calls, self._waiting = self._waiting, []
                try:
                    written = await loop.run_in_executor(self._thread, self._write, calls)
                except Exception as error:  # noqa: BLE001  (whatever it is, the callers wait for an answer)
                    failure = (
                        LogError(_advice(self.path, error)) if isinstance(error, sqlite3.Error) else error
                    )
                    for *_, done in calls:
                        if not done.done():
                            done.set_exception(failure)
                    continue
                self._tail.extend(written)
                for *_, done in calls:
                    if not done.done():
                        done.set_result(None)
                self._bell.ring({record.topic for record in written})
        finally:
            self._writing = None

    def _write(self, calls: list[Call]) -> list[Record]:
        ends = dict(self._ends)
        written = [_placed(record, ends) for records, *_ in calls for record in records]
        position = self._tail.last
        with self._writer:
            self._writer.execute("BEGIN IMMEDIATE")
            self._writer.executemany(
                f"INSERT INTO record (position, {COLUMNS}) VALUES (?,?,?,?,?,?,?,?)",  # noqa: S608
                [(number, *_row(record)) for number, record in enumerate(written, position + 1)],
            )
            for _, group, offsets, _ in calls:
                if offsets:
                    self._commit(group, offsets)
        self._ends = ends
        return written

    def _commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        self._writer.executemany(
            "INSERT OR REPLACE INTO committed (grp, topic, part, off) VALUES (?,?,?,?)",
            [(group, topic, part, offset) for (topic, part), offset in offsets.items()],
        )

    def consumer(self, topics: Sequence[str], start: Mapping[TopicPartition, int]) -> Consumer:
        """See EventLog."""
        return SqliteConsumer(self._reader, self._tail, frozenset(topics), dict(start), self._bell)

    async def ends(self, topics: Sequence[str]) -> Offsets:
        """See EventLog."""
        return {place: end for place, end in self._ends.items() if place[0] in topics}

    async def committed(self, group: str) -> Offsets:
        """See EventLog."""
        rows = self._reader.execute("SELECT topic, part, off FROM committed WHERE grp = ?", (group,))
        return {(topic, part): offset for topic, part, offset in rows}

    async def commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """See EventLog."""
        await self.append((), group=group, offsets=offsets)

    async def close(self) -> None:
        """See EventLog."""
        if self._writing is not None:
            await self._writing
        self._thread.shutdown()
        self._reader.close()
        self._writer.close()
        os.close(self._lock)


class Tail:
    """The latest records of a log, as many as fit; ``last`` is the position of the last of all."""

    def __init__(self, last: int) -> None:
        self.last = last
        self._records: deque[Record] = deque()
        self._bytes = 0

    def extend(self, records: Sequence[Record]) -> None:
        """These were appended."""
        self.last += len(records)
        self._records.extend(records)
        self._bytes += sum(_size(record) for record in records)
        while self._bytes > TAIL_BYTES or len(self._records) > TAIL_RECORDS:
            self._bytes -= _size(self._records.popleft())

    def after(self, position: int) -> list[Record] | None:
        """All records after ``position``; None when some of them are no longer kept."""
        count = self.last - position
        if count > len(self._records):
            return None
        return list(islice(reversed(self._records), count))[::-1]


class Bell:
    """Wakes those who wait for certain topics; nobody else, for there are many appends and few for each."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Future[bool], frozenset[str]] = {}

    def ring(self, topics: set[str]) -> None:
        """Something was appended to these topics."""
        for waiting, wanted in self._waiting.items():
            if not wanted.isdisjoint(topics):
                _settle(waiting, True)

    async def rung(self, topics: frozenset[str], timeout_s: float) -> bool:
        """Whether something was appended to one of these topics within ``timeout_s``."""
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[bool] = loop.create_future()
        timer = loop.call_later(timeout_s, _settle, waiting, False)
        self._waiting[waiting] = topics
        try:
            return await waiting
        finally:
            timer.cancel()
            del self._waiting[waiting]


def _settle(waiting: asyncio.Future[bool], rung: bool) -> None:
    if not waiting.done():
        waiting.set_result(rung)


class SqliteConsumer:
    """Reads a log in the order of its appends: from the file, and what is new from the tail."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        tail: Tail,
        topics: frozenset[str],
        start: Offsets,
        bell: Bell,
    ) -> None:
        self._connection = connection
        self._tail = tail
        self._topics = topics
        self._start = start
        self._bell = bell
        self._position = 0

    async def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """See Consumer."""
        clock = asyncio.get_running_loop().time
        end_s = clock() + timeout_s
        while not (found := self._take(max_records)):
            left_s = end_s - clock()
            if left_s <= 0 or not await self._bell.rung(self._topics, left_s):
                break
        return found

    async def close(self) -> None:
        """See Consumer."""

    def _take(self, max_records: int) -> list[Record]:
        latest = self._tail.after(self._position)
        if latest is None:
            return self._from_file(max_records)
        found = []
        for record in latest:
            self._position += 1
            if record.topic in self._topics and self._started(record):
                found.append(record)
                if len(found) == max_records:
                    break
        return found

    def _from_file(self, max_records: int) -> list[Record]:
        found = []
        last = self._tail.last
        # NOT INDEXED: by position, not by the index that begins with the topic and would need a sort.
        marks = ",".join("?" * len(self._topics))
        rows = self._connection.execute(
            f"SELECT position, {COLUMNS} FROM record NOT INDEXED "  # noqa: S608
            f"WHERE position > ? AND position <= ? AND topic IN ({marks}) ORDER BY position",
            (self._position, last, *self._topics),
        )
        for position, *row in rows:
            record = _record(row)
            if self._started(record):
                found.append(record)
                if len(found) == max_records:
                    self._position = position
                    break
        else:
            self._position = last
        rows.close()
        return found

    def _started(self, record: Record) -> bool:
        return record.offset >= self._start.get((record.topic, record.partition), 0)


def read(path: Path, topics: Sequence[str] | None = None) -> Iterator[Record]:
    """All records of a log file as it stands, in the order of their appends; takes no lock.

    Raises:
        LogError: there is no log, or not one that this program can read.
    """
    return (record for _, record in read_after(path, 0, topics))


def read_after(
    path: Path, position: int, topics: Sequence[str] | None = None
) -> Iterator[tuple[int, Record]]:
    """The same from a position on: what was appended after it, each with its own, which count from 1.

    Raises:
        LogError: there is no log, or not one that this program can read.
    """
    if not path.exists():
        message = f"no event log at {path}; start one with `tds run --out {path.parent}`"
        raise LogError(message)
    connection = _open(path, read_only=True)
    try:
        if not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            return  # it is just being made
        where = f"AND topic IN ({','.join('?' * len(topics))})" if topics is not None else ""
        rows = connection.execute(
            f"SELECT position, {COLUMNS} FROM record NOT INDEXED "  # noqa: S608
            f"WHERE position > ? {where} ORDER BY position",
            (position, *(topics or ())),
        )
        for place, *row in rows:
            yield place, _record(row)
    except sqlite3.Error as error:
        raise LogError(_advice(path, error)) from None
    finally:
        connection.close()


def _placed(record: Outgoing, ends: Offsets) -> Record:
    """The record with the offset that it gets; ``ends`` move on."""
    place = (record.topic, record.partition)
    offset = ends.get(place, 0)
    ends[place] = offset + 1
    return Record(record.topic, record.partition, offset, record.key, record.headers, record.value)


def _size(record: Record) -> int:
    return len(record.value or b"")


def _row(record: Record) -> tuple[str, int, int, str, str, int, bytes | None]:
    value, packed = record.value, 0
    if value is not None and len(value) > PACK_BYTES:
        value, packed = zlib.compress(value, 1), 1
    return (
        record.topic,
        record.partition,
        record.offset,
        record.key,
        _headers_text(record.headers),
        packed,
        value,
    )


def _record(row: Sequence[object]) -> Record:
    topic, part, offset, key, headers, packed, value = row
    assert isinstance(headers, str)
    if packed:
        assert isinstance(value, bytes)
        value = zlib.decompress(value)
    return Record(topic, part, offset, key, json.loads(headers), value)  # type: ignore[arg-type]


def _lock(path: Path) -> int:
    """An exclusive lock that ends with the process."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        message = f"cannot write in {path.parent}: {error.strerror}; choose another folder with --out"
        raise LogError(message) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        owner = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        message = (
            f"another process (pid {owner}) is running on {path.parent}; wait for it, stop it, "
            "or choose another folder with --out"
        )
        raise LogError(message) from None
    try:
        os.ftruncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
    except OSError:
        pass  # the pid is a courtesy to the next caller; the lock holds without it
    return lock


def _open(path: Path, *, read_only: bool) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > VERSION:
            connection.close()
            message = f"{path} has log version {version}; this program knows up to {VERSION}: upgrade it"
            raise LogError(message)
        if read_only:
            connection.execute("PRAGMA query_only = 1")
        else:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(SCHEMA)
            connection.execute(f"PRAGMA user_version = {VERSION}")
    except sqlite3.Error as error:
        raise LogError(_advice(path, error)) from None
    return connection


def _advice(path: Path, error: sqlite3.Error) -> str:
    text = str(error)
    if "full" in text:
        return f"the disk under {path} is full; free some space, then `tds run --resume {path.parent}`"
    if "not a database" in text or "malformed" in text:
        return f"{path} is not an event log ({text}); choose another folder"
    return f"cannot use the event log {path}: {text}"
