"""Signing in with one's organisation: an OpenID provider, the page, and the way between them (spec 5.10)."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import BrowserContext, Page, expect

from browser.chromium import Watch
from browser.sample import USAGE, flow, fulfilled, record, rows, sign, usage
from conftest import StartService
from oidc_provider import Provider, running_provider
from support import Service


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with running_provider() as running:
        yield running


@pytest.fixture
async def service(start_service: StartService, provider: Provider) -> Service:
    running: Service = await start_service(
        oidc_issuer=provider.issuer, oidc_audience=provider.audience, oidc_client_id=provider.client_id
    )
    return running


@pytest.fixture
def watch(watch: Watch, provider: Provider) -> Watch:
    watch.expected += ["401", "403"]
    watch.elsewhere.append(provider.issuer)
    return watch


async def test_who_signs_in_comes_back_to_where_they_were(page: Page, context: BrowserContext, service: Service) -> None:
    await flow(service)
    id_ = await record(service, fulfilled())
    await page.goto(usage(id_))
    await page.get_by_role("link", name="Sign in with your organisation").click()
    await expect(rows(page)).to_have_count(1)
    await expect(page).to_have_url(f"{service.url}{usage(id_)}")
    await expect(sign(page)).to_have_text("Live")
    session = [cookie for cookie in await context.cookies() if cookie["name"] == "flowtrail_session"]
    assert [(cookie["httpOnly"], cookie["sameSite"]) for cookie in session] == [(True, "Strict")]
    await page.reload()
    await expect(rows(page)).to_have_count(1)
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_role("link", name="Sign in with your organisation")).to_be_visible()
    await page.goto(USAGE)
    await expect(page.get_by_role("link", name="Sign in with your organisation")).to_be_visible()
    await expect(page.get_by_text("Ship an order")).to_have_count(0)


async def test_who_is_refused_reads_why_and_can_try_again(page: Page, service: Service, provider: Provider) -> None:
    await flow(service)
    provider.refuses = "access_denied"
    await page.goto("/")
    await page.get_by_role("link", name="Sign in with your organisation").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    await expect(page).to_have_url(f"{service.url}/")
    provider.refuses = None
    await page.get_by_role("link", name="Sign in with your organisation").click()
    await expect(page.get_by_role("row").filter(has_text="Ship an order")).to_be_visible()


async def test_a_token_is_still_a_way_in(page: Page, service: Service) -> None:
    await page.goto("/")
    await expect(page.get_by_role("link", name="Sign in with your organisation")).to_be_visible()
    await page.get_by_label("Read token").fill("nobody's")
    await page.get_by_role("button", name="Sign in", exact=True).click()
    await expect(page.get_by_text("This token is not valid, or no longer.")).to_be_visible()
