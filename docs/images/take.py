"""Takes the pictures of this folder anew: `uv run python docs/images/take.py`.

They show the demo's own executions, and one service that nobody has recorded to yet.
"""

import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from playwright.async_api import Browser, Page, expect

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent / "tests"))

from browser.chromium import launched  # noqa: E402 (found by the line above)
from commands import running  # noqa: E402 (likewise)

PATIENCE_MS = 120_000
FLOWTRAIL = [sys.executable, "-c", "from flowtrail.cli import main; main()"]
WIDE = {"width": 1280, "height": 860}
NARROW = {"width": 360, "height": 740}


@asynccontextmanager
async def opened(browser: Browser, origin: str, address: str, *, narrow: bool = False, dark: bool = False) -> AsyncIterator[Page]:
    """A tab at `address`, once it is live."""
    context = await browser.new_context(
        base_url=origin,
        viewport=NARROW if narrow else WIDE,  # type: ignore[arg-type]  # a dict of just these two keys
        device_scale_factor=1.5 if narrow else 1,
        color_scheme="dark" if dark else "light",
        locale="en-GB",
        reduced_motion="reduce",
    )
    context.set_default_timeout(PATIENCE_MS)
    page = await context.new_page()
    await page.goto(address)
    if not narrow:
        await expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
    yield page
    await context.close()


async def take(page: Page, name: str) -> None:
    await page.mouse.move(0, 0)
    await expect(page.get_by_role("status", name="Loading")).to_have_count(0)
    await page.screenshot(path=HERE / f"{name}.png", animations="disabled")
    sys.stdout.write(f"{name}\n")


async def select(page: Page, text: str = "") -> None:
    """Open the first execution whose row has `text`, and wait for its nodes."""
    rows = page.get_by_role("list", name="Executions").get_by_role("listitem").filter(has_text=text)
    await rows.first.get_by_role("link").click()
    await expect(page.get_by_role("region", name="Nodes").get_by_role("listitem").first).to_be_visible()


async def take_while_running(page: Page) -> None:
    """Again and again, until the execution was still running afterwards."""
    # The client cancels those of the other day before a node has ended.
    rows = page.get_by_role("list", name="Executions").get_by_role("listitem").filter(has_text="2026-03-01")
    running = rows.filter(has=page.get_by_role("img", name="Pending"))
    heading = page.get_by_role("heading", level=2)
    while True:
        await running.first.get_by_role("link").click()
        await expect(page.get_by_role("region", name="Nodes")).to_contain_text("Completed")
        await take(page, "running")
        if (await heading.inner_text()).startswith("Pending"):
            return


async def take_the_demo(browser: Browser, origin: str) -> None:
    await asyncio.sleep(60)  # until there is a page or two
    async with opened(browser, origin, "/") as page:
        await expect(page.get_by_text("Running").first).to_be_visible()
        await take(page, "flows")
    async with opened(browser, origin, "/flows/shop/place_order") as page:
        await select(page, "42")
        await take(page, "usage")
    for name, dark in (("error", False), ("dark", True)):
        async with opened(browser, origin, "/flows/shop/place_order", dark=dark) as page:
            await expect(page.get_by_role("list", name="Executions")).to_contain_text("Charge card")
            await select(page, "Charge card")
            await take(page, name)
    async with opened(browser, origin, "/flows/shop/daily_report") as page:
        await take_while_running(page)
    async with opened(browser, origin, "/flows/shop/place_order", narrow=True) as page:
        await expect(page.get_by_role("list", name="Executions").get_by_role("listitem").first).to_be_visible()
        await take(page, "narrow")
        await page.get_by_role("searchbox").fill("Grace")
        await select(page, "Charge card")
        await take(page, "narrow-detail")
    await asyncio.sleep(240)  # until the histogram has some minutes
    async with opened(browser, origin, "/flows/shop/quote_shipping/statistics") as page:
        await expect(page.get_by_role("region", name="Top errors").get_by_role("row").nth(1)).to_be_visible()
        await take(page, "statistics")
    async with opened(browser, origin, "/executions") as page:
        await page.get_by_role("searchbox").fill("refund_everything")
        await expect(page.get_by_role("list", name="Executions").get_by_role("listitem").first).to_contain_text("refund_everything")
        await page.get_by_role("list", name="Executions").get_by_role("link").first.click()
        await expect(page.get_by_role("region", name="Initial parameters")).to_be_visible()
        await take(page, "all-executions")


async def take_graphiql(browser: Browser, origin: str) -> None:
    page = await browser.new_page(base_url=origin, viewport=WIDE)  # type: ignore[arg-type]  # as above
    await page.goto("/graphql")
    await expect(page.get_by_role("region", name="Operation Editor")).to_contain_text("query Latest", timeout=PATIENCE_MS)
    await page.get_by_role("button", name="Execute query").click()
    await expect(page.get_by_role("region", name="Result Window")).to_contain_text("flowName", timeout=PATIENCE_MS)
    await take(page, "graphiql")
    await page.close()


async def take_the_beginning(browser: Browser, origin: str) -> None:
    async with opened(browser, origin, "/") as page:
        await take(page, "empty")


@contextmanager
def empty_folder() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # PostgreSQL may run as another user, who must be able to pass through
        yield folder


async def main() -> None:
    expect.set_options(timeout=PATIENCE_MS)
    async with launched() as browser:
        with running([*FLOWTRAIL, "demo", "--port", "0"], until="Ctrl-C") as demo:
            await take_the_demo(browser, demo.found(r"Look +(\S+)/\n"))
            await take_graphiql(browser, demo.found(r"Look +(\S+)/\n"))
        with (
            empty_folder() as folder,
            running([*FLOWTRAIL, "serve", "--port", "0", "--data-dir", folder], until="Recorders") as service,
        ):
            await take_the_beginning(browser, service.found(r"Page +(\S+)/\n"))


asyncio.run(main())
