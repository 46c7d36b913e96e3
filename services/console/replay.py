"""Replay: everything is decided again from the log, models forbidden, and compared with the record.

The commands of the log go into an empty log in memory. The same six services run on it; where one of
them would ask a model, it gets the recorded reply, and only if it asks exactly what was asked then.
Simulated tools are computed anew. Then every recorded event must have been derived again, byte for byte,
and so must the export. The new run may go further than the record where that was cut off. Of a log with
several campaigns all catalogs are formed again, and one campaign is carried out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from schemas.blueprint import BlueprintPlanned, BlueprintRejected
from schemas.codec import Undecodable, decode
from schemas.envelope import UNSEQUENCED, Envelope, Message
from schemas.evolution import CampaignFinished, CampaignPaused, CampaignResumed, ControlCampaign, RoleModel
from schemas.run import AssistantSpoke, RunFailed, RunFinished, RunStarted, ToolReturned, UserSpoke
from schemas.sandbox import CodeExecuted, SandboxAnnounced
from schemas.topics import (
    BLUEPRINT_EVENTS,
    CATALOG_COMMANDS,
    EVOLUTION_COMMANDS,
    RUN_EVENTS,
    SANDBOX_EVENTS,
    SANDBOX_STATUS,
    TOPICS,
)
from services.agent_runner import prompts
from services.agent_runner.app import Actors, Effect
from services.agent_runner.domain import AskAssistant, AskJudge, AskUser, CallTool, finished, judged
from services.blueprint_planner.checker import check
from services.console.embedded import SOURCE, order, services
from services.console.export import dataset_bytes
from services.console.ledger import Ledger
from services.console.ledger_parts import elsewhere
from services.console.source import Source
from services.kit.chain import Chain, seal
from services.kit.dead import envelope_of
from services.kit.host import Host, utc_now
from services.kit.log import LogError, Outgoing, Record
from services.kit.memory import MemoryLog
from services.kit.models.chat import ChatReply, ChatRequest, ModelFailed
from services.kit.models.openai_wire import is_sim_named
from services.kit.service import Decider, Draft, Performer, Service, Unperformed

NOT_COMPARED = (CampaignPaused, CampaignResumed)
"""They record when somebody held the campaign up; no decision follows from them."""
SHOWN = 20


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay found. ``events`` were recorded, ``compared`` were derived again and are the same."""

    identical: bool
    export_identical: bool
    events: int
    compared: int
    beyond: int
    """Events that the new run derived beyond the record's end."""
    differences: tuple[str, ...]


@dataclass(slots=True)
class Recorded:
    """A log as its readers see it: the accepted events, and the replies that effects had."""

    ledger: Ledger
    accepted: dict[tuple[str, str, str], Envelope] = field(default_factory=dict)
    """By (topic, key, id)."""
    planned: dict[str, Message] = field(default_factory=dict)
    turns: dict[tuple[str, int], Message] = field(default_factory=dict)
    ends: dict[str, Message] = field(default_factory=dict)
    executed: dict[tuple[str, str], CodeExecuted] = field(default_factory=dict)
    commands: list[Record] = field(default_factory=list)
    finished: dict[str, tuple[CampaignFinished, int]] = field(default_factory=dict)


class Forbidden:
    """A model that must not be asked."""

    async def complete(self, request: ChatRequest) -> ChatReply:
        """Raises."""
        message = f"a replay asked the {request.role}'s model for {request.run}"
        raise ModelFailed("forbidden", message, infrastructure=True)


def recorded_campaign(source: Source) -> Recorded:
    """What the log at ``source`` says of its campaign.

    Raises:
        LogError: there is no readable log, or one with events that this version does not know.
    """
    records: list[Record] = []

    def take(record: Record) -> None:
        topic = TOPICS.get(record.topic)
        if topic is None or not elsewhere(source.campaign, topic, record.key):
            records.append(record)

    source.each(take)
    recorded = gather(records, source.campaign)
    if recorded.ledger.newer:  # or else it would pass for never written
        message = f"{source.words} has events of a newer version of this program; upgrade it to read them"
        raise LogError(message)
    return recorded


async def replay(recorded: Recorded, exported: bytes | None = None) -> ReplayReport:
    """Decide everything again and compare, also with the dataset that was ``exported``, if any."""
    differences: list[str] = []
    log = MemoryLog()
    held = Held()
    host = Host(
        log, performers(recorded, differences, held), clock=utc_now, concurrency=1_000_000, grace_s=0.0
    )
    await log.append(commands(recorded))
    serving = asyncio.create_task(host.run())
    try:
        await until_quiet(host, serving)
        held.released = True
        for campaign in recorded.finished:
            await log.append(order(campaign, "resume", nonce="replay"))
        await until_quiet(host, serving)
    finally:
        host.stop()
        await serving
    derived = gather(log.records, recorded.ledger.campaign)
    missing = [
        envelope
        for place, envelope in recorded.accepted.items()
        if place not in derived.accepted and not isinstance(envelope.data, NOT_COMPARED)
    ]
    missing.sort(key=lambda one: (one.subject, one.sequence, one.id))
    differences.extend(describe(envelope, derived) for envelope in missing[:SHOWN])
    ours = [
        place for place, envelope in derived.accepted.items() if not isinstance(envelope.data, NOT_COMPARED)
    ]
    compared = sum(place in recorded.accepted for place in ours)
    export_identical = same_export(recorded.ledger, derived.ledger, exported)
    return ReplayReport(
        identical=not differences and not missing and export_identical,
        export_identical=export_identical,
        events=sum(not isinstance(one.data, NOT_COMPARED) for one in recorded.accepted.values()),
        compared=compared,
        beyond=len(ours) - compared,
        differences=tuple(differences),
    )


async def until_quiet(host: Host, serving: asyncio.Task[None]) -> None:
    """Wait until nothing is due or under way any more."""
    while not serving.done():
        if await host.quiet():
            await asyncio.sleep(0.02)
            if await host.quiet():
                return
        await asyncio.sleep(0.005)


def gather(records: Sequence[Record], campaign: str = "") -> Recorded:
    """The accepted events of a log, and the replies among them; the log may hold no other campaign."""
    found = Recorded(Ledger(campaign, keep="admitted"))
    chains: dict[str, Chain] = {}
    for record in records:
        found.ledger.fold(record)
        topic = TOPICS.get(record.topic)
        if topic is None:
            continue
        try:
            envelope = envelope_of(record)
        except Undecodable:
            continue
        if not chains.setdefault(record.key, Chain()).accept(record.topic, envelope):
            continue
        if topic in (CATALOG_COMMANDS, EVOLUTION_COMMANDS, SANDBOX_STATUS):
            found.commands.append(record)
            continue
        found.accepted[record.topic, record.key, envelope.id] = envelope
        data = envelope.data
        if topic is BLUEPRINT_EVENTS:
            found.planned[record.key] = data
        elif isinstance(data, UserSpoke | AssistantSpoke | ToolReturned):
            found.turns[record.key, data.turn] = data
        elif topic is RUN_EVENTS and not isinstance(data, RunStarted):
            found.ends[record.key] = data
        elif topic is SANDBOX_EVENTS and isinstance(data, CodeExecuted):
            found.executed[record.key, data.call] = data
        elif isinstance(data, CampaignFinished):
            found.finished[record.key] = (data, envelope.sequence)
    return found


def commands(recorded: Recorded) -> list[Outgoing]:
    """What the new log starts from: imports, campaigns, announcements, and orders where they took effect."""
    out: list[Outgoing] = []
    started = recorded.ledger.started
    begun_with = started.sandbox.partition(":")[0] if started else ""
    for record in recorded.commands:
        data = decode(TOPICS[record.topic], record.key, record.headers, record.value).data
        if isinstance(data, SandboxAnnounced) and data.safe and begun_with not in ("", data.backend):
            continue  # it came when the campaign had begun with another
        if isinstance(data, ControlCampaign):
            if data.action == "pause" or record.key not in recorded.finished:
                continue
            if data.action == "stop":
                end, sequence = recorded.finished[record.key]
                if end.reason != "stopped":
                    continue
                data = data.model_copy(update={"at_sequence": sequence - 1, "at_admitted": end.admitted})
            sealed = seal([Draft(record.key, data, record.key)], {}, SOURCE, utc_now())
            out.extend(one.outgoing for one in sealed)
        else:
            out.append(Outgoing(record.topic, record.partition, record.key, record.headers, record.value))
    return out


@dataclass(slots=True)
class Held:
    """Whether campaigns may end: not before everything else has been derived."""

    released: bool = False


def performers(recorded: Recorded, differences: list[str], held: Held) -> list[Service]:
    """The six services, with recorded replies in place of the world."""
    effects = {
        "blueprint-planner": planner(recorded, differences),
        "agent-runner": RecordedActors(recorded, differences).perform,
        "sandbox-exec": sandbox(recorded),
    }
    found: list[Service] = []
    for service in services(Forbidden()):
        if isinstance(service, Performer):
            found.append(replace(service, perform=effects[service.name], announce=()))
        elif service.name == "evolution-scheduler":
            found.append(hold(service, held))
        else:
            found.append(service)
    return found


def hold(scheduler: Decider, held: Held) -> Decider:
    """The scheduler, which ends no campaign before it is released."""

    def decide(state: Any) -> tuple[Draft, ...]:
        drafts = scheduler.decide(state)
        return tuple(one for one in drafts if held.released or not isinstance(one.data, CampaignFinished))

    return replace(scheduler, decide=decide)


def planner(recorded: Recorded, differences: list[str]) -> Any:
    """The planner's effect: the recorded blueprint, checked anew."""

    async def perform(effect: Any) -> Sequence[Draft]:
        event = recorded.planned.get(effect.command.run)
        if event is None:
            raise Unperformed
        if isinstance(event, BlueprintPlanned):
            differences.extend(
                f"{event.blueprint.id}: the recorded blueprint does not pass the checker: {one.code}"
                for one in check(event.blueprint)
            )
        assert isinstance(event, BlueprintPlanned | BlueprintRejected)
        return [Draft(effect.command.run, event, effect.command.campaign)]

    return perform


def sandbox(recorded: Recorded) -> Any:
    """The sandbox's effect: what was executed then."""

    async def perform(effect: Any) -> Sequence[Draft]:
        event = recorded.executed.get((effect.command.run, effect.command.call))
        if event is None:
            raise Unperformed
        return [Draft(effect.command.run, event)]

    return perform


class RecordedActors:
    """The runner's effects: recorded replies, each only to the request that it answered."""

    def __init__(self, recorded: Recorded, differences: list[str]) -> None:
        self._recorded = recorded
        self._differences = differences
        self._tools = Actors(Forbidden())

    async def perform(self, effect: Effect) -> Sequence[Draft]:
        """The recorded event, or a newly computed one where no model is needed.

        Raises:
            Unperformed: the record ends before this effect.
        """
        run, blueprint = effect.blueprint.id, effect.blueprint
        event = self._recorded.turns.get((run, effect.turn)) or self._recorded.ends.get(run)
        if event is None:
            raise Unperformed
        if isinstance(event, RunFailed):
            return [Draft(run, event, blueprint.campaign)]
        simulated = is_sim_named(blueprint.models.get("tools", RoleModel()).model)
        if isinstance(effect, CallTool) and (effect.fault or simulated):
            return await self._tools.perform(effect)
        self._compare(effect, event)
        if isinstance(effect, AskJudge):
            assert isinstance(event, RunFinished)
            verdict = judged(event.verdict.passed, event.verdict.judge)
            event = finished(blueprint, effect.messages, verdict, event.usage, event.request)
        return [Draft(run, event, blueprint.campaign)]

    def _compare(self, effect: Effect, event: Message) -> None:
        """Note when what is asked now is not what was asked then."""
        request = request_of(effect)
        asked = getattr(event, "request", "")
        if request.digest() != asked:
            where = f"{effect.blueprint.id} turn {effect.turn}"
            self._differences.append(f"{where}: the {request.role} is asked something else than then")


def request_of(effect: Effect) -> ChatRequest:
    """The request that an effect makes of its model."""
    blueprint, turn, messages = effect.blueprint, effect.turn, effect.messages
    match effect:
        case AskAssistant():
            return prompts.assistant_request(blueprint, turn, messages)
        case AskUser():
            return prompts.user_request(blueprint, turn, messages)
        case AskJudge():
            return prompts.judge_request(blueprint, turn, messages)
        case CallTool():
            expected = prompts.expected(blueprint, effect.call, messages)
            return prompts.tool_request(blueprint, turn, effect.call, messages, expected)


def describe(envelope: Envelope, derived: Recorded) -> str:
    """What a recorded event that was not derived again is, and what stands in its place."""
    name = type(envelope.data).__name__
    rivals = [
        other.data
        for (_, key, _), other in derived.accepted.items()
        if key == envelope.subject
        and other.sequence == envelope.sequence != UNSEQUENCED
        and type(other.data) is type(envelope.data)
    ]
    where = f"{name} of {envelope.subject}" + (f" at {envelope.sequence}" if envelope.sequence else "")
    if not rivals:
        return f"{where}: not derived again"
    mine, theirs = envelope.data.model_dump(), rivals[0].model_dump()
    fields = [name for name in mine if mine[name] != theirs.get(name)]
    return f"{where}: derived differently in {', '.join(fields) or 'its predecessor'}"


def same_export(recorded: Ledger, derived: Ledger, exported: bytes | None) -> bool:
    """Whether the rows of the new log are those of the record, and of what was exported, if anything was.

    Of a campaign that was cut off, the new run may have further rows.
    """
    ours, theirs = dataset_bytes(derived), dataset_bytes(recorded)
    if recorded.state != "finished":
        return ours.startswith(theirs)
    return ours == theirs and exported in (None, ours)
