"""How long a first visitor waits for a list: a fresh Chromium with an empty cache, until the first row is drawn.

    uv run benchmarks/first_list.py http://127.0.0.1:8000/flows/shop/place_order --visits 20

The time is the page's own clock, in milliseconds from the start of the navigation to the frame after the first row is in
the document. Needs a service with executions, such as `flowtrail demo`, and a Chromium.
"""

import argparse
import asyncio
import shutil
import statistics

from playwright.async_api import Browser, async_playwright

_FIRST_ROW = """
window.firstRow = new Promise((resolve) => {
  new MutationObserver((_, observer) => {
    if (document.querySelector('[aria-label="Executions"] li, tbody tr') === null) return;
    observer.disconnect();
    requestAnimationFrame(() => setTimeout(() => resolve(performance.now())));
  }).observe(document, { childList: true, subtree: true });
});
"""


async def visit(browser: Browser, url: str) -> float:
    """Return the milliseconds one visitor waits."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    await context.add_init_script(_FIRST_ROW)
    page = await context.new_page()
    await page.goto(url, wait_until="commit")
    waited: float = await page.evaluate("window.firstRow")
    await context.close()
    return waited


async def main(url: str, visits: int) -> None:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=shutil.which("chromium"))
        await visit(browser, url)  # a new browser's own first page is slow
        times = sorted([await visit(browser, url) for _ in range(visits)])
        await browser.close()
    print(f"median {statistics.median(times):.0f} ms, fastest {times[0]:.0f} ms, slowest {times[-1]:.0f} ms of {visits} visits")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--visits", type=int, default=20)
    arguments = parser.parse_args()
    asyncio.run(main(arguments.url, arguments.visits))
