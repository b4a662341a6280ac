"""A value of a megabyte and hundreds of nodes: the page goes on answering its reader (spec 5.4)."""

import json
import re
from datetime import timedelta

from playwright.async_api import Page, expect
from uuid_utils.compat import uuid7

from browser.conftest import Traced
from browser.sample import USAGE, detail, flow, fulfilled, record, usage
from recorder import accept, finished, node_finished, node_started, now, started
from support import Service

LONGEST_TASK_MS = 200


async def open_first(page: Page) -> None:
    await page.get_by_role("list", name="Executions").get_by_role("link").first.click()


async def test_a_value_of_a_megabyte_never_blocks_the_page(page: Page, service: Service, traced: Traced) -> None:
    await flow(service)
    items = [{"index": index, "name": f"item {index}", "tags": ["a", "b"]} for index in range(18_000)]
    id_ = await record(service, fulfilled(result={"items": items, "text": "x" * 100_000}))
    await page.goto(USAGE)
    result = detail(page).get_by_role("region", name="Result")
    async with traced() as longest:
        await open_first(page)
        await expect(result).to_contain_text(re.compile(r"10\d\d KiB"))
        await result.get_by_role("button", name="10000 … 17999").click()
        await result.get_by_role("button", name="17900 … 17999").click()
        await result.get_by_role("button", name="{ 3 keys }").last.click()
        await expect(result.get_by_text('"item 17999"')).to_be_visible()
        await result.get_by_role("button", name="99,400 more characters").click()
        await expect(result.get_by_role("button", name="79,400 more characters")).to_be_visible()
        await result.get_by_role("button", name="Copy result").click()
        await expect(result.get_by_role("button", name="Copied: result")).to_be_visible()
    assert longest.milliseconds < LONGEST_TASK_MS
    assert page.url.endswith(usage(id_))
    assert json.loads(await page.evaluate("navigator.clipboard.readText()"))["items"] == items


async def test_five_hundred_nodes_never_block_the_page(page: Page, service: Service, traced: Traced) -> None:
    await flow(service)
    id_, at = str(uuid7()), now() - timedelta(minutes=1)
    events = [started(id_, at=at)]
    for position in range(500):
        begun = at + timedelta(milliseconds=position)
        events += [node_started(id_, position, at=begun, inputData={"n": position}), node_finished(id_, position, at=begun)]
    events.append(finished(id_, at=at + timedelta(seconds=1)))
    await accept(service, *events[:500])
    await accept(service, *events[500:])
    await page.goto(USAGE)
    cards = detail(page).get_by_role("region", name="Nodes").get_by_role("listitem")
    async with traced() as longest:
        await open_first(page)
        await expect(cards).to_have_count(500)
        await cards.last.get_by_role("button").click()
        await expect(cards.last).to_contain_text('"n": 499')
    assert longest.milliseconds < LONGEST_TASK_MS
