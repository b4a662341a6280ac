"""What the page says when there is nothing to show, or it can't be shown (spec 5.5)."""

import asyncio

from playwright.async_api import Page, Route, expect

from browser.chromium import Watch
from browser.sample import STATISTICS, USAGE, flow, fulfilled, many, record, usage
from support import Service


async def test_an_empty_flow_tells_how_to_wrap_its_server(page: Page, service: Service) -> None:
    await flow(service)
    await page.goto(USAGE)
    await expect(page.get_by_role("heading", name="No executions yet")).to_be_visible()
    await page.get_by_role("button", name="Copy Wrap a FastMCP server").click()
    copied: str = await page.evaluate("navigator.clipboard.readText()")
    assert 'mcp = FastMCP("orders", middleware=[ExecutionTracking()])' in copied
    await page.get_by_role("button", name="Copy Tell either where this service is").click()
    await page.wait_for_function("navigator.clipboard.readText().then((text) => text.startsWith('export'))")
    assert await page.evaluate("navigator.clipboard.readText()") == f"export FLOWTRAIL_URL={service.graphql_url}"


async def test_the_placeholder_asks_to_select(page: Page, service: Service) -> None:
    await flow(service)
    await record(service, fulfilled())
    await page.goto(USAGE)
    detail = page.get_by_role("region", name="Execution", exact=True)
    await expect(detail.get_by_role("heading")).to_have_text("Select an execution")


async def test_skeletons_stand_in_while_rows_are_on_their_way(page: Page, service: Service) -> None:
    await flow(service)
    await many(service, 20)
    seen = asyncio.Event()

    async def hold(route: Route) -> None:
        await seen.wait()
        await route.continue_()

    await page.route("**/graphql", hold)
    await page.goto(USAGE)
    await expect(page.get_by_role("status", name="Loading").first).to_be_visible()
    seen.set()
    await expect(page.get_by_role("list", name="Executions").get_by_role("listitem")).to_have_count(20)
    assert await page.evaluate("window.shift") < 0.05


async def test_an_error_says_why_and_can_be_retried(page: Page, service: Service, watch: Watch) -> None:
    watch.expected += ["ERR_FAILED", "500"]
    await flow(service)
    id_ = await record(service, fulfilled())
    await page.route("**/graphql", lambda route: route.abort())
    await page.goto(usage(id_))
    alert = page.get_by_role("alert").filter(has_text="The flow could not be read")
    await expect(alert).to_contain_text("The service can't be reached.")
    await page.unroute("**/graphql")
    await alert.get_by_role("button", name="Retry").click()
    await expect(page.get_by_role("heading", name="Fulfilled")).to_be_visible()
    masked = '{"data":null,"errors":[{"message":"Something went wrong under 17.","extensions":{"code":"INTERNAL"}}]}'
    await page.route("**/graphql", lambda route: route.fulfill(status=500, content_type="application/json", body=masked))
    await page.goto(STATISTICS)
    await expect(page.get_by_role("alert")).to_contain_text("Something went wrong under 17.")


async def test_what_does_not_exist_is_said_not_to(page: Page, service: Service, watch: Watch) -> None:
    watch.expected.append("404")
    await page.goto("/flows/orders/nowhere")
    await expect(page.get_by_role("heading", level=1)).to_have_text("There is no such flow")
    await page.get_by_role("link", name="All flows", exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Flows")
    await page.goto("/somewhere/else")
    await expect(page.get_by_role("heading", level=1)).to_have_text("There is no such page")
