"""Readers and recorders that never rest, and what they met: for tests of what must hold while something breaks."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx2

from recorder import RECORD, Event, finished, id_of, iso, node_finished, node_started, now, started

if TYPE_CHECKING:
    from collections.abc import Awaitable

QUERY = "{ executions(first: 5) { totalCount edges { node { uuid status } } } }"
HEADERS = {"accept": "application/json"}
OK = "OK"


def whole_execution() -> list[Event]:
    """The events of an execution with one node, from start to end."""
    begin = started()
    return [begin, node_started(id_of(begin)), node_finished(id_of(begin)), finished(id_of(begin))]


def outcome_of(answer: httpx2.Response) -> str:
    """Say in a word how an answer turned out: OK, or the status and the first error's code."""
    content = answer.json()
    errors = content.get("errors")
    if not errors:
        return OK if answer.status_code == 200 else str(answer.status_code)
    return f"{answer.status_code} {errors[0]['extensions']['code']}"


@dataclass
class Load:
    """Four readers and two recorders of one service."""

    url: str
    record_token: str
    acknowledged: set[str] = field(default_factory=set)
    """The ids of executions of which every event was receipted."""
    reads: Counter[str] = field(default_factory=Counter)
    writes: Counter[str] = field(default_factory=Counter)
    slowest: float = 0.0
    """Seconds the longest request took, from its sending to its answer or error."""
    _stopped: bool = False

    async def during(self, harm: Awaitable[Any], settle: int = 40) -> None:
        """Keep going before, while `harm` is awaited, and until there are `settle` reads and some batches more that succeed."""
        tasks = [asyncio.create_task(work()) for work in (*[self._read] * 4, *[self._record] * 2)]
        try:
            await self._until(reads=20, acknowledged=6)
            await harm
            await self._until(reads=self.reads[OK] + settle, acknowledged=len(self.acknowledged) + 6)
        finally:
            self._stopped = True
            await asyncio.gather(*tasks)

    async def _until(self, *, reads: int, acknowledged: int) -> None:
        async with asyncio.timeout(60):
            while self.reads[OK] < reads or len(self.acknowledged) < acknowledged:
                await asyncio.sleep(0.01)

    async def _read(self) -> None:
        async with httpx2.AsyncClient(base_url=self.url, headers=HEADERS, timeout=60) as client:
            while not self._stopped:
                outcome, _ = await self._ask(client, {"query": QUERY})
                self.reads[outcome] += 1
                await asyncio.sleep(0 if outcome == OK else 0.05)

    async def _record(self) -> None:
        """Send batches, each again until it is acknowledged, as a recorder does."""
        headers = HEADERS | {"authorization": f"Bearer {self.record_token}"}
        async with httpx2.AsyncClient(base_url=self.url, headers=headers, timeout=60) as client:
            while not self._stopped:
                events = [event for _ in range(3) for event in whole_execution()]
                body = {"query": RECORD, "variables": {"input": {"sentAt": iso(now()), "events": events}}}
                while not self._stopped:
                    outcome, data = await self._ask(client, body)
                    self.writes[outcome] += 1
                    if outcome == OK:
                        assert {receipt["outcome"] for receipt in data["recordEvents"]["receipts"]} <= {"ACCEPTED", "DUPLICATE"}
                        self.acknowledged |= {id_of(event) for event in events}
                        break
                    await asyncio.sleep(0.05)

    async def _ask(self, client: httpx2.AsyncClient, body: Any) -> tuple[str, Any]:
        began = time.monotonic()
        try:
            answer = await client.post("/graphql", json=body)
        except httpx2.TransportError as error:
            return type(error).__name__, None
        finally:
            self.slowest = max(self.slowest, time.monotonic() - began)
        return outcome_of(answer), answer.json().get("data")


async def stored(dsn: str) -> Counter[str]:
    """How often each execution's id is in a database, with its node and its end."""
    connection = await asyncpg.connect(dsn)
    try:
        rows = await connection.fetch(
            "SELECT e.id FROM execution e JOIN node_execution n ON n.execution_id = e.id WHERE e.status = 'FULFILLED'"
        )
        return Counter(str(row["id"]) for row in rows)
    finally:
        await connection.close()


async def assert_kept(load: Load, dsn: str) -> None:
    """What was acknowledged is stored, whole, and once."""
    found = await stored(dsn)
    assert load.acknowledged <= found.keys()
    assert set(found.values()) == {1}
