"""A campaign on the stack: asked for, followed, and its dataset written here.

Several catalogs and campaigns share one log. Commands that are there already are not appended again, and the
campaign names its catalog by the hash that its own FormClusters led to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from schemas.catalog import CatalogFormed, FormClusters
from schemas.codec import Undecodable
from schemas.envelope import PREFIX
from schemas.evolution import (
    CampaignFinished,
    CampaignPaused,
    CampaignResumed,
    CampaignStarted,
    StartCampaign,
)
from schemas.topics import CATALOG_COMMANDS, CATALOG_EVENTS, EVOLUTION_EVENTS
from services.console.card import CARD, DATASET, read_config
from services.console.config import RunConfig
from services.console.embedded import SOURCE, CampaignEnd, RunPlan, order
from services.console.errors import FAILED, INTERRUPTED, UserError
from services.console.launch import Prepared, close_books, prepare, refuse_occupied, write_config
from services.console.ledger import Ledger
from services.console.source import (
    BATCH,
    EVERYTHING,
    PATIENCE_S,
    Stack,
    Take,
    campaigns,
    kit_settings,
    on_stack,
    read_to_ends,
)
from services.console.stopping import run_through
from services.kit.chain import Sealed, seal
from services.kit.dead import envelope_of
from services.kit.host import utc_now
from services.kit.log import EventLog, Offsets, Record
from services.kit.service import Draft

Json = dict[str, Any]
Say = Callable[[str], None]

ANSWER_S: Final = 60.0
"""How long the registry may say nothing before its answer is waited for no longer."""
NOTE_S: Final = 15.0
"""How long nothing may come of a campaign before that is said."""
POLL_S: Final = 0.5
CATALOG: Final = (CATALOG_COMMANDS.name, CATALOG_EVENTS.name)


@dataclass(frozen=True, slots=True)
class Ordered:
    """What has been asked of the stack: the campaign, the log's ends before that, and who it was asked by."""

    campaign: str
    start: Offsets
    command: str = ""
    """Id of the StartCampaign; empty where the campaign was there."""
    resumed: str = ""
    """Nonce of the order to go on; empty where none was given."""


def prepare_new(config: RunConfig) -> tuple[Stack, Prepared]:
    """A new campaign for the stack. Nothing is appended or written.

    Raises:
        UserError: the stack or the folder has it already, or nothing in the catalog can be used.
        ModelFailed: a model's name makes no sense.
        LogError: the broker or its topics cannot be used.
    """
    stack = Stack(kit_settings(), config.name)
    prepared = prepare(config)
    check_topics(stack)
    if config.name in campaigns(stack):
        raise UserError(
            f"the stack already has a campaign {config.name}",
            f"Follow it or go on with it: `{stack.resume}`; or choose another name with --campaign",
        )
    for name in (CARD, DATASET):
        if (prepared.folder / name).exists():
            raise UserError(f"{prepared.folder} holds {name} of another run", "Choose another with --out")
    return stack, prepared


def prepare_again(campaign: str, out: Path | None) -> tuple[Stack, Prepared]:
    """A campaign that is on the stack, to be followed, resumed if it has paused, and written to its folder.

    Raises:
        UserError: there is none of this name, or the folder has another.
        LogError: the broker or its topics cannot be used.
    """
    check_topics(Stack(kit_settings()))
    stack = on_stack(campaign)
    folder = folder_of(stack, out)
    spec = Ledger.open(stack, keep="nothing").spec
    assert spec is not None, "its StartCampaign was read"
    return stack, Prepared(folder, spec, 0)


def check_topics(stack: Stack) -> None:
    """Whether the broker has all topics, as they should be.

    Raises:
        LogError: it has not.
    """
    stack.log()  # says what to do where Kafka's client is not installed
    from services.kit.kafka.provision import verify_topics

    run_through(lambda: verify_topics(stack.settings, patience_s=PATIENCE_S))


def folder_of(stack: Stack, out: Path | None) -> Path:
    """The folder for what is made of this campaign.

    Raises:
        UserError: another campaign is there.
    """
    folder = out or Path("out") / stack.campaign
    known = read_config(folder).get("campaign")
    if (known and known != stack.campaign) or (not known and (folder / DATASET).exists()):
        raise UserError(f"{folder} holds another campaign ({known or 'unknown'})", "Choose one with --out")
    refuse_occupied(folder)
    return folder


def write_folder(stack: Stack, prepared: Prepared) -> Json:
    """Write what follows from the log, as a run on one machine does; returns the card.

    Where the log is stands in config.json, without secrets.

    Raises:
        LogError: the log cannot be read.
        OSError: the folder cannot be written.
    """
    where = {"kafka": stack.settings.kafka, "prefix": stack.settings.kafka_prefix}
    write_config(prepared, log=where)
    return close_books(stack, prepared.folder)


def rebuild(stack: Stack, folder: Path) -> Json:
    """Write a campaign's folder from the log; returns the card.

    Raises:
        LogError: the log cannot be read.
    """
    spec = Ledger.open(stack, keep="nothing").spec
    assert spec is not None, "its StartCampaign was read"
    return write_folder(stack, Prepared(folder, spec, 0))


async def begin(log: EventLog, plan: RunPlan, stop: asyncio.Event, say: Say) -> Ordered:
    """Ask for a campaign: import its servers, have its catalog formed, start it on exactly that.

    Raises:
        UserError: the registry does not answer, or ``stop`` was set. The campaign has not been started.
        LogError: the log cannot be used.
    """
    start = await log.ends(EVERYTHING)
    catalog = catalog_commands(plan)
    there = await present(log, catalog)
    await log.append([one.outgoing for one in catalog if one.id not in there])
    form = catalog[-1].id
    say(f"waiting for the cluster-registry to form the catalog of {len(catalog) - 1} servers")
    formed = await catalog_formed(log, form, stop)
    spec = plan.spec.model_copy(update={"catalog_hash": formed.hash})
    draft = Draft(spec.campaign, StartCampaign(spec=spec), spec.campaign, form)
    (command,) = seal([draft], {}, SOURCE, utc_now())
    await log.append([command.outgoing])
    # The catalog's topics are read from the beginning: what this campaign needs may be old.
    since = {place: end for place, end in start.items() if place[0] not in CATALOG}
    return Ordered(spec.campaign, since, command=command.id)


def catalog_commands(plan: RunPlan) -> list[Sealed]:
    """The commands that make the plan's catalog: the imports, and last the FormClusters that names them.

    It names them by their commands, not by the servers: another catalog on the stack may have other servers
    under the same names.
    """
    imports = seal((Draft(one.server_id, one) for one in plan.servers), {}, SOURCE, utc_now())
    form = FormClusters(
        min_tools=plan.min_tools,
        max_tools=plan.max_tools,
        imports=tuple(dict.fromkeys(one.id for one in imports)),
    )
    return [*imports, *seal([Draft("catalog", form)], {}, SOURCE, utc_now())]


async def present(log: EventLog, commands: Iterable[Sealed]) -> set[str]:
    """Ids of the commands that the log holds already, as they are."""
    wanted = {one.id: one.outgoing for one in commands}
    found: set[str] = set()

    def take(record: Record) -> None:
        identity = record.headers.get(PREFIX + "id", "")
        mine = wanted.get(identity)
        if mine is not None and (mine.key, mine.value) == (record.key, record.value):
            try:
                envelope_of(record)
            except Undecodable:
                return
            found.add(identity)

    await read_to_ends(log, take, [CATALOG_COMMANDS.name])
    return found


async def catalog_formed(log: EventLog, form: str, stop: asyncio.Event) -> CatalogFormed:
    """The catalog that the FormClusters ``form`` led to, whenever that was.

    Raises:
        UserError: the registry said nothing for ``ANSWER_S``, or ``stop`` was set.
        LogError: the log cannot be used.
    """
    consumer = log.consumer([CATALOG_EVENTS.name], {})
    loop = asyncio.get_running_loop()
    heard = loop.time()
    try:
        while loop.time() - heard < ANSWER_S:
            if stop.is_set():
                what = "stopped before the campaign was started"
                raise UserError(what, "Run this again to start it", code=INTERRUPTED)
            for record in await consumer.poll(BATCH, POLL_S):
                heard = loop.time()
                if record.headers.get(PREFIX + "causationid") == form:
                    formed = event_of(record)
                    if isinstance(formed, CatalogFormed):
                        return formed
    finally:
        await consumer.close()
    raise UserError(
        f"the cluster-registry has not answered for {ANSWER_S:.0f} s; the campaign was not started",
        "Is the stack up? See `tds status --stack` and `docker compose ps`, then run this again",
        code=FAILED,
    )


async def go_on(log: EventLog, campaign: str) -> Ordered:
    """Have a campaign that is there go on, if it has paused."""
    following = Following(campaign)
    await read_to_ends(log, following.take, [EVOLUTION_EVENTS.name])
    nonce = ""
    if following.paused and following.finished is None:
        nonce = utc_now()
        await log.append(order(campaign, "resume", nonce=nonce))
    return Ordered(campaign, {}, resumed=nonce)


async def command(stack: Stack, action: Literal["pause", "stop"]) -> None:
    """Have a campaign pause or end.

    Raises:
        LogError: the log cannot be used.
    """
    async with stack.log() as log:
        reason = {"pause": "paused by command", "stop": "stopped by command"}[action]
        await log.append(order(stack.campaign, action, nonce=utc_now(), reason=reason))


class Following:
    """How the campaign stands, as its own events say. ``resumed``: the order that it waits for, if any."""

    def __init__(self, campaign: str, command: str = "", resumed: str = "") -> None:
        self.campaign = campaign
        self.command = command
        self.started = False
        self.finished: CampaignFinished | None = None
        self.paused = ""
        self._resumed = resumed

    @property
    def ended(self) -> bool:
        """Whether there is nothing to wait for any more."""
        return self.finished is not None or (bool(self.paused) and not self._resumed)

    def take(self, record: Record) -> None:
        """Fold one record.

        Raises:
            UserError: somebody else has started another campaign under this name.
        """
        if record.topic != EVOLUTION_EVENTS.name or record.key != self.campaign:
            return
        data = event_of(record)
        if isinstance(data, CampaignStarted):
            self.started = True
            if self.command and record.headers.get(PREFIX + "causationid") != self.command:
                what = f"somebody else has just started another campaign {self.campaign} on the stack"
                raise UserError(what, "Choose another name with --campaign", code=FAILED)
        elif isinstance(data, CampaignFinished):
            self.finished = self.finished or data
        elif isinstance(data, CampaignPaused):
            self.paused = data.reason or "paused by command"
        elif isinstance(data, CampaignResumed):
            self.paused = ""
            if data.cause == self._resumed:
                self._resumed = ""


async def follow(
    log: EventLog, ordered: Ordered, on_record: Take, stop: asyncio.Event, say: Say
) -> CampaignEnd:
    """Follow a campaign until it has finished or paused, or ``stop`` is set; the campaign does not mind.

    Raises:
        UserError: somebody else has started another campaign under this name.
        LogError: the log cannot be used.
    """
    following = Following(ordered.campaign, ordered.command, ordered.resumed)
    ends = await log.ends([EVOLUTION_EVENTS.name])
    behind = bool(ends) and not ordered.command  # what is old may be over
    consumer = log.consumer(EVERYTHING, ordered.start)
    loop = asyncio.get_running_loop()
    heard, said = loop.time(), False
    try:
        while behind or not (following.ended or stop.is_set()):
            for record in await consumer.poll(BATCH, POLL_S):
                on_record(record)
                following.take(record)
                if behind and ends.get((record.topic, record.partition)) == record.offset + 1:
                    behind = False
                heard = loop.time()
            if not said and not following.started and loop.time() - heard > NOTE_S:
                say("nothing comes of it: is the evolution-scheduler up? See `docker compose ps`")
                said = True
            if stop.is_set():
                break
    finally:
        await consumer.close()
    return CampaignEnd(following.finished, following.paused if following.ended else "")


def event_of(record: Record) -> Any:
    """What a record says; None when nobody can read it."""
    try:
        return envelope_of(record).data
    except Undecodable:
        return None
