"""One trace a run: contexts travel in headers, across services; nothing else is told."""

import asyncio
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from schemas.codec import decode
from schemas.topics import TOPICS
from services.kit.chain import seal
from services.kit.models.chat import ChatReply, ChatRequest
from services.kit.service import Draft
from services.kit.watched import tracing
from services.kit.watched.meter import Watched
from tests.support.toy_service import TIME, answer, command

RUN = "c.0.1"


class Model:
    async def complete(self, request):
        return ChatReply("words")


def traced():
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    return tracing.OpenTelemetry(provider), spans


def appended(tracer, message):
    """The message as the next reader has it."""
    (sealed,) = seal([Draft(message.run, message)], {}, "tds/test", TIME)
    tracer.stamp([sealed])
    one = sealed.outgoing
    return decode(TOPICS[one.topic], one.key, one.headers, one.value)


def test_effects_of_a_run_hang_together_across_services():
    first, spans = traced()
    second, more = traced()
    with first.effect("agent-runner", RUN, "AskAssistant"):
        request = ChatRequest("assistant", RUN, 0, "m", ({"role": "user", "content": "words"},))
        asyncio.run(Watched(Model(), tracing=first).complete(request))
        asked = appended(first, command(RUN, "a"))
    second.saw(RUN, asked.traceparent)
    with second.effect("sandbox-exec", RUN, "Execute"):
        answered = appended(second, answer(asked.data, "done"))
    first.saw(RUN, answered.traceparent)
    with first.effect("agent-runner", RUN, "AskJudge"):
        pass
    asking, judging = spans.get_finished_spans()
    (executing,) = more.get_finished_spans()
    assert asking.parent is None
    assert executing.parent.span_id == asking.context.span_id
    assert judging.parent.span_id == executing.context.span_id
    assert {one.context.trace_id for one in (asking, executing, judging)} == {asking.context.trace_id}
    assert (asking.name, dict(asking.attributes)) == (
        "AskAssistant",
        {"tds.service": "agent-runner", "tds.run": RUN, "tds.kind": "AskAssistant", "tds.role": "assistant"},
    )


def test_what_is_appended_outside_an_effect_passes_the_runs_context_on():
    tracer, _ = traced()
    with tracer.effect("planner", RUN, "Plan"):
        planned = appended(tracer, command(RUN, "a"))
    tracer.saw(RUN, planned.traceparent)
    assert appended(tracer, command(RUN, "b")).traceparent == planned.traceparent
    assert appended(tracer, command("c.1.1", "b")).traceparent == ""


def test_runs_that_are_under_way_at_once_have_traces_of_their_own():
    tracer, spans = traced()
    for run in (RUN, "c.1.1"):
        with tracer.effect("agent-runner", run, "AskUser"):
            pass
    one, other = spans.get_finished_spans()
    assert one.context.trace_id != other.context.trace_id


def test_the_context_is_no_part_of_what_an_event_is():
    tracer, _ = traced()
    with tracer.effect("agent-runner", RUN, "AskUser"):
        marked = appended(tracer, command(RUN, "a"))
    plain = appended(tracing.Tracing(), command(RUN, "a"))
    assert plain.traceparent == ""
    assert marked.traceparent
    assert (plain.id, plain.data) == (marked.id, marked.data)


def test_a_failure_is_named_by_its_type_and_not_quoted():
    tracer, spans = traced()
    with pytest.raises(ValueError, match="prompt"), tracer.effect("agent-runner", RUN, "AskUser"):
        raise ValueError("the whole prompt, and a key")
    (span,) = spans.get_finished_spans()
    assert span.status.description == "ValueError"
    assert "prompt" not in span.to_json()


def test_a_header_from_elsewhere_that_is_no_context_begins_a_new_trace():
    tracer, spans = traced()
    for header in ("nonsense", "00-" + "0" * 32 + "-" + "0" * 16 + "-01", "\udcff"):
        tracer.saw(RUN, header)
        with tracer.effect("agent-runner", RUN, "AskUser"):
            pass
    assert [span.parent for span in spans.get_finished_spans()] == [None] * 3


def test_runs_are_remembered_up_to_a_bound(monkeypatch):
    monkeypatch.setattr(tracing, "RUNS", 2)
    tracer, _ = traced()
    context = "00-" + "1" * 32 + "-" + "2" * 16 + "-01"
    for slot in (0, 1, 0, 2):
        tracer.saw(f"c.{slot}.1", context)
    kept = [slot for slot in range(3) if appended(tracer, command(f"c.{slot}.1", "a")).traceparent]
    assert kept == [0, 2]


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_SDK_DISABLED": "true"}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318", "OTEL_TRACES_EXPORTER": "none"}, False),
    ],
)
def test_when_traces_are_wanted(environment, wanted):
    assert tracing.configured(environment) == wanted


def test_without_an_endpoint_nothing_is_imported():
    program = """
import sys
from services.kit.watched.tracing import set_up
with set_up("agent-runner", {}).effect("s", "r", "k"):
    assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_spans_reach_the_endpoint_that_the_environment_names(monkeypatch):
    received = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Collector)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    try:
        tracer = tracing.set_up("agent-runner")
        with tracer.effect("agent-runner", RUN, "AskUser"):
            pass
        tracer.close()
    finally:
        server.shutdown()
        server.server_close()
    ((path, body),) = received
    assert path == "/v1/traces"
    assert b"agent-runner" in body
    assert b"AskUser" in body
