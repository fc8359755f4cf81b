"""``python -m tests.tools.screenshots``: takes the pictures of the pages that docs show."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from contextlib import suppress
from typing import Literal

import aiohttp
from playwright.async_api import Browser, Page, ViewportSize, async_playwright, expect

from payroc_async import PayrocSession
from payroc_async.simulator import Simulator, rate_limited
from tests.conftest import SERIAL, sale, variables
from tests.harness.programs import ROOT
from tests.simulator.test_virtual_device import CHROMIUM, button, screen, tipped

Scheme = Literal["dark", "light"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")


async def main() -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM)
        for scheme in SCHEMES:
            await take(browser, scheme)
            with tempfile.TemporaryDirectory() as folder:
                await take_pos(browser, scheme, folder)
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


async def take_pos(browser: Browser, scheme: Scheme, folder: str) -> None:
    """The page of `examples/pos` when a sale is paid."""
    url = "http://127.0.0.1:8000"
    async with Simulator() as gateway:
        backend = await asyncio.create_subprocess_exec(
            *(sys.executable, ROOT / "examples" / "pos" / "fastapi_backend.py"),
            env={**os.environ, **variables(gateway), "POS_DATA": folder, "PORT": "8000"},
        )
        async with aiohttp.ClientSession() as http:
            while True:
                with suppress(aiohttp.ClientConnectionError):
                    (await http.get(url)).release()
                    break
                assert backend.returncode is None
                await asyncio.sleep(0.05)
        page = await opened(browser, scheme, url, ViewportSize(width=960, height=780))
        await page.get_by_label("Price in USD").fill("49.99")
        await button(page, "Charge").click()
        await expect(page.get_by_label("Receipt")).to_be_visible()
        await page.get_by_role("link").focus()
        await page.screenshot(path=ROOT / "docs" / f"pos-{scheme}.png")
        await page.context.close()
        backend.terminate()
        await backend.wait()


if __name__ == "__main__":
    asyncio.run(main())
