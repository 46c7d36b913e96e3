"""A campaign's log as a person sees it: a pure fold that can be thrown away and made again.

Like every reader, it takes of each key's chain the first event for a place and drops duplicates and the
losers of races; messages that nobody can decode are counted and passed over. What comes out does not depend
on how the partitions of a log interleave, nor on what other campaigns the log holds.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from schemas.blueprint import Blueprint, BlueprintPlanned, BlueprintRejected, PlanBlueprint, Usage
from schemas.catalog import CatalogFormed
from schemas.codec import Undecodable
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
    CATALOG_COMMANDS,
    CATALOG_EVENTS,
    DIVERSITY_EVENTS,
    EVOLUTION_COMMANDS,
    EVOLUTION_EVENTS,
    RUN_EVENTS,
    TOPICS,
    Topic,
)
from services.console.ledger_parts import NAMED, Catalogs, Total, elsewhere
from services.console.source import LOG, Folder, Source
from services.diversity_monitor.corpus import Corpus
from services.kit.chain import Chain
from services.kit.dead import envelope_of, letter_id, letter_of
from services.kit.log import LogError, Record
from services.kit.sqlite import read

FOLDED: Final[dict[str, Topic]] = {
    topic.name: topic
    for topic in (
        CATALOG_COMMANDS,
        CATALOG_EVENTS,
        EVOLUTION_COMMANDS,
        EVOLUTION_EVENTS,
        BLUEPRINT_COMMANDS,
        BLUEPRINT_EVENTS,
        RUN_EVENTS,
        DIVERSITY_EVENTS,
    )
}
PASSED_OVER: Final = ("tds.catalog.ClusterFormed.", "tds.catalog.ImportServer.", "tds.catalog.RetireServer.")
"""Large, many, and nothing that is shown; none stands in a chain with what is."""
NO_ROW: Final[dict[str, object]] = {"initial_state": {}, "steps": ()}
"""What of a blueprint has no place in a row, and is the most of it."""
PACK_BYTES: Final = 1024
"""Shorter JSON is hardly made shorter by packing."""
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
    operator: str = ""
    blueprint: bytes = b""
    turns: list[tuple[type[Turn], bytes]] = field(default_factory=list)
    verdict: Verdict | None = None
    failure: Failure | None = None
    measurement: Measurement | None = None

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
        """Records of the campaign, whether they counted or not; its catalog's are not among them."""
        self.first_time = ""
        self.last_time = ""
        self.spec: CampaignSpec | None = None
        self.started: CampaignStarted | None = None
        self.finished: CampaignFinished | None = None
        self.paused = ""
        self.generations = 0
        self.slots = 0
        self.runs: dict[str, RunEntry] = {}
        self.failures: Counter[tuple[str, str]] = Counter()
        self.rejected: list[TrajectoryRejected] = []
        self.steering: SteeringUpdated | None = None
        """The last one: with figures as of the last generation that closed."""
        self.dead: dict[str, str] = {}
        """Reason code of each dead letter, by its id."""
        self.undecodable: Counter[str] = Counter()
        self.dropped = 0
        """Duplicates, and losers of races."""
        self._newer: set[str] = set()
        """Of messages of a newer version, the ids that their dead letters would have."""
        self._catalogs = Catalogs()
        self._form: str | None = None
        """The FormClusters that StartCampaign names; "" if it names none."""
        self._abandoned: dict[int, SlotAbandoned] = {}
        self._orders: set[str] = set()
        """Causes of the pauses and resumptions that were folded."""
        self._admitted: dict[int, TrajectoryAdmitted] = {}
        self._corpus = Corpus()
        self._open: dict[str, Total] = {}
        self._closed = Total()
        self._chains: dict[str, Chain] = {}

    @classmethod
    def open(cls, where: Path | Source, keep: Keep = "everything") -> Ledger:
        """The ledger of a campaign, as its log stands now; a path is that of its folder.

        Raises:
            LogError: there is no log, or not one that this program can read.
        """
        source = Folder(where) if isinstance(where, Path) else where
        ledger = cls(source.campaign, keep)
        source.each(ledger.fold)
        if ledger.newer:
            name = where / LOG if isinstance(where, Path) else f"the log of {source.words}"
            message = f"{name} has events of a newer version of this program; upgrade it to read them"
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
    def newer(self) -> bool:
        """Whether the log has messages that this program is too old to read, and the services were not.

        What they have buried was no part of the campaign: it reads the same without.
        """
        return not self._newer <= self.dead.keys()

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
        total = Total()
        total.add(self._closed)
        for spent in self._open.values():
            total.add(spent)
        return total.usage()

    @property
    def abandoned(self) -> list[SlotAbandoned]:
        """Slots that no attempt filled, in order."""
        return [self._abandoned[slot] for slot in sorted(self._abandoned)]

    @property
    def catalog(self) -> CatalogFormed | None:
        """The catalog that the campaign runs on."""
        return self._catalogs.formed.get(self._forming)

    @property
    def _forming(self) -> str:
        """The FormClusters that the campaign's catalog came of."""
        spec, started = self.spec, self.started
        wanted = started.catalog_hash if started else spec.catalog_hash if spec else ""
        return self._catalogs.forming(self._form or "", wanted)

    @property
    def servers_imported(self) -> int:
        """Servers of the catalog that were taken in."""
        return sum(one.refused is None for one in self._catalogs.imported(self._forming))

    @property
    def tools_dropped(self) -> Counter[str]:
        """Tools of the catalog's servers that are not usable, per reason."""
        return sum((one.dropped for one in self._catalogs.imported(self._forming)), Counter())

    @property
    def not_taken(self) -> list[str]:
        """Tools and servers of the catalog that are not usable, and why: the first ``NAMED``, in words."""
        taken = self._catalogs.imported(self._forming)
        return [text for one in taken for text in one.texts][:NAMED]

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
        return Blueprint.model_validate_json(_unpacked(packed))

    def turns(self, run: str) -> Iterator[Turn]:
        """A run's turns, in order.

        Raises:
            LookupError: there is no such run.
        """
        for kind, packed in self.entry(run).turns:
            yield kind.model_validate_json(_unpacked(packed))

    def fold(self, record: Record) -> None:
        """Fold one record of the log."""
        topic = TOPICS.get(record.topic)
        if topic is None:
            self._bury(record)
            return
        if elsewhere(self.campaign, topic, record.key):
            return
        self.records += topic.key in ("run", "campaign")
        if record.topic not in FOLDED or record.headers.get(PREFIX + "type", "").startswith(PASSED_OVER):
            return
        try:
            envelope = envelope_of(record)
        except Undecodable as reason:
            self.undecodable[reason.code] += 1
            if reason.code == "newer_version":
                self._newer.add(letter_id(record))
            return
        if not self._chains.setdefault(record.key, Chain()).accept(record.topic, envelope):
            self.dropped += 1
            return
        self._apply(envelope)

    def _bury(self, record: Record) -> None:
        letter = letter_of(record)
        if letter is None or elsewhere(self.campaign, TOPICS[letter.topic], letter.key):
            return
        if letter.retried:
            self.dead.pop(letter.id, None)
        else:
            self.dead.setdefault(letter.id, letter.code)

    def _apply(self, envelope: Envelope) -> None:
        if self._catalogs.fold(envelope):
            return
        data: Message = envelope.data
        match data:
            case StartCampaign() | CampaignStarted():
                named = data.spec.campaign
            case _:
                named = getattr(data, "campaign", "") or envelope.correlationid
        self.campaign = self.campaign or named
        if BlueprintPlanned is type(data):
            named = data.blueprint.campaign
        if named == self.campaign:
            self.first_time = min(self.first_time or envelope.time, envelope.time)
            self.last_time = max(self.last_time, envelope.time)
            if isinstance(data, StartCampaign) and self._form is None:
                self._form = envelope.causationid
            self._follow(data)
            self._play(data)

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
                self._abandoned.setdefault(data.slot, data)
            case CampaignPaused() | CampaignResumed():
                if not data.cause or data.cause not in self._orders:
                    self._orders.add(data.cause)
                    paused = data.reason or "paused by command" if isinstance(data, CampaignPaused) else ""
                    self.paused = paused
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
                entry.attempt = blueprint.attempt
                self._spend(entry, data.usage)
                entry.operator = blueprint.operator
                if self._kept(entry):
                    whole = self.keep == "everything"
                    entry.blueprint = _packed(blueprint if whole else blueprint.model_copy(update=NO_ROW))
            case RunStarted():
                self._run(data.run)
            case UserSpoke() | AssistantSpoke() | ToolReturned():
                entry = self._run(data.run)
                self._spend(entry, data.usage)
                if self._kept(entry):
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
            entry = self.runs[run] = RunEntry(run)
            self._open[run] = Total()
        return entry

    def _spend(self, entry: RunEntry, usage: Usage) -> None:
        """Count what an open run has spent; a closed one has given its own account."""
        if entry.open:
            self._open[entry.run].add(usage)

    def _kept(self, entry: RunEntry) -> bool:
        """Whether the run's transcript may be needed."""
        return self.keep == "everything" or (self.keep == "admitted" and entry.failure is None)

    def _close(self, data: BlueprintRejected | RunFailed | RunFinished, usage: Usage) -> RunEntry:
        entry = self._run(data.run)
        entry.generation, entry.slot, entry.attempt = data.generation, data.slot, data.attempt
        if entry.open:
            entry.open = False
            self._closed.add(usage)
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
    return zlib.compress(text, 1) if len(text) > PACK_BYTES else text


def _unpacked(packed: bytes) -> bytes:
    return packed if packed.startswith(b"{") else zlib.decompress(packed)


def _numbers(run: str) -> tuple[int, ...]:
    return tuple(int(part) for part in run.split(".")[1:])
