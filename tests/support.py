"""What tests share beyond fixtures: a running service, and databases made for one test."""

import asyncio
import contextlib
import json
import socket
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import httpx2
import uvicorn
from fastapi import FastAPI

from flowtrail import database_url, migrate
from flowtrail.database import Database
from flowtrail.settings import Settings


@dataclass(frozen=True)
class Postgres:
    """A PostgreSQL server, and the prefix of every database this test run makes on it."""

    dsn: str
    prefix: str

    @property
    def template(self) -> str:
        return f"{self.prefix}_template"

    def dsn_of(self, database: str) -> str:
        return urlunsplit(urlsplit(self.dsn)._replace(path=f"/{database}"))

    async def make_template(self) -> None:
        """Make the migrated database that `fresh_database` clones, unless another worker has."""
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute("SELECT pg_advisory_lock(20260101)")
            if not await connection.fetchval("SELECT true FROM pg_database WHERE datname = $1", self.template):
                await connection.execute(f"CREATE DATABASE {self.template}")
                await migrate.upgrade(database_url.parse(self.dsn_of(self.template)))
        finally:
            await connection.close()

    async def create_database(self, *, migrated: bool = True) -> str:
        """Make a database of one test's own and return it as a libpq URL."""
        name = f"{self.prefix}_{uuid.uuid4().hex[:12]}"
        await self._execute(f"CREATE DATABASE {name} TEMPLATE {self.template if migrated else 'template1'}")
        return self.dsn_of(name)

    async def drop_database(self, dsn: str) -> None:
        """Drop what `create_database` made, whoever is still connected."""
        await self._execute(f"DROP DATABASE {urlsplit(dsn).path[1:]} WITH (FORCE)")

    @asynccontextmanager
    async def fresh_database(self, *, migrated: bool = True) -> AsyncIterator[str]:
        """A database for the length of a block, as a libpq URL."""
        dsn = await self.create_database(migrated=migrated)
        yield dsn
        await self.drop_database(dsn)

    async def _execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.dsn)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def drop_everything(self) -> None:
        """Drop all databases of this test run."""
        connection = await asyncpg.connect(self.dsn)
        try:
            names = await connection.fetch("SELECT datname FROM pg_database WHERE starts_with(datname, $1)", self.prefix)
            for (name,) in names:
                await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        finally:
            await connection.close()


@dataclass(frozen=True)
class Service:
    """A service listening on a port of its own, with a client that speaks to it."""

    url: str
    """Without a path, as `http://127.0.0.1:8000`."""
    settings: Settings
    client: httpx2.AsyncClient
    app: FastAPI

    @property
    def database(self) -> Database:
        """The pools of the service itself."""
        database: Database = self.app.state.service.database
        return database

    def stop(self) -> None:
        """Do what a signal to stop does, as far as open streams are told of it."""
        self.app.state.endpoint.stopping.set()

    @property
    def graphql_url(self) -> str:
        return f"{self.url}/graphql"

    @property
    def record_token(self) -> str:
        return self.settings.record_token[0].get_secret_value()

    async def execute(self, document: str, variables: dict[str, Any] | None = None, *, token: str | None = None) -> Any:
        """POST an operation and return the decoded response, errors included. Big integers and lone surrogates survive."""
        headers = {"content-type": "application/json", "accept": "application/graphql-response+json, application/json"}
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        body = json.dumps({"query": document, "variables": variables or {}})
        response = await self.client.post("/graphql", content=body, headers=headers)
        return json.loads(response.text)


class Server(uvicorn.Server):
    """A server inside the test's own process and event loop."""

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().serve(sockets)
        except SystemExit:  # would end the test's event loop
            raise RuntimeError("the service did not start; the captured log says why") from None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals stay pytest's


@asynccontextmanager
async def running_service(settings: Settings) -> AsyncIterator[Service]:
    """The real application on the real server, on a free port of 127.0.0.1."""
    from flowtrail.app import create_app, socket_options

    app = create_app(settings)
    config = uvicorn.Config(app, log_config=None, lifespan="on", timeout_graceful_shutdown=5, **socket_options(settings))
    server = Server(config)
    # Not create_server: asyncio turns delayed small packets off only for sockets that say that they speak TCP.
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(2048)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started and not serving.done():
                await asyncio.sleep(0.005)
            if not server.started:
                await serving
            async with httpx2.AsyncClient(base_url=url, timeout=30) as client:
                yield Service(url, settings, client, app)
        finally:
            server.should_exit = True
            await serving
