"""Flows: the tools that MCP servers offer. Registered by recorders, never deleted by themselves (spec 1.10, 4.8)."""

import uuid
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import asyncpg
from uuid_utils.compat import uuid7

from flowtrail import json_text
from flowtrail.database import Read, Write
from flowtrail.errors import BadUserInput, NotFound
from flowtrail.pagination import Page, PageRequest, decode_base64, encode_base64
from flowtrail.sql import Arguments, like_pattern
from flowtrail.timeouts import DEFAULT_TIMEOUT_MS

MAX_NAME = 500
"""Characters of a server's, tool's or flow's name."""
MAX_DESCRIPTION = 20_000
MAX_FLOWS = 2_000
"""Flows of one registration."""

_COLUMNS = "id, server, tool_name, name, description, input_schema, timeout_ms, created_at, updated_at"
_LIVE = "deleted_at IS NULL"


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow as it is registered. `input_schema` is JSON text."""

    id: uuid.UUID
    server: str
    tool_name: str
    name: str
    description: str | None
    input_schema: str | None
    timeout_ms: int
    created_at: datetime
    updated_at: datetime

    @property
    def position(self) -> "FlowPosition":
        return FlowPosition(self.server, self.tool_name)


@dataclass(frozen=True, slots=True)
class FlowPosition:
    """Where a flow stands in the order of all: by server, then tool name, neither of which changes."""

    server: str
    tool_name: str

    def encode(self) -> str:
        """Return the opaque cursor."""
        return encode_base64(json_text.dump([self.server, self.tool_name]).encode())

    @classmethod
    def decode(cls, cursor: str) -> "FlowPosition":
        """Return the position of a cursor; raises ValueError when it is none of ours."""
        match json_text.load(decode_base64(cursor)):
            case [str(server), str(tool_name)]:
                return cls(json_text.clean(server), json_text.clean(tool_name))
        raise ValueError("shape")


@dataclass(frozen=True, slots=True)
class FlowFilter:
    """Fields are joined by AND; None does not filter."""

    servers: Sequence[str] | None = None
    text: str | None = None
    has_pending_executions: bool | None = None


@dataclass(frozen=True, slots=True)
class Registration:
    """A tool as its server describes it."""

    tool_name: str
    name: str
    description: str | None = None
    input_schema: Any = None
    timeout_ms: int | None = None


async def flows_by_id(read: Read, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, Flow]:
    """Return those of the flows that exist and are not deleted."""
    rows = await read.fetch(f"SELECT {_COLUMNS} FROM flow WHERE id = ANY($1) AND {_LIVE}", list(ids))
    return {row["id"]: Flow(**row) for row in rows}


async def flow_by_tool(read: Read, server: str, tool_name: str) -> Flow | None:
    row = await read.fetchrow(
        f"SELECT {_COLUMNS} FROM flow WHERE server = $1 AND tool_name = $2 AND {_LIVE}",
        json_text.clean(server),
        json_text.clean(tool_name),
    )
    return Flow(**row) if row else None


async def flow_ids(read: Read, server: str, tool_name: str) -> list[uuid.UUID]:
    """Return all flows that a tool ever had, deleted ones included; raises NotFound when there was none."""
    rows = await read.fetch(
        "SELECT id FROM flow WHERE server = $1 AND tool_name = $2", json_text.clean(server), json_text.clean(tool_name)
    )
    if not rows:
        raise NotFound(f"no flow was ever registered for the tool {tool_name} of {server}")
    return [row["id"] for row in rows]


async def tools_by_id(read: Read, ids: Collection[uuid.UUID]) -> dict[uuid.UUID, tuple[str, str]]:
    """Return server and tool name of those of the flows that exist, deleted ones included."""
    rows = await read.fetch("SELECT id, server, tool_name FROM flow WHERE id = ANY($1)", list(ids))
    return {row["id"]: (row["server"], row["tool_name"]) for row in rows}


async def flow_page(
    read: Read, filter_: FlowFilter, request: PageRequest[FlowPosition], servers: frozenset[str] | None
) -> Page[Flow]:
    """Return a page of flows by server and tool name; `servers` are those the reader may see (None: all)."""
    arguments = Arguments()
    match = _conditions(filter_, servers, arguments)
    inside, behind = _bounds(request, arguments)
    order = "ORDER BY server {0}, tool_name {0}".format("DESC" if request.backward else "ASC")
    has_other = f"EXISTS (SELECT FROM flow WHERE {' AND '.join([*match, *behind])})" if behind else "false"
    rows = await read.fetch(
        f"""SELECT other.found AS has_other, page.* FROM (SELECT {has_other} AS found) AS other
            LEFT JOIN (SELECT {_COLUMNS} FROM flow WHERE {" AND ".join([*match, *inside])}
                       {order} LIMIT {arguments.add(request.size + 1)}) AS page ON true
            {order}""",
        *arguments,
    )
    found = [_flow(row) for row in rows if row["id"] is not None]
    other, has_more, found = rows[0]["has_other"], len(found) > request.size, found[: request.size]
    if request.backward:
        return Page(found[::-1], has_next=other, has_previous=has_more)
    return Page(found, has_next=has_more, has_previous=other)


def _bounds(request: PageRequest[FlowPosition], arguments: Arguments) -> tuple[list[str], list[str]]:
    """Conditions of the page itself, and of what lies behind the side it starts from."""
    inside, behind = [], []
    for position, comparison, opposite, is_start in (
        (request.after, ">", "<=", not request.backward),
        (request.before, "<", ">=", request.backward),
    ):
        if position is not None:
            key = f"({arguments.add(position.server)}::text, {arguments.add(position.tool_name)}::text)"
            inside.append(f"(server, tool_name) {comparison} {key}")
            if is_start:
                behind.append(f"(server, tool_name) {opposite} {key}")
    return inside, behind


def _flow(row: asyncpg.Record) -> Flow:
    return Flow(**{name: row[name] for name in Flow.__slots__})


async def count_flows(read: Read, filter_: FlowFilter, servers: frozenset[str] | None) -> int:
    """Return how many flows match."""
    arguments = Arguments()
    match = _conditions(filter_, servers, arguments)
    count: int = await read.fetchval(f"SELECT count(*) FROM flow WHERE {' AND '.join(match)}", *arguments)
    return count


def _conditions(filter_: FlowFilter, servers: frozenset[str] | None, arguments: Arguments) -> list[str]:
    conditions = [_LIVE]
    if servers is not None:
        conditions.append(f"server = ANY({arguments.add(sorted(servers))}::text[])")
    if filter_.servers is not None:
        conditions.append(f"server = ANY({arguments.add([json_text.clean(server) for server in filter_.servers])}::text[])")
    if filter_.text:
        pattern = arguments.add(like_pattern(filter_.text))
        conditions.append(f"(name ILIKE {pattern} OR tool_name ILIKE {pattern} OR description ILIKE {pattern})")
    if filter_.has_pending_executions is not None:
        pending = """EXISTS (SELECT FROM execution e
                     WHERE e.flow_id = flow.id AND e.status = 'PENDING' AND e.deadline > now())"""
        conditions.append(pending if filter_.has_pending_executions else f"NOT {pending}")
    return conditions


async def register(write: Write, server: str, registrations: Sequence[Registration]) -> list[Flow]:
    """Insert the flows of a server or bring them up to date, in the order given; raises BadUserInput naming what is wrong.

    A deleted flow is not revived: its tool becomes a new one.
    """
    if len(registrations) > MAX_FLOWS:
        raise BadUserInput(f"flows: {len(registrations)} are too many for one registration, at most {MAX_FLOWS}")
    server = _checked("server", server)
    names = [_checked(f"flows[{index}].toolName", entry.tool_name) for index, entry in enumerate(registrations)]
    if len(set(names)) < len(names):
        raise BadUserInput("flows: a toolName is given twice")
    rows = [_registered(f"flows[{index}]", entry) for index, entry in enumerate(registrations)]
    # In the order of their names, so that two registrations of one server don't deadlock.
    written = await write.fetch(
        f"""INSERT INTO flow (id, server, tool_name, name, description, input_schema, timeout_ms)
            SELECT id, $2, tool_name, name, description, input_schema, timeout_ms
            FROM unnest($1::uuid[], $3::text[], $4::text[], $5::text[], $6::json[], $7::integer[])
                 AS new(id, tool_name, name, description, input_schema, timeout_ms)
            ORDER BY tool_name
            ON CONFLICT (server, tool_name) WHERE {_LIVE} DO UPDATE SET
                name = excluded.name, description = excluded.description, input_schema = excluded.input_schema,
                timeout_ms = excluded.timeout_ms, updated_at = clock_timestamp()
            RETURNING {_COLUMNS}""",
        [uuid7() for _ in rows],
        server,
        names,
        *([row[index] for row in rows] for index in range(4)),
    )
    by_tool = {row["tool_name"]: Flow(**row) for row in written}
    return [by_tool[name] for name in names]


def _registered(field: str, entry: Registration) -> tuple[str, str | None, str | None, int]:
    schema = None
    if entry.input_schema is not None:
        try:
            schema = json_text.dump(entry.input_schema)
        except json_text.JsonTextError as error:
            raise BadUserInput(f"{field}.inputSchema: {error}") from None
    if entry.timeout_ms is not None and entry.timeout_ms <= 0:
        raise BadUserInput(f"{field}.timeoutMs: {entry.timeout_ms} is not a positive number of milliseconds")
    description = None
    if entry.description is not None:
        description = _checked(f"{field}.description", entry.description, MAX_DESCRIPTION, may_be_empty=True)
    return _checked(f"{field}.name", entry.name), description, schema, entry.timeout_ms or DEFAULT_TIMEOUT_MS


def _checked(field: str, text: str, limit: int = MAX_NAME, *, may_be_empty: bool = False) -> str:
    if not text and not may_be_empty:
        raise BadUserInput(f"{field}: is empty")
    if len(text) > limit:
        raise BadUserInput(f"{field}: {len(text)} characters, at most {limit} are kept")
    return json_text.clean(text)


async def ensure_flows(write: Write, tools: Collection[tuple[str, str]]) -> dict[tuple[str, str], Flow]:
    """Return the flows of (server, tool name) pairs, made where there are none yet: a call may come before the registration."""
    if not tools:
        return {}
    servers, names = zip(*sorted(tools), strict=True)
    while True:
        rows: list[asyncpg.Record] = await write.fetch(
            f"""SELECT {_COLUMNS} FROM flow
                WHERE (server, tool_name) IN (SELECT * FROM unnest($1::text[], $2::text[])) AND {_LIVE}""",
            servers,
            names,
        )
        if len(rows) == len(tools):
            return {(row["server"], row["tool_name"]): Flow(**row) for row in rows}
        await write.execute(
            f"""INSERT INTO flow (id, server, tool_name, name, timeout_ms)
                SELECT id, server, tool_name, tool_name, $4
                FROM unnest($1::uuid[], $2::text[], $3::text[]) AS new(id, server, tool_name) ORDER BY server, tool_name
                ON CONFLICT (server, tool_name) WHERE {_LIVE} DO NOTHING""",
            [uuid7() for _ in servers],
            servers,
            names,
            DEFAULT_TIMEOUT_MS,
        )


async def delete(write: Write, flow_id: uuid.UUID, servers: frozenset[str] | None) -> None:
    """Mark a flow as deleted; its executions stay as they are. Raises NotFound, outside `servers` too: it does not exist there."""
    row = await write.fetchrow(f"SELECT server FROM flow WHERE id = $1 AND {_LIVE} FOR NO KEY UPDATE", flow_id)
    if row is None or (servers is not None and row["server"] not in servers):
        raise NotFound("id: there is no such flow")
    await write.execute("UPDATE flow SET deleted_at = clock_timestamp() WHERE id = $1", flow_id)
