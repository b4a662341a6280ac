"""The least a Python service can do for the same answers: one hand-written SQL statement after the other on asyncpg, rows made into
dicts, orjson, an ASGI function under uvicorn. No GraphQL, no checks, no access control: what is to be compared with.

    DATABASE_URL=postgresql://… python -m flowtrail.bench.bare
"""

from __future__ import annotations  # asyncpg's classes are generic for the type checker only

import os
import struct
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import uvicorn

from flowtrail import listening
from flowtrail.database import READING

Answer = Callable[[str], Awaitable[dict[str, Any]]]
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_CURSOR = struct.Struct(">Bq16s")
_PAGE_SIZE = 50
_COLUMNS = """id, status, started_at, ended_at, extract(epoch FROM ended_at - started_at)::float8 * 1000 AS duration_ms, flow_name,
    flow_tool_name, initial_params_preview, is_preview, node_count, error_kind, error_message, failed_node_name"""
_OF_FLOW = f"SELECT {_COLUMNS} FROM execution WHERE flow_id = $1 ORDER BY started_at DESC, id DESC LIMIT {_PAGE_SIZE + 1}"
_AFTER = f"""SELECT {_COLUMNS} FROM execution WHERE (started_at, id) < ($1::timestamptz, $2::uuid)
    ORDER BY started_at DESC, id DESC LIMIT {_PAGE_SIZE + 1}"""
_BY_ID = f"""SELECT {_COLUMNS}, initial_params, result FROM execution JOIN execution_payload ON execution_id = id WHERE id = $1"""
_NODES = """SELECT position, node_id, node_name, node_type, status, started_at, ended_at,
    extract(epoch FROM ended_at - started_at)::float8 * 1000 AS duration_ms, input_data, output_data, error
    FROM node_execution WHERE execution_id = $1 ORDER BY position"""


class Reader:
    """Reads what is asked for."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def page(self, key: str) -> dict[str, Any]:
        """The newest executions of a flow."""
        flow_id = UUID(key)
        async with self._pool.acquire() as connection:
            name = await connection.fetchval("SELECT name FROM flow WHERE id = $1 AND deleted_at IS NULL", flow_id)
            rows = await connection.fetch(_OF_FLOW, flow_id)
        return {"flow": {"name": name, "executions": _page(rows, has_previous=False)}}

    async def deep_page(self, key: str) -> dict[str, Any]:
        """What follows a cursor among all executions."""
        _, microseconds, id_ = _CURSOR.unpack(bytes.fromhex(key))
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(_AFTER, _EPOCH + timedelta(microseconds=microseconds), UUID(bytes=id_))
        return {"executions": _page(rows, has_previous=True)}

    async def details(self, key: str) -> dict[str, Any]:
        """An execution with its payloads and nodes."""
        id_ = UUID(key)
        async with self._pool.acquire() as connection:
            row = await connection.fetchrow(_BY_ID, id_)
            nodes = await connection.fetch(_NODES, id_)
        assert row is not None  # noqa: S101 (only what is there is asked for)
        payloads = {"initialParams": _json(row["initial_params"]), "result": _json(row["result"])}
        return {"execution": {**_row(row), **payloads, "nodeExecutions": [_node(node) for node in nodes]}}


def _page(rows: list[asyncpg.Record], *, has_previous: bool) -> dict[str, Any]:
    edges = [{"cursor": _cursor(row), "node": _row(row)} for row in rows[:_PAGE_SIZE]]
    return {
        "edges": edges,
        "pageInfo": {
            "hasNextPage": len(rows) > _PAGE_SIZE,
            "hasPreviousPage": has_previous,
            "startCursor": edges[0]["cursor"] if edges else None,
            "endCursor": edges[-1]["cursor"] if edges else None,
        },
    }


def _cursor(row: asyncpg.Record) -> str:
    microseconds = (row["started_at"] - _EPOCH) // timedelta(microseconds=1)
    return _CURSOR.pack(1, microseconds, row["id"].bytes).hex()


def _row(row: asyncpg.Record) -> dict[str, Any]:
    error = None
    if row["error_kind"] is not None:
        error = {"kind": row["error_kind"], "message": row["error_message"], "nodeName": row["failed_node_name"]}
    return {
        "uuid": row["id"],
        "status": row["status"],
        "startedAt": row["started_at"],
        "endedAt": row["ended_at"],
        "durationMs": row["duration_ms"],
        "flowName": row["flow_name"],
        "flowToolName": row["flow_tool_name"],
        "initialParamsPreview": row["initial_params_preview"],
        "isPreview": row["is_preview"],
        "nodeCount": row["node_count"],
        "errorInfo": error,
    }


def _node(row: asyncpg.Record) -> dict[str, Any]:
    return {
        "position": row["position"],
        "nodeId": row["node_id"],
        "nodeName": row["node_name"],
        "nodeType": row["node_type"],
        "status": row["status"],
        "startedAt": row["started_at"],
        "endedAt": row["ended_at"],
        "durationMs": row["duration_ms"],
        "inputData": _json(row["input_data"]),
        "outputData": _json(row["output_data"]),
        "error": row["error"],
    }


def _json(text: str | None) -> orjson.Fragment | None:
    return None if text is None else orjson.Fragment(text)


class _Connection(asyncpg.Connection):
    """A connection that is given back without a round trip, as the service's are."""

    def get_reset_query(self) -> str:
        return ""


async def serve(dsn: str) -> None:
    """Answer GETs of /page/FLOW, /deep-page/CURSOR and /details/EXECUTION on a free port until killed."""
    pool = await asyncpg.create_pool(
        dsn, min_size=1, max_size=10, connection_class=_Connection, server_settings={"timezone": "UTC", **READING}
    )
    reader = Reader(pool)
    answers: dict[str, Answer] = {"/page": reader.page, "/deep-page": reader.deep_page, "/details": reader.details}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        path, _, key = scope["path"].rpartition("/")
        answer = answers.get(path)
        data = await answer(key) if answer else None
        # asyncpg's UUIDs are a class of its own, which orjson does not know.
        content = orjson.dumps({"data": data}, default=str, option=orjson.OPT_UTC_Z)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(content))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    with listening.listener("127.0.0.1", 0) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)  # noqa: T201 (whoever started it reads this)
        config = uvicorn.Config(app, lifespan="off", log_config=None, access_log=False)
        await uvicorn.Server(config).serve(sockets=[listener])


if __name__ == "__main__":
    import uvloop

    uvloop.run(serve(os.environ["DATABASE_URL"]))
