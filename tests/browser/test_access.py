"""Signing in and out where reading needs a token (spec 5.10)."""

import re

import pytest
from playwright.async_api import BrowserContext, Page, expect

from browser.chromium import Watch
from browser.sample import USAGE, flow, fulfilled, record
from browser.test_graphiql import READY_MS
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


async def test_graphiql_leads_to_the_sign_in_and_back(
    page: Page, context: BrowserContext, service: Service, watch: Watch, read_token: str
) -> None:
    watch.expected += ["401", "403"]
    await flow(service)
    await record(service, fulfilled())
    await page.goto("/graphql")
    token = page.get_by_label("Read token")
    await expect(token).to_be_focused(timeout=READY_MS)
    await expect(page).to_have_url(f"{service.url}/sign-in?to=/graphql")
    await token.fill(read_token)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(page.get_by_role("region", name="Operation Editor")).to_contain_text("query Latest", timeout=READY_MS)
    await page.get_by_role("button", name="Execute query").click()
    await expect(page.get_by_role("region", name="Result Window")).to_contain_text("Ship an order", timeout=READY_MS)


async def test_a_link_to_the_sign_in_leads_nowhere_else(page: Page, service: Service, watch: Watch, read_token: str) -> None:
    watch.expected += ["401", "403"]
    await page.goto("/sign-in?to=//elsewhere.example/")
    await page.get_by_label("Read token").fill(read_token)
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(page.get_by_role("heading", level=1)).to_have_text("Flows")
    await expect(page).to_have_url(f"{service.url}/")


async def test_why_an_organisation_refused_is_said_once(page: Page, watch: Watch) -> None:
    watch.expected += ["401", "403"]
    await page.goto("/executions?signInError=The+provider+did+not+answer.&text=order")
    await expect(page.get_by_role("alert")).to_have_text("The provider did not answer.")
    await expect(page).to_have_url(re.compile(r"/executions\?text=order$"))
    await page.reload()
    await expect(page.get_by_label("Read token")).to_be_visible()
    await expect(page.get_by_role("alert")).to_have_count(0)
