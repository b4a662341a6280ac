"""GraphiQL from the service itself: a query, a live subscription, nothing from elsewhere (spec 5.9)."""

from playwright.async_api import Page, expect

from browser.sample import flow, fulfilled, record
from support import Service


async def test_a_query_and_a_live_subscription(page: Page, service: Service) -> None:
    await flow(service)
    await record(service, fulfilled())
    await page.goto("/graphql")
    run = page.get_by_role("button", name="Execute query")
    response = page.get_by_role("region", name="Result Window")
    await run.click()
    await expect(response).to_contain_text("Ship an order")
    await page.get_by_role("tab", name="Live").click()
    await page.get_by_role("button", name="Execute query").click()
    await expect(page.get_by_role("button", name="Stop query")).to_be_visible()
    await record(service, fulfilled())
    await expect(response).to_contain_text("executionChanges")
    await page.get_by_role("button", name="Stop query").click()
    await expect(run).to_be_visible()
