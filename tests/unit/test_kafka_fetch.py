"""What the quicker fetches put on the wire and read from it is what aiokafka's own code does."""

import io

import pytest
from aiokafka.protocol.fetch import FetchRequest, FetchRequest_v11, FetchResponse_v11
from hypothesis import given
from hypothesis import strategies as st

from services.kit.kafka.fetch import AskedPartitions, ToldPartitions, install

install()
ASKED = FetchRequest_v11.SCHEMA.fields[7].array_of.fields[1]
TOLD = FetchResponse_v11.SCHEMA.fields[3].array_of.fields[1]
i16, i32, i64 = (st.integers(-(2**bits), 2**bits - 1) for bits in (15, 31, 63))


@given(st.lists(st.tuples(i32, i32, i64, i64, i32)))
def test_a_request_has_the_same_bytes(partitions):
    assert isinstance(ASKED, AskedPartitions)
    assert ASKED.encode(partitions) == ASKED.plain.encode(partitions)


@given(
    st.lists(
        st.tuples(
            *(i32, i16, i64, i64, i64),
            st.none() | st.lists(st.tuples(i64, i64), max_size=3),
            i32,
            st.none() | st.binary(max_size=50),
        )
    ),
    st.binary(max_size=9),
)
def test_a_response_is_read_the_same_and_nothing_after_it(partitions, rest):
    assert isinstance(TOLD, ToldPartitions)
    wire = TOLD.plain.encode([(*one[:5], one[5], *one[6:]) for one in partitions])
    ours, theirs = io.BytesIO(wire + rest), io.BytesIO(wire + rest)
    assert TOLD.decode(ours) == TOLD.plain.decode(theirs)
    assert ours.read() == theirs.read() == rest
    for cut in {0, len(wire) // 2, len(wire) - 1} - {len(wire)}:
        with pytest.raises(ValueError, match="ends too early"):
            TOLD.decode(io.BytesIO(wire[:cut]))


def test_a_whole_request_is_as_aiokafka_builds_it():
    topics = [
        ("tds.run.events", [(n, 10 * n, 1024) for n in range(64)]),
        ("tds.blueprint.events", [(0, 5, 1)]),
    ]
    request = FetchRequest(500, 1, 50, 0, topics).build(FetchRequest_v11)
    quick = request.encode()
    inner = FetchRequest_v11.SCHEMA.fields[7].array_of
    fields, inner.fields = inner.fields, (inner.fields[0], ASKED.plain)
    try:
        assert request.encode() == quick
    finally:
        inner.fields = fields
