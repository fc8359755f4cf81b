"""The simulator's pages in a real Chromium: what a person sees and does."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from attrs import define, field
from playwright.async_api import BrowserContext, Locator, Page, async_playwright, expect

from payroc_async import (
    Breakdown,
    ConflictError,
    InstructionCanceledError,
    Order,
    Outcome,
    PaymentInstructionRequest,
    PayrocSession,
    RefundInstructionRequest,
    RefundOrder,
    SignatureInstructionRequest,
    Tip,
)
from payroc_async.simulator import Simulator
from tests.conftest import EAGER, PATIENT, SERIAL, sale

from .test_simulator import until

CHROMIUM = shutil.which("chromium") or ""
PATIENCE = 15_000
"""Milliseconds; two busy cores may take their time."""

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium (Debian's package chromium)"),
]
in_this_module = pytest_asyncio.fixture(loop_scope="module")


@define
class Tabs:
    """A browser whose tabs are used again, for a new one takes longer than a whole sale."""

    context: BrowserContext
    url: str = ""
    wrong: list[str] = field(factory=list)
    pages: list[Page] = field(factory=list)
    used: int = 0

    async def open(self, path: str) -> Page:
        """The next tab, at this path of the gateway."""
        if self.used == len(self.pages):
            self.pages.append(await self.context.new_page())
        page = self.pages[self.used]
        self.used += 1
        await page.bring_to_front()
        await page.goto(self.url + path)
        return page

    def watch(self) -> None:
        """Notes what no page may do: fail, write to the console, load from elsewhere."""
        self.context.on("weberror", lambda error: self.wrong.append(str(error.error)))
        self.context.on("console", lambda message: self.wrong.append(message.text))
        self.context.on("request", lambda request: self._check(request.url))

    def _check(self, url: str) -> None:
        if not url.startswith((self.url, "data:", "about:")):
            self.wrong.append(url)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def browser() -> AsyncIterator[Tabs]:
    """The one browser of this module."""
    expect.set_options(timeout=PATIENCE)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM)
        context = await browser.new_context(locale="en-US")
        context.set_default_timeout(PATIENCE)
        tabs = Tabs(context)
        tabs.watch()
        yield tabs
        await browser.close()


@in_this_module
async def gateway() -> AsyncIterator[Simulator]:
    async with Simulator(hold=PATIENT.hold) as gateway:
        yield gateway
        assert gateway.violations == []


@in_this_module
async def session(gateway: Simulator) -> AsyncIterator[PayrocSession]:
    async with PayrocSession(
        gateway.api_key, environment=gateway.environment, timeouts=PATIENT, retries=EAGER
    ) as session:
        yield session


@in_this_module
async def tabs(browser: Tabs, gateway: Simulator) -> AsyncIterator[Tabs]:
    """The browser, for the gateway of this test; at the end, nothing has gone wrong in it."""
    browser.url, browser.used = gateway.url, 0
    browser.wrong.clear()
    yield browser
    browser.pages[:] = [page for page in browser.pages if not page.is_closed()]
    for page in browser.pages:
        await page.goto("about:blank")
    assert browser.wrong == []


@in_this_module
async def device(tabs: Tabs) -> Page:
    """The page of the first device, ready for a sale."""
    page = await tabs.open("/")
    await expect(screen(page)).to_contain_text("Ready")
    assert page.url.endswith(f"/device/{SERIAL}")
    return page


def screen(page: Page) -> Locator:
    """What of the device's screen is visible."""
    return page.locator("#screen > .view").locator("visible=true")


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def tipped(amount: int = 4999) -> PaymentInstructionRequest:
    """A sale whose device asks for a tip."""
    breakdown = Breakdown(subtotal=amount, tip=Tip(type="percentage", mode="prompted"))
    return PaymentInstructionRequest(
        processing_terminal_id="1234001",
        order=Order(
            order_id="Table 12",
            description="Large Pepperoni Pizza",
            amount=amount,
            currency="USD",
            breakdown=breakdown,
        ),
    )


async def test_a_sale_is_paid_by_a_tap(device: Page, session: PayrocSession) -> None:
    """From `run_sale` to a tip, a tap, the issuer's approval and the payment."""
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(session.run_sale(SERIAL, tipped()))
        await expect(screen(device)).to_contain_text("$49.99")
        await expect(screen(device)).to_contain_text("Large Pepperoni Pizza · Table 12")
        await expect(button(device, "Tap")).to_be_disabled()
        await device.get_by_role("button", name="15 %").click()
        await expect(screen(device)).to_contain_text("$57.49")
        await device.get_by_role("radio", name="Mastercard").check()
        await button(device, "Tap").click()
        await expect(screen(device)).to_contain_text("Mastercard Credit 555555******4444, tapped")
        assert not running.done()
        await button(device, "Approve").click()
        await expect(screen(device)).to_contain_text("Approved")
    payment = running.result()
    assert payment.approved
    assert payment.transaction_result.authorized_amount == 5749
    assert payment.card.card_number == "555555******4444"
    assert payment.card.entry_method == "contactlessIcc"
    await expect(screen(device)).to_contain_text(payment.payment_id)
    await button(device, "Done").click()
    await expect(screen(device)).to_contain_text("Ready")


async def test_a_decline_and_a_part(device: Page, session: PayrocSession) -> None:
    """A decline is returned as one, and a part with what was authorized."""
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(session.run_sale(SERIAL, sale()))
        await button(device, "Insert").click()
        await button(device, "Decline").click()
        await expect(screen(device)).to_contain_text("Declined")
    assert running.result().outcome is Outcome.DECLINED
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(session.run_sale(SERIAL, sale()))
        await button(device, "Manual entry").click()
        await device.get_by_label("Partial amount").fill("20,5")
        await button(device, "Approve in part").click()
        await expect(screen(device)).to_contain_text("of $49.99")
    part = running.result()
    assert part.outcome is Outcome.PARTIALLY_APPROVED
    assert part.transaction_result.authorized_amount == 2050
    assert part.card.entry_method == "keyed"


async def test_the_till_cancels(device: Page, session: PayrocSession) -> None:
    """A cancellation from the till appears on the device, said to screen readers as well."""
    handle = await session.start_sale(SERIAL, sale())
    await expect(screen(device)).to_contain_text("$49.99")
    await handle.cancel()
    await expect(screen(device)).to_contain_text("Canceled")
    await expect(screen(device)).to_contain_text("by the till")
    await expect(device.get_by_role("status")).to_have_text("Canceled by the till. $49.99")
    await expect(button(device, "Tap")).to_be_disabled()
    # A page that is opened again shows it too, until somebody says that it was seen.
    await device.reload()
    await expect(screen(device)).to_contain_text("by the till")
    await button(device, "Done").click()
    await device.reload()
    await expect(screen(device)).to_contain_text("Ready")


async def test_the_cardholder_cancels(device: Page, session: PayrocSession) -> None:
    """The red key at the device ends the sale at the till."""
    handle = await session.start_sale(SERIAL, sale())
    await button(device, "Cancel").click()
    with pytest.raises(InstructionCanceledError):
        await handle.result()
    await expect(screen(device)).to_contain_text("at the device")


async def test_a_refund(device: Page, session: PayrocSession) -> None:
    """A refund shows as one, and cannot be approved in part."""
    request = RefundInstructionRequest(
        processing_terminal_id="1234001",
        order=RefundOrder(order_id="R1", description="Cold pizza", amount=1000, currency="USD"),
    )
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(session.run_refund(SERIAL, request))
        await expect(device.locator("#screen")).to_contain_text("Refund")
        await expect(screen(device)).to_contain_text("$10.00")
        await button(device, "Swipe").click()
        await expect(button(device, "Approve in part")).to_be_disabled()
        await button(device, "Approve").click()
    assert running.result().card.entry_method == "swiped"


async def test_a_signature_is_drawn(device: Page, session: PayrocSession) -> None:
    """What is drawn on the page is the picture that the till gets."""
    request = SignatureInstructionRequest(processing_terminal_id="1234001")
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(session.capture_signature(SERIAL, request))
        await expect(screen(device)).to_contain_text("Please sign")
        done = screen(device).get_by_role("button", name="Done")
        await expect(done).to_be_disabled()
        empty = await device.evaluate("document.querySelector('canvas').toDataURL()")
        paper = device.get_by_label("Field to sign in")
        box = await paper.bounding_box()
        assert box is not None
        await device.mouse.move(box["x"] + 20, box["y"] + 20)
        await device.mouse.down()
        await device.mouse.move(box["x"] + 200, box["y"] + 80, steps=5)
        await device.mouse.up()
        drawn = await device.evaluate("document.querySelector('canvas').toDataURL()")
        await done.click()
        await expect(screen(device)).to_contain_text("Signed")
    signature = running.result()
    assert signature.content_type == "image/png"
    assert f"data:image/png;base64,{signature.signature}" == drawn != empty
    assert signature.signature_id is not None
    again = await session.signatures.retrieve(signature.signature_id)
    assert again.image == signature.image
    await expect(screen(device).get_by_alt_text("The signature")).to_be_visible()


async def test_two_tabs(
    tabs: Tabs, device: Page, gateway: Simulator, session: PayrocSession
) -> None:
    """Two tabs are two devices: each shows its own sale, and pays that one."""
    other = await tabs.open("/")
    await expect(screen(other)).to_contain_text("Ready")
    second = other.url.rpartition("/")[2]
    assert second != SERIAL
    async with asyncio.TaskGroup() as tasks:
        first_sale = tasks.create_task(session.run_sale(SERIAL, sale(100)))
        second_sale = tasks.create_task(session.run_sale(second, sale(200)))
        await expect(screen(device)).to_contain_text("$1.00")
        await expect(screen(other)).to_contain_text("$2.00")
        await button(other, "Tap").click()
        await button(other, "Approve").click()
        assert (await second_sale).order.amount == 200
        assert not first_sale.done()
        await expect(screen(device)).to_contain_text("$1.00")
        await device.bring_to_front()
        await button(device, "Tap").click()
        await button(device, "Decline").click()
    assert first_sale.result().outcome is Outcome.DECLINED


async def test_a_tab_closed_in_the_midst_of_a_sale(
    tabs: Tabs, device: Page, gateway: Simulator, session: PayrocSession
) -> None:
    """The sale stays in progress, the device takes no other, and the same address goes on."""
    address = f"/device/{SERIAL}"
    handle = await session.start_sale(SERIAL, sale())
    await button(device, "Insert").click()
    await expect(screen(device)).to_contain_text("Authorizing")
    await device.close()
    hand = gateway.device(SERIAL).hand
    assert hand is not None
    await until(lambda: not hand.pages)
    assert [one.id for one in gateway.in_progress] == [handle.instruction_id]
    async with PayrocSession(gateway.api_key, environment=gateway.environment) as another:
        with pytest.raises(ConflictError):
            await another.run_sale(SERIAL, sale())
    page = await tabs.open(address)
    await expect(screen(page)).to_contain_text("inserted")
    await button(page, "Approve").click()
    assert (await handle.result()).approved


async def test_offline_and_back(device: Page, gateway: Simulator, session: PayrocSession) -> None:
    """A device that was offline while the till canceled learns of it when it comes back."""
    handle = await session.start_sale(SERIAL, sale())
    await button(device, "Go offline").click()
    await expect(screen(device)).to_contain_text("Offline")
    await expect(button(device, "Cancel")).to_be_disabled()
    await handle.cancel()
    with pytest.raises(ConflictError):
        await session.run_sale(SERIAL, sale())
    await button(device, "Go online").click()
    await expect(screen(device)).to_contain_text("by the till")


async def test_the_keyboard_alone(device: Page, session: PayrocSession) -> None:
    """A tip, a card, an answer, a signature and the way back to ready, all without a mouse."""
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(session.run_sale(SERIAL, tipped()))
        await expect(screen(device)).to_contain_text("Add a tip?")
        await device.keyboard.press("n")
        # The focus goes where the device goes: Enter taps, Enter approves, Enter is done.
        for name in ("Tap", "Approve", "Done"):
            await expect(button(device, name)).to_be_focused()
            await device.keyboard.press("Enter")
    assert running.result().transaction_result.authorized_amount == 4999
    await expect(screen(device)).to_contain_text("Ready")
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(session.run_sale(SERIAL, sale()))
        await expect(screen(device)).to_contain_text("$49.99")
        await device.keyboard.press("s")
        await expect(screen(device)).to_contain_text("swiped")
        await device.keyboard.press("d")
    assert running.result().outcome is Outcome.DECLINED
    request = SignatureInstructionRequest(processing_terminal_id="1234001")
    async with asyncio.TaskGroup() as tasks:
        signing = tasks.create_task(session.capture_signature(SERIAL, request))
        await expect(device.get_by_label("or type a name")).to_be_focused()
        await device.keyboard.type("Sarah Hopper")
        await device.keyboard.press("Enter")
    assert len(signing.result().image) > 1000
    handle = await session.start_sale(SERIAL, sale())
    await expect(screen(device)).to_contain_text("$49.99")
    await device.keyboard.press("Escape")
    with pytest.raises(InstructionCanceledError):
        await handle.result()


async def test_a_key_that_is_held_does_one_thing(device: Page, session: PayrocSession) -> None:
    """Enter held down taps the card, and does not approve as well."""
    handle = await session.start_sale(SERIAL, sale())
    await expect(button(device, "Tap")).to_be_focused()
    await device.keyboard.down("Enter")
    await expect(button(device, "Approve")).to_be_focused()
    for _ in range(3):
        await device.keyboard.down("Enter")
    await device.keyboard.up("Enter")
    # What was sent before has been done when this shows.
    await device.keyboard.press("o")
    await expect(screen(device)).to_contain_text("Offline")
    await device.keyboard.press("o")
    await expect(screen(device)).to_contain_text("Authorizing")
    assert (await handle.cancel()).status == "canceled"


async def test_a_tap_alone(device: Page, session: PayrocSession) -> None:
    """If wanted, every card is approved at once; and single keys can be switched off."""
    await device.get_by_label("Approve every card at once").check()
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(session.run_sale(SERIAL, sale()))
        await button(device, "Tap").click()
    assert running.result().approved
    await device.get_by_label("Keyboard shortcuts").uncheck()
    handle = await session.start_sale(SERIAL, sale())
    await expect(button(device, "Tap")).to_be_enabled()
    for key in "tsihx":
        await device.keyboard.press(key)
    await device.reload()
    await expect(screen(device)).to_contain_text("Tap, insert, swipe")
    await expect(device.get_by_label("Keyboard shortcuts")).not_to_be_checked()
    await expect(device.get_by_label("Approve every card at once")).to_be_checked()
    await handle.cancel()


async def test_sums(device: Page) -> None:
    """A sum is shown and read with the digits of its currency, whatever the browser knows of it."""
    shown = await device.evaluate(
        """async () => {
          const { money, typed } = await import("/static/link.js");
          const iqd = { currency: "IQD", digits: 3 };
          const jpy = { currency: "JPY", digits: 0 };
          return [
            money(1500, iqd), money(1500, jpy), typed("1.5", iqd), typed("1,5", jpy),
            typed("12", jpy), typed("0.29", { digits: 2 }), typed("-1", jpy), typed("", jpy),
            typed("1.2345", iqd),
          ];
        }"""
    )
    assert shown == ["IQD\xa01.500", "¥1,500", 1500, None, 12, 29, None, None, None]


async def test_the_gateways_page(tabs: Tabs, gateway: Simulator, session: PayrocSession) -> None:
    """Devices, instructions and requests appear as they come, with what crossed the wire."""
    page = await tabs.open("/gateway")
    await expect(page.get_by_text("None yet. Open one")).to_be_visible()
    gateway.device("7").declines()
    await expect(page.get_by_role("row", name="7")).to_contain_text("by script")
    payment = await session.run_sale("7", sale())
    row = page.get_by_role("row").filter(has_text="Sale $49.99")
    await expect(row).to_contain_text("declined")
    await expect(page.locator("#requests > li")).to_have_count(4)
    await row.get_by_role("button").click()
    steps = page.locator("#requests > li")
    await expect(steps).to_have_count(3)
    await expect(steps.nth(0)).to_contain_text('"orderId": "OrderRef6543"')
    await expect(steps.nth(1)).to_contain_text('"status": "completed"')
    await expect(steps.nth(2)).to_contain_text(f'"paymentId": "{payment.payment_id}"')
    assert gateway.api_key not in await page.content()
    await button(page, "Show all").click()
    await expect(steps).to_have_count(4)


async def test_a_fault_from_the_page(
    tabs: Tabs, gateway: Simulator, session: PayrocSession
) -> None:
    """A fault that is injected on the page strikes once, and the sale goes on nevertheless."""
    page = await tabs.open("/gateway")
    await page.get_by_label("Request", exact=True).select_option("submit")
    await page.get_by_label("Fault", exact=True).select_option("drop_after")
    await expect(page.locator("#fault")).to_contain_text("then resets the connection")
    await page.get_by_label("Fault", exact=True).select_option("status")
    await page.get_by_label("HTTP status").fill("99")
    await button(page, "Inject").click()
    await expect(page.get_by_role("alert").filter(has_text="503")).to_be_visible()
    await page.get_by_label("HTTP status").fill("502")
    await button(page, "Inject").click()
    await expect(page.locator("#faults")).to_contain_text("status on submit")
    assert (await session.run_sale(SERIAL, sale())).approved
    await expect(page.locator("#faults > li")).to_have_count(0)
    await expect(page.locator("#requests")).to_contain_text("fault: status")
    assert [one.status for one in gateway.requests_of("submit")] == [502, 202]
    await page.get_by_label("every time").check()
    await button(page, "Inject").click()
    await page.get_by_role("button", name="Remove status on submit").click()
    await expect(page.locator("#faults > li")).to_have_count(0)


async def test_the_simulator_goes_and_comes_back(
    device: Page, gateway: Simulator, tabs: Tabs
) -> None:
    """A page says that the simulator is gone, and is a device again when it is back."""
    await gateway.stop()
    await expect(device.get_by_text("No connection to the simulator")).to_be_visible()
    await expect(screen(device)).to_contain_text("Offline")
    await gateway.start()
    await expect(screen(device)).to_contain_text("Ready")
    # On a slow machine the page tries again while it is gone: Chromium writes each of these tries.
    tabs.wrong[:] = [one for one in tabs.wrong if "ERR_CONNECTION_REFUSED" not in one]
