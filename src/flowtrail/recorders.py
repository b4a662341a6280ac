"""The recorders that have reported, with what they had to give up (spec 4.6)."""

from dataclasses import dataclass
from datetime import datetime

from flowtrail import json_text
from flowtrail.database import Read, Write
from flowtrail.errors import BadUserInput

MAX_NAME = 500
_COLUMNS = "server, instance, version, last_seen_at, clock_skew_ms, dropped_executions, dropped_since"


@dataclass(frozen=True, slots=True)
class Recorder:
    """A wrapper in one process. `clock_skew_ms` is by how much its clock is ahead of the service's."""

    server: str
    instance: str
    version: str
    last_seen_at: datetime
    clock_skew_ms: float
    dropped_executions: int
    dropped_since: datetime | None


async def report(
    write: Write,
    *,
    server: str,
    instance: str,
    version: str,
    dropped_executions: int,
    dropped_since: datetime | None,
    sent_at: datetime | None,
) -> Recorder:
    """Keep the latest report of a recorder; raises BadUserInput naming the field that is wrong."""
    for name, text in (("server", server), ("instance", instance), ("version", version)):
        if not 0 < len(text) <= MAX_NAME:
            raise BadUserInput(f"input.{name}: must have 1 to {MAX_NAME} characters")
    if dropped_executions < 0:
        raise BadUserInput(f"input.droppedExecutions: {dropped_executions} is negative")
    row = await write.fetchrow(
        f"""INSERT INTO recorder AS old ({_COLUMNS})
            VALUES ($1, $2, $3, clock_timestamp(),
                    coalesce(extract(epoch FROM $6::timestamptz - clock_timestamp())::float8 * 1000, 0), $4, $5)
            ON CONFLICT (server, instance) DO UPDATE SET
                version = excluded.version, last_seen_at = excluded.last_seen_at,
                clock_skew_ms = CASE WHEN $6 IS NULL THEN old.clock_skew_ms ELSE excluded.clock_skew_ms END,
                dropped_executions = excluded.dropped_executions, dropped_since = excluded.dropped_since
            RETURNING {_COLUMNS}""",
        *(json_text.clean(text) for text in (server, instance, version)),
        dropped_executions,
        dropped_since,
        sent_at,
    )
    assert row is not None  # noqa: S101 (an upsert always returns its row)
    return Recorder(**row)


async def all_recorders(read: Read, servers: frozenset[str] | None) -> list[Recorder]:
    """Return the recorders the reader may see, by server and the latest first."""
    rows = await read.fetch(
        f"""SELECT {_COLUMNS} FROM recorder WHERE $1::text[] IS NULL OR server = ANY($1)
            ORDER BY server, last_seen_at DESC, instance""",
        sorted(servers) if servers is not None else None,
    )
    return [Recorder(**row) for row in rows]
