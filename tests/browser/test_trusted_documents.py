"""The page where only trusted documents are answered: all of its own are among them."""

from typing import Any

from playwright.async_api import Browser, expect

from browser.chromium import visiting
from browser.sample import USAGE, flow, fulfilled, record


async def test_the_page_works_with_trusted_documents_alone(chromium: Browser, start_service: Any) -> None:
    open_service, strict = await start_service(), await start_service(trusted_documents="only")
    await flow(open_service)
    await record(open_service, fulfilled())
    async with visiting(chromium, strict.url) as (context, watch):
        page = await context.new_page()
        await page.goto(USAGE)
        rows = page.get_by_role("list", name="Executions").get_by_role("listitem")
        await expect(rows).to_have_count(1)
        await expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
        await rows.first.click()
        await expect(page.get_by_role("heading", name="Initial parameters")).to_be_visible()
        await record(open_service, fulfilled())
        await expect(rows).to_have_count(2)
        watch.check()
