"""Header names that are not UTF-8 stop no reader; what is really corrupt still does."""

import pytest
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy
from aiokafka.record.memory_records import MemoryRecords

from services.kit.kafka.lenient import Records
from services.kit.kafka.log import wire_headers
from tests.support.malformed import BROKEN, RawName

GOOD = [("ce_id", b"1"), ("größe", b"2"), ("none", None)]
BAD = [("ce_id", b"1"), (RawName("x"), BROKEN)]


def batch(*headers, compression=0):
    builder = _DefaultRecordBatchBuilderPy(2, compression, 0, -1, -1, -1, 1 << 20)
    for offset, one in enumerate(headers):
        assert builder.append(offset, 1000, b"key", b"value" * offset, one) is not None
    return bytes(builder.build())


def read(raw, records=Records):
    found, reader = [], records(raw)
    while reader.has_next():
        found += [(one.offset, one.key, one.value, list(one.headers)) for one in reader.next_batch()]
    return found


@pytest.mark.parametrize("compression", [0, 1])
def test_a_name_that_is_no_utf8_becomes_lone_surrogates_and_the_rest_is_as_it_was(compression):
    raw = batch(GOOD, GOOD) + batch(GOOD, BAD, GOOD, compression=compression) + batch(GOOD)
    with pytest.raises(UnicodeDecodeError):
        read(raw, MemoryRecords)
    found = read(raw)
    assert [one[3] for one in found] == [
        GOOD,
        GOOD,
        GOOD,
        [("ce_id", b"1"), ("\udcff\udcfe", BROKEN)],
        GOOD,
        GOOD,
    ]
    assert [(one[0], one[2]) for one in found] == [
        (offset, b"value" * offset) for offset in (0, 1, 0, 1, 2, 0)
    ]
    good = batch(GOOD, GOOD) + batch(GOOD, compression=compression)
    assert read(good) == read(good, MemoryRecords)


def test_a_batch_cut_short_by_the_fetch_is_left_out():
    raw = batch(GOOD) + batch(BAD)
    assert read(raw[:-3]) == read(batch(GOOD))


def test_a_corrupt_record_is_not_passed_over():
    raw = bytearray(batch(BAD))
    raw[-1 - len(BROKEN)] = 99  # the length of the last header's value
    with pytest.raises(CorruptRecordException):
        read(bytes(raw))


def test_such_a_name_is_written_with_escapes():
    assert wire_headers({"\udcffx": "\udcfe", "ce_id": "1"}) == [("\\udcffx", b"\xfe"), ("ce_id", b"1")]
