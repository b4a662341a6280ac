"""Strawberry over SQLAlchemy's asynchronous ORM, in two ways.

DATABASE_URL=postgresql://… python benchmarks/peers/strawberry_orm.py           as their documentation leads to
DATABASE_URL=postgresql://… python benchmarks/peers/strawberry_orm.py --tuned   parser and validation caches, data loaders,
                                                                                plain attributes, only the columns needed
"""

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import strawberry
import uvicorn
from fastapi import FastAPI
from sqlalchemy import select
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import defer, undefer
from strawberry.dataloader import DataLoader
from strawberry.extensions import ParserCache, ValidationCache
from strawberry.fastapi import GraphQLRouter
from strawberry.scalars import JSON
from strawberry.types import Info

from flowtrail import listening, models
from flowtrail.database import READING

IS_TUNED = "--tuned" in sys.argv
_MILLISECOND = timedelta(milliseconds=1)


async def _connect() -> "asyncpg.Connection[asyncpg.Record]":
    return await asyncpg.connect(os.environ["DATABASE_URL"], server_settings={"timezone": "UTC", **READING})


engine = create_async_engine("postgresql+asyncpg://", async_creator=_connect, pool_size=10, max_overflow=0)
session = async_sessionmaker(engine, expire_on_commit=False)


@strawberry.type
class ErrorInfo:
    kind: str
    message: str
    node_name: str | None


@strawberry.type
class NodeExecution:
    position: int
    node_id: str
    node_name: str
    node_type: str
    status: str
    started_at: datetime
    ended_at: datetime | None
    duration_ms: float | None
    input_data: JSON | None
    output_data: JSON | None
    error: str | None

    @classmethod
    def of(cls, row: models.NodeExecution) -> "NodeExecution":
        names = ("position", "node_id", "node_name", "node_type", "status", "started_at", "ended_at", "input_data", "output_data")
        return cls(**{name: getattr(row, name) for name in names}, error=row.error, duration_ms=_duration(row))


@strawberry.type
class Execution:
    row: strawberry.Private[models.Execution]
    uuid: UUID
    status: str
    started_at: datetime
    ended_at: datetime | None
    flow_name: str
    flow_tool_name: str
    initial_params_preview: str
    is_preview: bool
    node_count: int
    if IS_TUNED:
        duration_ms: float | None
        error_info: ErrorInfo | None
    else:

        @strawberry.field
        def duration_ms(self) -> float | None:
            return _duration(self.row)

        @strawberry.field
        def error_info(self) -> ErrorInfo | None:
            return _error(self.row)

    @strawberry.field
    async def initial_params(self, info: Info) -> JSON:
        return (await _payload(info, self.uuid)).initial_params

    @strawberry.field
    async def result(self, info: Info) -> JSON | None:
        return (await _payload(info, self.uuid)).result

    @strawberry.field
    async def node_executions(self, info: Info) -> list[NodeExecution]:
        async with session() as opened:
            query = select(models.NodeExecution).where(models.NodeExecution.execution_id == self.uuid)
            return [NodeExecution.of(row) for row in await opened.scalars(query.order_by(models.NodeExecution.position))]

    @classmethod
    def of(cls, row: models.Execution) -> "Execution":
        computed = {"duration_ms": _duration(row), "error_info": _error(row)} if IS_TUNED else {}
        return cls(
            row=row,
            uuid=row.id,
            status=row.status,
            started_at=row.started_at,
            ended_at=row.ended_at,
            flow_name=row.flow_name,
            flow_tool_name=row.flow_tool_name,
            initial_params_preview=row.initial_params_preview,
            is_preview=row.is_preview,
            node_count=row.node_count,
            **computed,
        )


@strawberry.type
class ExecutionEdge:
    cursor: str
    node: Execution


@strawberry.type
class PageInfo:
    has_next_page: bool
    has_previous_page: bool
    start_cursor: str | None
    end_cursor: str | None


@strawberry.type
class ExecutionConnection:
    edges: list[ExecutionEdge]
    page_info: PageInfo


@strawberry.type
class Flow:
    row: strawberry.Private[models.Flow]
    name: str

    @strawberry.field
    async def executions(self, first: int = 20) -> ExecutionConnection:
        model = models.Execution
        query = select(model).where(model.flow_id == self.row.id).order_by(model.started_at.desc(), model.id.desc())
        if IS_TUNED:
            query = query.options(*_UNUSED)
        async with session() as opened:
            rows = (await opened.scalars(query.limit(first + 1))).all()
        edges = [ExecutionEdge(cursor=f"{row.started_at.isoformat()},{row.id}", node=Execution.of(row)) for row in rows[:first]]
        info = PageInfo(
            has_next_page=len(rows) > first,
            has_previous_page=False,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        )
        return ExecutionConnection(edges=edges, page_info=info)


@strawberry.type
class Query:
    @strawberry.field
    async def flow(self, uuid: UUID) -> Flow | None:
        async with session() as opened:
            row = await opened.get(models.Flow, uuid)
        return Flow(row=row, name=row.name) if row else None

    @strawberry.field
    async def execution(self, uuid: UUID) -> Execution | None:
        async with session() as opened:
            row = await opened.get(models.Execution, uuid)
        return Execution.of(row) if row else None


_USED = {
    "id", "status", "started_at", "ended_at", "flow_name", "flow_tool_name", "initial_params_preview", "is_preview", "node_count",
    "error_kind", "error_message", "failed_node_name",
}  # fmt: skip
_UNUSED = [
    (undefer if attribute.key in _USED else defer)(getattr(models.Execution, attribute.key))
    for attribute in models.Execution.__mapper__.column_attrs
]


def _duration(row: Any) -> float | None:
    return None if row.ended_at is None else (row.ended_at - row.started_at) / _MILLISECOND


def _error(row: models.Execution) -> ErrorInfo | None:
    if row.error_kind is None:
        return None
    return ErrorInfo(kind=row.error_kind, message=row.error_message or "", node_name=row.failed_node_name)


async def _payload(info: Info, id_: UUID) -> models.ExecutionPayload:
    if IS_TUNED:
        payload: models.ExecutionPayload = await info.context["payloads"].load(id_)
        return payload
    async with session() as opened:
        return await opened.get_one(models.ExecutionPayload, id_)


async def _payloads(ids: list[UUID]) -> list[models.ExecutionPayload]:
    async with session() as opened:
        rows = await opened.scalars(select(models.ExecutionPayload).where(models.ExecutionPayload.execution_id.in_(ids)))
        found = {row.execution_id: row for row in rows}
    return [found[id_] for id_ in ids]


async def context() -> dict[str, Any]:
    return {"payloads": DataLoader(load_fn=_payloads)}


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    yield
    await engine.dispose()


caches = [ParserCache(), ValidationCache()] if IS_TUNED else []
app = FastAPI(lifespan=lifespan)
app.include_router(GraphQLRouter(strawberry.Schema(Query, extensions=caches), context_getter=context), prefix="/graphql")

if __name__ == "__main__":
    with listening.listener("127.0.0.1", 0) as listener:
        print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
        uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False)).run(sockets=[listener])
