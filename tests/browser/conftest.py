"""A real Chromium before the real service. Whatever a test does, no request leaves the origin and the console stays quiet."""

import json
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright

from flowtrail.pages import STATIC
from support import Service

# How far the layout shifted unasked: the sum over all shifts, which is never less than the metric's worst window.
_MEASURE = """
window.shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """The system's Chromium; without one, or without a built page, browser tests are skipped, except in CI."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    reason = None
    if path is None:
        reason = "no Chromium on this machine: install the package chromium to run the browser tests"
    elif not (STATIC / "index.html").is_file():
        reason = "the page is not built: uv sync --reinstall-package flowtrail"
    if reason is not None and os.environ.get("CI") == "true":
        pytest.fail(reason)
    if path is None or reason is not None:
        pytest.skip(reason or "")
    return path


@pytest.fixture(scope="session")
async def chromium(chromium_path: str) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_path)
        yield browser
        await browser.close()


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


@dataclass
class Watch:
    """What a browser did on the side."""

    origin: str
    requests: list[Request] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    """Parts of complaints that a test provokes on purpose."""

    def on_request(self, request: Request) -> None:
        self.requests.append(request)

    def on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} ({message.location.get('url')})")

    def operations(self, name: str) -> int:
        """How many requests ran the operation `name`."""
        return sum(f'"operationName":"{name}"' in (request.post_data or "") for request in self.requests)

    def check(self) -> None:
        left = {request.url for request in self.requests if not request.url.startswith((self.origin, "data:", "blob:"))}
        assert left == set()
        unexpected = [text for text in self.complaints if not any(part in text for part in self.expected)]
        assert unexpected == []


@pytest.fixture
async def context(chromium: Browser, service: Service) -> AsyncIterator[BrowserContext]:
    """A browser that has never been here, 1280 by 800, in English and UTC."""
    context = await chromium.new_context(
        base_url=service.url,
        viewport={"width": 1280, "height": 800},
        locale="en-US",
        timezone_id="UTC",
        permissions=["clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(15_000)
    await context.add_init_script(_MEASURE)
    yield context
    await context.close()


@pytest.fixture
async def watch(context: BrowserContext, service: Service) -> AsyncIterator[Watch]:
    watch = Watch(service.url)
    context.on("request", watch.on_request)
    context.on("console", watch.on_console)
    context.on("weberror", lambda error: watch.complaints.append(str(error.error)))
    yield watch
    watch.check()


@pytest.fixture
async def page(context: BrowserContext, watch: Watch) -> Page:
    """A tab of the browser, under watch."""
    return await context.new_page()
