"""What Prometheus is told, read back from the exposition as it reads it."""

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from schemas.diversity import Entropy, Figures, SteeringUpdated, TrajectoryAdmitted
from schemas.envelope import Envelope
from schemas.evolution import CampaignFinished, CampaignSpec, CampaignStarted
from schemas.run import UserSpoke
from services.kit.log import Outgoing
from services.kit.models.chat import ChatReply, ChatRequest, ModelFailed
from services.kit.models.retry import FailedAttempt
from services.kit.watched.meter import Standing, Watched
from services.kit.watched.metrics import CAMPAIGNS, SERIES, Metrics

RUNS, DIVERSITY = "tds.run.events", "tds.diversity.events"
WORKING = Standing("active", {(RUNS, 0): 3, (RUNS, 1): 5, (DIVERSITY, 0): 9}, True, False, 4, 2, 16)


def metrics(service="diversity-monitor", standing=WORKING):
    return Metrics(service, lambda: standing)


def event(data):
    return Envelope("id", "tds/test", "", "key", data)


def fold(meter, *messages):
    for message in messages:
        meter.folded(DIVERSITY, event(message), dropped=False)


def samples(meter, ends=None):
    """By name and labels, the process's own series apart."""
    return {
        (sample.name, *(value for name, value in sorted(sample.labels.items()) if name != "service")): (
            sample.value
        )
        for family in text_string_to_metric_families(meter.exposition(ends or {}).decode())
        for sample in family.samples
        if not sample.name.startswith("process_")
    }


def started(campaign, wanted=10):
    spec = CampaignSpec(campaign=campaign, trajectories=wanted, seed=1)
    return CampaignStarted(spec=spec, catalog_hash="h", domains=(), code=False)


def admitted(campaign, row):
    return TrajectoryAdmitted(campaign=campaign, generation=0, slot=row, run=f"{campaign}.{row}.1", row=row)


def test_every_series_has_help_and_its_service():
    meter = metrics()
    families = {one.name: one for one in text_string_to_metric_families(meter.exposition({}).decode())}
    for name, series in SERIES.items():
        family = families[name.removesuffix("_total") if series.kind == "counter" else name]
        assert (family.type, family.documentation) == (series.kind, series.text)
        assert all(one.labels["service"] == "diversity-monitor" for one in family.samples)
        assert name.endswith("_total") == (series.kind == "counter")
    assert "process_cpu_seconds" in families


def test_what_is_a_state_is_read_when_asked():
    standing = [WORKING]
    meter = Metrics("agent-runner", lambda: standing[0])
    found = samples(meter, {(RUNS, 0): 10, (RUNS, 1): 5, (RUNS, 2): 100})
    assert found["tds_active",] == 1
    assert (found["tds_open_keys",], found["tds_effects_in_flight",]) == (4, 2)
    assert (found["tds_effects_capacity",], found["tds_partitions_assigned",]) == (16, 3)
    assert (found["tds_lag_records", RUNS], found["tds_lag_records", DIVERSITY]) == (7, 0)
    standing[0] = Standing("standby")
    assert samples(meter)["tds_active",] == 0


def test_records_appends_and_effects_are_counted():
    meter = metrics("agent-runner")
    spoke = event(UserSpoke(run="c.0.1", turn=0, content=""))
    for dropped in (False, False, True):
        meter.folded(RUNS, spoke, dropped=dropped)
    meter.buried(RUNS, "not_json")
    meter.appended([Outgoing(RUNS, 0, "k", {}, b""), Outgoing(DIVERSITY, 0, "k", {}, b"")], 0.004)
    meter.appended([Outgoing(RUNS, 0, "k", {}, b"")], 77.0)
    meter.performed("AskUser", "appended", 0.2)
    meter.performed("AskUser", "superseded", 0.3)
    found = samples(meter)
    assert found["tds_records_folded_total", RUNS] == 2
    assert found["tds_records_dropped_total", RUNS] == 1
    assert found["tds_dead_letters_total", "not_json", RUNS] == 1
    assert (found["tds_records_appended_total", RUNS], found["tds_append_seconds_count",]) == (2, 2)
    assert found["tds_append_seconds_sum",] == pytest.approx(77.004)
    buckets = [found["tds_append_seconds_bucket", edge] for edge in ("0.0025", "0.005", "5.0", "+Inf")]
    assert buckets == [0, 1, 1, 2]
    assert found["tds_effects_total", "AskUser", "superseded"] == 1
    assert found["tds_effect_seconds_count", "AskUser"] == 2


def test_model_calls_are_counted_by_role():
    class Model:
        async def complete(self, request):
            if request.run:
                raise ModelFailed("timeout", "secret words", infrastructure=request.run == "away")
            return ChatReply("words", prompt_tokens=7, completion_tokens=3, usd=0.5)

    meter = metrics("agent-runner")
    model = Watched(Model(), meter)

    def ask(run):
        return asyncio.run(model.complete(ChatRequest("judge", run, 0, "m", ())))

    assert ask("").content == "words"
    for run in ("away", "refused"):
        with pytest.raises(ModelFailed):
            ask(run)
    meter.attempt_failed(FailedAttempt(ChatRequest("judge", "", 0, "m", ()), 1, "http_500", "words", 1.0))
    found = samples(meter)
    for outcome in ("replied", "refused", "unreachable"):
        assert found["tds_model_calls_total", outcome, "judge"] == 1
    assert found["tds_model_tokens_total", "prompt", "judge"] == 7
    assert found["tds_model_tokens_total", "completion", "judge"] == 3
    assert found["tds_model_usd_total", "judge"] == 0.5
    assert found["tds_model_attempts_failed_total", "http_500", "judge"] == 1
    assert b"words" not in meter.exposition({})


def test_a_campaign_is_shown_as_its_events_say_in_whatever_order_topics_come():
    figures = Figures(
        admitted=2,
        rejected={"duplicate": 3, "signature_cap": 1},
        domain=Entropy(bits=1.5),
        mode_exact=Entropy(bits=2.5),
        mode_coarse=Entropy(bits=2.25),
        ceiling_bits=1.0,
    )
    closed = SteeringUpdated(campaign="c", generation=0, version=1, figures=figures)
    ended = CampaignFinished(campaign="c", reason="trajectories", complete=True, admitted=2, slots=6)
    meter = metrics()
    fold(meter, admitted("c", 0), started("c"), admitted("c", 1))
    found = samples(meter)
    assert (found["tds_campaign_wanted", "c"], found["tds_campaign_admitted", "c"]) == (10, 2)
    assert found["tds_campaign_finished", "c"] == 0
    assert ("tds_domain_entropy_bits", "c") not in found
    fold(meter, closed, ended)
    for _ in range(2):  # a replica that takes over again folds it all anew
        found = samples(meter)
        assert found["tds_campaign_admitted", "c"] == 2
        assert found["tds_campaign_rejected", "c"] == 4
        assert found["tds_campaign_finished", "c"] == 1
        assert found["tds_domain_entropy_bits", "c"] == 1.5
        assert found["tds_mode_entropy_bits", "c", "exact"] == 2.5
        assert found["tds_mode_entropy_bits", "c", "coarse"] == 2.25
        assert found["tds_entropy_ceiling_bits", "c"] == 1.0
        fold(meter, started("c"), admitted("c", 0), admitted("c", 1), closed, ended)


def test_only_the_monitor_that_works_shows_campaigns():
    for meter in (metrics("evolution-scheduler"), metrics(standing=Standing("standby"))):
        fold(meter, started("c"))
        assert not [name for name, *_ in samples(meter) if name.startswith("tds_campaign")]


def test_campaigns_are_bounded_and_the_latest_are_kept():
    meter = metrics()
    names = [f"c{number}" for number in range(CAMPAIGNS + 1)]
    fold(meter, *(started(name) for name in names[:-1]), admitted("c0", 4), started(names[-1]))
    shown = {name[1] for name in samples(meter) if name[0] == "tds_campaign_wanted"}
    assert shown == set(names) - {"c1"}
