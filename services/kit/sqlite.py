"""The log in one SQLite file: durable, for one writing process and any number of readers.

Order of an append: (1) calls that arrive while a transaction is being written wait together;
(2) one transaction takes all their records and offsets; (3) it is synced to disk; (4) the callers go
on; (5) consumers wake. A crash before 3 loses the whole call, after 3 nothing.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import sqlite3
import zlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self

from services.kit.log import Consumer, LogError, Offsets, Outgoing, Record, TopicPartition, take_when_appended

VERSION: Final = 1
COLUMNS: Final = "topic, part, off, key, headers, packed, value"
PACK_BYTES: Final = 2048
"""Values longer than this are stored compressed."""

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
        except BaseException:
            os.close(self._lock)
            raise
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="log-writer")
        self._waiting: list[Call] = []
        self._writing: asyncio.Task[None] | None = None
        self._appended = asyncio.Condition()

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
                calls, self._waiting = self._waiting, []
                try:
                    await loop.run_in_executor(self._thread, self._write, calls)
                except Exception as error:  # noqa: BLE001  (whatever it is, the callers wait for an answer)
                    failure = (
                        LogError(_advice(self.path, error)) if isinstance(error, sqlite3.Error) else error
                    )
                    for *_, done in calls:
                        if not done.done():
                            done.set_exception(failure)
                    continue
                for *_, done in calls:
                    if not done.done():
                        done.set_result(None)
                async with self._appended:
                    self._appended.notify_all()
        finally:
            self._writing = None

    def _write(self, calls: list[Call]) -> None:
        ends = dict(self._ends)
        with self._writer:
            self._writer.execute("BEGIN IMMEDIATE")
            for records, group, offsets, _ in calls:
                self._writer.executemany(
                    f"INSERT INTO record ({COLUMNS}) VALUES (?,?,?,?,?,?,?)",  # noqa: S608
                    [_row(record, ends) for record in records],
                )
                if offsets:
                    self._commit(group, offsets)
        self._ends = ends

    def _commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        self._writer.executemany(
            "INSERT OR REPLACE INTO committed (grp, topic, part, off) VALUES (?,?,?,?)",
            [(group, topic, part, offset) for (topic, part), offset in offsets.items()],
        )

    def consumer(self, topics: Sequence[str], start: Mapping[TopicPartition, int]) -> Consumer:
        """See EventLog."""
        return SqliteConsumer(self._reader, tuple(topics), dict(start), self._appended)

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


class SqliteConsumer:
    """Reads a log file in the order of its appends."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        topics: tuple[str, ...],
        start: Offsets,
        appended: asyncio.Condition,
    ) -> None:
        self._connection = connection
        self._topics = topics
        self._start = start
        self._appended = appended
        self._position = 0

    async def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """See Consumer."""
        return await take_when_appended(lambda: self._take(max_records), self._appended, timeout_s)

    def _take(self, max_records: int) -> list[Record]:
        # NOT INDEXED: by position, not by the index that begins with the topic and would need a sort.
        marks = ",".join("?" * len(self._topics))
        rows = self._connection.execute(
            f"SELECT position, {COLUMNS} FROM record NOT INDEXED "  # noqa: S608
            f"WHERE position > ? AND topic IN ({marks}) ORDER BY position",
            (self._position, *self._topics),
        )
        found = []
        for position, topic, part, offset, *rest in rows:
            self._position = position
            if offset >= self._start.get((topic, part), 0):
                found.append(_record((topic, part, offset, *rest)))
                if len(found) == max_records:
                    break
        rows.close()
        return found


def read(path: Path, topics: Sequence[str] | None = None) -> Iterator[Record]:
    """All records of a log file as it stands, in the order of their appends; takes no lock.

    Raises:
        LogError: there is no log, or not one that this program can read.
    """
    if not path.exists():
        message = f"no event log at {path}; start one with `tds run --out {path.parent}`"
        raise LogError(message)
    connection = _open(path, read_only=True)
    try:
        where = f"WHERE topic IN ({','.join('?' * len(topics))})" if topics is not None else ""
        rows = connection.execute(
            f"SELECT {COLUMNS} FROM record NOT INDEXED {where} ORDER BY position",  # noqa: S608
            tuple(topics or ()),
        )
        for row in rows:
            yield _record(row)
    except sqlite3.Error as error:
        raise LogError(_advice(path, error)) from None
    finally:
        connection.close()


def _row(record: Outgoing, ends: Offsets) -> tuple[str, int, int, str, str, int, bytes | None]:
    place = (record.topic, record.partition)
    offset = ends.get(place, 0)
    ends[place] = offset + 1
    value, packed = record.value, 0
    if value is not None and len(value) > PACK_BYTES:
        value, packed = zlib.compress(value, 1), 1
    headers = json.dumps(record.headers, ensure_ascii=False, separators=(",", ":"))
    return record.topic, record.partition, offset, record.key, headers, packed, value


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
