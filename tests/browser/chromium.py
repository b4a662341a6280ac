"""The system's Chromium, and what it does on the side while a test drives it."""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, WebSocket, async_playwright

from flowtrail.pages import STATIC

# How far the layout shifted unasked: the sum over all shifts, which is never less than the metric's worst window.
_MEASURE = """
window.shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""


def path_or_skip() -> str:
    """Return the path of Chromium; without one, or without a built page, the test is skipped, except in CI, where it fails."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is not None and (STATIC / "index.html").is_file():
        return path
    reason = (
        "no Chromium on this machine: install the package chromium to run the browser tests"
        if path is None
        else "the page is not built: uv sync --reinstall-package flowtrail"
    )
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


@asynccontextmanager
async def launched() -> AsyncIterator[Browser]:
    """A headless Chromium."""
    path = path_or_skip()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path)
        yield browser
        await browser.close()


@dataclass
class Watch:
    """What a browser did on the side: no request may leave the origin, and the console stays quiet."""

    origin: str
    requests: list[Request] = field(default_factory=list)
    sockets: list[WebSocket] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)
    """Parts of complaints that a test provokes on purpose."""
    elsewhere: list[str] = field(default_factory=list)
    """Other origins that a test goes to on purpose."""

    def follow(self, context: BrowserContext) -> None:
        """Watch whatever the context's pages do from now on."""
        context.on("request", lambda request: self.requests.append(request))
        context.on("console", self._on_console)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("page", self._on_page)

    def _on_page(self, page: Page) -> None:
        page.on("websocket", lambda socket: self.sockets.append(socket))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.text} ({message.location.get('url')})")

    def operations(self, name: str) -> int:
        """How many requests ran the operation `name`."""
        return sum(f'"operationName":"{name}"' in (request.post_data or "") for request in self.requests)

    def check(self) -> None:
        """Fail when a request went elsewhere, or the console had something to say that no test asked for."""
        own = (self.origin, self.origin.replace("http", "ws", 1), "data:", "blob:", *self.elsewhere)
        urls = {request.url for request in self.requests} | {socket.url for socket in self.sockets}
        assert {url for url in urls if not url.startswith(own)} == set()
        unexpected = [text for text in self.complaints if not any(part in text for part in self.expected)]
        assert unexpected == []


@asynccontextmanager
async def visiting(browser: Browser, origin: str) -> AsyncIterator[tuple[BrowserContext, Watch]]:
    """A browser that has never been at `origin`, under watch: 1280 by 800, in English and UTC."""
    context = await browser.new_context(
        base_url=origin,
        viewport={"width": 1280, "height": 800},
        locale="en-US",
        timezone_id="UTC",
        permissions=["clipboard-read", "clipboard-write"],
    )
    context.set_default_timeout(15_000)
    await context.add_init_script(_MEASURE)
    watch = Watch(origin)
    watch.follow(context)
    try:
        yield context, watch
    finally:
        await context.close()
