"""The sample MCP server of `flowtrail demo`: a small shop, run with `python -m flowtrail.demo.shop`.

What a call does depends on its arguments alone: card numbers that end in 0002 are declined, the carrier "Snail Mail"
never answers in time, and Atlantis has no shipping zone. Everything else works, some of it slowly.
"""

import asyncio
import time
from typing import Annotated

from fastmcp import Context, FastMCP
from fastmcp.exceptions import ToolError
from pydantic import BaseModel, Field

from flowtrail.mcp import ExecutionTracking, flow_node, node

mcp = FastMCP("shop", middleware=[ExecutionTracking()])

_ZONES = {"FR": 1, "DE": 1, "IT": 1, "US": 2, "JP": 3}
_PRICE_PER_KG = {1: 4.5, 2: 12.0, 3: 18.0}
_WEIGHTS = {"teapot": 1.2, "lamp": 2.5, "notebook": 0.3}
_COUNTING_SECONDS = {"FR": 1.5, "US": 3.0, "JP": 4.0}
_ORDERS = {"A-1001": 54.0, "A-1002": 18.5, "A-1003": 240.0}


class CardDeclined(Exception):
    """The bank said no."""


class OrderLine(BaseModel):
    """Some pieces of one article."""

    article: str
    pieces: int = 1


CardNumber = Annotated[str, Field(description="Never recorded.", json_schema_extra={"format": "password"})]


@mcp.tool
async def place_order(customer: str, lines: list[OrderLine], country: str, card_number: CardNumber) -> str:
    """Check the stock, ask another flow what shipping costs, charge the card, and book the parcel."""
    async with node("Check stock", input=[line.model_dump() for line in lines], type="database") as step:
        await asyncio.sleep(0.05)
        step.output = weight = sum(_WEIGHTS[line.article] * line.pieces for line in lines)
    async with node("Quote shipping", type="flow") as step:
        quote = await mcp.call_tool("quote_shipping", {"country": country, "weight_kg": weight})
        step.output = quote.structured_content
    await charge_card(customer, card_number)
    async with node("Book parcel", input={"country": country}, type="http") as step:
        await asyncio.sleep(0.15)
        step.output = {"parcel": f"P-{sum(map(ord, customer)):04}"}
    return f"Thank you, {customer}."


@flow_node("Charge card", type="http")
async def charge_card(customer: str, card_number: str) -> dict[str, str]:
    """Raise CardDeclined for cards that end in 0002."""
    await asyncio.sleep(0.2)
    if card_number.endswith("0002"):
        raise CardDeclined(f"the bank declined the card of {customer}")
    return {"charge": "ok"}


@mcp.tool
def quote_shipping(country: str, weight_kg: float) -> dict[str, float]:
    """Say what shipping costs. A plain function: nodes work without async too."""
    with node("Find zone", input={"country": country}) as step:
        time.sleep(0.01)
        step.output = zone = _ZONES[country]
    with node("Price", input={"zone": zone, "weight_kg": weight_kg}) as step:
        step.output = price = round(_PRICE_PER_KG[zone] * weight_kg, 2)
    return {"price": price}


@mcp.tool
async def daily_report(day: str, context: Context) -> str:
    """Add up a day's sales of every country, all at the same time: slow, with nodes inside a node."""
    async with node("Collect sales", input={"day": day}) as step:
        async with asyncio.TaskGroup() as group:
            counts = [group.create_task(count_sales(country, seconds)) for country, seconds in _COUNTING_SECONDS.items()]
            await context.report_progress(1, 2, "collecting")
        step.output = sold = sum(count.result() for count in counts)
    async with node("Render", type="template") as step:
        await asyncio.sleep(0.5)
        step.output = report = f"{sold} orders on {day}"
    await context.report_progress(2, 2, "done")
    return report


async def count_sales(country: str, seconds: float) -> int:
    """Take `seconds` to count the orders of one country."""
    async with node(f"Count sales in {country}", id=f"count-sales-{country.lower()}", type="database") as step:
        await asyncio.sleep(seconds)
        step.output = count = len(country) * 21
    return count


@mcp.tool(timeout=1.0)
async def track_parcel(parcel: str, carrier: str) -> str:
    """Ask a carrier where a parcel is; the tool gives up after a second."""
    async with node(f"Ask {carrier}", input={"parcel": parcel}, id="ask-carrier", type="http") as step:
        await asyncio.sleep(60.0 if carrier == "Snail Mail" else 0.3)
        step.output = place = "on its way"
    return f"{parcel} is {place}."


@mcp.tool
async def refund(order: str, amount: float) -> str:
    """Pay money back, never more than the order's; says so as the tool's own error."""
    async with node("Load order", input={"order": order}, type="database") as step:
        await asyncio.sleep(0.02)
        step.output = paid = _ORDERS[order]
    if amount > paid:
        raise ToolError(f"{order} was paid with {paid:.2f}: {amount:.2f} can't be refunded")
    async with node("Pay back", input={"amount": amount}, type="http"):
        await asyncio.sleep(0.1)
    return f"{amount:.2f} paid back."


if __name__ == "__main__":
    # Errors are part of the show; the record tells of them, not the terminal.
    mcp.run(show_banner=False, log_level="CRITICAL")
