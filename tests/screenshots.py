"""``python -m tests.screenshots``: takes the pictures of the simulator's pages that docs show."""

from __future__ import annotations

import asyncio
from typing import Literal

from playwright.async_api import Browser, Page, ViewportSize, async_playwright, expect

from payroc_async import PayrocSession
from payroc_async.simulator import Simulator, rate_limited

from .conftest import SERIAL, sale
from .programs import ROOT
from .test_virtual_device import CHROMIUM, button, screen, tipped

Scheme = Literal["dark", "light"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")


async def main() -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM)
        for scheme in SCHEMES:
            await take(browser, scheme)
        await browser.close()


async def opened(browser: Browser, scheme: Scheme, url: str, size: ViewportSize) -> Page:
    context = await browser.new_context(color_scheme=scheme, locale="en-US", viewport=size)
    page = await context.new_page()
    await page.goto(url)
    return page


async def take(browser: Browser, scheme: Scheme) -> None:
    """One morning at the till: a scripted device, a fault, and a sale that waits for its card."""
    async with (
        Simulator(port=8080) as gateway,
        PayrocSession(gateway.api_key, environment=gateway.environment) as session,
    ):
        device = await opened(browser, scheme, gateway.url, ViewportSize(width=960, height=820))
        await expect(screen(device)).to_contain_text("Ready")
        page = await opened(
            browser, scheme, gateway.url + "/gateway", ViewportSize(width=1160, height=760)
        )
        gateway.device("1850010900").approves().declines()
        await session.run_sale("1850010900", sale(1250, "Table 9"))
        await session.run_sale("1850010900", sale(30900, "Table 4"))
        gateway.faults.add("submit", rate_limited("0.1"))
        handle = await session.start_sale(SERIAL, tipped())
        await device.get_by_role("button", name="15 %").click()
        await expect(button(device, "Tap")).to_be_focused()
        await device.screenshot(path=ROOT / "docs" / f"virtual-device-{scheme}.png")
        gateway.faults.add("payment", rate_limited("1"), times=2)
        row = page.get_by_role("row").filter(has_text="57.49")
        await row.get_by_role("button").click()
        await page.screenshot(path=ROOT / "docs" / f"gateway-page-{scheme}.png")
        await handle.cancel()
        # Left open, they would be the first devices of the next gateway at this address.
        for context in browser.contexts:
            await context.close()


if __name__ == "__main__":
    asyncio.run(main())
