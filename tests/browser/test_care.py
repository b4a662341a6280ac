"""For everybody: axe finds nothing serious, nothing jumps, 360 px are enough (spec 5.8)."""

from datetime import timedelta

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect

from browser.chromium import Watch
from browser.sample import STATISTICS, USAGE, failed, flow, fulfilled, many, pending, record, usage
from flowtrail.database import Database
from reader import pass_deadline
from recorder import accept, finished, now
from support import Service

SEVERE = {"serious", "critical"}


async def violations(page: Page) -> list[str]:
    """What axe finds that is serious or critical."""
    found = (await Axe().run(page)).response["violations"]
    return [f"{rule['id']}: {node['html']}" for rule in found if rule["impact"] in SEVERE for node in rule["nodes"]]


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (360, "dark")])
async def test_axe_finds_nothing_serious_in_any_state(
    page: Page, service: Service, database: Database, watch: Watch, scheme: str, width: int
) -> None:
    watch.expected += ["404", "ERR_FAILED"]
    await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    await page.set_viewport_size({"width": width, "height": 800})
    await page.goto("/")
    await expect(page.get_by_role("heading", name="No flows yet")).to_be_visible()
    found = {"empty": await violations(page)}
    await flow(service)
    await page.goto(USAGE)
    await expect(page.get_by_role("heading", name="No executions yet")).to_be_visible()
    found["no executions"] = await violations(page)
    await many(service, 45)
    error, running = await record(service, failed()), await record(service, pending(isPreview=True))
    done = await record(service, fulfilled())
    late = await record(service, pending())
    await pass_deadline(database, late)
    await accept(service, finished(late, at=now() + timedelta(minutes=7)))
    states = {
        "/": "Ship an order",
        USAGE: "order: 18",
        usage(error): "ValueError: no such address",
        usage(running): "No node has started yet.",
        usage(done): '"parcel"',
        f"{USAGE}?text=nothing": "No execution matches",
        STATISTICS: "Top errors",
        "/deleted": "Nothing here",
        "/executions": "order: 18",
        usage(late): "A late outcome arrived",
        "/sign-in": "Read token",
        "/somewhere": "There is no such page",
    }
    for address, text in states.items():
        await page.goto(address)
        await expect(page.get_by_text(text).locator("visible=true").first).to_be_visible()
        found[address] = await violations(page)
    await page.goto(USAGE)
    await expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
    await page.route("**/graphql", lambda route: route.abort())
    await record(service, fulfilled())
    await expect(page.get_by_text("The list could not be brought up to date")).to_be_visible()
    found["stale"] = await violations(page)
    await page.goto(STATISTICS)
    await expect(page.get_by_role("alert")).to_be_visible()
    found["failure"] = await violations(page)
    assert {state: severe for state, severe in found.items() if severe} == {}


async def test_nothing_jumps_while_the_page_loads(page: Page, service: Service) -> None:
    await flow(service)
    await many(service, 45)
    id_ = await record(service, failed())
    for address in ("/", USAGE, usage(id_), STATISTICS, "/executions"):
        await page.goto(address)
        await expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
        if address == usage(id_):
            await expect(page.get_by_role("region", name="Nodes")).to_be_visible()
        assert await page.evaluate("window.shift") < 0.05, address


async def test_a_narrow_screen_shows_the_list_or_the_detail(page: Page, service: Service) -> None:
    await flow(service)
    id_ = await record(service, failed())
    await page.set_viewport_size({"width": 360, "height": 740})
    await page.goto(USAGE)
    rows = page.get_by_role("list", name="Executions").get_by_role("listitem")
    await rows.first.get_by_role("link").click()
    await expect(page.get_by_role("region", name="Error")).to_be_visible()
    await expect(rows.first).not_to_be_visible()
    await page.get_by_role("button", name="Executions").click()
    await expect(rows.first.get_by_role("link")).to_be_focused()
    for address in ("/", USAGE, usage(id_), STATISTICS, "/deleted", "/executions"):
        await page.goto(address)
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        await expect(
            page.get_by_role("status").filter(has_text="Live").or_(page.get_by_role("region", name="Nodes")).first
        ).to_be_attached()
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360, address


async def test_the_colours_can_be_chosen_and_stay(page: Page, service: Service) -> None:
    await page.emulate_media(color_scheme="light")
    await page.goto("/")
    await page.get_by_role("button", name="Use dark colours").click()
    dark = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    await page.reload()
    await expect(page.get_by_role("button", name="Use light colours")).to_be_visible()
    assert await page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
