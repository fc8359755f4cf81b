"""The overview of the simulated gateway, in a real Chromium."""

from __future__ import annotations

import asyncio
import json
import os
import shutil

import pytest
from playwright.async_api import Page, expect

from payroc_async import PayrocSession
from payroc_async.simulator import Simulator, delay
from tests.conftest import SERIAL, sale

from . import test_virtual_device as virtual
from .test_virtual_device import Tabs, button, screen

pytestmark = virtual.pytestmark
browser, gateway, session, tabs = (
    virtual.browser,
    virtual.gateway,
    virtual.session,
    virtual.tabs,
)

CURL = shutil.which("curl") or ""


async def test_search(tabs: Tabs, gateway: Simulator, session: PayrocSession) -> None:
    """Every word must be in the request or its answer; what comes later is filtered, too."""
    page = await tabs.open("/gateway")
    gateway.device("7").declines()
    await session.run_sale("7", sale(order_id="Table 12"))
    rows = page.locator("#requests > li")
    await expect(rows).to_have_count(4)
    search = page.get_by_label("Search requests")
    await search.fill("post TABLE")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("/v1/devices/7/payment-instructions")
    await search.fill("responsecode")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("/v1/payments/")
    await session.run_sale("7", sale(order_id="Table 13"))
    await expect(rows).to_have_count(2)
    await search.fill("no such thing")
    await expect(rows).to_have_count(0)
    await expect(page.get_by_text("No request matches.")).to_be_visible()
    await expect(page.get_by_text("None yet. Point your program")).to_be_hidden()
    await search.fill("")
    await expect(rows).to_have_count(7)


async def test_clear(tabs: Tabs, gateway: Simulator, session: PayrocSession) -> None:
    """What has ended goes and stays away; what is in flight stays, and so does what comes."""
    page = await tabs.open("/gateway")
    await session.run_sale(SERIAL, sale(100))
    gateway.device("7").never_finishes()
    hang = gateway.faults.add("status", delay(60), times=None)
    handle = await session.start_sale("7", sale(200))
    rows = page.locator("#requests > li")
    await expect(rows.filter(has_text="open")).to_have_count(1)
    await page.get_by_role("row").filter(has_text="Sale $1.00").get_by_role("button").click()
    await button(page, "Clear instructions").click()
    instructions = page.locator("#instructions > tr")
    await expect(instructions).to_have_count(1)
    await expect(instructions).to_contain_text("Sale $2.00")
    await expect(page.locator("#selected")).to_be_hidden()
    await button(page, "Clear requests").click()
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("open")
    # The page gets everything again after a break of its connection: not what was cleared.
    shown = page.locator("#no-link")
    await gateway.stop()
    await expect(shown).to_be_visible()
    await gateway.start()
    await expect(shown).to_be_hidden()
    await expect(instructions).to_contain_text("Sale $2.00")
    await expect(instructions).to_have_count(1)
    await expect(rows.filter(has_text="/v1/payments/")).to_have_count(0)
    hang.remove()
    await session.run_sale(SERIAL, sale(300))
    await expect(rows.filter(has_text="/v1/payments/")).to_have_count(1)
    await handle.cancel()


async def copied(page: Page, at: str) -> str:
    """What the button puts on the clipboard."""
    row = page.locator("#requests > li").filter(has_text=at).first
    await row.locator("summary").click()
    await button(page, "Copy as curl").click()
    await expect(button(page, "Copied")).to_be_visible()
    await row.locator("summary").click()
    text: str = await page.evaluate("navigator.clipboard.readText()")
    return text


@pytest.mark.skipif(not CURL, reason="there is no curl")
@pytest.mark.parametrize("modern", [True, False], ids=["clipboard", "execCommand"])
async def test_copy_as_curl(
    modern: bool, tabs: Tabs, gateway: Simulator, session: PayrocSession
) -> None:
    """The copied commands run in a shell, and get what the program got. Secrets are variables."""
    await tabs.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = await tabs.open("/gateway")
    if not modern:
        await page.evaluate("void (navigator.clipboard.writeText = () => Promise.reject())")
    order = 'Joe\'s $HOME `id` \\ "x"'
    await session.run_sale(SERIAL, sale(order_id=order))
    authorize = await copied(page, "/authorize")
    submit = await copied(page, "/v1/devices/")
    assert gateway.api_key not in authorize
    key = {"PAYROC_API_KEY": gateway.api_key}
    token = json.loads(await shell(authorize, key))["access_token"]
    before = len(gateway.instructions)
    answer = json.loads(await shell(submit, {"PAYROC_TOKEN": token}))
    # The same idempotency key: the gateway gives the answer that it gave the program.
    assert len(gateway.instructions) == before == 1
    assert answer["paymentInstructionId"] == next(iter(gateway.instructions))
    first, again = gateway.requests_of("submit")
    assert first.body == again.body
    assert json.loads(again.body)["order"]["orderId"] == order
    gateway.violations.clear()  # of curl, which may not say what a session has to


async def shell(command: str, variables: dict[str, str]) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *("/bin/sh", "-c", command.replace("curl ", f"{CURL} -sS --noproxy '*' ", 1)),
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    return out


async def test_a_body_that_is_cut_short_is_not_copied(tabs: Tabs, session: PayrocSession) -> None:
    """A curl command with a part of the body would send something else."""
    page = await tabs.open("/gateway")
    request = sale()
    await session.run_sale(SERIAL, request)
    copy = button(page, "Copy as curl")
    await (
        page.locator("#requests > li")
        .filter(has_text="payment-instructions")
        .first.locator("summary")
        .click()
    )
    await expect(copy).to_be_enabled()
    disabled = await page.evaluate(
        """async () => {
          const { wire } = await import("/static/wire.js");
          const request = { method: "POST", path: "/", query: "", headers: {}, body: "{",
            bodyCut: true, status: 202, took: 1, answer: "" };
          return wire(request).querySelector(".copy").disabled;
        }"""
    )
    assert disabled


async def test_faults_are_above_the_fold_and_collapsible(tabs: Tabs, gateway: Simulator) -> None:
    """The form is in sight at once; folded, it stays folded, and shows how many are active."""
    page = await tabs.open("/gateway")
    await expect(button(page, "Inject")).to_be_in_viewport(ratio=1)
    for number in range(30):
        gateway.device(str(number))
    await page.reload()
    await expect(page.locator("#devices > tr, #closed-devices > tr")).to_have_count(30)
    await expect(button(page, "Inject")).to_be_in_viewport(ratio=1)
    heading = page.get_by_role("heading", name="Faults")
    await heading.click()
    await expect(button(page, "Inject")).to_be_hidden()
    gateway.faults.add("submit", delay(0.01), times=2, skip=1)
    await expect(page.locator("#faults-count")).to_have_text("1 active")
    await page.reload()
    await expect(page.locator("#faults-count")).to_have_text("1 active")
    await expect(button(page, "Inject")).to_be_hidden()
    await heading.click()
    await expect(page.locator("#faults")).to_contain_text("2 to go, skips the first 1")
    await page.reload()
    await expect(button(page, "Inject")).to_be_visible()


async def test_skip_first(tabs: Tabs, gateway: Simulator, session: PayrocSession) -> None:
    """The form's names are the field's words, and the fault skips as many requests as asked."""
    page = await tabs.open("/gateway")
    await page.get_by_label("Request", exact=True).select_option("payment")
    await page.get_by_label("Fault", exact=True).select_option("drop_before")
    await page.get_by_label("Skip first N").fill("1")
    await button(page, "Inject").click()
    await expect(page.locator("#faults")).to_contain_text("skips the first 1")
    for _ in range(2):
        await session.run_sale(SERIAL, sale())
    assert [one.fault for one in gateway.requests_of("payment")] == [None, "drop_before", None]


async def test_closed_devices_are_quiet(
    tabs: Tabs, gateway: Simulator, session: PayrocSession
) -> None:
    """A closed page is no alarm and stands last, unless something waits on its device."""
    page = await tabs.open("/gateway")
    other = await tabs.open("/device/1")
    await expect(screen(other)).to_contain_text("Ready")
    await page.bring_to_front()
    closed = page.get_by_role("row").filter(has_text="page closed")
    await expect(page.locator("#devices")).to_contain_text("by hand")
    handle = await session.start_sale("1", sale())
    await other.close()
    await expect(closed.locator(".badge.bad")).to_be_visible()
    await handle.cancel()
    await expect(page.locator("#closed-devices")).to_contain_text("page closed")
    await expect(closed.locator(".badge.bad")).to_have_count(0)
    await session.run_sale("2", sale())
    await expect(page.locator("#devices > tr")).to_have_count(1)
    rows = page.locator("#devices > tr, #closed-devices > tr")
    await expect(rows.last).to_contain_text("page closed")
    again = await tabs.open("/device/1")
    await expect(screen(again)).to_be_visible()
    await page.bring_to_front()
    await expect(closed).to_have_count(0)
    await expect(rows).to_have_count(2)
