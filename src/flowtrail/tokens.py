"""Tokens made by `flowtrail token create`: their table, and nothing about what they allow (auth.py)."""

from __future__ import annotations

import hashlib
import secrets
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from flowtrail.errors import BadUserInput, NotFound

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import asyncpg

    from flowtrail.database import Read, Write

Scope = Literal["read", "record"]
_PREFIX = "flowtrail_"
"""Marks our tokens for scanners of leaked secrets, and saves looking up what can't be one."""
_NAME_LIMIT = 100
_COLUMNS = "id, name, scope, servers, created_at, last_used_at, revoked_at"


@dataclass(frozen=True)
class ApiToken:
    """What is known about a token; the token itself is not."""

    id: uuid.UUID
    name: str
    scope: Scope
    servers: frozenset[str] | None
    """The MCP servers it is limited to; None: all."""
    created_at: datetime
    last_used_at: datetime | None
    """To the minute."""
    revoked_at: datetime | None


def digest(token: str) -> bytes:
    """Return what is stored and compared in a token's place: its SHA-256."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def may_be_stored(token: str) -> bool:
    """Tell whether looking `token` up is worth a statement."""
    return token.startswith(_PREFIX)


async def create(write: Write, name: str, scope: Scope, servers: Sequence[str] = ()) -> str:
    """Make a token, limited to `servers` when any are named, and return it: it can't be shown again.

    Raises BadUserInput when the name is empty, too long, or that of another valid token.
    """
    if not name.strip() or len(name) > _NAME_LIMIT or not name.isprintable():
        raise BadUserInput(f"name: must have 1 to {_NAME_LIMIT} printable characters")
    if not all(server and server.isprintable() for server in servers):
        raise BadUserInput("servers: a server's name must not be empty")
    await write.execute("LOCK TABLE api_token IN SHARE ROW EXCLUSIVE MODE")
    if await write.fetchval("SELECT true FROM api_token WHERE name = $1 AND revoked_at IS NULL", name):
        raise BadUserInput(f"name: there is a token named {name} already; revoke it or choose another name")
    token = f"{_PREFIX}{scope}_{secrets.token_urlsafe(32)}"
    await write.execute(
        "INSERT INTO api_token (id, hash, scope, servers, name) VALUES ($1, $2, $3, $4, $5)",
        uuid.uuid4(),
        digest(token),
        scope,
        list(servers) or None,
        name,
    )
    return token


async def all_tokens(read: Read) -> list[ApiToken]:
    """Return every token that was ever made, the newest first."""
    rows = await read.fetch(f"SELECT {_COLUMNS} FROM api_token ORDER BY created_at DESC, id")
    return [_from_row(row) for row in rows]


async def revoke(write: Write, name: str) -> None:
    """Make the token of that name worthless from now on; raises NotFound when there is none that is valid."""
    revoked = await write.fetchval(
        "UPDATE api_token SET revoked_at = clock_timestamp() WHERE name = $1 AND revoked_at IS NULL RETURNING true", name
    )
    if not revoked:
        raise NotFound(f"there is no valid token named {name}")


async def by_digests(read: Read, digests: Collection[bytes]) -> dict[bytes, ApiToken]:
    """Return those of the tokens that are valid."""
    rows = await read.fetch(
        f"SELECT hash, {_COLUMNS} FROM api_token WHERE hash = ANY($1::bytea[]) AND revoked_at IS NULL", list(digests)
    )
    return {row["hash"]: _from_row(row) for row in rows}


async def any_for_reading(read: Read) -> bool:
    """Tell whether a token of scope `read` was ever made: revoking the last one must not open the record to everybody."""
    found: bool = await read.fetchval("SELECT EXISTS (SELECT FROM api_token WHERE scope = 'read')")
    return found


async def mark_used(write: Write, token_id: uuid.UUID) -> None:
    """Note that a token is in use, at most once a minute."""
    await write.execute(
        """UPDATE api_token SET last_used_at = clock_timestamp()
           WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < clock_timestamp() - interval '1 minute')""",
        token_id,
    )


def _from_row(row: asyncpg.Record) -> ApiToken:
    servers = row["servers"]
    return ApiToken(
        id=row["id"],
        name=row["name"],
        scope=row["scope"],
        servers=None if servers is None else frozenset(servers),
        created_at=row["created_at"],
        last_used_at=row["last_used_at"],
        revoked_at=row["revoked_at"],
    )
