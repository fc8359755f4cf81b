"""The trace of one sale, as a tree: ``python examples/traced_sale.py [SERIAL]``.

Needs the extra ``otel`` and ``opentelemetry-sdk``. This example keeps its spans in memory; a
service uses an exporter that sends them to a collector.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Sequence

from connection import new_sale, sessions
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from payroc_async.otel import OpenTelemetry
from payroc_async.simulator import Simulator, status

ORDER_ID = "OrderRef6543"


def script(gateway: Simulator) -> None:
    """Script the simulator: the gateway fails at first; then the cardholder takes a second."""
    gateway.faults.add("submit", status(503))
    gateway.device(SERIAL).approves(after=1.0)


def seconds(first: ReadableSpan, last: ReadableSpan, *, end: bool) -> float:
    """Return the seconds from the start of one span to the start or end of another."""
    until = last.end_time if end else last.start_time
    return ((until or 0) - (first.start_time or 0)) / 1e9


def told(span: ReadableSpan) -> str:
    """Return a span's name, attributes and result."""
    attributes = span.attributes or {}
    ends = ("payroc.outcome", "http.response.status_code", "error.type")
    ended = next((attributes[name] for name in ends if name in attributes), "ok")
    order = attributes.get("payroc.order_id")
    resent = attributes.get("http.request.resend_count")
    notes = (f" order {order}" if order else "") + (f" (retry {resent})" if resent else "")
    return f"{span.name}{notes}: {ended}"


def tree(
    spans: Sequence[ReadableSpan], span: ReadableSpan, root: ReadableSpan, depth: int = 0
) -> Iterator[str]:
    """Print a span and its children, in order of their starts."""
    at, took = seconds(root, span, end=False), seconds(span, span, end=True)
    yield f"{at:6.3f} s {took:6.3f} s  {'  ' * depth}{told(span)}"
    context = span.get_span_context()
    below = [one for one in spans if one.parent and context and one.parent == context]
    for one in sorted(below, key=lambda one: one.start_time or 0):
        yield from tree(spans, one, root, depth + 1)


async def main() -> int:
    """Run the sale within the till's own span, and print the trace."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    till = provider.get_tracer("till")
    telemetry = OpenTelemetry(tracer_provider=provider)
    async with sessions(script) as new_session, new_session(telemetry=telemetry) as session:
        with till.start_as_current_span("checkout"):
            payment = await session.run_sale(SERIAL, new_sale(ORDER_ID, 4999), timeout=120)
    provider.shutdown()
    spans = exporter.get_finished_spans()
    (root,) = (span for span in spans if span.name == "checkout")
    print(" start    took     span")
    print(*tree(spans, root, root), sep="\n")
    return 0 if payment.approved else 1


if __name__ == "__main__":
    SERIAL = sys.argv[1] if len(sys.argv) > 1 else "1850010868"
    sys.exit(asyncio.run(main()))
