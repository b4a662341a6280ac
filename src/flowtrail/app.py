"""The application: lifespan and routes, nothing else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

from flowtrail import service
from flowtrail.errors import FlowtrailError
from flowtrail.graphql import http, websocket
from flowtrail.graphql.endpoint import Endpoint
from flowtrail.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """Return the ASGI application; what it needs is opened when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with service.run(settings) as running:
            app.state.service = running
            app.state.endpoint = Endpoint(running)
            yield

    app = FastAPI(lifespan=lifespan, openapi_url=None)

    @app.post("/graphql")
    async def graphql(request: Request) -> Response:
        return await http.answer(app.state.endpoint, request)

    @app.websocket("/graphql")
    async def graphql_websocket(socket: WebSocket) -> None:
        await websocket.serve(app.state.endpoint, socket)

    @app.get("/healthz")
    async def healthz() -> Response:
        """The process lives."""
        return JSONResponse({"status": "ok"})

    @app.get("/readyz")
    async def readyz() -> Response:
        """The database answers."""
        try:
            async with app.state.service.database.read() as read:
                await read.fetchval("SELECT 1")
        except FlowtrailError as error:
            return JSONResponse({"status": "unavailable", "reason": error.message}, 503)
        return JSONResponse({"status": "ok"})

    return app
