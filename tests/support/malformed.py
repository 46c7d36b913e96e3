"""Messages that no reader can use, made of real ones by breaking each in one way."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from aiokafka.producer import message_accumulator, producer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from schemas.sandbox import CodeExecuted, ExecuteCode
from schemas.topics import MIB, TOPICS, Topic
from services.kit.chain import seal
from services.kit.log import Outgoing, Record
from services.kit.service import Draft

BROKEN: Final = b"\xff\xfe"
"""No UTF-8."""


class RawName(str):
    """A header's name that is written as ``BROKEN``, whatever the encoding."""

    __slots__ = ()

    def encode(self, *_: Any) -> bytes:
        """See str."""
        return BROKEN


@dataclass(frozen=True)
class Bad:
    """One message as a producer takes it, how it was broken, and the reason to expect."""

    topic: Topic
    partition: int
    key: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    value: bytes | None
    kind: str
    code: str


CODES: Final = {
    "not JSON": "not_json",
    "not of its form": "not_valid",
    "another topic's type": "wrong_topic",
    "unknown type": "unknown_type",
    "newer version": "newer_version",
    "a header that is not UTF-8": "bad_header",
    "a header's name that is not UTF-8": "bad_header",
    "oversized": "oversized",
    "no value": "no_value",
    "another key": "wrong_key",
    "no key": "wrong_key",
    "a key that is not UTF-8": "wrong_key",
    "no headers": "unknown_type",
    "no id": "bad_header",
    "a sequence that is no count": "bad_header",
    "another's id": "bad_id",
    "no place in its chain": "bad_header",
    "a place without a chain": "bad_header",
    "no run's key": "wrong_key",
    "another partition": "wrong_partition",
}
OF_RUNS: Final = ("no run's key", "another partition")
"""Possible in topics keyed by run only."""
OF_CHAINS: Final = {"another's id": True, "no place in its chain": True, "a place without a chain": False}
"""Possible with messages only that do, or do not, stand in a chain."""


def malformed(real: Mapping[str, Sequence[Record]], number: int, seed: str) -> list[Bad]:
    """So many, over every topic and in every way. ``real`` are messages of each topic."""
    rng = random.Random(seed)
    made: list[Bad] = []
    large: set[str] = set()
    turns = {name: _ways(topic, real[name]) for name, topic in TOPICS.items()}
    while len(made) < number:
        for name, topic in TOPICS.items():
            kind = next(turns[name])
            if kind == "oversized" and topic.max_bytes > MIB:
                kind = "no value" if name in large else kind
                large.add(name)
            made.append(broken(topic, real[name], kind, rng))
    return made[:number]


def _ways(topic: Topic, real: Sequence[Record]) -> Iterator[str]:
    while True:
        for kind in CODES:
            if (topic.key == "run" or kind not in OF_RUNS) and _fit(real, kind):
                yield kind


def _fit(real: Sequence[Record], kind: str) -> list[Record]:
    """Those of ``real`` that can be broken so."""
    chained = OF_CHAINS.get(kind)
    return [one for one in real if chained is None or ("ce_sequence" in one.headers) == chained]


def broken(topic: Topic, real: Sequence[Record], kind: str, rng: random.Random) -> Bad:
    """One of ``real``, broken."""
    base = rng.choice(_fit(real, kind))
    assert base.value is not None, "real messages have values"
    headers: dict[str, bytes] = {name: text.encode() for name, text in base.headers.items()}
    bad = Bad(topic, base.partition, base.key.encode(), (), base.value, kind, CODES[kind])
    match kind:
        case "not JSON":
            bad = replace(bad, value=rng.choice([base.value[:-1], rng.randbytes(40), b"", BROKEN]))
        case "not of its form":
            bad = replace(bad, value=rng.choice([b'{"surprise": true}', b"[]", b"null", b'"text"']))
        case "another topic's type":
            other = rng.choice([one for one in TOPICS.values() if one is not topic])
            headers["ce_type"] = rng.choice(other.messages).type_name().encode()
        case "unknown type":
            headers["ce_type"] = rng.choice([b"tds.run.Nothing.v1", b"", headers["ce_type"][:-1], b"x" * 500])
        case "newer version":
            headers["ce_type"] = headers["ce_type"].rpartition(b".v")[0] + b".v99"
        case "a header that is not UTF-8":
            headers[rng.choice([*sorted(headers), "more"])] = BROKEN
        case "a header's name that is not UTF-8":
            headers[RawName("x")] = b"1"
        case "oversized":
            bad = replace(bad, value=base.value.ljust(topic.max_bytes + 1))
        case "no value":
            bad = replace(bad, value=None)
        case "another key":
            bad = replace(bad, key=f"other-{base.key}".encode())
        case "no key":
            bad = replace(bad, key=rng.choice([None, b""]))
            headers.pop(rng.choice(["ce_subject", "ce_time"]))
        case "a key that is not UTF-8":
            bad = replace(bad, key=BROKEN)
            headers.pop("ce_subject")
        case "no headers":
            headers = {}
        case "no id":
            del headers["ce_id"]
        case "a sequence that is no count":
            headers["ce_sequence"] = rng.choice([b"many", b"-1", b"1.5", b"9" * 30])
        case "another's id":
            headers["ce_id"] = b"00000000-0000-5000-8000-000000000000"
        case "no place in its chain":
            del headers["ce_sequence"]
        case "a place without a chain":
            headers["ce_sequence"] = b"1"
        case "no run's key":
            name = rng.choice([b"nobody", b"c.1", b"c.x.1"])
            bad, headers["ce_subject"] = replace(bad, key=name), name
        case "another partition":
            bad = replace(
                bad, partition=(base.partition + rng.randrange(1, topic.partitions)) % topic.partitions
            )
        case _:
            raise AssertionError(kind)
    return replace(bad, headers=tuple(headers.items()))


def code_messages(run: str) -> list[Record]:
    """A command to execute code and its answer, of which a campaign without code has none."""
    drafts = [
        Draft(run, ExecuteCode(run=run, turn=3, call="call_3_0", language="python", code="print(1)")),
        Draft(run, CodeExecuted(run=run, turn=3, call="call_3_0", outcome="refused")),
    ]
    return [_record(one.outgoing) for one in seal(drafts, {}, "test", "2026-01-01T00:00:00Z")]


def _record(one: Outgoing) -> Record:
    return Record(one.topic, one.partition, 0, one.key, one.headers, one.value)


@contextlib.contextmanager
def raw_names() -> Iterator[None]:
    """Let producers of this process write ``RawName``: the compiled builder takes plain text only."""
    modules: list[Any] = [message_accumulator, producer]
    compiled = [one.DefaultRecordBatchBuilder for one in modules]
    for one in modules:
        one.DefaultRecordBatchBuilder = _DefaultRecordBatchBuilderPy
    try:
        yield
    finally:
        for one, builder in zip(modules, compiled, strict=True):
            one.DefaultRecordBatchBuilder = builder
