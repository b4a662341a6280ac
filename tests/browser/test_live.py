"""What happens while somebody looks: by the socket, without it, and after it came back (spec 5.6)."""

from datetime import timedelta

import pytest
from playwright.async_api import Locator, Page, WebSocketRoute, expect

from browser.conftest import Watch
from browser.sample import USAGE, flow, fulfilled, many, pending, record, usage
from flowtrail.database import Database
from recorder import accept, finished, node_finished, node_started, now
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


def rows(page: Page) -> Locator:
    return page.get_by_role("list", name="Executions").get_by_role("listitem")


def sign(page: Page) -> Locator:
    """Which of the two ways of staying up to date is on."""
    return page.get_by_role("status").filter(has_text="iv").or_(page.get_by_role("status").filter(has_text="Checking"))


def detail(page: Page) -> Locator:
    return page.get_by_role("region", name="Execution", exact=True)


async def hide(page: Page, *, hidden: bool) -> None:
    """Put the tab behind another, or bring it back."""
    state = "hidden" if hidden else "visible"
    await page.evaluate(
        "(state) => { Object.defineProperty(document, 'visibilityState', { configurable: true, get: () => state });"
        " document.dispatchEvent(new Event('visibilitychange')); }",
        state,
    )


async def test_a_running_execution_is_followed_to_its_end(page: Page, service: Service) -> None:
    await flow(service)
    at = now()
    id_ = await record(service, pending(at))
    await page.goto(usage(id_))
    await expect(sign(page)).to_have_text("Live")
    await expect(detail(page)).to_contain_text("No node has started yet.")
    await accept(service, node_started(id_, 0, nodeName="Fetch order", inputData={"id": 17}))
    card = detail(page).get_by_role("region", name="Nodes").get_by_role("listitem")
    await expect(card).to_contain_text("Fetch order")
    await expect(card).to_contain_text("Pending")
    await accept(service, node_finished(id_, 0, outputData={"lines": 3}))
    await expect(card.get_by_role("region", name="Output")).to_contain_text('"lines": 3')
    error = {"kind": "EXCEPTION", "message": "No stock", "nodeName": "Fetch order"}
    await accept(service, finished(id_, at=at + timedelta(milliseconds=1500), error=error))
    await expect(detail(page).get_by_role("region", name="Error")).to_contain_text("No stock")
    await expect(rows(page).get_by_role("img")).to_have_accessible_name("Error: execution failed")
    await expect(rows(page)).to_contain_text("1.50 s")


async def test_new_executions_appear_on_the_first_page(page: Page, service: Service) -> None:
    await flow(service)
    await page.goto(USAGE)
    await expect(page.get_by_role("heading", name="No executions yet")).to_be_visible()
    await expect(sign(page)).to_have_text("Live")
    await record(service, fulfilled())
    await expect(rows(page)).to_have_count(1)
    await record(service, pending())
    await expect(rows(page)).to_have_count(2)
    await expect(rows(page).first.get_by_role("img")).to_have_accessible_name("Pending: execution in progress")
    await expect(page.get_by_text("2 executions")).to_be_visible()


async def test_a_reader_of_page_two_is_told_and_not_moved(page: Page, service: Service) -> None:
    await flow(service)
    await many(service, 45)
    await page.goto(USAGE)
    await page.get_by_role("link", name="Page 2").click()
    first = rows(page).first
    await expect(first).to_contain_text("number: 24")
    await expect(sign(page)).to_have_text("Live")
    before = await first.bounding_box()
    for _ in range(3):
        await record(service, fulfilled(now()))
    newcomers = page.get_by_role("link", name="3 new")
    await expect(newcomers).to_be_visible()
    await expect(first).to_contain_text("number: 24")
    await expect(rows(page)).to_have_count(20)
    assert await first.bounding_box() == before
    await newcomers.click()
    await expect(first).to_contain_text("order: 17")
    await expect(newcomers).to_have_count(0)


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


async def test_the_list_of_flows_is_live(page: Page, service: Service) -> None:
    await page.goto("/")
    await expect(page.get_by_role("heading", name="No flows yet")).to_be_visible()
    await expect(sign(page)).to_have_text("Live")
    id_ = await record(service, pending())
    row = page.get_by_role("row").filter(has_text="ship")
    await expect(row).to_contain_text("Running")
    await accept(service, finished(id_, error="EXCEPTION"))
    await expect(row).not_to_contain_text("Running")
    await expect(row).to_contain_text("100 %")
