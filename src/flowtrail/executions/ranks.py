"""Ranks and positions among executions that the counts don't know, up to a bound: what counts.Ranks is for others (spec 2.3)."""

import uuid
from collections.abc import Iterable, Mapping, Sequence

from flowtrail.database import Read
from flowtrail.executions.pages import bounded_counts
from flowtrail.executions.selection import Selection
from flowtrail.pagination import Position

Scope = uuid.UUID | None


class BoundedRanks:
    """Places in the executions of each of several scopes, newest first, from 0; as far as `bound`, or as a search looks."""

    def __init__(self, read: Read, scopes: Sequence[Scope], selection: Selection, bound: int) -> None:
        self._read = read
        self._scopes = list(scopes)
        self._selection = selection
        self._bound = bound

    async def totals(self) -> dict[Scope, int | None]:
        """Return how many there are of each; None where counting stopped."""
        counted = await bounded_counts(self._read, self._scopes, self._selection, self._bound)
        return {scope: count if is_all else None for scope, (count, is_all) in zip(self._scopes, counted, strict=True)}

    async def ranks(self, positions: Mapping[Scope, Position]) -> dict[Scope, int]:
        """Return for each scope how many are newer than its position; positions beyond the bound are left out."""
        scopes = list(positions)
        arguments = self._selection.arguments(scopes)
        numbers = arguments.add(list(range(1, len(scopes) + 1)))
        times = arguments.add([position.started_at for position in positions.values()])
        ids = arguments.add([position.id for position in positions.values()])
        rows = await self._read.fetch(
            f"""SELECT number, count(*) AS listed,
                       count(*) FILTER (WHERE (ranked.started_at, ranked.id) > (wanted.started_at, wanted.id)) AS rank
                FROM ({self._ranked}) AS ranked
                JOIN unnest({numbers}::bigint[], {times}::timestamptz[], {ids}::uuid[]) AS wanted(number, started_at, id)
                     USING (number)
                GROUP BY number""",
            *arguments,
        )
        # What lies behind all that is listed may lie anywhere behind the bound.
        return {scopes[row["number"] - 1]: row["rank"] for row in rows if row["rank"] < row["listed"]}

    async def positions(self, places: Iterable[tuple[Scope, int]]) -> dict[tuple[Scope, int], Position]:
        """Return where the executions at these places, of a scope and a rank, stand; those beyond the bound are left out."""
        wanted = list(places)
        scopes = list(dict(wanted))
        arguments = self._selection.arguments(scopes)
        numbers = arguments.add([scopes.index(scope) + 1 for scope, _ in wanted])
        ranks = arguments.add([rank for _, rank in wanted])
        rows = await self._read.fetch(
            f"""SELECT number, rank, started_at, id FROM ({self._ranked}) AS ranked
                JOIN unnest({numbers}::bigint[], {ranks}::bigint[]) AS wanted(number, rank) USING (number, rank)""",
            *arguments,
        )
        return {(scopes[row["number"] - 1], row["rank"]): Position(row["started_at"], row["id"]) for row in rows}

    @property
    def _ranked(self) -> str:
        """SQL for the places of each scope (its number from 1) as far as the bound, with their ranks."""
        return f"""
            SELECT scope.number, e.started_at, e.id,
                   row_number() OVER (PARTITION BY scope.number ORDER BY e.started_at DESC, e.id DESC) - 1 AS rank
            FROM unnest($1::uuid[]) WITH ORDINALITY AS scope(id, number)
            CROSS JOIN LATERAL ({self._selection.places([], "DESC", str(self._bound))}) AS e"""
