"""A host tells its meter and its tracing what it does."""

import asyncio

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from services.kit.watched.meter import Standing
from services.kit.watched.metrics import Metrics
from services.kit.watched.tracing import OpenTelemetry
from tests.support.toy_service import command, performer
from tests.unit.test_host import hosted, log_with, until


def test_a_host_tells_what_it_does():
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    meter = Metrics("toy", lambda: Standing("active"))
    log = log_with(command("c.0.1", "a"), command("c.0.1", "b"), command("c.1.1", "a"))

    async def scene():
        async with hosted(log, performer(), meter=meter, tracing=OpenTelemetry(provider)) as host:
            await until(lambda: len(log.records) == 6)
            while not await host.quiet():
                await asyncio.sleep(0.005)

    asyncio.run(scene())
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(meter.exposition({}).decode())
        for sample in family.samples
    }
    assert found["tds_effects_total", "Work", "appended", "toy"] == 3
    assert found["tds_records_appended_total", "tds.sandbox.events", "toy"] == 3
    assert found["tds_records_folded_total", "tds.sandbox.events", "toy"] == 3
    traces = {}
    for span in spans.get_finished_spans():
        traces.setdefault(span.attributes["tds.run"], set()).add(span.context.trace_id)
    assert [len(one) for _, one in sorted(traces.items())] == [1, 1]
    assert len(set.union(*traces.values())) == 2
