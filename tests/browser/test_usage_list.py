"""The left column: rows, pages, filters, the address, the keyboard (spec 5.1 to 5.3, 5.8)."""

import asyncio
import re
from collections.abc import Callable
from datetime import timedelta

from playwright.async_api import Page, Route, expect

from browser.sample import USAGE, failed, flow, fulfilled, many, pending, record, rows, usage
from recorder import accept, finished, id_of, now, started
from support import Service


async def test_a_row_tells_how_it_went(page: Page, service: Service) -> None:
    await flow(service)
    await record(service, fulfilled())
    await record(service, failed())
    await record(service, pending(isPreview=True))
    await page.goto(USAGE)
    running, error, done = rows(page).nth(0), rows(page).nth(1), rows(page).nth(2)
    await expect(running.get_by_role("img")).to_have_accessible_name("Pending: execution in progress")
    await expect(running).to_contain_text("Preview")
    await expect(running).to_contain_text(re.compile(r"\d+ s"))
    await expect(error.get_by_role("img")).to_have_accessible_name("Error: execution failed")
    await expect(error).to_contain_text("Book parcel")
    await expect(error).to_contain_text("360 ms")
    await expect(done.get_by_role("img")).to_have_accessible_name("Fulfilled: completed successfully")
    await expect(done).to_contain_text("order: 17")
    await expect(done).to_contain_text("1.24 s")
    await expect(done).not_to_contain_text("Preview")
    colours = [await row.locator("svg").evaluate("(circle) => getComputedStyle(circle).color") for row in (running, error, done)]
    assert colours == ["rgb(181, 71, 8)", "rgb(201, 42, 42)", "rgb(35, 112, 50)"]


async def test_the_circle_explains_itself_by_hover_and_by_keyboard(page: Page, service: Service) -> None:
    await flow(service)
    for sample in (fulfilled(), pending(), failed(now())):
        await record(service, sample)
    await page.goto(USAGE)
    for meaning in ("Pending: execution in progress", "Fulfilled: completed successfully", "Error: execution failed"):
        circle = page.get_by_role("img", name=meaning)
        tooltip = page.get_by_role("tooltip", name=meaning)
        await circle.hover()
        await expect(tooltip).to_be_visible()
        await page.mouse.move(0, 0)
        await expect(tooltip).to_have_count(0)
    await page.get_by_label("Previews").focus()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await expect(circle).to_be_focused()
    await expect(tooltip).to_be_visible()


async def test_one_page_needs_no_numbers(page: Page, service: Service) -> None:
    await flow(service)
    await many(service, 20)
    await page.goto(USAGE)
    await expect(rows(page)).to_have_count(20)
    await expect(page.get_by_role("navigation", name="Pages")).to_have_count(0)


async def test_pages_are_numbered_and_the_address_keeps_the_place(page: Page, service: Service) -> None:
    await flow(service)
    await many(service, 130)
    await page.goto(USAGE)
    bar = page.get_by_role("navigation", name="Pages")
    current = bar.locator("[aria-current=page]")
    await expect(page.get_by_text("130 executions")).to_be_visible()
    await expect(current).to_have_text("1")
    await expect(bar.get_by_role("link", name="Previous page")).to_have_count(0)
    await rows(page).last.scroll_into_view_if_needed()
    await bar.get_by_role("link", name="Next page").click()
    await expect(current).to_have_text("2")
    await expect(rows(page).first).to_contain_text("number: 109")
    await expect(rows(page).first).to_be_in_viewport()
    await bar.get_by_role("link", name="Page 7").click()
    await expect(rows(page)).to_have_count(10)
    await expect(rows(page).last).to_contain_text("number: 0")
    await expect(bar.get_by_role("link", name="Next page")).to_have_count(0)
    await rows(page).nth(3).get_by_role("link").click()
    await page.reload()
    await expect(current).to_have_text("7")
    await expect(rows(page).nth(3).get_by_role("link")).to_have_attribute("aria-current", "true")
    await page.go_back()
    await page.go_back()
    await expect(current).to_have_text("2")
    await expect(rows(page).first).to_contain_text("number: 109")


async def test_filters_narrow_the_list_and_travel_in_the_address(page: Page, service: Service) -> None:
    await flow(service)
    await record(service, fulfilled(now() - timedelta(hours=2)))
    await record(service, fulfilled(isPreview=True, params={"order": 20}))
    await record(service, failed())
    await page.goto(USAGE)
    await expect(rows(page)).to_have_count(3)
    await page.get_by_role("button", name="Error").click()
    await expect(rows(page)).to_have_count(1)
    await expect(rows(page)).to_contain_text("order: 18")
    await page.get_by_role("button", name="Fulfilled").click()
    await expect(rows(page)).to_have_count(3)
    await page.get_by_label("Time").select_option("Last hour")
    await expect(rows(page)).to_have_count(2)
    await page.get_by_label("Previews").select_option("Previews only")
    await expect(rows(page)).to_have_count(1)
    assert page.url.endswith("?status=FULFILLED%2CERROR&span=1h&preview=only")
    await page.reload()
    await expect(rows(page)).to_contain_text("order: 20")
    await page.get_by_role("button", name="Clear filters").click()
    await expect(rows(page)).to_have_count(3)
    await page.get_by_role("searchbox").fill("no such address")
    await expect(rows(page)).to_have_count(1)
    await page.get_by_role("searchbox").fill("nothing like it")
    await page.get_by_role("link", name="Clear filters").click()
    await expect(rows(page)).to_have_count(3)
    await expect(page.get_by_role("searchbox")).to_have_value("")


async def test_a_time_range_is_read_in_the_zone_of_the_viewer(page: Page, service: Service) -> None:
    await flow(service)
    day = now().replace(year=2026, month=3, day=14, hour=12, minute=0, second=0, microsecond=0)
    for hour in (9, 12, 15):
        event = started(at=day.replace(hour=hour), params={"hour": hour})
        await accept(service, event, finished(id_of(event), at=day.replace(hour=hour, second=1)))
    await page.goto(USAGE)
    await page.get_by_label("Time").select_option("From … to …")
    await page.get_by_label("From").fill("2026-03-14T11:00")
    await expect(rows(page)).to_have_count(2)
    await page.get_by_label("To", exact=True).fill("2026-03-14T14:00")
    await expect(rows(page)).to_have_count(1)
    await expect(rows(page)).to_contain_text("hour: 12")
    await page.reload()
    await expect(page.get_by_label("From")).to_have_value("2026-03-14T11:00")
    await expect(rows(page)).to_contain_text("Mar 14")


async def test_the_keyboard_is_enough(page: Page, service: Service) -> None:
    await flow(service)
    await many(service, 5)
    await page.goto(USAGE)
    links = rows(page).get_by_role("link")
    await links.first.focus()
    await page.keyboard.press("j")
    await page.keyboard.press("ArrowDown")
    await expect(links.nth(2)).to_be_focused()
    await page.keyboard.press("k")
    await expect(links.nth(1)).to_be_focused()
    await page.keyboard.press("Enter")
    detail = page.get_by_role("region", name="Execution", exact=True)
    await expect(detail.get_by_text('"number"')).to_be_visible()
    await expect(links.nth(1)).to_be_focused()
    await page.keyboard.press("End")
    await expect(links.nth(4)).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(detail.get_by_role("heading", name="Select an execution")).to_be_visible()
    await expect(links.nth(1)).to_be_focused()


async def test_the_right_detail_wins_when_clicks_follow_quickly(page: Page, service: Service) -> None:
    await flow(service)
    first, second = await record(service, fulfilled()), await record(service, failed())
    clicked, answered = asyncio.Event(), asyncio.Event()

    async def answer_late(route: Route) -> None:
        if first not in (route.request.post_data or ""):
            await route.continue_()
            return
        await clicked.wait()
        await route.continue_()
        answered.set()

    await page.route("**/graphql", answer_late)
    await page.goto(USAGE)
    await rows(page).nth(1).get_by_role("link").click()
    await rows(page).nth(0).get_by_role("link").click()
    detail = page.get_by_role("region", name="Execution", exact=True)
    await expect(detail.get_by_text(second)).to_be_visible()
    clicked.set()
    await answered.wait()
    await expect(detail.get_by_text(first)).to_have_count(0)
    await expect(detail.get_by_text(second)).to_be_visible()
    await expect(page).to_have_url(f"{service.url}{usage(second)}")


async def test_a_search_for_what_is_rare_goes_on_from_where_it_stopped(
    page: Page, service: Service, bound_scans: Callable[[int], None]
) -> None:
    await flow(service)
    await many(service, 60)
    bound_scans(25)
    await page.goto(usage(text="number: 33"))
    await expect(page.get_by_role("heading", name="Nothing found so far")).to_be_visible()
    await page.get_by_role("link", name="Search on").click()
    await expect(rows(page).filter(has_text="number: 33")).not_to_have_count(0)
