"""A real Chromium before the real service. Whatever a test does, no request leaves the origin and the console stays quiet."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from playwright.async_api import Browser, BrowserContext, Page

from browser.chromium import Watch, launched, visiting
from support import Service


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """The system's Chromium; without one, or without a built page, browser tests are skipped, except in CI."""
    async with launched() as browser:
        yield browser


@pytest.fixture
async def visit(chromium: Browser, service: Service) -> AsyncIterator[tuple[BrowserContext, Watch]]:
    """A browser that has never been at the service, and what it does on the side."""
    async with visiting(chromium, service.url) as visit:
        yield visit


@pytest.fixture
def context(visit: tuple[BrowserContext, Watch]) -> BrowserContext:
    """The browser of `visit`."""
    return visit[0]


@pytest.fixture
async def watch(visit: tuple[BrowserContext, Watch]) -> AsyncIterator[Watch]:
    """What the browser does on the side, judged at the end of the test."""
    yield visit[1]
    visit[1].check()


@pytest.fixture
async def page(context: BrowserContext, watch: Watch) -> Page:
    """A tab of the browser, under watch."""
    return await context.new_page()


class LongestTask:
    """The longest time (ms of CPU) for which the page could not answer its reader.

    Not of wall time: how busy the machine is with other tests says nothing about the page.
    """

    milliseconds = 0.0


Traced = Callable[[], AbstractAsyncContextManager[LongestTask]]


@pytest.fixture
def traced(chromium: Browser, page: Page) -> Traced:
    """`async with traced() as longest:` fills in `longest.milliseconds` at its end."""

    @asynccontextmanager
    async def trace() -> AsyncIterator[LongestTask]:
        longest = LongestTask()
        await chromium.start_tracing(page=page, categories=["toplevel", "devtools.timeline"])
        try:
            yield longest
        finally:
            events = json.loads(await chromium.stop_tracing())["traceEvents"]
        renderers = {
            event["tid"] for event in events if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
        }
        tasks = [event for event in events if event["name"].endswith("RunTask") and event["tid"] in renderers]
        assert tasks
        longest.milliseconds = max(task.get("tdur", task.get("dur", 0)) for task in tasks) / 1000

    return trace
