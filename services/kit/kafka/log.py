"""The log on Kafka: the EventLog port over aiokafka, without a consumer group of its own.

Who reads here reads whole topics from a place it knows: deciders, references, replay, the console. What
performers share out among replicas is in ``share``.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, Self, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka import TopicPartition as Place
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    GroupCoordinatorNotAvailableError,
    KafkaError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from services.kit.kafka import fetch, lenient
from services.kit.kafka.refusal import refusal
from services.kit.log import Consumer, LogError, Offsets, Outgoing, Record, TopicPartition
from services.kit.settings import KitSettings

lenient.install()
fetch.install()

Client = TypeVar("Client", AIOKafkaProducer, AIOKafkaConsumer, AIOKafkaAdminClient)

MAX_REQUEST_BYTES: Final = 6 * 1024 * 1024
"""More than any record of the topic table, headers included."""
LINGER_MS: Final = 2
REQUEST_TIMEOUT_MS: Final = 30_000
REACH_S: Final = 30.0
"""How long a broker that does not answer at the start is asked again."""
COORDINATOR_S: Final = 0.5
"""Until a group's coordinator is asked for again."""
RETRY_S: Final = 1.0
GATHER_S: Final = 0.005
GATHER_PLACE_S: Final = 100e-6
"""More, for each partition that is read; fetching then takes some 5 % of a core at most."""
CONSUMER: Final[dict[str, Any]] = {
    "auto_offset_reset": "earliest",
    "enable_auto_commit": False,
    "isolation_level": "read_uncommitted",
    "request_timeout_ms": REQUEST_TIMEOUT_MS,
    "fetch_max_wait_ms": 500,
    "fetch_min_bytes": 1,
    "max_partition_fetch_bytes": 2 * 1024 * 1024,
}
PRODUCER: Final[dict[str, Any]] = {
    "acks": "all",
    "enable_idempotence": True,
    "linger_ms": LINGER_MS,
    "max_request_size": MAX_REQUEST_BYTES,
    "request_timeout_ms": REQUEST_TIMEOUT_MS,
}


def connection(settings: KitSettings) -> dict[str, Any]:
    """How a broker is reached, as aiokafka's keyword arguments."""
    found: dict[str, Any] = {
        "bootstrap_servers": settings.kafka,
        "security_protocol": settings.kafka_security.upper(),
    }
    if settings.kafka_security.startswith("sasl"):
        found["sasl_mechanism"] = settings.kafka_mechanism
        found["sasl_plain_username"] = settings.kafka_user
        found["sasl_plain_password"] = settings.kafka_password.get_secret_value()
    if settings.kafka_security.endswith("ssl"):
        found["ssl_context"] = ssl.create_default_context()
    return found


async def reached(
    make: Callable[[], Client], settings: KitSettings, *, patience_s: float = REACH_S
) -> Client:
    """A started client, made anew until the broker answers or ``patience_s`` is over.

    Raises:
        LogError: it did not, or never would (a wrong login); the text says where and what to look at.
    """
    deadline = asyncio.get_running_loop().time() + patience_s
    while True:
        client = make()
        try:
            await client.start()
        except (KafkaError, OSError, ValueError) as error:
            await closed(client)
            why = await refusal(connection(settings))
            if why.final or asyncio.get_running_loop().time() >= deadline:
                raise LogError(why.text or unreachable(settings, error)) from None
        except BaseException:
            await closed(client)
            raise
        else:
            return client
        await asyncio.sleep(RETRY_S)


async def closed(client: AIOKafkaProducer | AIOKafkaConsumer | AIOKafkaAdminClient) -> None:
    """Close a client, whatever state it is in."""
    with suppress(KafkaError, OSError):  # it may not have been reachable, which is why it is let go
        await (client.close() if isinstance(client, AIOKafkaAdminClient) else client.stop())


def unreachable(settings: KitSettings, error: BaseException) -> str:
    """What to say of a broker that does not answer."""
    how = settings.kafka_security
    login = f", user {settings.kafka_user!r}" if how.startswith("sasl") else ""
    return (
        f"no Kafka broker can be used at {settings.kafka} ({how}{login}): {type(error).__name__}: {error}. "
        "Is it running (`docker compose up -d`, `docker compose logs kafka`)? Do TDS_KAFKA, "
        "TDS_KAFKA_SECURITY, TDS_KAFKA_USER and TDS_KAFKA_PASSWORD fit it?"
    )


def text(raw: bytes | None) -> str:
    """Bytes of a header or key as text; what is no UTF-8 becomes lone surrogates, and comes back whole."""
    return "" if raw is None else raw.decode("utf-8", "surrogateescape")


def record_of(raw: ConsumerRecord, prefix: str = "") -> Record:
    """A record as the broker gave it, less the topic's ``prefix``. Never raises, whatever its bytes are."""
    headers = {name: text(value) for name, value in raw.headers}
    topic = raw.topic.removeprefix(prefix)
    return Record(topic, raw.partition, raw.offset, text(raw.key), headers, raw.value)


def wire_headers(headers: Mapping[str, str]) -> list[tuple[str, bytes]]:
    """Headers as aiokafka takes them; of a name that was not UTF-8, the odd bytes come out as escapes."""
    return [
        (name.encode("utf-8", "backslashreplace").decode(), value.encode("utf-8", "surrogateescape"))
        for name, value in headers.items()
    ]


class KafkaLog:
    """An EventLog on the broker that ``settings`` name. Use as an async context manager.

    ``gather_s``: how long its consumers let records gather, at least (see ``pace``).

    Raises:
        LogError: on entering, when no broker answers.
    """

    def __init__(
        self,
        settings: KitSettings,
        *,
        client: str = "tds",
        patience_s: float = REACH_S,
        gather_s: float = GATHER_S,
    ) -> None:
        self.settings = settings
        self.client = client
        self.prefix = settings.kafka_prefix
        self.gather_s = gather_s
        self._patience_s = patience_s
        self._producer: AIOKafkaProducer | None = None
        self._admin: AIOKafkaAdminClient | None = None
        self._reader: AIOKafkaConsumer | None = None
        self._consumers: list[KafkaConsumer] = []
        self._committers: dict[str, AIOKafkaConsumer] = {}
        self._places: dict[str, list[Place]] = {}
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """The log itself, connected."""
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it."""
        await self.close()

    async def open(self) -> None:
        """Connect.

        Raises:
            LogError: no broker answers.
        """
        self._producer = await reached(
            lambda: AIOKafkaProducer(client_id=self.client, **connection(self.settings), **PRODUCER),
            self.settings,
            patience_s=self._patience_s,
        )

    async def append(
        self,
        records: Sequence[Outgoing],
        *,
        group: str = "",
        offsets: Mapping[TopicPartition, int] | None = None,
    ) -> None:
        """See EventLog. When it raises, some records may be in the log all the same."""
        assert self._producer is not None, "open() comes first"
        async with speaking(self.settings):
            sent: list[Awaitable[Any]] = []
            for one in records:
                sent.append(
                    await self._producer.send(
                        self.prefix + one.topic,
                        value=one.value,
                        key=one.key.encode("utf-8", "surrogateescape"),
                        partition=one.partition,
                        headers=wire_headers(one.headers),
                    )
                )
            if sent:
                await asyncio.gather(*sent)
        if offsets:
            await self.commit(group, offsets)

    def consumer(self, topics: Sequence[str], start: Mapping[TopicPartition, int]) -> Consumer:
        """See EventLog."""
        consumer = KafkaConsumer(self, tuple(topics), dict(start))
        self._consumers.append(consumer)
        return consumer

    async def started_consumer(self, group: str | None = None) -> AIOKafkaConsumer:
        """A connected consumer without topics; with a group, for committing only."""
        return await reached(
            lambda: AIOKafkaConsumer(
                group_id=group, client_id=self.client, **connection(self.settings), **CONSUMER
            ),
            self.settings,
            patience_s=self._patience_s,
        )

    async def ends(self, topics: Sequence[str]) -> Offsets:
        """See EventLog."""
        reader = await self._metadata_reader()
        async with speaking(self.settings):
            found = await reader.end_offsets(await self.places(topics))
        return {self._here(place): end for place, end in found.items() if end > 0}

    async def places(self, topics: Iterable[str]) -> list[Place]:
        """Every partition of ``topics``, as the broker names them, in order.

        Raises:
            LogError: one of them does not exist.
        """
        names = [self.prefix + topic for topic in topics]
        unknown = [name for name in names if name not in self._places]
        if unknown:
            await self._learn(unknown)
        return [place for name in names for place in self._places[name]]

    async def _learn(self, names: Sequence[str]) -> None:
        """Ask for the partitions of topics; their number never changes."""
        async with speaking(self.settings):
            # All are asked for: a broker that makes topics by itself would make one that is named.
            found = await (await self._admin_client()).describe_topics()
        partitions = {one["topic"]: sorted(part["partition"] for part in one["partitions"]) for one in found}
        for name in names:
            if not partitions.get(name):
                advice = "`python -m services.kit.kafka.provision` makes it"
                raise LogError(f"the broker has no topic {name}; {advice}")
            self._places[name] = [Place(name, one) for one in partitions[name]]

    async def committed(self, group: str) -> Offsets:
        """See EventLog. A broker that has just started makes its groups' topic first: that is waited for."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience_s
        async with speaking(self.settings):
            admin = await self._admin_client()
            while True:
                try:
                    found = await admin.list_consumer_group_offsets(self.prefix + group)
                    break
                except GroupCoordinatorNotAvailableError:
                    if loop.time() > deadline:
                        raise
                    await asyncio.sleep(COORDINATOR_S)
        return {self._here(place): meta.offset for place, meta in found.items() if meta.offset >= 0}

    async def commit(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """See EventLog; for a group that has no members: those of one commit by their own consumer."""
        async with self._opening:
            if group not in self._committers:
                self._committers[group] = await self.started_consumer(self.prefix + group)
        committer = self._committers[group]
        places = {
            Place(self.prefix + topic, partition): offset for (topic, partition), offset in offsets.items()
        }
        async with speaking(self.settings):
            committer.assign([*{*committer.assignment(), *places}])
            committer.pause(*committer.assignment())
            await committer.commit(places)

    async def close(self) -> None:
        """See EventLog."""
        for consumer in self._consumers:
            await consumer.close()
        rest = [*self._committers.values(), self._reader, self._admin, self._producer]
        self._committers, self._reader, self._admin, self._producer = {}, None, None, None
        for client in rest:
            if client is not None:
                await closed(client)

    def _here(self, place: Place) -> TopicPartition:
        """A place without the prefix."""
        return place.topic.removeprefix(self.prefix), place.partition

    async def _metadata_reader(self) -> AIOKafkaConsumer:
        async with self._opening:
            if self._reader is None:
                self._reader = await self.started_consumer()
        return self._reader

    async def _admin_client(self) -> AIOKafkaAdminClient:
        async with self._opening:
            if self._admin is None:
                self._admin = await reached(
                    lambda: AIOKafkaAdminClient(client_id=self.client, **connection(self.settings)),
                    self.settings,
                    patience_s=self._patience_s,
                )
        return self._admin


def pace(consumer: AIOKafkaConsumer, gather_s: Callable[[], float]) -> None:
    """After a fetch that brought records, let ``consumer`` fetch anew only when more have had time to gather.

    aiokafka has no fetch sessions: each request and each response names every partition, hundreds of them,
    and costs up to a millisecond. By itself it fetches for every single record while records come. So it
    waits, ``gather_s()`` and a little for each partition. What comes when nothing came before comes at once.
    """
    fetcher = consumer._fetcher  # noqa: SLF001  (no public way; a test holds it to the pinned version)
    once, loop, earliest = fetcher._proc_fetch_request, asyncio.get_running_loop(), 0.0  # noqa: SLF001

    async def paced(*request: Any) -> bool:
        nonlocal earliest
        try:
            await asyncio.sleep(max(0.0, earliest - loop.time()))
        except asyncio.CancelledError:
            return False  # as the fetch itself does: whoever closes the consumer awaits it
        brought: bool = await once(*request)
        if brought:
            earliest = loop.time() + gather_s() + GATHER_PLACE_S * len(consumer.assignment())
        return brought

    fetcher._proc_fetch_request = paced  # noqa: SLF001


class KafkaConsumer:
    """Reads every partition of some topics; connects when it is first polled."""

    def __init__(self, log: KafkaLog, topics: tuple[str, ...], start: Offsets) -> None:
        self._log = log
        self._topics = topics
        self._start = start
        self._raw: AIOKafkaConsumer | None = None

    async def poll(self, max_records: int, timeout_s: float) -> list[Record]:
        """See Consumer.

        Raises:
            LogError: no broker answers, or a topic does not exist.
        """
        async with speaking(self._log.settings):
            raw = self._raw or await self._started()
            found = await raw.getmany(timeout_ms=max(1, round(timeout_s * 1000)), max_records=max_records)
        return [record_of(one, self._log.prefix) for batch in found.values() for one in batch]

    async def close(self) -> None:
        """Let go of the connection."""
        raw, self._raw = self._raw, None
        if raw is not None:
            await closed(raw)

    async def _started(self) -> AIOKafkaConsumer:
        self._raw = raw = await self._log.started_consumer()
        pace(raw, lambda: self._log.gather_s)
        prefix = self._log.prefix
        places = await self._log.places(self._topics)
        raw.assign(places)
        for place in places:
            raw.seek(place, self._start.get((place.topic.removeprefix(prefix), place.partition), 0))
        return raw


@asynccontextmanager
async def speaking(settings: KitSettings) -> AsyncIterator[None]:
    """Turn what aiokafka raises into LogError.

    Raises:
        LogError: with what to do about it.
    """
    try:
        yield
    except UnknownTopicOrPartitionError as error:
        advice = "`python -m services.kit.kafka.provision` makes it"
        raise LogError(f"a topic is missing at {settings.kafka} ({error}): {advice}") from None
    except TopicAuthorizationFailedError as error:
        message = f"user {settings.kafka_user!r} may not use a topic at {settings.kafka}: {error}"
        raise LogError(message) from None
    except KafkaError as error:
        message = f"Kafka at {settings.kafka} failed: {type(error).__name__}: {error}"
        raise LogError(message) from None
