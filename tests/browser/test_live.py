"""What happens while somebody looks, by the socket (spec 5.6)."""

from datetime import timedelta

from playwright.async_api import Page, expect

from browser.sample import USAGE, detail, flow, fulfilled, many, pending, record, rows, sign, usage
from flowtrail.database import Database
from reader import pass_deadline
from recorder import accept, finished, node_finished, node_started, now
from support import Service

SWEEP_MS = 30_000
"""An execution that is overdue is found so within seconds."""


async def test_a_running_execution_is_followed_to_its_end(page: Page, service: Service) -> None:
    await flow(service)
    at = now()
    id_ = await record(service, pending(at))
    await page.goto(usage(id_))
    await expect(sign(page)).to_have_text("Live")
    await expect(detail(page)).to_contain_text("No node has started yet.")
    await accept(service, node_started(id_, 0, nodeName="Fetch order", inputData={"id": 17}))
    card = detail(page).get_by_role("region", name="Nodes").get_by_role("listitem")
    await expect(card).to_contain_text("Fetch order")
    await expect(card).to_contain_text("Pending")
    await accept(service, node_finished(id_, 0, outputData={"lines": 3}))
    await expect(card.get_by_role("region", name="Output")).to_contain_text('"lines": 3')
    error = {"kind": "EXCEPTION", "message": "No stock", "nodeName": "Fetch order"}
    await accept(service, finished(id_, at=at + timedelta(milliseconds=1500), error=error))
    await expect(detail(page).get_by_role("region", name="Error")).to_contain_text("No stock")
    await expect(rows(page).get_by_role("img")).to_have_accessible_name("Error: execution failed")
    await expect(rows(page)).to_contain_text("1.50 s")


async def test_new_executions_appear_on_the_first_page(page: Page, service: Service) -> None:
    await flow(service)
    await page.goto(USAGE)
    await expect(page.get_by_role("heading", name="No executions yet")).to_be_visible()
    await expect(sign(page)).to_have_text("Live")
    await record(service, fulfilled())
    await expect(rows(page)).to_have_count(1)
    await record(service, pending())
    await expect(rows(page)).to_have_count(2)
    await expect(rows(page).first.get_by_role("img")).to_have_accessible_name("Pending: execution in progress")
    await expect(page.get_by_text("2 executions")).to_be_visible()


async def test_a_reader_of_page_two_is_told_and_not_moved(page: Page, service: Service) -> None:
    await flow(service)
    await many(service, 45)
    await page.goto(USAGE)
    await page.get_by_role("link", name="Page 2").click()
    first = rows(page).first
    await expect(first).to_contain_text("number: 24")
    await expect(sign(page)).to_have_text("Live")
    before = await first.bounding_box()
    for _ in range(3):
        await record(service, fulfilled(now()))
    newcomers = page.get_by_role("link", name="3 new")
    await expect(newcomers).to_be_visible()
    await expect(first).to_contain_text("number: 24")
    await expect(rows(page)).to_have_count(20)
    assert await first.bounding_box() == before
    await newcomers.click()
    await expect(first).to_contain_text("order: 17")
    await expect(newcomers).to_have_count(0)


async def test_a_timeout_and_its_late_result_show_while_one_looks(page: Page, service: Service, database: Database) -> None:
    await flow(service)
    id_ = await record(service, pending())
    await page.goto(usage(id_))
    await expect(sign(page)).to_have_text("Live")
    await pass_deadline(database, id_)
    await expect(detail(page).get_by_role("region", name="Error")).to_contain_text("Timed out", timeout=SWEEP_MS)
    await expect(rows(page).get_by_role("img")).to_have_accessible_name("Error: execution failed")
    await expect(detail(page).get_by_role("region", name="Late outcome")).to_have_count(0)
    await accept(service, finished(id_, at=now() + timedelta(minutes=7), result={"shipped": "after all"}))
    await expect(detail(page).get_by_role("region", name="Late outcome")).to_contain_text("A late outcome arrived: Fulfilled")
    await expect(detail(page).get_by_role("region", name="Late result")).to_contain_text("after all")
    await expect(detail(page).get_by_role("region", name="Error")).to_contain_text("Timed out")


async def test_executions_of_all_flows_are_live(page: Page, service: Service) -> None:
    await page.goto("/executions")
    await expect(page.get_by_role("heading", name="No executions yet")).to_be_visible()
    await expect(sign(page)).to_have_text("Live")
    id_ = await record(service, pending())
    await expect(rows(page)).to_contain_text("order: 19")
    await accept(service, finished(id_))
    await expect(rows(page).get_by_role("img")).to_have_accessible_name("Fulfilled: completed successfully")


async def test_the_list_of_flows_is_live(page: Page, service: Service) -> None:
    await page.goto("/")
    await expect(page.get_by_role("heading", name="No flows yet")).to_be_visible()
    await expect(sign(page)).to_have_text("Live")
    id_ = await record(service, pending())
    row = page.get_by_role("row").filter(has_text="ship")
    await expect(row).to_contain_text("Running")
    await accept(service, finished(id_, error="EXCEPTION"))
    await expect(row).not_to_contain_text("Running")
    await expect(row).to_contain_text("100 %")
