"""The page before the demo, as a newcomer sees both: a real MCP client calls a real MCP server, and Chromium looks on."""

import re
import sys
from collections.abc import Iterator

import pytest
from playwright.async_api import Browser, Page, expect

from browser.chromium import visiting
from commands import PATIENCE_SECONDS, running

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what the demo starts is ended by process group")

PATIENCE_MS = PATIENCE_SECONDS * 1000


@pytest.fixture
def patience() -> Iterator[None]:
    """Let expectations wait for what a demo on a busy machine takes its time for."""
    expect.set_options(timeout=PATIENCE_MS)
    yield
    expect.set_options(timeout=5_000)


@pytest.fixture
def demo() -> Iterator[str]:
    """The address of a running `flowtrail demo`, without a path."""
    command = [sys.executable, "-c", "from flowtrail.cli import main; main()", "demo", "--port", "0"]
    with running(command, until="Ctrl-C") as demo:
        yield demo.found(r"Look +(\S+)/\n")


@pytest.mark.usefixtures("patience")
async def test_the_demo_fills_the_page_while_one_looks(chromium: Browser, demo: str) -> None:
    async with visiting(chromium, demo) as (context, watch):
        page = await context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        await see_the_list_fill(page)
        await see_which_node_failed(page)
        await see_executions_arrive(page)
        await see_the_statistics_drawn(page)
        await see_a_call_of_no_flow(page)
        watch.check()


async def see_the_list_fill(page: Page) -> None:
    await page.goto("/")
    for tool in ("daily_report", "place_order", "quote_shipping", "refund", "track_parcel"):
        await expect(page.get_by_role("row").filter(has_text=tool)).to_be_visible()
    await page.get_by_role("link", name="place_order").click()
    rows = page.get_by_role("list", name="Executions").get_by_role("listitem")
    await expect(rows.nth(1)).to_be_visible()
    await expect(rows.last).to_contain_text("customer: Ada")


async def see_which_node_failed(page: Page) -> None:
    await page.get_by_role("button", name="Error").click()
    await page.get_by_role("list", name="Executions").get_by_role("link").first.click()
    detail = page.get_by_role("region", name="Execution", exact=True)
    await expect(detail.get_by_role("region", name="Error")).to_contain_text("The tool raised an exception in Charge card")
    failed = detail.get_by_role("region", name="Nodes").get_by_role("listitem").filter(has_text="CardDeclined")
    await expect(failed).to_contain_text("Charge card")


async def see_executions_arrive(page: Page) -> None:
    await page.goto("/flows/shop/quote_shipping")
    count = page.get_by_text(re.compile(r"^\d+ executions?$"))
    before = await count.inner_text()
    await page.evaluate("window.isUntouched = true")
    await expect(count).not_to_have_text(before)
    assert await page.evaluate("window.isUntouched"), "the page was loaded anew"


async def see_the_statistics_drawn(page: Page) -> None:
    await page.get_by_role("link", name="Statistics").click()
    await expect(page.get_by_role("region", name="Durations")).to_contain_text("p95")
    await page.wait_for_function(
        "() => { const canvas = document.querySelector('canvas');"
        " return canvas?.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte > 0); }"
    )


async def see_a_call_of_no_flow(page: Page) -> None:
    await page.goto("/")
    await page.get_by_role("link", name="Executions of all flows").click()
    await page.get_by_role("searchbox").fill("refund_everything")
    row = page.get_by_role("list", name="Executions").get_by_role("listitem").first
    await expect(row).to_contain_text("refund_everything")
    await row.get_by_role("link").click()
    detail = page.get_by_role("region", name="Execution", exact=True)
    await expect(detail).to_contain_text("The call was not understood")
    await expect(detail).to_contain_text("the server never offered such a tool")
