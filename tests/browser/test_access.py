"""Signing in and out where reading needs a token (spec 5.10)."""

import pytest
from playwright.async_api import BrowserContext, Page, expect

from browser.conftest import Watch
from browser.sample import USAGE, flow, fulfilled, record
from support import Service


@pytest.fixture
def read_token() -> str:
    return "read-token-of-the-tests"


async def test_a_token_opens_the_page_and_signing_out_closes_it(
    page: Page, context: BrowserContext, service: Service, watch: Watch, read_token: str
) -> None:
    watch.expected += ["401", "403"]
    await flow(service)
    await record(service, fulfilled())
    await page.goto(USAGE)
    token = page.get_by_label("Read token")
    await expect(token).to_be_focused()
    await expect(page.get_by_text("Ship an order")).to_have_count(0)
    await token.fill("a wrong one")
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_text("This token is not valid, or no longer.")).to_be_visible()
    await token.fill(service.record_token)
    await page.get_by_role("button", name="Sign in").click()
    await expect(page.get_by_text("sign in with one that may only read")).to_be_visible()

    await token.fill(read_token)
    await page.keyboard.press("Enter")
    rows = page.get_by_role("list", name="Executions").get_by_role("listitem")
    await expect(rows).to_have_count(1)
    await expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
    (cookie,) = await context.cookies()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert read_token not in await page.evaluate("document.cookie + JSON.stringify({...localStorage, ...sessionStorage})")
    await page.reload()
    await expect(rows).to_have_count(1)

    await page.get_by_role("button", name="Sign out").click()
    await expect(token).to_be_visible()
    assert await context.cookies() == []
    await page.reload()
    await expect(token).to_be_visible()
