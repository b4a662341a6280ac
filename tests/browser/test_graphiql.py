"""GraphiQL from the service itself: a query, a live subscription, nothing from elsewhere (spec 5.9)."""

import asyncio

from playwright.async_api import Page, expect

from browser.chromium import Watch
from browser.sample import flow, fulfilled, record
from support import Service

READY_MS = 30_000
"""An editor of several megabytes takes its time on a machine that is busy with other tests."""


async def test_a_query_and_a_live_subscription(page: Page, service: Service, watch: Watch) -> None:
    watch.expected.append("status of 400")  # of what the editor asks for below, before it knows its own tab
    await flow(service)
    await record(service, fulfilled())
    await page.goto("/graphql")
    run = page.get_by_role("button", name="Execute query")
    response = page.get_by_role("region", name="Result Window")
    await expect(page.get_by_role("region", name="Operation Editor")).to_contain_text("query Latest", timeout=READY_MS)
    await run.click()
    await expect(response).to_contain_text("Ship an order", timeout=READY_MS)
    await page.get_by_role("tab", name="Live").click()
    await expect(page.get_by_role("region", name="Operation Editor")).to_contain_text("subscription Live", timeout=READY_MS)
    stop = page.get_by_role("button", name="Stop query")
    async with asyncio.timeout(READY_MS / 1000):
        # The editor learns the name of the tab's operation a moment after it shows it, and until then asks for the other tab's.
        while not await stop.is_visible():
            await run.click()
            await asyncio.sleep(1)
    async with asyncio.timeout(READY_MS / 1000):
        # "Stop" stands there before the subscription has begun: what starts earlier is not told.
        while "executionChanges" not in await response.inner_text():
            await record(service, fulfilled())
            await asyncio.sleep(0.2)
    await page.get_by_role("button", name="Stop query").click()
    await expect(run).to_be_visible()
