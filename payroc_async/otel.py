"""OpenTelemetry spans and metrics of a session. Requires the extra ``otel``.

Enable it with ``PayrocSession(..., telemetry=OpenTelemetry())``. ``docs/observability.md`` lists
the spans, their attributes and the metrics.

Source: OpenTelemetry's semantic conventions for HTTP clients and metric names.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, copy_context
from functools import partial
from time import perf_counter
from types import TracebackType
from typing import Any, Self

from opentelemetry import context as otel_context
from opentelemetry import metrics, trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, StatusCode
from yarl import URL

from payroc_async.http.transport import Exchange, Transport
from payroc_async.instructions.lifecycle import Outcome as LifecycleOutcome
from payroc_async.instructions.runner import InstructionRunner
from payroc_async.models.enums import Outcome
from payroc_async.wire.protocol import Answer

from .config import Environment
from .errors import (
    APIError,
    InstructionCanceledError,
    InstructionFailedError,
    InstructionTimeoutError,
    OutcomeUnknownError,
)
from .events import (
    Canceled,
    CancelRequested,
    Completed,
    Event,
    Failed,
    ResultReceived,
    Retrying,
    Submitted,
)
from .logs import get_logger
from .telemetry import Telemetry
from .version import __version__

__all__ = ["OpenTelemetry"]

logger = get_logger(__name__)


SALE_SECONDS = (0.5, 1, 2.5, 5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 300, 600)
ADDED_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
# The conventions' buckets, extended to the hold time of a status request.
HTTP_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60)

SPAN_NAMES = {"payment": "payroc sale", "refund": "payroc refund", "signature": "payroc signature"}
SPAN_EVENTS: dict[type[Event], str] = {
    Submitted: "payroc.submitted",
    Retrying: "payroc.retrying",
    CancelRequested: "payroc.cancel_requested",
    Canceled: "payroc.canceled",
    Failed: "payroc.failed",
    Completed: "payroc.completed",
    ResultReceived: "payroc.result_received",
}
TROUBLE = frozenset(("failed", "not accepted", "outcome unknown"))
"""The outcomes that mark a span as an error."""


class OpenTelemetry(Telemetry):
    """Spans and metrics of a session, or of several, for ``PayrocSession(..., telemetry=...)``.

    Args:
        tracer_provider: The provider for spans; the global one by default.
        meter_provider: The provider for metrics; the global one by default.
    """

    def __init__(
        self,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        self.tracer = trace.get_tracer("payroc_async", __version__, tracer_provider)
        meter = metrics.get_meter("payroc_async", __version__, meter_provider)
        self._in_flight = meter.create_up_down_counter(
            "payroc.sale.in_flight", "{sale}", "Sales, refunds and signatures that run now"
        )
        self._outcomes = meter.create_counter(
            "payroc.sale.outcomes", "{sale}", "Sales, refunds and signatures by how they ended"
        )
        self._recovering = meter.create_up_down_counter(
            "payroc.sale.recovering",
            "{sale}",
            "Those of a dead process that run now",
        )
        self._recovered = meter.create_counter(
            "payroc.sale.recovered",
            "{sale}",
            "Those of a dead process by how they ended",
        )
        self._retries = meter.create_counter(
            "payroc.sale.retries", "{retry}", "Requests of sales that were repeated"
        )
        self._duration = meter.create_histogram(
            "payroc.sale.duration",
            "s",
            "From the call to the end, the cardholder's time included",
            explicit_bucket_boundaries_advisory=SALE_SECONDS,
        )
        self._added = meter.create_histogram(
            "payroc.sale.added_latency",
            "s",
            "From the gateway's answer that says how it ended to the caller's result",
            explicit_bucket_boundaries_advisory=ADDED_SECONDS,
        )
        self.requests = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests",
            explicit_bucket_boundaries_advisory=HTTP_SECONDS,
        )

    def transport(self, environment: Environment, **options: Any) -> Transport:
        """Return a session's transport that makes a span of each HTTP exchange."""
        return _TracedTransport(self, environment, **options)

    def start(self, run: InstructionRunner[Any, Any]) -> None:
        """Start an instruction's task in its own span, which ends with the task."""
        # The task runs in a copy of the caller's context: the span becomes the parent of the task's
        # requests, and the caller's current span stays unchanged.
        context = copy_context()
        sale = context.run(self._begin, run)
        context.run(run.start)
        if sale is not None:
            sale.task = run.task
            run.task.add_done_callback(partial(self._end, run, sale), context=context)

    def _begin(self, run: InstructionRunner[Any, Any]) -> _Sale | None:
        sale = None
        with _harmless:
            # A recovered instruction gets its own trace, not that of the recovery, which finds
            # many.
            caller = trace.get_current_span().get_span_context()
            span = self.tracer.start_span(
                SPAN_NAMES[run.live.kind.noun],
                context=Context() if run.recovered else None,
                links=[Link(caller)] if run.recovered and caller.is_valid else None,
                attributes={"payroc.kind": run.live.kind.noun, **_names(run)},
            )
            sale = _Sale(run.live.kind.noun, span, self._retries)
            otel_context.attach(trace.set_span_in_context(span))
            _SALE.set(sale)
            run.live.listen(sale.hear)
            self._in_flight.add(1, sale.attributes)
            if run.recovered:
                self._recovering.add(1, sale.attributes)
        return sale

    def _end(self, run: InstructionRunner[Any, Any], sale: _Sale, _: asyncio.Task[None]) -> None:
        with _harmless:
            now = perf_counter()
            sale.task = None  # whose context holds the sale
            self._in_flight.add(-1, sale.attributes)
            if sale.changed is not None:
                self._added.record(now - sale.changed, sale.attributes)
            outcome = _outcome(run)
            attributes = {**sale.attributes, "payroc.outcome": outcome}
            if outcome in TROUBLE:
                attributes["error.type"] = type(run.live.error).__qualname__
                sale.span.set_status(StatusCode.ERROR, str(run.live.error))
            self._outcomes.add(1, attributes)
            if run.recovered:
                self._recovering.add(-1, sale.attributes)
                self._recovered.add(1, attributes)
            self._duration.record(now - sale.started, attributes)
            resource_id = (
                run.live.kind.resource_id(run.live.resource)
                if run.live.resource is not None
                else None
            )
            if resource_id is not None:
                attributes[f"payroc.{run.live.kind.noun}_id"] = resource_id
            sale.span.set_attributes({**attributes, **_names(run)})
            sale.span.end()


class _Sale:
    """The measurements of one instruction."""

    def __init__(self, noun: str, span: Span, retries: metrics.Counter) -> None:
        self.span = span
        self.task: asyncio.Task[None] | None = None
        self.attributes: dict[str, Any] = {"payroc.kind": noun}
        self.started = perf_counter()
        self.answered: float | None = None
        """When the last answer was read."""
        self.changed: float | None = None
        """When the answer with the final status was read."""
        self.request: dict[str, Any] = {}
        """The kind of the last request."""
        self._retries = retries

    def hear(self, event: Event) -> None:
        with _harmless:
            details: dict[str, Any] = {}
            if isinstance(event, Retrying):
                details = {"error.type": _error_type(event.error)}
                self._retries.add(1, self.attributes | self.request | details)
                details |= {"payroc.attempt": event.attempt, "payroc.delay": event.delay}
            elif isinstance(event, CancelRequested):
                details = {"payroc.reason": event.reason}
            elif isinstance(event, Completed | Failed | Canceled):
                self.changed = self.answered
            if name := SPAN_EVENTS.get(type(event)):
                self.span.add_event(name, details)


class _MeasuredExchange:
    """A span around one HTTP exchange, current meanwhile, and its duration."""

    def __init__(
        self, telemetry: OpenTelemetry, exchange: Exchange, template: str, *, own_trace: bool
    ) -> None:
        self.status: int | None = None
        """The answer's status, once there is one."""
        self._telemetry = telemetry
        self._url = exchange.url
        self._resend = exchange.resend
        self._request = {"http.request.method": exchange.method, "url.template": template}
        self._own_trace = own_trace
        self._started = perf_counter()
        self._span: Span | None = None

    def __enter__(self) -> Self:
        with _harmless:
            self._server = {"server.address": self._url.host, "server.port": self._url.port}
            # A search's query may hold a cardholder's name.
            attributes: dict[str, Any] = {
                "url.full": str(self._url.with_query(None)),
                **self._server,
            }
            if self._resend:
                attributes["http.request.resend_count"] = self._resend
            span = self._telemetry.tracer.start_span(
                " ".join(self._request.values()),
                context=Context() if self._own_trace else None,
                kind=SpanKind.CLIENT,
                attributes=self._request | attributes,
            )
            self._before = otel_context.attach(trace.set_span_in_context(span))
            self._span = span
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._span is None:
            return
        with _harmless:
            now = perf_counter()
            otel_context.detach(self._before)
            sale = _SALE.get()
            if sale is not None and sale.task is asyncio.current_task():
                sale.answered, sale.request = now, self._request
            result: dict[str, Any] = {}
            if self.status is not None:
                result["http.response.status_code"] = self.status
            # A request that was interrupted because its sale is canceled is not a failure.
            failed = error if isinstance(error, Exception) else None
            if failed is not None or (self.status or 0) >= 400:
                result["error.type"] = str(self.status) if failed is None else _error_type(failed)
                self._span.set_status(StatusCode.ERROR)
            self._telemetry.requests.record(
                now - self._started, self._request | self._server | result
            )
            self._span.set_attributes(result)
            self._span.end()


class _TracedTransport(Transport):
    def __init__(self, telemetry: OpenTelemetry, environment: Environment, **options: Any) -> None:
        super().__init__(environment, **options)
        self._telemetry = telemetry
        self._base = URL(environment.api_url).raw_path

    async def _exchange(self, exchange: Exchange) -> Answer:
        is_token = exchange.base is self._identity_url
        path = exchange.url.raw_path
        template = path if is_token else self._base + _template(exchange.url, self._base)
        with _MeasuredExchange(self._telemetry, exchange, template, own_trace=is_token) as measured:
            answer = await super()._exchange(exchange)
            measured.status = answer.status
        return answer


_SALE: ContextVar[_Sale | None] = ContextVar("payroc sale", default=None)
"""Return the run that the current task belongs to."""


class _Harmless:
    """Log failures of an application's span processor: they must not fail a sale."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        if not isinstance(error, Exception):
            return False
        logger.error("telemetry failed", exc_info=error)
        return True


_harmless = _Harmless()


def _template(url: URL, base: str) -> str:
    """Return the path below the API's base as a template: a collection, an id, a collection or
    action.

    Source: contract section 2.
    """
    segments = url.raw_path.removeprefix(base).split("/")[1:]
    return "".join("/{id}" if place % 2 else f"/{each}" for place, each in enumerate(segments))


def _names(run: InstructionRunner[Any, Any]) -> dict[str, str]:
    """Return the attributes that identify the instruction, as in its log records."""
    return {
        f"payroc.{name}": value for name, value in run.live.identity.log_fields().items() if value
    }


def _error_type(error: Exception) -> str:
    return str(error.status) if isinstance(error, APIError) else type(error).__qualname__


def _outcome(run: InstructionRunner[Any, Any]) -> str:
    if run.live.resource is not None:
        outcome: Outcome | None = getattr(run.live.resource, "outcome", None)
        return "signed" if outcome is None else outcome.value
    if run.live.state.outcome is LifecycleOutcome.LEFT:
        return "left running"
    match run.live.error:
        case InstructionFailedError():
            return "failed"
        case InstructionTimeoutError():
            return "timed out"
        case InstructionCanceledError():
            return "canceled"
        case OutcomeUnknownError():
            return "outcome unknown"
    return "not accepted"
