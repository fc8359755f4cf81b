"""OpenTelemetry: what a sale's trace and metrics say, and what they never do."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from opentelemetry import trace
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from prometheus_client import CollectorRegistry
from prometheus_client.samples import Sample

from payroc_async import (
    ConfigurationError,
    Environment,
    NotFoundError,
    PayrocError,
    PayrocSession,
    Timeouts,
)
from payroc_async.http.transport import Transport
from payroc_async.journal import EntryState, SQLiteJournal
from payroc_async.otel import OpenTelemetry
from payroc_async.simulator import Simulator, problem, status
from tests.conftest import EAGER, QUICK, SERIAL, UNIT, sale
from tests.harness.programs import ROOT
from tests.harness.secret_scanner import SECRETS
from tests.harness.step_canceller import until
from tests.journal.test_recovery import REFUND, SIGNATURE, leave, recovered
from tests.promises.test_p7_secrets import echoing

GRAFANA = ROOT / "examples" / "grafana"
PAGE = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
HASTY = Timeouts(
    request=1.0, hold=0.5, poll_interval=UNIT / 2, unreachable=5 * UNIT, cancel_grace=5 * UNIT
)


class Observed:
    """What one OpenTelemetry sends, of spans and of metrics under their Prometheus names."""

    def __init__(self, *processors: SpanProcessor) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracers = TracerProvider()
        for processor in (*processors, SimpleSpanProcessor(self._exporter)):
            self.tracers.add_span_processor(processor)
        self._registry = CollectorRegistry()
        reader = PrometheusMetricReader(registry=self._registry)
        self._meters = MeterProvider([reader])
        self.telemetry = OpenTelemetry(self.tracers, self._meters)
        self.till = self.tracers.get_tracer("till")

    @property
    def spans(self) -> list[ReadableSpan]:
        return sorted(self._exporter.get_finished_spans(), key=lambda span: span.start_time or 0)

    def named(self, name: str) -> ReadableSpan:
        (span,) = (span for span in self.spans if span.name == name)
        return span

    def below(self, parent: ReadableSpan) -> list[ReadableSpan]:
        return [span for span in self.spans if span.parent == parent.get_span_context()]

    @property
    def samples(self) -> list[Sample]:
        return [one for metric in self._registry.collect() for one in metric.samples]

    def total(self, name: str, **labels: str) -> float:
        return sum(
            one.value
            for one in self.samples
            if one.name == name and labels.items() <= one.labels.items()
        )

    def shut_down(self) -> None:
        self.tracers.shutdown()
        self._meters.shutdown()


@pytest.fixture
async def observed() -> AsyncIterator[Observed]:
    observed = Observed()
    yield observed
    observed.shut_down()


Opened = Callable[..., PayrocSession]


@pytest.fixture
def opened(gateway: Simulator, observed: Observed) -> Opened:
    def build(**options: Any) -> PayrocSession:
        return PayrocSession(
            gateway.api_key,
            environment=gateway.environment,
            **{"timeouts": QUICK, "retries": EAGER, "telemetry": observed.telemetry, **options},
        )

    return build


def about(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


# Spans ----------


async def test_a_sale_is_one_trace(gateway: Simulator, observed: Observed, opened: Opened) -> None:
    """Below the caller's span is the sale's, below that each exchange; the token's stands alone."""
    gateway.faults.add("submit", status(503))
    gateway.faults.add("status", status(504))  # no change, says a proxy
    with observed.till.start_as_current_span("start"):
        session = await opened().open()
    async with contextlib.aclosing(session):
        with observed.till.start_as_current_span("checkout") as checkout:
            payment = await session.run_sale(SERIAL, sale())
            assert trace.get_current_span() is checkout
    (instruction,) = gateway.instructions.values()
    whole = observed.named("payroc sale")
    assert whole.parent == checkout.get_span_context()
    assert about(whole) == {
        "payroc.kind": "payment",
        "payroc.serial_number": SERIAL,
        "payroc.idempotency_key": instruction.idempotency_key,
        "payroc.instruction_id": instruction.id,
        "payroc.order_id": "OrderRef6543",
        "payroc.outcome": "approved",
        "payroc.payment_id": payment.payment_id,
    }
    assert [
        (event.name, dict(event.attributes or {}).get("error.type")) for event in whole.events
    ] == [
        ("payroc.retrying", "503"),
        ("payroc.submitted", None),
        ("payroc.completed", None),
        ("payroc.result_received", None),
    ]
    submit, looks, follow = (
        "POST /v1/devices/{id}/payment-instructions",
        "GET /v1/payment-instructions/{id}",
        "GET /v1/payments/{id}",
    )
    exchanges = observed.below(whole)
    names = [span.name for span in exchanges]
    assert names == [submit, submit, looks, looks, follow]
    refused, accepted = map(about, exchanges[:2])
    assert (refused["http.response.status_code"], refused["error.type"]) == (503, "503")
    url = f"{gateway.environment.api_url}/devices/{SERIAL}/payment-instructions"
    assert accepted == {
        "http.request.method": "POST",
        "http.request.resend_count": 1,
        "http.response.status_code": 202,
        "server.address": "127.0.0.1",
        "server.port": int(url.split(":")[2].split("/")[0]),
        "url.full": url,
        "url.template": submit.split()[1],
    }
    assert observed.named("POST /authorize").parent is None
    errors = [span.status.status_code is StatusCode.ERROR for span in exchanges]
    assert errors == [True, False, True, False, False]


ENDS: list[tuple[str, StatusCode, str, Callable[[Simulator], object]]] = [
    ("approved", StatusCode.UNSET, "sale", lambda at: None),
    ("declined", StatusCode.UNSET, "sale", lambda at: at.device(SERIAL).declines()),
    ("approved", StatusCode.UNSET, "refund", lambda at: None),
    ("signed", StatusCode.UNSET, "signature", lambda at: None),
    ("canceled", StatusCode.UNSET, "sale", lambda at: at.device(SERIAL).cardholder_cancels()),
    ("timed out", StatusCode.UNSET, "sale", lambda at: at.device(SERIAL).never_finishes()),
    ("failed", StatusCode.ERROR, "sale", lambda at: at.device(SERIAL).fails("Out of paper")),
    (
        "not accepted",
        StatusCode.ERROR,
        "sale",
        lambda at: at.faults.add("submit", problem(400, "bad-request")),
    ),
    (
        "outcome unknown",
        StatusCode.ERROR,
        "sale",
        lambda at: at.faults.add("payment", status(500), times=None),
    ),
]


@pytest.mark.parametrize(
    ("outcome", "code", "name", "script"), ENDS, ids=[f"{end[2]} {end[0]}" for end in ENDS]
)
async def test_how_it_ended(
    gateway: Simulator,
    observed: Observed,
    opened: Opened,
    outcome: str,
    code: StatusCode,
    name: str,
    script: Callable[[Simulator], object],
) -> None:
    """Span and metrics say it alike, with the class of an error; nothing is left in flight."""
    script(gateway)
    error: PayrocError | None = None
    async with opened(timeouts=HASTY) as session:
        try:
            if name == "refund":
                await session.run_refund(SERIAL, REFUND)
            elif name == "signature":
                await session.capture_signature(SERIAL, SIGNATURE)
            else:
                seconds = 3 * UNIT if outcome == "timed out" else None
                await session.run_sale(SERIAL, sale(), timeout=seconds)
        except PayrocError as raised:
            error = raised
    span = observed.named(f"payroc {name}")
    assert about(span)["payroc.outcome"] == outcome
    assert span.status.status_code is code
    labels = {"payroc_kind": "payment" if name == "sale" else name}
    assert observed.total("payroc_sale_in_flight", **labels) == 0
    labels["payroc_outcome"] = outcome
    if code is StatusCode.ERROR:
        assert span.status.description == str(error)
        labels["error_type"] = about(span)["error.type"] = type(error).__name__
    assert observed.total("payroc_sale_outcomes_total", **labels) == 1
    assert observed.total("payroc_sale_duration_seconds_count", **labels) == 1
    answered = outcome != "not accepted"
    assert observed.total("payroc_sale_added_latency_seconds_count") == answered


@pytest.mark.parametrize("on_cancel", ["cancel", "detach"])
async def test_a_cancelled_sale_ends_its_span(
    gateway: Simulator, observed: Observed, opened: Opened, on_cancel: Any
) -> None:
    """Its cancellation is in the trace; the status request that it broke off is no error."""
    gateway.device(SERIAL).never_finishes().approves()
    async with opened() as session:
        task = asyncio.create_task(session.run_sale(SERIAL, sale(), on_cancel=on_cancel))
        await until(lambda: gateway.open_requests)
        await until(lambda: gateway.requests_of("status"))
        assert observed.total("payroc_sale_in_flight", payroc_kind="payment") == 1
        task.cancel()
        await asyncio.wait([task])
        whole = observed.named("payroc sale")
        assert about(whole)["payroc.outcome"] == (
            "canceled" if on_cancel == "cancel" else "left running"
        )
        if on_cancel == "detach":
            await session.payment_instructions.cancel(*gateway.instructions)
    assert not [one for one in observed.spans if one.status.status_code is StatusCode.ERROR]
    _, broken_off, *rest = observed.below(whole)
    assert {"http.response.status_code", "error.type"}.isdisjoint(about(broken_off))
    told = [(event.name, dict(event.attributes or {})) for event in whole.events]
    if on_cancel == "cancel":
        assert ("payroc.cancel_requested", {"payroc.reason": "caller"}) in told
        assert [span.name.split()[0] for span in rest] == ["DELETE", "GET"]
    else:
        assert [name for name, _ in told] == ["payroc.submitted"]
        assert rest == []


async def test_a_recovered_sale_has_a_trace_of_its_own(
    gateway: Simulator, observed: Observed, opened: Opened, tmp_path: Path
) -> None:
    """It is linked to the span of the recovery that has found it, and not below it."""
    keys = {await leave(gateway, tmp_path / "one.db", EntryState.INTENT) for _ in range(1)}
    async with opened(journal=SQLiteJournal(tmp_path / "one.db")) as session:
        with observed.till.start_as_current_span("start") as start:
            (found,) = await recovered(session)
    whole = observed.named("payroc sale")
    assert whole.parent is None
    assert [link.context for link in whole.links] == [start.get_span_context()]
    assert {about(whole)["payroc.idempotency_key"]} == {found.entry.idempotency_key} == keys
    assert about(whole)["payroc.order_id"] == "OrderRef6543"
    assert len(observed.below(whole)) == 3
    assert observed.total("payroc_sale_recovered_total", payroc_outcome="approved") == 1
    assert observed.total("payroc_sale_recovering") == 0


async def test_a_sale_under_recovery_is_counted_while_it_runs(
    gateway: Simulator, observed: Observed, opened: Opened, tmp_path: Path
) -> None:
    """One that does not end shows, as does its end; a sale of this process is no recovered one."""
    gateway.device(SERIAL).never_finishes()
    await leave(gateway, tmp_path / "one.db")
    async with opened(journal=SQLiteJournal(tmp_path / "one.db")) as session:
        recovering = asyncio.create_task(recovered(session))
        await until(lambda: gateway.in_progress)
        await session.run_sale("another", sale())
        assert observed.total("payroc_sale_recovering", payroc_kind="payment") == 1
        gateway._state.change(gateway.in_progress[0], "failure")
        await recovering
    assert observed.total("payroc_sale_recovering") == 0
    assert observed.total("payroc_sale_recovered_total") == 1
    assert observed.total("payroc_sale_recovered_total", payroc_outcome="failed") == 1
    assert observed.total("payroc_sale_outcomes_total") == 2


async def test_sales_at_once_do_not_mix(
    gateway: Simulator, observed: Observed, opened: Opened
) -> None:
    """Each of ten sales has its own trace, with the requests of its own instruction."""
    async with opened() as session:
        await asyncio.gather(*(session.run_sale(f"device{n}", sale()) for n in range(10)))
    wholes = [span for span in observed.spans if span.name == "payroc sale"]
    assert len({span.context.trace_id for span in wholes if span.context}) == 10
    for whole in wholes:
        device, id_ = (about(whole)[f"payroc.{it}"] for it in ("serial_number", "instruction_id"))
        assert gateway.instructions[id_].serial_number == device
        first, second, _ = observed.below(whole)
        assert f"/{device}/" in about(first)["url.full"]
        assert about(second)["url.full"].endswith(id_)


async def test_records_of_a_sale_belong_to_its_trace(
    gateway: Simulator, observed: Observed, opened: Opened
) -> None:
    """While its task runs, its span is the current one: so log records find their trace."""
    current: list[trace.Span] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.getMessage().startswith("ended"):
                current.append(trace.get_current_span())

    logger, handler = logging.getLogger("payroc_async.instructions.report"), Handler()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    async with opened() as session:
        await session.run_sale(SERIAL, sale())
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)
    whole = observed.named("payroc sale")
    assert [span.get_span_context() for span in current] == [whole.get_span_context()]


async def test_a_single_call_is_below_its_caller(
    gateway: Simulator, observed: Observed, opened: Opened
) -> None:
    """A call that is no sale's is a span below the caller's, and its refusal an error."""
    async with opened() as session:
        with observed.till.start_as_current_span("office") as office, pytest.raises(NotFoundError):
            await session.payments.retrieve("P1")
    (call,) = observed.below(observed.named("office"))
    assert call.parent == office.get_span_context()
    assert (call.name, about(call)["error.type"]) == ("GET /v1/payments/{id}", "404")


# What it must not do ----------


async def test_p7_no_span_and_no_metric_has_a_secret(
    gateway: Simulator, observed: Observed, opened: Opened
) -> None:
    """Neither key, token, card nor cardholder, whatever a server echoes or a search asks for."""
    for on in ("authorize", "submit", "status", "payment"):
        gateway.faults.add(on, echoing(500, "application/problem+json"))
    async with opened() as session:
        await session.run_sale(SERIAL, sale())
        async for _ in session.payments.search(cardholder_name="Hopper", first6="453985"):
            pass
        gateway.faults.add("payment", echoing(500, "text/html"), times=None)
        async with opened(timeouts=HASTY) as hasty:
            with pytest.raises(PayrocError):
                await hasty.run_sale(SERIAL, sale())
    said = "\n".join(
        [*(span.to_json() for span in observed.spans), *(str(one) for one in observed.samples)]
    )
    assert len(observed.spans) > 12
    assert [name for name, pattern in SECRETS.items() if pattern.search(said)] == []
    assert "?" not in said


class Broken(SpanProcessor):
    """An application's processor that fails at each turn."""

    def on_start(self, *args: object, **kwargs: object) -> None:
        raise RuntimeError("on_start")

    def on_end(self, span: object) -> None:
        raise RuntimeError("on_end")


class BrokenAtTheEnd(Broken):
    def on_start(self, *args: object, **kwargs: object) -> None:
        pass


@pytest.mark.parametrize("broken", [Broken, BrokenAtTheEnd])
async def test_p5_a_failing_processor_harms_no_sale(
    gateway: Simulator, opened: Opened, caplog: pytest.LogCaptureFixture, broken: type[Broken]
) -> None:
    """What an application's processor raises is logged; the payment is returned all the same."""
    observed = Observed(broken())
    async with opened(telemetry=observed.telemetry) as session:
        assert (await session.run_sale(SERIAL, sale())).approved
    observed.shut_down()
    assert {one.getMessage() for one in caplog.records if one.levelno == logging.ERROR} == {
        "telemetry failed"
    }


async def test_nothing_of_it_is_there_without_it(gateway: Simulator) -> None:
    """A session that is not given it has the plain transport; what is none is refused."""
    session = PayrocSession(gateway.api_key, environment=gateway.environment)
    assert type(session._transport) is Transport
    with pytest.raises(ConfigurationError, match=r"telemetry: must be an OpenTelemetry\(\) of"):
        PayrocSession("key", environment=Environment.UAT, telemetry=object())  # type: ignore[arg-type]


# Metrics, and the dashboard that shows them ----------


async def test_every_request_is_measured(
    gateway: Simulator, observed: Observed, opened: Opened
) -> None:
    """As many durations as the gateway has seen requests, by method, path and status."""
    gateway.faults.add("status", status(502))
    async with opened() as session:
        await session.run_sale(SERIAL, sale())
    name = "http_client_request_duration_seconds_count"
    assert observed.total(name) == len(gateway.requests)
    looks = {"http_request_method": "GET", "url_template": "/v1/payment-instructions/{id}"}
    assert observed.total(name, **looks, http_response_status_code="502", error_type="502") == 1
    assert observed.total("payroc_sale_retries_total") == 1
    assert observed.total("payroc_sale_retries_total", **looks, error_type="502") == 1
    added, whole = (
        observed.total(f"payroc_sale_{it}_seconds_sum") for it in ("added_latency", "duration")
    )
    assert 0 < added < whole


FUNCTIONS = {
    *("sum", "by", "increase", "rate", "histogram_quantile", "vector", "label_values"),
    *("or", "and", "unless", "offset", "min_over_time"),
}


def names_in(expression: str) -> set[str]:
    """The names of metrics and labels that a PromQL expression has."""
    bare = re.sub(r'"[^"]*"|\$\w+|\[[^\]]*\]|\b\d+\w*', " ", expression)
    return set(re.findall(r"[a-z_]\w*", bare)) - FUNCTIONS


async def test_the_dashboard_asks_for_what_there_is(
    gateway: Simulator, observed: Observed, opened: Opened, tmp_path: Path
) -> None:
    """Each name in dashboard and alerts is sent under that name, and each metric is used."""
    gateway.faults.add("submit", status(503))
    gateway.device("another").fails("Out of paper")
    await leave(gateway, tmp_path / "one.db")
    async with opened(journal=SQLiteJournal(tmp_path / "one.db")) as session:
        with pytest.raises(PayrocError):
            await session.run_sale("another", sale())
        await recovered(session)
    ours = [one for one in observed.samples if "otel_scope_name" in one.labels]
    metrics = {one.name for one in ours if not one.name.endswith("_created")}
    labels = {label for one in ours for label in one.labels}
    dashboard = orjson.loads((GRAFANA / "payroc-sales.json").read_bytes())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked += [
        one["query"]["query"] for one in dashboard["templating"]["list"] if one["type"] == "query"
    ]
    alerts = (GRAFANA / "alerts.yml").read_text(encoding="utf-8")
    rules = re.findall(r"^ {8}expr: \|\n((?: {10}.*\n)+)", alerts, re.MULTILINE)
    assert (len(asked), len(rules)) == (19, 5)
    used = set().union(*map(names_in, [*asked, *rules]))
    assert used <= metrics | labels
    families = {re.sub("_(bucket|count|sum)$", "", name) for name in metrics}
    assert families == {re.sub("_(bucket|count|sum)$", "", name) for name in used & metrics}
    # And the page's table has them, by both names.
    rows = re.findall(r"^\| `([\w.]+)` \| `(\w+)` \| (?:up-down )?\w+", PAGE, re.MULTILINE)
    assert {prometheus for _, prometheus in rows} == families
    for dotted, prometheus in rows:
        assert prometheus.startswith(dotted.replace(".", "_"))
