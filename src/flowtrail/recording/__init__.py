"""The one door in: the only code that writes executions, with their changes and counts in the same transaction (spec 1, 4.2).

events.py   what recorders report, checked
machine.py  the state machine, which knows no SQL
rows.py     what is written of a state
store.py    loads locked states, writes what changed
upkeep.py   the sweep of overdue executions, and purging
"""

import uuid
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import asyncpg

from flowtrail import flows
from flowtrail.database import Database, Write
from flowtrail.errors import Unavailable
from flowtrail.observability import metrics
from flowtrail.recording import store
from flowtrail.recording.events import Event, Finished, NodeFinished, NodeStarted, Started
from flowtrail.recording.machine import Batch, ExecutionState, Receipt
from flowtrail.turns import Turns, in_turns

MAX_EVENTS = 1000
"""Events of one batch."""
_APPLIED_AT_ONCE = 4
_ATTEMPTS = 10
_TRY_AGAIN = (store.StartedElsewhere, asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


async def record(
    database: Database,
    events: Sequence[Event],
    sent_at: datetime,
    servers: frozenset[str] | None,
    turns: Turns | None = None,
) -> tuple[list[Receipt], datetime]:
    """Record a batch in one transaction and return a receipt for each event, and the database's time, after the commit.

    `sent_at` is the recorder's clock as it sent them, `servers` those it may record for (None: all), `turns` those of a batch that
    may be large. Sending a batch again changes nothing. Raises Unavailable when other recorders keep getting in between, or the
    database's own expected errors.
    """
    for _ in range(_ATTEMPTS):
        try:
            async with database.write() as write:
                batch, receipts = await _record(write, events, sent_at, servers, turns)
        except _TRY_AGAIN:
            continue
        database.news.set()
        _count(batch, receipts)
        return receipts, batch.now
    raise Unavailable("other recorders are writing the same executions; send the batch again")


async def _record(
    write: Write, events: Sequence[Event], sent_at: datetime, servers: frozenset[str] | None, turns: Turns | None = None
) -> tuple[Batch, list[Receipt]]:
    states = await store.lock_executions(write, (event.execution_id for event in events))
    now: datetime = await write.fetchval("SELECT clock_timestamp()")
    if states:
        await _load_nodes(write, states, events, now)
    batch = Batch(states, now, sent_at=sent_at, flows=await _flows_of(write, events, states, servers), servers=servers)
    receipts = [batch.apply(event) async for event in in_turns(events, turns, _APPLIED_AT_ONCE)]
    await store.write_batch(write, batch, turns)
    return batch, receipts


async def _load_nodes(write: Write, states: dict[uuid.UUID, ExecutionState], events: Sequence[Event], now: datetime) -> None:
    named = {
        (event.execution_id, event.position)
        for event in events
        if isinstance(event, NodeStarted | NodeFinished) and event.execution_id in states
    }
    finishing = {event.execution_id for event in events if isinstance(event, Finished)}
    ending = [id_ for id_, state in states.items() if id_ in finishing or _may_end(state, now)]
    await store.load_nodes(write, states, named, ending)


def _count(batch: Batch, receipts: Sequence[Receipt]) -> None:
    for outcome, number in Counter(receipt.outcome for receipt in receipts).items():
        metrics.recorded_events.labels(outcome).inc(number)
    states = batch.executions.values()
    ended = Counter(state.status for state in states if state.status not in ("PENDING", state.stored_status))
    for status, number in ended.items():
        metrics.executions_ended.labels(status).inc(number)


def _may_end(state: ExecutionState, now: datetime) -> bool:
    """Overdue ones are ended by whoever touches them; ended ones may still get nodes, which their count must include."""
    return state.is_overdue(now) or state.status != "PENDING"


async def _flows_of(
    write: Write,
    events: Sequence[Event],
    states: dict[uuid.UUID, ExecutionState],
    servers: frozenset[str] | None,
) -> dict[tuple[str, str], flows.Flow]:
    tools = {
        (event.server, event.tool_name)
        for event in events
        if isinstance(event, Started)
        and event.tool_exists
        and event.execution_id not in states
        and (servers is None or event.server in servers)
    }
    return await flows.ensure_flows(write, tools)
