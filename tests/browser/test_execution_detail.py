"""The right column: everything about one execution (spec 5.4), whatever its size."""

import json
import re
from datetime import timedelta

from playwright.async_api import Locator, Page, expect
from uuid_utils.compat import uuid7

from browser.sample import detail, failed, flow, fulfilled, record, usage
from flowtrail.database import Database
from reader import pass_deadline
from recorder import accept, finished, now, register, started
from support import Service

HUGE_INTEGER = 1234567890123456789012345678901234567890


def fact(page: Page, name: str) -> Locator:
    return (
        detail(page)
        .locator("dl > div")
        .filter(has=page.get_by_role("term").get_by_text(name, exact=True))
        .get_by_role("definition")
    )


async def clipboard(page: Page) -> str:
    text: str = await page.evaluate("navigator.clipboard.readText()")
    return text


async def test_an_error_comes_first_and_names_its_node(page: Page, service: Service) -> None:
    await flow(service)
    id_ = await record(service, failed())
    await page.goto(usage(id_))
    error = detail(page).get_by_role("region", name="Error")
    await expect(error).to_contain_text("The tool raised an exception in Book parcel")
    await expect(error).to_contain_text("ValueError: no such address")
    await expect(error.get_by_text("Traceback")).not_to_be_visible()
    await error.get_by_text("Stack").click()
    await expect(error.get_by_text("Traceback")).to_be_visible()
    await expect(fact(page, "Client")).to_have_text("inspector 2.1")
    top, started_at = await error.bounding_box(), await fact(page, "Started").bounding_box()
    assert top
    assert started_at
    assert top["y"] < started_at["y"]


async def test_the_nodes_stand_in_order_with_their_values(page: Page, service: Service) -> None:
    await flow(service)
    id_ = await record(service, fulfilled(traceId="4bf92f3577b34da6a3ce929d0e0e4736", caller={"subject": "ada"}))
    await page.goto(usage(id_))
    nodes = detail(page).get_by_role("region", name="Nodes")
    cards = nodes.get_by_role("listitem")
    await expect(cards).to_have_count(2)
    await expect(cards.nth(0)).to_contain_text(re.compile("Fetch order.*step.*390 ms"))
    await expect(cards.nth(1)).to_contain_text(re.compile("Book parcel.*800 ms"))
    await expect(cards.nth(0).get_by_role("region", name="Input")).to_contain_text('"id": 17')
    await expect(cards.nth(0).get_by_role("region", name="Output")).to_contain_text('"lines"')
    await expect(nodes.locator("[title^='Fetch order: 390 ms, from 10 ms']")).to_be_visible()
    await expect(fact(page, "Duration")).to_have_text("1.24 s")
    await expect(fact(page, "Caller")).to_have_text("ada")
    await expect(fact(page, "Trace")).to_contain_text("4bf92f3577b34da6a3ce929d0e0e4736")
    await expect(detail(page).get_by_role("region", name="Initial parameters")).to_contain_text('"order": 17')
    await expect(detail(page).get_by_role("region", name="Result")).to_contain_text('"parcel": "A1"')


async def test_times_show_the_exact_utc_on_focus(page: Page, service: Service) -> None:
    await flow(service)
    at = now().replace(microsecond=123456) - timedelta(minutes=1)
    id_ = await record(service, fulfilled(at))
    await page.goto(usage(id_))
    await fact(page, "Started").locator("time").focus()
    exact = f"{at:%Y-%m-%d %H:%M:%S}.123456 UTC"
    await expect(page.get_by_role("tooltip", name=exact)).to_be_visible()


async def test_numbers_are_exact_where_they_are_shown_and_copied(page: Page, service: Service) -> None:
    await flow(service)
    id_ = await record(service, fulfilled(params={"2": HUGE_INTEGER, "1": 0.1}, result={"price": 10.50, "id": HUGE_INTEGER}))
    await page.goto(usage(id_))
    parameters = detail(page).get_by_role("region", name="Initial parameters")
    await expect(parameters).to_contain_text(f'"2": {HUGE_INTEGER}')
    await parameters.get_by_role("button", name="Copy initial parameters").click()
    await expect(parameters.get_by_role("button", name="Copied: initial parameters")).to_have_text("Copied")
    copied = json.loads(await clipboard(page))
    assert list(copied.items()) == [("2", HUGE_INTEGER), ("1", 0.1)]
    await detail(page).get_by_role("button", name="Copy the execution as JSON").click()
    await expect(detail(page).get_by_role("button", name="Copied: the execution as JSON")).to_be_visible()
    whole = json.loads(await clipboard(page))
    assert whole["initialParams"] == {"2": HUGE_INTEGER, "1": 0.1}
    assert whole["result"]["id"] == HUGE_INTEGER
    assert [node["nodeName"] for node in whole["nodeExecutions"]] == ["Fetch order", "Book parcel"]
    assert whole["nodeExecutions"][0]["output"] == {"lines": [1, 2, 3]}


async def test_a_value_that_was_cut_says_so(page: Page, service: Service) -> None:
    await flow(service)
    cut = {"sizeBytes": 5 * 1024 * 1024, "sha256": "0" * 64}
    id_ = await record(service, fulfilled(params={"text": "a preview"}, initialParamsInfo=cut))
    await page.goto(usage(id_))
    parameters = detail(page).get_by_role("region", name="Initial parameters")
    await expect(parameters).to_contain_text("5.0 MiB")
    await expect(parameters).to_contain_text("Only a preview was kept")


async def test_a_late_result_stands_beside_the_timeout(page: Page, service: Service, database: Database) -> None:
    await flow(service)
    id_, at = str(uuid7()), now() - timedelta(seconds=2)
    await accept(service, started(id_, at=at))
    await pass_deadline(database, id_)
    await accept(service, finished(id_, at=at + timedelta(minutes=7), result={"shipped": "after all"}))
    await page.goto(usage(id_))
    await expect(detail(page).get_by_role("region", name="Error")).to_contain_text("Timed out")
    await expect(fact(page, "Duration")).to_have_text("5 m 00 s")
    await expect(detail(page).get_by_role("region", name="Late outcome")).to_contain_text("A late outcome arrived: Fulfilled")
    await expect(detail(page).get_by_role("region", name="Late result")).to_contain_text("after all")


async def test_a_called_flow_and_its_caller_lead_to_each_other(page: Page, service: Service) -> None:
    await flow(service)
    await register(service, {"toolName": "quote", "name": "Quote shipping"})
    parent = await record(service, fulfilled())
    child = str(uuid7())
    await accept(service, started(child, tool="quote", parentExecutionId=parent), finished(child))
    await page.goto(usage(parent))
    await detail(page).get_by_role("region", name="Called flows").get_by_role("link", name="Quote shipping").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Quote shipping")
    assert page.url.endswith(f"/flows/orders/quote?execution={child}")
    await fact(page, "Called by").get_by_role("link").click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Ship an order")
    await expect(detail(page).get_by_text(parent)).to_be_visible()


async def test_an_unknown_execution_is_said_to_be_unknown(page: Page, service: Service) -> None:
    await flow(service)
    await page.goto(usage(str(uuid7())))
    await expect(detail(page)).to_contain_text("There is no such execution")
    await detail(page).get_by_role("button", name="Back to the list").click()
    await expect(detail(page)).to_contain_text("Select an execution")
