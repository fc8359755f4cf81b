"""The whole tour in a real Chromium: the till in one tab, the payment device in another."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import AsyncIterator

import pytest
from conftest import DEVICE
from playwright.async_api import BrowserContext, Locator, Page, async_playwright, expect
from server import free_port, running

from payroc_async.testing import PayrocGateway

CHROMIUM = shutil.which("chromium") or ""
PATIENCE = 15_000
"""Milliseconds."""

pytestmark = pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium (package chromium)")


@pytest.fixture
async def browser() -> AsyncIterator[BrowserContext]:
    """A browser that forgets everything."""
    expect.set_options(timeout=PATIENCE)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM)
        context = await browser.new_context(locale="en-US")
        context.set_default_timeout(PATIENCE)
        yield context
        await browser.close()


def button(page: Page, name: str) -> Locator:
    """The button with this name."""
    return page.get_by_role("button", name=name, exact=True)


async def test_the_tour(
    browser: BrowserContext, environ: dict[str, str], payroc_gateway: PayrocGateway
) -> None:
    """Two clicks, a decline, a reload, a second tab, a restart; one payment, and its receipt."""
    wrong: list[str] = []
    browser.on("weberror", lambda error: wrong.append(str(error.error)))
    device, till = await browser.new_page(), await browser.new_page()
    await device.goto(f"{payroc_gateway.url}/device/{DEVICE}")
    await expect(device.locator("#screen")).to_contain_text("Ready")
    port = free_port()
    async with running("fastapi_backend.py", environ, port) as server:
        await till.goto(server.url)
        await till.get_by_label("Price in USD").fill("49.99")
        await till.get_by_label("Device's serial number").fill(DEVICE)
        await button(till, "Charge").dblclick()
        await expect(till.get_by_role("status")).to_contain_text("The customer's turn")
        await button(device, "Tap").click()
        await button(device, "Decline").click()
        await expect(till.get_by_role("status")).to_contain_text("Not paid: declined")
        await button(device, "Done").click()

        await button(till, "Charge 49.99 USD").click()
        await expect(device.locator("#screen")).to_contain_text("$49.99")
        await till.reload()
        await expect(till.get_by_role("status")).to_contain_text("The customer's turn")
        await expect(button(till, "Charging")).to_be_disabled()
        second = await browser.new_page()
        await second.goto(till.url)
        await expect(second.locator("#steps")).to_contain_text("The device asks for a card")
        await expect(button(second, "Charging")).to_be_disabled()
        await server.end(signal.SIGTERM)
        await expect(till.get_by_role("alert")).to_contain_text("No connection to the till")
    async with running("fastapi_backend.py", environ, port):
        await expect(till.get_by_role("status")).to_contain_text("The customer's turn")
        await device.bring_to_front()
        await button(device, "Tap").click()
        await button(device, "Approve").click()
        for page in (till, second):
            await expect(page.get_by_role("status")).to_contain_text("Paid: 49.99 USD")
            receipt = page.get_by_label("Receipt")
            await expect(receipt).to_contain_text(re.compile(r"TOTAL +49\.99 USD"))
            await expect(receipt).to_contain_text("APPROVED")
            await expect(page.get_by_role("alert").locator("visible=true")).to_have_count(0)
            await expect(button(page, "Charged")).to_be_disabled()
    assert payroc_gateway.amounts_on(DEVICE) == [4999, 4999]  # the first of which was declined
    assert len(set(payroc_gateway.keys_on(DEVICE))) == 2
    assert [
        one["transactionResult"]["responseCode"] for one in payroc_gateway.payments.values()
    ] == ["D", "A"]
    assert wrong == []


async def test_a_cancellation(
    browser: BrowserContext, environ: dict[str, str], payroc_gateway: PayrocGateway
) -> None:
    """The button cancels the sale on the device; what the till refuses is said."""
    device, till = await browser.new_page(), await browser.new_page()
    await device.goto(f"{payroc_gateway.url}/device/{DEVICE}")
    await expect(device.locator("#screen")).to_contain_text("Ready")
    async with running("aiohttp_backend.py", environ, free_port()) as server:
        await till.goto(server.url)
        await till.get_by_label("Price in USD").fill("a lot")
        await button(till, "Charge").click()
        await expect(till.get_by_role("alert")).to_contain_text("Not done: amount: must be")
        await till.get_by_label("Price in USD").fill("7")
        await button(till, "Charge").click()
        await expect(device.locator("#screen")).to_contain_text("$7.00")
        await button(till, "Cancel the sale").click()
        await expect(till.get_by_role("status")).to_contain_text("Not paid: no payment")
        await expect(device.locator("#screen")).to_contain_text("by the till")
        await expect(button(till, "Charge 7.00 USD")).to_be_enabled()
