"""A campaign's log as a person sees it: a pure fold that can be thrown away and made again.

Like every reader, it takes of each key's chain the first event for a place and drops duplicates and the
losers of races; messages that nobody can decode are counted and passed over.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final, Literal

from schemas.blueprint import Blueprint, BlueprintPlanned, BlueprintRejected, PlanBlueprint, Usage
from schemas.catalog import CatalogFormed, ServerImported, ServerRejected
from schemas.codec import Undecodable, decode
from schemas.diversity import (
    DiversityMeasured,
    Figures,
    Measurement,
    SteeringUpdated,
    TrajectoryAdmitted,
    TrajectoryRejected,
)
from schemas.envelope import PREFIX, Envelope, Message, payload
from schemas.evolution import (
    CampaignFinished,
    CampaignPaused,
    CampaignResumed,
    CampaignSpec,
    CampaignStarted,
    GenerationOpened,
    SlotAbandoned,
    StartCampaign,
)
from schemas.run import (
    AssistantSpoke,
    RunFailed,
    RunFinished,
    RunStarted,
    ToolReturned,
    UserSpoke,
    Verdict,
)
from schemas.topics import (
    BLUEPRINT_COMMANDS,
    BLUEPRINT_EVENTS,
    CATALOG_EVENTS,
    DIVERSITY_EVENTS,
    EVOLUTION_COMMANDS,
    EVOLUTION_EVENTS,
    RUN_EVENTS,
    TOPICS,
    Topic,
)
from services.diversity_monitor.corpus import Corpus
from services.kit.chain import Chain
from services.kit.log import LogError, Record
from services.kit.sqlite import read

LOG: Final = "log.sqlite3"
FOLDED: Final[dict[str, Topic]] = {
    topic.name: topic
    for topic in (
        CATALOG_EVENTS,
        EVOLUTION_COMMANDS,
        EVOLUTION_EVENTS,
        BLUEPRINT_COMMANDS,
        BLUEPRINT_EVENTS,
        RUN_EVENTS,
        DIVERSITY_EVENTS,
    )
}
PASSED_OVER: Final = "tds.catalog.ClusterFormed."
"""Large, many, and nothing that is shown; each stands in a chain of its own."""
NAMED: Final = 20
Keep = Literal["nothing", "admitted", "everything"]
Turn = UserSpoke | AssistantSpoke | ToolReturned


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run did not make it. ``stage``: plan, run, verification, or the corpus gate."""

    stage: Literal["plan", "run", "verification", "gate"]
    attribution: str
    code: str
    detail: str = ""


@dataclass(slots=True)
class RunEntry:
    """One run. The transcript is kept packed, and only where it may be needed."""

    run: str
    generation: int = 0
    slot: int = 0
    attempt: int = 0
    open: bool = True
    blueprint: bytes = b""
    turns: list[tuple[type[Turn], bytes]] = field(default_factory=list)
    verdict: Verdict | None = None
    failure: Failure | None = None
    measurement: Measurement | None = None
    usage: Usage = field(default_factory=Usage)

    def forget(self) -> None:
        """Let go of the transcript."""
        self.blueprint = b""
        self.turns = []


class Ledger:
    """What a log says of one campaign: the one named, or the first it tells of.

    ``keep`` says whose blueprints and turns are kept: nobody's (for a display), those of runs that are or
    may still be admitted, or everybody's.
    """

    def __init__(self, campaign: str = "", keep: Keep = "everything") -> None:
        self.campaign = campaign
        self.keep = keep
        self.records = 0
        self.first_time = ""
        self.last_time = ""
        self.spec: CampaignSpec | None = None
        self.started: CampaignStarted | None = None
        self.finished: CampaignFinished | None = None
        self.paused = ""
        self.catalogs: dict[str, CatalogFormed] = {}
        self.servers_imported = 0
        self.servers_rejected: list[ServerRejected] = []
        self.tools_dropped: Counter[str] = Counter()
        self.not_taken: list[str] = []
        """Tools and servers of the catalog that are not usable, and why: the first ``NAMED``, in words."""
        self.generations = 0
        self.slots = 0
        self.runs: dict[str, RunEntry] = {}
        self.failures: Counter[tuple[str, str]] = Counter()
        self.abandoned: list[SlotAbandoned] = []
        self.rejected: list[TrajectoryRejected] = []
        self.steering: SteeringUpdated | None = None
        """The last one: with figures as of the last generation that closed."""
        self.dead: dict[str, str] = {}
        """Reason code of each dead letter, by its id."""
        self.undecodable: Counter[str] = Counter()
        self.dropped = 0
        """Duplicates, and losers of races."""
        self._admitted: dict[int, TrajectoryAdmitted] = {}
        self._corpus = Corpus()
        self._open: dict[str, RunEntry] = {}
        self._closed_usage = Usage()
        self._chains: dict[str, Chain] = {}

    @classmethod
    def open(cls, folder: Path, keep: Keep = "everything") -> Ledger:
        """The ledger of a campaign's folder, as its log stands now.

        Raises:
            LogError: there is no log, or not one that this program can read.
        """
        ledger = cls(keep=keep)
        for record in read(folder / LOG):
            ledger.fold(record)
        if ledger.undecodable["newer_version"]:
            message = f"{folder / LOG} has events of a newer version of this program; upgrade it to read them"
            raise LogError(message)
        return ledger

    @property
    def state(self) -> Literal["empty", "finished", "paused", "unfinished"]:
        """How the campaign stands."""
        if self.spec is None:
            return "empty"
        if self.finished is not None:
            return "finished"
        return "paused" if self.paused else "unfinished"

    @property
    def asked(self) -> int:
        """Trajectories that were asked for."""
        return self.spec.trajectories if self.spec else 0

    @property
    def admitted(self) -> list[TrajectoryAdmitted]:
        """The dataset's rows in (generation, slot) order: at most as many as were asked for.

        A campaign that was stopped takes no row beyond those that its end has counted.
        """
        rows = sorted(self._admitted.values(), key=lambda row: (row.generation, row.slot))
        return rows[: self.admitted_count]

    @property
    def admitted_count(self) -> int:
        """How many rows there are."""
        limits = [len(self._admitted), self.asked or len(self._admitted)]
        if self.finished is not None:
            limits.append(self.finished.admitted)
        return min(limits)

    @property
    def failed(self) -> list[RunEntry]:
        """Runs that failed or that a gate refused, in (generation, slot, attempt, retry) order."""
        runs = [entry for entry in self.runs.values() if entry.failure is not None]
        return sorted(runs, key=lambda entry: (entry.generation, *_numbers(entry.run)))

    @property
    def figures(self) -> Figures:
        """The cumulative figures of the rows and rejections so far."""
        corpus = self._corpus
        if corpus.admitted != self.admitted_count:
            corpus = Corpus(rejected=dict(corpus.rejected))
            for row in self.admitted:
                measurement = self.runs[row.run].measurement
                if measurement is not None:
                    corpus.admit(measurement, row.row)
        return corpus.figures(len(self.started.domains) if self.started else 0)

    @property
    def in_flight(self) -> int:
        """Runs that were asked for and have not ended; none once the campaign is over."""
        return 0 if self.finished else len(self._open)

    @property
    def usage(self) -> Usage:
        """What all model calls so far have cost, those of open runs included."""
        total = self._closed_usage
        for entry in self._open.values():
            total += entry.usage
        return total

    @property
    def catalog(self) -> CatalogFormed | None:
        """The catalog that the campaign runs on."""
        if self.started is not None:
            return self.catalogs.get(self.started.catalog_hash)
        return next(iter(self.catalogs.values()), None)

    @property
    def rejections(self) -> dict[str, int]:
        """Verified trajectories that the corpus did not take, per gate."""
        return dict(sorted(Counter(one.gate for one in self.rejected).items()))

    def entry(self, run: str) -> RunEntry:
        """What is known of a run.

        Raises:
            LookupError: there is no such run.
        """
        if run not in self.runs:
            message = f"there is no run {run!r} in campaign {self.campaign!r}"
            raise LookupError(message)
        return self.runs[run]

    def blueprint(self, run: str) -> Blueprint:
        """A run's blueprint.

        Raises:
            LookupError: there is no such run, or none was planned, or it was not kept.
        """
        packed = self.entry(run).blueprint
        if not packed:
            message = f"run {run!r} has no blueprint: its plan was refused, or is not there yet"
            raise LookupError(message)
        return Blueprint.model_validate_json(zlib.decompress(packed))

    def turns(self, run: str) -> Iterator[Turn]:
        """A run's turns, in order.

        Raises:
            LookupError: there is no such run.
        """
        for kind, packed in self.entry(run).turns:
            yield kind.model_validate_json(zlib.decompress(packed))

    def fold(self, record: Record) -> None:
        """Fold one record of the log."""
        self.records += 1
        if record.topic not in FOLDED:
            self._bury(record)
            return
        if record.headers.get(PREFIX + "type", "").startswith(PASSED_OVER):
            return
        try:
            envelope = decode(TOPICS[record.topic], record.key, record.headers, record.value)
        except Undecodable as reason:
            self.undecodable[reason.code] += 1
            return
        if not self._chains.setdefault(record.key, Chain()).accept(record.topic, envelope):
            self.dropped += 1
            return
        self.first_time = self.first_time or envelope.time
        self.last_time = max(self.last_time, envelope.time)
        self._apply(envelope)

    def _bury(self, record: Record) -> None:
        letter = record.headers.get("dead_id", "")
        if record.topic.endswith(".dead") and letter:
            self.dead.setdefault(letter, record.headers.get("dead_code", ""))

    def _apply(self, envelope: Envelope) -> None:
        data: Message = envelope.data
        match data:
            case CatalogFormed():
                self.catalogs.setdefault(data.hash, data)
                return
            case ServerImported():
                self.servers_imported += 1
                self.tools_dropped.update(_code(tool.reason) for tool in data.dropped)
                self._not_taken(
                    f"tool {one.name!r} of {data.server.id!r}: {one.reason}" for one in data.dropped
                )
                return
            case ServerRejected():
                self.servers_rejected.append(data)
                self._not_taken([f"server {data.server_id!r}: {data.reason}"])
                return
            case StartCampaign() | CampaignStarted():
                named = data.spec.campaign
            case _:
                named = getattr(data, "campaign", "") or envelope.correlationid
        self.campaign = self.campaign or named
        if BlueprintPlanned is type(data):
            named = data.blueprint.campaign
        if named == self.campaign:
            self._follow(data)
            self._play(data)

    def _not_taken(self, texts: Iterable[str]) -> None:
        self.not_taken.extend(islice(texts, NAMED - len(self.not_taken)))

    def _follow(self, data: Message) -> None:
        """The campaign's own events, and the monitor's."""
        match data:
            case StartCampaign():
                self.spec = self.spec or data.spec
            case CampaignStarted():
                self.started, self.spec = data, data.spec
            case GenerationOpened():
                self.generations += 1
                self.slots += len(data.slots)
            case SlotAbandoned():
                self.abandoned.append(data)
            case CampaignPaused():
                self.paused = data.reason or "paused by command"
            case CampaignResumed():
                self.paused = ""
            case CampaignFinished():
                self.finished = data
            case DiversityMeasured():
                self._run(data.run).measurement = data.measurement
            case TrajectoryAdmitted():
                measurement = self._run(data.run).measurement
                if self._admitted.setdefault(data.slot, data) is data and measurement is not None:
                    self._corpus.admit(measurement, data.row)
            case TrajectoryRejected():
                self.rejected.append(data)
                self._corpus.reject(data.gate)
                self._failed(self._run(data.run), Failure("gate", "corpus", data.gate, data.evidence))
            case SteeringUpdated():
                self.steering = data
            case _:
                pass

    def _play(self, data: Message) -> None:
        """Events of runs."""
        match data:
            case PlanBlueprint():
                entry = self._run(data.run)
                entry.generation, entry.slot, entry.attempt = data.generation, data.slot, data.attempt
            case BlueprintPlanned():
                blueprint = data.blueprint
                entry = self._run(blueprint.id)
                entry.generation, entry.slot = blueprint.generation, blueprint.slot
                entry.attempt, entry.usage = blueprint.attempt, entry.usage + data.usage
                if self.keep != "nothing":
                    entry.blueprint = _packed(blueprint)
            case RunStarted():
                self._run(data.run)
            case UserSpoke() | AssistantSpoke() | ToolReturned():
                entry = self._run(data.run)
                entry.usage += data.usage
                if self.keep != "nothing":
                    entry.turns.append((type(data), _packed(data)))
            case BlueprintRejected():
                first = data.rejections[0] if data.rejections else None
                code, detail = (first.code, first.detail) if first else ("refused", "")
                failure = Failure("plan", data.attribution, code, detail)
                self._failed(self._close(data, data.usage), failure)
            case RunFailed():
                failure = Failure("run", data.attribution, data.code, data.detail)
                self._failed(self._close(data, data.usage), failure)
            case RunFinished():
                entry = self._close(data, data.usage)
                entry.verdict = data.verdict
                if not data.verdict.passed:
                    findings = data.verdict.findings
                    worst = findings[0] if findings else None
                    who, code = (worst.attribution, worst.code) if worst else ("judge", "judge")
                    detail = worst.detail if worst else data.verdict.judge
                    self._failed(entry, Failure("verification", who, code, detail))
            case _:
                pass

    def _run(self, run: str) -> RunEntry:
        entry = self.runs.get(run)
        if entry is None:
            entry = self.runs[run] = self._open[run] = RunEntry(run)
        return entry

    def _close(self, data: BlueprintRejected | RunFailed | RunFinished, usage: Usage) -> RunEntry:
        entry = self._run(data.run)
        entry.generation, entry.slot, entry.attempt = data.generation, data.slot, data.attempt
        if entry.open:
            entry.open, entry.usage = False, usage
            self._closed_usage += usage
            del self._open[data.run]
        return entry

    def _failed(self, entry: RunEntry, failure: Failure) -> None:
        if entry.failure is None:
            entry.failure = failure
            if failure.stage != "gate":
                self.failures[failure.attribution, failure.code] += 1
            if self.keep != "everything":
                entry.forget()


def campaign_spec(folder: Path) -> CampaignSpec | None:
    """What the campaign of a folder was asked for; None when its log holds no campaign.

    Raises:
        LogError: there is no log, or not one that this program can read.
    """
    ledger = Ledger(keep="nothing")
    for record in read(folder / LOG, [EVOLUTION_COMMANDS.name]):
        ledger.fold(record)
    return ledger.spec


def _packed(value: Message | Blueprint) -> bytes:
    text = (
        payload(value)
        if isinstance(value, Message)
        else value.model_dump_json(exclude_defaults=True).encode()
    )
    return zlib.compress(text, 1)


def _numbers(run: str) -> tuple[int, ...]:
    return tuple(int(part) for part in run.split(".")[1:])


def _code(reason: str) -> str:
    """The countable part of a reason of the form ``code: particulars``."""
    return reason.partition(":")[0]
