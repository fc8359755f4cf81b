"""Scenarios of optional features: signatures, tips, surcharges, closed-loop cards."""

from __future__ import annotations

from typing import Any

from payroc_async import (
    Breakdown,
    CustomizationOptions,
    InstructionStatus,
    Payment,
    SignatureInstructionRequest,
    Submitted,
    Surcharge,
    Tip,
)
from payroc_async.models import ClosedLoopOptions
from payroc_async.simulator import edit

from .bench import Bench
from .scenario_table import Table

__all__ = ["FEATURE_SCENARIOS"]

FEATURE_SCENARIOS = Table()


@FEATURE_SCENARIOS.add(
    "CP-10",
    "if used",
    "A signature: submit, poll, fetch, decode",
    "an image of the contentType that is given",
    feature="signature",
    device=True,
)
async def signature(bench: Bench) -> None:
    """Take a signature, and look whether the image is what its type says."""
    bench.at_device("sign on the screen", None, None)
    known: dict[str, str | None] = {}

    def keep(event: object) -> None:
        if isinstance(event, Submitted):
            known["id"] = event.instruction_id

    taken = await bench.session.capture_signature(
        bench.serial_number,
        SignatureInstructionRequest(processing_terminal_id=bench.terminal),
        timeout=bench.patience,
        on_event=keep,
    )
    image = taken.image
    begins = image[:8]
    kinds = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"BM": "image/bmp"}
    found = next((kind for magic, kind in kinds.items() if begins.startswith(magic)), "unknown")
    bench.fact(
        signatureInstructionId=known.get("id"),
        signatureId=taken.signature_id,
        contentType=taken.content_type,
        imageIs=found,
        bytes=len(image),
    )
    bench.expect(image, "the signature has no image")
    if found != "unknown":
        bench.expect(found == taken.content_type, f"the image is {found}, not {taken.content_type}")


@FEATURE_SCENARIOS.add(
    "CP-11",
    "if used",
    "A tip that the device asks for",
    "the payment's amount is the subtotal and the tip",
    feature="tip",
    device=True,
)
async def tip(bench: Bench) -> None:
    """Run a sale whose device asks for a tip."""
    payment = await bench.approved_sale(
        text="add a tip of 5.00 when the device asks, present the test card; before tip {amount}",
        script=lambda device: device.approves(tip=500),
        breakdown=Breakdown(subtotal=4999, tip=Tip(type="percentage", mode="prompted")),
    )
    breakdown = payment.order.breakdown
    given = breakdown.tip.amount if breakdown and breakdown.tip else None
    bench.fact(amount=payment.order.amount, tip=given)
    bench.expect(given, "the payment has no tip: does the terminal's configuration ask for one?")
    bench.expect(payment.order.amount == 4999 + (given or 0), "the amount is no subtotal and tip")


@FEATURE_SCENARIOS.add(
    "CP-12",
    "if used",
    "A surcharge, and bypass",
    "the first payment has a surcharge, the second none",
    feature="surcharge",
    device=True,
)
async def surcharge(bench: Bench) -> None:
    """Run a sale that is surcharged, and one that is not."""
    bench.guide.simulate_fault("payment", edit(_surcharged))
    first = await bench.approved_sale(breakdown=Breakdown(subtotal=4999))
    second = await bench.approved_sale(
        suffix="b", breakdown=Breakdown(subtotal=4999, surcharge=Surcharge(bypass=True))
    )
    bench.fact(surcharge=_surcharge_of(first), surchargeBypassed=_surcharge_of(second))
    bench.expect(_surcharge_of(first), "the first payment has no surcharge: is it a credit card?")
    bench.expect(not _surcharge_of(second), "the second payment has a surcharge")


def _surcharge_of(payment: Payment) -> int | None:
    breakdown = payment.order.breakdown
    return breakdown.surcharge.amount if breakdown and breakdown.surcharge else None


def _surcharged(payment: dict[str, Any]) -> dict[str, Any]:
    """A payment of the simulator's, which surcharges nothing, with a surcharge of 3 percent."""
    payment["order"]["breakdown"]["surcharge"] = {"amount": 150, "percentage": 3}
    return payment


@FEATURE_SCENARIOS.add(
    "CP-13",
    "if used",
    "Read a closed-loop card",
    "data is taken as unstructured",
    feature="closed-loop",
    device=True,
)
async def closed_loop(bench: Bench) -> None:
    """Read a closed-loop card, and fetch what was read."""
    bench.at_device("hold a MIFARE card to the reader", None, lambda device: device.approves(0.05))
    _simulate_read(bench)
    made = await bench.session.payment_instructions.submit(
        bench.serial_number,
        bench.request(
            4999,
            customization_options=CustomizationOptions(closed_loop_options=ClosedLoopOptions()),
        ),
    )
    found = made
    while found.status is InstructionStatus.IN_PROGRESS:
        found = await bench.session.payment_instructions.retrieve(made.payment_instruction_id)
    href = found.link.href if found.link else ""
    bench.fact(paymentInstructionId=made.payment_instruction_id, status=found.status.value)
    bench.expect("/closed-loop-reads/" in href, f"the instruction leads to {href or 'nothing'}")
    read = await bench.session.closed_loop_reads.retrieve(href.rpartition("/")[2])
    bench.fact(closedLoopReadId=read.closed_loop_read_id, fieldsOfData=len(read.data))


def _simulate_read(bench: Bench) -> None:
    """Have the simulator, whose devices read no such cards, lead to a read."""
    gateway = getattr(bench.guide, "gateway", None)
    if gateway is None:
        return
    made = gateway.add_closed_loop_read({"sector": "01"}, processing_terminal_id=bench.terminal)

    def led(instruction: dict[str, Any]) -> dict[str, Any]:
        if instruction["status"] == "completed":
            instruction["link"]["href"] = f"https://api.payroc.com/v1/closed-loop-reads/{made}"
            instruction["link"]["rel"] = "closed-loop-read"
        return instruction

    gateway.faults.add("status", edit(led), times=3)
