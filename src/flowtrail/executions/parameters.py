"""Comparing what executions are found by (parameters.py) with their parameters, and mending it, while recording goes on.

For tables that something else than the service has changed, and for releases that find executions by more. Goes on from batch to
batch; what is recorded meanwhile is right as it comes.
"""

import uuid
from collections.abc import Collection
from dataclasses import dataclass

import asyncpg

from flowtrail import json_text
from flowtrail.counts import NO_FLOW
from flowtrail.database import Read, Write
from flowtrail.pagination import Position
from flowtrail.parameters import digests_of
from flowtrail.sql import Arguments

BATCH = 1_000
"""Executions that one transaction looks at."""


@dataclass(frozen=True, slots=True)
class ParameterBatch:
    """How many executions of a batch are found by something else than their parameters; and the last one, unless all have come."""

    wrong: int
    last: Position | None


async def compare_parameters(read: Read, flow_id: uuid.UUID | None, after: Position | None) -> ParameterBatch:
    """Look at the executions of a flow, or all, that come next `after` a position, oldest first; nothing is changed."""
    rows = await _batch(read, flow_id, after)
    return ParameterBatch(len(_wrong(rows)), _last(rows))


async def mend_parameters(write: Write, flow_id: uuid.UUID | None, after: Position | None) -> ParameterBatch:
    """Do the same, and let those executions be found by their parameters."""
    rows = await _batch(write, flow_id, after)
    wrong = _wrong(rows)
    if wrong:
        await _replace(write, wrong)
    return ParameterBatch(len(wrong), _last(rows))


async def _batch(connection: Read | Write, flow_id: uuid.UUID | None, after: Position | None) -> list[asyncpg.Record]:
    arguments, conditions = Arguments([BATCH, NO_FLOW]), ["true"]
    if flow_id is not None:
        conditions.append(f"e.flow_id = {arguments.add(flow_id)}::uuid")
    if after is not None:
        key = f"({arguments.add(after.started_at)}::timestamptz, {arguments.add(after.id)}::uuid)"
        conditions.append(f"(e.started_at, e.id) > {key}")
    found: list[asyncpg.Record] = await connection.fetch(
        f"""SELECT e.id, e.started_at, e.initial_params, kept.digests, kept.strays
            FROM (SELECT e.id, e.started_at, coalesce(e.flow_id, $2) AS flow_id, p.initial_params::text
                  FROM execution e JOIN execution_payload p ON p.execution_id = e.id
                  WHERE {" AND ".join(conditions)} ORDER BY e.started_at, e.id LIMIT $1) AS e
            CROSS JOIN LATERAL (
                SELECT coalesce(array_agg(digest), '{{}}') AS digests,
                       count(*) FILTER (WHERE (flow_id, started_at) <> (e.flow_id, e.started_at)) AS strays
                FROM execution_parameter WHERE execution_id = e.id) AS kept
            ORDER BY e.started_at, e.id""",
        *arguments,
    )
    return found


def _last(rows: list[asyncpg.Record]) -> Position | None:
    return Position(rows[-1]["started_at"], rows[-1]["id"]) if len(rows) == BATCH else None


def _wrong(rows: list[asyncpg.Record]) -> dict[uuid.UUID, Collection[uuid.UUID]]:
    """The digests that executions should have and have not, by the executions' ids."""
    right = {row["id"]: set(digests_of(json_text.load(row["initial_params"]))) for row in rows}
    return {row["id"]: right[row["id"]] for row in rows if row["strays"] or set(row["digests"]) != right[row["id"]]}


async def _replace(write: Write, digests: dict[uuid.UUID, Collection[uuid.UUID]]) -> None:
    # In the order in which recorders lock executions; and those that are purged meanwhile are left out.
    locked = await write.fetch("SELECT id FROM execution WHERE id = ANY($1) ORDER BY id FOR KEY SHARE", sorted(digests))
    ids = [row["id"] for row in locked]
    pairs = [(id_, digest) for id_ in ids for digest in digests[id_]]
    await write.execute("DELETE FROM execution_parameter WHERE execution_id = ANY($1)", ids)
    await write.execute(
        """INSERT INTO execution_parameter (flow_id, digest, started_at, execution_id)
           SELECT coalesce(e.flow_id, $3), made.digest, e.started_at, e.id
           FROM unnest($1::uuid[], $2::uuid[]) AS made(id, digest) JOIN execution e USING (id)""",
        [id_ for id_, _ in pairs],
        [digest for _, digest in pairs],
        NO_FLOW,
    )
