"""The keyboard and the layout of the device page, in a real Chromium."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Page, ViewportSize, expect

from payroc_async import PayrocSession, SignatureInstructionRequest
from payroc_async.simulator import Simulator
from payroc_async.simulator import page_routes as pages
from tests.conftest import SERIAL, sale

from . import test_virtual_device as virtual
from .test_simulator import until
from .test_virtual_device import Tabs, button, in_this_module, screen, tipped

pytestmark = virtual.pytestmark
browser, gateway, session = virtual.browser, virtual.gateway, virtual.session
tabs, device = virtual.tabs, virtual.device

CONTROLS = "a, button, input"


async def controls(page: Page) -> list[str]:
    """A selector for each control that can have the focus now."""
    return await page.evaluate(  # type: ignore[no-any-return]
        """(selector) => [...document.querySelectorAll(selector)].flatMap((one, index) => {
          if (one.disabled || !one.checkVisibility()) return [];
          one.dataset.origin = String(index);
          return [`[data-origin="${index}"]`];
        })""",
        CONTROLS,
    )


async def press_enter_at(page: Page, origin: str) -> str:
    """Focus this control, press Enter, and return what the control is."""
    control = page.locator(origin)
    name: str = await control.evaluate(
        "(one) => one.dataset.entry ?? (one.id || one.dataset.key || one.value || one.textContent)"
    )
    await control.focus()
    await page.keyboard.press("Enter")
    return name


async def test_enter_reads_a_card_from_every_control(
    tabs: Tabs, device: Page, gateway: Simulator, session: PayrocSession
) -> None:
    """While a card is awaited, Enter reads one. It never takes the device offline."""
    seen = set[str]()
    handle = await session.start_sale(SERIAL, sale())
    await expect(screen(device)).to_contain_text("Tap, insert")
    for origin in await controls(device):
        if handle.instruction_id not in {one.id for one in gateway.in_progress}:
            handle = await session.start_sale(SERIAL, sale())
        await expect(screen(device)).to_contain_text("Tap, insert")
        name = await press_enter_at(device, origin)
        seen.add(name)
        if name == "cancel":
            await expect(screen(device)).to_contain_text("at the device")
            await handle.cancel()
            continue
        done = {"insert": "inserted", "swipe": "swiped", "keyed": "entered manually"}
        await expect(screen(device)).to_contain_text(done.get(name, "tapped"))
        await handle.cancel()
        await expect(screen(device)).to_contain_text("Canceled")
    assert {"online", "keys", "at-once", "visa", "amex", "insert", "cancel"} <= seen
    assert len(seen) >= 13  # both links, too
    assert_undisturbed(tabs, device, gateway)


async def test_enter_answers_from_every_control(
    tabs: Tabs, device: Page, gateway: Simulator, session: PayrocSession
) -> None:
    """While the issuer is awaited, Enter approves; at another answer, Enter gives that answer."""
    seen = dict[str, str]()
    origins: list[str] = []
    while not seen or len(seen) < len(origins):
        handle = await session.start_sale(SERIAL, sale())
        await button(device, "Tap").click()
        await expect(screen(device)).to_contain_text("Authorizing")
        origins = origins or await controls(device)
        name = await press_enter_at(device, origins[len(seen)])
        await expect(button(device, "Done")).to_be_visible()
        seen[name] = await screen(device).locator("#result-title").inner_text()
        await handle.cancel()
    odd = {name: title for name, title in seen.items() if title != "Approved"}
    assert odd == {
        "decline": "Declined",
        "part-amount": "Partially approved",
        "approve-part": "Partially approved",
        "cancel": "Canceled",
    }
    assert {"online", "keys", "at-once", "visa", "discover", "approve"} <= seen.keys()
    assert_undisturbed(tabs, device, gateway)


async def test_enter_passes_the_tip_from_every_control(
    tabs: Tabs, device: Page, gateway: Simulator, session: PayrocSession
) -> None:
    """While a tip is awaited, Enter means no tip, unless a tip has the focus."""
    seen = dict[str, int | None]()
    origins: list[str] = []
    while not seen or len(seen) < len(origins):
        handle = await session.start_sale(SERIAL, tipped(1000))
        await expect(screen(device)).to_contain_text("Add a tip?")
        # The buttons with tips are made anew for each sale.
        origins = await controls(device)
        name = await press_enter_at(device, origins[len(seen)])
        await expect(screen(device)).not_to_contain_text("Add a tip?")
        running = next(iter(gateway.in_progress), None)
        seen[name] = running.by_hand.tip if running and running.by_hand else None
        await handle.cancel()
        await expect(screen(device)).to_contain_text("Canceled")
    odd = {name: tip for name, tip in seen.items() if tip != 0}
    assert odd == {"1": 100, "2": 150, "3": 200, "cancel": None}
    assert {"online", "keys", "own-tip-amount", "visa", "no-tip"} <= seen.keys()
    assert_undisturbed(tabs, device, gateway)


async def test_enter_signs_continues_and_comes_back_from_every_control(
    tabs: Tabs, device: Page, gateway: Simulator, session: PayrocSession
) -> None:
    """A signature, its result, and a device that is offline: Enter does what the screen asks."""
    request = SignatureInstructionRequest(processing_terminal_id="1234001")
    handle = await session.start_signature(SERIAL, request)
    await expect(screen(device)).to_contain_text("Please sign")
    await device.locator("#online").focus()
    await device.keyboard.press("Enter")
    # Nothing has been signed yet: the way to sign by keyboard has the focus.
    await expect(device.locator("#sign-name")).to_be_focused()
    await device.keyboard.type("Sarah Hopper")
    await device.locator("#online").focus()
    await device.keyboard.press("Enter")
    await handle.result()
    await expect(screen(device)).to_contain_text("Signed")
    for origin in await controls(device):
        await press_enter_at(device, origin)
        await expect(screen(device)).to_contain_text("Ready")
        await device.evaluate(
            "localStorage.removeItem(`payroc-done-${location.pathname.slice(8)}`)"
        )
        # Enter in a view that asks for nothing does nothing.
        await device.locator("#online").focus()
        await device.keyboard.press("Enter")
        await device.reload()
        await expect(screen(device)).to_contain_text("Signed")
        await controls(device)
    await button(device, "Done").click()
    origins = await controls(device)
    for origin in origins:
        await device.keyboard.press("o")
        await expect(screen(device)).to_contain_text("Offline")
        await press_enter_at(device, origin)
        await expect(screen(device)).to_contain_text("Ready")
    assert_undisturbed(tabs, device, gateway)


def assert_undisturbed(tabs: Tabs, device: Page, gateway: Simulator) -> None:
    """The device is online, its page is still open, and no key has opened another."""
    hand = gateway.device(SERIAL).hand
    assert hand is not None
    assert hand.switched_on
    assert hand.pages == 1
    assert device.url.endswith(f"/device/{SERIAL}")
    assert all(page.is_closed() or page in tabs.pages for page in tabs.context.pages)


@pytest.fixture
def slow_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page learns of a change up to a second later, as over a slow network."""
    monkeypatch.setattr(pages, "REST", 1.0)


@pytest.mark.usefixtures("slow_page")
@pytest.mark.parametrize(
    "keys", [["t", "a"], ["Enter", "Enter"], [" ", " "], ["T", "A", "Enter"], ["s", "Enter", " "]]
)
async def test_a_fast_second_key_is_not_lost(
    keys: list[str], device: Page, session: PayrocSession
) -> None:
    """Keys that are pressed before the page shows the next view count for that view."""
    handle = await session.start_sale(SERIAL, sale())
    await expect(button(device, "Tap")).to_be_focused()
    for key in keys:
        await device.keyboard.press(key)
    assert (await handle.result()).approved
    await expect(screen(device)).to_contain_text("Ready" if len(keys) == 3 else "Approved")
    await expect(device.locator("#notice")).to_be_empty()


@pytest.mark.usefixtures("slow_page")
async def test_a_fast_key_after_a_field_is_not_lost(device: Page, session: PayrocSession) -> None:
    """After Enter in a field, a letter is a key of the next view and not text."""
    handle = await session.start_sale(SERIAL, tipped(1000))
    await device.get_by_label("Another tip").fill("1.25")
    for key in ("Enter", "i", "a"):
        await device.keyboard.press(key)
    payment = await handle.result()
    assert payment.transaction_result.authorized_amount == 1125


@pytest.mark.usefixtures("slow_page")
async def test_two_fast_keys_go_offline_and_come_back(device: Page, gateway: Simulator) -> None:
    """The second O comes back, although the page had not shown yet that the device was offline."""
    hand = gateway.device(SERIAL).hand
    assert hand is not None
    await device.keyboard.press("o")
    await device.keyboard.press("o")
    await until(lambda: not hand.switched_on)
    await until(lambda: hand.switched_on)
    await expect(screen(device)).to_contain_text("Ready")


@pytest.mark.usefixtures("slow_page")
async def test_a_fast_key_never_pays_the_next_sale(
    device: Page, gateway: Simulator, session: PayrocSession
) -> None:
    """A key that was pressed for one sale is dropped when the next sale is there instead."""
    await session.start_sale(SERIAL, sale(100))
    await expect(screen(device)).to_contain_text("$1.00")
    await device.keyboard.press("x")
    await device.keyboard.press("t")
    await until(lambda: not gateway.in_progress)
    handle = await session.start_sale(SERIAL, sale(200))
    await expect(screen(device)).to_contain_text("$2.00")
    # What the page sent before has been done when this shows.
    await device.keyboard.press("o")
    await expect(screen(device)).to_contain_text("Offline")
    (running,) = gateway.in_progress
    assert running.by_hand is not None
    assert running.by_hand.entry is None
    await handle.cancel()


async def test_single_keys_switched_off_leave_enter_to_the_browser(
    device: Page, gateway: Simulator, session: PayrocSession
) -> None:
    """Without keyboard shortcuts, Enter operates the control that has the focus."""
    await device.get_by_label("Keyboard shortcuts").uncheck()
    handle = await session.start_sale(SERIAL, sale())
    await button(device, "Swipe").focus()
    await device.keyboard.press("Enter")
    await expect(screen(device)).to_contain_text("swiped")
    await handle.cancel()
    await device.get_by_label("Keyboard shortcuts").check()


@in_this_module
async def phone(browser: Tabs, gateway: Simulator) -> AsyncIterator[Page]:
    """The device page on a phone."""
    assert browser.context.browser is not None
    size = ViewportSize(width=390, height=844)
    async with await browser.context.browser.new_context(
        viewport=size, has_touch=True, is_mobile=True, locale="en-US"
    ) as context:
        page = await context.new_page()
        await page.goto(f"{gateway.url}/device/{SERIAL}")
        await expect(screen(page)).to_contain_text("Ready")
        yield page


async def test_hints_about_keys_are_hidden_on_touch(
    device: Page, phone: Page, session: PayrocSession
) -> None:
    """A phone shows no key and no word about keys; a desktop does."""
    handle = await session.start_sale(SERIAL, tipped())
    for page, shown in ((device, True), (phone, False)):
        await expect(screen(page)).to_contain_text("Add a tip?")
        texts = await page.locator("main").inner_text()
        assert ("Esc" in texts) is shown
        assert ("Keyboard shortcuts" in texts) is shown
        hints = page.locator("kbd, .keys").locator("visible=true")
        assert (await hints.count() > 10) is shown
        assert shown or await hints.count() == 0
    await handle.cancel()


@pytest.mark.parametrize(
    "size", [(390, 844), (360, 640), (320, 568), (844, 390), (667, 375)], ids=str
)
async def test_the_device_stays_in_sight_on_a_phone(
    size: tuple[int, int], phone: Page, session: PayrocSession
) -> None:
    """At the end of the page, the amount and what the device says are still in sight."""
    await phone.set_viewport_size(ViewportSize(width=size[0], height=size[1]))
    handle = await session.start_sale(SERIAL, sale())
    for name, text in (("Tap", "Tap, insert"), ("Approve", "Authorizing")):
        await expect(screen(phone)).to_contain_text(text)
        for control in (name, "Cancel", "Go offline"):
            await button(phone, control).scroll_into_view_if_needed()
            await expect(button(phone, control)).to_be_in_viewport(ratio=0.9)
            await expect(screen(phone).locator(".amount")).to_be_in_viewport(ratio=1)
            await expect(screen(phone).get_by_text(text)).to_be_in_viewport(ratio=1)
        await phone.evaluate("scrollTo(0, document.body.scrollHeight)")
        await expect(screen(phone).locator(".amount")).to_be_in_viewport(ratio=1)
        wide = await phone.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0
        await button(phone, name).tap()
    assert (await handle.result()).approved
