"""Browsers that signed in through the OpenID provider: their table. Any process knows them, and signing out ends them at once."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from flowtrail import json_text
from flowtrail.tokens import digest

if TYPE_CHECKING:
    from collections.abc import Collection

    import asyncpg

    from flowtrail.database import Read, Write

PREFIX = "flowtrail_session_"


@dataclass(frozen=True, slots=True)
class BrowserSession:
    """Who signed in, and until when that counts; the cookie's value is not kept."""

    subject: str
    servers: frozenset[str] | None
    """The MCP servers they are limited to; None: all."""
    expires_at: datetime


async def begin(write: Write, subject: str, servers: Collection[str] | None, lifetime: timedelta) -> str:
    """Note that somebody signed in, forget who did so too long ago, and return the value of the cookie: it can't be had again."""
    await write.execute("DELETE FROM browser_session WHERE expires_at <= clock_timestamp()")
    value = f"{PREFIX}{secrets.token_urlsafe(32)}"
    await write.execute(
        "INSERT INTO browser_session (hash, subject, servers, expires_at) VALUES ($1, $2, $3, clock_timestamp() + $4)",
        digest(value),
        json_text.clean(subject),
        None if servers is None else [json_text.clean(server) for server in sorted(servers)],
        lifetime,
    )
    return value


async def end(write: Write, value: str) -> None:
    """Make the cookie worthless, whoever has a copy of it."""
    await write.execute("DELETE FROM browser_session WHERE hash = $1", digest(value))


async def by_digests(read: Read, digests: Collection[bytes]) -> dict[bytes, BrowserSession]:
    """Return those of the sessions that have not ended."""
    rows: list[asyncpg.Record] = await read.fetch(
        """SELECT hash, subject, servers, expires_at FROM browser_session
           WHERE hash = ANY($1::bytea[]) AND expires_at > clock_timestamp()""",
        list(digests),
    )
    return {
        row["hash"]: BrowserSession(
            row["subject"], None if row["servers"] is None else frozenset(row["servers"]), row["expires_at"]
        )
        for row in rows
    }
