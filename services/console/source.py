"""Where a campaign's log is: in a folder, or on the stack. Whoever reads one need not know which."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from schemas.codec import Undecodable, decode
from schemas.evolution import StartCampaign
from schemas.topics import EVOLUTION_COMMANDS, TOPICS
from services.console.errors import FAILED, UserError
from services.console.stopping import run_through
from services.kit import settings
from services.kit.log import EventLog, LogError, Record
from services.kit.settings import KitSettings
from services.kit.sqlite import read, read_after

if TYPE_CHECKING:
    from services.kit.kafka.log import KafkaLog

LOG: Final = "log.sqlite3"
CLIENT: Final = "tds-console"
PATIENCE_S: Final = 10.0
"""How long a broker that does not answer is asked again."""
STALL_S: Final = 30.0
"""How long nothing may come of a log that has not been read to its end."""
BATCH: Final = 5000
STRETCH: Final = 500
"""Records that are taken before anything else gets its turn."""
POLL_S: Final = 0.25
"""How often a folder's log is looked at for more."""
EVERYTHING: Final = (*TOPICS, *(topic.dead for topic in TOPICS.values()))
Json = dict[str, Any]
Take = Callable[[Record], None]


class Source(Protocol):
    """A campaign's log, to be read as it stands now."""

    @property
    def campaign(self) -> str:
        """The campaign that is meant; "" stands for the only one that is there."""

    @property
    def words(self) -> str:
        """How it is named on the command line."""

    @property
    def resume(self) -> str:
        """The command that goes on with it."""

    def config(self) -> Json:
        """What is known of it beside the log."""

    def each(self, take: Take, topics: Sequence[str] | None = None) -> None:
        """Hand every record to ``take``; of ``topics`` only, where given.

        Each partition comes in its order; between partitions there is none.

        Raises:
            LogError: there is no log, or not one that can be read.
        """

    async def follow(self, take: Take) -> None:
        """Hand every record to ``take``, and what is appended from then on, until this is cancelled.

        Raises:
            LogError: there is no log, or not one that can be read.
        """


@dataclass(frozen=True, slots=True)
class Folder:
    """A campaign's folder, with a log of its own."""

    path: Path

    @property
    def campaign(self) -> str:
        """See Source."""
        return ""

    @property
    def words(self) -> str:
        """See Source."""
        return str(self.path)

    @property
    def resume(self) -> str:
        """See Source."""
        return f"tds run --resume {self.path}"

    def config(self) -> Json:
        """See Source."""
        from services.console.card import read_config

        return read_config(self.path)

    def each(self, take: Take, topics: Sequence[str] | None = None) -> None:
        """See Source.

        Raises:
            UserError: the log of what is in this folder is on the stack.
        """
        if not (self.path / LOG).exists():
            known = self.config()
            if "log" in known:
                what = f"{self.path} holds what was made of campaign {known.get('campaign')} on the stack"
                raise UserError(what, f"Its log is there: say --stack {known.get('campaign')}")
        for record in read(self.path / LOG, topics):
            take(record)

    async def follow(self, take: Take) -> None:
        """See Source."""
        position = 0
        while True:
            for number, (place, record) in enumerate(read_after(self.path / LOG, position), start=1):
                take(record)
                position = place
                if number % STRETCH == 0:
                    await asyncio.sleep(0)
            await asyncio.sleep(POLL_S)


@dataclass(frozen=True, slots=True)
class Stack:
    """A campaign on the stack, whose log it shares with others."""

    settings: KitSettings
    campaign: str = ""

    @property
    def words(self) -> str:
        """See Source."""
        return f"--stack {self.campaign}"

    @property
    def resume(self) -> str:
        """See Source."""
        return f"tds run --stack --resume {self.campaign}"

    def config(self) -> Json:
        """See Source."""
        return {}

    def each(self, take: Take, topics: Sequence[str] | None = None) -> None:
        """See Source."""

        async def reading() -> None:
            async with self.log() as log:
                await read_to_ends(log, take, topics or EVERYTHING)

        run_through(reading)

    async def follow(self, take: Take) -> None:
        """See Source."""
        async with self.log() as log:
            consumer = log.consumer(EVERYTHING, {})
            try:
                while True:
                    for number, record in enumerate(await consumer.poll(BATCH, 1.0), start=1):
                        take(record)
                        if number % STRETCH == 0:
                            await asyncio.sleep(0)
            finally:
                await consumer.close()

    def log(self) -> KafkaLog:
        """The stack's log, to be used as an async context manager."""
        return kafka_log(self.settings)


GATHER_S: Final = 0.2
"""A person follows: no service waits for what is read here."""


def kafka_log(given: KitSettings) -> KafkaLog:
    """The log on the broker that these settings name, not connected yet.

    Raises:
        UserError: what speaks to Kafka is not installed.
    """
    try:
        from services.kit.kafka.log import KafkaLog
    except ImportError as error:
        advice = 'Install it with `pip install "tdscaling[kafka]"`'
        raise UserError(f"no stack can be used from here: {error}", advice, code=FAILED) from None
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # what goes wrong is said once, in words
    return KafkaLog(given, client=CLIENT, patience_s=PATIENCE_S, gather_s=GATHER_S)


async def read_to_ends(log: EventLog, take: Take, topics: Sequence[str]) -> None:
    """Hand to ``take`` what ``topics`` hold now, without a group; what is appended meanwhile is left out.

    Raises:
        LogError: it cannot be read to its end.
    """
    left = await log.ends(topics)
    consumer = log.consumer(topics, {})
    try:
        while left:
            async with asyncio.timeout(STALL_S):
                while not (records := await consumer.poll(BATCH, 1.0)):
                    pass
            for record in records:
                place = (record.topic, record.partition)
                end = left.get(place)
                if end is None or record.offset >= end:
                    continue
                take(record)
                if record.offset + 1 == end:
                    del left[place]
    except TimeoutError:
        (topic, partition), end = next(iter(left.items()))
        message = (
            f"nothing came from {topic} (partition {partition}, which ends at {end}) for {STALL_S:.0f} s; "
            "were records deleted from it?"
        )
        raise LogError(message) from None
    finally:
        await consumer.close()


def kit_settings() -> KitSettings:
    """What the environment says of the stack.

    Raises:
        UserError: a variable has a value that makes no sense.
    """
    try:
        return settings.load()
    except ValueError as error:
        raise UserError(str(error), "mend or unset that environment variable") from None


def campaigns(stack: Stack) -> list[str]:
    """The campaigns that were asked for on the stack, in order.

    Raises:
        LogError: no broker answers, or its topics are missing.
    """
    found: dict[str, None] = {}

    def take(record: Record) -> None:
        try:
            data = decode(EVOLUTION_COMMANDS, record.key, record.headers, record.value).data
        except Undecodable:
            return
        if isinstance(data, StartCampaign) and data.spec.campaign == record.key:
            found[record.key] = None

    stack.each(take, [EVOLUTION_COMMANDS.name])
    return list(found)


def on_stack(campaign: str) -> Stack:
    """The campaign of this name on the stack; with "" the only one that is there.

    Raises:
        UserError: there is none, or more than one to choose from.
        LogError: no broker answers, or its topics are missing.
    """
    given = kit_settings()
    there = campaigns(Stack(given))
    if campaign in there or (not campaign and len(there) == 1):
        return Stack(given, campaign or there[0])
    if not there:
        raise UserError("there is no campaign on the stack", "Start one with `tds run --stack`")
    named = f"there are {', '.join(there)}" if len(there) > 1 else f"there is {there[0]}"
    if campaign:
        raise UserError(f"there is no campaign {campaign!r} on the stack", named)
    raise UserError("which campaign is meant? On the stack " + named, "Name it after --stack")


def source_of(where: str, *, stack: bool) -> Folder | Stack:
    """What a command's argument names: a folder, or with --stack a campaign.

    Raises:
        UserError: nothing is named, or nothing that is there.
        LogError: no broker answers, or its topics are missing.
    """
    if stack:
        return on_stack(where)
    if not where:
        raise UserError("no campaign is named", "Give its folder, or --stack for one on the stack")
    return Folder(Path(where))
