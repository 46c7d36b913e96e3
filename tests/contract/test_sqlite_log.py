import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time

import pytest

from services.kit.log import LogError
from services.kit.sqlite import SqliteLog, read
from tests.contract.log_contract import OTHER, TOPIC, LogContract, outgoing

WRITER = """
import asyncio, sys
from pathlib import Path
from services.kit.sqlite import SqliteLog
from tests.contract.log_contract import OTHER, outgoing

async def main():
    log = SqliteLog(Path(sys.argv[1]))
    n = 0
    while True:
        await log.append([outgoing(f"{n}a"), outgoing(f"{n}b")], group="g", offsets={(OTHER, 0): n})
        print(n, flush=True)
        n += 1

asyncio.run(main())
"""


class TestSqliteLog(LogContract):
    async def open_log(self, place):
        return SqliteLog(place / "log.sqlite3")

    def test_a_second_writer_is_refused_and_told_who_holds_the_log(self, tmp_path):
        async def story(log):
            with pytest.raises(LogError, match=rf"another process \(pid {os.getpid()}\)"):
                SqliteLog(tmp_path / "log.sqlite3")

        self.run(tmp_path, story)

    def test_outputs_and_offsets_are_one_transaction_under_sigkill(self, tmp_path):
        path = tmp_path / "log.sqlite3"
        for round_ in range(3):
            with subprocess.Popen(
                [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
            ) as writer:
                confirmed = -1
                deadline = time.monotonic() + 20
                while confirmed < 20 + 7 * round_ and time.monotonic() < deadline:
                    confirmed = int(writer.stdout.readline())
                writer.send_signal(signal.SIGKILL)
            values = [r.value.decode() for r in read(path, [TOPIC])]
            with sqlite3.connect(path) as connection:
                (offset,) = connection.execute("SELECT off FROM committed WHERE grp = 'g'").fetchone()
            assert values[-2:] == [f"{offset}a", f"{offset}b"]
            assert offset >= confirmed
            for name in ("log.sqlite3", "log.sqlite3-wal", "log.sqlite3-shm"):
                (tmp_path / name).unlink(missing_ok=True)

    def test_a_log_of_a_newer_program_is_refused_and_left_alone(self, tmp_path):
        path = tmp_path / "log.sqlite3"
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 999")
        with pytest.raises(LogError, match="upgrade"):
            SqliteLog(path)
        with pytest.raises(LogError, match="upgrade"):
            list(read(path))

    def test_a_file_that_is_no_log_is_refused(self, tmp_path):
        path = tmp_path / "log.sqlite3"
        path.write_text("this is a letter, not a database" * 50)
        with pytest.raises(LogError, match="not an event log"):
            SqliteLog(path)
        assert path.read_text().startswith("this is a letter")

    def test_reading_needs_no_lock_and_names_a_missing_log(self, tmp_path):
        async def story(log):
            await log.append([outgoing("a"), outgoing("z", topic=OTHER)])
            return [r.value for r in read(tmp_path / "log.sqlite3", [OTHER])]

        assert self.run(tmp_path, story) == [b"z"]
        with pytest.raises(LogError, match="no event log at"):
            list(read(tmp_path / "nowhere" / "log.sqlite3"))

    def test_a_failed_append_appends_nothing(self, tmp_path):
        async def story(log):
            await log.append([outgoing("a")])
            bad = outgoing("c")
            object.__setattr__(bad, "value", object())
            results = await asyncio.gather(log.append([outgoing("b"), bad]), return_exceptions=True)
            await log.append([outgoing("d")])
            return results, [(r.offset, r.value) for r in await log.consumer([TOPIC], {}).poll(10, 1)]

        results, records = self.run(tmp_path, story)
        assert isinstance(results[0], Exception)
        assert records == [(0, b"a"), (1, b"d")]

    def test_a_reader_that_fell_behind_what_is_kept_in_memory_reads_on_from_the_file(
        self, tmp_path, monkeypatch
    ):
        monkeypatch.setattr("services.kit.sqlite.TAIL_RECORDS", 3)

        async def story(log):
            slow, quick = log.consumer([TOPIC], {}), log.consumer([TOPIC], {})
            texts = []
            for number in range(20):
                topic = OTHER if number % 4 == 0 else TOPIC
                await log.append([outgoing(str(number), topic=topic)])
                texts += [r.value.decode() for r in await quick.poll(10, 0)]
            first = await slow.poll(1, 1)
            rest = [*(await slow.poll(5, 1)), *(await slow.poll(100, 1))]
            return texts, [r.value.decode() for r in [*first, *rest]], await slow.poll(10, 0)

        quick, slow, more = self.run(tmp_path, story)
        assert quick == slow == [str(number) for number in range(20) if number % 4]
        assert more == []

    def test_an_append_wakes_who_waits_for_its_topic(self, tmp_path):
        async def story(log):
            waiting = asyncio.create_task(log.consumer([TOPIC], {}).poll(10, 30))
            other = asyncio.create_task(log.consumer([OTHER], {}).poll(10, 0.2))
            await log.append([outgoing("a")])
            async with asyncio.timeout(10):
                return [r.value for r in await waiting], await other

        assert self.run(tmp_path, story) == ([b"a"], [])
