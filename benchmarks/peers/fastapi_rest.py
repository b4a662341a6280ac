"""FastAPI and pydantic as their documentation leads to: response models, asyncpg, two endpoints.

DATABASE_URL=postgresql://… python benchmarks/peers/fastapi_rest.py
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import uvicorn
from fastapi import FastAPI, HTTPException, Query, Request
from pydantic import BaseModel, Json

from flowtrail import listening
from flowtrail.database import READING

_DURATION = 'extract(epoch FROM ended_at - started_at)::float8 * 1000 AS "durationMs"'
_COLUMNS = f"""id AS uuid, status, started_at AS "startedAt", ended_at AS "endedAt", {_DURATION}, flow_name AS "flowName",
    flow_tool_name AS "flowToolName", initial_params_preview AS "initialParamsPreview", is_preview AS "isPreview",
    node_count AS "nodeCount", error_kind, error_message, failed_node_name"""


class ErrorInfo(BaseModel):
    kind: str
    message: str
    nodeName: str | None  # noqa: N815 (as it goes out)


class Execution(BaseModel):
    uuid: UUID
    status: str
    startedAt: datetime  # noqa: N815
    endedAt: datetime | None  # noqa: N815
    durationMs: float | None  # noqa: N815
    flowName: str  # noqa: N815
    flowToolName: str  # noqa: N815
    initialParamsPreview: str  # noqa: N815
    isPreview: bool  # noqa: N815
    nodeCount: int  # noqa: N815
    errorInfo: ErrorInfo | None  # noqa: N815


class Edge(BaseModel):
    cursor: str
    node: Execution


class PageInfo(BaseModel):
    hasNextPage: bool  # noqa: N815
    hasPreviousPage: bool  # noqa: N815
    startCursor: str | None  # noqa: N815
    endCursor: str | None  # noqa: N815


class Page(BaseModel):
    name: str
    edges: list[Edge]
    pageInfo: PageInfo  # noqa: N815


class NodeExecution(BaseModel):
    position: int
    nodeId: str  # noqa: N815
    nodeName: str  # noqa: N815
    nodeType: str  # noqa: N815
    status: str
    startedAt: datetime  # noqa: N815
    endedAt: datetime | None  # noqa: N815
    durationMs: float | None  # noqa: N815
    inputData: Json[Any] | None  # noqa: N815
    outputData: Json[Any] | None  # noqa: N815
    error: str | None


class Details(Execution):
    initialParams: Json[Any]  # noqa: N815
    result: Json[Any] | None
    nodeExecutions: list[NodeExecution]  # noqa: N815


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    settings = {"timezone": "UTC", **READING}
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=1, max_size=10, server_settings=settings) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/flows/{flow_id}/executions")
async def executions(request: Request, flow_id: UUID, first: int = Query(20, ge=1, le=100)) -> Page:
    async with request.app.state.pool.acquire() as connection:
        name = await connection.fetchval("SELECT name FROM flow WHERE id = $1 AND deleted_at IS NULL", flow_id)
        rows = await connection.fetch(
            f"SELECT {_COLUMNS} FROM execution WHERE flow_id = $1 ORDER BY started_at DESC, id DESC LIMIT $2", flow_id, first + 1
        )
    if name is None:
        raise HTTPException(404)
    edges = [
        Edge(cursor=f"{row['startedAt'].isoformat()},{row['uuid']}", node=Execution(**_execution(row))) for row in rows[:first]
    ]
    ends = {"startCursor": edges[0].cursor, "endCursor": edges[-1].cursor} if edges else {"startCursor": None, "endCursor": None}
    return Page(name=name, edges=edges, pageInfo=PageInfo(hasNextPage=len(rows) > first, hasPreviousPage=False, **ends))


@app.get("/executions/{execution_id}")
async def execution(request: Request, execution_id: UUID) -> Details:
    async with request.app.state.pool.acquire() as connection:
        row = await connection.fetchrow(
            f"""SELECT {_COLUMNS}, initial_params AS "initialParams", result
                FROM execution JOIN execution_payload ON execution_id = id WHERE id = $1""",
            execution_id,
        )
        nodes = await connection.fetch(
            f"""SELECT position, node_id AS "nodeId", node_name AS "nodeName", node_type AS "nodeType", status,
                       started_at AS "startedAt", ended_at AS "endedAt", {_DURATION}, input_data AS "inputData",
                       output_data AS "outputData", error
                FROM node_execution WHERE execution_id = $1 ORDER BY position""",
            execution_id,
        )
    if row is None:
        raise HTTPException(404)
    return Details(**_execution(row), nodeExecutions=[NodeExecution(**node) for node in nodes])


def _execution(row: Any) -> dict[str, Any]:
    error = None
    if row["error_kind"] is not None:
        error = ErrorInfo(kind=row["error_kind"], message=row["error_message"], nodeName=row["failed_node_name"])
    return {**row, "errorInfo": error}


if __name__ == "__main__":
    with listening.listener("127.0.0.1", 0) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False)).run(sockets=[listener])
