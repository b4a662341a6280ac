"""The flows, what became of deleted ones, and how a flow fares (spec 5.7)."""

from playwright.async_api import Page, expect
from uuid_utils.compat import uuid7

from browser.sample import STATISTICS, USAGE, detail, failed, flow, fulfilled, many, pending, record, rows, sign, usage
from recorder import accept, ask, finished, register, started
from support import Service

FLOW_ID = 'query { flow(by: {tool: {server: "orders", toolName: "ship"}}) { id } }'
DELETE = "mutation ($id: ID!) { deleteFlow(input: {id: $id}) { deletedId } }"


async def test_flows_are_listed_with_how_they_fare(page: Page, service: Service) -> None:
    await flow(service)
    await register(service, {"toolName": "cancel", "name": "Cancel"}, server="billing")
    await record(service, fulfilled())
    await record(service, failed())
    await record(service, pending())
    await page.goto("/")
    row = page.get_by_role("row").filter(has_text="Ship an order")
    await expect(row.get_by_role("cell").nth(0)).to_have_text("orders")
    await expect(row).to_contain_text("Running")
    await expect(row.get_by_role("cell").nth(2)).to_have_text("3")
    await expect(row.get_by_role("cell").nth(3)).to_have_text("50 %")
    await expect(page.get_by_role("row").filter(has_text="Cancel")).to_contain_text("Never")
    await page.get_by_role("searchbox", name="Search flows").fill("ship")
    await expect(page.get_by_role("row")).to_have_count(2)
    await expect(page).to_have_url(f"{service.url}/?text=ship")
    await row.get_by_role("link", name="Ship an order").click()
    await expect(page).to_have_url(f"{service.url}{USAGE}")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Ship an order")
    await expect(page).to_have_title("Usage · Ship an order · orders · Flowtrail")


async def test_many_flows_come_page_by_page(page: Page, service: Service) -> None:
    for first in (0, 60):
        await register(
            service, *({"toolName": f"tool{number:03}", "name": f"Tool {number:03}"} for number in range(first, first + 60))
        )
    await page.goto("/")
    rows = page.locator("tbody").get_by_role("row")
    await expect(rows).to_have_count(50)
    await page.get_by_role("link", name="Next page").click()
    await expect(rows.first).to_contain_text("Tool 050")
    await page.get_by_role("link", name="Next page").click()
    await expect(rows).to_have_count(20)
    await expect(page.get_by_role("link", name="Next page")).to_have_count(0)
    await page.reload()
    await expect(rows.last).to_contain_text("Tool 119")
    await page.get_by_role("link", name="First page").click()
    await expect(rows.first).to_contain_text("Tool 000")


async def test_executions_of_deleted_flows_stay_within_reach(page: Page, service: Service) -> None:
    await flow(service)
    id_ = await record(service, fulfilled())
    await register(service, {"toolName": "cancel", "name": "Cancel"})
    await accept(service, started(tool="cancel"))
    flow_id = (await ask(service, FLOW_ID))["flow"]["id"]
    await service.execute(DELETE, {"id": flow_id}, token=service.record_token)
    await page.goto("/")
    await page.get_by_role("link", name="Executions of deleted flows").click()
    rows = page.get_by_role("list", name="Executions").get_by_role("listitem")
    await expect(rows).to_have_count(1)
    await expect(rows).to_contain_text("Ship an order")
    await rows.get_by_role("link").click()
    await expect(page).to_have_url(f"{service.url}/deleted?execution={id_}")
    await expect(page.get_by_role("region", name="Execution", exact=True).get_by_role("heading", name="Fulfilled")).to_be_visible()


async def test_calls_of_tools_that_never_existed_stay_within_reach(page: Page, service: Service) -> None:
    await flow(service)
    await record(service, fulfilled())
    id_ = str(uuid7())
    await accept(service, started(id_, tool="shop", toolExists=False), finished(id_, error="PROTOCOL_ERROR"))
    await page.goto("/")
    await page.get_by_role("link", name="Executions of all flows").click()
    await expect(rows(page)).to_have_count(2)
    await expect(rows(page).last).to_contain_text("Ship an order")
    await page.get_by_role("searchbox").fill("shop")
    await expect(rows(page)).to_have_count(1)
    await rows(page).get_by_role("link").click()
    await expect(page).to_have_url(f"{service.url}/executions?text=shop&execution={id_}")
    await expect(detail(page)).to_contain_text("The call was not understood")
    await expect(detail(page)).to_contain_text("Deleted, or the server never offered such a tool")


async def test_an_execution_among_all_leads_to_its_flow(page: Page, service: Service) -> None:
    await flow(service)
    id_ = await record(service, failed())
    await page.goto(f"/executions?execution={id_}")
    await detail(page).get_by_role("link", name="orders / ship").click()
    await expect(page).to_have_url(f"{service.url}{usage(id_)}")
    await expect(detail(page).get_by_role("region", name="Error")).to_be_visible()


async def test_what_has_just_begun_is_not_announced_among_deleted_flows(page: Page, service: Service) -> None:
    await flow(service)
    await many(service, 25)
    flow_id = (await ask(service, FLOW_ID))["flow"]["id"]
    await service.execute(DELETE, {"id": flow_id}, token=service.record_token)
    await page.goto("/deleted")
    await page.get_by_role("link", name="Page 2").click()
    await expect(rows(page)).to_have_count(5)
    await expect(sign(page)).to_have_text("Live")
    async with page.expect_response("**/graphql"):  # what the change makes the page ask
        await record(service, pending())
    await expect(rows(page)).to_have_count(5)
    await expect(page.get_by_role("link", name="new")).to_have_count(0)


async def test_statistics_add_up_and_lead_to_an_example(page: Page, service: Service) -> None:
    await flow(service)
    for _ in range(3):
        await record(service, fulfilled())
    id_ = await record(service, failed())
    await page.goto(STATISTICS)
    figures = page.locator("dl").first
    await expect(figures).to_have_text("Executions4Pending0Fulfilled3Error1Error rate25 %")
    durations = page.get_by_role("region", name="Durations")
    await expect(durations).to_contain_text("p50")
    await expect(durations).to_contain_text("1.24 s")
    table = page.get_by_role("region", name="Executions over time").get_by_role("table")
    cells = await table.get_by_role("cell").all_inner_texts()
    assert sum(map(int, cells)) == 4
    assert await page.locator("canvas").evaluate(
        "(canvas) => canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data.some((byte) => byte > 0)"
    )
    errors = page.get_by_role("region", name="Top errors")
    await expect(errors.get_by_role("row").nth(1)).to_contain_text("ValueError: no such address")
    await errors.get_by_role("link").click()
    await expect(page).to_have_url(f"{service.url}{USAGE}?execution={id_}")


async def test_statistics_are_those_of_the_chosen_time(page: Page, service: Service) -> None:
    await flow(service)
    await record(service, fulfilled())
    await page.goto(STATISTICS)
    await expect(page.locator("dl").first).to_contain_text("Executions1")
    await page.get_by_label("Time", exact=True).select_option("Last hour")
    await expect(page).to_have_url(f"{service.url}{STATISTICS}?span=1h")
    await expect(page.locator("dl").first).to_contain_text("Executions1")
    await record(service, fulfilled())
    await expect(page.locator("dl").first).to_contain_text("Executions2", timeout=10_000)
