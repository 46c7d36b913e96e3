"""What a service process on Kafka tells Prometheus: ``SERIES`` says what there is.

Everything is counted in plain dicts, on the event loop that also answers Prometheus, and made into series
only when it asks; what is a state (``Standing``) is read then, not kept.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, Literal, NamedTuple

from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from schemas.diversity import Figures, SteeringUpdated, TrajectoryAdmitted
from schemas.envelope import Envelope, Message
from schemas.evolution import CampaignFinished, CampaignStarted
from schemas.topics import DIVERSITY_EVENTS
from services.kit.log import Offsets, Outgoing
from services.kit.models.chat import ChatReply, ChatRequest, ModelFailed
from services.kit.models.retry import FailedAttempt
from services.kit.watched.meter import Meter, Outcome, Standing

Kind = Literal["gauge", "counter", "histogram"]


class Series(NamedTuple):
    """One metric: its kind, its labels after ``service``, and what it says."""

    kind: Kind
    labels: tuple[str, ...]
    text: str


SERIES: Final[dict[str, Series]] = {
    # Read when asked.
    "tds_active": Series("gauge", (), "1: works; 0: stands by, or is starting"),
    "tds_open_keys": Series("gauge", (), "Keys (runs) in hand and not closed"),
    "tds_effects_in_flight": Series("gauge", (), "Effects under way"),
    "tds_effects_capacity": Series("gauge", (), "Effects that may be under way at once"),
    "tds_partitions_assigned": Series("gauge", (), "Partitions read now, references included"),
    "tds_lag_records": Series("gauge", ("topic",), "Records between the position and the end"),
    # Counted.
    "tds_records_folded_total": Series("counter", ("topic",), "Records folded"),
    "tds_records_dropped_total": Series("counter", ("topic",), "Duplicates, and losers of a race"),
    "tds_dead_letters_total": Series("counter", ("topic", "code"), "Records refused, by where they were"),
    "tds_records_appended_total": Series("counter", ("topic",), "Records appended"),
    "tds_append_seconds": Series("histogram", (), "One append, until it is acknowledged"),
    "tds_effect_seconds": Series("histogram", ("kind",), "One effect, all its attempts"),
    "tds_effects_total": Series(
        "counter", ("kind", "outcome"), "Effects ended: appended, superseded, gave_up or not_performed"
    ),
    "tds_model_calls_total": Series(
        "counter", ("role", "outcome"), "Model calls ended: replied, refused or unreachable"
    ),
    "tds_model_attempts_failed_total": Series("counter", ("role", "code"), "Attempts without a reply"),
    "tds_model_tokens_total": Series("counter", ("role", "direction"), "Tokens: prompt or completion"),
    "tds_model_usd_total": Series("counter", ("role",), "US dollars, where a price is known"),
    # Folded, by the active diversity-monitor alone; gauges, because a restarted one folds anew.
    "tds_campaign_wanted": Series("gauge", ("campaign",), "Trajectories asked for"),
    "tds_campaign_admitted": Series("gauge", ("campaign",), "Trajectories in the dataset"),
    "tds_campaign_rejected": Series(
        "gauge", ("campaign",), "Trajectories that a gate refused, when a generation last closed"
    ),
    "tds_campaign_finished": Series("gauge", ("campaign",), "1: has ended; 0: has not"),
    "tds_domain_entropy_bits": Series("gauge", ("campaign",), "Domain entropy, likewise"),
    "tds_mode_entropy_bits": Series(
        "gauge", ("campaign", "grain"), "Entropy of reasoning modes, exact or coarse, likewise"
    ),
    "tds_entropy_ceiling_bits": Series("gauge", ("campaign",), "log2 of the trajectories admitted, likewise"),
}
"""Every metric; ``process_…`` (CPU, memory, files, start) of prometheus-client comes on top."""

EDGES: Final[dict[str, tuple[float, ...]]] = {
    "tds_append_seconds": (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0),
    "tds_effect_seconds": (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 600.0),
}
"""Upper edges of histograms' buckets, in seconds; another, without an edge, follows."""
CAMPAIGNS: Final = 32
"""Campaigns that are shown: those of which something was folded last."""


Samples = Mapping[tuple[str, ...], float]
Counted = defaultdict[tuple[str, ...], float]
FAMILIES: Final[dict[Kind, type[CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily]]] = {
    "gauge": GaugeMetricFamily,
    "counter": CounterMetricFamily,
    "histogram": HistogramMetricFamily,
}


@dataclass(slots=True)
class Campaign:
    """What is shown of one campaign."""

    wanted: int = 0
    admitted: int = 0
    finished: bool = False
    figures: Figures | None = None


@dataclass(slots=True)
class Histogram:
    """Observations of one histogram under one set of labels."""

    edges: tuple[float, ...]
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.edges) + 1)

    def observe(self, value: float) -> None:
        """Count ``value``."""
        self.counts[bisect_left(self.edges, value)] += 1
        self.total += value

    def buckets(self) -> list[tuple[str, float]]:
        """Upper edge and cumulative count of each, as Prometheus takes them."""
        names = [*(str(edge) for edge in self.edges), "+Inf"]
        return list(zip(names, accumulate(self.counts), strict=True))


class Metrics(Meter, Collector):
    """The meter of one service process.

    Args:
        service: its name, the label of every series.
        standing: where it stands; called when Prometheus asks.
    """

    def __init__(self, service: str, standing: Callable[[], Standing]) -> None:
        self.service = service
        self._standing = standing
        self._ends: Offsets = {}
        self._counts: defaultdict[str, Counted] = defaultdict(lambda: defaultdict(float))
        self._histograms: dict[tuple[str, tuple[str, ...]], Histogram] = {}
        self._campaigns: OrderedDict[str, Campaign] = OrderedDict()
        self._measures = service == DIVERSITY_EVENTS.owner
        disable_created_metrics()  # type: ignore[no-untyped-call]  # FastStream's counters would bring one more series each
        self.registry = CollectorRegistry()
        """FastStream's middleware may put its own series here."""
        self.registry.register(self)
        ProcessCollector(registry=self.registry)

    def folded(self, topic: str, envelope: Envelope, *, dropped: bool) -> None:
        """See Meter."""
        name = "tds_records_dropped_total" if dropped else "tds_records_folded_total"
        self._counts[name][topic,] += 1
        if self._measures and not dropped:
            self._show(envelope.data)

    def buried(self, topic: str, code: str) -> None:
        """See Meter."""
        self._counts["tds_dead_letters_total"][topic, code] += 1

    def appended(self, records: Sequence[Outgoing], seconds: float) -> None:
        """See Meter."""
        counts = self._counts["tds_records_appended_total"]
        for record in records:
            counts[record.topic,] += 1
        self._observe("tds_append_seconds", (), seconds)

    def performed(self, kind: str, outcome: Outcome, seconds: float) -> None:
        """See Meter."""
        self._counts["tds_effects_total"][kind, outcome] += 1
        self._observe("tds_effect_seconds", (kind,), seconds)

    def replied(self, request: ChatRequest, reply: ChatReply) -> None:
        """See Meter."""
        self._counts["tds_model_calls_total"][request.role, "replied"] += 1
        tokens = self._counts["tds_model_tokens_total"]
        tokens[request.role, "prompt"] += reply.prompt_tokens
        tokens[request.role, "completion"] += reply.completion_tokens
        self._counts["tds_model_usd_total"][request.role,] += reply.usd

    def failed(self, request: ChatRequest, failure: ModelFailed) -> None:
        """See Meter."""
        outcome = "unreachable" if failure.infrastructure else "refused"
        self._counts["tds_model_calls_total"][request.role, outcome] += 1

    def attempt_failed(self, failed: FailedAttempt) -> None:
        """See Meter."""
        self._counts["tds_model_attempts_failed_total"][failed.request.role, failed.code] += 1

    def exposition(self, ends: Offsets) -> bytes:
        """Everything, in Prometheus' text format. ``ends``: where partitions end, for the lag."""
        self._ends = ends
        return generate_latest(self.registry)

    def describe(self) -> Iterator[Metric]:
        """All series, without samples: so that the registry knows the names."""
        for name in SERIES:
            yield self._family(name)

    def collect(self) -> Iterator[Metric]:
        """All series as they are now."""
        standing = self._standing()
        gauges = self._states(standing)
        if standing.state == "active":
            gauges.update(self._figures())
        for name, series in SERIES.items():
            family = self._family(name)
            if isinstance(family, HistogramMetricFamily):
                for (of, labels), one in self._histograms.items():
                    if of == name:
                        family.add_metric([self.service, *labels], one.buckets(), one.total)
            else:
                values = self._counts[name] if series.kind == "counter" else gauges.get(name, {})
                for labels, value in values.items():
                    family.add_metric([self.service, *labels], value)
            yield family

    def _family(self, name: str) -> CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily:
        kind, labels, text = SERIES[name]
        return FAMILIES[kind](name, text, labels=["service", *labels])

    def _states(self, standing: Standing) -> dict[str, Samples]:
        return {
            "tds_active": {(): float(standing.state == "active")},
            "tds_open_keys": {(): standing.open_keys},
            "tds_effects_in_flight": {(): standing.in_flight},
            "tds_effects_capacity": {(): standing.capacity},
            "tds_partitions_assigned": {(): len(standing.positions)},
            "tds_lag_records": {(topic,): lag for topic, lag in standing.lag(self._ends).items()},
        }

    def _figures(self) -> dict[str, Samples]:
        found: defaultdict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
        for name, campaign in self._campaigns.items():
            found["tds_campaign_wanted"][name,] = campaign.wanted
            found["tds_campaign_admitted"][name,] = campaign.admitted
            found["tds_campaign_finished"][name,] = campaign.finished
            if campaign.figures is not None:
                found["tds_campaign_rejected"][name,] = sum(campaign.figures.rejected.values())
                found["tds_domain_entropy_bits"][name,] = campaign.figures.domain.bits
                found["tds_mode_entropy_bits"][name, "exact"] = campaign.figures.mode_exact.bits
                found["tds_mode_entropy_bits"][name, "coarse"] = campaign.figures.mode_coarse.bits
                found["tds_entropy_ceiling_bits"][name,] = campaign.figures.ceiling_bits
        return dict(found)

    def _show(self, event: Message) -> None:
        match event:
            case CampaignStarted():
                self._campaign(event.spec.campaign).wanted = event.spec.trajectories
            case TrajectoryAdmitted():
                campaign = self._campaign(event.campaign)
                campaign.admitted = max(campaign.admitted, event.row + 1)
            case SteeringUpdated():
                self._campaign(event.campaign).figures = event.figures
            case CampaignFinished():
                self._campaign(event.campaign).finished = True

    def _campaign(self, name: str) -> Campaign:
        campaign = self._campaigns.setdefault(name, Campaign())
        self._campaigns.move_to_end(name)
        if len(self._campaigns) > CAMPAIGNS:
            self._campaigns.popitem(last=False)
        return campaign

    def _observe(self, name: str, labels: tuple[str, ...], value: float) -> None:
        histogram = self._histograms.get((name, labels))
        if histogram is None:
            histogram = self._histograms[name, labels] = Histogram(EDGES[name])
        histogram.observe(value)
