"""Without the socket, without the service, and after both came back (spec 5.6)."""

import pytest
from playwright.async_api import Page, WebSocketRoute, expect

from browser.chromium import Watch
from browser.sample import STATISTICS, USAGE, detail, flow, fulfilled, pending, record, rows, sign, usage
from flowtrail.database import Database
from recorder import accept, finished, node_started
from support import Service


class Sockets:
    """The page's WebSockets, to be cut."""

    def __init__(self) -> None:
        self._open: list[WebSocketRoute] = []
        self._is_cut = False

    async def route(self, socket: WebSocketRoute) -> None:
        if self._is_cut:
            await socket.close(code=1011)
            return
        socket.connect_to_server()
        self._open.append(socket)

    async def cut(self) -> None:
        self._is_cut = True
        while self._open:
            await self._open.pop().close(code=1011)

    def mend(self) -> None:
        self._is_cut = False


@pytest.fixture
async def sockets(page: Page) -> Sockets:
    sockets = Sockets()
    await page.route_web_socket("**/graphql", sockets.route)
    return sockets


async def hide(page: Page, *, hidden: bool) -> None:
    """Put the tab behind another, or bring it back."""
    state = "hidden" if hidden else "visible"
    await page.evaluate(
        "(state) => { Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => state });"
        " document.dispatchEvent(new Event('visibilitychange')); }",
        state,
    )


async def test_without_the_socket_the_page_asks_while_something_is_pending(
    page: Page, service: Service, sockets: Sockets, watch: Watch
) -> None:
    await page.clock.install()
    await flow(service)
    id_ = await record(service, pending())
    await page.goto(usage(id_))
    await expect(sign(page)).to_have_text("Live")
    await sockets.cut()
    await expect(sign(page)).to_have_text("Checking every 3 s")
    await accept(service, node_started(id_, 0, nodeName="Fetch order"))
    await page.clock.run_for(3_000)
    await expect(detail(page).get_by_role("region", name="Nodes")).to_contain_text("Fetch order")

    await hide(page, hidden=True)
    asked = watch.operations("FlowExecutions")
    await page.clock.run_for(10_000)
    assert watch.operations("FlowExecutions") == asked
    await accept(service, finished(id_))
    await hide(page, hidden=False)
    await page.clock.run_for(3_000)
    await expect(detail(page).get_by_role("heading", name="Fulfilled")).to_be_visible()

    await expect(sign(page)).to_have_text("Not live")
    asked = watch.operations("FlowExecutions")
    await page.clock.run_for(10_000)
    assert watch.operations("FlowExecutions") == asked


async def test_what_was_read_stays_while_the_service_is_away(page: Page, service: Service, sockets: Sockets, watch: Watch) -> None:
    watch.expected.append("ERR_FAILED")
    await page.clock.install()
    await flow(service)
    id_ = await record(service, pending())
    await accept(service, node_started(id_, 0, nodeName="Fetch order", inputData={"id": 17}))
    await page.goto(usage(id_))
    await expect(sign(page)).to_have_text("Live")
    await sockets.cut()
    await page.route("**/graphql", lambda route: route.abort())
    await page.clock.run_for(3_000)
    await expect(page.get_by_text("The list could not be brought up to date")).to_be_visible()
    await expect(rows(page)).to_have_count(1)
    await expect(detail(page).get_by_role("region", name="Input")).to_contain_text('"id": 17')
    await accept(service, finished(id_))
    await page.unroute("**/graphql")
    sockets.mend()
    await page.clock.run_for(15_000)
    await expect(detail(page).get_by_role("heading", name="Fulfilled")).to_be_visible()
    await expect(page.get_by_text("The list could not be brought up to date")).to_have_count(0)


async def test_what_happened_without_the_socket_is_made_up_for(page: Page, service: Service, sockets: Sockets) -> None:
    await page.clock.install()
    await flow(service)
    await record(service, fulfilled())
    await page.goto(USAGE)
    await expect(sign(page)).to_have_text("Live")
    await sockets.cut()
    await expect(sign(page)).to_have_text("Not live")
    await record(service, pending())
    sockets.mend()
    await page.clock.run_for(15_000)
    await expect(sign(page)).to_have_text("Live")
    await expect(rows(page)).to_have_count(2)


async def test_a_cursor_that_is_served_no_more_leads_to_a_fresh_list(
    page: Page, service: Service, sockets: Sockets, database: Database
) -> None:
    await page.clock.install()
    await flow(service)
    await record(service, fulfilled())
    await page.goto(USAGE)
    await expect(sign(page)).to_have_text("Live")
    await sockets.cut()
    await expect(sign(page)).to_have_text("Not live")
    await record(service, fulfilled())
    async with database.write() as write:
        await write.execute("UPDATE feed_epoch SET epoch = gen_random_uuid()")
    sockets.mend()
    await page.clock.run_for(15_000)
    await expect(rows(page)).to_have_count(2)
    await expect(sign(page)).to_have_text("Live")
    await record(service, fulfilled())
    await expect(rows(page)).to_have_count(3)


async def test_what_failed_to_be_read_is_read_when_the_service_is_back(
    page: Page, service: Service, sockets: Sockets, watch: Watch
) -> None:
    """Also where nothing is pending, so that nothing is polled."""
    watch.expected.append("ERR_FAILED")
    await page.clock.install()
    await flow(service)
    await record(service, fulfilled())
    for address, what in ((USAGE, "The list"), ("/", "The list"), (STATISTICS, "The statistics")):
        await page.goto(address)
        await expect(sign(page)).to_have_text("Live")
        await page.route("**/graphql", lambda route: route.abort())
        await record(service, fulfilled())
        stale = page.get_by_role("status").filter(has_text=f"{what} could not be brought up to date. The service can't be reached.")
        await page.clock.run_for(5_000)
        await expect(stale).to_be_visible()
        await sockets.cut()
        await expect(sign(page)).to_have_text("Not live")
        await page.unroute("**/graphql")
        sockets.mend()
        await page.clock.run_for(20_000)
        await expect(sign(page)).to_have_text("Live")
        await page.clock.run_for(5_000)
        await expect(stale).to_have_count(0)


async def test_a_reader_need_not_wait_for_the_next_attempt(page: Page, service: Service, watch: Watch) -> None:
    watch.expected.append("ERR_FAILED")
    await flow(service)
    await page.goto(USAGE)
    await expect(sign(page)).to_have_text("Live")
    await page.route("**/graphql", lambda route: route.abort())
    await record(service, fulfilled())
    stale = page.get_by_role("status").filter(has_text="The list could not be brought up to date.")
    await expect(stale).to_be_visible()
    await page.unroute("**/graphql")
    await stale.get_by_role("button", name="Retry").click()
    await expect(rows(page)).to_have_count(1)
    await expect(stale).to_have_count(0)


async def test_the_flows_are_asked_for_while_one_is_running_even_if_an_attempt_fails(
    page: Page, service: Service, sockets: Sockets, watch: Watch
) -> None:
    watch.expected.append("ERR_FAILED")
    await page.clock.install()
    await flow(service)
    id_ = await record(service, pending())
    await page.goto("/")
    await expect(sign(page)).to_have_text("Live")
    await sockets.cut()
    await expect(sign(page)).to_have_text("Checking every 3 s")
    await page.route("**/graphql", lambda route: route.abort())
    await page.clock.run_for(3_000)
    await expect(page.get_by_text("The list could not be brought up to date.")).to_be_visible()
    await expect(sign(page)).to_have_text("Checking every 3 s")
    await page.unroute("**/graphql")
    await accept(service, finished(id_))
    await page.clock.run_for(6_000)
    await expect(page.get_by_role("row").filter(has_text="Ship an order")).not_to_contain_text("Running")
    await expect(page.get_by_text("The list could not be brought up to date.")).to_have_count(0)
