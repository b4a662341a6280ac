"""Recording: executions of five nodes over HTTP, beside COPY of the rows they become and the service's own statements alone.

All three do the same work, in turn, on the same batches: what one has written is deleted before the next begins.
"""

from __future__ import annotations  # asyncpg's classes are generic for the type checker only

import asyncio
import io
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import asyncpg

from flowtrail import recording
from flowtrail.bench.client import Load, send_all
from flowtrail.bench.events import RECORD, Batch
from flowtrail.bench.figures import Area, Round
from flowtrail.bench.servers import Server
from flowtrail.database import Database

BATCH = 80
"""Executions of a batch: 960 events, near the most a recorder sends at once."""
BATCHES_A_SECOND = 8
"""How many batches a measurement has for each of its seconds."""
RECORDERS = (1, 8)
HOT_FLOW, MANY_FLOWS = "one hot flow", "many flows"
_COPIED = {
    "execution": "id",
    "execution_payload": "execution_id",
    "execution_parameter": "execution_id",
    "node_execution": "execution_id",
    "execution_change": "execution_id",
}
"""Tables whose rows are copied, and the column that names the execution."""
_MADE_BY_TABLE = ("xid", "seq")
"""Columns that a change gets when it is inserted, and not before."""
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class Query(NamedTuple):
    """A statement that the service sends."""

    text: str
    arguments: Sequence[Any]


class Copied(NamedTuple):
    """Rows that the service copies."""

    table: str
    columns: Sequence[str]
    records: Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Recorded:
    """A batch, with what the service makes of it: what it sends, and the rows as COPY reads them."""

    batch: Batch
    sent: Sequence[Query | Copied]
    rows: dict[str, tuple[list[str], bytes]]
    """By table: columns, and binary COPY data."""
    deltas: Query
    """The statement that appends to the counts; its few rows are folded away every second and can't be copied afterwards."""


async def prepared(dsn: str, kind: str, flows: int, batches: int) -> list[Recorded]:
    """Return batches for all three ways. Each is recorded once to see what becomes of it, and deleted."""
    sent: list[Query | Copied] = []

    class Watched(asyncpg.Connection):
        async def copy_records_to_table(self, table_name: str, *, records: Any, columns: Any = None, **options: Any) -> str:
            sent.append(Copied(table_name, columns, records))
            return await super().copy_records_to_table(table_name, records=records, columns=columns, **options)

    async def watch(connection: Any) -> None:
        connection.add_query_logger(lambda logged: sent.append(Query(logged.query, logged.args)))

    settings = {"timezone": "UTC"}
    watched = await asyncpg.create_pool(dsn, min_size=1, max_size=1, connection_class=Watched, init=watch, server_settings=settings)
    connection = await asyncpg.connect(dsn, server_settings={"timezone": "UTC"})
    database = Database(dsn, watched, watched, patience=60)
    found = []
    for number in range(batches):
        tools = [f"tool-{1 + (0 if kind == HOT_FLOW else number * BATCH + place) % flows}" for place in range(BATCH)]
        batch = Batch.of(tools)
        sent.clear()
        receipts, _ = await recording.record(database, batch.events, batch.sent_at, None)
        if any(receipt.outcome != "ACCEPTED" for receipt in receipts):
            raise RuntimeError(receipts)
        own = [one for one in sent if isinstance(one, Copied) or not one.text.startswith(("BEGIN", "COMMIT", "SELECT pg_"))]
        (deltas,) = [one for one in own if isinstance(one, Query) and "INTO execution_count_delta" in one.text]
        found.append(Recorded(batch, own, await _rows(connection, batch), deltas))
        await _delete(connection, [found[-1]])
    await watched.close()
    await connection.close()
    return found


async def _rows(connection: Connection, batch: Batch) -> dict[str, tuple[list[str], bytes]]:
    found = {}
    for table, column in _COPIED.items():
        names = await connection.fetch(
            "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped", table
        )
        columns = [name for (name,) in names if name not in _MADE_BY_TABLE]
        data = io.BytesIO()
        query = f"SELECT {', '.join(columns)} FROM {table} WHERE {column} = ANY($1)"
        await connection.copy_from_query(query, list(batch.ids), output=data, format="binary")
        found[table] = (columns, data.getvalue())
    return found


async def _delete(connection: Connection, recorded: Sequence[Recorded]) -> None:
    ids = [id_ for one in recorded for id_ in one.batch.ids]
    await connection.execute("DELETE FROM execution WHERE id = ANY($1)", ids)
    await connection.execute("DELETE FROM execution_change WHERE execution_id = ANY($1)", ids)


async def measure(
    area: Area, server: Server, dsn: str, recorded: dict[str, list[Recorded]], rounds: int, advance: Callable[[], None]
) -> None:
    """Add to `area` so many rounds of the three ways, from one recorder and from several; `advance` is told of each measurement."""
    connections = [await asyncpg.connect(dsn, server_settings={"timezone": "UTC"}) for _ in range(max(RECORDERS))]
    try:
        for _ in range(rounds):
            for kind, batches in recorded.items():
                requests = [server.request("", RECORD, one.batch.variables) for one in batches]
                for recorders in RECORDERS:
                    for subject, write in (("flowtrail", None), ("SQL alone", _replay), ("COPY", _copy)):
                        if write is None:
                            found = await _over_http(server, requests, recorders)
                        else:
                            found = await _apart(connections[:recorders], batches, write)
                        area.of(kind, recorders, subject).rounds.append(found)
                        await _delete(connections[0], batches)
                        advance()
    finally:
        for connection in connections:
            await connection.close()


async def _over_http(server: Server, requests: Sequence[bytes], recorders: int) -> Round:
    before = server.cpu
    load = await send_all(server.port, requests, recorders)
    return Round.of(load, server.cpu - before, each=BATCH)


async def _apart(
    connections: Sequence[Connection], batches: Sequence[Recorded], write: Callable[[Connection, Recorded], Awaitable[None]]
) -> Round:
    """Write all batches, each in a transaction, from connections that take turns."""
    load, waiting = Load(), iter(batches)

    async def work(connection: Connection) -> None:
        for one in waiting:
            began = time.perf_counter()
            async with connection.transaction():
                await write(connection, one)
            load.latencies.append((time.perf_counter() - began) * 1000)

    began = time.perf_counter()
    await asyncio.gather(*(work(connection) for connection in connections))
    load.seconds = time.perf_counter() - began
    return Round.of(load, None, each=BATCH)


async def _replay(connection: Connection, one: Recorded) -> None:
    for step in one.sent:
        if isinstance(step, Query):
            await connection.fetch(step.text, *step.arguments)
        else:
            await connection.copy_records_to_table(step.table, records=step.records, columns=step.columns)


async def _copy(connection: Connection, one: Recorded) -> None:
    for table, (columns, data) in one.rows.items():
        await connection.copy_to_table(table, source=io.BytesIO(data), columns=columns, format="binary")
    await connection.execute(one.deltas.text, *one.deltas.arguments)
