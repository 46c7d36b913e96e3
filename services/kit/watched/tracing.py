"""Traces: one a run, a span an effect, with the trace context in the headers of what is appended.

The span of an effect continues from the ``traceparent`` of the event that led to it, and what comes of the
effect carries its own: so a run's spans hang together across services and replicas. The header is no part
of an event's id nor of an export. Spans name service, run, role and kind; never what was asked or answered.

OpenTelemetry is imported only where an endpoint is configured by its own ``OTEL_…`` variables, which also
choose the sampler, the limits and the exporter's settings.
"""

from __future__ import annotations

import importlib.util
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final

import structlog

from services.kit.chain import Sealed

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = structlog.get_logger(__name__)

HEADER: Final = "traceparent"
RUNS: Final = 10_000
"""Runs whose trace is remembered; the one heard of longest ago goes first, and begins another."""
CLOSE_S: Final = 3.0
INSTALL: Final = "pip install 'tdscaling[otel]'"


class Tracing:
    """What a host tells of its effects. This one traces nothing."""

    def saw(self, key: str, traceparent: str) -> None:
        """An event of ``key`` was folded, with this trace context or an empty one."""

    def effect(self, service: str, key: str, kind: str) -> AbstractContextManager[None]:
        """Inside, an effect of ``key`` is performed and its result appended."""
        del service, key, kind
        return nullcontext()

    def asks(self, role: str) -> None:
        """The effect under way asks the model of this role."""

    def stamp(self, sealed: Sequence[Sealed]) -> None:
        """Put the trace context into the headers of what is about to be appended."""

    def middlewares(self) -> Sequence[Any]:
        """FastStream's middlewares for a Kafka broker that is traced."""
        return ()

    def close(self) -> None:
        """Send what is left to send. It may block for seconds: it comes last."""


class OpenTelemetry(Tracing):
    """Traces into ``provider``."""

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry import trace
        from opentelemetry.context import Context
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._trace = trace
        self._empty = Context()
        self._provider = provider
        self._tracer = provider.get_tracer("tdscaling")
        self._propagator = TraceContextTextMapPropagator()
        self._parents: OrderedDict[str, str] = OrderedDict()

    def saw(self, key: str, traceparent: str) -> None:
        """See Tracing."""
        if traceparent:
            self._parents[key] = traceparent
            self._parents.move_to_end(key)
            if len(self._parents) > RUNS:
                self._parents.popitem(last=False)

    @contextmanager
    def effect(self, service: str, key: str, kind: str) -> Iterator[None]:
        """See Tracing. What it raises is named by its type alone: its text may say anything."""
        context = self._propagator.extract({HEADER: self._parents.get(key, "")}, self._empty)
        attributes = {"tds.service": service, "tds.run": key, "tds.kind": kind}
        with self._tracer.start_as_current_span(
            kind, context, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except BaseException as error:
                span.set_status(self._trace.StatusCode.ERROR, type(error).__name__)
                raise

    def asks(self, role: str) -> None:
        """See Tracing."""
        self._trace.get_current_span().set_attribute("tds.role", role)

    def stamp(self, sealed: Sequence[Sealed]) -> None:
        """See Tracing. Inside an effect the context is its span's; otherwise the key's last one."""
        carrier: dict[str, str] = {}
        self._propagator.inject(carrier)
        current = carrier.get(HEADER, "")
        for one in sealed:
            traceparent = current or self._parents.get(one.outgoing.key, "")
            if traceparent:
                one.outgoing.headers[HEADER] = traceparent

    def middlewares(self) -> Sequence[Any]:
        """See Tracing: a span a batch, in traces of their own."""
        from faststream.kafka.opentelemetry import KafkaTelemetryMiddleware

        return (KafkaTelemetryMiddleware(tracer_provider=self._provider),)

    def close(self) -> None:
        """See Tracing. Waits for at most ``CLOSE_S``: a collector that is away is not worth more."""
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        sending.join(CLOSE_S)


def configured(environment: Mapping[str, str]) -> bool:
    """Whether the ``OTEL_…`` variables ask for traces to be sent somewhere."""
    endpoints = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    off = (
        environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
        or environment.get("OTEL_TRACES_EXPORTER", "otlp").strip() == "none"
    )
    return not off and any(environment.get(name, "").strip() for name in endpoints)


def set_up(service: str, environment: Mapping[str, str] = os.environ) -> Tracing:
    """Traces as the environment asks for them; none where it does not, or where a package is missing."""
    if not configured(environment):
        return Tracing()
    if not installed("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"):
        log.warning("no traces: OpenTelemetry is not installed", to_do=INSTALL)
        return Tracing()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {} if environment.get("OTEL_SERVICE_NAME") else {"service.name": service}
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return OpenTelemetry(provider)


def installed(*modules: str) -> bool:
    """Whether all of these could be imported; they are not."""
    try:
        return all(importlib.util.find_spec(one) is not None for one in modules)
    except ModuleNotFoundError:  # a package that one of them is in
        return False
