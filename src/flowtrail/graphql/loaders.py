"""Batch functions: what many resolvers ask for at once is read in one statement (spec 2.9). They live for one operation."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, TypeVar

from flowtrail import counts, executions, flows, page_cursors, statistics
from flowtrail.counts import Range
from flowtrail.database import Database, Read
from flowtrail.executions import Columns, Execution, ExecutionPage, NodeColumns, NodeExecution, NodeKey, Selection, Written
from flowtrail.flows import Flow
from flowtrail.graphql.loader import Loader, Pace
from flowtrail.page_cursors import PageCursors
from flowtrail.pagination import PageRequest, Position
from flowtrail.statistics import Bucket, ErrorGroup, Percentiles, Summary

COUNT_SECONDS = 2
"""A count that takes longer is given up: it never costs the list."""

_WORTH_COUNTING = 64 * 1024
"""Bytes of values."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
G = TypeVar("G", bound=Hashable)


@dataclass(frozen=True, slots=True)
class PageKey:
    """One page: of a scope (a flow, a parent execution, or None for all) among what `selection` chooses."""

    scope: uuid.UUID | None
    selection: Selection
    request: PageRequest[Position]
    columns: Columns | Written
    with_position: bool
    """Whether the feed's position is read with it."""
    _hash: int = field(init=False, repr=False, compare=False)
    """Worked out once: a key is looked up several times."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.scope, self.selection, self.request, self.columns, self.with_position)))

    def __hash__(self) -> int:
        return self._hash


class Loaders:
    """The loaders of one operation. Each returns None (or nothing) for what does not exist or the viewer may not see."""

    def __init__(self, database: Database, servers: frozenset[str] | None, hold: Callable[[int], None] | None) -> None:
        """`hold` is told how large values are that are handed out at once, if they are worth counting, and may raise."""
        # Not methods of this class: an operation's rows would have to wait for the garbage collector.
        self.pace = Pace()
        self._hold = hold
        self._handed_out = 0
        self._batches = _Batches(database, servers, self.pace)
        self._top_errors: dict[int, Loader[tuple[uuid.UUID, Range], list[ErrorGroup]]] = {}
        self._executions: dict[Columns | Written, Loader[uuid.UUID, Execution | None]] = {}
        self._nodes: dict[NodeColumns, Loader[uuid.UUID, list[NodeExecution] | None]] = {}
        self._nodes_by_key: dict[NodeColumns, Loader[NodeKey, NodeExecution | None]] = {}

    def begin_again(self) -> None:
        """Load for resolvers that run together, as if nothing had been read."""
        self.pace.is_one_by_one = False
        self._handed_out = 0

    def hand_out(self, columns: Columns | NodeColumns | Written, rows: Iterable[Any]) -> None:
        """Count the large values of rows that a resolver returns; raises when the operation has more of them than it may, in
        whatever fields, or its client has.
        """
        size = sum(map(columns.size_of, rows)) if columns.has_payloads else 0
        self._handed_out += size
        if self._handed_out > executions.MOST_BYTES:
            raise executions.too_large()
        if self._hold is not None and size > _WORTH_COUNTING:
            self._hold(size)

    @cached_property
    def flow_by_id(self) -> Loader[uuid.UUID, Flow | None]:
        return self._batches.by_key(self._batches.visible_flows)

    @cached_property
    def has_pending_by_flow(self) -> Loader[uuid.UUID, bool | None]:
        return self._batches.by_key(executions.pending_by_flow)

    @cached_property
    def page(self) -> Loader[PageKey, ExecutionPage]:
        return Loader(self._batches.pages, self.pace)

    @cached_property
    def page_cursors(self) -> Loader[PageKey, PageCursors | None]:
        return Loader(partial(self._batches.page_cursors, self.page), self.pace)

    @cached_property
    def totals(self) -> Loader[tuple[uuid.UUID, bool | None], Counter[str]]:
        return Loader(self._batches.totals, self.pace)

    @cached_property
    def count_in_time(self) -> Loader[tuple[uuid.UUID | None, Selection], tuple[int, bool]]:
        """As `bounded_count`, but that it is given up after COUNT_SECONDS, as totals are."""
        return Loader(partial(self._batches.bounded_counts, seconds=COUNT_SECONDS), self.pace)

    @cached_property
    def bounded_count(self) -> Loader[tuple[uuid.UUID | None, Selection], tuple[int, bool]]:
        return Loader(self._batches.bounded_counts, self.pace)

    @cached_property
    def summary(self) -> Loader[tuple[uuid.UUID, Range], Summary]:
        return self._batches.by_flow(statistics.summaries)

    @cached_property
    def percentiles(self) -> Loader[tuple[uuid.UUID, Range], Percentiles]:
        return self._batches.by_flow(statistics.percentiles)

    @cached_property
    def histogram(self) -> Loader[tuple[uuid.UUID, Range], Iterable[Bucket]]:
        return self._batches.by_flow(statistics.histograms)

    def execution_by_id(self, columns: Columns | Written) -> Loader[uuid.UUID, Execution | None]:
        """The loader of executions with these columns."""
        if columns not in self._executions:
            visible = partial(self._batches.visible_executions, columns)
            self._executions[columns] = self._batches.by_key(visible)
        return self._executions[columns]

    def nodes_by_execution(self, columns: NodeColumns) -> Loader[uuid.UUID, list[NodeExecution] | None]:
        """The loader of all nodes of executions with these columns."""
        if columns not in self._nodes:
            self._nodes[columns] = self._batches.by_key(lambda read, ids: executions.nodes_by_execution(read, ids, columns))
        return self._nodes[columns]

    def node_by_key(self, columns: NodeColumns) -> Loader[NodeKey, NodeExecution | None]:
        """The loader of single nodes with these columns."""
        if columns not in self._nodes_by_key:
            self._nodes_by_key[columns] = self._batches.by_key(lambda read, keys: executions.nodes_by_key(read, keys, columns))
        return self._nodes_by_key[columns]

    def top_errors(self, first: int) -> Loader[tuple[uuid.UUID, Range], list[ErrorGroup]]:
        """The loader of so many error groups."""
        if first not in self._top_errors:
            self._top_errors[first] = self._batches.by_flow(partial(statistics.top_errors, first=first))
        return self._top_errors[first]


class _Batches:
    """What loaders read, for one viewer."""

    def __init__(self, database: Database, servers: frozenset[str] | None, pace: Pace) -> None:
        self._pace = pace
        self._database = database
        self._servers = servers

    def by_flow(
        self, load: Callable[[Read, list[uuid.UUID], Range], Awaitable[Mapping[uuid.UUID, V]]]
    ) -> Loader[tuple[uuid.UUID, Range], V]:
        async def batch(keys: list[tuple[uuid.UUID, Range]]) -> list[V]:
            result: dict[tuple[uuid.UUID, Range], V] = {}
            for within, group in _grouped(keys, lambda key: key[1]):
                async with self._database.read() as read:
                    found = await load(read, [flow_id for flow_id, _ in group], within)
                result.update({key: found[key[0]] for key in group})
            return [result[key] for key in keys]

        return Loader(batch, self._pace)

    def by_key(self, load: Callable[[Read, list[K]], Awaitable[Mapping[K, V]]]) -> Loader[K, V | None]:
        async def batch(keys: list[K]) -> list[V | None]:
            async with self._database.read() as read:
                found = await load(read, keys)
            return [found.get(key) for key in keys]

        return Loader(batch, self._pace)

    async def visible_flows(self, read: Read, ids: list[uuid.UUID]) -> dict[uuid.UUID, Flow]:
        found = await flows.flows_by_id(read, ids)
        return {id_: flow for id_, flow in found.items() if self._servers is None or flow.server in self._servers}

    async def visible_executions(self, columns: Columns | Written, read: Read, ids: list[uuid.UUID]) -> dict[uuid.UUID, Execution]:
        found = await executions.executions_by_id(read, ids, columns)
        return {id_: row for id_, row in found.items() if self._servers is None or row["server"] in self._servers}

    async def pages(self, keys: list[PageKey]) -> list[ExecutionPage]:
        result: dict[PageKey, ExecutionPage] = {}
        for (selection, request, columns, with_position), group in _grouped(
            keys, lambda key: (key.selection, key.request, key.columns, key.with_position)
        ):
            async with self._database.snapshot() if executions.is_sifted(selection) else self._database.read() as read:
                scopes = [key.scope for key in group]
                pages = await executions.pages(read, scopes, selection, request, columns, with_position=with_position)
            result.update(zip(group, pages, strict=True))
        return [result[key] for key in keys]

    async def page_cursors(self, page: Loader[PageKey, ExecutionPage], keys: list[PageKey]) -> list[PageCursors | None]:
        pages = dict(zip(keys, await page.load_many(keys), strict=True))
        result: dict[PageKey, PageCursors | None] = {}
        for (selection, request), group in _grouped(keys, lambda key: (key.selection, key.request)):
            async with self._database.snapshot() as read:
                bars = await page_cursors.page_cursors(read, selection, request, {key.scope: pages[key] for key in group})
            result.update({key: bars[key.scope] for key in group})
        return [result[key] for key in keys]

    async def totals(self, keys: list[tuple[uuid.UUID, bool | None]]) -> list[Counter[str]]:
        result: dict[tuple[uuid.UUID, bool | None], Counter[str]] = {}
        for is_preview, group in _grouped(keys, lambda key: key[1]):
            async with self._database.read() as read, asyncio.timeout(COUNT_SECONDS):
                counted = await counts.totals(read, [key for key, _ in group], is_preview)
            result.update({(key, is_preview): counted[key] for key, _ in group})
        return [result[key] for key in keys]

    async def bounded_counts(
        self, keys: list[tuple[uuid.UUID | None, Selection]], seconds: float | None = None
    ) -> list[tuple[int, bool]]:
        result: dict[tuple[uuid.UUID | None, Selection], tuple[int, bool]] = {}
        for selection, group in _grouped(keys, lambda key: key[1]):
            async with self._database.read() as read, asyncio.timeout(seconds):
                counted = await executions.bounded_counts(read, [scope for scope, _ in group], selection, page_cursors.COUNT_BOUND)
            result.update(zip(group, counted, strict=True))
        return [result[key] for key in keys]


def _grouped(keys: list[K], by: Callable[[K], G]) -> Iterable[tuple[G, list[K]]]:
    if len(keys) == 1:
        return [(by(keys[0]), keys)]
    groups: dict[G, list[K]] = {}
    for key in keys:
        groups.setdefault(by(key), []).append(key)
    return groups.items()
