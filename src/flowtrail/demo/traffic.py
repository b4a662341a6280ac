"""The MCP client of `flowtrail demo`: first one call of every kind, then calls at random for as long as it may."""

import asyncio
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StdioTransport
from mcp_types import Implementation

from mcp import MCPError

CALLERS = 3
"""How many calls may be under way at once."""
LONGEST_PAUSE = 2.0
"""Seconds between the calls of one caller, at most."""
_RESTART_PAUSE = 1.0
"""Seconds before a server that died is started again."""


@dataclass(frozen=True)
class Call:
    """One call of a tool. `gives_up_after` is in seconds: the client then cancels it."""

    tool: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    is_preview: bool = False
    gives_up_after: float | None = None


def _order(customer: str, article: str, country: str = "FR", card: str = "4242 4242 4242 4242") -> dict[str, Any]:
    return {"customer": customer, "lines": [{"article": article, "pieces": 2}], "country": country, "card_number": card}


TOUR = (
    Call("place_order", _order("Ada", "teapot")),
    Call("daily_report", {"day": "2026-03-01"}),
    Call("place_order", _order("Grace", "lamp", card="4000 0000 0000 0002")),
    Call("quote_shipping", {"country": "JP", "weight_kg": 3.5}, is_preview=True),
    Call("quote_shipping", {"country": "Atlantis", "weight_kg": 1.0}),
    Call("track_parcel", {"parcel": "P-0042", "carrier": "Swift Post"}),
    Call("track_parcel", {"parcel": "P-0043", "carrier": "Snail Mail"}),
    Call("refund", {"order": "A-1002", "amount": 18.5}),
    Call("refund", {"order": "A-1002", "amount": 99.0}),
    Call("refund", {"order": "A-1003"}),
    Call("daily_report", {"day": "2026-03-02"}, gives_up_after=1.0),
    Call("refund_everything", {"order": "A-1003"}),
)
"""Every way a call can go: well, slowly, as a preview, and wrong in each way there is."""

_USUAL = (
    Call("place_order", _order("Linus", "notebook", "US")),
    Call("place_order", _order("Margaret", "lamp", "JP")),
    Call("place_order", _order("Alan", "teapot", "DE")),
    Call("quote_shipping", {"country": "IT", "weight_kg": 0.8}),
    Call("quote_shipping", {"country": "US", "weight_kg": 7.25}),
    Call("track_parcel", {"parcel": "P-0044", "carrier": "Swift Post"}),
    Call("refund", {"order": "A-1001", "amount": 4.0}),
)
_TOUR_SHARE = 0.3
"""How often something of the tour comes again, among calls that all go well."""


async def keep_calling(command: list[str], environment: dict[str, str], answered: asyncio.Event) -> None:
    """Start the MCP server with `command` and call its tools until cancelled; a server that dies is started again.

    `answered` is set once a first call was.
    """
    program, *arguments = command
    waiting = iter(TOUR)
    while True:
        transport = StdioTransport(program, arguments, env=environment, keep_alive=False)
        try:
            async with (
                Client(transport, client_info=Implementation(name="flowtrail-demo", version="1")) as client,
                asyncio.TaskGroup() as callers,
            ):
                for _ in range(CALLERS):
                    callers.create_task(_keep_calling(client, waiting, answered))
        except* MCPError:
            await asyncio.sleep(_RESTART_PAUSE)


async def _keep_calling(client: Client[StdioTransport], waiting: Iterator[Call], answered: asyncio.Event) -> None:
    """Make the calls that wait, then others at random; raises MCPError when the server has gone."""
    chance = random.Random()  # noqa: S311 (variety, not secrecy)
    while True:
        call = next(waiting, None) or chance.choice(TOUR if chance.random() < _TOUR_SHARE else _USUAL)
        await _make(client, call)
        answered.set()
        await asyncio.sleep(chance.uniform(0.2, LONGEST_PAUSE))


async def _make(client: Client[StdioTransport], call: Call) -> None:
    """Make one call. How it ends is for the record to tell; only the server's own end is ours."""
    meta = {"flowtrail/preview": True} if call.is_preview else None
    try:
        async with asyncio.timeout(call.gives_up_after):
            await client.call_tool(call.tool, dict(call.arguments), meta=meta, raise_on_error=False)
    except TimeoutError:
        if call.gives_up_after is None:
            raise
